"""Models on benchmarks: generate, grade, and line verdicts up by training seed and problem.

Decoding a small model leaves cores idle, so `answer_all` runs several models side by side, each
in a process with its share of the cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context, parent_process
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from s1lib.decoding.forcing import Forcing
    from s1lib.decoding.record import Generation
    from s1lib.profile import Profile


Prompts = list[list[int]]


def examine(
    tests: pd.DataFrame,
    tokenizer: PreTrainedTokenizerBase,
    decode: Callable[[Prompts, list[str]], list[Generation]],
    suffix: str = "",
) -> list[Generation]:
    """Graded generations of `decode(prompts, ids)`, benchmark by benchmark.

    `tests` has the columns of `benchmarks.parquet`. `suffix` is appended to every question, as
    the conditional methods do. A question may stand in two benchmarks, so each is decoded and
    graded by itself.
    """
    from s1lib.chat import prompt_ids
    from s1lib.decoding.record import grade_record

    found: list[Generation] = []
    for name, part in tests.groupby("benchmark", sort=False):
        prompts = [prompt_ids(tokenizer, question + suffix) for question in part["question"]]
        answers = {row.id: (row.answer, row.answer_type) for row in part.itertuples()}
        done = [replace(one, benchmark=str(name)) for one in decode(prompts, part["id"].tolist())]
        found += grade_record(done, answers)
    return found


def answer(
    book: Profile, model: str, tests: pd.DataFrame, forcing: Forcing | None, name: str = ""
) -> list[Generation]:
    """Greedy, graded generations of one model for all problems of `tests`, in their order.

    `forcing=None` decodes plainly; `name` is what the record calls the model. Without a budget,
    thinking ends by itself or at the window.
    """
    from s1lib.decoding import load_decoder

    decoder = load_decoder(model, book)
    return examine(
        tests,
        decoder.tokenizer,
        lambda prompts, ids: decoder.generate(prompts, forcing, ids=ids, model=name or model),
    )


def answer_all(
    book: Profile,
    models: Mapping[str, str],
    tests: pd.DataFrame,
    forcing: Forcing | None,
    at_once: int = 1,
) -> list[Generation]:
    """`answer` for several models, name to folder, `at_once` side by side.

    Generations come model by model in the order of `models`, with the name as their `model`.
    """
    from s1lib.progress import progress

    parts = [part for _, part in tests.groupby("benchmark", sort=False)]
    asked = [(name, folder, part) for name, folder in models.items() for part in parts]
    what = f"answering with {len(models)} models"
    if at_once == 1:
        todo = progress(asked, what, len(asked))
        return [
            one for name, folder, part in todo for one in answer(book, folder, part, forcing, name)
        ]
    with _workers(at_once) as pool:
        futures = [
            pool.submit(answer, book, folder, part, forcing, name) for name, folder, part in asked
        ]
        for future in progress(as_completed(futures), what, len(futures)):
            future.result()
    return [one for future in futures for one in future.result()]


def by_seed(
    table: pd.DataFrame, models: Sequence[str], benchmark: str, column: str = "correct"
) -> NDArray[np.float64]:
    """A column of a record (`to_table`) as [seeds, problems], problems sorted by id.

    `models` are the trainings of one model (`s1lib.training.recipe.replicas`); the column is
    `correct` (1 or 0) or a count such as `thinking_tokens`.
    """
    rows = table[(table["benchmark"] == benchmark) & table["model"].isin(models)]
    rows = rows.assign(correct=(rows["verdict"] == "correct").astype(float))
    grid = rows.pivot(index="model", columns="id", values=column).loc[list(models)]
    return grid.to_numpy(dtype=float)


@contextmanager
def _workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that share the cores, and that end at once with the block or with this one."""
    from s1lib.show import threads

    share = max(1, threads() // count)
    pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, (share, os.getpid()))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(threads: int, parent: int) -> None:
    """Called first in each worker, before anything heavy is imported: bars look there once."""
    os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": str(threads)}

    def follow() -> None:
        starter = parent_process()
        if starter is not None:
            starter.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    import torch

    torch.set_num_threads(threads)
