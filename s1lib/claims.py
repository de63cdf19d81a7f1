"""The claims ledger: twelve claims of the paper, each with a rule written before the run.

A rule turns facts into evidence, one piece per benchmark or comparison, each of which holds or
does not. A claim is *replicated* when its rule is met, *not replicated* when it is not, and *not
testable here* when a chapter that measures it has not run. The ledger quotes, for each claim, the
decisive piece of evidence with the least room to spare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from s1lib import figures, metrics, tables
from s1lib.artifacts import write_json
from s1lib.published import BENCHMARKS, accuracy, partner, published

Facts = dict[str, dict[str, Any]]
Interval = list[float] | None

REPLICATED, NOT_REPLICATED, NOT_TESTABLE = "replicated", "not replicated", "not testable here"
_SIGNS = {REPLICATED: "✓", NOT_REPLICATED: "✗", NOT_TESTABLE: "○"}


class NotRun(Exception):
    """A rule asked for facts that are not there; the message names the chapter."""


@dataclass(frozen=True)
class Evidence:
    """One comparison: the published number, the same from published data, and ours."""

    what: str
    published: float | None
    recomputed: float | None
    measured: float
    ci95: Interval
    n: int | None
    holds: bool


@dataclass(frozen=True)
class Finding:
    """What a rule found, and whether all of it together meets the rule.

    `deciding` is the part of the evidence that decides, where that is not simply whatever holds
    (or, if the rule is not met, whatever does not).
    """

    evidence: list[Evidence]
    met: bool
    deciding: list[Evidence] = field(default_factory=list)


@dataclass(frozen=True)
class Claim:
    """A claim in our words, the rule in words and as code.

    `paper` gives the claim's number as published and as recomputed, which are known before
    anything has run.
    """

    id: str
    claim: str
    rule: str
    decide: Callable[[Facts], Finding]
    paper: Callable[[], tuple[float, float | None]]


# --------------------------------------------------------------------------------------
# Rules


def _base_to_s1(facts: Facts) -> Finding:
    evidence = []
    for row in _differences(facts, "06", "s1 minus base"):
        name = partner(row["benchmark"])
        base = accuracy("table_1", name, model="Qwen2.5-32B-Instruct")
        evidence.append(
            _above_zero(
                row,
                accuracy("table_1", name, model="s1-32B") - base,
                accuracy("table_5", name, model="s1 2x Wait") - base,
            )
        )
    return Finding(evidence, _all(evidence, at_least=3))


def _control(facts: Facts) -> Finding:
    row = _get(facts, "06", "control")
    runs = [p for points in published("figure_1").values() for p in points if p["budget"]]
    recomputed = metrics.control(
        [run["thinking_tokens"] for run in runs], upper=[run["budget"] for run in runs]
    )
    found = Evidence(
        "Control, budget-forced runs (%)", 100.0, recomputed, row["value"], row.get("ci95"),
        row.get("n"), row["value"] == 100,
    )  # fmt: skip
    return Finding([found], found.holds)


def _budget_gain(facts: Facts) -> Finding:
    evidence = []
    for row in _differences(facts, "06", "largest minus smallest budget"):
        cuts = [p for p in published("figure_1")[partner(row["benchmark"])] if p["budget"]]
        printed = accuracy("table_4", partner(row["benchmark"]), waits=0) - cuts[0]["value"]
        evidence.append(_above_zero(row, printed, cuts[-1]["value"] - cuts[0]["value"]))
    return Finding(evidence, _all(evidence, at_least=3))


def _wait(facts: Facts) -> Finding:
    gains = []
    for row in _differences(facts, "06", "Wait x2 minus none"):
        name = partner(row["benchmark"])
        none = accuracy("table_4", name, waits=0)
        logs = {p["waits"]: p["value"] for p in published("waits_aime24")}
        recomputed = logs[2] - logs[0] if name == "AIME24" else None
        gains.append(_above_zero(row, accuracy("table_4", name, string="Wait") - none, recomputed))
    beats = []
    for row in _differences(facts, "06", "Wait x2 minus no string"):
        name = partner(row["benchmark"])
        nothing = accuracy("table_4", name, string="no string")
        beats.append(_above_zero(row, accuracy("table_4", name, string="Wait") - nothing, None))
    curves = _get(facts, "06", "figure_1")
    waits = _mean_by(
        [p for curve in curves.values() for p in tables.without_cap(curve)],
        lambda row: row["waits"],
    )
    flattens = _direction(
        "points per Wait, first two minus all further, mean of benchmarks",
        _flattening({p["waits"]: p["value"] for p in published("waits_aime24")}),
        _flattening(waits),
    )
    word = any(gain.holds for gain in gains) and any(lead.holds for lead in beats)
    return Finding([*gains, *beats, flattens], word and flattens.holds)


def _flattening(curve: dict[int, float]) -> float:
    """Points per Wait over the first two, minus points per Wait from there to the last."""
    most = max(curve)
    if most <= 2:
        raise NotRun("not run yet: chapter 06 needs more than two Waits")
    first = (_value(curve, 2) - _value(curve, 0)) / 2
    return first - (curve[most] - curve[2]) / (most - 2)


def _data(facts: Facts) -> Finding:
    evidence: list[Evidence] = []
    lost: list[Evidence] = []  # comparisons with a set that is beaten on no benchmark
    for other in ("random", "diverse", "longest"):
        pieces = [
            _above_zero(row, _table_2("s1K", row) - _table_2(f"1K-{other}", row), None)
            for row in _differences(facts, "09", f"s1K minus {other}")
        ]
        evidence += pieces
        lost += [] if any(piece.holds for piece in pieces) else pieces
    small_what = "full minus s1K, mean of benchmarks"
    full = _differences(facts, "09", "full minus s1K")
    mean = sum(row["value"] for row in full) / len(full)
    ci95, n = _mean_over(facts, small_what, full[0]["n"])
    printed = sum(accuracy("table_2", b, set="59K-full") for b in BENCHMARKS) / 3
    printed -= sum(accuracy("table_2", b, set="s1K") for b in BENCHMARKS) / 3
    small = Evidence(
        small_what, printed, None, round(mean, 2), ci95, n, mean < 5,
    )  # fmt: skip
    lost += [] if small.holds else [small]
    return Finding([*evidence, small], not lost, lost)


def _best_method(facts: Facts) -> Finding:
    rows = {row["method"]: row for row in _get(facts, "07", "table_3")}
    if "budget forcing" not in rows or len(rows) < 2:
        raise NotRun("not run yet: chapter 07")
    ours = rows.pop("budget forcing")
    value = {
        (name, metric): row[metric]["value"]
        for name, row in {"budget forcing": ours, **rows}.items()
        for metric in ("control", "scaling", "performance")
    }
    steady = [name for name in rows if value[name, "control"] == 100]
    best = max(value[name, "performance"] for name in rows)
    slope = value["budget forcing", "scaling"] or 0
    rival = max(steady, key=lambda name: value[name, "scaling"] or 0, default="")
    steepest = value[rival, "scaling"] or 0 if rival else 0.0
    paired, ahead = (
        {
            row["minus"]: row["ci95"]
            for row in facts["07"].get(key, ())
            if row.get("runs") != "budgets"
        }
        for key in ("scaling_minus", "performance_minus")
    )
    highest = max(rows, key=lambda name: value[name, "performance"])
    table = {row["short"]: row for row in published("table_3")}
    evidence = [
        Evidence("Control of budget forcing (%)", 100, 100, value["budget forcing", "control"],
                 None, ours["control"].get("n"), value["budget forcing", "control"] == 100),
        Evidence("Performance, minus the best other method",
                 table["BF"]["performance"] - table["TCC"]["performance"], None,
                 value["budget forcing", "performance"] - best, ahead.get(highest),
                 ours["performance"].get("n"), value["budget forcing", "performance"] >= best),
        Evidence("Scaling, minus the best other method whose Control is 100%",
                 table["BF"]["scaling"] - table["TCC+BF"]["scaling"],
                 round(_slope("BF") - _slope("TCC+BF"), 2), slope - steepest, paired.get(rival),
                 ours["scaling"].get("n"), slope >= steepest),
    ]  # fmt: skip
    return Finding(evidence, _all(evidence))


def _rejection(facts: Facts) -> Finding:
    row = _method(facts, "rejection sampling")["scaling"]
    found = Evidence(
        "Scaling of rejection sampling (points per doubling)", -35.0, round(_slope("RS"), 2),
        row["value"], row.get("ci95"), row.get("n"), metrics.excludes_zero(row.get("ci95"), -1),
    )  # fmt: skip
    return Finding([found], found.holds)


def _sequential(facts: Facts) -> Finding:
    figure = _sequential_lead(), _interpolated_lead()  # about GPQA only
    evidence = [
        _above_zero(row, *(figure if partner(row["benchmark"]) == "GPQA" else (None, None)))
        for row in _differences(facts, "08", "sequential minus majority at equal tokens")
    ]
    against = any(metrics.excludes_zero(piece.ci95, -1) for piece in evidence)
    return Finding(evidence, any(piece.holds for piece in evidence) and not against)


def _figure_4b() -> tuple[tuple[float, float], list[tuple[float, float]]]:
    """GPQA: tokens and accuracy of the middle budget-forced point, and of all votes."""
    points = [("k" in p, p["tokens"], p["value"]) for p in published("figure_4b")]
    forced = next((x, y) for voted, x, y in points if not voted and y == 57.58)
    return forced, sorted((x, y) for voted, x, y in points if voted)


def _sequential_lead() -> float:
    """The forced point of Figure 4b minus the best vote at up to twice its tokens."""
    (tokens, value), votes = _figure_4b()
    return value - max(y for x, y in votes if x <= 2 * tokens)


def _interpolated_lead() -> float:
    """The same point minus the vote at just its tokens, on the line between its two neighbours."""
    (tokens, value), votes = _figure_4b()
    return float(value - np.interp(tokens, [x for x, _ in votes], [y for _, y in votes]))


def _rebase_lead() -> float:
    ends = {(p["method"], p["tokens"]): p["value"] for p in published("figure_7")}
    return ends["REBASE, 16", 229084.8] - ends["sequential", 14317.8]


def _rebase(facts: Facts) -> Finding:
    evidence = [
        _above_zero(row, _rebase_lead(), 100 * (17 - 15) / 30)
        for row in _differences(facts, "08", "REBASE minus best sequential")
        if partner(row["benchmark"]) == "AIME24"
    ]
    return Finding(evidence, _all(evidence))


def _prompting(facts: Facts) -> Finding:
    alone = _method(facts, "token-conditional")["control"]
    runs = published("table_3_runs")["TCC"]
    recomputed = metrics.control(
        [run["thinking_tokens"] for run in runs], upper=[run["upper"] for run in runs]
    )
    found = Evidence(
        "Control of token-conditional prompting (%)", 40.0, recomputed, alone["value"],
        alone.get("ci95"), alone.get("n"), alone["value"] < 100,
    )  # fmt: skip
    return Finding([found], found.holds)


def _efficiency(facts: Facts) -> Finding:
    curves: dict[str, dict[int, dict[str, Any]]] = {}
    for row in _get(facts, "09", "sample_efficiency"):
        curves.setdefault(row["benchmark"], {})[row["examples"]] = row
    evidence = []
    for name, curve in curves.items():
        selected = next((n for n, row in curve.items() if "share" in row), 1000)
        if not {0, selected} <= set(curve) or max(curve) == selected:
            raise NotRun("not run yet: chapter 09")
        most = max(curve)
        whole = curve[most]["value"] - curve[0]["value"]
        share = 100 * (curve[selected]["value"] - curve[0]["value"]) / whole if whole > 0 else 0.0
        evidence.append(
            Evidence(
                f"share of the gain of {most:,} examples that {selected:,} bring (%), {name}",
                round(_share_of_gain(), 1) if partner(name) == "MATH500" else None,
                None,
                round(share, 1),
                curve[selected].get("share_ci95"),
                curve[selected].get("n"),
                share >= 80,
            )
        )
    mean = sum(piece.measured for piece in evidence) / len(evidence)
    ci95, n = _mean_over(facts, "share of the gain, mean of benchmarks", evidence[0].n)
    decides = Evidence(
        f"share of the gain of {most:,} examples that {selected:,} bring (%), mean of benchmarks",
        round(_share_of_gain(), 1), None, round(mean, 1), ci95, n, mean >= 80,
    )  # fmt: skip
    return Finding([*evidence, decides], decides.holds, [decides])


def _share_of_gain() -> float:
    """MATH500: the share of r1-distill's gain over the base model that s1 reaches (%)."""
    base, s1, r1 = (
        accuracy("table_1", "MATH500", model=model)
        for model in ("Qwen2.5-32B-Instruct", "s1-32B", "r1-distill-32B")
    )
    return round(100 * (s1 - base) / (r1 - base), 1)


