"""All families of questions, and the problems that they make.

Numbers stay below a thousand, so that a model of a few million parameters can learn the arithmetic.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass

from s1lib.faithful import chains, counts, searches  # noqa: F401  (defining a family enrols it)
from s1lib.faithful.family import Family, Params
from s1lib.faithful.pen import Pen

FAMILIES = Family.all


@dataclass(frozen=True)
class Problem:
    """A question with everything that a scripted solver needs; `steps` are the slow way's lines."""

    family: Family
    params: Params
    question: str
    steps: int
    answer: str


def make_problem(
    rng: random.Random, family: str, low: int, high: int, held_out: bool = False
) -> Problem:
    """Draw a problem whose slow way takes from `low` to `high` lines, log-uniformly spread.

    One question in eight is held out: benchmarks consist of such questions only, and neither the
    pretraining corpus nor the sources hold any (but for the leaks that decontamination must find).
    Raises `ValueError` if the family has no such problem.
    """
    kind = FAMILIES[family]
    for _ in range(2000):
        target = round(math.exp(rng.uniform(math.log(low), math.log(high))))
        try:
            problem = rebuild(family, kind.draw(rng, target))
        except (ValueError, IndexError):  # nothing to draw from at this size
            continue
        fits = low <= problem.steps <= high and len(problem.answer) < 11
        if fits and is_held_out(problem.question) == held_out:
            return problem
    raise ValueError(f"{family} has no problem of {low} to {high} lines")


def is_held_out(question: str) -> bool:
    """Whether a question (without options) is kept for benchmarks."""
    return hashlib.sha256(question.encode()).digest()[0] % 8 == 0


def rebuild(family: str, params: Params) -> Problem:
    """The problem that belongs to parameters (from a row's metadata)."""
    kind, pen = FAMILIES[family], Pen()
    answer = kind.slow(params, pen)
    return Problem(kind, params, kind.ask(params), len(pen.lines), str(answer))
