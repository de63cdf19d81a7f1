"""Does the laptop world agree with what is published about traces and models?

Claims are tested in a world that we made, so the world is tested first: `python -m s1lib fidelity`
measures properties of its traces and models, and no claim, beside their published values and the
ranges that the world is held to. It asks development questions, which are in no benchmark.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from s1lib import tables
from s1lib.artifacts import read_json, read_table, write_json
from s1lib.benchmarks import problems
from s1lib.decoding import Forcing, Sampling, cells, load_decoder
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.record import grade_record, to_table
from s1lib.evaluation import examine
from s1lib.methods.rejection import reject
from s1lib.profile import Profile, add_profile, load_profile
from s1lib.questions.schema import question_id
from s1lib.show import device
from s1lib.world import corpus, sources
from s1lib.world.teacher import think

Numbers = dict[str, list[float]]
Measured = dict[str, list[float | None]]  # None is no number: nothing to divide, or to rank
AGAIN = r"\n(?:Wait|Alternatively|Hmm),"
"""How a second look begins in the world's traces."""


@dataclass(frozen=True)
class Property:
    """What is published, where, and the closed range in which each measured number must lie."""

    what: str
    published: str
    source: str
    low: float = -np.inf
    high: float = np.inf


PROPERTIES = {
    "base": Property("base in its best format, % right", "27 / 84 / 49", "Table 1", 15, 60),
    "s1": Property("s1 at its natural length, % right", "50 / 93 / 57", "Table 1", 40, 85),
    "ahead": Property("s1 ahead of the base, points", "23 / 9 / 8", "Table 1", low=0.1),
    "brief": Property("tokens of the base's chat answer over s1's", "0.2", "GPQA", high=0.5),
    "teacher ratio": Property("teacher: wrong over right length", "> 1", "2502.12215", low=1.3),
    "s1 ratio": Property("s1's samples: wrong over right length", "3.25", "2501.18585", low=1.3),
    "quarters": Property(
        "teacher right, by quarter of length, last", "falls", "Figure 6", high=-10
    ),
    "tells": Property("rank correlation of claimed answer and length", "", "", -0.3, 0.3),
    "tries 0.94": Property("tries until a sample fits 0.94 of the mean", "8", "Figure 6", 4, 16),
    "tries 1.13": Property("the same for 1.13", "3", "Figure 6", 2, 4),
    "tries 1.5": Property("the same for 1.5", "2", "Figure 6", 1, 2.5),
    "exhausted": Property("no fit among the tries at 0.94, %", "0", "Figure 6", high=2),
    "selected": Property("right traces among the selected, %", "53.6", "appendix", 50, 65),
    "climb": Property("least over largest gain of a doubling", "0.41", "Figure 1", low=1 / 3),
    "steepest": Property(
        "largest share of all gains in one doubling", "0.34", "Figure 1", high=0.5
    ),
    "overflow": Property("window full at the most Waits, %", "40", "AIME24", low=33),
    "checks": Property("documents that look twice over traces that do", "", "", high=0.5),
}


def development(n: int, exams: pd.DataFrame) -> pd.DataFrame:
    """`n` questions for each benchmark of `exams`, in whose problems none of them is."""
    rows, known = [], set(exams["question"])
    for name in exams["benchmark"].unique():
        drawn = sources.benchmark(name, n + 50, 10_007)
        free = [row for row in drawn if row["question"] not in known][:n]
        rows += [{"benchmark": name, "id": question_id(row["question"]), **row} for row in free]
    return pd.DataFrame(rows)


