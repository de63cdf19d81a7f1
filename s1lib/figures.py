"""Every figure and table of the book, published beside measured, from facts alone.

An exhibit has two halves, both pure: a function from the chapters' facts to a tidy table, and,
for a figure, a function from that table to a drawing. The table is saved beside the drawing, so
that whoever has the CSV can draw the figure again. Accuracies are in percent, lengths in thinking
tokens per question; intervals are at 95%.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from s1lib import tables
from s1lib.artifacts import RunError, atomic, read_facts, write_text
from s1lib.published import BENCHMARKS, partner
from s1lib.tables import Facts, without_cap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#24292f", "#57606a", "#d0d7de"
# Okabe and Ito's palette: distinct for colour-blind readers, and in grey by brightness.
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#56b4e9"
COLOURS = dict(zip(BENCHMARKS, (BLUE, ORANGE, GREEN), strict=True))


def style() -> None:
    """One look for all figures: call it once, before the first plot of a notebook.

    Backgrounds are transparent and colours carry no meaning that shape or label does not carry
    too; in a notebook, figures become SVG. The site inverts lightness in its dark mode.
    """
    import matplotlib as mpl
    import seaborn as sns

    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=[BLUE, ORANGE, GREEN, PURPLE, SKY, INK],
        rc={
            "font.size": 10,
            "axes.labelsize": 10,
            "axes.titlesize": 10.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": MUTED,
            "axes.labelcolor": INK,
            "axes.linewidth": 0.8,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": RULE,
            "grid.linewidth": 0.6,
            "text.color": INK,
            "xtick.color": MUTED,
            "ytick.color": MUTED,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "xtick.major.width": 0.8,
            "ytick.major.width": 0.8,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "lines.linewidth": 1.8,
            "lines.markersize": 5.5,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "savefig.bbox": "tight",
            "figure.constrained_layout.use": True,
            "svg.hashsalt": "s1",
        },
    )
    mpl.rcParams["figure.dpi"] = 100
    if "InlineBackend" in mpl.get_backend() or "inline" in mpl.get_backend():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


# --------------------------------------------------------------------------------------
# What there is, and making it


@dataclass(frozen=True)
class Exhibit:
    """A figure or table: where its numbers come from and how it is drawn."""

    name: str
    title: str
    chapter: str
    table: Callable[[Facts], pd.DataFrame | None]
    draw: Callable[[pd.DataFrame], Figure] | None = None

    @property
    def label(self) -> str:
        """`figure_4a` as people write it: Figure 4a."""
        return self.name.replace("_", " ").capitalize()


def read_all(run: Path) -> Facts:
    """The facts of every measuring chapter that has run, by chapter."""
    chapters = sorted(file.stem for file in (run / "facts").glob("0[0-9].json"))
    return {chapter: read_facts(run, chapter) for chapter in chapters}


def make(name: str, facts: Facts, run: Path) -> Figure | pd.DataFrame | None:
    """Draw one exhibit and save it below `<run>/figures` (`.csv`, and `.svg` for a figure).

    Returns the figure or the table; says so in one line, and returns nothing, if the chapter
    that measures it has not run. Raises `RunError` for an unknown name.
    """
    if name not in EXHIBITS:
        raise RunError(f"no figure or table called {name!r}: use one of {', '.join(EXHIBITS)}")
    exhibit = EXHIBITS[name]
    table = exhibit.table(facts)
    if table is None:
        print(f"{exhibit.label}: not run yet, chapter {exhibit.chapter} measures it.")
        return None
    folder = run / "figures"
    write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    if exhibit.draw is None:
        return _laid_out(table)
    figure = exhibit.draw(table)
    save(figure, folder / f"{name}.svg")
    return figure


def index(facts: Facts, run: Path) -> pd.DataFrame:
    """All exhibits, which chapter measures each, and whether it was drawn in this run."""
    rows = []
    for name, exhibit in EXHIBITS.items():
        drawn = exhibit.table(facts) is not None
        suffix = ".csv" if exhibit.draw is None else ".svg"
        made = f"figures/{name}{suffix}" if drawn else "not run"
        rows.append((exhibit.label, exhibit.title, exhibit.chapter, made))
    return pd.DataFrame(rows, columns=["exhibit", "shows", "chapter", "file"])


def save(figure: Figure, path: Path, panel: str = "none") -> Path:
    """Write an SVG, whole or not at all; the same figure gives the same bytes.

    `panel` is the background: transparent in the book, white where a page may be dark.
    """
    with atomic(path) as temporary:
        figure.savefig(temporary, format="svg", facecolor=panel, metadata={"Date": None})
    return path


def _laid_out(table: pd.DataFrame) -> pd.DataFrame:
    """A table to look at: leading columns name the rows, `Group, part` is two lines of header."""
    names = list(table.columns[: 2 if table.columns[0] == "origin" else 1])
    shown = table.set_index(names).rename_axis([None] * len(names))
    if any(", " in column for column in shown.columns):
        pairs = [tuple(c.split(", ")) if ", " in c else ("", c) for c in shown.columns]
        shown.columns = pd.MultiIndex.from_tuples(pairs)
    return shown.astype(object).where(shown.notna(), "").map(_unbroken)


# --------------------------------------------------------------------------------------
# From tidy tables to drawings


def draw_scaling(table: pd.DataFrame) -> Figure:
    """Figure 1: accuracy against mean thinking tokens, a row of panels for each origin."""
    import matplotlib.pyplot as plt

    origins = [o for o in ("published", "measured") if (table["origin"] == o).any()]
    figure, grid = plt.subplots(
        len(origins), 3, figsize=(9.2, 0.5 + 2.55 * len(origins)), sharey="row", squeeze=False
    )
    for row, origin in zip(grid, origins, strict=True):
        part = table[table["origin"] == origin]
        for axes, name in zip(row, BENCHMARKS, strict=True):
            curve = part[part["benchmark"].map(partner) == name]
            _draw_curve(axes, curve, COLOURS[name])
            if not curve.empty:
                axes.set_title(f"{curve['benchmark'].iloc[0]}, n = {int(curve['n'].iloc[0])}")
        who = "Published (s1-32B)" if origin == "published" else "Measured here"
        row[0].set_ylabel(f"{who}\naccuracy (%)", labelpad=6)
        for axes in row:
            axes.set_ylim(-4, 104)
            axes.set_yticks(range(0, 101, 20))
    for axes in grid[-1]:
        axes.set_xlabel("mean thinking tokens (log scale)")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, handlelength=2.2)
    figure.get_layout_engine().set(h_pad=0.06, w_pad=0.06)  # type: ignore[union-attr, call-arg]
    plt.close(figure)
    return figure


def draw_extrapolation(table: pd.DataFrame) -> Figure:
    """Figure 4a: the same curve with every Wait named."""
    import matplotlib.pyplot as plt

    figure, row = plt.subplots(1, 2, figsize=(9.2, 3.4), sharey=False)
    for axes, origin in zip(row, ("published", "measured"), strict=True):
        curve = table[table["origin"] == origin]
        _draw_curve(axes, curve, BLUE, name_points=True)
        axes.set_title(f"{origin.capitalize()}: {curve['benchmark'].iloc[0]}")
        axes.set_xlabel("mean thinking tokens (log scale)")
        axes.set_ylim(max(-4, curve["low"].min() - 6), min(106, curve["high"].max() + 6))
    row[0].set_ylabel("accuracy (%)")
    plt.close(figure)
    return figure


def draw_waits(table: pd.DataFrame) -> Figure:
    """Accuracy against the number of Waits; the public logs on the left."""
    import matplotlib.pyplot as plt

    figure, row = plt.subplots(1, 2, figsize=(9.2, 3.2))
    for axes, origin in zip(row, ("published", "measured"), strict=True):
        part = table[table["origin"] == origin]
        for name, curve in part.groupby("benchmark", sort=False):
            curve = curve.sort_values("waits")
            colour = COLOURS[partner(str(name))]
            _interval_band(axes, curve["waits"], curve, colour)
            axes.plot(curve["waits"], curve["value"], marker="^", color=colour, label=str(name))
            last = curve.iloc[-1]
            _name_end(axes, last["waits"], last["value"], str(name), colour)
        axes.set_title(origin.capitalize())
        axes.set_xlabel("ends of thinking ignored (Waits)")
        axes.margins(x=0.22)
        axes.set_xticks(sorted(part["waits"].unique()))
    row[0].set_ylabel("accuracy (%)")
    plt.close(figure)
    return figure


def draw_domains(table: pd.DataFrame) -> Figure:
    """Figure 2, left: the largest domains, longest bar first."""
    import matplotlib.pyplot as plt

    top = 20
    figure, row = plt.subplots(1, 2, figsize=(9.2, 4.6))
    for axes, origin, colour in zip(row, ("published", "measured"), (MUTED, BLUE), strict=True):
        part = table[table["origin"] == origin].sort_values("n", ascending=False, kind="stable")
        shown = part.head(top)
        names = [_short(title) for title in shown["title"]]
        axes.barh(names, shown["n"], color=colour, height=0.72)
        for y, n in enumerate(shown["n"]):
            axes.text(n, y, f" {n:,}", va="center", fontsize=8, color=INK)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.margins(x=0.12, y=0.02)
        rest = part["n"].iloc[top:]
        more = f", of which {top} shown" if len(rest) else ""
        axes.set_title(f"{origin.capitalize()}: {len(part)} domains{more}")
        axes.set_xlabel("questions selected")
    plt.close(figure)
    return figure


def draw_examples(table: pd.DataFrame) -> Figure:
    """Figure 2, right: sample efficiency, logarithmic in examples; dotted is the base model."""
    import matplotlib.pyplot as plt

    figure, row = plt.subplots(1, 2, figsize=(9.2, 3.4))
    theirs = table[table["origin"] == "published"]
    row[0].scatter(theirs["examples"], theirs["value"], color=ORANGE, zorder=3)
    for _, point in theirs.iterrows():
        _label(row[0], point["examples"], point["value"], point["model"])
    for name, curve in table[table["origin"] == "measured"].groupby("benchmark", sort=False):
        curve, colour = curve.sort_values("examples"), COLOURS[partner(str(name))]
        for value in curve.loc[curve["examples"] == 0, "value"]:  # the base model
            row[1].axhline(value, color=colour, linewidth=1, linestyle=":")
        curve = curve[curve["examples"] > 0]
        _interval_band(row[1], curve["examples"], curve, colour)
        row[1].plot(curve["examples"], curve["value"], marker="o", color=colour)
        last = curve.iloc[-1]
        _name_end(row[1], last["examples"], last["value"], str(name), colour)
    for axes, title in zip(row, ("Published: MATH500", "Measured"), strict=True):
        axes.set_xscale("log")
        axes.set_title(title)
        axes.set_xlabel("training examples (log scale)")
        axes.margins(x=0.25, y=0.15)
    row[0].set_ylabel("accuracy (%)")
    plt.close(figure)
    return figure


def draw_methods(table: pd.DataFrame) -> Figure:
    """Figures 4b, 6 and 7: accuracy against tokens for each method."""
    import matplotlib.pyplot as plt

    figure, row = plt.subplots(1, 2, figsize=(9.2, 3.4))
    for axes, origin in zip(row, ("published", "measured"), strict=True):
        part = table[table["origin"] == origin]
        marks = "os^Dv"
        for i, (name, curve) in enumerate(part.groupby("method", sort=False)):
            curve, colour = curve.sort_values("tokens"), (BLUE, ORANGE, GREEN, PURPLE, SKY)[i % 5]
            if curve["low"].notna().all():
                _interval_band(axes, curve["tokens"], curve, colour)
            axes.plot(
                curve["tokens"], curve["value"], marker=marks[i % 5], color=colour, label=str(name)
            )
        _log2_tokens(axes, part["tokens"])
        axes.set_title(origin.capitalize())
        axes.set_xlabel("tokens per question (log scale)")
        axes.legend(loc="best")
    row[0].set_ylabel("accuracy (%)")
    plt.close(figure)
    return figure


def draw_lengths(table: pd.DataFrame) -> Figure:
    """Histogram of trace lengths."""
    import matplotlib.pyplot as plt

    figure, row = plt.subplots(1, 2, figsize=(9.2, 2.9))
    for axes, origin, colour in zip(row, ("published", "measured"), (MUTED, BLUE), strict=True):
        part = table[(table["origin"] == origin)]
        filled = part[part["count"] > 0]
        part = part[part["low"] <= filled["high"].max()]
        width = part["high"] - part["low"]
        axes.bar(part["low"], part["count"], width=width, align="edge", color=colour,
                 edgecolor="white", linewidth=0.5)  # fmt: skip
        axes.grid(axis="x", visible=False)
        what = "s1K, Gemini's traces" if origin == "published" else "all traces"
        axes.set_title(f"{origin.capitalize()}: {what}, n = {int(part['count'].sum()):,}")
        axes.set_xlabel("thinking tokens")
    row[0].set_ylabel("traces")
    plt.close(figure)
    return figure


def draw_funnel(table: pd.DataFrame) -> Figure:
    """Share of the collected questions left after each step, with counts."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9.2, 0.9 + 0.62 * len(table)))
    series = [("published", "published", MUTED, -0.2), ("measured", "n", BLUE, 0.2)]
    for label, column, colour, shift in series:
        if f"{column} %" not in table:
            continue
        for y, (share, count) in enumerate(zip(table[f"{column} %"], table[column], strict=True)):
            if pd.isna(share):
                continue
            axes.barh(y + shift, share, height=0.36, color=colour,
                      label=label if y == 0 else None)  # fmt: skip
            axes.text(share, y + shift, f"  {int(count):,}", va="center", fontsize=8.5)
    axes.set_yticks(range(len(table)), table["step"])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("questions left (% of those collected)")
    axes.legend(loc="lower right")
    plt.close(figure)
    return figure


