"""Facts as chapters 06 to 09 wrote them in English sentences, as the types of `s1lib.results`.

No number is changed. What the old facts did not hold stays open: intervals of lengths, which of
the sequential runs a search was compared with, how many votes equal tokens paid for.
"""

from __future__ import annotations

import copy
from typing import Any

from s1lib.results import FORCING, MEAN, PLAIN, REBASE, VOTE

Row = dict[str, Any]
_ESTIMATE = ("value", "n", "ci95", "dtype", "device")
FIXED = {"model": "s1", "method": FORCING, "waits": 2, "string": "Wait"}
COUNTS = ("answer tokens", "within (%)", "steps", "tokens per step", "reached 0 (%)")


def typed(facts: dict[str, Row]) -> dict[str, Row]:
    """All chapters' facts; those of 01 to 05 were typed before, and part of 05 is A2's now."""
    new = copy.deepcopy(facts)
    new["A2"] = {name: new["05"].pop(name) for name in ("balance", "bill")}
    for chapter, convert in (("06", _06), ("07", _07), ("08", _08), ("09", _09)):
        new[chapter] = convert(facts[chapter], facts)
    return new


def forced(budget: int | None, waits: int, string: str = "Wait", model: str = "s1") -> Row:
    found: Row = {"model": model, "method": FORCING}
    if budget is not None:
        found["budget"] = budget
    if waits:
        found |= {"waits": waits, "string": string} if string else {"waits": waits}
    return found


def estimate(row: Row, **more: Any) -> Row:
    return {name: row[name] for name in _ESTIMATE} | more


def point(setting: Row, benchmark: str, row: Row, **more: Any) -> Row:
    return {"setting": setting, "benchmark": benchmark, **estimate(row), **more}


def difference(after: Row, before: Row, row: Row, **more: Any) -> Row:
    benchmark = row.get("benchmark", MEAN)
    return {"after": after, "before": before, "benchmark": benchmark, **estimate(row), **more}


def _06(old: Row, facts: dict[str, Row]) -> Row:
    points, prices = [], facts["08"]["all_4b"]
    for name, curve in old["figure_1"].items():
        paid = _prices(curve, prices[name])
        points += [
            point(forced(row["budget"], row["waits"]), name, row,
                  thinking_tokens=row["thinking_tokens"], tokens=tokens)
            for row, tokens in zip(curve, paid, strict=True)
        ]  # fmt: skip
    plain = {"base": "base", "s1 without budget forcing": "s1"}
    points += [
        point({"model": plain[row["model"]], "method": PLAIN}, row["benchmark"], row)
        for row in old["table_1"]
        if row["model"] in plain
    ]
    points += [
        point(forced(None, 2, row["string"].replace("no string", "")), row["benchmark"], row)
        for row in old["table_4"]
        if row["string"] not in ("none", "Wait")
    ]
    sides = {
        "s1 minus base": (FIXED, {"model": "base", "method": PLAIN}),
        "s1 without forcing minus base": (
            {"model": "s1", "method": PLAIN},
            {"model": "base", "method": PLAIN},
        ),
        "largest minus smallest budget": (forced(512, 0), forced(16, 0)),
        "Wait x2 minus none": (FIXED, forced(None, 0)),
        "Wait x2 minus no string": (FIXED, forced(None, 2, "")),
        "Wait x2 minus Hmm": (FIXED, forced(None, 2, "Hmm")),
        "Wait x2 minus Alternatively": (FIXED, forced(None, 2, "Alternatively")),
    }
    control = {"ci95": None, "dtype": "float32", "device": "cpu", "of": "runs"}
    return {
        "fixed": FIXED,
        "points": points,
        "differences": [difference(*sides[row["what"]], row) for row in old["differences"]],
        "control": {**old["control"], **control},
        "built_in": old["built_in"],
        "lost_to_wait": old["lost_to_wait"],
    }


