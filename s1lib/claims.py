"""The claims ledger: twelve claims of the paper, each with a rule written before the run.

A claim asks for groups of evidence: numbers of the chapters' facts, found by their fields, one for
each benchmark or comparison, which holds or does not. Each group says what it needs of its
pieces; the claim is *replicated* when every group has it, *not replicated* when one has not, and
*not testable here* when a chapter that measures it has not run. A chapter that did run and holds
nothing of the kind is an error. The ledger quotes, for each claim, the decisive piece of evidence
with the least room to spare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s1lib import metrics, results, tables
from s1lib.artifacts import RunError, write_json
from s1lib.benchmarks import partner
from s1lib.published import BENCHMARKS, accuracy, published
from s1lib.results import (
    ALL,
    BASE,
    FORCING,
    MEAN,
    PLAIN,
    REBASE,
    VOTE,
    AllFacts,
    Difference,
    Estimate,
    Gain,
    Method,
    Setting,
)

REPLICATED, NOT_REPLICATED, NOT_TESTABLE = "replicated", "not replicated", "not testable here"
_SIGNS = {REPLICATED: "✓", NOT_REPLICATED: "✗", NOT_TESTABLE: "○"}
Numbers = tuple[float | None, float | None]  # as published, and recomputed from what is published


class NotRun(Exception):
    """Evidence that cannot be there; the message names the chapter."""


@dataclass(frozen=True)
class Evidence:
    """One comparison: the paper's number, the same from published data, and ours.

    `n` counts what `of` says. A share of no gain, or a slope of equal lengths, has no value, and
    what has none never holds.
    """

    what: str
    published: float | None
    recomputed: float | None
    measured: float | None
    ci95: tuple[float, float] | None
    n: int | None
    holds: bool
    of: str = "problems"


Need = Callable[[Sequence[Evidence]], bool]


@dataclass(frozen=True)
class Group:
    """Pieces of evidence that decide together.

    `find` takes them from the facts in which `chapter` has run; `paper` gives the paper's numbers
    for one of its benchmarks. A group without a `need` is shown and decides nothing.
    """

    chapter: str
    what: str
    find: Callable[[AllFacts], list[Evidence]]
    paper: Callable[[str], Numbers]
    need: Need | None


@dataclass(frozen=True)
class Claim:
    """A claim in our words; its rule, in words and as groups of evidence.

    `built_in` says why the rule can hardly fail here, where that is so, and `built_in_part` why
    one of several parts can hardly fail.
    """

    id: str
    claim: str
    rule: str
    groups: tuple[Group, ...]
    built_in: str = ""
    built_in_part: str = ""


# --------------------------------------------------------------------------------------
# What a group needs of its pieces


def every(pieces: Sequence[Evidence]) -> bool:
    return all(piece.holds for piece in pieces)


def every_of_three(pieces: Sequence[Evidence]) -> bool:
    """All benchmarks, which are as many as the paper's at least."""
    return len({piece.what for piece in pieces}) >= len(BENCHMARKS) and every(pieces)


def some(pieces: Sequence[Evidence]) -> bool:
    return any(piece.holds for piece in pieces)


def some_and_none_against(pieces: Sequence[Evidence]) -> bool:
    against = [piece.ci95 is None or metrics.excludes_zero(piece.ci95, -1) for piece in pieces]
    return some(pieces) and not any(against)


# --------------------------------------------------------------------------------------
# Where evidence comes from


def gap(
    chapter: str,
    what: str,
    where: Callable[[Difference], Any],
    need: Need,
    paper: Callable[[str], Numbers],
    sign: int = 1,
) -> Group:
    """Differences on single benchmarks: which have an interval on the right side of zero?"""

    def find(facts: AllFacts) -> list[Evidence]:
        found = []
        for one in results.differences(facts, where):
            if one.benchmark not in (ALL, MEAN):
                holds = metrics.excludes_zero(one.ci95, sign)
                theirs = _of_paper(paper, one.benchmark)
                found.append(_evidence(f"{what}, {one.benchmark}", one, holds, theirs))
        return found

    return Group(chapter, what, find, paper, need)


