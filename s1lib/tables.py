"""From the chapters' facts to tidy tables, published beside measured: one function per exhibit.

Each is pure, and needs the facts of the chapter that measures it (`s1lib.exhibits`). Whatever
benchmark, model or method they hold appears; a benchmark's partner (`s1lib.benchmarks`) only adds
the published half.
Accuracies are in percent, lengths in thinking tokens per question; intervals are at 95%.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from s1lib import metrics, results
from s1lib.artifacts import RunError
from s1lib.benchmarks import columns
from s1lib.published import BENCHMARKS, published
from s1lib.results import FORCING, PLAIN, VOTE, AllFacts, Estimate, Point, points, sequential

_CURVE = ["origin", "benchmark", "budget", "waits", "thinking_tokens", "value", "low", "high", "n"]
_EXAMPLES = ["origin", "benchmark", "model", "examples", "value", "low", "high"]
_METHODS = ["origin", "benchmark", "method", "tokens", "value", "low", "high"]


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]], right: Sequence[str] = ()) -> str:
    """A Markdown table of words; the columns named in `right` are set to the right."""
    names = list(head)
    rule = ["---:" if name in right else "---" for name in names]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (names, rule, *rows))


# Curves -------------------------------------------------------------------------------


def scaling(facts: AllFacts) -> pd.DataFrame:
    """Figure 1: one row per run, published and, if chapter 06 has run, measured."""
    theirs = [
        _printed(name, point) for name, some in published("figure_1").items() for point in some
    ]
    return _curve(theirs, sequential(facts))


def extrapolation(facts: AllFacts) -> pd.DataFrame:
    """Figure 4a: budgets and Waits, beside the paper's on AIME24."""
    theirs = [_printed("AIME24", point) for point in published("figure_4a")]
    return _curve(theirs, sequential(facts))


def waits(facts: AllFacts) -> pd.DataFrame:
    """Accuracy against the number of ignored ends of thinking, from the public logs and ours."""
    theirs = [_printed("AIME24", {**point, "n": 30}) for point in published("waits_aime24")]
    table = _curve(theirs, without_cap(sequential(facts)))
    return table.drop(columns=["budget", "thinking_tokens"]).astype({"waits": int})


def examples(facts: AllFacts) -> pd.DataFrame:
    """Figure 2, right: accuracy against the number of training examples."""
    ours = [point for point in points(facts) if point.setting.model in facts["09"]["curve"]]
    ours = [point for point in ours if point.setting.examples is not None]
    theirs = [
        {"origin": "published", "benchmark": "MATH500", **row}
        for row in published("figure_2_examples")
        if row["examples"]
    ]
    ours = _grouped(sorted(ours, key=lambda one: one.setting.examples or 0))
    return pd.DataFrame(theirs + [_measured(point) for point in ours], columns=_EXAMPLES)


# Methods against tokens ---------------------------------------------------------------


def votes(facts: AllFacts) -> pd.DataFrame:
    """Figure 4b: budget forcing and votes of another model, by all tokens that were paid for."""
    forced = sequential(facts)
    own = {point.setting.model for point in forced}
    others = [point for point in points(facts, method=VOTE) if point.setting.model not in own]
    return _methods("figure_4b", "GPQA", others, forced)


def parallel(facts: AllFacts) -> pd.DataFrame:
    """Figure 7: the sequential runs, and whatever spends several traces of the same model."""
    forced = sequential(facts)
    own = {point.setting.model for point in forced}
    ours = [point for point in points(facts) if point.setting.samples is not None]
    ours = [point for point in ours if point.setting.model in own]
    return _methods("figure_7", "AIME24", ours, forced, "sequential")


def rejection(facts: AllFacts) -> pd.DataFrame:
    """Figure 6: rejection sampling, by the thinking tokens of the sample that is given."""
    ours = [one for one in points(facts) if one.setting.method.startswith("rejection sampling")]
    return _methods("figure_6", "AIME24", ours, thinking=True)


def rivals(facts: AllFacts) -> pd.DataFrame:
    """The runs behind Table 3: every method that bounds thinking, and budget forcing."""
    ours = [
        point
        for point in points(facts)
        if point.setting.method not in (PLAIN, FORCING)
        and point.setting.samples is None
        and point.setting.examples is None
        and point.thinking_tokens is not None
    ]
    return _methods("table_3_runs", "AIME24", ours, sequential(facts), thinking=True)