def _prices(curve: list[Row], line: list[Row]) -> list[float]:
    """Tokens paid by each run of Figure 1, told by accuracy, and among equals by length."""
    left = [row for row in line if row["method"] == "budget forcing"]
    found: dict[int, float] = {}
    for place, row in sorted(enumerate(curve), key=lambda one: one[1]["thinking_tokens"]):
        same = [one for one in left if (one["value"], one["ci95"]) == (row["value"], row["ci95"])]
        taken = min(same, key=lambda one: one["tokens"])
        left.remove(taken)
        found[place] = taken["tokens"]
    return [found[place] for place in range(len(curve))]


def _07(old: Row, facts: dict[str, Row]) -> Row:
    hard, points = "mini-AIME", []
    ours = {"AIME24": "mini-AIME", "MATH500": "mini-MATH", "GPQA": "mini-GPQA"}
    for row in old["table_14"]:
        setting = {"model": "s1", "method": "class-conditional", "asked": row["prompt"]}
        points += [
            point(setting, name, row[column], thinking_tokens=row[f"{column} tokens"])
            for column, name in ours.items()
        ]
    for row in [*old["table_12"], *old["table_13"]]:
        model = row["method"].split("-")[0]
        setting = {"model": model, "method": row["method"], "asked": str(row["asked"])}
        means = {name: row[name] for name in COUNTS if name in row}
        length = row["thinking tokens"]
        points.append(point(setting, hard, row["AIME24"], thinking_tokens=length, means=means))
    for row in old["figure_6"]:
        setting = {"model": "s1", "method": row["method"], "asked": str(row["bound"])}
        means = {name: row[name] for name in ("exhausted", "tries", "paid_tokens")}
        points.append(point(setting, hard, row, thinking_tokens=row["tokens"], means=means))
    own = {"model": "s1", "method": FORCING}
    pairs = [
        difference(own, _trained(row["minus"]), {**row, "benchmark": hard}, measure=measure,
                   runs=row.get("runs", ""))
        for measure in ("scaling", "performance")
        for row in old[f"{measure}_minus"]
    ]  # fmt: skip
    half = {**old["shorter_minus_longer_half"], "questions": "all"}
    kept = ("samples", "what_sets_the_length", "tries_per_accepted")
    wrong = "rejection sampling, exhausted counts as wrong"
    return {
        **{name: old[name] for name in kept},
        "points": points,
        "differences": pairs,
        "methods": [_method(row, row["method"], hard) for row in old["table_3"]],
        "exhausted_is_wrong": _method(old["rejection_if_exhausted_is_wrong"], wrong, hard),
        "shorter_minus_longer_half": [half, *old["shorter_minus_longer_half_by_kind"]],
    }


def _trained(method: str) -> Row:
    return {"model": method.split("-")[0], "method": method}


def _method(row: Row, method: str, benchmark: str) -> Row:
    rows = {name: row[name] for name in ("control", "scaling", "performance")}
    rows["control"] = {**rows["control"], "of": "runs"}
    return {"method": method, "benchmark": benchmark, **rows}


