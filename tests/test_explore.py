"""What opens and moves on a page: read without a script, worked by keyboard, safe with any text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from browser import browser_needed
from made_up import BENCHMARKS, chapter_06

from s1lib import claims, explore, site, worlds
from s1lib.artifacts import write_json, write_table
from s1lib.decoding.local import TorchDecoder
from s1lib.decoding.record import Generation, write_record
from s1lib.results import FORCING, read_all, write_facts

HOSTILE = '<script>document.title = "taken"</script><img src=x onerror="document.title=1"> $x^2$ '
TRUNK = "first thought; second thought; third thought; " * 12
BUDGETS, WAITS = (16, 32, 64, 128, 256, 512), (0, 1, 2, 4, 6)
NATURAL = 100  # tokens, where thinking ends by itself

# Which settings are right, as budgets and waits.
PROBLEMS = {
    "more budget, then right": (lambda budget, waits: budget is None or budget >= 64),
    "a Wait repairs it": (lambda budget, waits: waits >= 2),
    "a Wait spoils it": (lambda budget, waits: not waits),
    "never right": (lambda budget, waits: False),
}


def sweep(tokenizer, benchmark: str, name: str, right) -> list[Generation]:
    """What a sweep leaves of one problem: every cell a beginning of the longest."""
    wait, own = tuple(tokenizer.encode("Wait")), tuple(tokenizer.encode(name + TRUNK))
    opening, runs = tuple(tokenizer.encode("think")), []
    for budget, waits in [*((b, 0) for b in BUDGETS), *((None, w) for w in WAITS)]:
        thinking, forced = own[:NATURAL], list(range(len(opening)))
        for _ in range(waits):
            forced += range(len(opening) + len(thinking), len(opening) + len(thinking) + len(wait))
            thinking += wait + own[:20]
        thinking = thinking[:budget]
        verdict = "correct" if right(budget, waits) else "wrong"
        text = f"Final Answer: {HOSTILE}{len(thinking)}"
        answer = tuple(tokenizer.encode(text))
        one = Generation(
            name, (1,), answer, opening, thinking, forced=tuple(forced), text=text, method=FORCING,
            benchmark=benchmark, budget=budget, waits=waits, wait="Wait" if waits else "",
            verdict=verdict,
        )  # fmt: skip
        runs.append(one)
    return runs


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_tokenizer, tiny_model) -> Path:
    """A run folder with what chapters 01 to 06 leave, as far as pages show it."""
    run = tmp_path_factory.mktemp("run")
    write_facts(run, "06", chapter_06(BENCHMARKS))
    tiny_tokenizer.save_pretrained(run / "models" / "s1")
    tiny_model.config.save_pretrained(run / "models" / "s1")
    record, tests = [], []
    for benchmark in BENCHMARKS:
        for name, right in PROBLEMS.items():
            record += sweep(tiny_tokenizer, benchmark, name, right)
            tests.append((benchmark, name, HOSTILE + name, "42"))
    write_record(run / "records" / "06.parquet", record)
    columns = ["benchmark", "id", "question", "answer"]
    write_table(run / "benchmarks.parquet", pd.DataFrame(tests, columns=columns))
    rows = [
        {"id": str(i), "question": f"{HOSTILE} question {i}", "attempt": HOSTILE, "answer": "4",
         "thinking_trajectories": [f"{HOSTILE} thought {i}"], "source_type": "world",
         "domain": "05" if i % 2 else "11"}
        for i in range(40)
    ]  # fmt: skip
    write_table(run / "s1K.parquet", pd.DataFrame(rows))
    titles = {"domain": ["05", "11"], "title": ["Combinatorics", "Number theory"]}
    write_table(run / "domains.parquet", pd.DataFrame(titles))
    ids = [row["id"] for row in rows]
    lengths = pd.DataFrame({"id": ids, "thinking_tokens": range(100, 140)})
    write_table(run / "traces.parquet", lengths)
    grades = {"id": ids, "who": "teacher", "verdict": ["wrong", *["correct"] * 39]}
    write_table(run / "grades.parquet", pd.DataFrame(grades))
    return run


def other_worlds(folder: Path) -> Path:
    """One world in which two Waits beat the base on one benchmark of two."""
    after = {"model": "s1", "method": FORCING, "waits": 2, "string": "Wait"}
    before = {"model": "base, in text", "method": "plain"}
    gaps = [{"value": 39.4, "ci95": [30, 50]}, {"value": -4.0, "ci95": [-9, 2]}]
    found = [{"after": after, "before": before, **gap} for gap in gaps]
    write_json(folder / "worlds" / "blind.json", {"differences": found})
    return folder / "worlds"


@pytest.fixture(scope="module")
def pages(run, tmp_path_factory) -> Path:
    """The three parts, each on a page with nothing else but the book's style."""
    folder, facts = tmp_path_factory.mktemp("pages"), read_all(run)
    style = (site.PAGES / "_static" / "explore.css").read_text(encoding="utf-8")
    parts = {
        "budgets": {"benchmarks": explore.budgets(run, facts)},
        "traces": explore.traces(run),
        "ledger": {"rows": claims.ledger(facts), "worlds": worlds.by_claim(other_worlds(folder))},
    }
    for name, data in parts.items():
        part = explore.render(site.PAGES, name, **data)
        page = f"<!DOCTYPE html><html lang=en><title>{name}</title><style>{style}</style>{part}"
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    return folder


