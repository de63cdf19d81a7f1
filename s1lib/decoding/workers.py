"""Engines side by side on a CPU, each with its own rows and its share of the cores.

A step of a small model is many small operations, of which two threads make little more than one
does. So a worker is a whole engine with half the threads, and while one is in Python the other
computes. Which job runs in which worker is settled beforehand: a sum in float32 depends on what
else is in the batch, and the same call must give the same ids again.

For speed alone: without this file `local` runs one engine, and small models on two cores are
decoded at about two thirds of the rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from s1lib.decoding.engine import Engine
from s1lib.decoding.jobs import Done, Job
from s1lib.streams import Stream, read

WORKERS = 2  # measured on two cores; more of them may pay where there are more
FEWEST = 32  # jobs that are worth a second worker


def workers(device: torch.device, jobs: int) -> int:
    """How many workers so many jobs should get."""
    alone = device.type != "cpu" or torch.get_num_threads() < WORKERS or jobs < FEWEST
    return 1 if alone else WORKERS


def deal(jobs: Sequence[Job], count: int) -> list[list[Job]]:
    """Problems to workers in turn; all jobs of a problem to one, where they share their prompt."""
    parts: list[list[Job]] = [[] for _ in range(count)]
    for job in jobs:
        parts[job.problem % count].append(job)
    return parts


def side_by_side(engines: Sequence[Engine], parts: Sequence[list[Job]]) -> Iterator[Done]:
    """Run each part on its engine; yields what is done, in whatever order that happens.

    An error in a worker is raised here and ends the others, as does closing this iterator.
    """
    if len(engines) == 1:
        yield from engines[0].run(parts[0])
        return
    before = torch.get_num_threads()

    def work(engine: Engine, jobs: list[Job], stream: Stream[Done]) -> None:
        torch.set_num_threads(max(1, before // len(engines)))
        for done in engine.run(jobs):
            stream.push(done)

    try:
        yield from read([partial(work, *pair) for pair in zip(engines, parts, strict=True)])
    finally:
        torch.set_num_threads(before)
