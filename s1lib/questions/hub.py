"""Rows of the hub: loaded, checked against what a source needs, and turned into questions.

A row with an empty cell is counted as no question; a column that is missing or of another type
means that the dataset has changed, and is an error that names source, row and column.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from s1lib.artifacts import RunError
from s1lib.benchmarks import Benchmark, Columns, Part
from s1lib.questions.revisions import pinned
from s1lib.questions.schema import metadata_text, question_id
from s1lib.questions.sources import SOURCES, Listed, Row, Source, choices

RELEASED = "simplescaling/data_ablation_full59K"
CHOSEN = "simplescaling/s1K-1.1"
# Names of data sets when the authors made theirs.
_RENAMED = {
    "qfq/openaimath": "simplescaling/openaimath",
    "qfq/stats_qual": "simplescaling/s1-prob",
    "qfq/quant": "simplescaling/s1-teasers",
}
_BARE = ("TheoremQA", "SciEval", "JEEBench", "s1-teasers", "AIME")  # the solution is the answer

T = TypeVar("T")
Loader = Callable[[str, Part], list[Row]]


def hub_loader(folder: str = "", pins: Path | None = None) -> Loader:
    """A loader through `datasets`: from the hub and its cache, or from `<folder>/<hub id>`.

    `pins` is the file that holds each dataset's commit (`s1lib.questions.revisions`). Scripts are
    never run (`datasets` refuses them), and columns that a row does not have are not made up.
    """

    def load(hub: str, part: Part) -> list[Row]:
        from datasets import load_dataset

        path = str(Path(folder) / hub) if folder else hub
        rows: list[Row] = []
        try:
            revision = None if folder else part.revision
            if pins and not folder:
                revision = pinned(hub, part.revision, pins)
            for split in part.splits:
                if part.files:
                    base = path if folder else f"hf://datasets/{hub}"
                    at = f"@{revision}" if revision else ""
                    names = [name.format(config=part.config, split=split) for name in part.files]
                    files = {split: [f"{base}{at}/{name}" for name in names]}
                    builder = "parquet" if names[0].endswith(".parquet") else "json"
                    named: dict[str, Any] = {"path": builder, "data_files": files}
                else:
                    named = {"path": path, "name": part.config, "revision": revision}
                # A copy is read as it is: the cache goes by its path, and would give the old rows.
                rows.extend(load_dataset(**named, split=split, streaming=bool(folder)))
        except RunError:
            raise
        except Exception as error:
            first: BaseException = error  # `datasets` says what went wrong in the cause alone
            while first.__cause__:
                first = first.__cause__
            reason = (str(first).strip().splitlines() or [type(first).__name__])[0]
            raise RunError(
                f"{hub} cannot be loaded ({reason[:200]}): log in with `hf auth login`, or put "
                "a copy under questions.folder"
            ) from None
        return rows

    return load


def from_hub(source: Source, load: Loader) -> list[dict[str, Any]]:
    """Rows of one source: loaded, filtered, transformed, shuffled (seed 42), cut to its quota.

    A row with an empty cell has no question but a `flaw`, which `s1lib.questions.schema` counts.
    Raises `RunError` naming source, row and column where a column is missing or changed its type,
    and where nothing is left in one.
    """
    also, without = _listed(source.also, load), _listed(source.without, load)
    rows: list[tuple[Row, dict[str, Any]]] = []
    flawed = []
    for part in source.parts:
        columns = {**source.columns, **part.columns}
        found = list(_read(source.name, source.hub, part, columns, load))
        if found and all(empty for _, empty in found):
            raise RunError(
                f"no row of {source.name} ({source.hub}) has anything in column {found[0][1]}: put "
                "an earlier commit of it into revisions.json in the run folder"
            )
        for row, empty in found:
            if empty:
                cells = {"question": None, "flaw": f"nothing in column {empty}"}
                flawed.append(_finish(source, row, cells))
            elif (source.keep(row, part) or also(row)) and not without(row):
                named = {**row, "config": part.config}
                kind = "/".join([source.source_type, *(str(named[name]) for name in source.kinds)])
                cells = {"source_type": kind, **source.transform(row, part)}
                rows.append((row, _finish(source, row, cells)))
    rows = _shuffled(rows)
    if source.share and source.quota:
        rows = _shared(rows, source.quota, source.share)
    return [*(cells for _, cells in rows[: source.quota]), *flawed]


def _listed(listed: Listed | None, load: Loader) -> Callable[[Row], bool]:
    if listed is None:
        return lambda row: False
    rows = _read(listed.hub, listed.hub, listed.part, {listed.column: str}, load)
    known = {row[listed.column] for row, empty in rows if not empty}
    return lambda row: row[listed.column] in known


def _read(
    name: str, hub: str, part: Part, columns: Columns, load: Loader
) -> Iterator[tuple[Row, str]]:
    """Each row with the first column that must hold something and does not (or an empty name)."""
    where = f"{hub}, {part.config}" if part.config else hub
    for number, row in enumerate(load(hub, part)):
        holes = []
        for column, kind in columns.items():
            cell = row.get(column)
            empty = cell is None or cell != cell
            if column not in row or not (empty or isinstance(cell, kind)):
                found = f"{type(cell).__name__} in" if column in row else "no"
                raise RunError(
                    f"row {number} of {name} ({where}) has {found} column {column}: the dataset "
                    "has changed, so put an earlier commit into revisions.json in the run folder"
                )
            if empty and not isinstance(None, kind):
                holes.append(column)
        yield row, holes[0] if holes else ""


def problems(item: Benchmark, load: Loader) -> Iterator[Row]:
    """The rows of a benchmark. Raises `RunError` for one that lacks something: numbers of fewer
    problems would be those of another benchmark."""
    rows = _read(item.name, item.source, item.part, item.columns, load)
    for number, (row, empty) in enumerate(rows):
        if empty:
            raise RunError(
                f"row {number} of {item.name} ({item.source}) has nothing in column {empty}: put a "
                "commit that has it into revisions.json in the run folder"
            )
        yield row


def problem_rows(item: Benchmark, load: Loader) -> list[dict[str, Any]]:
    """The problems of a scored benchmark in the evaluation layout (GPQA options as `A) ..`)."""
    rows = []
    same = {"benchmark": item.name, "answer_type": item.answer_type, "metadata": {}}
    for row in problems(item, load):
        question, answer = row[item.question], row[item.answer] if item.answer else ""
        if item.answer_type == "choice":
            bare, options, answer = choices(row)
            listed = "\n".join(f"{k}) {text}" for k, text in zip("ABCD", options, strict=True))
            question = f"{bare}\n\n{listed}"
        rows.append({**same, "question": question, "answer": answer})
    return rows


def released(load: Loader) -> list[dict[str, Any]]:
    """The authors' pool with Gemini's traces, shuffled as the sources are.

    Columns: question, solution, cot_type, source_type, metadata, thinking_trajectories and attempt
    as published, `source` and `answer` as far as these tell, and the `flaw` of a row that is no
    question (see `s1lib.questions.schema`). Neither grades nor domains are published.
    """
    columns: Columns = {
        **dict.fromkeys(("question", "cot_type", "source_type"), str),
        **dict.fromkeys(("solution", "metadata", "attempt"), object),
        "thinking_trajectories": list,
    }
    rows = []
    for row, empty in _read("the published pool", RELEASED, Part(), columns, load):
        kind = str(row["source_type"])
        for old, new in _RENAMED.items():
            kind = kind.replace(old, new)
        name = next((s.name for s in SOURCES.values() if kind.startswith(s.source_type)), "")
        flaw = f"nothing in column {empty}" if empty else "" if name else f"unknown source {kind}"
        told = {
            "source": name or "unknown",
            "source_type": kind,
            "answer": row["solution"] if name in _BARE else None,
            "metadata": {"published": row["metadata"]},
            "flaw": flaw,
        }
        rows.append({**row, **told})
    return _shuffled(rows)


def chosen(load: Loader) -> dict[str, bool]:
    """The ids of s1K, and whether its authors, who graded it later, found Gemini's answer right."""
    columns: Columns = {"question": str, "gemini_grade": str}
    rows = _read("s1K", CHOSEN, Part(), columns, load)
    return {question_id(row["question"]): row["gemini_grade"] == "Yes" for row, e in rows if not e}