def _cut_traces(facts: Facts) -> Finding:
    rows = {row["length"]: row for row in published("table_8")}
    worse, longer = [], []
    for row in _differences(facts, "09", "cut minus whole"):
        name = partner(row["benchmark"])
        worse.append(_below_zero(row, rows[4096][name] - rows[32768][name]))
    for row in _differences(facts, "09", "thinking tokens, cut minus whole"):
        name = f"{partner(row['benchmark'])} tokens"
        longer.append(_above_zero(row, rows[4096][name] - rows[32768][name], None))
    return Finding([*worse, *longer], any(w.holds for w in worse) and any(x.holds for x in longer))


CLAIMS = (
    Claim(
        "C1",
        "Fine-tuning on 1,000 curated traces lifts the base model (Table 1)",
        "fine-tuned minus base above zero on all three benchmarks, every 95% interval excluding 0",
        _base_to_s1,
        lambda: (56.7 - 26.7, 53.3 - 26.7),
    ),
    Claim(
        "C2",
        "Budget forcing controls thinking length perfectly (Table 3)",
        "Control is 100% over all budget-forced runs",
        _control,
        lambda: (100.0, 100.0),
    ),
    Claim(
        "C3",
        "Accuracy rises with thinking on all three benchmarks (Figure 1)",
        "largest minus smallest budget above zero on all three benchmarks, "
        "every 95% interval excluding 0",
        _budget_gain,
        lambda: (50.0 - 0.0, 50.0 - 0.0),
    ),
    Claim(
        "C4",
        "“Wait” extrapolates, beats appending nothing, and then flattens (Table 4, Figure 4a)",
        "Wait ×2 minus no extrapolation, and Wait ×2 minus no string ×2, each above zero on at "
        "least one benchmark, 95% interval excluding 0; and, on the mean of the benchmarks, the "
        "first two Waits bringing more points per Wait than all further ones",
        _wait,
        lambda: (53.3 - 50.0, 53.3 - 50.0),
    ),
    Claim(
        "C5",
        "The selected 1,000 beat random, diverse-only and longest-only sets, and the whole pool "
        "is not much better (Table 2)",
        "selected minus each of the three sets above zero on at least one benchmark, 95% interval "
        "excluding 0; whole pool minus selected below 5 points on the mean of the benchmarks",
        _data,
        lambda: (50.0 - 36.7, None),
    ),
    Claim(
        "C6",
        "Budget forcing is the best method on Control, Scaling and Performance together (Table 3)",
        "Control 100%, the highest Performance of all methods, and the steepest Scaling of those "
        "with Control 100%",
        _best_method,
        lambda: (56.7 - 40.0, None),
    ),
    Claim(
        "C7",
        "Rejection sampling scales inversely (Figure 6)",
        "Scaling of rejection sampling below zero, 95% interval excluding 0",
        _rejection,
        lambda: (-35.0, _slope("RS")),
    ),
    Claim(
        "C8",
        "Thinking longer beats voting among parallel answers at equal tokens (Figure 4b)",
        "sequential minus majority at equal tokens above zero on at least one benchmark, "
        "95% interval excluding 0, and on none below zero likewise",
        _sequential,
        lambda: (_sequential_lead(), _interpolated_lead()),
    ),
    Claim(
        "C9",
        "REBASE goes on where the context window ends (Figure 7)",
        "REBASE minus the best sequential run in the window above zero on the benchmark that "
        "stands for AIME24, 95% interval excluding 0",
        _rebase,
        lambda: (_rebase_lead(), 100 * (17 - 15) / 30),
    ),
    Claim(
        "C10",
        "Asking for a number of tokens does not by itself control thinking (Table 12)",
        "Control of token-conditional prompting without forcing below 100%",
        _prompting,
        lambda: (40.0, 40.0),
    ),
    Claim(
        "C11",
        "1,000 examples bring most of what many more bring (Figure 2, right)",
        "1,000 examples bring at least 80% of the gain of the largest set, on the mean of the "
        "benchmarks",
        _efficiency,
        lambda: (_share_of_gain(), None),
    ),
    Claim(
        "C12",
        "Training on cut-off traces makes test traces longer and answers worse (Table 8)",
        "cut minus whole: accuracy below zero on at least one benchmark and thinking tokens above "
        "zero on at least one, 95% intervals excluding 0",
        _cut_traces,
        lambda: (30.0 - 50.0, None),
    ),
)


