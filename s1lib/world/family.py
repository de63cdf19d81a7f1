"""What a family of questions is."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

from s1lib.world.pen import Pen

Params = dict[str, Any]


class Family:
    """A kind of question with two ways to solve it, both exact.

    `slow` goes step by step; `fast` sees a shortcut, which takes fewer lines or harder sums, and
    now and then a condition that must be minded. `draw` picks parameters for which the slow way
    takes about `n` lines, and `question` has a place for each of them. `msc` is the subject, `rule`
    how to solve it, for a reader. Every subclass is a family; its name is the class's in lower
    case.
    """

    msc: ClassVar[str]
    rule: ClassVar[str]
    question: ClassVar[str]
    draw: Callable[[random.Random, int], Params]
    slow: Callable[[Params, Pen], int]
    fast: Callable[[Params, Pen], int]
    all: ClassVar[dict[str, Family]] = {}

    def __init_subclass__(cls) -> None:
        Family.all[cls.__name__.lower()] = cls()

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    def ask(self, p: Params) -> str:
        return self.question.format(**p)
