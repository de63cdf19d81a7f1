"""Drawings of the book, each a pure function of a tidy table (`s1lib.tables`).

Panels, colours and marks follow from what is in the table, whatever benchmarks and methods.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from s1lib.artifacts import atomic
from s1lib.benchmarks import columns
from s1lib.published import BENCHMARKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#24292f", "#57606a", "#d0d7de"  # as in `figures.mplstyle`
# Okabe and Ito's palette: distinct for colour-blind readers, and in grey by brightness.
BLUE, ORANGE, GREEN, PURPLE, SKY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#56b4e9"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, INK)
MARKS = "os^DvP"


def style() -> None:
    """One look for all figures: call it once, before the first plot of a notebook.

    Backgrounds are transparent and colours carry no meaning that shape or label does not carry
    too; in a notebook, figures become SVG. The site inverts lightness in its dark mode.
    """
    import matplotlib as mpl
    import seaborn as sns

    sns.set_theme(style="ticks", palette=PALETTE)
    mpl.style.use(Path(__file__).with_suffix(".mplstyle"))
    if "inline" in mpl.get_backend():
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("svg")


def save(figure: Figure, path: Path, panel: str = "none") -> Path:
    """Write an SVG, whole or not at all; the same figure gives the same bytes.

    `panel` is the background: transparent in the book, white where a page may be dark.
    """
    with atomic(path) as temporary:
        figure.savefig(temporary, format="svg", facecolor=panel, metadata={"Date": None})
    return path


# --------------------------------------------------------------------------------------
# From tidy tables to drawings


def draw_scaling(table: pd.DataFrame) -> Figure:
    """Figure 1: accuracy against mean thinking tokens, a row of panels for each origin.

    A benchmark stands below the one of the paper that it stands for, or in a column of its own.
    """
    parts = dict(list(table.groupby("origin", sort=False)))
    headings = {origin: columns(part["benchmark"]) for origin, part in parts.items()}
    names = list(dict.fromkeys(h for found in headings.values() for h in found.values()))
    size = max(9.2, 3 * len(names)), 0.5 + 2.55 * len(parts)
    figure, grid = _canvas(len(parts), len(names), figsize=size, sharey="row", squeeze=False)
    for row, (origin, part) in zip(grid, parts.items(), strict=True):
        for axes, name, colour in zip(row, names, _cycle(len(names)), strict=True):
            curve = part[part["benchmark"].map(headings[origin]) == name]
            _draw_curve(axes, curve, colour, missing="not run" if origin == "measured" else "")
            if not curve.empty:
                axes.set_title(f"{curve['benchmark'].iloc[0]}, n = {int(curve['n'].iloc[0])}")
        who = "Published (s1-32B)" if origin == "published" else "Measured here"
        row[0].set_ylabel(f"{who}\naccuracy (%)", labelpad=6)
        for axes in row:
            axes.set(ylim=(-4, 104), yticks=range(0, 101, 20))
    for axes in grid[-1]:
        axes.set_xlabel("mean thinking tokens (log scale)")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, handlelength=2.2)
    figure.get_layout_engine().set(h_pad=0.06, w_pad=0.06)  # type: ignore[union-attr, call-arg]
    return figure


def draw_extrapolation(table: pd.DataFrame) -> Figure:
    """Figure 4a: the same curves with every Wait named."""
    figure, panels = _panels(table, 3.4)
    for axes, curve, colour in panels:
        _draw_curve(axes, curve, colour, name_points=True)
        axes.set_xlabel("mean thinking tokens (log scale)")
        axes.set_ylim(max(-4, curve["low"].min() - 6), min(106, curve["high"].max() + 6))
    return figure


def draw_waits(table: pd.DataFrame) -> Figure:
    """Accuracy against the number of Waits; the public logs on the left."""
    figure, row = _canvas(1, 2, figsize=(9.2, 3.2))
    for axes, origin in zip(row, ("published", "measured"), strict=True):
        part = table[table["origin"] == origin]
        for name, colour in colours(part["benchmark"]).items():
            curve = part[part["benchmark"] == name].sort_values("waits")
            _interval_band(axes, curve["waits"], curve, colour)
            axes.plot(curve["waits"], curve["value"], marker="^", color=colour, label=name)
            last = curve.iloc[-1]
            _name_end(axes, last["waits"], last["value"], name, colour)
        axes.margins(x=0.22)
        axes.set(title=origin.capitalize(), xlabel="ends of thinking ignored (Waits)",
                 xticks=sorted(part["waits"].unique()))  # fmt: skip
    row[0].set_ylabel("accuracy (%)")
    return figure


def draw_domains(table: pd.DataFrame) -> Figure:
    """Figure 2, left: the largest domains, longest bar first."""
    top = 20
    figure, row = _canvas(1, 2, figsize=(9.2, 4.6))
    for axes, origin, colour in zip(row, ("published", "measured"), (MUTED, BLUE), strict=True):
        part = table[table["origin"] == origin].sort_values("n", ascending=False, kind="stable")
        shown = part.head(top)
        names = [textwrap.shorten(title, 34, placeholder=" …") for title in shown["title"]]
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
    return figure


def draw_examples(table: pd.DataFrame) -> Figure:
    """Figure 2, right: sample efficiency, logarithmic in examples; dotted is the base model."""
    figure, row = _canvas(1, 2, figsize=(9.2, 3.4))
    theirs = table[table["origin"] == "published"]
    row[0].scatter(theirs["examples"], theirs["value"], color=ORANGE, zorder=3)
    for _, point in theirs.iterrows():
        _label(row[0], point["examples"], point["value"], point["model"])
    ours = table[table["origin"] == "measured"]
    for name, colour in colours(ours["benchmark"]).items():
        curve = ours[ours["benchmark"] == name].sort_values("examples")
        for value in curve.loc[curve["examples"] == 0, "value"]:  # the base model
            row[1].axhline(value, color=colour, linewidth=1, linestyle=":")
        curve = curve[curve["examples"] > 0]
        _interval_band(row[1], curve["examples"], curve, colour)
        row[1].plot(curve["examples"], curve["value"], marker="o", color=colour)
        last = curve.iloc[-1]
        _name_end(row[1], last["examples"], last["value"], name, colour)
    for axes, title in zip(row, ("Published: MATH500", "Measured"), strict=True):
        axes.set(xscale="log", title=title, xlabel="training examples (log scale)")
        axes.margins(x=0.25, y=0.15)
    row[0].set_ylabel("accuracy (%)")
    return figure


def draw_methods(table: pd.DataFrame) -> Figure:
    """Figures 4b, 6 and 7: accuracy against tokens for each method, a panel per benchmark."""
    figure, panels = _panels(table, 3.4)
    shown: dict[str, Any] = {}
    for axes, part, _ in panels:
        for place, name in enumerate(dict.fromkeys(table["method"])):
            curve = part[part["method"] == name].sort_values("tokens")
            colour = PALETTE[place % len(PALETTE)]
            mark = MARKS[(place + place // len(PALETTE)) % len(MARKS)]  # no pair comes twice soon
            if curve.empty:
                continue
            if curve["low"].notna().all():
                _interval_band(axes, curve["tokens"], curve, colour)
            (shown[name],) = axes.plot(curve["tokens"], curve["value"], marker=mark, color=colour)
        _log2_tokens(axes, part["tokens"])
        axes.set_xlabel("tokens per question (log scale)")
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=4)
    return figure


def draw_lengths(table: pd.DataFrame) -> Figure:
    """Histogram of trace lengths."""
    figure, row = _canvas(1, 2, figsize=(9.2, 2.9))
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
    return figure


def draw_funnel(table: pd.DataFrame) -> Figure:
    """Share of the collected questions left after each step, with counts."""
    figure, axes = _canvas(figsize=(9.2, 0.9 + 0.62 * len(table)))
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
    axes.set(xlim=(0, 112), xticks=range(0, 101, 20))
    axes.set_xlabel("questions left (% of those collected)")
    axes.legend(loc="lower right")
    return figure


def draw_loss(table: pd.DataFrame) -> Figure:
    """Training loss: every step, and a running mean of 15."""
    figure, axes = _canvas(figsize=(6.4, 2.9))
    axes.plot(table["step"], table["loss"], color=SKY, linewidth=0.9, label="each step")
    smooth = table["loss"].rolling(15, min_periods=1, center=True).mean()
    axes.plot(table["step"], smooth, color=BLUE, label="running mean of 15")
    axes.set(xlabel="optimizer step", ylabel="loss (nats per token)")
    axes.legend(loc="upper right")
    return figure


# --------------------------------------------------------------------------------------
# Parts


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each benchmark, the same as for the one of the paper that it stands for."""
    headings = columns(names)
    order = list(dict.fromkeys((*BENCHMARKS, *headings.values())))
    palette = _cycle(len(order))
    return {name: palette[order.index(heading)] for name, heading in headings.items()}


