"""The ledger: rules that can fail, verdicts for whatever has run, and a README that agrees."""

from __future__ import annotations

import copy
import inspect
import json
import re

import pytest
from made_up import all_facts, difference, forced
from toybook import ROOT

from s1lib import claims, results
from s1lib.artifacts import RunError, read_json
from s1lib.claims import CLAIMS, NOT_REPLICATED, NOT_TESTABLE, REPLICATED
from s1lib.results import BASE, FORCING, MEAN, REBASE, write_facts


def verdicts(facts: dict[str, dict]) -> dict[str, str]:
    return {row["id"]: row["verdict"] for row in claims.ledger(facts)}


def test_there_are_twelve_claims_in_order():
    assert [claim.id for claim in CLAIMS] == [f"C{i}" for i in range(1, 13)]


def test_facts_like_the_papers_replicate_every_claim():
    assert set(verdicts(all_facts()).values()) == {REPLICATED}


def test_without_any_facts_no_claim_is_testable_and_each_still_shows_the_papers_number():
    rows = claims.ledger({})
    assert {row["verdict"] for row in rows} == {NOT_TESTABLE}
    assert all(row["why"].startswith("not run yet: chapter") for row in rows)
    assert all(isinstance(row["published"], float) for row in rows)


def test_a_chapter_that_has_not_run_takes_only_its_own_claims_with_it():
    facts = all_facts()
    del facts["08"]
    found = verdicts(facts)
    assert {name for name, verdict in found.items() if verdict == NOT_TESTABLE} == {"C8", "C9"}


def test_every_row_has_the_columns_of_the_ledger_and_is_plain_json():
    for facts in ({}, all_facts()):
        for row in claims.ledger(facts):
            assert {"id", "claim", "published", "recomputed", "measured", "ci95", "n", "rule",
                    "verdict"} <= set(row)  # fmt: skip
            assert json.loads(json.dumps(row, allow_nan=False)) == row


@pytest.mark.parametrize("seed", [1, 2])
def test_another_seed_has_the_verdicts_that_the_page_of_choices_tells(seed):
    """The same as the reference run's, but for C9, whose interval is near zero."""
    facts = results.read_all(ROOT / "results" / "laptop")
    before = verdicts(facts)
    for chapter in ("05", "06", "07", "08"):
        facts[chapter] = read_json(ROOT / "results" / "seeds" / f"{seed}" / f"{chapter}.json")
        results.check(chapter, facts[chapter])
    found = verdicts(facts)
    changed = {name: found[name] for name in found if found[name] != before[name]}
    assert changed == ({"C9": REPLICATED} if seed == 1 else {})
    rows = {row["id"]: row for row in claims.ledger(facts)}
    told = "{measured:.1f} [{ci95[0]:.1f}, {ci95[1]:.1f}]".format(**rows["C9"])
    assert told.replace("-", "−") in (ROOT / "jupyter_book" / "choices.md").read_text()


def weaken(row):
    row["ci95"] = [-0.1, row["value"] + 2]


def gaps(facts, chapter, benchmark="", **fields):
    """The differences of a chapter with these fields in `after` or `before`, to be changed."""
    found = [
        row
        for row in facts[chapter]["differences"]
        if benchmark in ("", row["benchmark"])
        and all((row["after"].get(k), row["before"].get(k)) == v for k, v in fields.items())
    ]
    assert found
    return found


def method(facts, name):
    return next(row for row in facts["07"]["methods"] if row["method"] == name)


def break_c1(facts):
    weaken(gaps(facts, "06", "mini-GPQA", model=("s1", "base"))[0])


def break_c2(facts):
    facts["06"]["control"]["value"] = 99.0


def break_c3(facts):
    weaken(gaps(facts, "06", "mini-MATH", budget=(512, 16))[0])


def break_c4(facts):
    for row in gaps(facts, "06", waits=(2, None), method=(FORCING, FORCING)):
        weaken(row)


def break_c5(facts):
    for row in gaps(facts, "09", model=("s1K", "longest")):
        weaken(row)


def break_c6(facts):
    method(facts, "rejection sampling")["performance"]["value"] = 58.0


def break_c7(facts):
    method(facts, "rejection sampling")["scaling"]["ci95"] = [-30.0, 0.0]


def break_c8(facts):
    for row in gaps(facts, "08", model=("s1", "base")):
        weaken(row)


def break_c9(facts):
    weaken(gaps(facts, "08", method=(REBASE, FORCING))[0])


def break_c10(facts):
    method(facts, "token-conditional")["control"]["value"] = 100.0


def break_c11(facts):
    (mean,) = (row for row in facts["09"]["gains"] if row["benchmark"] == MEAN)
    mean["value"] = 79.9


def break_c12(facts):
    for row in gaps(facts, "09", model=("cut", "s1K")):
        if row.get("measure"):
            row["ci95"] = [-10.0, 20.0]


