"""Families of questions whose answers must be searched for, with exact solutions.

A question asks for the first candidate that meets a condition, or for how many candidates do. Most
conditions have a part that a hurried reader forgets: "and x is odd", "over 45" when the value is
45 exactly, "the larger root" when the smaller is met first. A solver that tries candidates one by
one therefore needs a number of steps that varies over two orders of magnitude, and can be wrong in
a way that a second look catches. That is the kind of reasoning which the paper's claims are about.

Numbers stay small (few exceed 400), so that a model of a few million parameters
can learn the arithmetic. Questions are terse, so that every eight consecutive words hold the
numbers: otherwise two questions of one family would count as overlapping in decontamination.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Params = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One candidate of a search.

    `name` and `value` are what a quick look writes down (a chain of numbers, each one a short sum
    away from those before it), `work` is the arithmetic behind `value`;
    `hit` is whether the value is the wanted one, and `side` names the part of the condition that is
    easily forgotten, empty where there is none, with `side_ok` its truth.
    """

    number: int
    name: str
    value: str
    work: str
    hit: bool
    side: str = ""
    side_ok: bool = True

    @property
    def right(self) -> bool:
        """Whether the candidate meets the whole condition."""
        return self.hit and self.side_ok


@dataclass(frozen=True)
class Family:
    """A kind of question. `draw` picks parameters that need about `n` steps."""

    name: str
    msc: str
    draw: Callable[[random.Random, int], Params]
    ask: Callable[[Params], str]
    search: Callable[[Params], Iterator[Step]]
    counts: bool = False

    def steps(self, params: Params) -> list[Step]:
        """Candidates in order: up to the first right one, or all of them where hits are counted.

        Raises `ValueError` if there is no right one among the first 99.
        """
        steps: list[Step] = []
        for step in self.search(params):
            steps.append(step)
            if step.right and not self.counts:
                return steps
            if len(steps) > 99:
                break
        if self.counts and 0 < len(steps) < 99:
            return steps
        raise ValueError(f"{self.name}: no answer for {params}")

    def answer(self, steps: list[Step]) -> str:
        """The right answer, from all steps."""
        return str(sum(s.right for s in steps) if self.counts else steps[-1].number)


@dataclass(frozen=True)
class Problem:
    """A question with everything that a scripted solver needs."""

    family: Family
    params: Params
    question: str
    steps: list[Step]
    answer: str


FAMILIES: dict[str, Family] = {}


def make_problem(
    rng: random.Random, family: str, low: int, high: int, held_out: bool = False
) -> Problem:
    """Draw a problem of a family that takes from `low` to `high` steps, log-uniformly spread.

    One question in eight is held out: benchmarks consist of such questions only, and neither the
    pretraining corpus nor the sources hold any (but for the leaks that decontamination must find).
    """
    kind = FAMILIES[family]
    for _ in range(2000):
        target = round(math.exp(rng.uniform(math.log(low), math.log(high))))
        try:
            problem = rebuild(family, kind.draw(rng, target))
        except ValueError:
            continue
        if low <= len(problem.steps) <= high and is_held_out(problem.question) == held_out:
            return problem
    raise ValueError(f"{family} has no problem of {low} to {high} steps")


def is_held_out(question: str) -> bool:
    """Whether a question (without options) is kept for benchmarks."""
    return hashlib.sha256(question.encode()).digest()[0] % 8 == 0


def rebuild(family: str, params: Params) -> Problem:
    """The problem that belongs to parameters (from a row's metadata)."""
    kind = FAMILIES[family]
    steps = kind.steps(params)
    return Problem(kind, params, kind.ask(params), steps, kind.answer(steps))


# Conditions that are easily forgotten -----------------------------------------------------------


def _draw_side(rng: random.Random) -> str:
    return rng.choice(("", "", "odd", "even", f"above {rng.choice((5, 10, 15, 20, 30))}"))


def _side_ok(side: str, x: int) -> bool:
    if side.startswith("above"):
        return x > int(side[6:])
    return side == "" or x % 2 == (side == "odd")


def _and(side: str, variable: str = "x") -> str:
    return f" and {variable} {side}" if side else ""


def _at(side: str) -> str:
    return f" at k {side}" if side else ""


