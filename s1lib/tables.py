"""From the chapters' facts to tidy tables, published beside measured: one function per exhibit.

Each is pure, and returns nothing if the chapter that measures it has not run. Accuracies are in
percent, lengths in thinking tokens per question; intervals are at 95%.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from s1lib import metrics
from s1lib.published import BENCHMARKS, partner, published

Facts = dict[str, dict[str, Any]]

_CURVE = ("budget", "waits", "thinking_tokens", "value", "low", "high", "n")


def scaling(facts: Facts) -> pd.DataFrame:
    """Figure 1: one row per run, published and, if chapter 06 has run, measured."""
    rows = [
        {"origin": "published", "benchmark": name, **_with_interval(point)}
        for name, points in published("figure_1").items()
        for point in points
    ]
    for name, points in facts.get("06", {}).get("figure_1", {}).items():
        rows += [{"origin": "measured", "benchmark": name, **_point(p)} for p in points]
    return _curve_frame(rows)


def extrapolation(facts: Facts) -> pd.DataFrame | None:
    """Figure 4a: budgets and Waits on AIME24 and on the benchmark that stands for it."""
    points = {
        name: points
        for name, points in facts.get("06", {}).get("figure_1", {}).items()
        if partner(name) == "AIME24"
    }
    if not points:
        return None
    rows = [
        {"origin": "published", "benchmark": "AIME24", **_with_interval(point)}
        for point in published("figure_4a")
    ]
    for name, measured in points.items():
        rows += [{"origin": "measured", "benchmark": name, **_point(p)} for p in measured]
    return _curve_frame(rows)


def waits(facts: Facts) -> pd.DataFrame | None:
    """Accuracy against the number of ignored ends of thinking, from the public logs and ours."""
    curves = facts.get("06", {}).get("figure_1")
    if not curves:
        return None
    rows = [
        {"origin": "published", "benchmark": "AIME24", **_with_interval({**point, "n": 30})}
        for point in published("waits_aime24")
    ]
    for name, points in curves.items():
        rows += [
            {"origin": "measured", "benchmark": name, **_point(p)} for p in without_cap(points)
        ]
    table = pd.DataFrame(rows)[["origin", "benchmark", "waits", "value", "low", "high", "n"]]
    return table.astype({"waits": int})


def domains(facts: Facts) -> pd.DataFrame | None:
    """Figure 2, left: questions per domain in the selected set."""
    ours = facts.get("04", {}).get("table_6")
    if not ours:
        return None
    rows = [{"origin": "published", **row} for row in published("figure_2_domains")]
    rows += [{"origin": "measured", "title": row["title"], "n": int(row["n"])} for row in ours]
    return pd.DataFrame(rows)


def examples(facts: Facts) -> pd.DataFrame | None:
    """Figure 2, right: accuracy against the number of training examples."""
    ours = facts.get("09", {}).get("sample_efficiency")
    if not ours:
        return None
    rows = [
        {"origin": "published", "benchmark": "MATH500", **row, "low": None, "high": None}
        for row in published("figure_2_examples")
        if row["examples"]
    ]
    for row in ours:
        point = _point({**row, "waits": 0, "budget": None, "thinking_tokens": 0})
        rows.append(
            {
                "origin": "measured",
                "benchmark": row["benchmark"],
                "model": row.get("model", "s1"),
                "examples": row["examples"],
                **{key: point[key] for key in ("value", "low", "high")},
            }
        )
    return pd.DataFrame(rows)


def methods(chapter: str, key: str) -> Callable[[Facts], pd.DataFrame | None]:
    """Figures 4b, 6 and 7: `[{method, tokens, value, ci95, n}]` beside the published points."""

    def table(facts: Facts) -> pd.DataFrame | None:
        ours = facts.get(chapter, {}).get(key)
        if not ours:
            return None
        rows = []
        for origin, points in (("published", published(key)), ("measured", ours)):
            for point in points:
                low, high = point.get("ci95") or (None, None)
                rows.append(
                    {
                        "origin": origin,
                        "method": point.get("method", "rejection sampling"),
                        "tokens": point.get("tokens", point.get("thinking_tokens")),
                        "value": point["value"],
                        "low": low,
                        "high": high,
                    }
                )
        return pd.DataFrame(rows)

    return table


def lengths(facts: Facts) -> pd.DataFrame | None:
    """Histogram of thinking lengths: the paper's traces (its selected 1,000) and ours."""
    ours = facts.get("02", {}).get("lengths")
    if not ours:
        return None
    rows = []
    for origin, hist in (("published", published("lengths")["gemini"]), ("measured", ours)):
        edges = hist["bins"]
        rows += [
            {"origin": origin, "low": low, "high": high, "count": count}
            for low, high, count in zip(edges, edges[1:], hist["counts"], strict=False)
        ]
    return pd.DataFrame(rows)