@pytest.mark.parametrize("number", range(1, 13))
def test_every_rule_can_fail_by_itself(number):
    facts = all_facts()
    globals()[f"break_c{number}"](facts)
    found = verdicts(facts)
    assert found.pop(f"C{number}") == NOT_REPLICATED
    assert set(found.values()) == {REPLICATED}


def test_wait_must_also_beat_no_string():
    facts = all_facts()
    for row in gaps(facts, "06", waits=(2, 2)):
        weaken(row)
    assert verdicts(facts)["C4"] == NOT_REPLICATED


def test_wait_must_also_flatten():
    facts = all_facts()
    for one in facts["06"]["points"]:
        if one["setting"].get("waits") == 6:
            one["value"] = 99.0
    assert verdicts(facts)["C4"] == NOT_REPLICATED


def test_two_of_three_benchmarks_are_not_all_three():
    facts = all_facts()
    rows = facts["06"]["differences"]
    facts["06"]["differences"] = [row for row in rows if row["benchmark"] != "mini-GPQA"]
    assert verdicts(facts)["C1"] == NOT_REPLICATED


def test_one_benchmark_with_three_formats_of_the_base_is_not_three_benchmarks():
    """Comparisons were counted, and the base is asked in three formats on each benchmark."""
    facts = all_facts()
    rows = gaps(facts, "06", "mini-AIME", model=("s1", "base"))
    facts["06"]["differences"] += [
        {**row, "before": {**row["before"], "model": base}} for row in rows for base in BASE[1:]
    ]
    for name in ("mini-MATH", "mini-GPQA"):
        for row in gaps(facts, "06", name, model=("s1", "base")):
            facts["06"]["differences"].remove(row)
    assert verdicts(facts)["C1"] == NOT_REPLICATED


def test_a_vote_without_an_interval_is_not_known_to_lose():
    facts = all_facts()
    gaps(facts, "08", "mini-AIME", model=("s1", "base"))[0] |= {"value": None, "ci95": None}
    assert verdicts(facts)["C8"] == NOT_REPLICATED


def test_a_benchmark_without_the_last_wait_flattens_nothing():
    """The end of the curve was the mean of those that had one."""
    facts = all_facts()
    facts["06"]["points"] = [
        one
        for one in facts["06"]["points"]
        if one["benchmark"] != "mini-GPQA" or one["setting"].get("waits", 0) <= 2
    ]
    assert verdicts(facts)["C4"] == NOT_TESTABLE


def test_the_full_pool_may_not_be_much_better_than_the_selected_thousand():
    facts = all_facts()
    gaps(facts, "09", model=("full", "s1K"))[0]["value"] = 8.0
    assert verdicts(facts)["C5"] == NOT_REPLICATED


def test_voting_that_wins_somewhere_refutes_sequential_scaling():
    facts = all_facts()
    lost = gaps(facts, "08", "mini-AIME", model=("s1", "base"))[0]
    lost |= {"value": -6.0, "ci95": [-8.0, -4.0]}
    assert verdicts(facts)["C8"] == NOT_REPLICATED


def test_a_row_quotes_the_decisive_comparison_with_the_least_room():
    facts = all_facts()
    close = gaps(facts, "06", "mini-MATH", model=("s1", "base"))[0]
    close.update(value=3.0, ci95=[1.0, 5.0])
    row = claims.ledger(facts)[0]
    assert (row["measured"], row["ci95"], row["n"]) == (3.0, [1.0, 5.0], 300)
    assert row["what"].endswith("mini-MATH")
    assert row["published"] == pytest.approx(9.0)
    assert row["recomputed"] == pytest.approx(9.0)  # two Waits, as here


def test_a_failed_claim_quotes_what_failed():
    facts = all_facts()
    break_c1(facts)
    row = claims.ledger(facts)[0]
    assert row["what"].endswith("mini-GPQA")


def test_facts_with_more_in_them_than_asked_for_change_nothing():
    facts = all_facts()
    richer = copy.deepcopy(facts)
    other = difference(forced(waits=4), forced(waits=1), "mini-AIME", -50.0)
    richer["06"]["differences"].append(other)
    assert verdicts(richer) == verdicts(facts)


@pytest.mark.parametrize("chapter", ["06", "07", "08", "09"])
def test_a_chapter_that_ran_and_holds_no_evidence_is_an_error(chapter):
    """A comparison that the notebook had renamed made its claim "not testable here"."""
    facts = all_facts()
    for name in ("differences", "methods", "gains"):
        facts[chapter].pop(name, None)
    with pytest.raises(RunError, match=f"although chapter {chapter} has run: make it again"):
        claims.ledger(facts)


