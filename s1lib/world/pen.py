"""What a solver writes with: its steps in sentences.

A way of solving (see `families`) is a plain function that computes with numbers which the pen
gives back.
"""

from __future__ import annotations

from collections.abc import Callable

Wanted = Callable[[int], bool] | None


class Pen:
    """Lines of one attempt, which `minds` conditions that are easily forgotten or is hasty."""

    def __init__(self, hasty: bool = False) -> None:
        self.minds = not hasty
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Write a line, a sentence without its full stop."""
        self.lines.append(text + ".")

    def __call__(self, sum_: str, value: int, label: str = "", wanted: Wanted = None) -> int:
        """Write `label` and `sum_ = value`; returns the value that now stands there.

        With `wanted` the line ends in what it says of that value, `yes` or `no`.
        """
        verdict = "" if wanted is None else ", yes" if wanted(value) else ", no"
        self.say(f"{label}{sum_} = {value}{verdict}")
        return value

    def plus(self, a: int, b: int, label: str = "", wanted: Wanted = None) -> int:
        return self(f"{a} + {b}", a + b, label, wanted)

    def minus(self, a: int, b: int, label: str = "", wanted: Wanted = None) -> int:
        return self(f"{a} - {b}", a - b, label, wanted)

    def over(self, a: int, b: int) -> int:
        """Write a division that leaves nothing, or whose rest is of no interest."""
        return self(f"{a} / {b}", a // b)

    def rest(self, value: int, by: int, label: str = "", wanted: Wanted = None) -> int:
        """Write what a division leaves, `47 - 2 · 17 = 13`; returns the remainder."""
        return self(f"{value} - {value // by} · {by}", value % by, label, wanted)

    def below(self, value: int, m: int) -> int:
        """What a division by `m` leaves, written only where there is something to divide."""
        return value if value < m else self.rest(value, m)

    def turn(self, rest: int, step: int, by: int, label: str, wanted: Wanted) -> int:
        """Write how a remainder goes on, `13 + 7 - 17 = 3`; returns the next one."""
        back = f" - {by}" if rest + step >= by else ""
        return self(f"{rest} + {step}{back}", (rest + step) % by, label, wanted)

    def product(self, a: int, b: int, label: str = "", wanted: Wanted = None) -> int:
        """Write a product, that of two numbers with two digits in parts."""
        a, b = max(a, b), min(a, b)
        if b < 10 or b % 10 == 0:
            return self(f"{a} · {b}", a * b, label, wanted)
        tens, ones = a * (b // 10 * 10), a * (b % 10)
        return self(f"{a} · {b} = {tens} + {ones}", tens + ones, label, wanted)