# --------------------------------------------------------------------------------------
# The ledger


def decide(claim: Claim, facts: Facts) -> dict[str, Any]:
    """One row of the ledger: the claim, its decisive piece of evidence, and the verdict."""
    row: dict[str, Any] = {"id": claim.id, "claim": claim.claim, "rule": claim.rule}
    try:
        finding = claim.decide(facts)
    except NotRun as missing:
        empty = dict.fromkeys(("measured", "ci95", "n"))
        numbers = dict(
            zip(("published", "recomputed"), (_rounded(v) for v in claim.paper()), strict=True)
        )
        reason = {"what": "", "verdict": NOT_TESTABLE, "why": str(missing), "evidence": []}
        return {**row, **numbers, **empty, **reason}
    decisive = [piece for piece in finding.evidence if piece.holds == finding.met]
    decisive = finding.deciding or decisive
    closest = min(decisive or finding.evidence, key=_room)
    numbers = {key: value for key, value in asdict(closest).items() if key != "holds"}
    verdict = REPLICATED if finding.met else NOT_REPLICATED
    evidence = [asdict(piece) for piece in finding.evidence]
    return {**row, **numbers, "verdict": verdict, "why": "", "evidence": evidence}


def ledger(facts: Facts) -> list[dict[str, Any]]:
    """All twelve claims, decided from the facts of the chapters that have run."""
    return [decide(claim, facts) for claim in CLAIMS]