def number(
    chapter: str,
    what: str,
    find: Callable[[AllFacts], Iterable[tuple[str, Estimate]]],
    holds: Callable[[Estimate], bool],
    paper: Callable[[], Numbers],
) -> Group:
    """Numbers of single benchmarks or of all, and what must be true of each.

    The paper's belongs to AIME24, on which it compares methods, and to what is of no one benchmark.
    """

    def pieces(facts: AllFacts) -> list[Evidence]:
        found = list(find(facts))
        return [
            _evidence(
                f"{what}, {name}" if len(found) > 1 else what,
                one,
                holds(one),
                paper() if not name or partner(name) == "AIME24" else (None, None),
            )
            for name, one in found
        ]

    return Group(chapter, what, pieces, lambda benchmark: paper(), every)


def _evidence(what: str, one: Estimate, holds: bool, paper: Numbers) -> Evidence:
    """An estimate as evidence, numbers rounded."""
    printed, recomputed, value = (_rounded(number) for number in (*paper, one.value))
    return Evidence(what, printed, recomputed, value, one.ci95, one.n, holds, one.of)


def _of_paper(paper: Callable[[str], Numbers], benchmark: str) -> Numbers:
    stands_for = partner(benchmark)
    return paper(stands_for) if stands_for in BENCHMARKS else (None, None)


def _method(facts: AllFacts, short: str) -> list[Method]:
    """The measured rows of a method of Table 3 by its published short name."""
    (name,) = (row["method"] for row in published("table_3") if row["short"] == short)
    return [one for one in results.table_3(facts) if one.method == name]


def _is_forced(setting: Setting, waits: int | None = None, string: str | None = None) -> bool:
    """Budget forcing with so many ignored ends, and this string at each."""
    return (
        setting.method == FORCING
        and setting.examples is None
        and waits in (None, setting.waits)
        and string in (None, setting.string)
    )


def _models(after: str, before: str, measure: str = "accuracy") -> Callable[[Difference], bool]:
    """Two models that were compared by a measure."""
    wanted = after, before, measure
    return lambda one: (one.after.model, one.before.model, one.measure) == wanted


def _printed(table: str, after: dict, before: dict, column: str = "") -> Callable[[str], Numbers]:
    """One row of a published table minus another."""

    def paper(benchmark: str) -> Numbers:
        first, second = (accuracy(table, benchmark + column, **row) for row in (after, before))
        return first - second, None

    return paper


# The paper's numbers, and evidence of more than one comparison


def _lift(benchmark: str) -> Numbers:
    base = accuracy("table_1", benchmark, model="Qwen2.5-32B-Instruct")
    s1 = accuracy("table_1", benchmark, model="s1-32B")
    return s1 - base, accuracy("table_5", benchmark, model="s1 2x Wait") - base


def _budgets(benchmark: str) -> Numbers:
    cuts = [point["value"] for point in published("figure_1")[benchmark] if point["budget"]]
    return accuracy("table_4", benchmark, waits=0) - cuts[0], cuts[-1] - cuts[0]


def _logs() -> dict[int, float]:
    return {point["waits"]: point["value"] for point in published("waits_aime24")}


def _wait(benchmark: str) -> Numbers:
    gain = accuracy("table_4", benchmark, string="Wait") - accuracy("table_4", benchmark, waits=0)
    return gain, _logs()[2] - _logs()[0] if benchmark == "AIME24" else None


_FLATTENS = "points per Wait, first two minus all further, mean of benchmarks"


def _flattens(facts: AllFacts) -> list[Evidence]:
    curves: dict[str, dict[int, float]] = {}
    for point in tables.without_cap(results.sequential(facts)):
        curves.setdefault(point.benchmark, {})[point.setting.waits] = point.value
    if not curves or any(not {0, 2} <= one.keys() or max(one) == 2 for one in curves.values()):
        raise NotRun("not run yet: chapter 06 needs more than two Waits")
    slope = sum(map(_slowing, curves.values())) / len(curves)
    printed = round(_slowing(_logs()), 2)
    return [Evidence(_FLATTENS, printed, None, round(slope, 2), None, None, slope > 0)]