def test_each_problem_shows_what_its_title_says(run):
    for part in explore.budgets(run, read_all(run)):
        shown = {one["shows"]: one["question"] for one in part["problems"]}
        assert list(shown) == list(PROBLEMS)
        assert all(question.endswith(title) for title, question in shown.items())


def test_the_pieces_of_a_trace_are_the_longest_trace_and_waits_are_marked(run, tiny_tokenizer):
    problem = explore.budgets(run, read_all(run))[0]["problems"][0]
    pieces = [piece for stop in problem["stops"] for piece in stop["pieces"]]
    assert [text for forced, text in pieces if forced] == ["Wait"] * 6
    whole = sweep(tiny_tokenizer, "", "more budget, then right", lambda *_: True)[-1].thinking
    assert "".join(text for _, text in pieces) == tiny_tokenizer.decode(whole)
    assert [stop["tokens"] for stop in problem["stops"]][:6] == [16, 32, 64, 100, 100, 100]


def test_a_problem_whose_traces_part_is_not_shown(run, tiny_tokenizer, tmp_path):
    for name in ("facts", "models", "benchmarks.parquet"):
        (tmp_path / name).symlink_to(run / name)
    whole = sweep(tiny_tokenizer, "mini-AIME", "never right", lambda *_: False)
    other = sweep(tiny_tokenizer, "mini-AIME", "a Wait spoils it", lambda *_: False)
    write_record(tmp_path / "records" / "06.parquet", whole)
    assert len(explore.budgets(tmp_path, read_all(run))) == 1
    parted = [*whole[:4], *(replace(one, id="never right") for one in other[4:])]
    write_record(tmp_path / "records" / "06.parquet", parted)
    assert explore.budgets(tmp_path, read_all(run)) == []


def test_a_page_holds_as_many_traces_as_can_be_opened_on_a_phone(run, monkeypatch):
    monkeypatch.setattr(explore, "LETTERS", 2000)
    shown = explore.traces(run)
    assert 1 < len(shown["rows"]) < shown["all"] == 40


def test_what_has_not_run_is_a_sentence(tmp_path):
    for name, data in (("budgets", {"benchmarks": explore.budgets(tmp_path, {})}),
                       ("traces", explore.traces(tmp_path))):  # fmt: skip
        assert "of this run has not" in explore.render(site.PAGES, name, **data)


@pytest.mark.parametrize("name", ["budgets", "traces", "ledger"])
def test_nothing_that_a_model_wrote_becomes_markup(pages, name):
    text = (pages / f"{name}.html").read_text(encoding="utf-8")
    assert "<script>document" not in text and "<img" not in text
    assert name == "ledger" or "&lt;script&gt;document" in text


def test_the_script_stands_on_no_page_by_itself():
    """Jupyter Book puts each `.js` below `_static` on all pages, as a script that is no module."""
    assert not list((site.PAGES / "_static").rglob("*.js"))


SEEN = """JSON.stringify([...document.querySelectorAll(SELECTOR)]
  .filter(e => e.checkVisibility()).map(e => (e.innerText ?? e.textContent).trim()))"""


def seen(browser, selector: str) -> list[str]:
    return json.loads(browser.run(SEEN.replace("SELECTOR", json.dumps(selector))))


