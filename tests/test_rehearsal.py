"""The dress rehearsal: every chapter of `gpu` and of `paper`, small, by the real runner.

`make rehearse` runs it. Sizes, folders and launchers are other than in the profiles, and what a
machine has not got is played: tiny models stand for those of the hub, local servers for Gemini,
Claude and `vllm serve`. Everything else is what will run on the cluster.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from book_fixtures import execute
from rehearsal import hub, models
from rehearsal.server import Served
from two_nodes import cluster, missing
from wire import Wire

from s1lib.__main__ import main
from s1lib.artifacts import read_json
from s1lib.claims import NOT_TESTABLE, ledger
from s1lib.providers.store import Store
from s1lib.results import check, read_all
from s1lib.run.graph import read_graph

pytestmark = pytest.mark.rehearsal

WINDOW = 2048  # the list of areas that the classifier reads is 1,600 tokens long here
SIZES: dict[str, dict[str, Any]] = {
    "models": {"limits": {"student": 384, "classifier": 16}},
    "selection": {"size": 24, "uniform": 16, "direct_tokens": 200},
    "training": {"max_length": 640, "save_every": 5},
    "evaluation": {
        "budgets": [16, 32, 64, 128, 256],
        "waits": [1, 2, 4],
        "window": WINDOW,
        "answer_tokens": 64,
    },
    "methods": {"tokens": [32, 128], "steps": [4, 16], "rejection": [32, 64, 128], "samples": 4},
    "search": {"votes": 4, "width": 4, "questions": 16, "samples": 2},
    "ablations": {"examples": [16]},
}
CHAPTERS = [chapter.number for chapter in read_graph(Path()) if chapter.number.isdigit()]
KEYS = ("GEMINI_API_KEY", "ANTHROPIC_API_KEY")


def profile(home: Path, name: str, **own: dict[str, Any]) -> list[str]:
    """The arguments that name a small profile of this kind, and its run folder."""
    sections = {key: SIZES.get(key, {}) | own.get(key, {}) for key in {*SIZES, *own}}
    file = home / f"{name}.yaml"
    file.write_text(yaml.safe_dump({"extends": name, **sections}))
    return ["--profile", str(file), "--run", str(home / name)]


def run(arguments: list[str]) -> None:
    """What a user does: look what is missing, and begin if nothing is."""
    assert main(["check", *arguments]) == 0
    execute(*arguments, "--to", CHAPTERS[-1])


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Path]:
    """The folder of everything, the hub's cache included."""
    folder = tmp_path_factory.mktemp("rehearsal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HOME", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def players(home) -> dict[str, Any]:
    """The base model, and two students; of the same weights, since names tell students apart."""
    base = models.qwen(home / "models" / "large")
    return {"base": base, "students": [str(shutil.copytree(base, home / "models" / "small")), base]}


@pytest.fixture(scope="module")
def gpu(home, players) -> Path:
    """The run folder of `gpu`. GPQA is gated: there is no copy of it here."""
    folder = home / "published"
    hub.published(folder)
    hub.benchmarks(folder)
    vllm = find_spec("vllm") is not None
    print("\ngpu decodes with", "vLLM" if vllm else "the torch engine, since no vLLM is installed")
    parrot = models.parrot(models.tokenizer(), home / "models" / "parrot")
    run(
        profile(
            home,
            "gpu",
            questions={"folder": str(folder), "pool": 96},
            roles={"decoder": "vllm" if vllm else "torch"},
            models={**SIZES["models"], **players, "classifier": parrot},
            training={"launcher": "cpu"},
        )
    )
    return home / "gpu"


def spoken(prompt: str, attempt: int) -> str:
    """What Gemini and Claude say: attempts, grades, areas, and at times what nobody can read."""
    number = sum(prompt.encode())
    if "# Reference" in prompt:
        said = "Yes" if number % 5 == 0 else "No"
    elif prompt.startswith("# Question"):
        said = ("11", "51", "60", "05")[number % 4]
    else:
        return f"We find $\\boxed{{{number % 12}}}$."
    return "I cannot say." if number % 7 == attempt else f"Let me see.\n\n{said}"


@pytest.fixture(scope="module")
def providers() -> Iterator[Wire]:
    """Gemini and Claude with the models of the paper, some prompts refused or left empty."""
    with Wire(
        models=("gemini-2.0-flash-thinking-exp", "claude-3-5-sonnet-20241022"),
        refused=0.03,
        empty=0.03,
        batch_looks=1,
        say=spoken,
        think=lambda prompt: hub.thought(prompt, "12", 1 + len(prompt) % 17),
    ) as wire:
        yield wire


@pytest.fixture(scope="module")
def nodes() -> dict[str, str]:
    """The environment in which Slurm is reached, once there is one."""
    return {}


@pytest.fixture(scope="module")
def paper(home, players, providers, nodes) -> Iterator[Path]:
    """The run folder of `paper`, trained on two nodes, or else by two processes."""
    folder = home / "hub"
    hub.questions(folder)
    hub.benchmarks(folder)
    lacks = missing()
    print("\npaper trains", f"by two processes here, since no {lacks} is" if lacks else "on Slurm")
    arguments = profile(
        home,
        "paper",
        questions={"folder": str(folder)},
        models={**SIZES["models"], **players, "limits": {"student": 384}},
        training={
            **SIZES["training"],
            "launcher": "cpu-2" if lacks else "cpu-2x1",
            "processes": 2,
            "sequence_parallel": 2,
        },
        search={**SIZES["search"], "reward": models.reward(home / "models" / "reward")},
    )

    def served() -> list[str]:
        trained = (home / "paper" / "models").glob("*/config.json")
        return [*players["students"], *(str(file.parent) for file in trained)]

    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        server = stack.enter_context(Served(served, WINDOW, "bfloat16"))
        if not lacks:
            (home / "slurm").mkdir()
            nodes |= stack.enter_context(cluster(home / "slurm"))
        own = {**dict.fromkeys(KEYS, "a-key-for-the-test"), "S1_SERVER": server.url}
        own |= {"GOOGLE_GEMINI_BASE_URL": providers.url, "ANTHROPIC_BASE_URL": providers.url}
        for name, value in {**nodes, **own}.items():
            patch.setenv(name, value)
        run(arguments)
        yield home / "paper"


@pytest.fixture(params=["gpu", "paper"])
def book(request) -> Path:
    return request.getfixturevalue(request.param)


def test_every_chapter_says_only_what_the_book_knows(book):
    assert sorted(read_all(book)) == [number for number in CHAPTERS if number != "10"]
    for chapter in CHAPTERS:
        check(chapter, read_json(book / "facts" / f"{chapter}.json"))


def test_every_claim_is_decided(book):
    rows = ledger(read_all(book))
    assert not [row["id"] for row in rows if row["verdict"] == NOT_TESTABLE]


def test_no_notebook_shows_what_is_no_number(book):
    for notebook in (book / "notebooks").glob("*.ipynb"):
        assert "&lt;NA&gt;" not in notebook.read_text(encoding="utf-8"), notebook.name


# --- what is special about `gpu`


def test_questions_are_the_authors_with_the_sources_of_today(gpu):
    questions = pd.read_parquet(gpu / "questions.parquet")
    assert {"MATH", "NuminaMATH", "AIME", "TheoremQA", "GPQA"} <= set(questions["source"])
    assert set(questions["source_type"][questions["source"] == "MATH"]) == {
        "simplescaling/openaimath/Algebra"
    }
    assert (questions["answer"].notna() == questions["source"].isin(("AIME", "TheoremQA"))).all()


def test_a_gated_benchmark_is_said_and_gone_on_without(gpu):
    tests = pd.read_parquet(gpu / "benchmarks.parquet")
    assert set(tests["benchmark"]) == {"math500", "aime24", "aime25"}
    shown = (gpu / "notebooks" / "01_collection.ipynb").read_text()
    assert "without gpqa_diamond: " in shown


def test_traces_are_the_authors_and_nobody_was_asked(gpu):
    traces = pd.read_parquet(gpu / "traces.parquet")
    assert set(traces["status"]) == {"ok"}
    assert set(traces["teacher"]) == {"gemini-2.0-flash-thinking-exp"}
    assert traces["thinking"].str.contains("Wait, once more").all()
    assert not (gpu / "store" / "calls.sqlite").exists()


def test_what_is_not_published_is_graded_and_filed_here(gpu):
    grades = pd.read_parquet(gpu / "grades.parquet")
    assert {"correct", "wrong"} <= set(grades["verdict"])
    assert set(pd.read_parquet(gpu / "domains.parquet")["domain"]) == {models.SAID}


def test_the_set_is_the_authors_whatever_our_grades_say_of_it(gpu):
    assert set(pd.read_parquet(gpu / "draws.parquet")["phase"]) == {"direct"}
    facts = json.loads((gpu / "facts" / "04.json").read_text())
    assert facts["right_traces"]["value"] == 50.0
    for name in ("random", "diverse", "longest"):
        assert len(pd.read_parquet(gpu / "sets" / f"{name}.parquet")) == 24


# --- what is special about `paper`


def test_all_sixteen_sources_are_read_as_the_hub_lays_them_out(paper):
    questions = pd.read_parquet(paper / "questions.parquet")
    removals = pd.read_parquet(paper / "removals.parquet")
    assert len({*questions["source"], *removals["source"]}) == 16


def test_every_prompt_was_paid_once_and_the_books_agree(paper, providers):
    """A hundredth of a cent or two went to the questions of one word that `check` asks."""
    with Store(paper / "store" / "calls.sqlite", write=False) as store:
        assert store.settled() == pytest.approx(providers.billed, abs=0.01)
    statuses = set(pd.read_parquet(paper / "traces.parquet")["status"])
    assert {"ok", "refused"} <= statuses


def test_every_model_was_trained_by_a_job_of_its_own(paper, nodes):
    if not nodes:
        pytest.skip("no Slurm is here")
    shown = [path.read_text(encoding="utf-8") for path in (paper / "notebooks").glob("*.ipynb")]
    trained = list((paper / "models").glob("*/job.json"))
    assert sum(text.count("$ sbatch --nodes=2 ") for text in shown) == len(trained) == 9
