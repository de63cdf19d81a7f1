"""Speed beside the library that one would use instead: `python -m s1lib bench [name ...]`.

A benchmark is a module in this folder with a function `measure() -> Iterator[Row]`. Each row is
merged into `results/benchmarks.json` as soon as it is measured, where it replaces the one of the
same name, rival, device and dtype.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from s1lib.artifacts import RunError, read_json, write_json
from s1lib.show import device as here

RESULTS = Path("results") / "benchmarks.json"
HEADLINES = ("sweep-vs-resubmit", "decode-vs-generate", "sft-vs-trl", "curation-vs-reference")


@dataclass(frozen=True)
class Row:
    """One comparison. `ours` and `theirs` are rates in `unit`: more is faster.

    `detail` holds what one pair of numbers cannot say.
    """

    name: str
    rival: str
    ours: float
    theirs: float
    unit: str
    n: int
    dtype: str
    device: str = field(default_factory=here)
    detail: dict[str, Any] = field(default_factory=dict)

    def as_record(self, benchmark: str) -> dict[str, Any]:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        fields = asdict(self)
        if not self.detail:
            del fields["detail"]
        return {
            **fields,
            "ratio": round(self.ours / self.theirs, 3),
            "command": f"python -m s1lib bench {benchmark}",
            "date": today,
        }


def benchmarks() -> list[str]:
    return sorted(module.name for module in iter_modules(__path__))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    there = ", ".join(benchmarks()) or "none yet"
    parser.add_argument("names", nargs="*", metavar="name", help=f"which (default all): {there}")


def main(args: argparse.Namespace) -> int:
    if unknown := set(args.names) - set(benchmarks()):
        raise RunError(f"no benchmark {min(unknown)}: there are {', '.join(benchmarks())}")
    for name in args.names or benchmarks():
        for row in import_module(f"{__name__}.{name}").measure():
            record = row.as_record(name)
            merge(record, RESULTS)
            print(
                "{name} vs {rival}: {ratio}x  ({ours:g} / {theirs:g} {unit}, n={n})".format(
                    **record
                ),
                flush=True,
            )
    return 0


def markdown(rows: Iterable[dict[str, Any]], names: Iterable[str] = ()) -> str:
    """The file as a Markdown table; with `names`, these only, in this order."""
    order = list(names)
    if order:
        chosen = [row for row in rows if row["name"] in order]
        rows = sorted(chosen, key=lambda row: (order.index(row["name"]), -row["ratio"]))
    lines = [
        "| | Ours | Rival | Rival's rate | Ratio | Measured on |",
        "|---|---:|---|---:|---:|---|",
    ]
    for row in rows:
        ours, theirs = (
            f"{row[side]:,.4g}" if row[side] < 1000 else f"{row[side]:,.0f}"
            for side in ("ours", "theirs")
        )
        where = f"n = {row['n']:,}, {row['dtype']}, {row['device']}"
        cells = (
            f"`{row['name']}`",
            f"{ours} {row['unit']}",
            row["rival"],
            theirs,
            f"{row['ratio']:.2f}",
            where,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def merge(row: dict[str, Any], path: Path) -> None:
    """Put a row into the file, in place of an older one of the same comparison."""

    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(row[name] for name in ("name", "rival", "device", "dtype"))

    before = read_json(path) if path.is_file() else []
    merged = {key(one): one for one in (*before, row)}
    write_json(path, [merged[place] for place in sorted(merged)])
