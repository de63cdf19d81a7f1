"""Choosing the next token: greedy, or by a random number that belongs to one place only.

The random number of a token is a function of (seed, problem, sample, position) and of nothing
else, so results do not depend on batch size, on order, or on which other runs share a trunk.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s1lib.decoding.sampling import Sampling

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def key(seed: int, problem: str, sample: int) -> int:
    """The random stream of one sample, as an unsigned 64-bit number."""
    name = f"{seed}\x00{problem}\x00{sample}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "little")


def uniform(keys: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1), float64, one for each stream (uint64) and position (SplitMix64)."""
    with np.errstate(over="ignore"):
        state = keys + (positions.astype(np.uint64) + np.uint64(1)) * _GOLDEN
        state = (state ^ (state >> np.uint64(30))) * _MIX[0]
        state = (state ^ (state >> np.uint64(27))) * _MIX[1]
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def draw(
    logits: Tensor, sampling: Sampling, chance: np.ndarray | None, seen: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Next tokens (int64) and, for a check that numbers are numbers, one float per row.

    `logits` has shape (rows, vocabulary); `chance` holds one uniform number per row and is not
    needed at temperature 0. Sampling inverts the cumulative distribution in float64. `seen`, bool
    of the shape of `logits`, says which tokens a repetition penalty concerns.
    """
    if seen is not None:
        penalty = sampling.repetition_penalty
        logits = torch.where(
            seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits
        )
    if sampling.temperature == 0:
        best = logits.max(1)
        return best.indices, best.values
    assert chance is not None
    scores = logits.double() / sampling.temperature
    for keep_likely in _filters(sampling):
        scores = keep_likely(None, scores)
    weights = torch.softmax(scores, 1).cumsum(1)
    total = weights[:, -1:]
    target = torch.from_numpy(chance).to(logits.device)[:, None] * total
    chosen = torch.searchsorted(weights, target, right=True).squeeze(1)
    return chosen.clamp_(max=logits.shape[1] - 1), total.squeeze(1)


@functools.cache
def _filters(sampling: Sampling) -> list[Any]:
    """Those of `transformers`, in the order of its `generate`."""
    from transformers.generation import logits_process as theirs

    found: list[Any] = []
    if sampling.top_k:
        found.append(theirs.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        found.append(theirs.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        found.append(theirs.MinPLogitsWarper(sampling.min_p))
    return found


def uniform_one(stream: int, position: int) -> float:
    """`uniform` for a single token."""
    return float(uniform(np.array([stream], np.uint64), np.array([position]))[0])