def draw_loss(table: pd.DataFrame) -> Figure:
    """Training loss: every step, and a running mean of 15."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 2.9))
    axes.plot(table["step"], table["loss"], color=SKY, linewidth=0.9, label="each step")
    smooth = table["loss"].rolling(15, min_periods=1, center=True).mean()
    axes.plot(table["step"], smooth, color=BLUE, label="running mean of 15")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss (nats per token)")
    axes.legend(loc="upper right")
    plt.close(figure)
    return figure


# --------------------------------------------------------------------------------------
# Parts


def _draw_curve(axes: Axes, curve: pd.DataFrame, colour: str, name_points: bool = False) -> None:
    """Budgets joined by a solid line, Waits by a dashed one that starts where thinking ends."""
    if curve.empty:
        axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", color=MUTED)
        return
    cuts = curve[curve["waits"] == 0].sort_values("thinking_tokens", kind="stable")
    waits = pd.DataFrame(without_cap(curve[curve["waits"] > 0].to_dict("records")))
    _interval_band(axes, cuts["thinking_tokens"], cuts, colour)
    axes.plot(cuts["thinking_tokens"], cuts["value"], marker="o", color=colour, clip_on=False)
    if not waits.empty:
        waits = waits.sort_values("thinking_tokens", kind="stable")
        joined = pd.concat([cuts.tail(1), waits])
        _interval_band(axes, joined["thinking_tokens"], joined, colour)
        axes.plot(joined["thinking_tokens"], joined["value"], linestyle=(0, (2, 1.2)),
                  color=colour)  # fmt: skip
        axes.plot(waits["thinking_tokens"], waits["value"], linestyle="none", marker="^",
                  markersize=7, color=colour, clip_on=False)  # fmt: skip
    _log2_tokens(axes, curve["thinking_tokens"])
    if name_points:
        for i, point in enumerate(waits.to_dict("records")):
            high = 7 + 9 * (i % 2)
            _label(axes, point["thinking_tokens"], point["value"], f"×{int(point['waits'])}", high)
        named = 0.0
        for point in cuts.to_dict("records"):
            if point["thinking_tokens"] > 1.3 * named:  # room for its name
                named = point["thinking_tokens"]
                name = "end" if pd.isna(point["budget"]) else f"{int(point['budget']):,}"
                _label(axes, named, point["value"], name, -7)


def _legend() -> list[Any]:
    """What the marks mean, in grey, since colours name benchmarks."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color=MUTED, marker="o", label="budget: thinking cut at a maximum"),
        Line2D([], [], color=MUTED, marker="^", markersize=7, linestyle=(0, (2, 1.2)),
               label="“Wait”: the end of thinking ignored"),
        Patch(color=MUTED, alpha=0.2, linewidth=0, label="95% interval"),
    ]  # fmt: skip


