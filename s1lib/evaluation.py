"""Models on benchmarks: generate, grade, and line verdicts up problem by problem.

Decoding a small model leaves cores idle, so `answer_all` runs several models side by side, each
in a process with its share of the cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem, problems
from s1lib.results import Run, Setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from s1lib.decoding.decoder import Decoder
    from s1lib.decoding.forcing import Forcing
    from s1lib.decoding.record import Generation
    from s1lib.decoding.sampling import Sampling
    from s1lib.profile import Profile

_SETTING = ["method", "budget", "waits", "wait", "asked"]
_COLUMNS = ["model", "benchmark", "id", *_SETTING, "thinking_tokens", "sampled"]


def examine(
    decoder: Decoder,
    exam: Sequence[Problem],
    forcing: Forcing | None = None,
    sampling: Sampling | None = None,
    **tags: Any,
) -> list[Generation]:
    """Graded generations of all problems, in their order; arguments as of `Decoder.generate`."""
    from s1lib.decoding.record import grade_record
    from s1lib.decoding.sampling import GREEDY

    return grade_record(decoder.generate(exam, forcing, sampling or GREEDY, **tags), exam)


def answer(
    book: Profile, model: str, tests: pd.DataFrame, forcing: Forcing | None, name: str = ""
) -> list[Generation]:
    """Greedy, graded generations of one model for all problems of `tests`, in their order.

    `forcing=None` decodes plainly; `name` is what the record calls the model. Without a budget,
    thinking ends by itself or at the window.
    """
    from s1lib.decoding import load_decoder

    with load_decoder(model, book) as decoder:
        return examine(decoder, problems(tests, decoder.tokenizer), forcing, model=name or model)


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
    from s1lib.show import threads

    what = f"answering with {len(models)} models"
    if at_once == 1:  # all of a model at once: an engine for large models starts in minutes
        todo = progress(models.items(), what, len(models))
        return [one for name, folder in todo for one in answer(book, folder, tests, forcing, name)]
    parts = [part for _, part in tests.groupby("benchmark", sort=False)]
    share = max(1, threads() // at_once)
    pool = ProcessPoolExecutor(at_once, get_context("spawn"), _begin, (share,))
    try:
        futures = [
            pool.submit(answer, book, folder, part, forcing, name)
            for name, folder in models.items()
            for part in parts
        ]
        for future in progress(as_completed(futures), what, len(futures)):
            future.result()
        return [one for future in futures for one in future.result()]
    finally:  # an error in one ends the others
        pool.shutdown(cancel_futures=True)


def runs(
    record: pd.DataFrame,
    tests: pd.DataFrame,
    models: Mapping[str, str] = MappingProxyType({}),
    examples: Mapping[str, int] = MappingProxyType({}),
    means: Sequence[str] = (),
    **fields: Any,
) -> list[Run]:
    """The settings that a record holds (`to_table`), benchmark by benchmark, as runs.

    Problems are lined up as in `tests`; rows of other problems are left out, and with `fields` all
    rows but those with these values. `models` gives the names by which results call the record's
    models; several with one name are trainings of it, which become the first axis. `examples` is
    by that name, and of the columns `means` the mean goes along. Raises `RunError` if a setting
    lacks a problem, or has it twice.
    """
    for name, value in fields.items():
        record = record[record[name] == value]
    rows = record[[*_COLUMNS, *means]].assign(
        right=(record["verdict"] == "correct").astype(float),
        called=record["model"].map(lambda name: models.get(name, Path(name).name)),
    )
    found = []
    for benchmark, part in tests.groupby("benchmark", sort=False):
        ids = part["id"].tolist()
        mine = rows[(rows["benchmark"] == benchmark) & rows["id"].isin(ids)]
        for key, cell in mine.groupby(["called", *_SETTING], dropna=False, sort=False):
            model, method, budget, waits, string, asked = key
            setting = Setting(
                model=model,
                method=method,
                budget=None if pd.isna(budget) else int(budget),
                waits=int(waits),
                string=string,
                asked=asked,
                examples=examples.get(model),
            )
            right, thinking, tokens = (
                _grid(cell, ids, column) for column in ("right", "thinking_tokens", "sampled")
            )
            also = {name: round(float(cell[name].mean()), 2) for name in means}
            found.append(Run(setting, str(benchmark), right, thinking, tokens, also))
    return found


def _grid(cell: pd.DataFrame, ids: list[str], column: str) -> NDArray[np.float64]:
    """A column of one setting's rows by problem; with several trainings [trainings, problems]."""
    trained = cell["model"].nunique()
    if len(cell) != trained * len(ids) or cell.duplicated(["model", "id"]).any():
        raise RunError(
            f"the record has {len(cell)} rows for {len(ids)} problems of "
            f"{cell['benchmark'].iloc[0]} and {trained} trainings of one setting: make it again"
        )
    grid = cell.pivot(index="model", columns="id", values=column)[ids].to_numpy(dtype=float)
    return grid[0] if trained == 1 else grid


def _begin(threads: int) -> None:
    """Called first in each worker, before anything heavy is imported: bars look there once.

    It ends with the process that started it.
    """
    os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": str(threads)}

    def follow() -> None:
        starter = parent_process()
        if starter is not None:
            starter.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    import torch

    torch.set_num_threads(threads)