def _methods(
    name: str,
    where: str,
    ours: Sequence[Point],
    forced: Sequence[Point] = (),
    called: str = FORCING,
    thinking: bool = False,
) -> pd.DataFrame:
    """Points by method beside the published ones on the benchmark `where`.

    Of the runs of budget forcing (`called` so) those on a benchmark of `ours` come first, shortest
    first. Tokens are those of thinking, or all that were paid for.
    """
    theirs = published(name)
    if isinstance(theirs, dict):
        short = {row["short"]: row["method"] for row in published("table_3")}
        theirs = [{**run, "method": short[key]} for key, some in theirs.items() for run in some]
    start = {"origin": "published", "benchmark": where, "method": "rejection sampling"}
    rows = [{**start, "tokens": point.get("thinking_tokens"), **point} for point in theirs]

    def spent(point: Point) -> float:
        return (point.thinking_tokens if thinking else point.tokens) or 0.0

    for benchmark in dict.fromkeys(point.benchmark for point in ours):
        line = [point for point in forced if point.benchmark == benchmark]
        mine = [point for point in ours if point.benchmark == benchmark]
        most = max(point.setting.samples or 0 for point in mine)
        named = [(called, point) for point in sorted(line, key=spent)]
        named += [(_label(point, most), point) for point in mine]
        rows += [
            {**_measured(point), "method": label, "tokens": spent(point)} for label, point in named
        ]
    return pd.DataFrame(rows, columns=_METHODS)


def _label(point: Point, most: float) -> str:
    """How a figure calls the method of a point; `most` traces were spent in this panel."""
    setting = point.setting
    if setting.method == VOTE:
        by_base = setting.model.startswith("base")
        return f"{VOTE} of the base model" if by_base else f"{VOTE}, up to {most}"
    return setting.method if setting.samples is None else f"{setting.method}, {setting.samples}"


# Tables -------------------------------------------------------------------------------


def table_1(facts: AllFacts) -> pd.DataFrame:
    """Accuracy of base and fine-tuned model, published above measured."""
    chosen = results.Setting.model_validate(facts["06"]["fixed"])
    keep = ("Qwen2.5-32B-Instruct", "s1 w/o BF", "s1-32B")
    theirs = [
        ({"model": row["model"]}, row) for row in published("table_1") if row["model"] in keep
    ]
    ours = []
    for point in points({"06": facts["06"]}):
        name, method = point.setting.model, point.setting.method
        if method == PLAIN:
            ours.append((name + " without budget forcing" * (name == chosen.model), point))
        elif method != FORCING:
            ours.append((f"{name}, {method}", point))
    ours += [(chosen.model, point) for point in sequential(facts) if point.setting == chosen]
    return _by_benchmark(theirs, [({"model": label}, point) for label, point in ours])


def table_2(facts: AllFacts) -> pd.DataFrame:
    """Training sets compared."""
    sizes = {row["set"]: int(row["n"]) for row in facts["09"]["sets"]}
    theirs = [({"set": row["set"]}, row) for row in published("table_2")]
    ours = [
        ({"set": set_name(name, size)}, point)
        for name, size in sizes.items()
        for point in points(facts, model=name, examples=size)
    ]
    return _by_benchmark(theirs, ours)


def set_name(model: str, size: int) -> str:
    """How Table 2 calls a training set: `1K-random`, `5.9K-full`, and s1K by its name."""
    if model == "s1K":
        return model
    if model == "full":
        return f"{size / 1000:.1f}K-full"
    return f"{'1K' if size == 1000 else size}-{model}"


