"""What models are tested on: the benchmarks there are, and a problem as decoders see it.

A benchmark of the hub is one entry here, one of the world an entry in `s1lib.world.sources`; a
profile names those that a run uses. An entry with a `partner` stands for a benchmark of the paper,
whose published numbers then appear beside its own; without one it stands alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from s1lib.chat import prompt_ids

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedTokenizerBase

WORLD = "world"
Columns = Mapping[str, Any]  # name -> the type of a cell; `object` may be empty


OPTIONS: Columns = {
    "Question": str,
    "Correct Answer": str,
    "Incorrect Answer 1": str,
    "Incorrect Answer 2": str,
    "Incorrect Answer 3": str,
}  # of multiple choice


@dataclass(frozen=True)
class Part:
    """One load: a configuration and its splits, or files of the repository by their names.

    `files` may hold `{config}`, `{split}` and `*`, and end in `.jsonl` or `.parquet`. `revision`
    names a branch or commit; None is the newest, since the paper names no revisions. A run keeps
    to the commit that it found first (`s1lib.questions.revisions`). `refs/convert/parquet` is the
    hub's own Parquet copy of a dataset that otherwise comes as a script, which is never run here;
    configurations and splits are folders there. `columns` adds to those of the source.
    """

    config: str | None = None
    splits: tuple[str, ...] = ("train",)
    files: tuple[str, ...] = ()
    revision: str | None = None
    columns: Columns = field(default_factory=dict)


@dataclass(frozen=True)
class Benchmark:
    """Questions that no training question may resemble; `scored` ones are evaluated too.

    `source` is a dataset of the hub with the columns `question` and `answer`, or `WORLD`;
    `answer_type` is `integer`, `text` or `choice`; `partner` is the paper's name for the benchmark
    that this one is or stands for.
    """

    name: str
    source: str = WORLD
    answer_type: str = "text"
    partner: str | None = None
    question: str = "problem"
    answer: str | None = "answer"
    part: Part = Part()
    scored: bool = True

    @property
    def columns(self) -> Columns:
        """What each row must hold: its numbers are those of all problems or of none.

        What is only held out needs no answer (and LiveCodeBench has none).
        """
        cells: Columns = OPTIONS if self.answer_type == "choice" else {}
        answer = {self.answer: str | int | float} if self.answer and self.scored else {}
        return {self.question: str, **cells, **answer}


BENCHMARKS = (
    Benchmark("mini-AIME", WORLD, "integer", "AIME24"),
    Benchmark("mini-MATH", WORLD, "integer", "MATH500"),
    Benchmark("mini-GPQA", WORLD, "choice", "GPQA"),
    Benchmark("aime24", "simplescaling/aime24_nofigures", "integer", "AIME24"),
    Benchmark("aime25", "TIGER-Lab/AIME25", "integer", "AIME25", question="question"),
    Benchmark(
        "gpqa_diamond", "Idavidrein/gpqa", "choice", "GPQA", "Question", None, Part("gpqa_diamond")
    ),
    Benchmark(
        "math500", "simplescaling/openaimath", "text", "MATH500", part=Part(splits=("test",))
    ),
    Benchmark("aime22-24", "AI-MO/aimo-validation-aime", scored=False),
    Benchmark(
        "livecodebench-v4",
        "livecodebench/code_generation_lite",
        question="question_content",
        part=Part(
            splits=("test",), files=("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl")
        ),
        scored=False,
    ),
)


def partner(name: str) -> str | None:
    """The paper's benchmark that one of ours stands for: `AIME24` for `mini-AIME`, or None."""
    return next((item.partner for item in BENCHMARKS if item.name == name), None)


def columns(names: Iterable[str]) -> dict[str, str]:
    """The heading of each benchmark in a table: its partner's name, or its own.

    Its own as well where an earlier one has taken the partner's, so that no two share a heading.
    """
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        stands_for = partner(name)
        found[name] = stands_for if stands_for and stands_for not in found.values() else name
    return found


@dataclass(frozen=True)
class Problem:
    """A problem under test: what the model is given, and what its answer is compared with.

    `prompt` holds token ids, up to where the model begins. `id` names the problem within its
    benchmark and keys its random numbers. `family` is the procedure that a world question was
    drawn from (empty if unknown): problems of one family are alike, and intervals know it.
    """

    id: str
    prompt: tuple[int, ...]
    benchmark: str = ""
    question: str = ""
    answer: str = ""
    answer_type: str = "text"
    family: str = ""


def problems(
    tests: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, suffix: str = "", chat: bool = True
) -> list[Problem]:
    """The rows of `benchmarks.parquet` as problems, in their order.

    `suffix` is appended to every question in the prompt, as conditional methods do. Without `chat`
    the prompt is plain text, the question and an empty line, which a base model may do better on.
    """

    def prompt(question: str) -> list[int]:
        if chat:
            return prompt_ids(tokenizer, question + suffix)
        return tokenizer.encode(f"{question}{suffix}\n\n", add_special_tokens=False)

    found = []
    for row in tests.itertuples():
        texts = row.benchmark, row.question, row.answer, row.answer_type
        kind = family(getattr(row, "metadata", ""))
        found.append(Problem(row.id, tuple(prompt(row.question)), *texts, kind))
    return found


def family(metadata: str) -> str:
    """The family of a question of the world, from the JSON text of its row; else empty."""
    known = json.loads(metadata) if metadata else {}
    return str(known.get("family", "")) if isinstance(known, dict) else ""


def names(problems: Sequence[Problem]) -> list[str]:
    """The benchmarks of some problems, in the order in which they come."""
    return list(dict.fromkeys(one.benchmark for one in problems))
