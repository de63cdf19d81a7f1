"""The record: one row for every generation of every method. Tables and figures read nothing else.

A row holds the ids by role, so that what the model really saw is known:

    prompt | opening | thinking | closing | answer

`opening` and `closing` are delimiters (forced, except in plain decoding, where the model wrote
them), `forced` lists the positions after the prompt that were not sampled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
from pydantic import TypeAdapter

from s1lib.artifacts import RunError, read_table, write_table
from s1lib.benchmarks import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = tuple[int, ...]
ANSWERED = re.compile(r"Answer:[ \t]*\S[^\n]*\n")  # a whole line; what follows is another text
ROLES = ("prompt", "opening", "thinking", "closing", "answer")
LISTS = (*ROLES, "forced", "ignored")


@dataclass(frozen=True)
class Generation:
    """One generation. Counts are in tokens; `budget=None` means that there was none.

    `thinking_end`: `delimiter`, `eos`, `steps`, `budget`, `window`, `stopped` (by the caller), or
    empty (it did not think); `answer_end`: `eos`, `length`, `window`, `stopped`. `sampled` counts
    every token that was paid for, also those taken off again. `ignored` are the lengths of
    thinking at which an end was ignored. `asked` is what the prompt asked for (`128`, `short`),
    `reward` what a search's judge gave the trace. `raw` is the extracted answer, `verdict` is
    `correct`, `wrong` or `undecided`.
    """

    id: str
    prompt: Ids
    answer: Ids
    opening: Ids = ()
    thinking: Ids = ()
    closing: Ids = ()
    forced: Ids = ()
    ignored: Ids = ()
    thinking_end: str = ""
    answer_end: str = ""
    sampled: int = 0
    text: str = ""
    benchmark: str = ""
    method: str = "budget forcing"
    asked: str = ""
    model: str = ""
    budget: int | None = None
    waits: int = 0
    wait: str = ""
    protocol: str = "paper"
    temperature: float = 0.0
    seed: int = 0
    sample: int = 0
    reward: float | None = None
    raw: str = ""
    verdict: str = ""
    grader: str = ""
    config: str = ""

    @property
    def ids(self) -> Ids:
        """All ids after the prompt."""
        return self.opening + self.thinking + self.closing + self.answer

    @property
    def mask(self) -> list[bool]:
        """For each of `ids`, whether it was forced."""
        forced = set(self.forced)
        return [place in forced for place in range(len(self.ids))]

    @property
    def thinking_tokens(self) -> int:
        return len(self.thinking)


def to_table(generations: Iterable[Generation]) -> pd.DataFrame:
    """One row per generation, columns as the fields of `Generation` plus two counts."""
    names = [field.name for field in fields(Generation)]
    rows = [[getattr(one, name) for name in names] for one in generations]
    table = pd.DataFrame(rows, columns=names)
    for name in LISTS:
        table[name] = table[name].map(list)
    table["budget"] = table["budget"].astype("Int64")
    table["reward"] = table["reward"].astype("float64")
    table["thinking_tokens"] = [len(ids) for ids in table["thinking"]]
    table["forced_tokens"] = [len(ids) for ids in table["forced"]]
    return table


def from_table(table: pd.DataFrame) -> list[Generation]:
    """The generations of a table. Raises `RunError` if a column is missing."""
    names = [field.name for field in fields(Generation)]
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise RunError(f"the record has no column {', '.join(missing)}: make it again")
    rows = pa.Table.from_pandas(table[names], preserve_index=False).to_pylist()
    return TypeAdapter(list[Generation]).validate_python(rows)


def write_record(path: str | Path, generations: Iterable[Generation]) -> Path:
    """Write generations as a Parquet table, one row each."""
    return write_table(path, to_table(generations))


def read_record(path: str | Path, made_by: str = "06") -> list[Generation]:
    """The generations of a record. Raises `RunError` if it is missing or no record."""
    return from_table(read_table(path, made_by))


def answered(tokenizer: PreTrainedTokenizerBase) -> Callable[[int, Sequence[int]], bool]:
    """Whether ids go on after their first line `Answer: ...`: a criterion for `Hooks.stop`.

    It saves what `first_answers` cuts off; the problem, its first argument, does not matter.
    """
    piece = _pieces(tokenizer)

    def stop(problem: int, new: Sequence[int]) -> bool:
        late = "\n" in "".join(map(piece, new[-2:]))
        return late and bool(ANSWERED.search("".join(map(piece, new)).strip()))

    return stop


def _pieces(tokenizer: PreTrainedTokenizerBase) -> Callable[[int], str]:
    return cache(lambda token: str(tokenizer.decode([token], skip_special_tokens=True)))


def first_answers(
    generations: Iterable[Generation], tokenizer: PreTrainedTokenizerBase
) -> list[Generation]:
    """Plain generations up to the end of their first line `Answer: ...`, as a stop string would.

    A model that is asked in plain text may go on after its answer, to another question with an
    answer of its own. What is cut off is not graded, and `sampled` does not count it. Others stay
    as they are.
    """
    piece, found = _pieces(tokenizer), []
    for one in generations:
        ids = one.answer if ANSWERED.search(one.text) else ()
        lines = (place for place, token in enumerate(ids[:-1], 1) if "\n" in piece(token))
        ends = (place for place in lines if ANSWERED.search("".join(map(piece, ids[:place]))))
        if place := next(ends, 0):
            said = str(tokenizer.decode(list(ids[:place]), skip_special_tokens=True)).strip()
            one = replace(one, answer=ids[:place], text=said, sampled=place, answer_end="stopped")
        found.append(one)
    return found


def grade_record(
    generations: Iterable[Generation], problems: Iterable[Problem]
) -> list[Generation]:
    """Grade with `s1lib.grading`, each generation by the problem of its benchmark and id.

    Equal texts of one problem are graded once. Raises `RunError` for a generation of none of them.
    """
    from s1lib.grading import GRADER, extract, grade

    known = {(one.benchmark, one.id): one for one in problems}
    seen: dict[tuple[str, str, str], tuple[str, str]] = {}
    graded = []
    for one in generations:
        if (one.benchmark, one.id) not in known:
            raise RunError(f"no answer for problem {one.id}: are record and benchmark of one run?")
        problem, key = known[one.benchmark, one.id], (one.benchmark, one.id, one.text)
        if key not in seen:
            kind = problem.answer_type
            seen[key] = extract(one.text, kind) or "", grade(one.text, problem.answer, kind)
        raw, verdict = seen[key]
        graded.append(replace(one, raw=raw, verdict=verdict, grader=GRADER))
    return graded
