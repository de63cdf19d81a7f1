"""The world's 16 question sources, mirroring the paper's (Table 7), and its three benchmarks.

Like the real sources they differ in size, in subject and in difficulty: the largest is broad and
mostly easy, AIME's and GPQA's are hard, competitive programming comes without reference solutions.
And like them they are not clean: some questions need a picture that is not there, some are a
benchmark's.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from s1lib.artifacts import RunError
from s1lib.world.corpus import draw_options, with_options
from s1lib.world.families import FAMILIES, make_problem
from s1lib.world.teacher import letter

Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """A source: the families it draws from and the number of steps its problems take.

    `choice` is the share of its questions that come with four options.
    """

    families: tuple[str, ...]
    steps: tuple[int, int]
    cot_type: str = "math"
    choice: float = 0.0
    solved: bool = True


HARD = (
    *("orbit", "power", "series", "polynomial", "divisor", "congruence", "coins", "riddle"),
    *("factor", "dice", "ways", "multiples", "row", "pairs", "rectangle", "digits"),
)
SCIENCE = (
    *("account", "machine", "mean", "calendar", "shop", "colony", "braking", "runners"),
    *("tickets", "comets", "dot", "orbit", "digits"),
)

SOURCES: dict[str, Source] = {
    "MATH": Source(tuple(FAMILIES), (2, 12)),
    "OlympicArena": Source(
        ("comets", "braking", "colony", "power"), (2, 12), "science", solved=False
    ),
    "TheoremQA": Source(("series", "divisor", "power", "dice", "mean", "polynomial"), (2, 12)),
    "NuminaMATH": Source(tuple(FAMILIES), (1, 14), choice=0.25),
    "OmniMath": Source(("orbit", "power", "row", "congruence", "coins", "ways"), (4, 12)),
    "SciEval": Source(("colony", "account", "mean"), (2, 11), "health science", choice=1.0),
    "OlympiadBench": Source(("polynomial", "rectangle", "braking", "runners", "orbit"), (4, 12)),
    "JEEBench": Source(("runners", "dot", "tickets", "polynomial"), (4, 12), "science", choice=1.0),
    "AGIEval": Source(("tickets", "shop", "calendar", "mean"), (2, 12), "english", choice=1.0),
    "s1-prob": Source(("dice", "ways", "pairs", "multiples"), (6, 12)),
    "GPQA": Source(SCIENCE, (5, 10), "science", choice=1.0),
    "xword": Source(("digits", "riddle"), (2, 11), "crossword"),
    "USACO": Source(("machine", "digits", "orbit"), (4, 12), "coding", solved=False),
    "s1-teasers": Source(("comets", "coins", "riddle", "account"), (5, 12)),
    "LiveCodeBench": Source(("machine", "orbit", "factor"), (5, 12), "coding", solved=False),
    "AIME": Source(HARD, (4, 12)),
}
"""In the order of the paper's collection script, which matters for near-duplicates."""

BENCHMARKS: dict[str, Source] = {
    "mini-AIME": Source(HARD, (3, 12)),
    "mini-MATH": Source(tuple(FAMILIES), (3, 10)),
    "mini-GPQA": Source(SCIENCE, (4, 9), "science", choice=1.0),
}

PICTURES = ("[asy] draw(A--B); [/asy]", "![Image](figure.png)")
PICTURE_SHARE = 0.03
LEAK_SHARE = 0.01


def rows(source: str, n: int, seed: int) -> list[Row]:
    """`n` rows with different questions; the same arguments give the same rows.

    Columns: question, solution (or None), answer, cot_type, source_type, source, metadata (JSON
    text with family, params, msc and, for multiple choice, options). Raises `RunError` on an
    unknown source or when a source cannot give that many.
    """
    kind = _named(source, SOURCES)
    rng = random.Random(f"{source}/{seed}")
    alike = [name for name, other in BENCHMARKS.items() if other.choice == round(kind.choice)]
    leaks = [row for name in alike for row in benchmark(name, 100, seed)]
    found: dict[str, Row] = {}
    for _ in range(50 * n + 1000):
        if len(found) == n:
            return list(found.values())
        row = rng.choice(leaks) if rng.random() < LEAK_SHARE else _draw(rng, kind)
        question = row["question"]
        if rng.random() < PICTURE_SHARE:
            question = f"{question} {rng.choice(PICTURES)}"
        found[question] = {
            "question": question,
            "solution": f"The answer is {row['answer']}." if kind.solved else None,
            "answer": row["answer"],
            "cot_type": kind.cot_type,
            "source_type": f"world/{source}",
            "source": source,
            "metadata": row["metadata"],
        }
    raise RunError(f"source {source} has no {n} different questions: ask for a smaller pool")


def benchmark(name: str, n: int, seed: int) -> list[Row]:
    """`n` different problems of a benchmark: question, answer, answer_type, metadata.

    A longer benchmark begins with a shorter one of the same seed, and none shares a question with
    another one, whatever their seeds.
    """
    kind, mine = _named(name, BENCHMARKS), list(BENCHMARKS).index(name)
    rng = random.Random(f"benchmark/{name}/{seed}")
    found: dict[str, Row] = {}
    while len(found) < n:
        row = _draw(rng, kind, held_out=True)
        if crc32(row["question"].encode()) % len(BENCHMARKS) == mine:
            found.setdefault(row["question"], row)
    return list(found.values())


def _draw(rng: random.Random, kind: Source, held_out: bool = False) -> Row:
    problem = make_problem(rng, rng.choice(kind.families), *kind.steps, held_out)
    options = draw_options(problem, rng) if rng.random() < kind.choice else None
    family = problem.family
    facts: Row = {"family": family.name, "msc": family.msc, "params": problem.params}
    if options:
        facts["options"] = options
    return {
        "question": with_options(problem.question, options),
        "answer": letter(problem.answer, options),
        "answer_type": "choice" if options else "integer",
        "metadata": json.dumps(facts, sort_keys=True),
    }


def _named(name: str, table: dict[str, Source]) -> Source:
    if name not in table:
        raise RunError(f"unknown source {name!r}: use one of {', '.join(table)}")
    return table[name]
