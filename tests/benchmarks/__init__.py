"""Speed beside the library that one would use instead: `python tests/benchmarks [name ...]`.

A benchmark is a module in this folder with a function `measure() -> Iterator[Row]`. Each row is
merged into `results/benchmarks.json` as soon as it is measured, where it replaces the one of the
same name, rival, device and dtype. `s1lib.speed` shows the file.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from s1lib.artifacts import RunError, write_json
from s1lib.show import device as here
from s1lib.speed import RESULTS, measured


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
            "command": f"python tests/benchmarks {benchmark}",
            "date": today,
        }


def benchmarks() -> list[str]:
    return sorted(m.name for m in iter_modules(__path__) if m.name != "__main__")


def main(arguments: list[str]) -> int:
    """Measure what is asked for, or everything; returns the exit status."""
    there = benchmarks()
    parser = argparse.ArgumentParser(prog="python tests/benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"default all: {', '.join(there)}")
    names = parser.parse_args(arguments).names
    try:
        if unknown := set(names) - set(there):
            raise RunError(f"no benchmark {min(unknown)}: there are {', '.join(there)}")
        for name in names or there:
            for row in import_module(f"{__name__}.{name}").measure():
                record = row.as_record(name)
                merge(record, RESULTS)
                print(
                    "{name} vs {rival}: {ratio}x  ({ours:g} / {theirs:g} {unit}, n={n})".format(
                        **record
                    ),
                    flush=True,
                )
    except RunError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def merge(row: dict[str, Any], path: Path) -> None:
    """Put a row into the file, in place of an older one of the same comparison."""

    def key(row: dict[str, Any]) -> tuple[str, ...]:
        return tuple(row[name] for name in ("name", "rival", "device", "dtype"))

    merged = {key(one): one for one in (*measured(path), row)}
    write_json(path, [merged[place] for place in sorted(merged)])
