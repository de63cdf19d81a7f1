"""Speed beside the libraries that one would use instead, as `make bench` has measured it.

`tests/benchmarks` writes the file; the README and the page *Speed* show it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from s1lib import tables
from s1lib.artifacts import read_json

RESULTS = Path("results") / "benchmarks.json"
HEADLINES = ("sweep-vs-resubmit", "decode-vs-generate", "sft-vs-trl", "curation-vs-reference")


def measured(path: Path = RESULTS) -> list[dict[str, Any]]:
    """One row per comparison (see `Row` in `tests/benchmarks`); none if nothing was measured."""
    return read_json(path) if path.is_file() else []


def markdown(rows: Iterable[dict[str, Any]], names: Iterable[str] = ()) -> str:
    """Comparisons as a Markdown table; with `names`, these only, in this order."""
    order = list(names)
    if order:
        chosen = [row for row in rows if row["name"] in order]
        rows = sorted(chosen, key=lambda row: (order.index(row["name"]), -row["ratio"]))
    lines = []
    for row in rows:
        ours, theirs = (
            f"{row[side]:,.4g}" if row[side] < 1000 else f"{row[side]:,.0f}"
            for side in ("ours", "theirs")
        )
        where = f"n = {row['n']:,}, {row['dtype']}, {row['device']}"
        named, ratio = f"`{row['name']}`", f"{row['ratio']:.2f}"
        lines.append((named, f"{ours} {row['unit']}", row["rival"], theirs, ratio, where))
    head = ("Name", "Ours", "Rival", "Rival's rate", "Ratio", "Measured on")
    return tables.markdown(head, lines, right=("Ours", "Rival's rate", "Ratio"))