def table_3(facts: AllFacts) -> pd.DataFrame:
    """Control, Scaling and Performance: printed, recomputed from the published points, measured.

    Scaling is recomputed per doubling of thinking tokens, which returns the printed column, and
    per thousand tokens, as equation (2) reads, which does not. A method that the paper does not
    have, or another benchmark, has a row of its own.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for printed in published("table_3"):
        runs = published("table_3_runs")[printed["short"]]
        tokens = [run["thinking_tokens"] for run in runs]
        values = [run["value"] for run in runs]
        bounds = ([run.get(side, float("nan")) for run in runs] for side in ("lower", "upper"))
        rows[printed["method"], "AIME24"] = {
            "method": printed["method"],
            "benchmark": "AIME24",
            "runs": len(runs),
            "Control, printed": printed["control"],
            "Control, recomputed": round(metrics.control(tokens, *bounds)),
            "Scaling, printed": printed["scaling"],
            "Scaling, per doubling": round(metrics.scaling(tokens, values), 2),
            "Scaling, per 1k": round(1000 * metrics.scaling(tokens, values, per="token"), 2),
            "Performance, printed": printed["performance"],
            "Performance, recomputed": round(metrics.performance(values), 1),
        }
    ours = results.table_3(facts)
    headings = columns(one.benchmark for one in ours)
    for one in ours:
        heading = headings[one.benchmark]
        start = {"method": one.method, "benchmark": heading}
        row = rows.setdefault((one.method, heading), start)
        for name in ("control", "scaling", "performance"):
            row[f"{name.capitalize()}, measured"] = _cell(getattr(one, name))
    table = pd.DataFrame(rows.values())
    whole = ("runs", "Control, printed", "Control, recomputed", "Scaling, printed")
    return table.astype(dict.fromkeys(whole, "Int64"))


def table_4(facts: AllFacts) -> pd.DataFrame:
    """What to append when an end of thinking is ignored twice."""
    chosen = results.Setting.model_validate(facts["06"]["fixed"])
    theirs = [({"string": r["string"], "waits": r["waits"]}, r) for r in published("table_4")]
    ours = []
    for point in points(facts, model=chosen.model, method=chosen.method, budget=None):
        if (count := point.setting.waits) in (0, 2):
            string = point.setting.string or "no string" if count else "none"
            ours.append(({"string": string, "waits": count}, point))
    return _by_benchmark(theirs, ours)


def table_5(facts: AllFacts) -> pd.DataFrame:
    """One, two and four Waits."""
    names = {"s1 w/o BF": 0, "s1 1x Wait": 1, "s1 2x Wait": 2, "s1 4x Wait": 4}
    rows = [row for row in published("table_5") if row["model"] in names]
    theirs = [({"Waits": names[row["model"]]}, row) for row in rows]
    ours = [({"Waits": one.setting.waits}, one) for one in without_cap(sequential(facts))]
    return _by_benchmark(theirs, ours)


def table_6(facts: AllFacts) -> pd.DataFrame:
    """Domains of the selected questions with their thinking tokens, rank by rank."""
    left = pd.DataFrame(published("table_6")).rename(
        columns={"n": "published, n", "k_tokens": "published, 1000 tokens"}
    )
    ours = pd.DataFrame(facts["04"]["table_6"])
    right = ours.sort_values("n", ascending=False, kind="stable", ignore_index=True)
    names = {"title": "measured, domain", "n": "measured, n", "k_tokens": "measured, 1000 tokens"}
    table = left.join(right[list(names)].rename(columns=names), how="outer")
    return table.astype({"published, n": "Int64", "measured, n": "Int64"})


def table_7(facts: AllFacts) -> pd.DataFrame:
    """Questions per source after collection."""
    table = pd.DataFrame(facts["01"]["table_7"])
    columns = {"source": "source", "published_n": "published", "n": "measured", "why": "why"}
    return table[[c for c in columns if c in table]].rename(columns=columns)


def table_8(facts: AllFacts) -> pd.DataFrame:
    """Training on cut-off traces: accuracy and length."""
    ours = [
        ({"length": row["length"], "cut": row["cut"]}, point)
        for row in facts["09"]["windows"]
        for point in points(facts, model=row["model"])
        if point.setting.examples is not None
    ]
    theirs = [({"length": row["length"], "cut": float(row["cut"])}, row)
              for row in published("table_8")]  # fmt: skip
    return _by_benchmark(theirs, ours, lengths=True)


def table_14(facts: AllFacts) -> pd.DataFrame:
    """Class-conditional control: a prompt that asks for short or long thinking."""
    ours = [
        ({"prompt": one.setting.asked}, one) for one in points(facts, method="class-conditional")
    ]
    theirs = [({"prompt": row["prompt"]}, row) for row in published("table_14")]
    return _by_benchmark(theirs, ours, lengths=True)


def conditional(method: str) -> Callable[[AllFacts], pd.DataFrame]:
    """Tables 12 and 13: what was asked for, and what came, a row for each run of the method.

    A dash stands for what the paper does not print.
    """

    def table(facts: AllFacts) -> pd.DataFrame:
        ours = [one for one in points(facts) if one.setting.method.startswith(method)]
        counted = sorted({name for one in ours for name in one.means})
        rows: list[dict[str, Any]] = [
            {"origin": "published", "benchmark": "AIME24", **row, "accuracy": row["AIME24"]}
            for row in published("table_12" if method.startswith("token") else "table_13")
        ]
        rows += [
            {**_measured(one), "thinking tokens": one.thinking_tokens, **one.means, "accuracy": one}
            for one in ours
        ]
        lengths = ("thinking tokens", *counted)
        columns = ["origin", "method", "benchmark", "asked", *lengths, "accuracy"]
        cells = [[_cell(row.get(name)) for name in columns] for row in rows]
        return pd.DataFrame(cells, columns=columns)

    return table


# What single chapters know ------------------------------------------------------------


def domains(facts: AllFacts) -> pd.DataFrame:
    """Figure 2, left: questions per domain in the selected set."""
    ours = facts["04"]["table_6"]
    rows = [{"origin": "published", **row} for row in published("figure_2_domains")]
    rows += [{"origin": "measured", "title": row["title"], "n": int(row["n"])} for row in ours]
    return pd.DataFrame(rows)


def lengths(facts: AllFacts) -> pd.DataFrame:
    """Histogram of thinking lengths: the paper's traces (its selected 1,000) and ours."""
    rows, ours = [], facts["02"]["lengths"]
    for origin, hist in (("published", published("lengths")["gemini"]), ("measured", ours)):
        edges = hist["bins"]
        rows += [
            {"origin": origin, "low": low, "high": high, "count": count}
            for low, high, count in zip(edges, edges[1:], hist["counts"], strict=False)
        ]
    return pd.DataFrame(rows)