def funnel(facts: Facts) -> pd.DataFrame | None:
    """Questions left after every step, with the share of those collected."""
    ours = facts.get("03", {}).get("funnel")
    if not ours:
        return None
    table = pd.DataFrame(ours)
    for column in ("published", "n"):
        if column in table:
            counts = pd.to_numeric(table[column], errors="coerce")
            table[f"{column} %"] = (100 * counts / counts.iloc[0]).round(1)
    return table


def loss(facts: Facts) -> pd.DataFrame | None:
    """Training loss per optimizer step."""
    ours = facts.get("05", {}).get("loss")
    return pd.DataFrame(ours) if ours else None


def table_1(facts: Facts) -> pd.DataFrame | None:
    """Accuracy of base and fine-tuned model, published above measured."""
    ours = facts.get("06", {}).get("table_1")
    if not ours:
        return None
    keep = ("Qwen2.5-32B-Instruct", "s1 w/o BF", "s1-32B")
    rows = [
        {"origin": "published", "model": row["model"], **_cells(row)}
        for row in published("table_1")
        if row["model"] in keep
    ]
    return pd.DataFrame(rows + _measured(ours, ("model",)))


def table_3(facts: Facts) -> pd.DataFrame:
    """Control, Scaling and Performance: printed, recomputed from the published points, measured.

    Scaling is recomputed per doubling of thinking tokens, which returns the printed column, and
    per thousand tokens, as equation (2) reads, which does not.
    """
    rows = []
    ours = {row["method"]: row for row in facts.get("07", {}).get("table_3", [])}
    for printed in published("table_3"):
        runs = published("table_3_runs")[printed["short"]]
        tokens = [run["thinking_tokens"] for run in runs]
        values = [run["value"] for run in runs]
        bounds = ([run.get(side, float("nan")) for run in runs] for side in ("lower", "upper"))
        row = {
            "method": printed["method"],
            "runs": len(runs),
            "Control, printed": printed["control"],
            "Control, recomputed": round(metrics.control(tokens, *bounds)),
            "Scaling, printed": printed["scaling"],
            "Scaling, per doubling": round(metrics.scaling(tokens, values), 2),
            "Scaling, per 1k": round(1000 * metrics.scaling(tokens, values, per="token"), 2),
            "Performance, printed": printed["performance"],
            "Performance, recomputed": round(metrics.performance(values), 1),
        }
        if ours:
            measured = ours.get(printed["method"], {})
            for metric in ("control", "scaling", "performance"):
                row[f"{metric.capitalize()}, measured"] = _cell(measured.get(metric))
        rows.append(row)
    return pd.DataFrame(rows)


def table_4(facts: Facts) -> pd.DataFrame | None:
    """What to append when an end of thinking is ignored twice."""
    ours = facts.get("06", {}).get("table_4")
    if not ours:
        return None
    rows = [
        {"origin": "published", "string": r["string"], "waits": r["waits"], **_cells(r)}
        for r in published("table_4")
    ]
    return pd.DataFrame(rows + _measured(ours, ("string", "waits")))


def table_5(facts: Facts) -> pd.DataFrame | None:
    """One, two and four Waits."""
    curves = facts.get("06", {}).get("figure_1")
    if not curves:
        return None
    names = {"s1 w/o BF": 0, "s1 1x Wait": 1, "s1 2x Wait": 2, "s1 4x Wait": 4}
    rows = [
        {"origin": "published", "Waits": names[r["model"]], **_cells(r)}
        for r in published("table_5")
        if r["model"] in names
    ]
    ours = [
        {"Waits": point["waits"], "benchmark": name, **point}
        for name, points in curves.items()
        for point in without_cap(points)
    ]
    return pd.DataFrame(rows + _measured(ours, ("Waits",)))


