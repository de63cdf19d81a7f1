"""The funnel of chapter 03: which questions are complete, well formed and hard.

Source: section 2.2 of the paper and cells 5 to 9 of the reference's data/filter.ipynb. Every
function returns the rows that stay and, for every row that goes, its id and one reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from transformers import PreTrainedTokenizerBase

from s1lib.chat import training_text
from s1lib.published import published

Reasons = list[tuple[str | pd.Series, pd.Series]]  # in words, and which rows each holds for
DROPPED = ("id", "stage", "reason")

STEPS = ("collected", "traced", "complete", "well formed", "hard")

_FEATURES = {"attempt": "no attempt", "solution": "no reference solution", "domain": "no domain"}
_REFERENCE_LABEL = re.compile(r"p[1-9][0-9]{0,2}\.")
_REFERENCE_BOLD = re.compile(r"\*\*(?=.*\d)[^\s\]]*\*\*")
_LABEL = re.compile(r"(?<![\w\\])p[1-9][0-9]{0,2}\.(?!\d)")
_BOLD = re.compile(r"(?<![\w)\]}*])\*\*(?=[^\s\]*]*\d)[^\s\]*]+\*\*(?!\*)")


def with_verdicts(pool: pd.DataFrame, grades: pd.DataFrame) -> pd.DataFrame:
    """Add a column `<who>_verdict` for the teacher and each student, None where there is none.

    `grades` has one row per id and who, with a verdict: correct, wrong or undecided.
    """
    wide = grades.drop_duplicates(["id", "who"]).pivot(index="id", columns="who", values="verdict")
    return pool.merge(wide.add_suffix("_verdict"), on="id", how="left")


def overlong(pool: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, max_length: int) -> pd.Series:
    """Which rows have a training text of more than `max_length` tokens; bool, aligned with `pool`.

    Training cuts nothing and refuses such a row, so it has to leave before grades are paid for.
    `pool` needs question, thinking and attempt.
    """
    cells = pool[["question", "thinking", "attempt"]].fillna("").itertuples(index=False)
    texts = (training_text(tokenizer, *row) for row in cells)
    # No token is shorter than a byte, which spares most texts the tokenizer.
    return pd.Series(
        [
            len(text.encode("utf-8", "replace")) > max_length
            and len(tokenizer.encode(text, add_special_tokens=False, verbose=False)) > max_length
            for text in texts
        ],
        index=pool.index,
        dtype=bool,
    )


def untraced(pool: pd.DataFrame) -> pd.Series:
    """Why there is no trace to learn from, in words, or None; aligned with `pool`.

    The trace is not there, the teacher did not come to its end (`status` is not `ok`: it was cut,
    refused, ...), or it is marked as `overlong`. A column that is not there is not asked for.
    """
    found: Reasons = []
    if "status" in pool:
        unfinished = pool["status"].notna() & (pool["status"] != "ok")
        found.append(("trace: " + pool["status"].astype(str), unfinished))
    if "thinking" in pool:
        found.append(("no trace", _empty(pool["thinking"])))
    if "overlong" in pool:
        found.append(("longer than training takes", pool["overlong"]))
    return _first(pool, found)


def missing(pool: pd.DataFrame) -> pd.Series:
    """The first feature that a row lacks, in words, or None; aligned with `pool`.

    The reference drops a row if any feature is None and counts one number. Here a missing
    attempt, reference solution, grade (of the teacher or a student, columns `teacher_verdict`
    and `<student>_verdict`) or domain is told apart. A column that is not there is not asked for.
    """
    found: Reasons = [(why, _empty(pool[name])) for name, why in _FEATURES.items() if name in pool]
    for name in pool.columns[pool.columns.str.endswith("_verdict")]:
        lacks = ~pool[name].isin(("correct", "wrong"))
        found.append((f"no grade: {name.removesuffix('_verdict')}", lacks))
    return _first(pool, found)


def malformed(question: str, source_type: str, patterns: str = "default") -> str | None:
    """Why a question cannot be read as one plain text, or None.

    `reference` is the rule of the published notebook to the letter: `[asy]`, `![Image]`, any
    `p1.` to `p999.` (part of a word or not), and a bold run with a digit anywhere later on its
    line; AIME questions with `[asy]` pass whatever else they hold. `default` mends the false
    positives: the label must stand alone (`step2.` and `p1.5` pass), the digit must be inside
    the bold run, powers like `2**n**3` pass, and the AIME exception excuses the figure only.
    """
    reference = patterns == "reference"
    excused = "[asy]" in question and "AIME" in source_type
    if excused and reference:
        return None
    if "[asy]" in question and not excused:
        return "Asymptote figure"
    if "![Image]" in question:
        return "image"
    if (_REFERENCE_LABEL if reference else _LABEL).search(question):
        return "several problems in one (p1.)"
    if "**" in question and (_REFERENCE_BOLD if reference else _BOLD).search(question):
        return "several problems in one (bold label)"
    return None


def quality(pool: pd.DataFrame, patterns: str = "default") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop rows without a trace to learn from, then incomplete, then malformed ones.

    `pool` needs id, question, source_type and what `untraced` and `missing` look at. Returns
    `(kept, dropped)`.
    """

    def badly_formed(rows: pd.DataFrame) -> pd.Series:
        pairs = zip(rows["question"], rows["source_type"], strict=True)
        return pd.Series([malformed(q, s, patterns) for q, s in pairs], rows.index, dtype=object)

    dropped = []
    for stage, why in (("traced", untraced), ("complete", missing), ("well formed", badly_formed)):
        reason = why(pool)
        dropped.append(_dropped(pool, reason, stage))
        pool = pool[reason.isna()]
    return pool.reset_index(drop=True), pd.concat(dropped, ignore_index=True)