def _interval_band(axes: Axes, x: pd.Series, curve: pd.DataFrame, colour: str) -> None:
    low, high = curve["low"].astype(float), curve["high"].astype(float)
    axes.fill_between(x.astype(float), low, high, color=colour, alpha=0.16, linewidth=0)


def _log2_tokens(axes: Axes, tokens: pd.Series) -> None:
    """A base-2 axis whose ticks read 16, 32, ... or 500, 1,000, ..."""
    import numpy as np

    low, high = float(tokens.min()), float(tokens.max())
    start = 500 if low > 300 else 2 ** int(np.floor(np.log2(max(low, 1))))
    ticks = [start]
    while ticks[-1] * 2 <= high * 1.15:
        ticks.append(ticks[-1] * 2)
    step = 1 + (len(ticks) - 1) // 6
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks[::step], [f"{tick:,}" for tick in ticks[::step]])
    axes.set_xlim(low / 1.25, high * 1.25)
    axes.minorticks_off()


def _label(axes: Axes, x: float, y: float, text: str, height: float = 7) -> None:
    """Text centred above a point, or below it for a negative height (in points)."""
    axes.annotate(
        text, (x, y), xytext=(0, height), textcoords="offset points", ha="center",
        va="top" if height < 0 else "bottom", fontsize=8, color=MUTED,
    )  # fmt: skip