def table_6(facts: Facts) -> pd.DataFrame | None:
    """Domains of the selected questions with their thinking tokens, rank by rank."""
    ours = facts.get("04", {}).get("table_6")
    if not ours:
        return None
    left = pd.DataFrame(published("table_6")).rename(
        columns={"n": "published, n", "k_tokens": "published, 1000 tokens"}
    )
    right = pd.DataFrame(ours).sort_values("n", ascending=False, kind="stable", ignore_index=True)
    right = pd.DataFrame(
        {
            "measured, domain": right["title"],
            "measured, n": right["n"],
            "measured, 1000 tokens": right["k_tokens"],
        }
    )
    table = left.join(right, how="outer")
    return table.astype({"published, n": "Int64", "measured, n": "Int64"})


def table_7(facts: Facts) -> pd.DataFrame | None:
    """Questions per source after collection."""
    ours = facts.get("01", {}).get("table_7")
    if not ours:
        return None
    table = pd.DataFrame(ours)
    columns = {"source": "source", "published_n": "published", "n": "measured", "why": "why"}
    return table[[c for c in columns if c in table]].rename(columns=columns)


def plain(chapter: str, key: str) -> Callable[[Facts], pd.DataFrame | None]:
    """Tables 2, 8, 12, 13 and 14: the measuring chapter's rows below the published ones."""

    def table(facts: Facts) -> pd.DataFrame | None:
        ours = facts.get(chapter, {}).get(key)
        if not ours:
            return None
        theirs = published(key) if key in ("table_2", "table_8", "table_14") else []
        rows = [{"origin": "published", **row} for row in theirs]
        rows += [{"origin": "measured", **row} for row in ours]
        table = pd.DataFrame(rows).drop(columns="ci95_minus_s1K", errors="ignore")
        names = [c for c in ("origin", "set", "method", "prompt", "length") if c in table]
        judged = [c for name in BENCHMARKS for c in table if c.split()[0] == name]
        rest = [c for c in table if c not in (*names, *judged)]
        return table[[*names, *rest, *judged]].map(_cell)

    return table


# Parts --------------------------------------------------------------------------------


def without_cap(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The runs that show what Waits do: for each number of them, the one with most room."""
    best: dict[int, dict[str, Any]] = {}
    for point in points:
        room = float("inf") if point.get("budget") is None else point["budget"]
        kept = best.get(point["waits"])
        if kept is None or room > (kept.get("budget") or float("inf")):
            best[point["waits"]] = point
    return [best[waits] for waits in sorted(best)]


def _point(point: dict[str, Any]) -> dict[str, Any]:
    low, high = point.get("ci95") or (None, None)
    return {**{key: point.get(key) for key in _CURVE}, "low": low, "high": high}


def _with_interval(point: dict[str, Any]) -> dict[str, Any]:
    """The paper prints no intervals for its figures: Wilson's, from the counts."""
    correct = round(point["value"] * point["n"] / 100)
    return _point({**point, "ci95": metrics.wilson(correct, point["n"])})


def _curve_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    table = pd.DataFrame(rows)[["origin", "benchmark", *_CURVE]]
    return table.astype({"budget": "Int64", "waits": "Int64", "n": "Int64"})


def _cells(row: dict[str, Any]) -> dict[str, str]:
    """The three benchmarks' columns of a published row."""
    return {name: _cell(row.get(name)) for name in BENCHMARKS}


def _measured(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of one benchmark each, folded so that every benchmark has its column."""
    folded: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        name = tuple(row[key] for key in keys)
        start = {"origin": "measured", **dict(zip(keys, name, strict=True))}
        folded.setdefault(name, start)[partner(row["benchmark"])] = _cell(row)
    return list(folded.values())


def _cell(value: Any) -> Any:
    """A number as a reader wants it: one decimal, and its interval if it has one."""
    if isinstance(value, dict) and "value" in value:
        if value["value"] is None:
            return "–"
        low, high = value.get("ci95") or (None, None)
        interval = "" if low is None else f" [{low:.1f}, {high:.1f}]"
        return f"{value['value']:.1f}{interval}"
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    return f"{value:.1f}" if isinstance(value, float) else value