def difficulty(pool: pd.DataFrame, students: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop what any student solves (column `<student>_verdict` is `correct`)."""
    solved = pd.DataFrame({name: pool[f"{name}_verdict"] == "correct" for name in students})
    alone = [(f"solved by {name}", solved[name]) for name in solved]
    reason = _first(pool, [("solved by several students", solved.sum(axis=1) > 1), *alone])
    return pool[reason.isna()].reset_index(drop=True), _dropped(pool, reason, "hard")


def dealt(
    said: Sequence[str],
    right: Sequence[str],
    group: Sequence[str],
    seed: int = 0,
    deals: int = 1000,
) -> np.ndarray:
    """How many answers are right when they are dealt anew within their groups, once per deal.

    `said[i]` was answered to question `i`, whose answer is `right[i]`. Whoever guesses does as
    well with the answers of other questions; int64, shape [deals].
    """
    groups = pd.factorize(np.asarray(group, dtype=object))[0]
    codes = pd.factorize(np.asarray([*said, *right], dtype=object))[0]
    given, meant = codes[: len(groups)], codes[len(groups) :]
    home = np.argsort(groups, kind="stable")
    rng = np.random.default_rng(seed)
    orders = (np.lexsort((rng.random(len(groups)), groups)) for _ in range(deals))
    return np.array([(given[order] == meant[home]).sum() for order in orders], dtype=np.int64)


def funnel(collected: int, dropped: pd.DataFrame) -> pd.DataFrame:
    """Rows left after each step beside the paper's and its notebook's counts.

    `dropped` has the rows of `quality` and `difficulty`. Columns: step, n, published (paper),
    notebook (the committed run, which is not the paper's); None where they print no count.
    """
    counts = {row["step"]: row for row in published("funnel")}
    left = collected
    rows = []
    for step in STEPS:
        left -= int((dropped["stage"] == step).sum())
        theirs = counts.get(step, {})
        rows.append((step, left, theirs.get("paper"), theirs.get("notebook")))
    columns = ["step", "n", "published", "notebook"]
    return pd.DataFrame(rows, columns=columns, dtype=object).astype({"n": int})


def _empty(column: pd.Series) -> pd.Series:
    return column.isna() | (column.astype(str).str.strip() == "")


def _first(pool: pd.DataFrame, found: Reasons) -> pd.Series:
    """For every row the first of the reasons that hold for it, or None."""
    reason = pd.Series(None, index=pool.index, dtype=object)
    for words, holds in found:
        reason = reason.mask(reason.isna() & holds, words)
    return reason


def _dropped(pool: pd.DataFrame, reason: pd.Series, stage: str) -> pd.DataFrame:
    gone = reason.notna()
    table = pd.DataFrame({"id": pool["id"][gone], "stage": stage, "reason": reason[gone]})
    return table.reset_index(drop=True)[list(DROPPED)]
