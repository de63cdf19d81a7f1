"""Balance: the same sequences per step, shared out so that no process waits long."""

from __future__ import annotations

from itertools import chain, islice

import numpy as np
import pytest

from s1lib.training.balance import Shuffle, StepSampler, imbalance, lpt
from s1lib.training.fit import QWEN_32B, published_lengths, quadratic

LENGTHS = np.random.default_rng(0).lognormal(5, 0.6, 40).astype(int).tolist()


def deal(sampler: StepSampler, per_step: int) -> list[list[list[int]]]:
    """The rows of each step."""
    rows = iter(sampler)
    return [list(islice(rows, per_step)) for _ in range(len(sampler) // per_step)]


def test_every_item_lands_in_exactly_one_bin():
    bins = lpt([5, 3, 8, 1, 1, 9], 3)
    assert sorted(chain(*bins)) == [0, 1, 2, 3, 4, 5]


def test_the_heaviest_bin_comes_first_and_is_near_the_best_possible():
    costs = [7, 6, 5, 4, 4, 3, 2, 1]
    loads = [sum(costs[i] for i in row) for row in lpt(costs, 4)]
    assert loads == sorted(loads, reverse=True)
    assert max(loads) <= 4 / 3 * max(max(costs), sum(costs) / 4)


def test_a_step_has_the_same_samples_whatever_the_number_of_processes():
    alone = deal(StepSampler(LENGTHS, 16, groups=1), 1)
    shared = deal(StepSampler(LENGTHS, 16, groups=4, accumulation=2), 8)
    assert len(alone) == len(shared) == 3
    for one, many in zip(alone, shared, strict=True):
        assert sorted(chain(*one)) == sorted(chain(*many))


def test_an_epoch_sees_every_sample_once_in_an_order_of_its_own():
    sampler = StepSampler(LENGTHS, 16, groups=2)
    first = list(chain(*sampler))
    sampler.sampler.set_epoch(1)
    second = list(chain(*sampler))
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second


def test_the_same_seed_and_epoch_give_the_same_order():
    assert list(Shuffle(9, seed=3)) == list(Shuffle(9, seed=3))
    assert list(Shuffle(9, seed=3)) != list(Shuffle(9, seed=4))


def test_the_last_step_keeps_its_samples_and_leaves_rows_empty():
    last = deal(StepSampler(LENGTHS[:18], 16, groups=4), 4)[-1]
    assert sorted(len(row) for row in last) == [0, 0, 1, 1]


def test_processes_that_share_a_row_all_get_it():
    for rows in deal(StepSampler(LENGTHS, 16, groups=2, sequence_parallel=3), 6):
        assert rows[0] == rows[1] == rows[2]
        assert rows[3] == rows[4] == rows[5]


@pytest.mark.parametrize(
    ("groups", "balanced", "factor"),
    [(16, False, 1.44), (8, True, 1.07), (4, True, 1.04), (2, True, 1.01)],
)
def test_the_papers_traces_give_the_known_factors(groups: int, balanced: bool, factor: float):
    lengths = published_lengths(extra=500)
    found = imbalance(lengths, groups, quadratic=quadratic(QWEN_32B), balanced=balanced)
    assert found == pytest.approx(factor, abs=0.02)