def test_a_share_of_no_gain_and_a_slope_of_equal_lengths_count_as_nothing():
    """The ledger showed them as 0.0, as if somebody had measured that."""
    facts = all_facts()
    for row in facts["09"]["gains"]:
        row |= {"value": None, "ci95": None}
    method(facts, "rejection sampling")["scaling"] |= {"value": None, "ci95": None}
    found = verdicts(facts)
    assert found["C6"] == found["C7"] == found["C11"] == NOT_REPLICATED
    assert NOT_TESTABLE not in found.values()
    rows = claims.ledger(facts)
    lines = dict(zip(found, claims.markdown(rows).splitlines()[2:], strict=True))
    for row in rows:
        assert (row["measured"] is None) == (row["id"] in ("C6", "C7", "C11"))
    assert " | –, n = 300 problems<br>Scaling of rejection sampling" in lines["C7"]
    assert " | –, n = 300 problems<br>share of the gain" in lines["C11"]
    assert all(piece["measured"] is None for piece in rows[10]["evidence"])


@pytest.mark.parametrize("without", ["budget forcing", "token-conditional + forcing"])
def test_a_method_without_a_slope_is_not_one_of_slope_zero(without):
    """Missing slopes counted as 0: budget forcing had one against which falling rivals lost."""
    facts = all_facts()
    for name in ("budget forcing", "token-conditional + forcing"):
        method(facts, name)["scaling"] |= {"value": -5.0, "ci95": [-8.0, -2.0]}
    method(facts, without)["scaling"] |= {"value": None, "ci95": None}
    (row,) = (row for row in claims.ledger(facts) if row["id"] == "C6")
    assert (row["verdict"], row["measured"]) == (NOT_REPLICATED, None)
    assert row["what"].startswith("Scaling, minus")


def test_a_bound_from_above_is_not_kept_by_what_was_not_measured():
    """A missing number counted as 0, which is below 5 points and below 100%."""
    facts = all_facts()
    gaps(facts, "09", model=("full", "s1K"))[0] |= {"value": None, "ci95": None}
    method(facts, "token-conditional")["control"]["value"] = None
    found = verdicts(facts)
    assert found["C5"] == found["C10"] == NOT_REPLICATED


def test_without_more_than_two_waits_nothing_can_flatten():
    facts = all_facts()
    facts["06"]["points"] = [
        one for one in facts["06"]["points"] if one["setting"].get("waits", 0) <= 2
    ]
    found = verdicts(facts)
    assert [name for name, verdict in found.items() if verdict == NOT_TESTABLE] == ["C4"]


def test_a_row_says_what_its_n_counts_and_what_is_met_by_construction():
    rows = {row["id"]: row for row in claims.ledger(all_facts())}
    assert {rows["C2"]["of"], rows["C10"]["of"]} == {"runs"}
    assert rows["C1"]["of"] == "problems"
    assert [name for name, row in rows.items() if row["built_in"]] == ["C2", "C3", "C10"]
    assert [name for name, row in rows.items() if row["built_in_part"]] == ["C12"]
    lines = claims.markdown(rows.values()).splitlines()
    assert "n = 30 runs<br>" in lines[3] and "replicated, by construction |" in lines[3]
    assert "n = 300 problems<br>" in lines[2] and "construction" not in lines[2]
    assert "replicated, in part by construction |" in lines[13]


def test_a_claim_of_which_only_a_part_is_built_in_can_fail():
    """Models trained on cut traces think to the cut and beyond; their answers need not be worse."""
    facts = all_facts()
    for row in gaps(facts, "09", model=("cut", "s1K")):
        if not row.get("measure"):
            row["ci95"] = [-3.0, 1.0]
    (row,) = (row for row in claims.ledger(facts) if row["id"] == "C12")
    assert row["verdict"] == NOT_REPLICATED and not row["what"].startswith("thinking")


def test_every_number_of_the_paper_is_read_from_its_file():
    source = inspect.getsource(claims)
    typed = re.findall(r"(?<![\w.])\d+\.\d+", source.partition("CLAIMS = (")[0])
    assert set(typed) <= {"0.0"}


def test_the_ledger_is_written_from_the_facts_of_a_run(tmp_path):
    for chapter, content in all_facts().items():
        write_facts(tmp_path, chapter, content)
    rows = read_json(claims.write_claims(tmp_path))
    assert rows == claims.ledger(all_facts())


def test_the_ledger_reads_as_a_table():
    lines = claims.markdown(claims.ledger(all_facts())).splitlines()
    assert len(lines) == 14
    assert {line.count(" | ") for line in lines[2:]} == {5}
    assert "✓\u00a0replicated" in lines[2]


def test_a_lost_comparison_of_data_sets_quotes_the_set_that_was_not_beaten():
    facts = all_facts()
    for row in gaps(facts, "09", model=("s1K", "longest")):
        row |= {"value": -2.0, "ci95": [-4.0, 0.0]}
    (row,) = (row for row in claims.ledger(facts) if row["id"] == "C5")
    assert row["verdict"] == NOT_REPLICATED and row["what"].startswith("s1K minus longest")
