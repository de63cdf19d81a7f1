"""Speed beside the library that one would use instead: `python -m s1lib bench [name ...]`.

A benchmark is a module in this folder with a function `measure() -> list[Row]`. Its rows are
merged into `results/benchmarks.json`, where a row replaces the one of the same name, rival,
device and dtype.
"""

from __future__ import annotations

import argparse
import datetime
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from s1lib.artifacts import RunError, read_json, write_json
from s1lib.show import device as here

RESULTS = Path("results") / "benchmarks.json"


@dataclass(frozen=True)
class Row:
    """One comparison. `ours` and `theirs` are rates in `unit`: more is faster."""

    name: str
    rival: str
    ours: float
    theirs: float
    unit: str
    n: int
    dtype: str
    device: str = here()

    def as_record(self, benchmark: str) -> dict[str, Any]:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return {
            **asdict(self),
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
        rows = import_module(f"{__name__}.{name}").measure()
        for row in merge([row.as_record(name) for row in rows], RESULTS):
            print(
                "{name} vs {rival}: {ratio}x  ({ours:g} / {theirs:g} {unit}, n={n})".format(**row)
            )
    return 0


def merge(rows: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Put rows into the file, in place of older ones of the same comparison; returns them."""

    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(row[name] for name in ("name", "rival", "device", "dtype"))

    before = read_json(path) if path.is_file() else []
    merged = {key(row): row for row in (*before, *rows)}
    write_json(path, [merged[place] for place in sorted(merged)])
    return rows