def _name_end(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    """Name a curve at its last point, so that no legend has to be matched by colour."""
    axes.annotate(text, (x, y), xytext=(7, 0), textcoords="offset points", va="center",
                  fontsize=8.5, color=colour)  # fmt: skip


def _unbroken(value: Any) -> Any:
    """An estimate and its interval stay on one line."""
    return value.replace(" ", "\u00a0") if isinstance(value, str) and " [" in value else value


def _short(title: str) -> str:
    return textwrap.shorten(title, width=34, placeholder=" …")


EXHIBITS = {
    exhibit.name: exhibit
    for exhibit in (
        Exhibit("figure_1", "accuracy against thinking", "06", tables.scaling, draw_scaling),
        Exhibit("figure_2_left", "domains of the selected questions", "04", tables.domains,
                draw_domains),
        Exhibit("figure_2_right", "sample efficiency", "09", tables.examples, draw_examples),
        Exhibit("figure_4a", "extrapolation with Wait", "06", tables.extrapolation,
                draw_extrapolation),
        Exhibit("figure_4b", "sequential against parallel", "08",
                tables.methods("08", "figure_4b"), draw_methods),
        Exhibit("figure_6", "rejection sampling", "07", tables.methods("07", "figure_6"),
                draw_methods),
        Exhibit("figure_7", "beyond the context window", "08", tables.methods("08", "figure_7"),
                draw_methods),
        Exhibit("waits", "accuracy against the number of Waits", "06", tables.waits, draw_waits),
        Exhibit("lengths", "lengths of thinking traces", "02", tables.lengths, draw_lengths),
        Exhibit("funnel", "questions left after each step", "03", tables.funnel, draw_funnel),
        Exhibit("loss", "training loss", "05", tables.loss, draw_loss),
        Exhibit("table_1", "base against fine-tuned", "06", tables.table_1),
        Exhibit("table_2", "data ablations", "09", tables.plain("09", "table_2")),
        Exhibit("table_3", "methods compared", "07", tables.table_3),
        Exhibit("table_4", "strings to go on with", "06", tables.table_4),
        Exhibit("table_5", "one, two and four Waits", "06", tables.table_5),
        Exhibit("table_6", "domains and thinking tokens", "04", tables.table_6),
        Exhibit("table_7", "questions per source", "01", tables.table_7),
        Exhibit("table_8", "training on cut-off traces", "09", tables.plain("09", "table_8")),
        Exhibit("table_12", "token-conditional control", "07", tables.plain("07", "table_12")),
        Exhibit("table_13", "step-conditional control", "07", tables.plain("07", "table_13")),
        Exhibit("table_14", "class-conditional control", "07", tables.plain("07", "table_14")),
    )
}  # fmt: skip