def measure(book: Profile, n: int = 100, samples: int = 8, tries: int = 64) -> Measured:
    """Every property: a number for each benchmark, or one for all.

    `book.run` holds chapters 01 to 05. Greedy but for the samples, which have temperature 1:
    `samples` for each question, and `tries` for each of the first half of the hardest benchmark's.
    """
    tests = development(n, read_table(book.run / "benchmarks.parquet", made_by="01"))
    s1 = load_decoder((book.run / "models" / "s1").as_posix(), book)
    asked, waits = problems(tests, s1.tokenizer), max(book.evaluation.waits)
    swept = s1.sweep(asked, cells(book.evaluation.budgets, (waits,), Forcing(wait="Wait")))
    drawn = examine(s1, asked, Forcing(), Sampling(1.0, seed=book.seed, samples=samples))
    many = examine(s1, asked[: n // 2], Forcing(), Sampling(1.0, seed=book.seed, samples=tries))
    forced, pool = to_table(grade_record(swept, asked)), to_table(drawn)
    natural = forced[forced["budget"].isna() & (forced["waits"] == 0)]
    found = {
        **of_base(load_decoder(book.models.base, book), tests),
        **of_budgets(forced, book.evaluation.budgets),
        "s1": _right(natural),
        "overflow": _share(forced[forced["waits"] == waits], "thinking_end", "window"),
        "s1 ratio": [_ratio(part) for _, part in _each(pool)],
        "tells": [_tells(part) for _, part in _each(pool)],
        **of_tries(to_table(many)),
        **of_teacher(tests),
        **of_selection(book.run),
    }
    found["ahead"] = [a - b for a, b in zip(found["s1"], found["base"], strict=True)]
    found["brief"] = [
        chat / part["sampled"].mean()
        for chat, (_, part) in zip(found.pop("chat tokens"), _each(natural), strict=True)
    ]
    return {
        name: [round(float(x), 2) if np.isfinite(x) else None for x in found[name]]
        for name in [*PROPERTIES, *FORMATS]
    }


FORMATS = ("base, chat", "base, text", "base, after an example")


def of_base(decoder: Decoder, tests: pd.DataFrame) -> Numbers:
    """The base model in each format, and in its best; tokens of its answers in chat."""
    shown = sources.rows("NuminaMATH", 1, 10_007)[0]
    trace, attempt = think(shown["question"], shown["metadata"])
    example = f"{shown['question']}\n\n{trace}\n\n{attempt}\n\n"
    after = tests.assign(question=example + tests["question"])
    exams = (
        problems(tests, decoder.tokenizer),
        problems(tests, decoder.tokenizer, chat=False),
        problems(after, decoder.tokenizer, chat=False),
    )
    tables = [to_table(examine(decoder, exam)) for exam in exams]
    levels = {form: _right(table) for form, table in zip(FORMATS, tables, strict=True)}
    best = [max(of_one) for of_one in zip(*levels.values(), strict=True)]
    tokens = [part["sampled"].mean() for _, part in _each(tables[0])]
    return {**levels, "base": best, "chat tokens": tokens}


def of_budgets(forced: pd.DataFrame, budgets: Iterable[int]) -> Numbers:
    """How accuracy climbs over the last four doublings of the budget; NaN where it does not."""
    levels = [_right(forced[forced["budget"] == limit]) for limit in list(budgets)[-5:]]
    gains = np.diff(np.array(levels), axis=0)
    most = np.where(gains.sum(0) > 0, gains.max(0), np.nan)
    return {"climb": list(gains.min(0) / most), "steepest": list(most / gains.sum(0))}


def of_tries(pool: pd.DataFrame) -> Numbers:
    """Rejection sampling on the hardest benchmark, bounds in multiples of the natural mean."""
    mean = pool["thinking_tokens"].mean()
    found = {times: reject(pool, int(times * mean)) for times in (0.66, 0.76, 0.94, 1.13, 1.5)}
    tries = {f"tries {times}": [part["tries"].mean()] for times, part in found.items()}
    return {**tries, "exhausted": [100 * (~found[0.94]["accepted"]).mean()]}


def of_teacher(tests: pd.DataFrame, seeds: int = 16, documents: int = 2_000) -> Numbers:
    """The teacher's traces of the same questions; its second looks beside the corpus's."""
    rows = [
        {"benchmark": row.benchmark, "id": row.id, "trace": trace, "length": len(trace),
         "right": attempt.split(": ")[-1] == row.answer}
        for row in tests.itertuples()
        for seed in range(seeds)
        for trace, attempt in [think(row.question, row.metadata, seed)]
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(verdict=lambda t: t["right"].map({True: "correct"}))
    quarters = [
        np.array_split(part.sort_values("length")["right"].to_numpy(float), 4)
        for _, part in _each(table)
    ]
    texts = [text for text, _ in zip(corpus.documents(10_007), range(documents), strict=False)]
    return {
        "teacher ratio": [_ratio(part, "length") for _, part in _each(table)],
        "quarters": [100 * (four[3].mean() - four[0].mean()) for four in quarters],
        "checks": [pd.Series(texts).str.contains(AGAIN).mean()
                   / table["trace"].str.contains(AGAIN).mean()],
    }  # fmt: skip


def of_selection(run: Path) -> Numbers:
    """The teacher's verdicts among the selected."""
    grades = read_table(run / "grades.parquet", made_by="03")
    chosen = read_table(run / "s1K.parquet", made_by="04")["id"]
    mine = grades[(grades["who"] == "teacher") & grades["id"].isin(chosen)]
    return {"selected": [100 * (mine["verdict"] == "correct").mean()]}


def _each(table: pd.DataFrame) -> Any:
    return table.groupby("benchmark", sort=False)


def _share(table: pd.DataFrame, column: str, value: str) -> list[float]:
    return [100 * (part[column] == value).mean() for _, part in _each(table)]


def _right(table: pd.DataFrame) -> list[float]:
    return _share(table, "verdict", "correct")


def _ratio(pool: pd.DataFrame, length: str = "thinking_tokens") -> float:
    """Median over questions of the mean length of wrong over that of right samples."""
    means = pool.groupby(["id", pool["verdict"] == "correct"])[length].mean().unstack()
    return float((means[False] / means[True]).median())


def _tells(pool: pd.DataFrame) -> float:
    """Median over questions of the rank correlation of the number answered and the length."""
    number = pd.to_numeric(pool["raw"], errors="coerce")
    ranks = [
        part["number"].corr(part["thinking_tokens"], method="spearman")
        for _, part in pool.assign(number=number).groupby("id")
        if part["number"].nunique() > 1
    ]
    return float(np.nanmedian(ranks)) if ranks else np.nan


def kept(name: str, values: Sequence[float | None]) -> bool:
    """Whether there are numbers, and every one lies in the range of its property."""
    one = PROPERTIES[name]
    return bool(values) and all(
        value is not None and one.low <= value <= one.high for value in values
    )


def table(found: Measured) -> pd.DataFrame:
    """The properties as a reader sees them."""
    rows = []
    for name, one in PROPERTIES.items():
        low = f"≥ {one.low:.2g}" if one.low > -np.inf else ""
        high = f"≤ {one.high:.2g}" if one.high < np.inf else ""
        wanted = ", ".join(filter(None, (low, high)))
        here = " / ".join("–" if value is None else f"{value:g}" for value in found[name])
        sign = "✓" if kept(name, found[name]) else "✗"
        rows.append((one.what, one.published or "–", one.source or "–", wanted, here, sign))
    columns = ["property", "published", "source", "wanted", "here", "kept"]
    return pd.DataFrame(rows, columns=columns)


def markdown(run: Path) -> str:
    """What `fidelity.json` of a run holds, as a Markdown table."""
    if not (run / "fidelity.json").is_file():
        return "This run's world has not been measured: `python -m s1lib fidelity`.\n"
    facts = read_json(run / "fidelity.json")
    rows = table(facts["measured"])
    said = f"{facts['questions']} questions for each benchmark, {facts['dtype']}, {facts['device']}"
    return tables.markdown(rows.columns, rows.to_numpy()) + f"\n{said}.\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_profile(parser)
    parser.add_argument("--questions", type=int, default=100, help="for each benchmark")


def main(args: argparse.Namespace) -> None:
    book = load_profile(args.profile, args.run)
    found = measure(book, args.questions)
    facts = {"questions": args.questions, "dtype": book.evaluation.dtype, "device": device()}
    write_json(book.run / "fidelity.json", {**facts, "measured": found})
    print(table(found).to_string(index=False))