def write_claims(run: Path) -> Path:
    """Decide all claims from `<run>/facts` and write `<run>/claims.json`."""
    return write_json(run / "claims.json", ledger(figures.read_all(run)))


def markdown(rows: Iterable[dict[str, Any]]) -> str:
    """The ledger as a Markdown table."""
    lines = [
        "| | Claim | Published | Recomputed | Measured here | Verdict |",
        "|---|---|---:|---:|---|---|",
    ]
    for row in rows:
        measured = row["why"]
        if row["measured"] is not None:
            interval = ", ".join(f"{edge:.1f}" for edge in row["ci95"] or ())
            measured = _number(row["measured"]) + (f" [{interval}]" if interval else "")
            measured += f", n = {row['n']:,}" if row["n"] else ""
            measured += f"<br>{row['what']}"
        verdict = f"{_SIGNS[row['verdict']]} {row['verdict']}"
        paper = (_number(row["published"]), _number(row["recomputed"]))
        lines.append("| " + " | ".join((row["id"], row["claim"], *paper, measured, verdict)) + " |")
    return "\n".join(lines) + "\n"


# --------------------------------------------------------------------------------------
# Reading facts


def _get(facts: Facts, chapter: str, key: str) -> Any:
    value = facts.get(chapter, {}).get(key)
    if not value:
        raise NotRun(f"not run yet: chapter {chapter}")
    return value


