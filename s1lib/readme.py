"""`python -m s1lib readme`: the README shows the ledger, Figure 1 and the rates of one run.

Each stands between two markers, so that prose and numbers are changed by different hands.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from s1lib import figures, speed, tables
from s1lib.artifacts import RunError, read_json, write_text
from s1lib.claims import markdown
from s1lib.results import read_all

README = Path("README.md")
PICTURE = Path("jupyter_book") / "figure_1.svg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", default="results/laptop", type=Path, help="run folder")


def main(args: argparse.Namespace) -> None:
    """Raises `RunError` where the run has no ledger, or the README has lost a marker."""
    rows = read_json(args.run / "claims.json", made_by="10")
    parts = {"claims": markdown(rows), "speed": speed.markdown(speed.measured(), speed.HEADLINES)}
    text = filled(README.read_text(encoding="utf-8"), parts)
    figures.style()
    curves = tables.scaling(read_all(args.run))
    figures.save(figures.draw_scaling(curves), PICTURE, panel="white")
    write_text(README, text)


def filled(readme: str, parts: Mapping[str, str]) -> str:
    """The text with each part between its markers, `<!-- name: start -->` and `stop`."""
    for name, part in parts.items():
        start, stop = f"<!-- {name}: start -->", f"<!-- {name}: stop -->"
        head, found, rest = readme.partition(start)
        _, ended, tail = rest.partition(stop)
        if not found or not ended:
            raise RunError(f"README.md lacks the line {start} or {stop}: put both back")
        readme = f"{head}{start}\n{part}{stop}{tail}"
    return readme
