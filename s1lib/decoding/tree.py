"""Decoding a step at a time: a trace pauses where a step ends, and may go on more than once.

Tree search looks at a trace after every step, drops it, or lets it go on several times. What a
fork shares with its siblings is not computed again: the torch backend has a prefix cache, as vLLM
and its server do.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from s1lib.artifacts import RunError
from s1lib.benchmarks import Problem
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.draw import key
from s1lib.decoding.forcing import DONE, GO_ON, Forcing, Machine, Marks, Move
from s1lib.decoding.jobs import Job
from s1lib.decoding.record import Generation
from s1lib.decoding.sampling import Sampling

BLANK_LINE = "\n\n"


@dataclass(frozen=True)
class StepMarks(Marks):
    """Marks with `pauses`: ids that end a step."""

    pauses: frozenset[int] = frozenset()

    @property
    def stop_token_ids(self) -> frozenset[int]:
        return super().stop_token_ids | self.pauses


class Stepper(Machine):
    """A machine that is done after every step of its thinking; `fork` gives one that goes on."""

    marks: StepMarks
    begun = False

    def start(self) -> Move:
        if self.begun:
            return GO_ON
        self.begun = True
        return super().start()

    def _think(self, token: int) -> Move:
        move = super()._think(token)
        if move != GO_ON or token not in self.marks.pauses:
            return move
        self.paused, self.phase = True, "done"
        self.thinking_stop = len(self.ids)
        return DONE

    def fork(self) -> Stepper:
        """A copy that goes on where this one paused; `sampled` begins anew."""
        one = copy.copy(self)
        one.paused, one.phase = False, "thinking"
        one.ids, one.forced, one.ignored = list(self.ids), list(self.forced), list(self.ignored)
        one.sampled = []
        return one


class Steps:
    """Decodes traces of `problems` step by step, `live` of them at most between two calls.

    Random numbers belong to (seed, problem, number, position), where `number` is the caller's for
    each trace, so that results do not depend on what else runs (`sampling.samples` is not looked
    at). A step ends with `step` (`step_ends`). `tags` are further fields of `Generation`.
    """

    def __init__(
        self,
        decoder: Decoder,
        problems: Sequence[Problem],
        forcing: Forcing,
        sampling: Sampling,
        step: str = BLANK_LINE,
        *,
        live: int,
        **tags: Any,
    ) -> None:
        self.decoder, self.problems = decoder, problems
        self.sampling, self.forcing = sampling, forcing
        pauses = step_ends(decoder.tokenizer, step)
        self.marks = StepMarks(**vars(decoder.marks(forcing)), pauses=pauses)
        self._fields = {**decoder.fields(forcing, sampling), **tags}
        roots = (self.root(problem) for problem in range(len(problems)))
        self._run = decoder.stepwise(roots, live, sampling)

    def root(self, problem: int) -> Stepper:
        """A trace that has not begun."""
        prompt = self.problems[problem].prompt
        limit = self.decoder.limit(self.forcing, self.sampling)
        return Stepper(prompt, self.forcing, self.marks, self.decoder.window, limit, problem)

    def advance(self, traces: Iterable[tuple[int, int, Stepper]]) -> Iterator[tuple[int, Stepper]]:
        """Let each (problem, number, trace) make one step; yields (number in this call, trace).

        A trace comes back `paused` after a step of thinking, or done with thinking and answer.
        """
        jobs = [
            Job(trace, problem, number, key(self.sampling.seed, self.problems[problem].id, number))
            for problem, number, trace in traces
        ]
        place = {id(job): index for index, job in enumerate(jobs)}
        for job, machine in self._run(jobs):
            assert isinstance(machine, Stepper)
            yield place[id(job)], machine

    def generation(self, done: Stepper, problem: int, sample: int) -> Generation:
        """The record's row of a finished trace; only its last step is on the bill."""
        one = self.problems[problem]
        fields = {"benchmark": one.benchmark, **self._fields}
        return self.decoder.generation(done, one.id, sample, fields)


def step_ends(tokenizer: PreTrainedTokenizerBase, step: str = BLANK_LINE) -> frozenset[int]:
    """Ids whose text ends in the delimiter `step`: where a step ends.

    Raises `RunError` if there are none.
    """
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    ids = tokenizer.encode(step, add_special_tokens=False)
    ending = "".join(tokenizer.convert_ids_to_tokens(ids))
    found = frozenset(i for i, piece in enumerate(pieces) if piece and piece.endswith(ending))
    if not found:
        raise RunError(f"no token ends in {step!r}, so no step would: give search.step another end")
    return found
