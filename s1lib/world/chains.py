"""Families whose answer is the end of a computation: its length says nothing about the answer."""

from __future__ import annotations

import random

from s1lib.world.family import Family, Params
from s1lib.world.pen import Pen


class Account(Family):
    msc = "91"
    rule = "Add week by week, or all gains at once less all fees; a fee falls due every few weeks."
    question = "{s} coins gain {d} a week and lose {f} every {e} weeks: how many after {n} weeks?"

    def draw(self, rng: random.Random, n: int) -> Params:
        weeks, gain, every = max(1, n), rng.randint(11, 29), rng.randint(2, 6)
        start, fee = rng.randint(20, 220), rng.randint(3, 9)
        return {"s": start, "d": gain, "f": fee, "e": every, "n": weeks}

    def slow(self, p: Params, pen: Pen) -> int:
        have = p["s"]
        for week in range(1, p["n"] + 1):
            have = pen.plus(have, p["d"], f"{week}) ")
            if week % p["e"] == 0:
                have = pen.minus(have, p["f"])
        return have

    def fast(self, p: Params, pen: Pen) -> int:
        have = pen.plus(p["s"], pen.product(p["n"], p["d"]))
        if p["n"] < p["e"] or not pen.minds:
            return have
        fees = pen.product(p["n"] // p["e"], p["f"], f"{p['n'] // p['e']} losses: ")
        return pen.minus(have, fees)


class Orbit(Family):
    msc = "37"
    rule = "Apply the map again and again, or twice at once."
    question = "Start with v = {s} and {n} times put {a}v + {b} modulo {m} for v: which v?"

    def draw(self, rng: random.Random, n: int) -> Params:
        m = rng.randint(13, 47)
        start, a, b = rng.randint(1, m - 1), rng.randint(2, 4), rng.randint(1, 12)
        return {"s": start, "a": a, "b": b, "m": m, "n": n}

    def _apply(self, v: int, a: int, b: int, m: int, label: str, pen: Pen) -> int:
        return pen.below(pen(f"{a} · {v} + {b}", a * v + b, label), m)

    def slow(self, p: Params, pen: Pen) -> int:
        v = p["s"]
        for k in range(1, p["n"] + 1):
            v = self._apply(v, p["a"], p["b"], p["m"], f"{k}) ", pen)
        return v

    def fast(self, p: Params, pen: Pen) -> int:
        v, k = p["s"], p["n"] % 2
        if k:
            v = self._apply(v, p["a"], p["b"], p["m"], "1) ", pen)
        if p["n"] == k:
            return v
        b = pen(f"{p['a']} · {p['b']} + {p['b']}", p["a"] * p["b"] + p["b"], "Twice at once: ")
        a = pen(f"{p['a']} · {p['a']}", p["a"] ** 2)
        for done in range(k + 2, p["n"] + 1, 2):
            v = self._apply(v, a, b, p["m"], f"{done}) ", pen)
        return v


class Power(Family):
    msc = "20"
    rule = "Multiply step by step and keep the remainder, or square."
    question = "What is left when {a} to the power {n} is divided by {m}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        m = rng.choice((23, 29, 31, 37, 41, 43, 47))
        return {"a": rng.randint(2, 9), "m": m, "n": n + 1}

    def _times(self, v: int, a: int, m: int, label: str, pen: Pen) -> int:
        return pen.below(pen.product(v, a, label), m)

    def slow(self, p: Params, pen: Pen) -> int:
        v = p["a"]
        for k in range(2, p["n"] + 1):
            v = self._times(v, p["a"], p["m"], f"{k}) ", pen)
        return v

    def fast(self, p: Params, pen: Pen) -> int:
        v, k = p["a"], 1
        for bit in bin(p["n"])[3:]:
            k *= 2
            v = self._times(v, v, p["m"], f"{k}) ", pen)
            if bit == "1":
                k += 1
                v = self._times(v, p["a"], p["m"], f"{k}) ", pen)
        return v


class Series(Family):
    msc = "40"
    rule = "Add the terms one by one, or take half of (first + last) times their number."
    question = "Add {s} and each next number {d} larger, {n} in all: what is the sum?"

    def draw(self, rng: random.Random, n: int) -> Params:
        d = rng.randint(2, 7 if n < 12 else 3)
        return {"s": rng.randint(3, 30 if n < 12 else 12), "d": d, "n": n + 1}

    def slow(self, p: Params, pen: Pen) -> int:
        total, term = p["s"], p["s"]
        for k in range(2, p["n"] + 1):
            term += p["d"]
            total = pen.plus(total, term, f"{k}) ")
        return total

    def fast(self, p: Params, pen: Pen) -> int:
        grown = pen.product(p["n"] - 1, p["d"])
        ends = pen(f"{p['s']} + {p['s']} + {grown}", 2 * p["s"] + grown, "First and last: ")
        return pen.over(pen.product(p["n"], ends), 2)


class Polynomial(Family):
    msc = "12"
    rule = "Power by power, or from the front: times x, plus the next number (Horner)."

    def draw(self, rng: random.Random, n: int) -> Params:
        x = rng.randint(2, 3)
        degree = min(max(1, (n + 1) // 3), 6 if x == 2 else 4)
        return {"c": [rng.randint(2, 7) for _ in range(degree + 1)], "x": x}

    def ask(self, p: Params) -> str:
        degree = len(p["c"]) - 1
        terms = [f"{c}x^{degree - i}" for i, c in enumerate(p["c"][:-2])] + [f"{p['c'][-2]}x"]
        return f"What is {' + '.join([*terms, str(p['c'][-1])])} at x = {p['x']}?"

    def slow(self, p: Params, pen: Pen) -> int:
        total, power = p["c"][-1], 1
        for k, c in enumerate(reversed(p["c"][:-1]), 1):
            power = p["x"] if k == 1 else pen(f"{power} · {p['x']}", power * p["x"], f"x^{k}: ")
            total = pen.plus(total, pen.product(c, power))
        return total

    def fast(self, p: Params, pen: Pen) -> int:
        value = p["c"][0]
        for c in p["c"][1:]:
            value = pen(f"{value} · {p['x']} + {c}", value * p["x"] + c)
        return value


class Dot(Family):
    msc = "15"
    rule = "Multiply in pairs and add as you go, or two pairs at a time."

    def draw(self, rng: random.Random, n: int) -> Params:
        size = min(max(2, n // 2 + 1), 9)
        return {k: [rng.randint(2, 9) for _ in range(size)] for k in "ab"}

    def ask(self, p: Params) -> str:
        a, b = ("(" + ", ".join(map(str, p[k])) + ")" for k in "ab")
        return f"What is {a} times {b}, pair by pair and added?"

    def slow(self, p: Params, pen: Pen) -> int:
        total = 0
        for k, (a, b) in enumerate(zip(p["a"], p["b"], strict=True), 1):
            term = pen(f"{a} · {b}", a * b, f"{k}) ")
            total = pen.plus(total, term) if k > 1 else term
        return total

    def fast(self, p: Params, pen: Pen) -> int:
        pairs, total = list(zip(p["a"], p["b"], strict=True)), 0
        for k in range(0, len(pairs), 2):
            sum_ = " + ".join(f"{a} · {b}" for a, b in pairs[k : k + 2])
            two = pen(sum_, sum(a * b for a, b in pairs[k : k + 2]))
            total = pen.plus(total, two) if k else two
        return total


class Machine(Family):
    msc = "68"
    rule = "Follow the orders one by one, or two at once."

    def draw(self, rng: random.Random, n: int) -> Params:
        value = start = rng.randint(5, 60)
        orders = []
        for _ in range(min(max(2, n), 16)):
            order = rng.choice(["add", "add", "take"] + ["double"] * (value < 200))
            by = rng.randint(3, 40)
            if order == "take" and by > value:
                order = "add"
            value = value * 2 if order == "double" else value + (by if order == "add" else -by)
            orders.append([order, by])
        return {"s": start, "o": orders}

    def ask(self, p: Params) -> str:
        said = ["double" if o == "double" else f"{o} {by}" for o, by in p["o"]]
        return f"Start with {p['s']}: {', '.join(said)}. What is it now?"

    @staticmethod
    def _do(value: int, order: str, by: int) -> tuple[str, int]:
        if order == "double":
            return " · 2", value * 2
        return (f" + {by}", value + by) if order == "add" else (f" - {by}", value - by)

    def slow(self, p: Params, pen: Pen) -> int:
        value = p["s"]
        for order, by in p["o"]:
            sum_, after = self._do(value, order, by)
            said = order if order == "double" else f"{order} {by}"
            value = pen(f"{value}{sum_}", after, f"{said}: ")
        return value

    def fast(self, p: Params, pen: Pen) -> int:
        value, orders = p["s"], list(p["o"])
        while orders:
            sum_, after = self._do(value, *orders.pop(0))
            if orders and orders[0][0] != "double":
                more, after = self._do(after, *orders.pop(0))
                sum_ += more
            value = pen(f"{value}{sum_}", after)
        return value


class Mean(Family):
    msc = "62"
    rule = "Add and divide, or guess a mean and share out what the guess leaves over."

    def draw(self, rng: random.Random, n: int) -> Params:
        size = min(max(3, n), 12)
        least = rng.randint(20, 46)
        marks = [least + rng.randint(0, 14) for _ in range(size)]
        marks[-1] += -sum(marks) % size
        return {"m": marks}

    def ask(self, p: Params) -> str:
        return f"What is the mean of {', '.join(map(str, p['m']))}?"

    def slow(self, p: Params, pen: Pen) -> int:
        total = p["m"][0]
        for k, mark in enumerate(p["m"][1:], 2):
            total = pen.plus(total, mark, f"{k}) ")
        return pen.over(total, len(p["m"]))

    def fast(self, p: Params, pen: Pen) -> int:
        marks, over = p["m"], 0
        for k in range(0, len(marks), 2):
            two = marks[k : k + 2]
            sum_ = " + ".join([str(over)] * (k > 0) + [f"({mark} - 20)" for mark in two])
            over = pen(sum_, over + sum(two) - 20 * len(two))
        return pen(f"20 + {over} / {len(marks)}", 20 + over // len(marks))


class Calendar(Family):
    msc = "85"
    rule = "Go on week by week, or divide the days between by the length of a week."
    question = "Day {a} is day {k} of a week of {w} days: which day of its week is day {b}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        week, first = rng.randint(17, 29), rng.randint(2, 90)
        day, over = rng.randint(1, week), rng.randint(1, week - 1)
        return {"w": week, "a": first, "k": day, "b": first + week * n + over}

    def slow(self, p: Params, pen: Pen) -> int:
        left = pen.minus(p["b"], p["a"])
        while left >= p["w"]:
            left = pen.minus(left, p["w"])
        return self._shift(p, left, pen)

    def fast(self, p: Params, pen: Pen) -> int:
        days = pen.minus(p["b"], p["a"])
        return self._shift(p, pen.rest(days, p["w"]), pen)

    def _shift(self, p: Params, over: int, pen: Pen) -> int:
        day = pen.plus(p["k"], over)
        if day > p["w"] and pen.minds:
            day = pen.minus(day, p["w"])
        return day


class Row(Family):
    msc = "39"
    rule = "Add both numbers before; after a zero all are multiples of the number before it."
    question = (
        "A row begins with {u} and {v}, each next is the sum of both before, "
        "but number {k} is 0: what is number {n}?"
    )

    def draw(self, rng: random.Random, n: int) -> Params:
        size = min(n + 2, 13)
        zero = rng.randint(max(3, size - 7), max(3, size - 1))
        return {"u": rng.randint(1, 9), "v": rng.randint(1, 9), "k": zero, "n": size}

    def _until(self, p: Params, n: int, pen: Pen) -> int:
        before, now = p["u"], p["v"]
        for k in range(3, n + 1):
            if k == p["k"]:
                pen.say(f"{k}) 0")
                before, now = now, 0
            else:
                before, now = now, pen.plus(before, now, f"{k}) ")
        return now

    def slow(self, p: Params, pen: Pen) -> int:
        return self._until(p, p["n"], pen)

    def fast(self, p: Params, pen: Pen) -> int:
        last = self._until(p, p["k"] - 1, pen)
        times = [1, 1]
        while len(times) < p["n"] - p["k"]:
            times.append(times[-1] + times[-2])
        times = times[: p["n"] - p["k"]]
        if not times:
            return self._until(p, p["n"], pen)
        pen.say(f"then {', '.join(map(str, times))} times {last}")
        return pen.product(last, times[-1])


class Digits(Family):
    msc = "94"
    rule = "Divide again and again and read the remainders backwards, or take away powers."
    question = "How is {n} written in base {b}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        b = max(2, min(6, rng.randint(2, 6), 12 // n))
        least, most = b ** min(max(1, n - 1), 9), min(b ** min(max(2, n), 10), 999) - 1
        return {"b": b, "n": rng.randint(least, most)}

    def slow(self, p: Params, pen: Pen) -> int:
        left, place, value = p["n"], 1, 0
        while left:
            times = left // p["b"]
            value += pen.rest(left, p["b"]) * place
            left, place = times, place * 10
        return value

    def fast(self, p: Params, pen: Pen) -> int:
        left, power, value = p["n"], 1, 0
        while power * p["b"] <= left:
            power *= p["b"]
        while power:
            digit = left // power
            left = pen(f"{left} - {digit} · {power}", left - digit * power)
            value, power = value * 10 + digit, power // p["b"]
        return value


class Shop(Family):
    msc = "97"
    rule = "Take one sale after the other, or all that comes in and all that goes out."

    def draw(self, rng: random.Random, n: int) -> Params:
        have = start = rng.randint(40, 160)
        trades = []
        for _ in range(min(max(1, n // 2), 8)):
            count, size = rng.randint(2, 6), rng.randint(6, 14)
            sells = rng.random() < 0.5 and have > count * size
            have += -count * size if sells else count * size
            trades.append(["sells" if sells else "buys", count, size])
        return {"s": start, "t": trades}

    def ask(self, p: Params) -> str:
        said = ", ".join(f"{verb} {count} boxes of {size}" for verb, count, size in p["t"])
        return f"A shop with {p['s']} pens {said}. How many has it?"

    def slow(self, p: Params, pen: Pen) -> int:
        have = p["s"]
        for verb, count, size in p["t"]:
            pens = pen(f"{count} · {size}", count * size)
            sign, pens_ = ("-", -pens) if verb == "sells" else ("+", pens)
            have = pen(f"{have} {sign} {pens}", have + pens_)
        return have

    def fast(self, p: Params, pen: Pen) -> int:
        have = p["s"]
        for verb, count, size in p["t"]:
            sign = "-" if verb == "sells" else "+"
            pens = count * size if verb == "buys" else -count * size
            have = pen(f"{have} {sign} {count} · {size}", have + pens)
        return have


class Divisor(Family):
    msc = "13"
    rule = "Take the smaller from the larger until both are equal, or use remainders (Euclid)."
    question = "What is the greatest number that divides both {a} and {b}?"

    def draw(self, rng: random.Random, n: int) -> Params:
        a, b, steps = 1, 1, max(1, n - 1)
        while steps > 0:
            more = min(steps, rng.randint(1, 5))
            a, b, steps = b, a + more * b, steps - more
            if b > 60:
                break
        unit = rng.randint(3, max(3, 800 // max(a, b)))
        return {"a": max(a, b) * unit, "b": min(a, b) * unit}

    def slow(self, p: Params, pen: Pen) -> int:
        a, b = p["a"], p["b"]
        for _ in range(40):
            if a == b or b == 0:
                break
            rest = pen.minus(a, b)
            a, b = max(b, rest), min(b, rest)
        return a

    def fast(self, p: Params, pen: Pen) -> int:
        a, b = p["a"], p["b"]
        while b:
            a, b = b, pen.rest(a, b)
            if b >= a:
                break
        return a
