"""Facts of nine chapters in which everything went as in the paper, on whatever benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from s1lib.metrics import wilson
from s1lib.published import published
from s1lib.results import FORCING, MEAN, PLAIN, REBASE, VOTE, check

BENCHMARKS = ("mini-AIME", "mini-MATH", "mini-GPQA")
FIXED = {"model": "s1", "method": FORCING, "waits": 2, "string": "Wait"}
BASE = {"model": "base", "method": PLAIN}
METHODS = (
    # method, Control, Scaling, Performance
    ("budget forcing", 100.0, 15.0, 57.0),
    ("token-conditional", 40.0, -24.0, 40.0),
    ("token-conditional + forcing", 100.0, 13.0, 40.0),
    ("class-conditional", 50.0, 25.0, 37.0),
    ("rejection sampling", 100.0, -30.0, 40.0),
)
HERE = {"dtype": "float32", "device": "cpu"}
Row = dict[str, Any]


def estimate(correct: int, n: int = 300) -> Row:
    return {"value": round(100 * correct / n, 2), "n": n, "ci95": wilson(correct, n), **HERE}


def about(value: float, half: float = 2.0) -> Row:
    return {"value": value, "n": 300, "ci95": [value - half, value + half], **HERE}


def point(benchmark: str, setting: Row, correct: int, **spent: Any) -> Row:
    return {"setting": setting, "benchmark": benchmark, **estimate(correct), **spent}


def difference(after: Row, before: Row, benchmark: str, value: float, **more: Any) -> Row:
    return {"after": after, "before": before, "benchmark": benchmark, **about(value), **more}


def forced(**fields: Any) -> Row:
    return {"model": "s1", "method": FORCING, **fields}


def curve(benchmark: str, best: int) -> list[Row]:
    budgets = [
        point(benchmark, forced(budget=b), best * i // 6,
              thinking_tokens=min(b, 170.0), tokens=min(b, 170.0) + 3)
        for i, b in enumerate((16, 32, 64, 128, 256, 512), start=1)
    ]  # fmt: skip
    waits = [
        point(benchmark, forced(waits=w, string="Wait") if w else forced(), best + 3 * min(w, 2),
              thinking_tokens=180.0 + 30 * w, tokens=183.0 + 30 * w)
        for w in (0, 1, 2, 4, 6)
    ]  # fmt: skip
    return budgets + waits


def chapter_06(names: Iterable[str]) -> Row:
    strings = ("", "Hmm", "Alternatively")
    points, differences = [], []
    for place, name in enumerate(names):
        points += curve(name, 180 + 10 * place)
        points += [point(name, {**BASE, "model": m}, c) for m, c in (("base", 60), ("s1", 130))]
        points += [point(name, forced(waits=2, string=s), 183) for s in strings]
        differences += [
            difference(FIXED, BASE, name, 40.0),
            difference(forced(budget=512), forced(budget=16), name, 50.0),
            difference(FIXED, forced(), name, 3.0),
            difference(FIXED, forced(waits=2), name, 3.0),
        ]
    control = {"value": 100.0, "n": 30, "ci95": None, "of": "runs", **HERE}
    return {"fixed": FIXED, "points": points, "differences": differences, "control": control}


def method(name: str, control: float, slope: float, best: float, benchmark: str) -> Row:
    return {
        "method": name,
        "benchmark": benchmark,
        "control": {"value": control, "n": 5, "ci95": None, "of": "runs", **HERE},
        "scaling": about(slope, 3),
        "performance": about(best, 5),
    }


def chapter_07(names: Sequence[str]) -> Row:
    points = []
    for name in names:
        for asked, tokens in (("short", 100.0), ("long", 150.0), ("none", 120.0)):
            setting = {"model": "s1", "method": "class-conditional", "asked": asked}
            points.append(point(name, setting, 150, thinking_tokens=tokens))
        for which, model in (("token-conditional", "token"), ("step-conditional", "step")):
            for asked in (16, 64):
                setting = {"model": model, "method": which, "asked": str(asked)}
                means = {"answer tokens": 3.0, "within (%)": 50.0}
                points.append(point(name, setting, 90, thinking_tokens=2.0 * asked, means=means))
        for bound in (64, 128):
            setting = {"model": "s1", "method": "rejection sampling", "asked": str(bound)}
            points.append(point(name, setting, 100 - bound // 2, thinking_tokens=0.9 * bound))
    rows = [method(*row, name) for name in names for row in METHODS]
    return {"points": points, "methods": rows}


def chapter_08(names: Sequence[str]) -> Row:
    votes = {"model": "base", "method": VOTE}
    tree = {"model": "s1", "method": REBASE, "waits": 2, "string": "Wait", "samples": 8}
    points, differences = [], []
    for name in names:
        points += [point(name, {**votes, "samples": k}, 90 + k, tokens=10.0 * k) for k in (1, 8)]
        points += [point(name, {**tree, "method": VOTE, "samples": k}, 180 + k, tokens=200.0 * k)
                   for k in (1, 8)]  # fmt: skip
        points.append(point(name, tree, 200, tokens=900.0))
        differences += [
            difference(FIXED, {**votes, "samples": 2.4}, name, 6.0),
            difference(tree, forced(waits=4, string="Wait"), name, 4.0),
        ]
    return {"points": points, "differences": differences}


def chapter_09(names: Sequence[str]) -> Row:
    sizes = {"random": 1000, "diverse": 1000, "longest": 1000, "full": 4000, "s1K": 1000}
    level = {"base": (0, 60), "n100": (100, 120), "s1K": (1000, 190), "full": (4000, 200)}
    level |= dict.fromkeys(("random", "diverse", "longest", "cut"), (1000, 170))

    def trained(model: str) -> Row:
        way = PLAIN if model == "base" else FORCING
        return {"model": model, "method": way, "examples": level[model][0]}

    points, differences, gains = [], [], []
    for name in names:
        points += [
            point(name, trained(model), correct, thinking_tokens=100.0, thinking_ci95=[90, 110])
            for model, (_, correct) in level.items()
        ]
        differences += [
            difference(trained("s1K"), trained(other), name, value)
            for other, value in (("random", 4.0), ("diverse", 5.0), ("longest", 3.0))
        ]
        cut = trained("cut"), trained("s1K")
        differences.append(difference(*cut, name, -9.0))
        differences.append(difference(*cut, name, 60.0, measure="thinking_tokens"))
    differences.append(difference(trained("full"), trained("s1K"), MEAN, 1.0))
    roles = {"part": trained("s1K"), "whole": trained("full"), "base": trained("base")}
    gains = [{**roles, "benchmark": name, **about(93.0)} for name in (*names, MEAN)]
    return {
        "sets": [{"set": name, "n": n} for name, n in sizes.items()],
        "curve": ["base", "n100", "s1K", "full"],
        "windows": [
            {"model": "cut", "length": 128, "cut": 74.0},
            {"model": "s1K", "length": 600, "cut": 0.0},
        ],
        "points": points,
        "differences": differences,
        "gains": gains,
    }


def first_chapters() -> dict[str, Row]:
    sources = [row["source"] for row in published("table_7")]
    steps = ("collected", "complete", "well formed", "hard", "selected")
    kept = (6500, 6400, 6300, 3000, 1000)
    counted = zip(steps, kept, published("funnel"), strict=True)
    return {
        "01": {
            "table_7": [{"source": s, "n": 400, "published_n": 9, "why": "scaled"} for s in sources]
        },
        "02": {"lengths": {"bins": [0, 50, 100, 400], "counts": [3, 5, 1], "mean": 70.0, "n": 9}},
        "03": {
            "funnel": [
                {"step": s, "n": n, "published": p["paper"], "notebook": p["notebook"]}
                for s, n, p in counted
            ]
        },
        "04": {
            "table_6": [
                {"domain": "11", "title": "Number theory", "n": 700, "k_tokens": 90.5},
                {"domain": "05", "title": "Combinatorics", "n": 300, "k_tokens": 40.1},
            ]
        },
        "05": {"loss": [{"step": i, "loss": 2 / i} for i in range(1, 40)], "steps": 39},
    }


def all_facts(names: Sequence[str] = BENCHMARKS) -> dict[str, Row]:
    measured = {"06": chapter_06, "07": chapter_07, "08": chapter_08, "09": chapter_09}
    facts = first_chapters() | {chapter: make(names) for chapter, make in measured.items()}
    for chapter, content in facts.items():
        check(chapter, content)
    return facts
