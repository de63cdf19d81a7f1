"""The seam between decoding and models: a causal model with a cache of rows, fed step by step.

The engine, tree search and the reward model know a `Network` only. There are three: the model's
own `forward` over a cache of rows or without one (`general`), and a leaner one for what it has
checked (`fast`); `s1lib.decoding.paths` chooses.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 256  # positions by which a cache grows at least

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Chunk:
    """Tokens of one row before its last: `ids` from position `start` on."""

    row: int
    start: int
    ids: Sequence[int]


class Network(ABC):
    """A model and its key-value cache for `rows` rows of `columns` positions.

    `vocabulary` is the tokenizer's size: ids beyond it have no logits, so that they can neither
    win nor be drawn. Attention reads `group` neighbouring rows to the same length, so callers keep
    rows roughly in the order of their lengths. A position costs `position_bytes` of cache.
    """

    device: torch.device
    dtype: torch.dtype
    vocabulary: int
    position_bytes = 0
    group = 1 << 30
    parallel = False  # whether twins in several threads are worth it
    rows = columns = 0

    def reserve(self, rows: int, columns: int) -> None:
        """Make room for `rows` rows of `columns` positions, keeping what is cached."""
        if rows > self.rows or columns > self.columns:
            self._grow(max(rows, self.rows), max(columns, self.columns))

    @abstractmethod
    def _grow(self, rows: int, columns: int) -> None:
        """Enlarge the cache, and set `rows` and `columns`."""

    @abstractmethod
    def clear(self) -> None:
        """Drop the cache."""

    @abstractmethod
    def copy(self, source: int, target: int, length: int) -> None:
        """Fork: row `target` gets the first `length` positions of row `source`."""

    @abstractmethod
    def step(self, tokens: Ints, places: Ints, chunks: Sequence[Chunk]) -> Tensor:
        """Logits of the next token of rows 0..n-1, float of shape (n, vocabulary).

        `tokens`, int64 of shape (n,), are the rows' last tokens and `places` their positions;
        `chunks` hold what the cache lacks of a row before its last token.
        """

    def twin(self) -> Self:
        """The same weights with a cache of its own."""
        other = copy.copy(self)
        other.clear()
        return other


def enlarged(cache: Tensor | None, shape: Sequence[int], like: Tensor) -> Tensor:
    """Zeros of `shape` (rows, columns, ...) with what `cache` holds; masked zeros stay zeros."""
    grown = torch.zeros(tuple(shape), dtype=like.dtype, device=like.device)
    if cache is not None:
        grown[: cache.shape[0], : cache.shape[1]] = cache
    return grown