def _08(old: Row, facts: dict[str, Row]) -> Row:
    base = {"model": "base", "method": VOTE}
    patient = {"model": "s1", "waits": 2, "string": "Wait"}
    votes = {**patient, "method": VOTE}
    points = [
        point({**base, "samples": row["k"]}, name, row, tokens=row["tokens"])
        for name in ("mini-AIME", "mini-MATH", "mini-GPQA")
        for row in old["all_4b"][name]
        if "k" in row
    ]
    for row in old["figure_7"]:
        if "k" in row:
            setting = {**votes, "samples": row["k"]}
        elif row["method"].startswith("REBASE"):
            setting = {**patient, "method": REBASE, "samples": 8}
        else:
            continue
        points.append(point(setting, "mini-AIME", row, tokens=row["tokens"]))
    best = {"model": "s1", "method": FORCING}
    own = {"model": "s1", "method": VOTE}
    tree = {**patient, "method": REBASE, "samples": 8}
    sides = {
        "sequential minus majority at equal tokens": (FIXED, base),
        "sequential minus s1's own majority at equal tokens": (FIXED, own),
        "greedy minus one sample, natural length": (forced(None, 0), {**own, "samples": 1}),
        "REBASE minus best sequential": (tree, best),
        "weighted REBASE minus best sequential": ({**tree, "method": "REBASE, weighted"}, best),
        "majority minus best sequential": ({**votes, "samples": 8}, best),
        "REBASE minus majority of as many": (tree, {**votes, "samples": 8}),
        "majority minus majority without Wait": ({**votes, "samples": 8}, {**own, "samples": 8}),
    }
    kept = ("reward", "search", "tokens", "voices", "shorter_minus_longer_half")
    return {
        **{name: old[name] for name in kept},
        "points": points,
        "differences": [difference(*sides[row["what"]], row) for row in old["differences"]],
    }


def _09(old: Row, facts: dict[str, Row]) -> Row:
    sizes = {row["set"]: row["n"] for row in old["sets"]}
    ours = {"AIME24": "mini-AIME", "MATH500": "mini-MATH", "GPQA": "mini-GPQA"}

    def model(name: str, examples: int | None = None, method: str = FORCING) -> Row:
        return {"model": name, "method": method, "examples": examples or sizes.get(name, 1000)}

    points = []
    (cut, whole) = old["table_8"]
    for row, name in zip(old["table_2"], sizes, strict=True):
        for column, benchmark in ours.items():
            lengths: Row = {}
            if name == "s1K":
                used = whole[f"{column} tokens"]
                lengths = {"thinking_tokens": used["value"], "thinking_ci95": used["ci95"]}
            points.append(point(model(name), benchmark, row[column], **lengths))
    for column, benchmark in ours.items():
        used = cut[f"{column} tokens"]
        lengths = {"thinking_tokens": used["value"], "thinking_ci95": used["ci95"]}
        points.append(point(model("cut"), benchmark, cut[column], **lengths))
    for row in old["sample_efficiency"]:
        if row["model"] not in sizes:
            setting = model(row["model"], row["examples"])
            if row["model"] == "base":
                setting = {"model": "base", "method": PLAIN, "examples": 0}
            points.append(point(setting, row["benchmark"], row))
    differences, gains = [], []
    for row in [*old["differences"], *old["means"]]:
        what, measure = row["what"].removesuffix(", mean of benchmarks"), "accuracy"
        if what.startswith("thinking tokens, "):
            what, measure = what.removeprefix("thinking tokens, "), "thinking_tokens"
        if what == "share of the gain":
            continue
        after, before = what.replace("whole", "s1K").split(" minus ")
        more = {"measure": measure} if measure != "accuracy" else {}
        differences.append(difference(model(after), model(before), row, **more))
    roles = {"part": model("s1K"), "whole": model("full")}
    roles["base"] = {"model": "base", "method": PLAIN, "examples": 0}
    for row in old["sample_efficiency"]:
        if "share" in row:
            share = {**row, "value": row["share"], "ci95": row["share_ci95"]}
            gains.append({**roles, "benchmark": row["benchmark"], **estimate(share)})
    gains.append({**roles, "benchmark": MEAN, **estimate(old["means"][-1])})
    names = [row["model"] for row in old["sample_efficiency"]]
    return {
        "seeds": old["seeds"],
        "sets": old["sets"],
        "steps": old["steps"],
        "curve": list(dict.fromkeys(names)),
        "windows": [
            {"model": "cut", "length": cut["length"], "cut": cut["cut"]},
            {"model": "s1K", "length": whole["length"], "cut": whole["cut"]},
        ],
        "points": points,
        "differences": differences,
        "gains": gains,
    }
