"""Votes counted over all subsets: the formula against counting by hand."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from s1lib.artifacts import RunError
from s1lib.decoding.record import Generation, to_table
from s1lib.methods.majority import (
    Ballot,
    at_tokens,
    ballot,
    camps,
    coverage,
    curves,
    majority,
    vote,
)


def by_counting(samples: list[int | None], k: int) -> float:
    """Every subset of k samples votes; 0 is the right answer, None does not vote."""
    results = []
    for subset in combinations(samples, k):
        votes = Counter(camp for camp in subset if camp is not None)
        most = max(votes.values(), default=0)
        leaders = [camp for camp, count in votes.items() if count == most]
        results.append(1 / len(leaders) if 0 in leaders else 0)
    return float(np.mean(results))


@pytest.mark.parametrize(
    ("right", "wrong", "silent"),
    [(3, (2, 2), 1), (1, (1, 1, 1, 1), 0), (2, (3,), 3), (4, (), 4), (2, (2, 2, 2), 0)],
)
def test_the_formula_is_what_counting_all_subsets_gives(right, wrong, silent):
    samples: list[int | None] = [0] * right + [None] * silent
    samples += [i for i, count in enumerate(wrong, start=1) for _ in range(count)]
    expected = [by_counting(samples, k) for k in range(1, len(samples) + 1)]
    np.testing.assert_allclose(majority(Ballot(right, wrong, silent)), expected, atol=1e-12)


def test_a_vote_of_one_and_a_vote_of_two_are_right_as_often_as_a_sample():
    """Two samples agree, or they tie: a second vote alone changes nothing."""
    votes = majority(Ballot(5, (3, 2)))
    assert votes[0] == pytest.approx(0.5) and votes[1] == pytest.approx(0.5)


def test_a_right_answer_in_the_minority_loses_and_one_in_the_majority_wins():
    assert majority(Ballot(3, (5,)))[-1] == 0
    assert majority(Ballot(5, (3,)))[-1] == pytest.approx(1)
    assert majority(Ballot(4, (4, 4)))[-1] == pytest.approx(1 / 3)


def test_who_says_nothing_does_not_vote():
    assert majority(Ballot(1, (), 7))[-1] == pytest.approx(1)
    assert majority(Ballot(0, (), 3)).tolist() == [0, 0, 0]


def test_sixty_four_samples_are_counted_without_loss():
    votes = majority(Ballot(40, (14, 10)))
    assert votes[-1] == pytest.approx(1) and votes[0] == pytest.approx(40 / 64)
    assert ((votes >= 0) & (votes <= 1 + 1e-9)).all()


def test_coverage_is_the_share_of_subsets_with_a_right_sample_and_a_ceiling_for_votes():
    one = Ballot(2, (4, 3), 1)
    samples = [True, True] + [False] * 8
    by_hand = [np.mean([any(s) for s in combinations(samples, k)]) for k in range(1, 11)]
    np.testing.assert_allclose(coverage(one), by_hand, atol=1e-12)
    assert (majority(one) <= coverage(one) + 1e-12).all()


def test_equal_answers_vote_together_however_they_are_written():
    raws = ["1/2", "0.5", "\\frac{1}{2}", "7", "", "0.25"]
    verdicts = ["wrong", "wrong", "wrong", "correct", "wrong", "undecided"]
    assert camps(raws, verdicts) == [1, 1, 1, 0, None, 2]
    assert ballot(raws, verdicts) == Ballot(1, (3, 1), 1)


def test_all_that_was_graded_correct_is_one_answer():
    assert ballot(["2+2", "4"], ["correct", "correct"]) == Ballot(2)


def test_weights_can_turn_a_vote():
    raws, verdicts = ["5", "6", "6"], ["correct", "wrong", "wrong"]
    assert vote(raws, verdicts) == 0
    assert vote(raws, verdicts, [0.9, 0.3, 0.3]) == 1
    assert vote(raws, verdicts, [0.6, 0.3, 0.3]) == 0.5
    assert vote(["", ""], ["wrong", "wrong"]) == 0


def table(verdicts: dict[str, str]) -> pd.DataFrame:
    """A pool: one letter for each sample, c for correct and w for wrong, 10 tokens each."""
    names = {"c": "correct", "w": "wrong"}
    return to_table(
        Generation(
            name,
            (1,),
            (2,),
            sampled=10,
            sample=i,
            method="sample",
            raw="5" if letter == "c" else "6",
            verdict=names[letter],
        )
        for name, letters in verdicts.items()
        for i, letter in enumerate(letters)
    )


def test_curves_keep_the_order_of_problems_and_price_a_sample():
    found = curves(table({"b": "ccw", "a": "www"}))
    assert found.ids == ["b", "a"]
    assert found.majority[0].tolist() == pytest.approx([2 / 3, 2 / 3, 1])
    assert found.majority[1].tolist() == [0, 0, 0]
    assert found.coverage[:, -1].tolist() == [1, 0]
    assert found.tokens.tolist() == [10, 10]


def test_a_pool_in_which_a_sample_is_missing_is_refused():
    pool = table({"a": "cw", "b": "cw"}).drop(index=3)
    with pytest.raises(RunError, match="different numbers of samples"):
        curves(pool)


def test_at_equal_tokens_a_vote_is_mixed_of_the_two_nearest_sizes():
    curve = np.array([[0.2, 0.4, 0.8]])
    assert at_tokens(curve, 10, 24) == pytest.approx([0.56])
    assert at_tokens(curve, 10, 20) == pytest.approx([0.4])


def test_a_vote_cannot_have_less_than_one_sample_or_more_than_the_pool():
    curve = np.array([[0.2, 0.4, 0.8]])
    assert at_tokens(curve, 10, 3) == pytest.approx([0.2])
    assert at_tokens(curve, 10, 900) == pytest.approx([0.8])
