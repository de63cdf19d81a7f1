"""The pool of a profile, its benchmarks, and what its questions may not resemble."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from s1lib.artifacts import RunError
from s1lib.benchmarks import BENCHMARKS, WORLD, Benchmark
from s1lib.profile import Profile
from s1lib.questions.hub import (
    CHOSEN,
    RELEASED,
    Loader,
    chosen,
    from_hub,
    hub_loader,
    problem_rows,
    problems,
    released,
)
from s1lib.questions.schema import metadata_text, question_id
from s1lib.questions.sources import SOURCES


def share_out(total: int, names: Sequence[str]) -> dict[str, int]:
    """Split `total` over sources in proportion to Table 7, at least four rows each."""
    weights = np.array([SOURCES[name].published for name in names], dtype=float)
    least = 4
    free = max(total - least * len(names), 0)
    exact = weights / weights.sum() * free
    shares = np.floor(exact).astype(int)
    shares[np.argsort(shares - exact, kind="stable")[: free - int(shares.sum())]] += 1
    return {name: int(n) + least for name, n in zip(names, shares, strict=True)}


def names(book: Profile) -> list[str]:
    """Names of the sources of a profile, in the table's order. Raises `RunError` if unknown."""
    wanted = book.questions.sources or tuple(SOURCES)
    if unknown := [name for name in wanted if name not in SOURCES]:
        raise RunError(
            f"questions.sources names {unknown[0]!r}, which is no source: "
            f"use some of {', '.join(SOURCES)}"
        )
    return [name for name in SOURCES if name in wanted]


def collect(book: Profile, load: Loader | None = None) -> pd.DataFrame:
    """All rows of the profile's sources, not yet validated, in the table's order.

    Columns as in `s1lib.questions.schema` without the id. `load(hub id, part)` replaces the
    loader of the hub. Raises `RunError` naming the source if it cannot be read.
    """
    if book.questions.origin == "world":
        from s1lib.world import sources as world

        shares = share_out(book.questions.pool, names(book))
        rows = [row for name, n in shares.items() for row in world.rows(name, n, book.seed)]
        return pd.DataFrame(rows)
    load, wanted = load or _loader(book), names(book)
    if book.questions.origin == "published":
        rows = [row for row in released(load) if row["flaw"] or row["source"] in wanted]
        traced = ["attempt", "thinking_trajectories"]  # those are chapter 02's
        return pd.DataFrame(rows[: book.questions.pool]).drop(columns=traced)
    trial = book.questions.pool < sum(SOURCES[name].published for name in wanted)
    first = share_out(book.questions.pool, wanted) if trial else {}
    tables = [from_hub(SOURCES[name], load)[: first.get(name)] for name in wanted]
    return pd.DataFrame([row for table in tables for row in table])


def traces(book: Profile) -> dict[str, tuple[str, str]]:
    """Thinking and attempt of each question that the authors published, by its id."""
    found: dict[str, tuple[str, str]] = {}
    for row in released(_loader(book)):
        if not row["flaw"]:
            thinking, attempt = "\n".join(row["thinking_trajectories"]), row["attempt"] or ""
            found[question_id(row["question"])] = thinking, attempt
    return found


def selected(book: Profile) -> dict[str, bool]:
    """The ids of the authors' thousand, and whether the teacher's answer was graded right."""
    return chosen(_loader(book))


def benchmarks(book: Profile, load: Loader | None = None) -> pd.DataFrame:
    """Benchmark questions of the profile: benchmark, id, question, answer, answer_type, metadata.

    On the hub the profile's benchmarks come in the evaluation layout (GPQA options as `A) ..`).
    """
    if book.questions.origin == "world":
        from s1lib.world import sources as world

        rows = [
            {"benchmark": name, **row}
            for name in book.questions.benchmarks
            for row in world.benchmark(name, book.questions.problems, book.seed)
        ]
    else:
        load = load or _loader(book)
        table = {item.name: item for item in BENCHMARKS if item.scored and item.source != WORLD}
        if unknown := [name for name in book.questions.benchmarks if name not in table]:
            raise RunError(f"questions.benchmarks names {unknown[0]!r}: use {', '.join(table)}")
        items = [table[name] for name in book.questions.benchmarks]
        rows = [row for item in items for row in _read(book, item, load, problem_rows)]
    for row in rows:
        row["id"] = question_id(row["question"])
        row["metadata"] = metadata_text(row.get("metadata"))
        row["answer"] = str(row["answer"])
    return pd.DataFrame(rows)[["benchmark", "id", "question", "answer", "answer_type", "metadata"]]


def held_out(book: Profile, scored: pd.DataFrame, load: Loader | None = None) -> pd.DataFrame:
    """What the pool is decontaminated against: benchmark, id, question.

    The world's benchmarks themselves; on the hub AIME 2022-24, GPQA Diamond (bare questions),
    MATH500 and LiveCodeBench.
    """
    if book.questions.origin == "world":
        return scored[["benchmark", "id", "question"]]
    load = load or _loader(book)
    rows = [
        {"benchmark": item.name, "question": row[item.question]}
        for item in _tested(book)
        for row in _read(book, item, load, problems)
    ]
    table = pd.DataFrame(rows)
    table.insert(1, "id", table["question"].map(question_id))
    return table


def composition(kept: pd.DataFrame, removals: pd.DataFrame, origin: str = "hub") -> pd.DataFrame:
    """Table 7: source, n, published_n and why they differ, in the paper's order of size.

    Why is what the table of sources says, for those of the hub, and what decontamination removed.
    """
    counts = Counter(kept["source"])
    rows = []
    for source in SOURCES.values():
        against = removals.loc[removals["source"] == source.name, "against"].value_counts()
        gone = ", ".join(f"{n:,} for {name}" for name, n in against.items())
        said = (source.why if origin == "hub" else "", f"removed: {gone}" if gone else "")
        why = "; ".join(filter(None, said))
        rows.append((source.name, counts[source.name], source.published, why))
    shown = pd.DataFrame(rows, columns=["source", "n", "published_n", "why"])
    return shown.sort_values("published_n", ascending=False).reset_index(drop=True)


def datasets(book: Profile) -> dict[str, bool]:
    """The data sets of the hub that a run reads, in alphabetical order, and whether it must."""
    if book.questions.origin == "world":
        return {}
    needed = {RELEASED, CHOSEN}
    if book.questions.origin == "hub":
        ours = [SOURCES[name] for name in names(book)]
        listed = [each for one in ours for each in (one.also, one.without) if each]
        needed = {*(one.hub for one in ours), *(each.hub for each in listed)}
    tests = _tested(book)
    needed |= {item.source for item in tests if item.name not in book.questions.optional}
    return {hub: hub in needed for hub in sorted({*needed, *(item.source for item in tests)})}


def _tested(book: Profile) -> list[Benchmark]:
    """What the pool may not resemble: the benchmarks of the profile, and those held out always."""
    return [
        item
        for item in BENCHMARKS
        if item.source != WORLD and (not item.scored or item.name in book.questions.benchmarks)
    ]


def _read(
    book: Profile, item: Benchmark, load: Loader, read: Callable[[Benchmark, Loader], Iterable[Any]]
) -> list[Any]:
    """The rows of a benchmark; none, and a line that says why, of an optional one that is away."""
    try:
        return list(read(item, load))
    except RunError as error:
        if item.name not in book.questions.optional:
            raise
        print(f"without {item.name}: {error}")
        return []


def _loader(book: Profile) -> Loader:
    return hub_loader(book.questions.folder, book.run / "revisions.json")
