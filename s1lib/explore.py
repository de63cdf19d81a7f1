"""What a reader can open and move on a page: budgets, training traces, the ledger.

Rows of a run become HTML that is complete without a script (`jupyter_book/_templates`; Jinja
escapes whatever a model wrote); `jupyter_book/_static/explore.mjs` adds controls to it. What a run
has not made is one sentence on its page. `live` does the same in a notebook, for any question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from math import log2
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.display import HTML
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from transformers import PreTrainedTokenizerBase

from s1lib import results
from s1lib.artifacts import read_table
from s1lib.chat import load_tokenizer
from s1lib.decoding import cells
from s1lib.decoding.record import Generation, read_record
from s1lib.results import AllFacts, Point

if TYPE_CHECKING:
    from s1lib.decoding.decoder import Decoder

PAGES = Path(__file__).parents[1] / "jupyter_book"
LETTERS = 1_500_000  # of traces on one page: more would be slow to open on a phone


def render(pages: Path, name: str, **data: Any) -> str:
    """The HTML of one part; `pages` has the templates and the script, which goes along.

    A script of its own would not do: opened from disk, a browser loads no module from a file.
    """
    loader = FileSystemLoader(pages / "_templates")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    templates.trim_blocks = templates.lstrip_blocks = True
    script = (pages / "_static" / "explore.mjs").read_text(encoding="utf-8")
    return templates.get_template(f"{name}.html").render(script=script, **data)


# Budgets ------------------------------------------------------------------------------

Verdicts = Sequence[bool]  # along the stops of one problem
EXAMPLES: dict[str, Callable[[Verdicts, Verdicts], bool]] = {
    "more budget, then right": lambda budgets, waits: budgets[-1] and not budgets[0],
    "a Wait repairs it": lambda budgets, waits: any(waits) and not budgets[-1],
    "a Wait spoils it": lambda budgets, waits: budgets[-1] and not all(waits),
    "never right": lambda budgets, waits: not any((*budgets, *waits)),
}
"""What a problem may show by its verdicts, up to the natural end and after Waits."""


def budgets(run: Path, facts: AllFacts) -> list[dict[str, Any]]:
    """For each benchmark its curve and some problems; empty where chapter 06 has not run.

    A problem is the longest trace of a sweep, in pieces: `stops`, one for each setting in the order
    of their length, with what was thought since the stop before, and the answer given there.
    """
    record, model = run / "records" / "06.parquet", run / "models" / "s1"
    curve = results.sequential(facts)
    if not curve or not record.is_file() or not model.is_dir():
        return []
    tokenizer = load_tokenizer(model.as_posix())
    tests = read_table(run / "benchmarks.parquet", made_by="01").set_index(["benchmark", "id"])
    string = {point.setting.waits: point.setting.string for point in curve}
    sweeps: dict[tuple[str, str], list[Generation]] = {}
    for one in read_record(record):
        forced = one.method == results.FORCING and one.sample == 0 and one.waits in string
        if forced and (not one.waits or one.wait == string[one.waits]):
            sweeps.setdefault((one.benchmark, one.id), []).append(one)
    found = []
    for name, points in groupby(curve, key=lambda point: point.benchmark):
        runs = [sorted(some, key=_place) for (own, _), some in sweeps.items() if own == name]
        problems = [
            {
                "shows": title,
                "question": tests.loc[(name, some[0].id), "question"],
                "answer": tests.loc[(name, some[0].id), "answer"],
                "stops": list(_stops(some, tokenizer)),
            }
            for title, some in _examples(filter(_nested, runs))
        ]
        found.append({"benchmark": name, "problems": problems, **_curve(list(points))})
    return [part for part in found if part["problems"]]


def _place(one: Generation) -> tuple[int, bool, int]:
    """Budgets ascending, no budget, Waits ascending."""
    return one.waits, one.budget is None, one.budget or 0


def _nested(runs: Sequence[Generation]) -> bool:
    """Whether each trace goes on where the one before stops (a near tie may part two of them)."""
    return all(two.thinking[: len(one.thinking)] == one.thinking for one, two in pairwise(runs))


def _examples(problems: Iterable[list[Generation]]) -> Iterator[tuple[str, list[Generation]]]:
    """For each thing to be shown, the problem that shows it in the fewest tokens."""
    left = sorted(problems, key=lambda runs: len(runs[-1].thinking))
    for title, shows in EXAMPLES.items():
        for runs in left:
            right = [[one.verdict == "correct" for one in runs if bool(one.waits) is more]
                     for more in (False, True)]  # fmt: skip
            if all(right) and shows(*right):
                left.remove(runs)
                yield title, runs
                break


def _stops(
    runs: Iterable[Generation], tokenizer: PreTrainedTokenizerBase
) -> Iterator[dict[str, Any]]:
    before = 0
    for one in runs:
        forced = one.mask[len(one.opening) :]
        new = list(zip(one.thinking, forced, strict=False))[before:]
        before = len(one.thinking)
        yield {
            "label": _label(one.budget, one.waits),
            "budget": one.budget,
            "waits": one.waits,
            "tokens": len(one.thinking),
            "answer": one.text.strip(),
            "right": one.verdict == "correct" if one.verdict else None,
            "pieces": [
                (mark, tokenizer.decode([token for token, _ in some]))
                for mark, some in groupby(new, key=lambda pair: pair[1])
            ],
        }


def _label(budget: int | None, waits: int) -> str:
    limit = f"budget {budget:,}" if budget is not None else "no budget"
    return f"{limit}, Wait ×{waits}" if waits else limit


def _curve(points: Sequence[Point]) -> dict[str, Any]:
    """Points of a plot of 600 by 240 units, tokens on a logarithmic axis, and its ticks."""
    powers = [log2(max(point.thinking_tokens or 0, 1)) for point in points]
    low, high = min(powers), max(*powers, min(powers) + 1)

    def x(power: float) -> float:
        return round(600 * (power - low) / (high - low), 1)

    ticks = range(int(low) + (low > int(low)), int(high) + 1)
    return {
        "ticks": [{"x": x(power), "tokens": 2**power} for power in ticks],
        "points": [
            {
                "label": _label(point.setting.budget, point.setting.waits),
                "x": x(power),
                "y": round(240 - 2.4 * point.value, 1),
                "ends": [round(240 - 2.4 * end, 1) for end in point.ci95 or ()],
                "value": point.value,
                "ci95": point.ci95,
                "tokens": point.thinking_tokens,
                "waits": point.setting.waits,
                "n": point.n,
            }
            for point, power in zip(points, powers, strict=True)
        ],
    }


def live(
    decoder: Decoder,
    question: str,
    budgets: Sequence[int] = (16, 32, 64, 128, 256, 512),
    waits: Sequence[int] = (1, 2, 4),
) -> HTML:
    """A question of anybody's, decoded now in one sweep, to be moved in the output of a cell."""
    runs = decoder.sweep([question], cells(budgets, waits))
    stops = list(_stops(sorted(runs, key=_place), decoder.tokenizer))
    problem = {"shows": "your question", "question": question, "answer": "", "stops": stops}
    part = {"benchmark": "Here and now", "problems": [problem], "points": []}
    style = (PAGES / "_static" / "explore.css").read_text(encoding="utf-8")
    return HTML(f"<style>{style}</style>{render(PAGES, 'budgets', benchmarks=[part])}")


