"""Rejection sampling: try until a sample's thinking fits the bound (paper, section 5.2).

The reference tries without end (655 times per problem for its tightest bound); here the tries
are those of the pool (`s1lib.methods.pool`), and what was paid is part of the result. Whatever
the bound, the pool is the same, so acceptance is a function of a table.

The first acceptable sample of a pool in random order is equally likely any of the acceptable
ones. So a problem's expected accuracy is their share of correct ones, which wastes no sample and
does not depend on the order: with k samples of which a are acceptable, (k + 1) / (a + 1) tries
are expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from s1lib.artifacts import RunError
from s1lib.methods.pool import grid
from s1lib.results import Run, Setting

METHOD = "rejection sampling"
Exhausted = Literal["shortest", "wrong"]


def reject(pool: pd.DataFrame, bound: int, exhausted: Exhausted = "shortest") -> pd.DataFrame:
    """What rejection sampling gives on one benchmark's pool with at most `bound` tokens.

    One row per problem, in the order of the pool, in expectation over the order of tries:

    - correct: probability of a right answer, 0 to 1;
    - thinking_tokens: length of the sample that is given;
    - tries: samples drawn, the given one included;
    - paid_tokens: thinking tokens of all these;
    - accepted: whether any of the samples fits. If none does, all are drawn, and the shortest
      is given nevertheless (several equally short: any), or with `exhausted="wrong"` none is,
      which is never right.

    Raises `RunError` for a bound below 0 and for a pool of several benchmarks.
    """
    if bound < 0:
        raise RunError(f"a bound of {bound} thinking tokens accepts nothing: use 0 or more")
    if pool["benchmark"].nunique() > 1:
        raise RunError("the pool holds several benchmarks: choose the rows of one")
    lengths = grid(pool, "thinking_tokens")
    correct = (grid(pool, "verdict") == "correct").to_numpy()
    tokens = lengths.to_numpy(dtype=float)
    samples = tokens.shape[1]
    fits = tokens <= bound
    many = fits.sum(axis=1)
    shortest = tokens == tokens.min(axis=1, keepdims=True)
    given = np.where((many == 0)[:, None], shortest, fits)
    weights = given / given.sum(axis=1, keepdims=True)
    length = (weights * tokens).sum(axis=1)
    right = (weights * correct).sum(axis=1)
    tries = np.where(many == 0, samples, (samples + 1) / (many + 1))
    refused = np.where(fits, 0, tokens).sum(axis=1) / np.maximum(samples - many, 1)
    paid = np.where(many == 0, tokens.sum(axis=1), length + (tries - 1) * refused)
    return pd.DataFrame(
        {
            "id": lengths.index,
            "correct": right if exhausted == "shortest" else np.where(many == 0, 0.0, right),
            "thinking_tokens": length,
            "tries": tries,
            "paid_tokens": paid,
            "accepted": many > 0,
        }
    )


def as_runs(found: Mapping[int, pd.DataFrame], benchmark: str, method: str = METHOD) -> list[Run]:
    """What `reject` gives for each bound, as a run of one benchmark, with what it cost."""
    return [
        Run(
            Setting(model="s1", method=method, asked=str(bound)),
            benchmark,
            part["correct"].to_numpy(dtype=float),
            part["thinking_tokens"].to_numpy(dtype=float),
            means={
                "exhausted": int((~part["accepted"]).sum()),
                "tries": round(float(part["tries"].mean()), 2),
                "paid_tokens": round(float(part["paid_tokens"].mean()), 1),
            },
        )
        for bound, part in found.items()
    ]


def tries_per_accepted(results: pd.DataFrame) -> float:
    """Samples drawn for each one accepted, those of exhausted problems included (NaN: none)."""
    accepted = int(results["accepted"].sum())
    return float(results["tries"].sum() / accepted) if accepted else float("nan")


def halves(pool: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Share of right answers among each problem's shorter and longer half of samples, 0 to 1.

    Whether long samples *of a problem* are worse needs no bound. `pool` is one benchmark's; both
    series are indexed by id, in its order. Of equal lengths the earlier sample counts as shorter;
    the middle one of an odd number belongs to the longer half.
    """
    ranked = pool.sort_values(["id", "thinking_tokens", "sample"])
    place = ranked.groupby("id").cumcount()
    size = ranked.groupby("id")["sample"].transform("size")
    right = ranked["verdict"] == "correct"
    shorter, longer = (
        right[part].groupby(ranked.loc[part, "id"]).mean()
        for part in (place < size // 2, place >= size // 2)
    )
    order = pool["id"].unique()
    return shorter.loc[order], longer.loc[order]