def _cycle(count: int) -> list[str]:
    return [PALETTE[place % len(PALETTE)] for place in range(count)]


def _canvas(rows: int = 1, columns: int = 1, **how: Any) -> tuple[Figure, Any]:
    """As `plt.subplots`; a notebook shows the figure where it is the value of a cell, and once."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, layout="constrained", **how)
    plt.close(figure)
    return figure, axes


def _panels(
    table: pd.DataFrame, height: float
) -> tuple[Figure, list[tuple[Axes, pd.DataFrame, str]]]:
    """Panels in rows of up to four, one for each origin and benchmark, with rows and colour."""
    parts = [(key, part) for key, part in table.groupby(["origin", "benchmark"], sort=False)]
    across = min(len(parts), 4)
    down = -(-len(parts) // across)
    size = max(9.2, 3.2 * across), height * down
    figure, grid = _canvas(down, across, figsize=size, squeeze=False)
    found = []
    for place, axes in enumerate(grid.flat):
        if place >= len(parts):
            axes.set_visible(False)
            continue
        (origin, name), part = parts[place]
        axes.set_title(f"{str(origin).capitalize()}: {name}")
        found.append((axes, part, colours([str(name)])[str(name)]))
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy (%)")
    return figure, found


def _draw_curve(
    axes: Axes, curve: pd.DataFrame, colour: str, name_points: bool = False, missing: str = ""
) -> None:
    """Budgets joined by a solid line, Waits by a dashed one that starts where thinking ends."""
    if curve.empty:
        axes.text(0.5, 0.5, missing, transform=axes.transAxes, ha="center", color=MUTED)
        return
    cuts = curve[curve["waits"] == 0].sort_values("thinking_tokens", kind="stable")
    waits = curve[curve["waits"] > 0]
    room = waits["budget"].astype(float).fillna(float("inf"))
    waits = waits.loc[room.groupby(waits["waits"].astype(int)).idxmax()]
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
    ticks = [500 if low > 300 else 2 ** int(np.floor(np.log2(max(low, 1))))]
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
