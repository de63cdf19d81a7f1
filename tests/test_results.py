"""Numbers are typed: stamped when they are made, refused when nobody knows them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import all_facts

from s1lib import metrics, results
from s1lib.artifacts import RunError, read_json, write_json
from s1lib.profile import load_profile
from s1lib.results import (
    FORCING,
    Facts,
    Run,
    Setting,
    check,
    listing,
    pick,
    preset,
    read_all,
    write_facts,
)

S1, BASE = Setting(model="s1", method=FORCING), Setting(model="base", method="plain")
TESTS = pd.DataFrame(
    {
        "benchmark": ["b"] * 40,
        "id": [str(i) for i in range(40)],
        "metadata": [json.dumps({"family": "xy"[i % 2]}) for i in range(40)],
    }
)


@pytest.fixture
def facts(tmp_path) -> Facts:
    return Facts(load_profile("smoke", tmp_path), "06", TESTS)


def run(setting=S1, seed=0, benchmark="b", **more) -> Run:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(10, 90, 40).astype(float)
    right = (rng.random(40) < 0.5).astype(float)
    return Run(setting, benchmark, right, lengths, lengths + 5, **more)


def test_a_point_is_stamped_with_all_that_a_number_needs(facts):
    one = run()
    point = facts.point(one)
    assert (point.n, point.dtype, point.device, point.families) == (40, "float32", "cpu", 2)
    assert point.ci95[0] < point.value < point.ci95[1]
    assert point.thinking_tokens == pytest.approx(one.thinking_tokens.mean(), abs=0.01)
    assert point.tokens == pytest.approx(one.tokens.mean(), abs=0.01)
    assert facts["points"] == [json.loads(json.dumps(results.plain(point)))]


def test_without_known_families_problems_are_on_their_own(tmp_path):
    plain = Facts(load_profile("smoke", tmp_path), "06", TESTS.assign(metadata="{}"))
    verdicts = run().right
    assert plain.point(run()).ci95 == tuple(metrics.accuracy(verdicts)["ci95"])
    assert plain.point(run()).families is None


def test_a_difference_is_paired_and_knows_both_settings(facts):
    after, before = run(), run(BASE, 1)
    found = facts.difference(after, before)
    assert (found.after, found.before, found.measure) == (S1, BASE, "accuracy")
    assert found.value == pytest.approx(100 * (after.right - before.right).mean(), abs=0.01)
    longer = facts.difference(after, before, "thinking_tokens")
    gap = (after.thinking_tokens - before.thinking_tokens).mean()
    assert longer.value == pytest.approx(gap, abs=0.01)
    with pytest.raises(RunError, match="take one benchmark"):
        facts.difference(after, run(benchmark="c"))


def test_methods_are_compared_over_their_runs(facts):
    ours = [run(Setting(model="s1", method=FORCING, budget=b), b) for b in (16, 32, 64)]
    theirs = [run(Setting(model="t", method="toy", asked=str(b)), b + 1) for b in (16, 32)]
    best = facts.difference(ours, theirs, "performance")
    assert (best.after, best.before) == (S1, Setting(model="t", method="toy"))
    tops = [max(some, key=lambda one: one.right.mean()).right.mean() for some in (ours, theirs)]
    assert best.value == pytest.approx(100 * (tops[0] - tops[1]), abs=0.01)
    slope = facts.difference(ours, theirs, "scaling", runs="budgets")
    row = facts.method(ours, upper=[16, 32, 64])
    other = facts.method(theirs)
    assert slope.value == pytest.approx(row.scaling.value - other.scaling.value, abs=0.02)
    assert (row.control.of, row.control.n, row.method) == ("runs", 3, FORCING)


def test_an_estimate_gets_dtype_and_device_wherever_it_stands(facts):
    facts["built_in"] = [{"questions": "trap", **metrics.accuracy([1, 0, 1])}]
    assert facts["built_in"][0]["dtype"] == "float32" and facts["built_in"][0]["device"] == "cpu"
    facts["lost_to_wait"] = [{"problems": 3}]
    assert facts["lost_to_wait"] == [{"problems": 3}]


def test_what_is_written_is_read_back(facts, tmp_path):
    facts["fixed"] = S1
    facts.point(run())
    facts.add(facts.method([run()]))
    facts.write()
    back = read_all(tmp_path)
    assert back == {"06": read_json(tmp_path / "facts" / "06.json")}
    assert results.fixed(back) == S1
    assert [one.setting for one in results.points(back, model="s1")] == [S1]
    assert results.points(back, model="s2") == []
    assert [one.method for one in results.table_3(back)] == [FORCING]


def test_a_fact_that_no_type_knows_is_neither_written_nor_read(facts, tmp_path):
    facts["surprise"] = 3
    with pytest.raises(RunError, match=r"'surprise', which no type knows: declare it in s1lib"):
        facts.write()
    assert not (tmp_path / "facts").exists()
    write_json(tmp_path / "facts" / "05.json", {"surprise": 3})
    with pytest.raises(RunError, match="chapter 05 writes the fact 'surprise'"):
        read_all(tmp_path)


@pytest.mark.parametrize("chapter", ["01", "02", "03", "04", "05", "A1", "A2"])
def test_chapters_without_an_exam_write_nothing_unchecked_either(chapter, tmp_path):
    """They wrote what they liked, and chapter 10 was the first to say so."""
    with pytest.raises(RunError, match=f"chapter {chapter} writes the fact 'surprise'"):
        write_facts(tmp_path, chapter, {"surprise": 3})
    with pytest.raises(RunError, match="facts of chapter 05: steps: Input should be a valid int"):
        write_facts(tmp_path, "05", {"steps": "many"})
    assert not (tmp_path / "facts").exists()


def test_lengths_that_are_all_the_same_correlate_with_nothing():
    """A model that was trained on few samples may think equally long whatever is asked."""
    check("07", {"what_sets_the_length": {"the problem": 0.43, "the request": None}})


def test_where_nobody_knows_the_areas_the_classifier_has_no_accuracy():
    """Of questions of the hub nobody does, and chapter 10 once refused what chapter 04 had said."""
    check("04", {"classifier": None})


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"value": "high"}, r"points\.0\.value"),
        ({"value": None}, r"points\.0\.value"),
        ({"n": None}, r"points\.0\.n"),
        ({"ci95": [1.0]}, r"points\.0\.ci95"),
        ({"dtype": None}, r"points\.0\.dtype"),
        ({"accuracy": 3.0}, r"points\.0\.accuracy"),
    ],
)
def test_a_number_that_is_not_whole_is_refused_by_its_place(change, what):
    facts = all_facts()
    facts["06"]["points"][0] |= change
    with pytest.raises(RunError, match=f"facts of chapter 06: {what}"):
        check("06", facts["06"])


def test_a_chapter_that_nobody_declared_may_write_what_all_chapters_share(tmp_path):
    """A chapter 11 was ignored when nobody had declared it."""
    facts = all_facts()
    write_facts(tmp_path, "12", {"points": facts["06"]["points"]})
    assert len(results.points(read_all(tmp_path))) == len(facts["06"]["points"])


def test_one_run_is_picked_by_its_setting():
    runs = [run(), run(BASE)]
    assert pick(runs, BASE, "b") is runs[1]
    with pytest.raises(RunError, match="0 runs of s1, budget 8 on b: measure it once"):
        pick(runs, Setting(model="s1", method=FORCING, budget=8), "b")


def test_the_setting_fixed_in_advance_follows_the_profile():
    assert preset(load_profile("laptop")).waits == 2
    assert preset(load_profile("laptop", evaluation__waits=(1, 3))).waits == 3


def test_a_difference_of_zero_is_shown(facts):
    """Its column was left out as if nothing stood there."""
    assert list(listing([facts.difference(run(), run())])["value"]) == [0.0]


def test_runs_without_lengths_have_no_difference_of_lengths(facts):
    """They had one without a number, of one problem."""
    bare = replace(run(), thinking_tokens=None)
    with pytest.raises(RunError, match="runs on b have no lengths"):
        facts.difference(bare, bare, "thinking_tokens")


def test_settings_read_as_people_write_them(facts):
    assert str(Setting(model="s1", method=FORCING, waits=2)) == "s1, no string x2"
    assert str(Setting(model="base", method="majority vote", samples=8)) == (
        "base, majority vote, 8 samples"
    )
    assert str(Setting(model="s1", method="REBASE", samples=1)) == "s1, REBASE, 1 sample"
    table = listing([facts.difference(run(), run(BASE, 1))])
    assert table["after"][0] == "s1" and "measure" in table and "runs" not in table
