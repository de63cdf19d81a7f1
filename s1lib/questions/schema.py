"""One question: its columns, its id, and what happens to a row that is not one.

Columns after facts of the reference (data/collect_data.py): question, solution, cot_type,
source_type and metadata; `id`, `answer` and `source` are ours. Metadata is JSON text here, where
the reference keeps the `str()` of a dictionary that later needs `eval`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from s1lib.artifacts import RunError

COLUMNS = ("id", "question", "solution", "answer", "cot_type", "source_type", "source", "metadata")
COT_TYPES = ("math", "coding", "science", "health science", "english", "crossword")
MAX_BYTES = 100_000


def question_id(question: str) -> str:
    """First 16 hex digits of the SHA-256 of the question, the row key of the reference."""
    return hashlib.sha256(question.encode("utf-8")).hexdigest()[:16]


def validate(rows: Iterable[Mapping[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn raw rows into the table of questions; nothing is dropped without a line saying so.

    Returns `(questions, rejected)`: `questions` has `COLUMNS`, first come first kept, and
    `rejected` has source, reason and the first 200 characters of each row left out. A row
    without a solution or an answer stays (both become None): quality filtering, in chapter 03,
    decides about it. A row may say itself, as `flaw`, why it is no question. Raises `RunError`
    for a row that lacks a column or has an unknown `cot_type`: the source changed.
    """
    kept: list[dict[str, Any]] = []
    rejected: list[tuple[str, str, str]] = []
    seen: set[str] = set()
    for number, row in enumerate(rows):
        if missing := {"question", "cot_type", "source_type", "source"} - row.keys():
            raise RunError(
                f"row {number} of {row.get('source', 'a source')} has no "
                f"{', '.join(sorted(missing))}: mend its transform in s1lib/questions/sources.py"
            )
        if row["cot_type"] not in COT_TYPES:
            raise RunError(
                f"row {number} of {row['source']} has cot_type {row['cot_type']!r}: "
                f"use one of {', '.join(COT_TYPES)}"
            )
        question = _decode(row["question"])
        if reason := _text(row.get("flaw")) or _reject(question, seen):
            shown = repr(row["question"]) if question is None else question
            shown = shown[:200].encode("utf-8", "replace").decode()
            rejected.append((row["source"], reason, shown))
            continue
        assert question is not None
        seen.add(question)
        kept.append(
            {
                **row,
                "id": question_id(question),
                "question": question,
                "solution": _text(row.get("solution")),
                "answer": _text(row.get("answer")),
                "metadata": metadata_text(row.get("metadata")),
            }
        )
    reasons = ["source", "reason", "question"]
    return pd.DataFrame(kept, columns=list(COLUMNS)), pd.DataFrame(rejected, columns=reasons)


def metadata_text(value: Any) -> str:
    """Metadata as JSON text with sorted keys; what JSON does not know becomes its `str`."""
    if isinstance(value, str):
        return value
    text = json.dumps(value or {}, sort_keys=True, ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace").decode()


def _reject(question: str | None, seen: set[str]) -> str | None:
    if question is None:
        return "not valid UTF-8"
    if not question.strip():
        return "no question"
    if len(question.split()) == 1:
        return "question of one word"
    if len(question.encode("utf-8")) > MAX_BYTES:
        return f"question longer than {MAX_BYTES:,} bytes"
    if question in seen:
        return "duplicate question"
    return None


def _decode(value: Any) -> str | None:
    """Text that encodes to UTF-8, or None: lone surrogates and broken bytes are no text."""
    if value is None or value != value:
        return ""
    try:
        text = value.decode("utf-8") if isinstance(value, bytes) else str(value)
        text.encode("utf-8")
    except UnicodeError:
        return None
    return text


def _text(value: Any) -> str | None:
    """A solution or an answer, or None if there is nothing to read in it."""
    text = _decode(value)
    return text if text and text.strip() and text.strip().lower() != "nan" else None
