"""All benchmarks at once: every problem asked in the same way, every answer graded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
from transformers import PreTrainedTokenizerBase

from s1lib.chat import prompt_ids
from s1lib.decoding.record import Generation, grade_record

Prompts = list[list[int]]
Decode = Callable[[Prompts, list[str]], list[Generation]]


def examine(
    tests: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, decode: Decode, suffix: str = ""
) -> list[Generation]:
    """Graded generations of `decode(prompts, ids)`, benchmark by benchmark.

    `tests` has the columns of `benchmarks.parquet`. `suffix` is appended to every question, as
    the conditional methods do. A question may stand in two benchmarks, so each is decoded and
    graded by itself.
    """
    found = []
    for name, part in tests.groupby("benchmark", sort=False):
        prompts = [prompt_ids(tokenizer, question + suffix) for question in part["question"]]
        answers = {row.id: (row.answer, row.answer_type) for row in part.itertuples()}
        done = [replace(one, benchmark=str(name)) for one in decode(prompts, part["id"].tolist())]
        found += grade_record(done, answers)
    return found
