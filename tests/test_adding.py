"""The page "Add a method, a benchmark, a base model, a provider", followed to the letter."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from made_up import BENCHMARKS, all_facts
from test_engine import decoder
from wire import Wire

from s1lib import benchmarks, claims, figures
from s1lib.benchmarks import Benchmark, Part, problems
from s1lib.decoding import Forcing, Sampling, cells, load_decoder
from s1lib.decoding.record import grade_record, to_table
from s1lib.evaluation import runs
from s1lib.exhibits import EXHIBITS, make
from s1lib.profile import load_profile
from s1lib.providers.prices import _list
from s1lib.questions import collection
from s1lib.results import Facts, check
from s1lib.world import sources as world

__all__ = ["decoder"]

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "jupyter_book" / "adding.md").read_text(encoding="utf-8")
HUB, WORLD, MODULE, CELL, CLIENT = re.findall(r"```python\n(.*?)```", PAGE, re.S)
(PRICE,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
OF_DATA = {"figure_2_left", "lengths", "funnel", "loss", "table_6", "table_7"}


def built(call: ast.expr, kinds: dict):
    """What a call of literals and of these kinds makes; nothing else is run."""
    if not isinstance(call, ast.Call):
        return ast.literal_eval(call)
    values = [built(value, kinds) for value in call.args]
    named = {one.arg: built(one.value, kinds) for one in call.keywords}
    return kinds[call.func.id](*values, **named)


@pytest.fixture
def aime26(monkeypatch) -> Benchmark:
    """The line for the hub, added to the table."""
    kinds = {"Benchmark": Benchmark, "Part": Part}
    entry = built(ast.parse(HUB.strip().rstrip(",")).body[0].value, kinds)
    for module in (benchmarks, collection):
        monkeypatch.setattr(module, "BENCHMARKS", (*benchmarks.BENCHMARKS, entry))
    return entry


@pytest.fixture
def mini_new(monkeypatch) -> str:
    """The entry for the world, added to its table."""
    (key,), (value,) = (lambda found: (found.keys, found.values))(
        ast.parse(f"{{{WORLD}}}").body[0].value
    )
    monkeypatch.setitem(world.BENCHMARKS, key.value, built(value, {"Source": world.Source}))
    return key.value


@pytest.mark.parametrize("name", ["aime26", "mini-NEW"])
def test_a_new_benchmark_appears_in_every_table_and_figure_and_in_the_ledger(
    name, aime26, tmp_path
):
    figures.style()
    facts = all_facts((*BENCHMARKS, name))
    for exhibit in EXHIBITS.keys() - OF_DATA:
        make(exhibit, facts, tmp_path)
        shown = (tmp_path / "figures" / f"{exhibit}.csv").read_text()
        assert name in shown, exhibit
    evidence = {
        row["id"]: [piece["what"] for piece in row["evidence"]] for row in claims.ledger(facts)
    }
    missing = {key for key, what in evidence.items() if not any(name in one for one in what)}
    assert missing == {"C2", "C6"}  # about all runs, and about the methods of one benchmark


def test_a_benchmark_beside_the_papers_aime_loses_neither():
    """AIME24 = 10.0 and AIME25 = 99.0 gave one row, AIME24 = 99.0."""
    facts = all_facts(("aime24", "aime25", "olympiad"))
    table = EXHIBITS["table_1"].table(facts).set_index("model")
    assert list(table.columns[-2:]) == ["AIME25", "olympiad"]
    assert (table.loc["base", ["AIME24", "AIME25", "olympiad"]] != "–").all()
    printed = EXHIBITS["table_5"].table(facts).query("origin == 'published'")
    assert printed["AIME25"].iloc[0] != "–" and printed["olympiad"].iloc[0] == "–"


def test_a_benchmark_of_the_hub_needs_its_line_and_the_profile(aime26):
    def load(hub: str, part: Part) -> list[dict]:
        assert (hub, part) == (aime26.source, aime26.part)
        return [{"problem": "Find n.", "answer": 70}]

    table = collection.benchmarks(load_profile("paper", questions__benchmarks=("aime26",)), load)
    assert table.iloc[0][["benchmark", "answer", "answer_type"]].tolist() == [
        "aime26",
        "70",
        "integer",
    ]


def measured(decoder, tests: pd.DataFrame, facts: Facts) -> None:
    """What chapter 06 does with its benchmarks."""
    exam = problems(tests, decoder.tokenizer)
    wanted = cells([4, 8], [1, 2], Forcing(wait="Wait"))
    swept = grade_record(decoder.sweep(exam, wanted, Sampling()), exam)
    for run in runs(to_table(swept), tests):
        facts.point(run)


def test_a_benchmark_of_the_world_needs_its_entry_and_the_profile(mini_new, decoder, tmp_path):
    wanted = ("mini-AIME", mini_new)
    book = load_profile("smoke", tmp_path, questions__benchmarks=wanted, questions__problems=4)
    tests = collection.benchmarks(book)
    assert list(dict.fromkeys(tests["benchmark"])) == list(wanted)
    facts = Facts(book, "06", tests)
    measured(decoder, tests, facts)
    facts["fixed"] = {"model": "", "method": "budget forcing", "waits": 2, "string": "Wait"}
    facts["fixed"] = {**facts["fixed"], "model": facts["points"][0]["setting"]["model"]}
    check("06", facts)
    table = EXHIBITS["figure_1"].table({"06": facts})
    assert set(wanted) < set(table["benchmark"])


def test_a_new_method_appears_in_table_3_in_a_figure_and_in_the_record(decoder, tmp_path):
    file = tmp_path / "words.py"
    file.write_text(MODULE)
    spec = importlib.util.spec_from_file_location("words", file)
    words = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(words)
    book = load_profile("smoke", tmp_path, questions__problems=4)
    tests = collection.benchmarks(book)
    exam = tests[tests["benchmark"] == "mini-AIME"]
    facts = Facts(book, "07", tests)
    asked: list = []
    here = {"s1": decoder, "exam": exam, "facts": facts, "asked": asked, "runs": runs,
            "to_table": to_table, "ask_words": words.ask_words}  # fmt: skip
    exec(compile(CELL, "adding.md", "exec"), here)
    facts.write()
    assert {one.method for one in asked} == {words.METHOD} and len(asked) == 8
    both = all_facts() | {"07": dict(facts)}
    row = EXHIBITS["table_3"].table(both).set_index("method").loc[words.METHOD]
    assert row["benchmark"] == "AIME24" and row["Control, measured"]
    drawn = EXHIBITS["rivals"].table(both)
    assert (drawn["method"] == words.METHOD).sum() == 2
    assert "budget forcing" in set(drawn["method"])


def test_a_base_model_needs_the_profile_alone(tiny_model_path, tmp_path):
    book = load_profile("smoke", tmp_path, models__base=str(tiny_model_path))
    (said,) = load_decoder(book.models.base, book).generate([[5, 6]])
    assert said.ids


def test_a_provider_needs_its_module_and_its_prices(tmp_path, monkeypatch):
    """It had to be named in four places."""
    package = tmp_path / "s1lib"
    shutil.copytree(
        ROOT / "s1lib", package, ignore=shutil.ignore_patterns("weights", "__pycache__")
    )
    with open(package / "providers" / "prices.yaml", "a", encoding="utf-8") as prices:
        prices.write(PRICE)
    ((model, price),) = yaml.safe_load(PRICE).items()
    monkeypatch.setitem(_list()["models"], model, price)  # for the server, which sends a bill
    played = {"roles__grader": "mistral", "models__grader": model, "calls__max_dollars": 1.0}
    row = {"question": "1+1?", "solution": "2", "answer": "2", "attempt": "2"}
    code = f"""
import pandas as pd
from s1lib import roles
from s1lib.profile import load_profile

book = load_profile("smoke", "{tmp_path}", **{played})
print(roles.grader(book)(pd.DataFrame([{row}])), roles.trial(book, "grader"))
"""
    with Wire(models=(model,), say=lambda prompt, attempt: "Yes") as wire:
        module = package / "providers" / "clients" / "mistral.py"
        module.write_text(CLIENT.replace("https://api.mistral.ai", wire.url))
        own: dict = {"env": {**os.environ, "PYTHONPATH": "", "MISTRAL_API_KEY": "any"}}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, **own)
    assert done.stdout.endswith("['correct'] \n"), done.stdout + done.stderr


def test_every_file_and_setting_that_the_page_names_is_there():
    files = re.findall(r"`(s1lib/[\w./]+|notebooks/[\w.]+)`", PAGE)
    assert files and all((ROOT / name).exists() for name in files)
    book = load_profile("laptop")
    for section, name in re.findall(r"`(questions|models|roles|training)\.(\w+)`", PAGE):
        assert hasattr(getattr(book, section), name)
