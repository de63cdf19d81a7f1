"""What a solver writes with: every result goes through a pen, which slips now and then.

A way of solving (see `families`) is a plain function that computes with numbers which the pen
gives back. So a slip is carried on: what follows is right arithmetic on a wrong number, as in a
person's notes, and the more lines an attempt has, the likelier it ends wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable


class Pen:
    """Lines of one attempt. Without a generator it never slips and minds everything.

    `slip` is the chance that a number is written down wrong, `notice` that such a slip is seen at
    once and put right in the same line, `haste` that a condition is overlooked.
    """

    def __init__(
        self,
        rng: random.Random | None = None,
        slip: float = 0.0,
        notice: float = 0.0,
        haste: float = 0.0,
    ) -> None:
        self.rng, self.slip, self.notice, self.haste = rng, slip, notice, haste
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Write a line, a sentence without its full stop."""
        self.lines.append(text + ".")

    def of(self, value: int) -> int:
        """The value, or what a slip makes of it."""
        if self.rng is None or self.rng.random() >= self.slip:
            return value
        return next(v for v in self._slips(value) if v >= 0)

    def __call__(
        self, sum_: str, value: int, label: str = "", wanted: Callable[[int], bool] | None = None
    ) -> int:
        """Write `label` and `sum_ = value`; returns the value that now stands there.

        With `wanted` the line ends in what it says of that value, `yes` or `no`.
        """
        value = max(0, value)  # only slips lead below zero
        written = self.of(value)
        text = f"{label}{sum_} = {written}"
        if written != value and self.rng is not None and self.rng.random() < self.notice:
            text, written = f"{text}, no, {value}", value
        if wanted:
            text += ", yes" if wanted(written) else ", no"
        self.say(text)
        return written

    def rest(
        self, value: int, by: int, label: str = "", wanted: Callable[[int], bool] | None = None
    ) -> int:
        """Write what a division leaves, `47 - 2 · 17 = 13`; returns the remainder."""
        return self(f"{value} - {value // by} · {by}", value % by, label, wanted)

    def turn(self, rest: int, step: int, by: int, label: str, wanted: Callable[[int], bool]) -> int:
        """Write how a remainder goes on, `13 + 7 - 17 = 3`; returns the next one."""
        back = f" - {by}" if rest + step >= by else ""
        return self(f"{rest} + {step}{back}", (rest + step) % by, label, wanted)

    def product(
        self, a: int, b: int, label: str = "", wanted: Callable[[int], bool] | None = None
    ) -> int:
        """Write a product, that of two numbers with two digits in parts."""
        a, b = max(a, b), min(a, b)
        if b < 10 or b % 10 == 0:
            return self(f"{a} · {b}", a * b, label, wanted)
        tens, ones = self.of(a * (b // 10 * 10)), self.of(a * (b % 10))
        return self(f"{a} · {b} = {tens} + {ones}", tens + ones, label, wanted)

    def minds(self) -> bool:
        """Whether a condition that is easily forgotten is thought of."""
        return self.rng is None or self.rng.random() >= self.haste

    def _slips(self, value: int) -> list[int]:
        assert self.rng is not None
        steps = [1, -1, 2, -2, 10, -10] if value > 9 else [1, -1, 2, 3]
        self.rng.shuffle(steps)
        return [value + step for step in steps]