@browser_needed
def test_budget_and_waits_are_moved_by_keyboard(browser, pages):
    told = browser.open(pages / "budgets.html")
    assert told["complaints"] == [] and told["title"] == "budgets"

    def stop() -> str:
        (answer,) = seen(browser, ".answer")
        assert browser.run("document.querySelector('output').textContent").startswith(answer[:20])
        return answer.split(":")[0]

    assert len(seen(browser, "[data-problem]")) == 1 and stop() == "budget 16, 16 tokens"
    browser.press("Tab", "Tab", "ArrowRight", "ArrowRight")
    assert stop() == "budget 64, 64 tokens" and len(seen(browser, "li")) == 3
    assert browser.run("document.querySelector('g.here').dataset.label") == "budget 64"
    browser.press("End")
    assert stop() == "no budget, 100 tokens"
    browser.press("Tab", "ArrowRight", "ArrowRight")
    assert stop().startswith("no budget, Wait ×2") and "Wait" in seen(browser, "mark")
    assert browser.run("document.activeElement.ariaValueText") == "no budget, Wait ×2"
    browser.run("document.querySelector('select').focus()")
    browser.press("ArrowDown")
    assert "a Wait repairs it" in seen(browser, "[data-problem]")[0]
    assert stop().startswith("no budget, Wait ×2") and "✓ right" in seen(browser, ".answer")[0]


@browser_needed
def test_traces_are_found_and_opened_by_keyboard(browser, pages):
    told = browser.open(pages / "traces.html")
    assert told["complaints"] == [] and len(seen(browser, "li")) == 40
    browser.press("Tab", *"question", " ", "7")
    assert [text.count("question 7") for text in seen(browser, "li")][:1] == [1]
    assert "4 of 40 traces match." in seen(browser, "output")
    browser.run("document.querySelector('li:not([hidden]) summary').focus()")
    browser.press("Enter")
    assert any("thought 7" in text for text in seen(browser, "li:not([hidden]) details[open]"))
    for name, choice, count in (("domain", "Number theory", 20), ("verdict", "wrong", 1)):
        browser.open(pages / "traces.html")
        browser.run(
            f"s = document.querySelector('[name={name}]'); s.value = '{choice}';"
            "s.dispatchEvent(new Event('input', {bubbles: true}))"
        )
        assert len(seen(browser, "li")) == count


@browser_needed
def test_a_claim_is_unfolded_by_keyboard(browser, pages):
    assert browser.open(pages / "ledger.html")["complaints"] == []
    assert seen(browser, "#C3 table") == []
    browser.run("document.querySelector('#C3 summary').focus()")
    browser.press("Enter")
    (rule, table) = seen(browser, "#C3 p")[0], seen(browser, "#C3 table")[0]
    assert rule.startswith("Rule. Fine-tuned") or rule.startswith("Rule. Largest minus smallest")
    assert "largest minus smallest budget, mini-AIME" in table and "✓ yes" in table
    browser.run("document.querySelector('#C1 summary').focus()")
    browser.press("Enter")
    (evidence, elsewhere) = seen(browser, "#C1 table")
    assert "s1 minus base" in evidence and "two Waits minus the base" in elsewhere
    assert "because it is wrong" in elsewhere and "+39 −4" in elsewhere
    assert seen(browser, "#C1 td b") == ["+39"]


@browser_needed
def test_without_scripts_all_of_it_is_there_to_read(browser, pages):
    browser.scripts(False)
    try:
        browser.open(pages / "budgets.html")
        assert len(seen(browser, "[data-problem]")) == 12 and len(seen(browser, ".answer")) == 132
        assert len(seen(browser, "svg")) == 3 and seen(browser, "form") == []
        browser.open(pages / "traces.html")
        assert len(seen(browser, "summary")) == 40 and seen(browser, "form") == []
        browser.open(pages / "ledger.html")
        assert len(seen(browser, "summary")) == 12
    finally:
        browser.scripts(True)


@browser_needed
def test_a_question_of_ones_own_is_moved_in_a_notebook(
    browser, tiny_model, tiny_tokenizer, tmp_path
):
    """Each output brings the script along; the controls of others stay as they are."""
    decoder = TorchDecoder(tiny_model, tiny_tokenizer, window=300, answer_tokens=20)
    said = [explore.live(decoder, f"{HOSTILE}7 + {n}?", (4, 8), (1, 2)).data for n in (1, 2)]
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><title>lab</title>{''.join(said)}")
    told = browser.open(tmp_path / "page.html")
    assert told["complaints"] == [] and told["title"] == "lab"

    def stops() -> list[str]:
        return [answer.split(",")[0] for answer in seen(browser, ".answer")]

    assert stops() == ["budget 4", "budget 4"]
    browser.press("Tab", "Tab", "ArrowRight")
    assert stops() == ["budget 8", "budget 4"]
    browser.press("Tab", "ArrowRight", "ArrowRight")
    assert stops()[0] == "no budget" and any("Wait" in forced for forced in seen(browser, "mark"))
    assert not any("right" in answer or "wrong" in answer for answer in seen(browser, ".answer"))
