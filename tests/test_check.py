"""What a run needs is said before it begins, by real clients against local servers."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from wire import Wire

from s1lib import check, roles
from s1lib.__main__ import main
from s1lib.artifacts import RunError
from s1lib.profile import Profile, load_profile

KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY")
QWEN = ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-32B-Instruct")


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, no network, no Slurm, no server."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("S1_SERVER", "http://127.0.0.1:9/v1")


@pytest.fixture
def wire(nothing: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Everything is there: two providers, the hub, servers of both students, and Slurm."""
    with Wire() as server:
        server.models += QWEN
        for name in KEYS:
            monkeypatch.setenv(name, "a-key-for-the-test")
        monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("S1_SERVER", f"{server.url}/v1")
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        (tmp_path / "sinfo").write_text("#!/bin/sh\necho 2\n")
        (tmp_path / "sinfo").chmod(0o755)
        yield server


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000_000_000))


def paper(run: Path, **changes: object) -> Profile:
    """The profile `paper` with models that the local server has, and a small pool."""
    served = {"teacher": "gemini-2.5-flash", "grader": "claude-haiku-4-5"}
    served["classifier"] = "claude-haiku-4-5"
    named = {f"models__{role}": model for role, model in served.items()}
    return load_profile("paper", run, **{"questions__pool": 60, **named, **changes})


def missing(book: Profile) -> dict[str, check.Line]:
    return {line.what: line for line in check.lines(book) if line.problem}


