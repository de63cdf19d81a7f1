"""The ledger: rules that can fail, verdicts for whatever has run, and a README that agrees."""

from __future__ import annotations

import copy
import json

import pytest
from test_figures import BENCHMARKS, chapter_facts, difference, estimate

from s1lib import claims
from s1lib.artifacts import read_json, write_facts
from s1lib.claims import CLAIMS, NOT_REPLICATED, NOT_TESTABLE, REPLICATED

METHODS = (
    # method, Control, Scaling, Performance
    ("budget forcing", 100.0, 15.0, 57.0),
    ("token-conditional", 40.0, -24.0, 40.0),
    ("token-conditional + forcing", 100.0, 13.0, 40.0),
    ("class-conditional", 50.0, 25.0, 37.0),
    ("rejection sampling", 100.0, -30.0, 40.0),
)


def all_facts() -> dict[str, dict]:
    """Facts of nine chapters in which everything went as in the paper."""
    facts = chapter_facts()
    facts["07"] = {
        "table_3": [
            {
                "method": name,
                "control": {"value": control, "n": 5},
                "scaling": {"value": slope, "ci95": [slope - 3, slope + 3], "n": 300},
                "performance": {"value": best, "ci95": [best - 5, best + 5], "n": 300},
            }
            for name, control, slope, best in METHODS
        ]
    }
    facts["08"] = {
        "differences": [
            difference("sequential minus majority at equal tokens", "mini-GPQA", 6.0),
            difference("REBASE minus best sequential", "mini-AIME", 4.0),
        ]
    }
    facts["09"] = {
        "differences": [
            difference(what, name, value)
            for what, value in (
                ("s1K minus random", 4.0),
                ("s1K minus diverse", 5.0),
                ("s1K minus longest", 3.0),
                ("full minus s1K", 1.0),
                ("cut minus whole", -9.0),
                ("thinking tokens, cut minus whole", 60.0),
            )
            for name in BENCHMARKS
        ],
        "sample_efficiency": [
            {"benchmark": name, "examples": n, **estimate(correct)}
            for name in BENCHMARKS
            for n, correct in ((0, 60), (100, 120), (1000, 190), (4000, 200))
        ],
    }
    return facts


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


def change(facts, chapter, key, **where):
    """The rows of a fact that match, to be changed in place."""
    rows = [r for r in facts[chapter][key] if all(r[k] == v for k, v in where.items())]
    assert rows
    return rows


def weaken(row):
    row["ci95"] = [-0.1, row["value"] + 2]


def break_c1(facts):
    weaken(change(facts, "06", "differences", what="s1 minus base", benchmark="mini-GPQA")[0])


def break_c2(facts):
    facts["06"]["control"]["value"] = 99.0


def break_c3(facts):
    what = "largest minus smallest budget"
    weaken(change(facts, "06", "differences", what=what, benchmark="mini-MATH")[0])


def break_c4(facts):
    for row in change(facts, "06", "differences", what="Wait x2 minus none"):
        weaken(row)


def break_c5(facts):
    for row in change(facts, "09", "differences", what="s1K minus longest"):
        weaken(row)


def break_c6(facts):
    method(facts, "rejection sampling")["performance"]["value"] = 58.0


def break_c7(facts):
    method(facts, "rejection sampling")["scaling"]["ci95"] = [-30.0, 0.0]


def break_c8(facts):
    weaken(facts["08"]["differences"][0])


def break_c9(facts):
    weaken(facts["08"]["differences"][1])


def break_c10(facts):
    method(facts, "token-conditional")["control"]["value"] = 100.0


def break_c11(facts):
    for row in change(facts, "09", "sample_efficiency", examples=4000):
        row["value"] += 20


def break_c12(facts):
    for row in change(facts, "09", "differences", what="thinking tokens, cut minus whole"):
        row["ci95"] = [-10.0, 20.0]


def method(facts, name):
    return change(facts, "07", "table_3", method=name)[0]


@pytest.mark.parametrize("number", range(1, 13))
def test_every_rule_can_fail_by_itself(number):
    facts = all_facts()
    globals()[f"break_c{number}"](facts)
    found = verdicts(facts)
    assert found.pop(f"C{number}") == NOT_REPLICATED
    assert set(found.values()) == {REPLICATED}


def test_wait_must_also_beat_no_string():
    facts = all_facts()
    for row in change(facts, "06", "differences", what="Wait x2 minus no string"):
        weaken(row)
    assert verdicts(facts)["C4"] == NOT_REPLICATED


def test_wait_must_also_flatten():
    facts = all_facts()
    for points in facts["06"]["figure_1"].values():
        next(point for point in points if point["waits"] == 6)["value"] = 99.0
    assert verdicts(facts)["C4"] == NOT_REPLICATED


def test_two_of_three_benchmarks_are_not_all_three():
    facts = all_facts()
    rows = facts["06"]["differences"]
    facts["06"]["differences"] = [row for row in rows if row["benchmark"] != "mini-GPQA"]
    assert verdicts(facts)["C1"] == NOT_REPLICATED


def test_the_full_pool_may_not_be_much_better_than_the_selected_thousand():
    facts = all_facts()
    for row in change(facts, "09", "differences", what="full minus s1K"):
        row["value"] = 8.0
    assert verdicts(facts)["C5"] == NOT_REPLICATED


def test_voting_that_wins_somewhere_refutes_sequential_scaling():
    facts = all_facts()
    lost = difference("sequential minus majority at equal tokens", "mini-AIME", -6.0)
    facts["08"]["differences"].append(lost)
    assert verdicts(facts)["C8"] == NOT_REPLICATED


def test_a_row_quotes_the_decisive_comparison_with_the_least_room():
    facts = all_facts()
    close = change(facts, "06", "differences", what="s1 minus base", benchmark="mini-MATH")[0]
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
    richer["06"]["differences"].append(difference("something else", "mini-AIME", -50.0))
    richer["06"]["notes"] = ["extra"]
    assert verdicts(richer) == verdicts(facts)


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
    for row in change(facts, "09", "differences", what="s1K minus longest"):
        row |= difference("s1K minus longest", row["benchmark"], -2.0)
    (row,) = (row for row in claims.ledger(facts) if row["id"] == "C5")
    assert row["verdict"] == NOT_REPLICATED and row["what"].startswith("s1K minus longest")
