"""Share one step's sequences out so that no process waits for another.

A step lasts as long as its slowest process. The paper put one sequence on each of 16 GPUs, so a
step lasted as long as its longest trace. Here the same sequences of the same step are packed into
rows of equal cost, each row one micro-batch, with the documents of a row isolated from each other
(`attention.py`). Which sequences make a step, how many steps there are and what each sequence
weighs do not change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


def cost(length: float, quadratic: float = 0.0) -> float:
    """Relative cost of a sequence: linear layers, and attention with its causal half.

    `quadratic` is layers x (heads x head size) / parameters, from FLOPs 6 N T + 6 L D T^2.
    """
    return length * (1.0 + quadratic * length)


def lpt(costs: Sequence[float], bins: int) -> list[list[int]]:
    """Longest processing time first: put each item, costliest first, into the lightest bin.

    Returns `bins` lists of positions in `costs`, heaviest bin first. Never worse than 4/3 of the
    best possible maximum (Graham, 1969).
    """
    rows: list[list[int]] = [[] for _ in range(bins)]
    loads = [0.0] * bins
    for item in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        lightest = min(range(bins), key=lambda b: (loads[b], b))
        rows[lightest].append(item)
        loads[lightest] += costs[item]
    return [rows[b] for b in sorted(range(bins), key=lambda b: (-loads[b], b))]


class Shuffle(Sampler[int]):
    """A new order of all samples in each epoch, the same on every process and after a resume."""

    def __init__(self, samples: int, seed: int) -> None:
        self.samples, self.seed, self.epoch = samples, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.samples)
        return iter(order.tolist())

    def __len__(self) -> int:
        return self.samples


class StepSampler(Sampler[list[int]]):
    """Batches of sample numbers, one per process and micro-step, for accelerate to deal out.

    Of each step's `batch` samples, `groups` x `accumulation` rows are made by `lpt`; in every
    micro-step the groups get rows of neighbouring cost. A group is `sequence_parallel` processes
    that all receive the same row. Rows can be empty in the last step of an epoch.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch: int,
        groups: int,
        accumulation: int = 1,
        sequence_parallel: int = 1,
        quadratic: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.costs = [cost(length, quadratic) for length in lengths]
        self.batch, self.groups, self.accumulation = batch, groups, accumulation
        self.copies = sequence_parallel
        self.sampler = Shuffle(len(lengths), seed)  # where accelerate looks for `set_epoch`

    def steps(self) -> Iterator[list[int]]:
        """The samples of each step of this epoch."""
        order = list(self.sampler)
        for start in range(0, len(order), self.batch):
            yield order[start : start + self.batch]

    def __iter__(self) -> Iterator[list[int]]:
        for samples in self.steps():
            for row in lpt([self.costs[i] for i in samples], self.groups * self.accumulation):
                for _ in range(self.copies):
                    yield [samples[position] for position in row]

    def __len__(self) -> int:
        steps = math.ceil(len(self.costs) / self.batch)
        return steps * self.groups * self.accumulation * self.copies


def imbalance(
    lengths: Sequence[int],
    groups: int,
    accumulation: int = 1,
    batch: int = 16,
    quadratic: float = 0.0,
    balanced: bool = True,
) -> float:
    """Time of the steps of five epochs over that at perfect balance (1.0 is best; 1.44 is s1's).

    In a micro-step all wait for the slowest group. `balanced=False` deals the samples out in
    random order, equally many to each row, as the paper's run did.
    """
    sampler = StepSampler(lengths, batch, groups, accumulation, 1, quadratic)
    slowest = ideal = 0.0
    for epoch in range(5):
        sampler.sampler.set_epoch(epoch)
        for samples in sampler.steps():
            costs = [sampler.costs[i] for i in samples]
            rows = groups * accumulation
            dealt = [list(range(row, len(costs), rows)) for row in range(rows)]
            parts = lpt(costs, rows) if balanced else dealt
            loads = [sum(costs[i] for i in part) for part in parts]
            slowest += sum(max(loads[m : m + groups]) for m in range(0, rows, groups))
            ideal += sum(costs) / groups
    return slowest / ideal