def _differences(facts: Facts, chapter: str, what: str) -> list[dict[str, Any]]:
    rows = [row for row in _get(facts, chapter, "differences") if row["what"] == what]
    if not rows:
        raise NotRun(f"not run yet: chapter {chapter} has no difference called “{what}”")
    return rows


def _mean_over(facts: Facts, what: str, n: int | None) -> tuple[Interval, int | None]:
    """Interval and number of problems, of all benchmarks together, of a mean of chapter 09.

    Without one there, no interval, and `n`.
    """
    rows = facts.get("09", {}).get("means", ())
    return next(((row["ci95"], row["n"]) for row in rows if row["what"] == what), (None, n))


def _method(facts: Facts, name: str) -> dict[str, Any]:
    for row in _get(facts, "07", "table_3"):
        if row["method"] == name:
            return row
    raise NotRun(f"not run yet: chapter 07 has no method called “{name}”")


def _slope(method: str) -> float:
    runs = published("table_3_runs")[method]
    return metrics.scaling([r["thinking_tokens"] for r in runs], [r["value"] for r in runs])


def _table_2(name: str, row: dict[str, Any]) -> float:
    return accuracy("table_2", partner(row["benchmark"]), set=name)


def _mean_by(rows: Iterable[dict[str, Any]], key: Callable[[dict[str, Any]], Any]) -> dict:
    groups: dict[Any, list[float]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row["value"])
    return {name: sum(values) / len(values) for name, values in groups.items()}


