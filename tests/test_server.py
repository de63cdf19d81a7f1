"""The server backend against a local server that speaks the wire format, faults included.

The server decodes with the tiny model itself, so the results must be those of the torch backend.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from test_engine import ANSWER, WINDOW, decoder, prompts

from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem
from s1lib.decoding import server
from s1lib.decoding.decoder import DecodeError
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.sampling import Sampling
from s1lib.decoding.server import ServerDecoder
from s1lib.decoding.sweep import cells

__all__ = ["decoder", "prompts"]


class Wire:
    """A completions endpoint over a model; `faults` are served first, one for each request."""

    def __init__(self, model, vocabulary: int) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.faults: list[str] = []
        self.seen: list[dict] = []
        self.die_after = 10**9
        self.served = ["tiny"]
        self.lock = threading.Lock()
        wire = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with wire.lock:
                    wire.seen.append(body)
                    fault = wire.faults.pop(0) if wire.faults else ""
                    if len(wire.seen) > wire.die_after:
                        fault = "drop"
                if fault == "drop":
                    self.close_connection = True
                    return
                status = int(fault) if fault.isdigit() else 200
                reply = {"error": "no"} if status != 200 else wire.complete(body)
                if fault == "abort":  # with what there is so far, or with nothing
                    ids = reply["choices"][0]["token_ids"][: len(wire.seen) % 2]
                    reply["choices"][0].update(token_ids=ids, finish_reason="abort")
                if fault == "no ids":
                    del reply["choices"][0]["token_ids"]
                if fault == "abort":
                    reply["choices"] = [{"token_ids": [], "finish_reason": "abort"}]
                text = b"<html>" if fault == "garbage" else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(text)

            def do_GET(self) -> None:
                assert self.path == "/v1/models"
                text = json.dumps({"data": [{"id": name} for name in wire.served]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @torch.no_grad()
    def complete(self, body: dict) -> dict:
        """Greedy or seeded tokens, stop ids masked for `min_tokens` and then stopped at."""
        ids, new, stops = list(body["prompt"]), [], set(body["stop_token_ids"])
        bias = [int(token) for token in body.get("logit_bias", {})]
        rng = np.random.default_rng(body.get("seed"))
        with self.lock:
            cache = None
            while len(new) < body["max_tokens"]:
                fed = ids if cache is None else ids[-1:]
                out = self.model(torch.tensor([fed]), past_key_values=cache, use_cache=True)
                cache, logits = out.past_key_values, out.logits[0, -1].double()
                logits[bias] = -1e9
                logits[self.vocabulary :] = -1e9
                if len(new) < body["min_tokens"]:
                    logits[sorted(stops)] = float("-inf")
                if body["temperature"]:
                    share = torch.softmax(logits / body["temperature"], 0).numpy()
                    token = int(rng.choice(len(share), p=share / share.sum()))
                else:
                    token = int(logits.argmax())
                new.append(token)
                ids.append(token)
                if token in stops:
                    break
        stopped = new[-1] in stops
        choice = {"token_ids": new, "finish_reason": "stop" if stopped else "length"}
        return {"choices": [choice | {"stop_reason": new[-1] if stopped else None}]}


@pytest.fixture
def wire(tiny_model, tiny_tokenizer, monkeypatch):
    monkeypatch.setattr(server, "PAUSE", 0.01)
    one = Wire(tiny_model, len(tiny_tokenizer))
    yield one
    one.http.shutdown()
    one.http.server_close()


@pytest.fixture
def remote(wire, tiny_tokenizer) -> ServerDecoder:
    return ServerDecoder(
        "tiny", tiny_tokenizer, window=WINDOW, answer_tokens=ANSWER, rows=4, url=wire.url
    )


@pytest.mark.parametrize(
    "forcing",
    [None, Forcing(budget=12), Forcing(budget=0), Forcing(waits=2), Forcing(waits=1, wait=""),
     Forcing(minimum=20), Forcing(budget=9, waits=1, protocol="harness")],
    ids=str,
)  # fmt: skip
def test_the_server_gives_the_ids_of_the_torch_backend(remote, decoder, prompts, forcing):
    theirs = remote.generate(prompts[:4], forcing, Sampling(max_new_tokens=ANSWER))
    ours = decoder.generate(prompts[:4], forcing, Sampling(max_new_tokens=ANSWER))
    assert [one.ids for one in theirs] == [one.ids for one in ours]
    assert [one.forced for one in theirs] == [one.forced for one in ours]


def test_a_sweep_over_the_server_is_the_same_sweep(remote, decoder, prompts):
    wanted = [*cells([0, 8, 16], [1]), Forcing(20, 2, "Hmm"), Forcing(None, 1, "")]
    theirs, ours = (one.sweep(prompts[:3], wanted) for one in (remote, decoder))
    assert remote.paid == decoder.paid
    assert [one.ids for one in theirs] == [one.ids for one in ours]


def test_samples_repeat_with_the_seed_and_in_any_order(remote, prompts):
    def texts(order: list[int], seed: int) -> dict[str, tuple[int, ...]]:
        problems = [Problem(str(i), tuple(prompts[i])) for i in order]
        done = remote.generate(problems, Forcing(budget=10), Sampling(1.0, seed=seed))
        return {one.id: one.ids for one in done}

    assert texts([0, 1, 2], 1) == texts([2, 1, 0], 1) != texts([0, 1, 2], 2)


def test_faults_are_retried(wire, remote, decoder, prompts):
    wire.faults = ["500", "drop", "429", "garbage", "503", "abort"]
    theirs = remote.generate(prompts[:3], Forcing(budget=8))
    assert [one.ids for one in theirs] == [
        one.ids for one in decoder.generate(prompts[:3], Forcing(budget=8))
    ]
    assert wire.faults == []


def test_a_server_that_goes_half_way_leaves_what_is_finished(wire, remote, prompts):
    remote.rows, wire.die_after = 1, 4
    with pytest.raises(DecodeError, match=r"gave no answer to prompt \d in 6 tries") as caught:
        remote.generate(prompts[:6], Forcing(budget=4))
    assert 1 <= len(caught.value.finished) < 6


def test_where_thinking_ends_at_its_start_only_the_answers_are_asked_for(wire, remote, prompts):
    swept = remote.sweep(prompts[:3], [Forcing(budget=0)])
    asked = [tuple(body["prompt"]) for body in wire.seen]
    assert len(asked) == len({*asked}) and remote.paid == sum(one.sampled for one in swept)


def test_a_sweep_whose_answers_fail_leaves_what_is_finished(wire, remote, prompts):
    """The answers are a group of tasks within a group, and once only one of the two was opened."""
    remote.rows = 1
    answered = []
    complete = wire.complete

    def fragile(body):
        if body["max_tokens"] == ANSWER:
            answered.append(body)
        if len(answered) > 5:
            wire.die_after = 0
        return complete(body)

    wire.complete = fragile
    with pytest.raises(DecodeError, match=r"gave no answer to prompt \d in 6 tries"):
        remote.sweep(prompts[:6], cells([4], []))
    assert answered


def test_what_a_server_has_answered_is_not_asked_again(wire, remote, decoder, prompts, tmp_path):
    """A server that dies in the last hour of a benchmark once took all hours with it."""
    remote.rows, remote.keep, wire.die_after = 1, tmp_path, 30
    with pytest.raises(DecodeError):
        remote.sweep(prompts[:6], cells([0, 8, 16], [1]))
    (file,) = tmp_path.iterdir()
    kept = file.read_bytes()
    assert kept
    file.write_bytes(kept + b'[[0, 5, 0], {"id": "to')  # as a kill leaves it
    paid, wire.die_after = len(wire.seen), 10**9
    found = remote.sweep(prompts[:6], cells([0, 8, 16], [1]))
    first = len(wire.seen) - paid
    assert [one.ids for one in found] == [
        one.ids for one in decoder.sweep(prompts[:6], cells([0, 8, 16], [1]))
    ]
    assert file.read_bytes().startswith(kept)
    wire.served = ["other"]  # the next server has taken its place
    assert (
        remote.sweep(prompts[:6], cells([0, 8, 16], [1])) == found
        and len(wire.seen) == paid + first
    )
    wire.served = ["tiny"]
    remote.sweep(prompts[:5], cells([0, 8, 16], [1]))
    assert len(wire.seen) > paid + first > paid  # another call is another file
    remote.weights = "trained again"
    before = len(wire.seen)
    remote.sweep(prompts[:6], cells([0, 8, 16], [1]))
    assert len(wire.seen) > before


def test_a_damaged_file_of_answers_is_named(remote, prompts, tmp_path):
    remote.keep = tmp_path
    remote.generate(prompts[:1], Forcing(budget=4))
    (file,) = tmp_path.iterdir()
    file.write_text("{}\n")
    with pytest.raises(RunError, match=rf"{file.name}, line 1: .*Delete the file"):
        remote.generate(prompts[:1], Forcing(budget=4))


def test_whoever_stops_reading_stops_the_requests(wire, remote, prompts):
    """After Ctrl-C in a notebook the thread once went on with all that was left."""
    import time

    remote.rows = 1
    steps = remote.run([remote_job(remote, prompts[i % 4]) for i in range(200)], Sampling())
    next(steps)
    steps.close()
    time.sleep(0.2)  # one may be on its way
    seen = len(wire.seen)
    time.sleep(0.3)
    assert len(wire.seen) == seen < 200


def remote_job(remote, prompt):
    (job,) = remote.jobs(remote.exam([prompt]), None, Sampling(max_new_tokens=ANSWER))
    return job


def test_a_request_that_the_server_aborted_is_asked_again(wire, remote, decoder, prompts):
    """An abort without tokens once ended the call with a question about the window."""
    wire.faults = ["abort", "abort"]
    found = remote.generate(prompts[:1], Forcing(budget=8))
    assert [one.ids for one in found] == [
        one.ids for one in decoder.generate(prompts[:1], Forcing(budget=8))
    ]
    assert wire.faults == []
    wire.faults = ["abort"] * 6
    with pytest.raises(RunError, match=r"no answer to prompt 0 in 6 tries \(.*aborted"):
        remote.generate(prompts[:1], Forcing(budget=8))


def test_a_delimiter_of_several_tokens_cannot_be_banned_by_a_server(remote, prompts):
    """A server bans the last of its ids, where the first is meant."""
    from s1lib.chat import Delimiters

    remote.delimiters = Delimiters(think="", answer="then\n", final="So:")
    with pytest.raises(RunError, match="vLLM can only ban single ones"):
        remote.generate(prompts[:1], Forcing(minimum=20))
    assert remote.generate(prompts[:1], Forcing(budget=4))


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_server_that_wants_a_key_says_which_variable_to_set(wire, remote, prompts, status):
    wire.faults = [status]
    with pytest.raises(RunError, match="wants a key: set S1_SERVER_KEY"):
        remote.generate(prompts[:1], Forcing(budget=4))


def test_a_password_in_an_address_is_never_shown(wire, tiny_tokenizer, prompts):
    wire.faults = ["400"]
    secret = wire.url.replace("http://", "http://anna:hunter2@")
    with pytest.raises(RunError) as caught:
        ask(secret, tiny_tokenizer, prompts)
    wire.served = ["other"]
    with pytest.raises(RunError) as without:
        ask(secret, tiny_tokenizer, prompts)
    assert "hunter2" not in f"{caught.value}{without.value}"


def test_a_refused_request_is_not_retried_and_names_the_prompt(wire, remote, prompts):
    wire.faults = ["400"]
    with pytest.raises(RunError, match=r"refuses prompt 0 \(HTTP 400"):
        remote.generate(prompts[:1], Forcing(budget=4))
    assert len(wire.seen) == 1


def test_a_server_without_token_ids_is_refused(wire, remote, prompts):
    wire.faults = ["no ids"]
    with pytest.raises(RunError, match="returns no token ids"):
        remote.generate(prompts[:1], Forcing(budget=4))


def test_ids_beyond_the_vocabulary_are_biased_away(wire, remote, prompts):
    remote.beyond = (361, 362)
    remote.generate(prompts[:1], Forcing(budget=4))
    assert wire.seen[0]["logit_bias"] == {"361": -100.0, "362": -100.0}


NOBODY = "http://127.0.0.1:9/v1"


def ask(url, tokenizer, prompts):
    one = ServerDecoder("tiny", tokenizer, window=WINDOW, answer_tokens=ANSWER, url=url)
    return one.generate(prompts[:1], Forcing(budget=4))


def test_no_server_is_one_clear_error(tiny_tokenizer, prompts, monkeypatch):
    monkeypatch.setattr(server, "PAUSE", 0.0)
    with pytest.raises(RunError, match=r"Start one with: python -m s1lib serve --model tiny"):
        ask(NOBODY, tiny_tokenizer, prompts)


def test_of_several_servers_the_one_that_has_the_model_is_asked(
    wire, tiny_model, tiny_tokenizer, prompts
):
    other = Wire(tiny_model, len(tiny_tokenizer))
    other.served = ["token", "step"]
    found = ask(f"{NOBODY} {other.url} {wire.url}/", tiny_tokenizer, prompts)
    assert found == ask(wire.url, tiny_tokenizer, prompts) and not other.seen
    with pytest.raises(RunError, match=rf"{other.url} serves token, step\. Start one with"):
        ask(f"{NOBODY} {other.url}", tiny_tokenizer, prompts)
    other.http.shutdown()


def test_a_server_of_another_model_is_one_clear_error(wire, tiny_tokenizer, prompts):
    wire.faults = ["404"]
    with pytest.raises(RunError, match=r"has no tiny\. Start one with"):
        ask(wire.url, tiny_tokenizer, prompts)
    wire.served, before = ["other"], len(wire.seen)
    with pytest.raises(RunError, match=r"serves other\. Start one with"):
        ask(wire.url, tiny_tokenizer, prompts)
    assert len(wire.seen) == before  # before anything is decoded


def test_an_end_that_only_the_generation_config_names_is_one_request(
    wire, tiny_model_path, tiny_tokenizer, tmp_path, monkeypatch
):
    """93 requests once went out for one prompt, each stopped by an end that nobody knew."""
    import shutil

    from s1lib.decoding import load_decoder

    folder = tmp_path / "tiny"
    shutil.copytree(tiny_model_path, folder)
    config = json.loads((folder / "generation_config.json").read_text())
    config["eos_token_id"] = [config["eos_token_id"], 75]
    (folder / "generation_config.json").write_text(json.dumps(config))
    monkeypatch.setenv("S1_SERVER", wire.url)
    wire.served = [str(folder)]
    one = load_decoder(str(folder), backend="server", window=WINDOW, answer_tokens=ANSWER)
    local = load_decoder(str(folder), window=WINDOW, answer_tokens=ANSWER)
    asked = ["Find 3", "Find 4", "Find 5"]
    assert [x.ids for x in one.generate(asked)] == [x.ids for x in local.generate(asked)]
    assert len(wire.seen) == len(asked)
    assert 75 in wire.seen[0]["stop_token_ids"]


def test_a_server_is_asked_for_every_setting_of_the_sampling(wire, remote, prompts):
    settings = {"top_p": 0.9, "top_k": 7, "min_p": 0.1, "repetition_penalty": 1.2}
    remote.generate(prompts[:1], Forcing(budget=4), Sampling(0.5, seed=1, **settings))
    assert {key: wire.seen[0][key] for key in settings} == settings
    assert wire.seen[0]["temperature"] == 0.5 and wire.seen[0]["seed"] >= 0


def test_without_a_window_a_server_gets_the_models_own(wire, tiny_model_path, prompts, monkeypatch):
    """It once was 0, which leaves no room for any prompt."""
    from s1lib.decoding import load_decoder

    monkeypatch.setenv("S1_SERVER", wire.url)
    wire.served = [str(tiny_model_path)]
    one = load_decoder(str(tiny_model_path), backend="server", answer_tokens=ANSWER)
    assert one.window > 0 and one.generate(prompts[:1], Forcing(budget=4))


def test_one_command_serves_a_profile():
    command = [sys.executable, "-m", "s1lib", "serve", "--profile", "paper", "--print"]
    command += ["--model", "Qwen/Qwen2.5-32B-Instruct", "--tensor-parallel-size", "8"]
    command += ["--port", "8001"]
    line = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert line.startswith("vllm serve Qwen/Qwen2.5-32B-Instruct")
    assert "--max-model-len 32768" in line and "--tensor-parallel-size 8" in line
    assert "--port 8001" in line