def _finish(source: Source, row: Row, cells: dict[str, Any]) -> dict[str, Any]:
    used = {cells["question"], cells.get("solution")} if cells["question"] else set()
    rest = {
        key: value for key, value in row.items() if not isinstance(value, str) or value not in used
    }
    return {
        "cot_type": source.cot_type,
        "source_type": source.source_type,
        **cells,
        "source": source.name,
        "metadata": metadata_text(rest),
    }


def _shuffled(rows: Sequence[T]) -> list[T]:
    """The order of `datasets.Dataset.shuffle(seed=42)`."""
    return [rows[i] for i in np.random.default_rng(42).permutation(len(rows))]


def _shared(
    rows: Sequence[tuple[Row, dict[str, Any]]], n: int, share: Callable[[Row], tuple[str, str]]
) -> list[tuple[Row, dict[str, Any]]]:
    """The first `n` rows that fit into equal shares."""
    second = Counter(first for first, _ in {share(row) for row, _ in rows})
    each = {first: math.ceil(math.ceil(n / len(second)) / k) for first, k in second.items()}
    taken: Counter[tuple[str, str]] = Counter()
    chosen: list[tuple[Row, dict[str, Any]]] = []
    for row, cells in rows:
        first, _ = key = share(row)
        if taken[key] < each[first] and len(chosen) < n:
            taken[key] += 1
            chosen.append((row, cells))
    return chosen
