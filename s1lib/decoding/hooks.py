"""What a caller of `transformers.generate` brings along, asked at every token of every row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Hooks:
    """`process(problem, new, logits)` returns the logits of one row, shape (1, vocabulary).

    `stop(problem, new)` says whether the sequence ends here. `new` are the ids after the prompt.
    """

    process: Callable[[int, Sequence[int], Tensor], Tensor] | None = None
    stop: Callable[[int, Sequence[int]], bool] | None = None