def _slowing(curve: Mapping[int, float]) -> float:
    """Points per Wait over the first two, minus points per Wait from there to the last."""
    most = max(curve)
    return (curve[2] - curve[0]) / 2 - (curve[most] - curve[2]) / (most - 2)


def _whole_pool() -> Numbers:
    whole, selected = (
        sum(accuracy("table_2", name, set=row) for name in BENCHMARKS) / len(BENCHMARKS)
        for row in ("59K-full", "s1K")
    )
    return whole - selected, None


def _share_of_gain(benchmark: str = "MATH500") -> Numbers:
    """MATH500: the share of r1-distill's gain over the base model that s1 reaches (%)."""
    if benchmark != "MATH500":
        return None, None
    base, s1, r1 = (
        accuracy("table_1", benchmark, model=model)
        for model in ("Qwen2.5-32B-Instruct", "s1-32B", "r1-distill-32B")
    )
    return round(100 * (s1 - base) / (r1 - base), 1), None


def _gains(mean: bool) -> Group:
    """The share on each benchmark, which decides nothing, or on their mean, which does."""

    def find(facts: AllFacts) -> list[Evidence]:
        found = (Gain.model_validate(row) for row in facts["09"].get("gains", ()))
        return [
            _evidence(
                f"share of the gain of {one.whole.examples:,} examples that "
                f"{one.part.examples:,} bring (%), {one.benchmark}"
                f"{', where the larger set gains nothing' * (one.value is None)}",
                one,
                one.value is not None and one.value >= 80,
                _share_of_gain() if mean else _of_paper(_share_of_gain, one.benchmark),
            )
            for one in found
            if (one.benchmark == MEAN) == mean
        ]

    return Group("09", "share of the gain", find, _share_of_gain, every if mean else None)


def _slope(short: str) -> float:
    runs = published("table_3_runs")[short]
    return metrics.scaling([run["thinking_tokens"] for run in runs], [run["value"] for run in runs])


def _best_method(facts: AllFacts) -> list[Evidence]:
    """On the benchmark where budget forcing was held against others."""
    ours = next(iter(_method(facts, "BF")), None)
    rivals = [
        one
        for one in results.table_3(facts)
        if ours and one.benchmark == ours.benchmark and one.method != ours.method
    ]
    if ours is None or not rivals:
        return []
    steady = [one for one in rivals if one.control.value == 100]
    highest, steepest = _best(rivals, "performance"), _best(steady, "scaling")
    best, _ = _printed("table_3", {"short": "BF"}, {"short": "TCC"})("performance")
    slope, _ = _printed("table_3", {"short": "BF"}, {"short": "TCC+BF"})("scaling")
    control = ours.control.value == 100
    found = [_evidence("Control of budget forcing (%)", ours.control, control, (100, 100))]
    for what, measure, rival, paper in (
        ("Performance, minus the best other method", "performance", highest, (best, None)),
        ("Scaling, minus the best other method whose Control is 100%", "scaling", steepest,
         (slope, _slope("BF") - _slope("TCC+BF"))),
    ):  # fmt: skip
        lead = _ahead(facts, ours, rival, measure)
        found.append(_evidence(what, lead, lead.value is not None and lead.value >= 0, paper))
    return found


def _best(rivals: Sequence[Method], measure: str) -> Method | None:
    """The best by a measure; before all others one without a number, which nobody is ahead of."""
    numbers = [getattr(one, measure).value for one in rivals]
    order = [np.inf if number is None else number for number in numbers]
    return rivals[int(np.argmax(order))] if rivals else None