def _add(
    name: str,
    msc: str,
    draw: Callable[[random.Random, int], Params],
    ask: Callable[[Params], str],
    search: Callable[[Params], Iterator[Step]],
    counts: bool = False,
) -> None:
    FAMILIES[name] = Family(name, msc, draw, ask, search, counts)


def _remainder(a: int, m: int) -> str:
    """Working of `a mod m`, such as `84-80=4`."""
    return f"{a}-{a // m * m}={a % m}"


def _rest(a: int, m: int) -> str:
    """The same for a quick look, such as `84,80,4`."""
    return f"{a},{a // m * m},{a % m}"


# Searches with periodic hits: the first hit may fail the side condition --------------------------


def _draw_congruence(rng: random.Random, n: int) -> Params:
    m = rng.randint(max(5, n // 3), min(31, 2 * n + 5))
    a = rng.randint(2, min(m - 1, 9))
    return {"a": a, "m": m, "r": a * n % m, "side": _draw_side(rng)}


def _congruence(p: Params) -> Iterator[Step]:
    a, m, r, side = p["a"], p["m"], p["r"], p["side"]
    for x in range(1, 100):
        work = f"{a}*{x}={a * x},{_remainder(a * x, m)}"
        ok = _side_ok(side, x)
        yield Step(x, f"x={x}", _rest(a * x, m), work, a * x % m == r, side, ok)


_add(
    "congruence",
    "11",
    _draw_congruence,
    lambda p: f"Find the least x with {p['a']}x mod {p['m']}={p['r']}{_and(p['side'])}.",
    _congruence,
)


def _draw_comets(rng: random.Random, n: int) -> Params:
    p, q = rng.randint(2, 9), rng.randint(max(3, n // 3), min(19, n + 6))
    a = rng.randint(1, p)
    return {"p": p, "q": q, "a": a, "b": (a + p * (n - 1)) % q, "side": _draw_side(rng)}


def _comets(p: Params) -> Iterator[Step]:
    for day in range(p["a"], 999, p["p"]):
        rest = day % p["q"]
        ok = _side_ok(p["side"], day)
        yield Step(
            day,
            f"t={day}",
            f"{day - rest},{rest}",
            _remainder(day, p["q"]),
            rest == p["b"],
            p["side"],
            ok,
        )


_add(
    "comets",
    "85",
    _draw_comets,
    lambda p: (
        f"First comet day t={p['a']}+{p['p']}k with t mod {p['q']}={p['b']}{_and(p['side'], 't')}?"
    ),
    _comets,
)


def _draw_order(rng: random.Random, n: int) -> Params:
    m = rng.randint(max(5, n), max(37, n + 2))
    a = rng.choice([a for a in range(2, min(m, 10)) if math.gcd(a, m) == 1] or [1])
    return {"a": a, "m": m, "side": _draw_side(rng)}


def _order(p: Params) -> Iterator[Step]:
    value = 1
    for k in range(1, 100):
        before, value = value, value * p["a"] % p["m"]
        work = f"{before}*{p['a']}={before * p['a']},{_remainder(before * p['a'], p['m'])}"
        ok = _side_ok(p["side"], k)
        yield Step(k, f"k={k}", _rest(before * p["a"], p["m"]), work, value == 1, p["side"], ok)


_add(
    "order",
    "20",
    _draw_order,
    lambda p: f"Find the least k with {p['a']}^k mod {p['m']}=1{_and(p['side'], 'k')}.",
    _order,
)


def _draw_orbit(rng: random.Random, n: int) -> Params:
    m = rng.randint(max(7, n), max(37, n + 2))
    a, b, value = rng.randint(2, 5), rng.randint(1, 9), rng.randint(0, m - 1)
    start = value
    for _ in range(n):
        value = (a * value + b) % m
    return {"a": a, "b": b, "m": m, "s": start, "t": value, "side": _draw_side(rng)}


def _orbit(p: Params) -> Iterator[Step]:
    value = p["s"]
    for k in range(1, 100):
        raw = p["a"] * value + p["b"]
        work = f"{p['a']}*{value}+{p['b']}={raw},{_remainder(raw, p['m'])}"
        shown = f"{p['a'] * value},{_rest(raw, p['m'])}"
        value = raw % p["m"]
        ok = _side_ok(p["side"], k)
        yield Step(k, f"k={k}", shown, work, value == p["t"], p["side"], ok)


_add(
    "orbit",
    "37",
    _draw_orbit,
    lambda p: (
        f"When does {p['a']}v+{p['b']} mod {p['m']} take {p['s']} to {p['t']}{_at(p['side'])}?"
    ),
    _orbit,
)


def _draw_recurrence(rng: random.Random, n: int) -> Params:
    m = rng.randint(max(5, n // 2), min(31, n + 9))
    u, v = rng.randint(1, m - 1), rng.randint(1, m - 1)
    start = (u, v)
    for _ in range(n):
        u, v = v, (u + v) % m
    return {"u": start[0], "v": start[1], "m": m, "t": v, "side": _draw_side(rng)}


def _recurrence(p: Params) -> Iterator[Step]:
    u, v = p["u"], p["v"]
    for k in range(1, 100):
        raw = u + v
        work = f"{u}+{v}={raw},{_remainder(raw, p['m'])}"
        u, v = v, raw % p["m"]
        ok = _side_ok(p["side"], k)
        yield Step(k, f"k={k}", f"{raw},{v}", work, v == p["t"], p["side"], ok)


_add(
    "recurrence",
    "39",
    _draw_recurrence,
    lambda p: f"When do sums from {p['u']},{p['v']} mod {p['m']} give {p['t']}{_at(p['side'])}?",
    _recurrence,
)


def _draw_coins(rng: random.Random, n: int) -> Params:
    a, b = rng.randint(2, 6), rng.randint(max(3, n // 3), min(13, n + 6))
    return {"a": a, "b": b, "c": a * n + b * rng.randint(1, 5), "side": _draw_side(rng)}


def _coins(p: Params) -> Iterator[Step]:
    for x in range(1, p["c"] // p["a"] + 1):
        rest = p["c"] - p["a"] * x
        work = f"{p['a']}*{x}={p['a'] * x},{p['c']}-{p['a'] * x}={rest},{_remainder(rest, p['b'])}"
        ok = _side_ok(p["side"], x)
        found = rest % p["b"] == 0
        yield Step(x, f"x={x}", _rest(rest, p["b"]), work, found, p["side"], ok)


_add(
    "coins",
    "90",
    _draw_coins,
    lambda p: f"Find the least x with {p['a']}x+{p['b']}y={p['c']}{_and(p['side'])}.",
    _coins,
)


def _draw_probe(rng: random.Random, n: int) -> Params:
    m = rng.randint(max(7, n // 2), max(37, n + 2))
    d, h = rng.randint(2, m - 1), rng.randint(0, m - 1)
    return {"m": m, "d": d, "h": h, "t": (h + d * n) % m, "side": _draw_side(rng)}


def _probe(p: Params) -> Iterator[Step]:
    slot = p["h"]
    for k in range(1, 100):
        raw = slot + p["d"]
        work = f"{slot}+{p['d']}={raw},{_remainder(raw, p['m'])}"
        slot = raw % p["m"]
        ok = _side_ok(p["side"], k)
        yield Step(k, f"k={k}", f"{raw},{slot}", work, slot == p["t"], p["side"], ok)


_add(
    "probe",
    "68",
    _draw_probe,
    lambda p: (
        f"When does probing {p['m']} slots from {p['h']} by {p['d']} meet {p['t']}{_at(p['side'])}?"
    ),
    _probe,
)


def _draw_divisor(rng: random.Random, n: int) -> Params:
    d = min(n + 1, 14)
    return {"n": d * rng.randint(d, max(d, 200 // d)), "side": _draw_side(rng)}


def _divisor(p: Params) -> Iterator[Step]:
    for x in range(2, 100):
        times, rest = divmod(p["n"], x)
        work = f"{times}*{x}={times * x},{_remainder(p['n'], x)}"
        ok = _side_ok(p["side"], x)
        yield Step(x, f"x={x}", f"{times},{times * x},{rest}", work, rest == 0, p["side"], ok)


_add(
    "divisor",
    "13",
    _draw_divisor,
    lambda p: f"Which least x over 1 divides {p['n']}{_and(p['side'])}?",
    _divisor,
)


def _draw_check_digit(rng: random.Random, n: int) -> Params:
    a, w, m = rng.randint(1, 20), rng.randint(2, 9), rng.randint(max(7, n // 2), min(31, n + 9))
    return {"a": a, "w": w, "m": m, "r": (a + w * n) % m, "side": _draw_side(rng)}


def _check_digit(p: Params) -> Iterator[Step]:
    for x in range(1, 100):
        raw = p["a"] + p["w"] * x
        work = f"{p['w']}*{x}+{p['a']}={raw},{_remainder(raw, p['m'])}"
        ok = _side_ok(p["side"], x)
        found = raw % p["m"] == p["r"]
        yield Step(x, f"x={x}", _rest(raw, p["m"]), work, found, p["side"], ok)


_add(
    "check-digit",
    "94",
    _draw_check_digit,
    lambda p: f"Find the code x with {p['w']}x+{p['a']} mod {p['m']}={p['r']}{_and(p['side'])}.",
    _check_digit,
)


# Thresholds: a hurried reader takes "over" for "at least" ----------------------------------------


def _threshold(letter: str, value: Callable[[Params, int], tuple[int, str]], down: bool = False):
    word = "below" if down else "over"

    def search(p: Params) -> Iterator[Step]:
        limit = p["T"]
        for k in range(1, 100):
            v, work = value(p, k)
            hit = v <= limit if down else v >= limit
            yield Step(k, f"{letter}={k}", str(v), work, hit, f"{word} {limit}", v != limit)

    return search


def _linear(p: Params, k: int) -> tuple[int, str]:
    return p["s"] + p[
        "d"
    ] * k, f"{p['d']}*{k}={p['d'] * k},{p['s']}+{p['d'] * k}={p['s'] + p['d'] * k}"


def _falling(p: Params, k: int) -> tuple[int, str]:
    return p["s"] - p[
        "d"
    ] * k, f"{p['d']}*{k}={p['d'] * k},{p['s']}-{p['d'] * k}={p['s'] - p['d'] * k}"


def _draw_rising(rng: random.Random, n: int) -> Params:
    s, d = rng.randint(1, 30), rng.randint(2, 9)
    return {"s": s, "d": d, "T": s + d * (n - 1) + rng.choice((0, rng.randint(1, d - 1)))}


def _draw_falling(rng: random.Random, n: int) -> Params:
    d = rng.randint(2, 9)
    s = d * n + rng.randint(1, 30)
    return {"s": s, "d": d, "T": s - d * (n - 1) - rng.choice((0, rng.randint(1, d - 1)))}


_add(
    "colony",
    "92",
    _draw_rising,
    lambda p: f"When has colony {p['s']} gaining {p['d']} over {p['T']} cells?",
    _threshold("k", _linear),
)
_add(
    "savings",
    "91",
    _draw_rising,
    lambda p: f"When are {p['s']} coins gaining {p['d']} over {p['T']}?",
    _threshold("k", _linear),
)
_add(
    "cooling",
    "80",
    _draw_falling,
    lambda p: f"When is water of {p['s']} cooling {p['d']} below {p['T']}?",
    _threshold("k", _falling, down=True),
)
_add(
    "braking",
    "70",
    _draw_falling,
    lambda p: f"When is a train {p['s']} braking {p['d']} below {p['T']}?",
    _threshold("k", _falling, down=True),
)


def _draw_series(rng: random.Random, n: int) -> Params:
    s = rng.randint(0, 20)
    total = s + n * (n - 1) // 2
    return {"s": s, "T": total + rng.choice((0, rng.randint(1, max(1, n - 1))))}


def _series(p: Params, n: int) -> tuple[int, str]:
    before = p["s"] + n * (n - 1) // 2
    return before + n, f"{before}+{n}={before + n}"


_add(
    "series",
    "40",
    _draw_series,
    lambda p: f"When is {p['s']} with 1+2+...+n added over {p['T']}?",
    _threshold("n", _series),
)


# Two solutions: the smaller one is met first -----------------------------------------------------


def _draw_two(rng: random.Random, n: int) -> Params:
    larger, n = rng.random() < 0.5, min(n, 16)
    x = n if not larger else max(1, n - rng.randint(1, 6))
    y = n if larger else n + rng.randint(0, 6)
    return {"x": min(x, y), "y": max(x, y), "larger": larger and x != y}


def _two(p: Params) -> Iterator[Step]:
    total, product = p["x"] + p["y"], p["x"] * p["y"]
    for x in range(1, total):
        other = total - x
        side = "larger" if p["larger"] else ""
        work = f"{total}-{x}={other},{x}*{other}={x * other}"
        ok = not p["larger"] or x >= other
        yield Step(x, f"x={x}", f"{other},{x * other}", work, x * other == product, side, ok)


_add(
    "rectangle",
    "51",
    _draw_two,
    lambda p: (
        f"Sides sum to {p['x'] + p['y']} and area is {p['x'] * p['y']}: "
        f"{'larger' if p['larger'] else 'smaller'} x?"
    ),
    _two,
)
_add(
    "roots",
    "12",
    _draw_two,
    lambda p: (
        f"Find the {'larger' if p['larger'] else 'smaller'} root x of equation "
        f"{p['x'] + p['y']}x-xx={p['x'] * p['y']}."
    ),
    _two,
)


# One solution: nothing to forget -----------------------------------------------------------------


def _draw_mixture(rng: random.Random, n: int) -> Params:
    a, b = rng.sample(range(2, 10), 2)
    s = n + rng.randint(0, 10)
    return {"a": a, "b": b, "s": s, "c": a * n + b * (s - n)}


def _mixture(p: Params) -> Iterator[Step]:
    for x in range(1, p["s"] + 1):
        y = p["s"] - x
        v = p["a"] * x + p["b"] * y
        work = f"{p['a']}*{x}={p['a'] * x},{p['b']}*{y}={p['b'] * y},{p['a'] * x}+{p['b'] * y}={v}"
        shown = f"{p['a'] * x},{p['b'] * y},{v}"
        yield Step(x, f"x={x}", shown, work, v == p["c"])


_add(
    "system",
    "15",
    _draw_mixture,
    lambda p: f"What is x if x+y={p['s']} and {p['a']}x+{p['b']}y={p['c']} hold?",
    _mixture,
)
_add(
    "tickets",
    "97",
    _draw_mixture,
    lambda p: f"{p['s']} tickets at {p['a']} or {p['b']} cost {p['c']}: x at {p['a']}?",
    _mixture,
)


def _draw_meeting(rng: random.Random, n: int) -> Params:
    u, p = rng.randint(1, 6), rng.randint(0, 20)
    v = u + rng.randint(1, 3)
    return {"p": p + (v - u) * n, "u": u, "q": p, "v": v}


def _meeting(p: Params) -> Iterator[Step]:
    for t in range(1, 100):
        a, b = p["p"] + p["u"] * t, p["q"] + p["v"] * t
        work = f"{p['p']}+{p['u']}*{t}={a},{p['q']}+{p['v']}*{t}={b}"
        yield Step(t, f"t={t}", f"{a},{b}", work, a == b)


_add(
    "meeting",
    "70",
    _draw_meeting,
    lambda p: f"When do runners at {p['p']}+{p['u']}t and {p['q']}+{p['v']}t meet?",
    _meeting,
)


# Counts: every candidate matters -----------------------------------------------------------------


def _draw_dice(rng: random.Random, n: int) -> Params:
    m = rng.randint(max(2, n // 2), n + 6)
    return {"n": n, "m": m, "s": rng.randint(3, n + m - 1)}


def _dice(p: Params) -> Iterator[Step]:
    for i in range(1, p["n"] + 1):
        j = p["s"] - i
        yield Step(i, f"i={i}", str(j), f"{p['s']}-{i}={j}", 1 <= j <= p["m"])


_add(
    "dice",
    "60",
    _draw_dice,
    lambda p: f"How many {p['n']}-sided and {p['m']}-sided rolls total {p['s']}?",
    _dice,
    counts=True,
)


def _draw_ways(rng: random.Random, n: int) -> Params:
    a = rng.randint(2, 6)
    return {"a": a, "b": rng.randint(2, 9), "c": a * n + rng.randint(0, a - 1)}


def _ways(p: Params) -> Iterator[Step]:
    for x in range(1, p["c"] // p["a"] + 1):
        rest = p["c"] - p["a"] * x
        work = f"{p['a']}*{x}={p['a'] * x},{p['c']}-{p['a'] * x}={rest},{_remainder(rest, p['b'])}"
        yield Step(x, f"x={x}", _rest(rest, p["b"]), work, rest % p["b"] == 0)


_add(
    "ways",
    "05",
    _draw_ways,
    lambda p: f"For how many x>0 does {p['b']} divide {p['c']}-{p['a']}x>=0?",
    _ways,
    counts=True,
)
