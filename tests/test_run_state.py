"""A chapter runs again exactly when the content of something it is made from changed."""

import json
import os

import pytest
from toybook import SECOND, make, notebook

from s1lib.profile import load_profile
from s1lib.run import state
from s1lib.run.graph import read_graph


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A toy book, as if all chapters had run."""
    root = make(tmp_path)
    monkeypatch.chdir(root)
    run = root / "results" / "smoke"
    for name, text in {
        "numbers.json": "[1]",
        "folder/sum.json": "0",
        "facts/03.json": "{}",
    }.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(text)
    (run / "notebooks").mkdir()
    for chapter in read_graph(root):
        (run / "notebooks" / chapter.notebook.name).write_text(chapter.notebook.read_text())
        state.finish(chapter, run, state.begin(chapter, load_profile("smoke"), {}))
    return root


def reasons(root, profile="smoke", given=None):
    """Reason to run of each chapter that has one."""
    found = {
        chapter.number: state.reason_to_run(chapter, load_profile(profile), given or {})
        for chapter in read_graph(root)
    }
    return {number: reason for number, reason in found.items() if reason}


def test_nothing_changed_nothing_runs(book):
    assert reasons(book) == {}


def test_touching_files_and_writing_the_same_bytes_again_reruns_nothing(book):
    for path in book.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes())
            os.utime(path)
    assert reasons(book) == {}


def test_code_reruns_its_chapter(book):
    notebook(book / "notebooks" / "02_second.ipynb", SECOND + "\n1")
    assert reasons(book) == {"02": "its code changed"}


def test_prose_outputs_and_metadata_do_not(book):
    notebook(book / "notebooks" / "02_second.ipynb", SECOND, prose="New words.")
    path = book / "notebooks" / "02_second.ipynb"
    raw = json.loads(path.read_text())
    raw["cells"][-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "hello"}]
    raw["cells"][-1]["metadata"]["tags"] = ["hide-input"]
    path.write_text(json.dumps(raw))
    assert reasons(book) == {}


def test_a_source_reruns_the_chapters_that_use_it_and_no_other(book):
    (book / "s1lib" / "toy.py").write_text("def double(k):\n    return k + k\n")
    (book / "s1lib" / "metrics.py").write_text("")
    assert reasons(book) == {"01": "s1lib/toy.py changed"}


def test_an_artifact_reruns_its_readers_and_not_its_writer(book):
    (book / "results" / "smoke" / "numbers.json").write_text("[2]")
    assert reasons(book) == {"02": "numbers.json changed"}


def test_a_file_anywhere_in_a_folder_reruns_the_readers_and_a_hidden_one_does_not(book):
    (book / "results" / "smoke" / "folder" / ".snakemake_timestamp").write_text("")
    assert reasons(book) == {}
    (book / "results" / "smoke" / "folder" / "new.json").write_text("")
    assert reasons(book) == {"03": "folder/ changed"}


def test_a_missing_artifact_reruns_its_writer(book):
    (book / "results" / "smoke" / "facts" / "03.json").unlink()
    assert reasons(book) == {"03": "facts/03.json is missing"}


def test_a_missing_executed_notebook_reruns_its_chapter(book):
    (book / "results" / "smoke" / "notebooks" / "01_first.ipynb").unlink()
    assert reasons(book) == {"01": "notebooks/01_first.ipynb is missing"}


def test_the_lock_reruns_everything(book):
    (book / "requirements.lock").write_text("toy==2\n")
    assert set(reasons(book)) == {"01", "02", "03"}


def test_a_parameter_that_was_not_there_reruns_its_chapter(book):
    assert set(reasons(book, given={"count": 4}).values()) == {"parameter count changed"}


def test_a_setting_reruns_the_chapters_that_use_it_and_says_which_section(book):
    uses = "from s1lib.profile import load_profile\nload_profile(profile, run).questions.problems"
    notebook(book / "notebooks" / "02_second.ipynb", SECOND, uses)
    second, profile = read_graph(book)[1], load_profile("smoke")
    state.finish(second, profile.run, state.begin(second, profile, {}))
    source = (book / "s1lib" / "profiles" / "smoke.yaml").read_text()
    (book / "smoke.yaml").write_text(source.replace("problems: 24", "problems: 25"))
    assert reasons(book, "smoke.yaml") == {"02": "smoke.yaml, questions, changed"}
    (book / "smoke.yaml").write_text("# a comment\n" + source.replace("pool: ", "pool: 1"))
    assert reasons(book, "smoke.yaml") == {}


def test_a_chapter_that_began_and_did_not_finish_runs_again(book):
    state.begin(read_graph(book)[1], load_profile("smoke"), {})
    assert reasons(book) == {"02": "has not been finished"}


@pytest.mark.parametrize("text", ["", "{half", "[]", '{"ingredients": 3}'])
def test_a_chapter_whose_record_is_damaged_runs_again(book, text):
    (load_profile("smoke").run / ".state" / "02.json").write_text(text)
    assert reasons(book) == {"02": "has not been finished"}


def test_a_source_changed_during_the_run_counts_as_changed(book):
    first, profile = read_graph(book)[0], load_profile("smoke")
    made_from = state.begin(first, profile, {})
    (book / "s1lib" / "toy.py").write_text("def double(k):\n    return 2.0 * k\n")
    state.finish(first, profile.run, made_from)
    assert reasons(book) == {"01": "s1lib/toy.py changed"}


def test_an_artifact_changed_by_hand_is_named(book):
    first, run = read_graph(book)[0], load_profile("smoke").run
    assert state.changed_by_hand(first, run) == []
    (run / "numbers.json").write_text("[3]")
    assert state.changed_by_hand(first, run) == ["numbers.json"]
