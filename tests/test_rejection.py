"""Rejection sampling as a function of the pool: the closed form, and what is paid."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from s1lib.artifacts import RunError
from s1lib.methods.rejection import halves, reject, tries_per_accepted

LENGTHS = {"easy": [10, 20, 40, 80], "hard": [50, 60, 70, 300], "never": [200, 250, 300, 400]}
RIGHT = {"easy": [1, 1, 0, 0], "hard": [0, 1, 1, 1], "never": [1, 0, 0, 0]}
POOL = pd.DataFrame(
    [
        {
            "benchmark": "mini-AIME",
            "id": name,
            "sample": sample,
            "thinking_tokens": length,
            "verdict": "correct" if RIGHT[name][sample] else "wrong",
        }
        for name, lengths in LENGTHS.items()
        for sample, length in enumerate(lengths)
    ]
)


def one_by_one(name: str, bound: int) -> dict[str, float]:
    """Rejection sampling as it is told: try in order; mean over all orders of the pool."""
    runs = []
    for order in permutations(range(4)):
        drawn = []
        for sample in order:
            drawn.append(sample)
            if LENGTHS[name][sample] <= bound:
                break
        else:
            sample = min(range(4), key=lambda i: LENGTHS[name][i])
        paid = sum(LENGTHS[name][i] for i in drawn)
        runs.append((RIGHT[name][sample], LENGTHS[name][sample], len(drawn), paid))
    return dict(
        zip(("correct", "thinking_tokens", "tries", "paid_tokens"), np.mean(runs, 0), strict=True)
    )


@pytest.mark.parametrize("bound", [0, 10, 40, 60, 79, 300, 1000])
def test_the_closed_form_is_the_mean_over_all_orders_of_tries(bound):
    for row in reject(POOL, bound).itertuples():
        for column, value in one_by_one(row.id, bound).items():
            assert getattr(row, column) == pytest.approx(value), (row.id, column)


def test_without_a_bound_the_first_try_is_taken():
    free = reject(POOL, 10**6)
    assert free["tries"].tolist() == [1, 1, 1] and free["accepted"].all()
    assert free["correct"].tolist() == [0.5, 0.75, 0.25]


def test_an_accepted_sample_keeps_the_bound():
    for bound in range(0, 400, 25):
        kept = reject(POOL, bound).query("accepted")
        assert (kept["thinking_tokens"] <= bound).all()


def test_exhausted_problems_pay_for_all_tries_and_give_their_shortest_sample():
    row = reject(POOL, 100).set_index("id").loc["never"]
    assert (row["accepted"], row["tries"], row["paid_tokens"]) == (False, 4, 1150)
    assert (row["thinking_tokens"], row["correct"]) == (200, 1)


def test_exhausted_problems_may_count_as_wrong_instead():
    kind, strict = reject(POOL, 100), reject(POOL, 100, exhausted="wrong")
    assert strict["correct"].tolist() == [0.5, 2 / 3, 0]
    assert kind.drop(columns="correct").equals(strict.drop(columns="correct"))


def test_tries_of_exhausted_problems_are_paid_by_the_accepted_ones():
    results = reject(POOL, 100)
    assert tries_per_accepted(results) == pytest.approx((1 + 5 / 4 + 4) / 2)
    assert np.isnan(tries_per_accepted(reject(POOL, 0)))


def test_a_bound_below_zero_is_refused():
    with pytest.raises(RunError, match="bound of -1"):
        reject(POOL, -1)


def test_benchmarks_are_not_mixed():
    mixed = pd.concat([POOL, POOL.assign(benchmark="mini-MATH")])
    with pytest.raises(RunError, match="several benchmarks"):
        reject(mixed, 50)


def test_each_problems_samples_are_split_into_a_shorter_and_a_longer_half():
    shorter, longer = halves(POOL.sample(frac=1, random_state=0))
    assert shorter.to_dict() == {"easy": 1.0, "hard": 0.5, "never": 0.5}
    assert longer.to_dict() == {"easy": 0.0, "hard": 1.0, "never": 0.0}
    three = POOL[POOL["sample"] < 3]
    assert halves(three)[1]["hard"] == 1.0 and halves(three)[0]["hard"] == 0.0