def funnel(facts: AllFacts) -> pd.DataFrame:
    """Questions left after every step, with the share of those collected."""
    table = pd.DataFrame(facts["03"]["funnel"])
    for column in ("published", "n"):
        if column in table:
            counts = pd.to_numeric(table[column], errors="coerce")
            table[f"{column} %"] = (100 * counts / counts.iloc[0]).round(1)
    return table


def loss(facts: AllFacts) -> pd.DataFrame:
    """Training loss per optimizer step."""
    return pd.DataFrame(facts["05"]["loss"])


# Parts --------------------------------------------------------------------------------


def without_cap(ours: Iterable[Point]) -> list[Point]:
    """The runs that show what Waits do: for each number of them, the one with most room."""
    best: dict[tuple[str, int], Point] = {}
    for point in sorted(ours, key=lambda one: one.setting.waits):
        key = (point.benchmark, point.setting.waits)
        if key not in best or _room(point) > _room(best[key]):
            best[key] = point
    return _grouped(best.values())


def _grouped(ours: Iterable[Point]) -> list[Point]:
    """Benchmark by benchmark, in the order in which these come."""
    some = list(ours)
    names = list(dict.fromkeys(point.benchmark for point in some))
    return sorted(some, key=lambda point: names.index(point.benchmark))


def _room(point: Point) -> float:
    return float("inf") if point.setting.budget is None else point.setting.budget


def _measured(point: Point) -> dict[str, Any]:
    """All that is known of a point, by the names of columns."""
    low, high = point.ci95 or (None, None)
    return {"origin": "measured", **dict(point.setting), **dict(point), "low": low, "high": high}


def _printed(benchmark: str, point: dict[str, Any]) -> dict[str, Any]:
    """The paper prints no intervals for its figures: Wilson's, from the counts."""
    low, high = metrics.wilson(round(point["value"] * point["n"] / 100), point["n"])
    return {"origin": "published", "benchmark": benchmark, **point, "low": low, "high": high}


def _curve(theirs: list[dict[str, Any]], ours: Iterable[Point]) -> pd.DataFrame:
    table = pd.DataFrame(theirs + [_measured(point) for point in _grouped(ours)], columns=_CURVE)
    return table.astype(dict.fromkeys(("budget", "waits", "n"), "Int64"))


def _by_benchmark(
    theirs: Iterable[tuple[dict[str, Any], dict[str, Any]]],
    ours: Sequence[tuple[dict[str, Any], Point]],
    lengths: bool = False,
) -> pd.DataFrame:
    """Rows by label (columns of their own), with a column for the accuracy on each benchmark.

    Ours stand in the column of the paper's benchmark that they stand for, or in their own;
    `lengths=True` adds a column of thinking tokens to each.
    """
    headings = columns(point.benchmark for _, point in ours)
    wanted = dict.fromkeys((*BENCHMARKS, *headings.values()))
    judged = [c for name in wanted for c in ((name, f"{name} tokens") if lengths else (name,))]
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for label, printed in theirs:
        cells = {name: _cell(printed.get(name)) for name in judged}
        rows["published", *label.values()] = {"origin": "published", **label, **cells}
    for label, point in ours:
        row = rows.setdefault(("measured", *label.values()), {"origin": "measured", **label})
        heading = headings[point.benchmark]
        if heading in row:
            what = ", ".join(map(str, label.values()))
            raise RunError(f"{what} was measured twice on {point.benchmark}: keep one of the facts")
        row[heading] = _cell(point)
        if lengths:
            row[f"{heading} tokens"] = interval(point.thinking_tokens, point.thinking_ci95)
    names = [name for name in next(iter(rows.values())) if name not in judged]
    return pd.DataFrame(rows.values(), columns=[*names, *judged]).map(_cell)


def interval(value: float | None, ends: Sequence[float] | None = None) -> str:
    """`46.7 [41.1, 52.3]`, without the ends where there are none; a dash for no number."""
    if value is None:
        return "–"
    return f"{value:.1f}" + (f" [{ends[0]:.1f}, {ends[1]:.1f}]" if ends else "")


def _cell(value: Any) -> Any:
    """A number as a reader wants it: one decimal, and its interval if it has one."""
    if isinstance(value, Estimate):
        return interval(value.value, value.ci95)
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "–"
    return f"{value:.1f}" if isinstance(value, float) else value
