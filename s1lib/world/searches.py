"""Families whose answer is found by trying one candidate after the other."""

from __future__ import annotations

import math
import random

from s1lib.world.family import Family, Params
from s1lib.world.pen import Pen

TRIES = 30
"""After so many candidates a solver who has misread takes the last."""


class Colony(Family):
    msc = "92"
    rule = "Add day by day, or divide what is missing by the daily gain; more than is not exactly."
    question = "A colony of {s} on day {k} grows by {d} a day: on which day has it over {t}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        s, d = rng.randint(12, 90), rng.randint(3, 19)
        k, over = rng.randint(11, 70), d * (n - 1) + rng.choice((0, rng.randint(1, d - 1)))
        return {"s": s, "d": d, "k": k, "t": s + over}

    def slow(self, p: Params, pen: Pen) -> int:
        have, enough = p["s"], p["t"] + pen.minds
        for day in range(p["k"] + 1, p["k"] + TRIES):
            have = pen.plus(have, p["d"], f"{day}) ", lambda v: v >= enough)
            if have >= enough:
                break
        return day

    def fast(self, p: Params, pen: Pen) -> int:
        gap = pen.minus(p["t"], p["s"])
        rest = pen.rest(gap, p["d"])
        return pen.plus(p["k"], gap // p["d"] + (rest > 0 or pen.minds))


class Braking(Family):
    msc = "70"
    rule = "Take away second by second, or divide; below is not exactly."
    question = "A train at speed {s} in second {k} loses {d} a second: when is it below {t}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        d, t = rng.randint(2, 9), rng.randint(5, 60)
        over = d * (n - 1) + rng.choice((0, rng.randint(1, d - 1)))
        return {"s": t + over, "d": d, "k": rng.randint(11, 70), "t": t}

    def slow(self, p: Params, pen: Pen) -> int:
        speed, enough = p["s"], p["t"] - pen.minds
        for second in range(p["k"] + 1, p["k"] + TRIES):
            speed = pen.minus(speed, p["d"], f"{second}) ", lambda v: v <= enough)
            if speed <= enough:
                break
        return second

    def fast(self, p: Params, pen: Pen) -> int:
        gap = pen.minus(p["s"], p["t"])
        rest = pen.rest(gap, p["d"])
        return pen.plus(p["k"], gap // p["d"] + (rest > 0 or pen.minds))


class Congruence(Family):
    msc = "11"
    rule = "Try each x, or look for a multiple of the factor among the numbers with that remainder."
    question = "Which first x over {l} makes {a}x leave {r} when divided by {m}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        m = rng.choice([m for m in (11, 13, 17, 19, 23, 29, 31) if m > n])
        a, over = rng.randint(2, 9), rng.randint(2, 40)
        return {"a": a, "m": m, "r": a * (over + n) % m, "l": over}

    def slow(self, p: Params, pen: Pen) -> int:
        first = p["l"] + 1
        value = pen.product(first, p["a"])
        rest = pen.rest(value, p["m"], f"{first}) ", lambda v: v == p["r"])
        for x in range(first, first + TRIES):
            if rest == p["r"]:
                break
            rest = pen.turn(rest, p["a"], p["m"], f"{x + 1}) ", lambda v: v == p["r"])
        return x

    def fast(self, p: Params, pen: Pen) -> int:
        times = -(-(p["a"] * (p["l"] + 1) - p["r"]) // p["m"])
        number = pen(f"{p['r']} + {times} · {p['m']}", p["r"] + times * p["m"])
        for _ in range(p["a"] + 3):
            if pen.rest(number, p["a"], "", lambda v: v == 0) == 0:
                break
            number = pen.plus(number, p["m"])
        return number // p["a"]


class Comets(Family):
    msc = "85"
    rule = "Go in steps of the shorter period and test the longer, or the other way round."
    question = "Which first day over {l} leaves {i} when divided by {p} and {j} by {q}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        p, q, over = rng.randint(3, 6), rng.choice((11, 13, 17, 19, 23)), rng.randint(20, 150)
        i = rng.randrange(p)
        day = over + 1 + (i - over - 1) % p + p * (n - 1)
        return {"p": p, "i": i, "q": q, "j": day % q, "l": over}

    def _search(self, p: Params, pen: Pen, step: int, i: int, by: int, j: int) -> int:
        day = p["l"] + 1 + (i - p["l"] - 1) % step
        rest = pen.rest(day, by, f"{day}) ", lambda v: v == j)
        for _ in range(TRIES):
            if rest == j:
                break
            day += step
            rest = pen.turn(rest, step % by, by, f"{day}) ", lambda v: v == j)
        return day

    def slow(self, p: Params, pen: Pen) -> int:
        return self._search(p, pen, p["p"], p["i"], p["q"], p["j"])

    def fast(self, p: Params, pen: Pen) -> int:
        return self._search(p, pen, p["q"], p["j"], p["p"], p["i"])


class Coins(Family):
    msc = "90"
    rule = "Pay with no small coin, one, two ... and test the rest, or begin with the large ones."
    question = "Paying {c} with coins of {a} and {b}, how many of {b} are there at most?"

    def draw(self, rng: random.Random, n: int) -> Params:
        a, b = rng.choice([(3, 11), (4, 9), (4, 13), (5, 12), (6, 11), (5, 9), (6, 13), (3, 13)])
        return {"a": a, "b": b, "c": a * min(n - 1, b - 1) + b * rng.randint(3, 30)}

    def slow(self, p: Params, pen: Pen) -> int:
        left = p["c"]
        rest = pen.rest(left, p["b"], "", lambda v: v == 0)
        for _ in range(TRIES):
            if rest == 0:
                break
            left -= p["a"]
            rest = pen.turn(rest, p["b"] - p["a"], p["b"], f"{left}) ", lambda v: v == 0)
        return pen.over(left, p["b"])

    def fast(self, p: Params, pen: Pen) -> int:
        for y in range(p["c"] // p["b"], -1, -1):
            left = pen(f"{p['c']} - {y} · {p['b']}", p["c"] - p["b"] * y)
            if pen.rest(left, p["a"], "", lambda v: v == 0) == 0:
                break
        return y


class Rectangle(Family):
    msc = "51"
    rule = (
        "Try sides, or use that half the sum squared less the area is half the difference squared."
    )

    def draw(self, rng: random.Random, n: int) -> Params:
        x = min(n + 1, 14)
        return {"x": x, "y": x + 2 * rng.randint(0, 12)}

    def ask(self, p: Params) -> str:
        return (
            f"Two sides add up to {p['x'] + p['y']} and multiply to {p['x'] * p['y']}: "
            f"how long is the longer?"
        )

    def slow(self, p: Params, pen: Pen) -> int:
        total = p["x"] + p["y"]
        for x in range(2, total // 2 + 1):
            area = pen.product(x, total - x, "", lambda v: v == p["x"] * p["y"])
            if area == p["x"] * p["y"]:
                break
        return pen.minus(total, x)

    def fast(self, p: Params, pen: Pen) -> int:
        half, area = (p["x"] + p["y"]) // 2, p["x"] * p["y"]
        gap = pen.minus(pen.product(half, half), area)
        return pen.plus(half, pen(f"root of {gap}", math.isqrt(gap)))


class Tickets(Family):
    msc = "15"
    rule = "Try each number of dear tickets, or ask how far all cheap ones fall short."
    question = "{s} tickets at {a} or {b} cost {c} in all: how many cost {a}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        a, b = sorted(rng.sample(range(2, 13), 2))
        x = min(n, 20)
        s = x + rng.randint(2, 25)
        return {"a": a, "b": b, "s": s, "c": b * x + a * (s - x)}

    def slow(self, p: Params, pen: Pen) -> int:
        cost, more = pen.product(p["s"], p["a"]), p["b"] - p["a"]
        for cheap in range(p["s"] - 1, -1, -1):
            cost = pen.plus(cost, more, f"{cheap}) ", lambda v: v == p["c"])
            if cost >= p["c"]:
                break
        return cheap

    def fast(self, p: Params, pen: Pen) -> int:
        short = pen.minus(p["c"], pen.product(p["s"], p["a"]))
        dear = pen.over(short, p["b"] - p["a"])
        return pen.minus(p["s"], dear) if pen.minds else dear


class Runners(Family):
    msc = "70"
    rule = "Move both second by second, or divide the lead by the difference of speeds."
    question = "From {p} at speed {u} and from {q} at speed {v}: where do two runners meet?"

    def draw(self, rng: random.Random, n: int) -> Params:
        u, q = rng.randint(2, 12), rng.randint(0, 40)
        v = u + rng.randint(1, 6)
        return {"p": q + (v - u) * n, "u": u, "q": q, "v": v}

    def slow(self, p: Params, pen: Pen) -> int:
        a, b = p["p"], p["q"]
        for _ in range(TRIES):
            ahead = a + p["u"]
            first = f"{a} + {p['u']} = {ahead}, "
            b = pen.plus(b, p["v"], first, lambda v: v == ahead)  # noqa: B023
            a = ahead
            if b >= a:
                break
        return a

    def fast(self, p: Params, pen: Pen) -> int:
        time = pen.over(pen.minus(p["p"], p["q"]), p["v"] - p["u"])
        way = pen.product(p["u"], time)
        return pen.plus(p["p"], way) if pen.minds else way


class Riddle(Family):
    msc = "03"
    rule = "Go through the numbers with that remainder, or through those with that digit sum."
    question = (
        "Which first number over {l} has digits that add up to {s} and leaves {r} when divided "
        "by {m}?"
    )

    def draw(self, rng: random.Random, n: int) -> Params:
        m, x = rng.choice((4, 5, 7, 8)), rng.randint(10, 99)
        s, r, over = x // 10 + x % 10, x % m, max(9, x - m * n + rng.randint(0, m - 1))
        return {"m": m, "r": r, "s": s, "l": over}

    def slow(self, p: Params, pen: Pen) -> int:
        x = p["l"] + 1 + (p["r"] - p["l"] - 1) % p["m"]
        for _ in range(TRIES):
            digits = [int(d) for d in str(x)]
            added = pen(" + ".join(map(str, digits)), sum(digits), f"{x}) ", lambda v: v == p["s"])
            if added == p["s"]:
                break
            x += p["m"]
        return x

    def fast(self, p: Params, pen: Pen) -> int:
        alike = [x for x in range(p["l"] + 1, 400) if sum(map(int, str(x))) == p["s"]]
        for x in alike[:TRIES]:
            if pen.rest(x, p["m"], "", lambda v: v == p["r"]) == p["r"]:
                break
        return x


class Factor(Family):
    msc = "11"
    rule = "Divide by two, three, four ..., or by primes only."
    question = "What is the greatest divisor of {n} below {n} itself?"

    def draw(self, rng: random.Random, n: int) -> Params:
        primes = [d for d in range(2, 100) if all(d % k for k in range(2, d))]
        p = min(primes, key=lambda d: abs(d - n - 1))
        q = rng.choice([d for d in range(p, 500 // p + 1) if all(d % k for k in range(2, p))])
        return {"n": p * q}

    def _search(self, n: int, pen: Pen, divisors: range | tuple[int, ...]) -> int:
        for d in divisors:
            if pen.rest(n, d, "", lambda v: v == 0) == 0:
                break
        return pen.over(n, d)

    def slow(self, p: Params, pen: Pen) -> int:
        return self._search(p["n"], pen, range(2, TRIES))

    def fast(self, p: Params, pen: Pen) -> int:
        return self._search(p["n"], pen, (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31))