# Traces -------------------------------------------------------------------------------


def traces(run: Path) -> dict[str, Any]:
    """The selected questions with their traces, as many as a page can hold, in drawing order.

    No rows where chapter 04 has not run.
    """
    if not (run / "s1K.parquet").is_file():
        return {"rows": []}
    chosen = read_table(run / "s1K.parquet", made_by="04")
    filed = read_table(run / "domains.parquet", made_by="04")
    titles = filed.set_index("domain")["title"].to_dict()
    tokens = read_table(run / "traces.parquet", made_by="02").set_index("id")["thinking_tokens"]
    grades = read_table(run / "grades.parquet", made_by="03")
    verdicts = grades[grades["who"] == "teacher"].set_index("id")["verdict"].to_dict()
    thoughts = chosen["thinking_trajectories"].str[0]
    letters = (chosen["question"] + thoughts + chosen["attempt"]).str.len().cumsum()
    fitting = max(1, (letters <= LETTERS).sum())
    rows = [
        {
            "id": row.id,
            "question": row.question,
            "thinking": row.thinking_trajectories[0],
            "attempt": row.attempt,
            "answer": row.answer,
            "source": row.source_type,
            "domain": titles.get(row.domain, row.domain),
            "tokens": tokens.get(row.id),
            "verdict": verdicts.get(row.id, ""),
        }
        for row in chosen.head(fitting).itertuples()
    ]
    return {"rows": rows, "all": len(chosen), "domains": sorted({one["domain"] for one in rows})}