def _ahead(facts: AllFacts, ours: Method, theirs: Method | None, measure: str) -> Estimate:
    """Our number minus theirs; with an interval where the two were compared in pairs.

    Without a number on either side there is no difference.
    """
    own = getattr(ours, measure)
    if theirs is None:
        return own.model_copy(update={"ci95": None})
    paired = results.differences(
        facts, lambda one: (one.before.method, one.measure) == (theirs.method, measure)
    )
    interval = next((one.ci95 for one in paired if one.runs != "budgets"), None)
    rival = getattr(theirs, measure).value
    value = None if None in (own.value, rival) else own.value - rival
    return own.model_copy(update={"value": value, "ci95": interval})


def _control_of(short: str, runs: Sequence[Mapping[str, Any]]) -> Numbers:
    lengths = [run["thinking_tokens"] for run in runs]
    recomputed = metrics.control(lengths, upper=[run["upper"] for run in runs])
    return accuracy("table_3", "control", short=short), recomputed


def _budget_control() -> Numbers:
    capped = [p for points in published("figure_1").values() for p in points if p["budget"]]
    return _control_of("BF", [{**point, "upper": point["budget"]} for point in capped])


def _figure_4b(benchmark: str) -> Numbers:
    """GPQA: the middle point of budget forcing, minus the best vote at up to twice its tokens.

    Recomputed minus the vote at just its tokens, on the line between its two neighbours.
    """
    if benchmark != "GPQA":
        return None, None
    points = [("k" in p, p["tokens"], p["value"]) for p in published("figure_4b")]
    forced = sorted((x, y) for voted, x, y in points if not voted)
    votes = sorted((x, y) for voted, x, y in points if voted)
    tokens, value = forced[len(forced) // 2]
    best = max(y for x, y in votes if x <= 2 * tokens)
    between = np.interp(tokens, [x for x, _ in votes], [y for _, y in votes])
    return value - best, float(value - between)


def _figure_7(benchmark: str) -> Numbers:
    """AIME24: the widest search minus the best sequential run; recomputed from whole problems."""
    if benchmark != "AIME24":
        return None, None
    values: dict[str, list[float]] = {}
    for point in published("figure_7"):
        values.setdefault(point["method"].split(",")[0], []).append(point["value"])
    search, run = values[REBASE][-1], max(values["sequential"])
    n = published("benchmarks")[benchmark]
    whole = [round(value * n / 100) for value in (search, run)]
    return search - run, 100 * (whole[0] - whole[1]) / n


CLAIMS = (
    Claim(
        "C1", "Fine-tuning on 1,000 curated traces lifts the base model (Table 1)",
        "fine-tuned minus base above zero on all benchmarks, three at least, every 95% interval "
        "excluding 0",
        (gap("06", "s1 minus base",
             lambda one: _is_forced(one.after)
             and one.before.model in BASE and one.before.method == PLAIN,
             every_of_three, _lift),),
    ),
    Claim(
        "C2", "Budget forcing controls thinking length perfectly (Table 3)",
        "Control is 100% over all budget-forced runs",
        (number("06", "Control, budget-forced runs (%)",
                lambda facts: [("", Estimate.model_validate(facts["06"]["control"]))],
                lambda one: one.value == 100, _budget_control),),
        built_in="every thinking token counts against the budget, and at the budget thinking ends",
    ),
    Claim(
        "C3", "Accuracy rises with thinking on all three benchmarks (Figure 1)",
        "largest minus smallest budget above zero on all benchmarks, three at least, "
        "every 95% interval excluding 0",
        (gap("06", "largest minus smallest budget",
             lambda one: one.after.budget is not None and one.before.budget is not None,
             every_of_three, _budgets),),
        built_in="the smallest budget ends before most traces have reached an answer",
    ),
    Claim(
        "C4",
        "“Wait” extrapolates, beats appending nothing, and then flattens (Table 4, Figure 4a)",
        "Wait ×2 minus no extrapolation, and Wait ×2 minus no string ×2, each above zero on at "
        "least one benchmark, 95% interval excluding 0; and, on the mean of the benchmarks, the "
        "first two Waits bringing more points per Wait than all further ones",
        (gap("06", "Wait x2 minus none",
             lambda one: _is_forced(one.after, 2, "Wait") and _is_forced(one.before, 0, ""),
             some, _wait),
         gap("06", "Wait x2 minus no string",
             lambda one: _is_forced(one.after, 2, "Wait") and _is_forced(one.before, 2, ""),
             some, _printed("table_4", {"string": "Wait"}, {"string": "no string"})),
         Group("06", _FLATTENS, _flattens, lambda benchmark: (_slowing(_logs()), None), every)),
    ),
    Claim(
        "C5", "The selected 1,000 beat random, diverse-only and longest-only sets, and the whole "
        "pool is not much better (Table 2)",
        "selected minus each of the three sets above zero on at least one benchmark, 95% interval "
        "excluding 0; whole pool minus selected below 5 points on the mean of the benchmarks",
        (*(gap("09", f"s1K minus {other}", _models("s1K", other), some,
               _printed("table_2", {"set": "s1K"}, {"set": f"1K-{other}"}))
           for other in ("random", "diverse", "longest")),
         number("09", "full minus s1K, mean of benchmarks",
                lambda facts: [("", one) for one in results.differences(facts,
                               _models("full", "s1K")) if one.benchmark == MEAN],
                lambda one: one.value is not None and one.value < 5, _whole_pool)),
    ),
    Claim(
        "C6", "Budget forcing is the best method on Control, Scaling and Performance together "
        "(Table 3)",
        "Control 100%, the highest Performance of all methods, and the steepest Scaling of those "
        "with Control 100%",
        (Group("07", "methods", _best_method, lambda benchmark: (100, 100), every),),
    ),
    Claim(
        "C7", "Rejection sampling scales inversely (Figure 6)",
        "Scaling of rejection sampling below zero, 95% interval excluding 0",
        (number("07", "Scaling of rejection sampling (points per doubling)",
                lambda facts: [(row.benchmark, row.scaling) for row in _method(facts, "RS")],
                lambda one: metrics.excludes_zero(one.ci95, -1),
                lambda: (accuracy("table_3", "scaling", short="RS"), _slope("RS"))),),
    ),
    Claim(
        "C8", "Thinking longer beats voting among parallel answers at equal tokens (Figure 4b)",
        "sequential minus majority at equal tokens above zero on at least one benchmark, "
        "95% interval excluding 0, and on none below zero likewise",
        (gap("08", "sequential minus majority at equal tokens",
             lambda one: _is_forced(one.after)
             and one.before.model in BASE and one.before.method == VOTE,
             some_and_none_against, _figure_4b),),
    ),
    Claim(
        "C9", "REBASE goes on where the context window ends (Figure 7)",
        "REBASE minus the best sequential run in the window above zero on the benchmark that "
        "stands for AIME24, 95% interval excluding 0",
        (gap("08", "REBASE minus best sequential",
             lambda one: one.after.method == REBASE and _is_forced(one.before),
             every, _figure_7),),
    ),
    Claim(
        "C10", "Asking for a number of tokens does not by itself control thinking (Table 12)",
        "Control of token-conditional prompting without forcing below 100%",
        (number("07", "Control of token-conditional prompting (%)",
                lambda facts: [(row.benchmark, row.control) for row in _method(facts, "TCC")],
                lambda one: one.value is not None and one.value < 100,
                lambda: _control_of("TCC", published("table_3_runs")["TCC"])),),
        built_in="any model that ignores its prompt exceeds the smallest bounds",
    ),
    Claim(
        "C11", "1,000 examples bring most of what many more bring (Figure 2, right)",
        "1,000 examples bring at least 80% of the gain of the largest set, on the mean of the "
        "benchmarks",
        (_gains(mean=False), _gains(mean=True)),
    ),
    Claim(
        "C12", "Training on cut-off traces makes test traces longer and answers worse (Table 8)",
        "cut minus whole: accuracy below zero on at least one benchmark and thinking tokens above "
        "zero on at least one, 95% intervals excluding 0",
        (gap("09", "cut minus whole", _models("cut", "s1K"), some,
             _printed("table_8", {"length": 4096}, {"length": 32768}), sign=-1),
         gap("09", "thinking tokens, cut minus whole", _models("cut", "s1K", "thinking_tokens"),
             some, _printed("table_8", {"length": 4096}, {"length": 32768}, " tokens"))),
        built_in_part="a model that was hardly shown an end of thinking thinks longer; that its "
                      "answers are worse for it is not built in",
    ),
)  # fmt: skip


# --------------------------------------------------------------------------------------
# The ledger


def decide(claim: Claim, facts: AllFacts) -> dict[str, Any]:
    """One row of the ledger: the claim, its decisive piece of evidence, and the verdict."""
    own = ("id", "claim", "rule", "built_in", "built_in_part")
    row = {name: getattr(claim, name) for name in own}
    try:
        found = [(group.need, _pieces(claim, group, facts)) for group in claim.groups]
    except NotRun as missing:
        numbers = [group.paper(name) for group in claim.groups for name in BENCHMARKS]
        printed, recomputed = next(pair for pair in numbers if pair[0] is not None)
        paper = {"published": _rounded(printed), "recomputed": _rounded(recomputed)}
        empty = dict.fromkeys(("measured", "ci95", "n"))
        reason = {"what": "", "of": "", "why": str(missing), "evidence": []}
        return {**row, **paper, **empty, **reason, "verdict": NOT_TESTABLE}
    deciding = [(need(part), part) for need, part in found if need]
    met = all(holds for holds, _ in deciding)
    asked = [piece for holds, part in deciding if holds == met for piece in part]
    closest = min([one for one in asked if one.holds == met] or asked, key=_room)
    numbers_of = {key: value for key, value in _plain(closest).items() if key != "holds"}
    evidence = [_plain(piece) for _, part in found for piece in part]
    verdict = REPLICATED if met else NOT_REPLICATED
    return {**row, **numbers_of, "verdict": verdict, "why": "", "evidence": evidence}


def _pieces(claim: Claim, group: Group, facts: AllFacts) -> list[Evidence]:
    if group.chapter not in facts:
        raise NotRun(f"not run yet: chapter {group.chapter}")
    found = group.find(facts)
    if not found:
        raise RunError(
            f"{claim.id} finds no {group.what!r} in the facts, although chapter {group.chapter} "
            f"has run: make it again with: python -m s1lib run --from {group.chapter}"
        )
    return found


def _plain(piece: Evidence) -> dict[str, Any]:
    return {**asdict(piece), "ci95": list(piece.ci95) if piece.ci95 else None}


def ledger(facts: AllFacts) -> list[dict[str, Any]]:
    """All twelve claims, decided from the facts of the chapters that have run."""
    return [decide(claim, facts) for claim in CLAIMS]


def write_claims(run: Path) -> Path:
    """Decide all claims from `<run>/facts` and write `<run>/claims.json`."""
    return write_json(run / "claims.json", ledger(results.read_all(run)))


def markdown(rows: Iterable[dict[str, Any]]) -> str:
    """The ledger as a Markdown table."""
    numbers = ("Published", "Recomputed")
    lines = []
    for row in rows:
        measured, decided = row["why"], row["verdict"] != NOT_TESTABLE
        if decided:
            measured = tables.interval(row["measured"], row["ci95"])
            measured += f", n = {row['n']:,} {row['of']}" if row["n"] else ""
            measured += f"<br>{row['what']}"
        verdict = f"{_SIGNS[row['verdict']]} {row['verdict']}"
        verdict += ", by construction" if row["built_in"] and decided else ""
        verdict += ", in part by construction" if row["built_in_part"] and decided else ""
        paper = (tables.interval(row["published"]), tables.interval(row["recomputed"]))
        lines.append((row["id"], row["claim"], *paper, measured, verdict))
    head = ("No.", "Claim", *numbers, "Measured here", "Verdict")
    return tables.markdown(head, lines, right=numbers)


def _room(piece: Evidence) -> float:
    """How far the nearest end of the interval, or the number itself, is from zero."""
    return min(abs(edge) for edge in piece.ci95 or [piece.measured or 0.0])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 2)
