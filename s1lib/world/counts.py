"""Families that ask how many: candidates are gone through, or counted without looking at each."""

from __future__ import annotations

import math
import random

from s1lib.world.family import Family, Params
from s1lib.world.pen import Pen


class Dice(Family):
    msc = "60"
    rule = "Go through one die's numbers, or take the largest that fits less the smallest."
    question = "A die has {n} sides, another {m}: how many rolls do not add up to {s}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        sides, other = n + 3, rng.randint(4, 24)
        return {"n": sides, "m": other, "s": rng.randint(4, sides + other - 2)}

    def _others(self, p: Params, found: int, pen: Pen) -> int:
        return pen.minus(pen.product(p["n"], p["m"]), found)

    def slow(self, p: Params, pen: Pen) -> int:
        found = 0
        for i in range(max(1, p["s"] - p["m"] - 2), min(p["n"], p["s"] - 1) + 1):
            j = p["s"] - i
            found += j <= p["m"]
            pen.say(f"{p['s']} - {i} = {j}" + (f", {found}" if j <= p["m"] else ", no"))
        return self._others(p, found, pen)

    def fast(self, p: Params, pen: Pen) -> int:
        least, most = 1, min(p["n"], p["s"] - 1)
        if p["s"] > p["m"]:
            least = pen.minus(p["s"], p["m"])
        found = pen(f"{most} - {least} + 1", most - least + 1)
        return self._others(p, found, pen)


class Ways(Family):
    msc = "11"
    rule = "Test each x, or find the first that fits and go on by the divisor."

    def draw(self, rng: random.Random, n: int) -> Params:
        b = rng.choice((2, 3, 5, 7))
        a = rng.choice([a for a in range(2, 12) if math.gcd(a, b) == 1])
        return {"a": a, "b": b, "c": rng.randint(10, 99), "l": rng.randint(3, 30), "n": max(n, b)}

    def ask(self, p: Params) -> str:
        return (
            f"What do all x from {p['l'] + 1} to {p['l'] + p['n']} add up to "
            f"for which {p['b']} divides {p['c']} + {p['a']}x?"
        )

    def slow(self, p: Params, pen: Pen) -> int:
        total, rest = 0, self._first(p, pen)
        for x in range(p["l"] + 1, p["l"] + p["n"] + 1):
            if x > p["l"] + 1:
                rest = pen.turn(rest, p["a"] % p["b"], p["b"], f"{x}) ", lambda v: v == 0)
            if rest == 0:
                total = pen.plus(total, x)
        return total

    def _first(self, p: Params, pen: Pen) -> int:
        x = p["l"] + 1
        value = pen(f"{p['c']} + {p['a']} · {x}", p["c"] + p["a"] * x)
        return pen.rest(value, p["b"], f"{x}) ", lambda v: v == 0)

    def fast(self, p: Params, pen: Pen) -> int:
        rest = self._first(p, pen)
        for x in range(p["l"] + 1, p["l"] + p["b"] + 3):
            if rest == 0:
                break
            rest = pen.turn(rest, p["a"] % p["b"], p["b"], f"{x + 1}) ", lambda v: v == 0)
        total = x
        while x + p["b"] <= p["l"] + p["n"]:
            x += p["b"]
            total = pen.plus(total, x)
        return total


class Multiples(Family):
    msc = "05"
    rule = "List them, or add both counts and take away those counted twice."
    question = "How many numbers from 1 to {n} can be divided neither by {a} nor by {b}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        a, b = rng.sample(range(3, 13), 2)
        most = max(round(n / (1 / a + 1 / b)), max(a, b) + 1)
        return {"a": a, "b": b, "n": most + rng.randint(0, 4)}

    def slow(self, p: Params, pen: Pen) -> int:
        found = 0
        for step, other in ((p["a"], 0), (p["b"], p["a"])):
            x = step
            while x <= p["n"] and found < 60:
                twice = other and x % other == 0
                found += not twice
                pen.say(f"{x}, " + ("seen" if twice else f"{found}"))
                x = x + step
        return pen.minus(p["n"], found)

    def fast(self, p: Params, pen: Pen) -> int:
        n, both = p["n"], math.lcm(p["a"], p["b"])
        first = pen.over(n, p["a"])
        second = pen.over(n, p["b"])
        twice = pen.over(n, both) if pen.minds else 0
        found = pen(f"{first} + {second} - {twice}", first + second - twice)
        return pen.minus(n, found)


class Pairs(Family):
    msc = "05"
    rule = "Go girl by girl, or take all pairs less those of boys alone."
    question = "Of {g} girls and {b} boys, how many pairs have at least one girl?"

    def draw(self, rng: random.Random, n: int) -> Params:
        return {"g": min(n + 1, 20), "b": rng.randint(2, 31 - min(n + 1, 20))}

    def slow(self, p: Params, pen: Pen) -> int:
        total = 0
        for k in range(1, p["g"] + 1):
            total = pen.plus(total, p["g"] - k + p["b"], f"{k}) ")
        return total

    def fast(self, p: Params, pen: Pen) -> int:
        everyone = p["g"] + p["b"]
        total = pen.over(pen.product(everyone, everyone - 1), 2)
        if not pen.minds:
            return total
        boys = pen(f"{p['b']} · {p['b'] - 1} / 2", p["b"] * (p["b"] - 1) // 2)
        return pen.minus(total, boys)
