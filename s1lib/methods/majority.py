"""Majority voting: maj@k and cov@k for every k from one pool of samples, exactly.

Nothing is drawn again: maj@k is the share of all subsets of k samples whose vote is right, so it
has no noise beyond that of the pool itself, and all k come from the same samples. Rules:

- answers are the same when `s1lib.grading` calls them equal; those graded correct are one answer;
- a sample without an answer does not vote, and if nobody votes the problem is not solved;
- a tie among t answers counts 1/t for each (drawing lots, or taking who spoke first, on average);
- an `undecided` answer votes, but winning with it is not right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import comb

from s1lib.grading import compare
from s1lib.methods.pool import grid
from s1lib.results import VOTE, Run, Setting

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Ballot:
    """How the samples of one problem voted.

    `right` samples gave the right answer, `wrong` counts those of each other answer (largest
    first), `silent` gave none.
    """

    right: int
    wrong: tuple[int, ...] = ()
    silent: int = 0

    @property
    def size(self) -> int:
        return self.right + sum(self.wrong) + self.silent


@dataclass(frozen=True)
class Curves:
    """What a pool of n samples per problem says about every k from 1 to n.

    `majority` and `coverage` have shape [problems, n] and hold shares between 0 and 1; `tokens`,
    shape [problems], is what one sample of a problem costs on average. Rows follow `ids`.
    """

    ids: list[str]
    majority: Floats
    coverage: Floats
    tokens: Floats


def curves(pool: pd.DataFrame) -> Curves:
    """maj@k and cov@k of one benchmark's pool (rows of a record, see `s1lib.methods.pool`).

    Raises `RunError` if problems have different numbers of samples.
    """
    raws, verdicts = grid(pool, "raw"), grid(pool, "verdict")
    answers = zip(raws.to_numpy(), verdicts.to_numpy(), strict=True)
    ballots = [ballot(raw, verdict) for raw, verdict in answers]
    return Curves(
        [str(name) for name in raws.index],
        np.stack([majority(one) for one in ballots]),
        np.stack([coverage(one) for one in ballots]),
        grid(pool, "sampled").to_numpy(dtype=float).mean(axis=1),
    )


def camps(raws: Sequence[str], verdicts: Sequence[str]) -> list[int | None]:
    """The answer that each sample votes for: 0 is the right one, None is no vote.

    `raws` are extracted answers (empty where there is none), `verdicts` their grades.
    """
    leaders: list[str] = []
    seen: dict[str, int] = {}
    found: list[int | None] = []
    for raw, verdict in zip(raws, verdicts, strict=True):
        if verdict == "correct":
            found.append(0)
        elif not raw:
            found.append(None)
        else:
            if raw not in seen:
                same = (i for i, one in enumerate(leaders) if compare(raw, one) == "correct")
                place = next(same, len(leaders))
                leaders += [raw] if place == len(leaders) else []
                seen[raw] = place + 1
            found.append(seen[raw])
    return found


def ballot(raws: Sequence[str], verdicts: Sequence[str]) -> Ballot:
    """Count the votes of one problem's samples."""
    votes = Counter(camps(raws, verdicts))
    silent, right = votes.pop(None, 0), votes.pop(0, 0)
    return Ballot(right, tuple(sorted(votes.values(), reverse=True)), silent)


def vote(
    raws: Sequence[str], verdicts: Sequence[str], weights: Sequence[float] | None = None
) -> float:
    """One vote of all samples, each with its weight (1 by default): 1 if right, 1/t in a tie."""
    sums: Counter[int] = Counter()
    for camp, weight in zip(camps(raws, verdicts), weights or [1.0] * len(raws), strict=True):
        if camp is not None:
            sums[camp] += weight  # type: ignore[assignment]
    best = max(sums.values(), default=0)
    leaders = [camp for camp, total in sums.items() if np.isclose(total, best)]
    return 1 / len(leaders) if 0 in leaders else 0.0


@cache
def majority(ballot: Ballot) -> Floats:
    """maj@k for k = 1..n: how often the vote of k of the n samples is right, shape [n].

    Counts subsets: with v votes for the right answer, every other answer has at most v, and where
    t of them have v too the tie is worth 1/(1+t). In floats, good for n up to about 1,000.
    """
    n = ballot.size
    won = np.zeros(n + 1)
    for votes in range(1, ballot.right + 1):
        ways = np.zeros((n // votes + 1, n + 1))  # [answers that tie, samples chosen so far]
        ways[0, : ballot.silent + 1] = comb(ballot.silent, np.arange(ballot.silent + 1))
        for count in ballot.wrong:
            ways = _with_answer(ways, count, votes)
        share = (ways / (1 + np.arange(len(ways)))[:, None]).sum(axis=0)
        won[votes:] += comb(ballot.right, votes) * share[: n + 1 - votes]
    return won[1:] / comb(n, np.arange(1, n + 1))


def _with_answer(ways: Floats, count: int, votes: int) -> Floats:
    """Choose up to `votes` of the `count` samples of one more answer; as many means a tie."""
    found = np.zeros_like(ways)
    for chosen in range(min(count, votes - 1) + 1):
        found[:, chosen:] += comb(count, chosen) * ways[:, : ways.shape[1] - chosen]
    if count >= votes:
        found[1:, votes:] += comb(count, votes) * ways[:-1, : ways.shape[1] - votes]
    return found


def coverage(ballot: Ballot) -> Floats:
    """cov@k for k = 1..n: how often k of the n samples hold a right one, shape [n]."""
    k = np.arange(1, ballot.size + 1)
    return 1 - comb(ballot.size - ballot.right, k) / comb(ballot.size, k)


def at_tokens(curve: Floats, price: float, tokens: float) -> Floats:
    """A curve over k, shape [problems, n], at `tokens` tokens per problem; shape [problems].

    A sample costs `price` tokens on average, so that k = tokens / price, within 1 and n.
    """
    return at(curve, tokens / price)


def at(curve: Floats, k: float) -> Floats:
    """A curve over k at any k, kept within 1 and n; shape [problems].

    Between two whole k it is linear: a vote of 2.4 samples asks 3 with probability 0.4 and 2
    otherwise, which costs as many tokens on average.
    """
    place = float(np.clip(k, 1, curve.shape[1])) - 1
    low = int(place)
    high = min(low + 1, curve.shape[1] - 1)
    return curve[:, low] + (place - low) * (curve[:, high] - curve[:, low])


def voted(found: Curves, benchmark: str, k: float, setting: Setting) -> Run:
    """The vote of k samples as a run of one benchmark, its price k times that of a sample.

    `setting` says whose samples they are.
    """
    count = float(np.clip(k, 1, found.majority.shape[1]))
    samples = int(count) if count.is_integer() else round(count, 1)
    named = setting.model_copy(update={"method": VOTE, "samples": samples})
    return Run(named, benchmark, at(found.majority, count), tokens=count * found.tokens)
