"""The laptop world is held against published properties of traces and models."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from s1lib import fidelity
from s1lib.artifacts import read_json
from s1lib.fidelity import PROPERTIES, development, kept, of_budgets, of_teacher, of_tries
from s1lib.world.sources import BENCHMARKS, benchmark

COMMITTED = Path(__file__).parents[1] / "results" / "laptop" / "fidelity.json"
MISSED = {"s1 ratio", "tries 0.94", "tries 1.13", "climb", "steepest"}
"""Properties that the world is known to miss; the page of choices says why."""


@pytest.fixture(scope="module")
def exams() -> pd.DataFrame:
    return pd.DataFrame(
        [{"benchmark": name, **row} for name in BENCHMARKS for row in benchmark(name, 40, 0)]
    )


def test_development_questions_are_in_no_benchmark(exams: pd.DataFrame) -> None:
    tests = development(40, exams)
    assert tests.groupby("benchmark").size().to_dict() == dict.fromkeys(BENCHMARKS, 40)
    assert not set(tests["question"]) & set(exams["question"])


def test_the_teacher_has_the_published_properties_but_those_that_are_told(
    exams: pd.DataFrame,
) -> None:
    found = of_teacher(development(40, exams), seeds=12, documents=1000)
    assert {name for name, values in found.items() if not kept(name, values)} == MISSED & set(found)


def pool(lengths: list[list[int]], right: list[list[bool]]) -> pd.DataFrame:
    return pd.DataFrame(
        {"benchmark": "mini-AIME", "id": str(i), "sample": j, "thinking_tokens": n, "raw": str(n),
         "verdict": "correct" if ok else "wrong"}
        for i, (some, marks) in enumerate(zip(lengths, right, strict=True))
        for j, (n, ok) in enumerate(zip(some, marks, strict=True))
    )  # fmt: skip


def test_tries_are_counted_at_multiples_of_the_mean_length() -> None:
    found = of_tries(pool([[50, 150], [90, 110]], [[True, True], [True, False]]))
    assert found["tries 0.66"] == [pytest.approx((1.5 + 2) / 2)]
    assert found["tries 1.5"] == [1.0] and found["exhausted"] == [0.0]


def test_a_wrong_sample_is_held_against_right_ones_of_its_own_question() -> None:
    samples = pool([[10, 30], [100, 100]], [[True, False], [True, True]])
    assert fidelity._ratio(samples) == 3.0
    assert fidelity._tells(samples) == pytest.approx(1.0)


def forced(levels: dict[int, int]) -> pd.DataFrame:
    """A record in which so many of ten are right at each budget."""
    return pd.DataFrame(
        {"benchmark": "mini-AIME", "budget": limit, "verdict": "correct" if k < n else "wrong"}
        for limit, n in levels.items()
        for k in range(10)
    )


def test_a_climb_is_even_where_no_doubling_has_most_of_the_gain() -> None:
    levels = {32: 1, 64: 3, 128: 5, 256: 7, 512: 9}
    found = of_budgets(forced(levels), levels)
    assert found["climb"] == [pytest.approx(1)] and found["steepest"] == [pytest.approx(0.25)]


def test_a_curve_that_falls_does_not_climb_evenly() -> None:
    """Its falls were divided by each other, and looked as even as gains."""
    levels = {32: 9, 64: 7, 128: 5, 256: 3, 512: 1}
    found = of_budgets(forced(levels), levels)
    assert not kept("climb", found["climb"]) and not kept("steepest", found["steepest"])


def test_a_property_that_has_no_number_is_not_kept() -> None:
    """One answer throughout had a rank correlation of 0 with its length."""
    same = pool([[10, 30]], [[True, False]]).assign(raw="7")
    assert not kept("tells", [fidelity._tells(same)])
    assert not kept("overflow", []) and not kept("tells", [0.1, None])


def test_the_committed_world_keeps_every_property_but_those_that_are_told() -> None:
    found = read_json(COMMITTED)["measured"]
    assert {name for name in PROPERTIES if not kept(name, found[name])} == MISSED