def test_the_laptop_needs_nothing(nothing, tmp_path, capsys):
    assert main(["check", "--profile", "laptop", "--run", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "every chapter can start"


def test_on_a_machine_with_nothing_the_paper_is_told_all_of_it_with_remedies(
    nothing, tmp_path, capsys
):
    assert main(["check", "--profile", "paper", "--run", str(tmp_path / "run")]) == 1
    *said, last = capsys.readouterr().out.splitlines()
    assert last == "chapters 01, 02, 03, 04, 05, 06, 07, 08, 09 cannot start"
    for what in (
        "19 data sets of the hub: the hub does not answer",
        "model Qwen/Qwen2.5-32B-Instruct: the hub does not answer",
        "set GEMINI_API_KEY in the environment",
        "set ANTHROPIC_API_KEY in the environment",
        "start python -m s1lib serve --model Qwen/Qwen2.5-7B-Instruct --port 80",
        "16 x GPU on 2 nodes, from Slurm: Slurm has 0 nodes here",
    ):
        assert any(line.startswith("missing") and what in line for line in said), what
    prices = [line for line in said if "calls to make" in line]
    assert [line.split()[1] for line in prices] == ["02", "03", "04"]
    assert "59,029 calls to make" in prices[0]
    assert any(line.startswith("ok") and "39.7 GiB of memory" in line for line in said)


def test_where_everything_is_there_all_lines_are_green(wire, disk, tmp_path):
    assert not missing(paper(tmp_path / "run"))
    assert set(wire.attempts) == {"Say yes."}
    assert wire.billed < 0.01


def test_a_retired_model_is_named_with_those_that_are_served(wire, disk, tmp_path):
    found = missing(paper(tmp_path / "run", models__teacher="gemini-2.0-flash-thinking-exp"))
    (line,) = found.values()
    assert line.chapters == ("02",)
    assert line.problem.startswith("gemini does not serve gemini-2.0-flash-thinking-exp today:")
    assert "gemini-2.5-flash" in line.problem


def test_a_key_that_is_not_accepted_is_no_key(wire, tmp_path):
    wire.status = 401
    found = missing(paper(tmp_path / "run"))
    assert (
        "mend key, account or address"
        in found["an answer of claude-haiku-4-5 (grader claude)"].problem
    )


def test_a_gated_data_set_is_told_apart_from_a_hub_that_is_away(wire, disk, tmp_path):
    wire.gated = ("Idavidrein/gpqa",)
    ((what, line),) = missing(paper(tmp_path / "run")).items()
    assert (what, line.chapters) == ("data set Idavidrein/gpqa", ("01",))
    assert "accept its terms at https://huggingface.co/datasets/Idavidrein/gpqa" in line.problem


def test_what_a_run_can_do_without_is_said_and_stops_no_chapter(wire, disk, tmp_path):
    wire.gated = ("Idavidrein/gpqa",)
    book = load_profile("gpu", tmp_path / "run")
    (line,) = (line for line in check.lines(book) if line.what == "data set Idavidrein/gpqa")
    assert line.problem and not line.chapters


def test_a_folder_takes_the_place_of_the_hub(wire, disk, tmp_path):
    book = paper(tmp_path / "run", questions__folder=str(tmp_path), questions__sources=("AIME",))
    assert "data set qq8933/AIME_1983_2024" in missing(book)
    for hub in check.datasets(book):
        (tmp_path / hub).mkdir(parents=True, exist_ok=True)
    assert not missing(book)


def test_servers_and_vllm_that_return_no_token_ids_are_too_old(wire, disk, tmp_path):
    wire.version = "0.10.1"
    found = missing(paper(tmp_path / "run"))
    assert set(found) == {f"a server of {name}" for name in QWEN}
    assert {line.problem.split(":")[0] for line in found.values()} == {
        "0.10.1 returns no token ids"
    }


def test_a_model_that_nobody_serves_is_named_with_the_command_that_serves_it(wire, disk, tmp_path):
    wire.models = wire.models[:-1]
    (line,) = missing(paper(tmp_path / "run")).values()
    assert line.chapters == ("02", "06", "07", "08", "09")
    assert "serve --model Qwen/Qwen2.5-32B-Instruct --port" in line.problem


def test_vllm_in_this_process_needs_an_installation_and_a_gpu(wire, disk, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "_gpus", lambda: [80 * 10**9])
    found = missing(paper(tmp_path / "run", roles__decoder="vllm"))
    assert "pip install 's1lib[cluster]'" in found["vLLM"].problem
    monkeypatch.setattr(check.metadata, "version", lambda _: "0.9.2")
    found = missing(paper(tmp_path / "run", roles__decoder="vllm"))
    assert found["vLLM"].problem.startswith("0.9.2 returns no token ids")


@pytest.mark.parametrize(("build", "wanted"), [("0.32.0", True), ("0.32.0+cpu", False)])
def test_the_cpu_build_of_vllm_needs_no_gpu(wire, disk, tmp_path, monkeypatch, build, wanted):
    monkeypatch.setattr(check, "_gpus", list)
    monkeypatch.setattr(check.metadata, "version", lambda _: build)
    found = missing(paper(tmp_path / "run", roles__decoder="vllm"))
    assert ("a GPU for vLLM" in found) == wanted


@pytest.mark.parametrize(("gigabytes", "fits"), [(24, False), (48, True)])
def test_memory_is_counted_against_the_gpus_that_are_here(
    wire, disk, tmp_path, monkeypatch, gigabytes, fits
):
    monkeypatch.setattr(check, "_gpus", lambda: [gigabytes * 2**30])
    one = {"training__launcher": "gpu-1", "training__processes": 1, "training__micro_batch": 1}
    book = paper(
        tmp_path / "run",
        models__base="Qwen/Qwen2.5-1.5B-Instruct",
        models__students=QWEN,
        training__sequence_parallel=1,
        **one,
    )
    wire.models += (book.models.base,)
    assert bool(missing(book)) != fits


def test_where_a_gpu_is_too_small_adapters_are_counted_as_a_remedy(
    wire, disk, tmp_path, monkeypatch
):
    monkeypatch.setattr(check, "_gpus", lambda: [48 * 2**30])
    seven = {"models__base": QWEN[0], "models__students": QWEN, "models__classifier": QWEN[0]}
    (line,) = (
        one
        for one in check.lines(load_profile("gpu", tmp_path / "run", **seven))
        if "GiB of memory" in one.what
    )
    assert line.what.startswith("137.2 GiB of memory for each process")
    assert line.problem.endswith("take a smaller models.base, or training.lora: 32 (39.1 GiB)")
    book = load_profile("gpu", tmp_path / "run", **seven, training__lora=32)
    assert not any("GiB of memory" in what for what in missing(book))
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    assert "pip install 's1lib[cluster]'" in missing(book)["peft, for adapters"].problem


def test_a_model_that_is_downloaded_needs_no_hub(nothing, tmp_path, monkeypatch):
    """Its configuration alone is not a model: a look at it had once been enough."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    book = load_profile("gpu", tmp_path / "run")
    folder = tmp_path / "models--Qwen--Qwen2.5-1.5B-Instruct"
    snapshot = folder / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("a" * 40)
    what = f"model {book.models.base}"
    for file, words, there in (
        ("config.json", "{}", False),
        ("model.safetensors.index.json", '{"weight_map": {"a": "1.safetensors"}}', False),
        ("1.safetensors", "", True),
    ):
        (snapshot / file).write_text(words)
        assert (what not in missing(book)) == there


def test_all_paid_chapters_share_the_cap(wire, disk, tmp_path):
    prices = [
        roles.estimate(paper(tmp_path / "run"), role, roles.stand_ins(60)).dollars
        for role in check.PAID.values()
    ]
    book = paper(tmp_path / "run", calls__max_dollars=1.01 * sum(prices[:2]))
    (line,) = missing(book).values()
    assert line.chapters == ("04",)
    assert "raise calls.max_dollars" in line.problem


QUESTIONS = pd.DataFrame({"question": ["What is 1+1?"], "solution": "2", "answer": "2"})


def test_a_paid_chapter_does_not_begin_where_something_is_missing(wire, tmp_path):
    wire.models = wire.models[:-1]  # the second student
    with pytest.raises(RunError, match=r"chapter 02 does not begin .*a server of Qwen/Qwen2.5-32B"):
        check.ready(paper(tmp_path / "run"), "02", QUESTIONS)
    check.ready(paper(tmp_path / "run"), "04", QUESTIONS)
    wire.status = 401
    with pytest.raises(RunError, match=r"chapter 04 does not begin .*mend key"):
        check.ready(paper(tmp_path / "run"), "04", QUESTIONS)
    assert set(wire.attempts) <= {"Say yes."}


def test_what_is_stored_or_played_here_needs_no_key(wire, tmp_path, monkeypatch):
    book = paper(tmp_path / "run", calls__batch_api=False)
    wire.say = lambda prompt, attempt: "11"
    roles.classifier(book)(QUESTIONS)
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    check.ready(book, "04", QUESTIONS)
    check.ready(load_profile("smoke", tmp_path / "other"), "02", QUESTIONS)


@pytest.mark.parametrize("chapter", check.PAID)
def test_the_notebook_of_a_paid_chapter_asks_before_its_role_does(chapter):
    (notebook,) = Path("notebooks").glob(f"{chapter}_*.ipynb")
    text = notebook.read_text(encoding="utf-8")
    assert (
        0
        < text.find(f'ready(book, \\"{chapter}\\"')
        < text.find(f"roles.{check.PAID[chapter]}(book)")
    )
