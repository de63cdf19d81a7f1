"""The paper's numbers, as data: arXiv 2501.19393v3 and the repository behind it.

`published.json` holds every number that the book sets beside its own measurement, in the shape
that the chapters' facts have, so that one function draws both. Accuracies are percentages,
lengths are tokens per question.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

from s1lib.artifacts import RunError

BENCHMARKS = ("AIME24", "MATH500", "GPQA")


@cache
def _text() -> str:
    return (resources.files("s1lib") / "published.json").read_text(encoding="utf-8")


def published(name: str) -> Any:
    """The numbers of one figure or table, such as `figure_1` or `table_4` (a fresh copy).

    Raises `RunError` listing the names there are when `name` is not one of them.
    """
    numbers = json.loads(_text())
    if name not in numbers:
        raise RunError(f"no published numbers called {name!r}: use one of {', '.join(numbers)}")
    return numbers[name]


def accuracy(table: str, column: str, **where: Any) -> float:
    """One number of a table, such as an accuracy in percent from a table of benchmarks.

    `accuracy("table_4", "AIME24", string="Wait")` is 53.3. Raises `RunError` unless exactly one
    row matches `where`.
    """
    rows = [row for row in published(table) if all(row.get(k) == v for k, v in where.items())]
    if len(rows) != 1:
        raise RunError(f"{len(rows)} rows of {table} match {where}: name exactly one")
    return float(rows[0][column])
