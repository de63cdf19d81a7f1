"""Engines side by side: the same ids, one error for all, nothing left running."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
import torch
from test_engine import decoder, prompts

from s1lib.artifacts import RunError
from s1lib.decoding.forcing import Forcing
from s1lib.decoding.sampling import Sampling
from s1lib.decoding.sweep import cells
from s1lib.decoding.workers import FEWEST, deal, side_by_side, workers

__all__ = ["decoder", "prompts"]

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def jobs(*problems: int):
    return [SimpleNamespace(problem=problem, number=n) for n, problem in enumerate(problems)]


class Slow:
    """Yields its jobs one by one for as long as somebody listens."""

    def __init__(self):
        self.yielded = 0

    def run(self, jobs):
        while True:
            self.yielded += 1
            yield jobs[0], None


class Broken:
    def run(self, jobs):
        yield jobs[0], None
        raise RunError("the logits for prompt 7 are not numbers")


def test_a_problem_stays_with_one_worker_and_workers_take_turns():
    parts = deal(jobs(4, 4, 9, 2, 9, 5), 2)
    assert [[job.problem for job in part] for part in parts] == [[4, 4, 2], [9, 9, 5]]
    assert [[job.number for job in part] for part in deal(jobs(0, 1, 0), 1)] == [[0, 1, 2]]


def test_a_second_worker_needs_a_cpu_two_threads_and_enough_to_do():
    assert workers(CPU, FEWEST) == 2
    assert workers(CPU, FEWEST - 1) == 1
    assert workers(torch.device("cuda"), 1000) == 1
    torch.set_num_threads(1)
    assert workers(CPU, 1000) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_two_workers_decode_what_one_decodes(decoder, prompts, monkeypatch, temperature):
    many, six = Sampling(temperature, seed=2, samples=8), Sampling(samples=6)
    asked = prompts[:6], cells((4, 12), (1, 2)), six
    two = decoder.generate(prompts[:6], Forcing(budget=20, waits=1), many)
    paid, swept = decoder.paid, decoder.sweep(*asked)
    assert paid == sum(one.sampled for one in two)
    monkeypatch.setattr("s1lib.decoding.local.workers", lambda device, jobs: 1)
    assert decoder.generate(prompts[:6], Forcing(budget=20, waits=1), many) == two
    assert decoder.sweep(*asked) == swept
    assert torch.get_num_threads() == 2


def test_an_error_in_one_worker_is_the_callers_and_ends_the_other():
    running, slow = threading.active_count(), Slow()
    with pytest.raises(RunError, match="prompt 7"):
        for _ in side_by_side([slow, Broken()], [jobs(0), jobs(1)]):
            pass
    assert threading.active_count() == running
    assert torch.get_num_threads() == 2


def test_whoever_stops_listening_leaves_nothing_running():
    running, slow = threading.active_count(), Slow()
    run = side_by_side([slow, Slow()], [jobs(0), jobs(1)])
    next(run)
    run.close()
    assert threading.active_count() == running
