"""Which commit of a hub dataset a run reads, with the hub's real client and a server of our own."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import HfApi

from s1lib.artifacts import RunError
from s1lib.questions.revisions import pinned

OLD, NEW = "a" * 40, "b" * 40


class Hub(BaseHTTPRequestHandler):
    """Knows one commit, the server's `sha`, and counts who asks for it."""

    def do_GET(self):
        self.server.asked.append(self.path)
        body = json.dumps({"id": "who/what", "sha": self.server.sha, "tags": []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.sha, server.asked = OLD, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def api(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return HfApi(endpoint=f"http://127.0.0.1:{hub.server_port}", token=False)


def test_a_run_keeps_to_the_commit_that_it_found_first(hub, api, tmp_path):
    file = tmp_path / "revisions.json"
    assert pinned("who/what", None, file, api) == OLD
    hub.sha = NEW
    assert pinned("who/what", None, file, api) == OLD
    assert len(hub.asked) == 1
    assert json.loads(file.read_text()) == {"who/what@main": OLD}


def test_another_branch_and_another_run_folder_look_for_themselves(hub, api, tmp_path):
    file = tmp_path / "revisions.json"
    pinned("who/what", None, file, api)
    hub.sha = NEW
    assert pinned("who/what", "refs/convert/parquet", file, api) == NEW
    assert "refs" in hub.asked[-1]
    assert pinned("who/what", None, tmp_path / "other.json", api) == NEW


def test_a_file_that_is_no_table_of_commits_is_named_with_its_remedy(tmp_path):
    file = tmp_path / "revisions.json"
    file.write_text("[]")
    with pytest.raises(RunError, match=r"revisions.json is no table of revisions: delete it"):
        pinned("who/what", None, file)


def test_offline_the_newest_copy_in_the_cache_is_read_and_nothing_is_pinned(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert pinned("who/what", None, tmp_path / "revisions.json") is None
    assert not (tmp_path / "revisions.json").exists()
