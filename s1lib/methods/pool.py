"""One pool of samples per problem, drawn once and read by every method that needs many tries.

Rejection sampling (chapter 07) and voting (chapter 08) differ in how they choose among samples,
not in how samples come about. So the samples are drawn once, into `records/07.parquet`, and both
methods are functions of that table. Randomness belongs to (seed, problem, sample, position):
the first j samples of a problem are the same in a pool of any size.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from s1lib.artifacts import RunError, read_table
from s1lib.benchmarks import problems
from s1lib.decoding import Forcing, Generation, Sampling
from s1lib.decoding.decoder import Decoder
from s1lib.evaluation import examine

METHOD = "sample"


def draw_pool(
    decoder: Decoder, tests: pd.DataFrame, sampling: Sampling, forcing: Forcing | None = None
) -> list[Generation]:
    """`sampling.samples` graded generations of each problem, thinking up to their natural end.

    Each is under `forcing`, if there is one. `tests` has the columns of `benchmarks.parquet`; rows
    of the record have the method `sample`. The reference rejects at temperature 1, too
    (eval/commands.sh).
    """
    exam = problems(tests, decoder.tokenizer)
    return examine(decoder, exam, forcing or Forcing(), sampling, method=METHOD)


def read_pool(run: Path) -> pd.DataFrame:
    """The pool of a run: the rows of `records/07.parquet` whose method is `sample`.

    Columns as in `s1lib.decoding.record.to_table`, rows by benchmark, problem and sample.
    Raises `RunError` if there are none.
    """
    path = run / "records" / "07.parquet"
    table = read_table(path, made_by="07")
    pool = table[table["method"] == METHOD].reset_index(drop=True)
    if pool.empty:
        raise RunError(f"{path} holds no samples: run chapter 07 again")
    return pool


def grid(pool: pd.DataFrame, column: str) -> pd.DataFrame:
    """One column of one benchmark's pool with a row per problem and a column per sample.

    The index is the problem's id in the order of the pool, the columns are 0, 1, 2, ...
    Raises `RunError` unless every problem has the same samples.
    """
    table = pool.pivot(index="id", columns="sample", values=column)
    if len(table) * table.shape[1] != len(pool):
        raise RunError("problems of the pool have different numbers of samples: draw it again")
    return table.loc[pool["id"].unique()]