def _value(means: dict[Any, float], key: Any) -> float:
    if key not in means:
        raise NotRun("not run yet: chapter 06 lacks a string or a number of Waits")
    return means[key]


def _above_zero(row: dict[str, Any], printed: float | None, recomputed: float | None) -> Evidence:
    return _signed(row, printed, recomputed, 1)


def _below_zero(row: dict[str, Any], printed: float) -> Evidence:
    return _signed(row, printed, None, -1)


def _signed(
    row: dict[str, Any], printed: float | None, recomputed: float | None, sign: int
) -> Evidence:
    return Evidence(
        f"{row['what']}, {row['benchmark']}",
        _rounded(printed),
        _rounded(recomputed),
        row["value"],
        row.get("ci95"),
        row.get("n"),
        metrics.excludes_zero(row.get("ci95"), sign),
    )


def _direction(what: str, printed: float, measured: float) -> Evidence:
    """A comparison of means, for which the rule asks the direction only."""
    return Evidence(what, round(printed, 2), None, round(measured, 2), None, None, measured > 0)


def _all(evidence: Sequence[Evidence], at_least: int = 1) -> bool:
    return len(evidence) >= at_least and all(piece.holds for piece in evidence)


def _room(piece: Evidence) -> float:
    """How far the nearest end of the interval, or the number itself, is from zero."""
    return min(abs(edge) for edge in piece.ci95 or [piece.measured])


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
