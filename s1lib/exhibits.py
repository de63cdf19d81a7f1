"""What the book shows: every figure and table, published beside measured, from facts alone.

An exhibit has two halves, both pure: a function from the chapters' facts to a tidy table, and,
for a figure, a function from that table to a drawing. The table is saved beside the drawing, so
that whoever has the CSV can draw the figure again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from s1lib import figures, tables
from s1lib.artifacts import RunError, write_text
from s1lib.results import AllFacts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Exhibit:
    """A figure or table: which chapter measures it, its numbers, and how it is drawn."""

    name: str
    title: str
    chapter: str
    table: Callable[[AllFacts], pd.DataFrame]
    draw: Callable[[pd.DataFrame], Figure] | None = None

    def is_there(self, facts: AllFacts) -> bool:
        """Whether its chapter has run, or its published half stands alone."""
        return self.chapter in facts or self.name in ("figure_1", "table_3")

    @property
    def label(self) -> str:
        """`figure_4a` as people write it: Figure 4a."""
        return self.name.replace("_", " ").capitalize()


_TABLE = (
    ("figure_1", "accuracy against thinking", "06", tables.scaling, figures.draw_scaling),
    ("figure_2_left", "domains of the selected questions", "04", tables.domains,
     figures.draw_domains),
    ("figure_2_right", "sample efficiency", "09", tables.examples, figures.draw_examples),
    ("figure_4a", "extrapolation with Wait", "06", tables.extrapolation,
     figures.draw_extrapolation),
    ("figure_4b", "sequential against parallel", "08", tables.votes, figures.draw_methods),
    ("figure_6", "rejection sampling", "07", tables.rejection, figures.draw_methods),
    ("figure_7", "beyond the context window", "08", tables.parallel, figures.draw_methods),
    ("rivals", "the runs behind Table 3", "07", tables.rivals, figures.draw_methods),
    ("waits", "accuracy against the number of Waits", "06", tables.waits, figures.draw_waits),
    ("lengths", "lengths of thinking traces", "02", tables.lengths, figures.draw_lengths),
    ("funnel", "questions left after each step", "03", tables.funnel, figures.draw_funnel),
    ("loss", "training loss", "05", tables.loss, figures.draw_loss),
    ("table_1", "base against fine-tuned", "06", tables.table_1),
    ("table_2", "data ablations", "09", tables.table_2),
    ("table_3", "methods compared", "07", tables.table_3),
    ("table_4", "strings to go on with", "06", tables.table_4),
    ("table_5", "one, two and four Waits", "06", tables.table_5),
    ("table_6", "domains and thinking tokens", "04", tables.table_6),
    ("table_7", "questions per source", "01", tables.table_7),
    ("table_8", "training on cut-off traces", "09", tables.table_8),
    ("table_12", "token-conditional control", "07", tables.conditional("token-conditional")),
    ("table_13", "step-conditional control", "07", tables.conditional("step-conditional")),
    ("table_14", "class-conditional control", "07", tables.table_14),
)  # fmt: skip
EXHIBITS = {row[0]: Exhibit(*row) for row in _TABLE}


def make(name: str, facts: AllFacts, run: Path) -> Figure | pd.DataFrame | None:
    """Draw one exhibit and save it below `<run>/figures` (`.csv`, and `.svg` for a figure).

    Returns the figure or the table; says so in one line, and returns nothing, if the chapter
    that measures it has not run. Raises `RunError` for an unknown name, or for facts in which what
    it shows is missing.
    """
    if name not in EXHIBITS:
        raise RunError(f"no figure or table called {name!r}: use one of {', '.join(EXHIBITS)}")
    exhibit = EXHIBITS[name]
    if not exhibit.is_there(facts):
        print(f"{exhibit.label}: not run yet, chapter {exhibit.chapter} measures it.")
        return None
    try:
        table = exhibit.table(facts)
    except KeyError as missing:
        raise RunError(
            f"the facts of chapter {exhibit.chapter} lack {missing}: "
            f"make it again with: python -m s1lib run --from {exhibit.chapter}"
        ) from None
    folder = run / "figures"
    write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    if exhibit.draw is None:
        return _laid_out(table)
    figure = exhibit.draw(table)
    figures.save(figure, folder / f"{name}.svg")
    return figure


def index(facts: AllFacts) -> pd.DataFrame:
    """All exhibits, which chapter measures each, and the file that it is drawn to."""
    rows = []
    for name, exhibit in EXHIBITS.items():
        suffix = ".csv" if exhibit.draw is None else ".svg"
        made = f"figures/{name}{suffix}" if exhibit.is_there(facts) else "not run"
        rows.append((exhibit.label, exhibit.title, exhibit.chapter, made))
    return pd.DataFrame(rows, columns=["exhibit", "shows", "chapter", "file"])


def _laid_out(table: pd.DataFrame) -> pd.DataFrame:
    """A table to look at: leading columns name the rows, `Group, part` is two lines of header."""
    names = list(table.columns[: 2 if table.columns[0] == "origin" else 1])
    shown = table.set_index(names).rename_axis([None] * len(names))
    if any(", " in column for column in shown.columns):
        pairs = [tuple(c.split(", ")) if ", " in c else ("", c) for c in shown.columns]
        shown.columns = pd.MultiIndex.from_tuples(pairs)
    return shown.astype(object).where(shown.notna(), "").map(_unbroken)


def _unbroken(value: object) -> object:
    """An estimate and its interval stay on one line."""
    return value.replace(" ", "\u00a0") if isinstance(value, str) and " [" in value else value
