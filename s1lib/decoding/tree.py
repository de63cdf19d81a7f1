"""Decoding a step at a time: a trace pauses at each blank line, and may go on more than once.

Tree search looks at a trace after every step, drops it, or lets it go on several times. What a
fork shares with its siblings is not computed again: the torch backend keeps the key-value caches
of paused traces on a shelf, and vLLM and its server find prefixes by themselves.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from s1lib.decoding.decoder import Decoder
from s1lib.decoding.draw import key
from s1lib.decoding.engine import Engine, TorchDecoder
from s1lib.decoding.forcing import DONE, GO_ON, Forcing, Machine, Marks, Move
from s1lib.decoding.jobs import Job
from s1lib.decoding.lanes import deal, lanes, side_by_side
from s1lib.decoding.network import Network
from s1lib.decoding.record import Generation
from s1lib.decoding.sampling import Sampling


@dataclass(frozen=True)
class StepMarks(Marks):
    """Marks with `pauses`: ids whose text ends in a blank line."""

    pauses: frozenset[int] = frozenset()

    @property
    def watched(self) -> frozenset[int]:
        return super().watched | self.pauses


class Stepper(Machine):
    """A machine that is done after every step of its thinking; `fork` gives one that goes on."""

    marks: StepMarks
    paused = begun = False

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


class Shelf:
    """Key-value caches of prefixes, in rows of the network from `first` on; the oldest leave."""

    def __init__(self, network: Network, first: int, size: int) -> None:
        self.network = network
        self.free = list(range(first, first + size))
        self.places: dict[tuple[int, ...], tuple[int, int]] = {}  # row and length, oldest first

    def put(self, ids: Sequence[int], row: int, length: int) -> None:
        """Keep the first `length` positions of `row`, which belong to `ids`."""
        name = tuple(ids)
        place = self.places.pop(name, None)
        if place is None and not self.free:
            place = self.places.pop(next(iter(self.places)))
        shelf = place[0] if place else self.free.pop()
        self.network.copy(row, shelf, length)
        self.places[name] = (shelf, length)

    def take(self, ids: Sequence[int], row: int) -> int:
        """Copy what is kept of `ids` into `row`; returns its length, 0 if there is nothing."""
        shelf, length = self.places.get(tuple(ids), (row, 0))
        if length:
            self.network.copy(shelf, row, length)
        return length


class StepEngine(Engine):
    """The engine with a shelf: a row that pauses is put there, a fork begins from there."""

    def __init__(
        self, network: Network, rows: int, columns: int, sampling: Sampling, shelf: int
    ) -> None:
        network.reserve(rows + shelf, columns)
        super().__init__(network, rows, columns, sampling)
        self.shelf = Shelf(network, rows, shelf)

    def _append(self, row: Any) -> int:
        index = super()._append(row)
        self.fed[index] = self.shelf.take(row.machine.ids, index)
        return index

    def _fork(self, source: int, target: int) -> None:
        if not self.fed[target]:
            super()._fork(source, target)

    def _settle(
        self, index: int, move: Move, thought: bool
    ) -> Generator[tuple[Job, Machine], None, bool]:
        machine = self.rows[index].machine
        if isinstance(machine, Stepper) and machine.paused:
            self.shelf.put(machine.ids, index, int(self.fed[index]))
        return (yield from super()._settle(index, move, thought))


class Steps:
    """Decodes traces of `prompts` step by step, `live` of them at most between two calls.

    `ids` name the problems. Random numbers belong to (seed, problem, number, position), where
    `number` is the caller's for each trace, so that results do not depend on what else runs
    (`sampling.samples` is not looked at).
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: Sequence[Sequence[int]],
        forcing: Forcing,
        sampling: Sampling,
        *,
        ids: Sequence[str],
        live: int,
        **tags: Any,
    ) -> None:
        self.decoder, self.prompts, self.ids = decoder, prompts, list(ids)
        self.sampling, self.forcing = sampling, forcing
        found = decoder._marks(forcing, ())
        plain = {field.name: getattr(found, field.name) for field in fields(Marks)}
        self.marks = StepMarks(**plain, pauses=blank_lines(decoder.tokenizer))
        self.limit = decoder._limit(forcing, sampling)
        self._fields = {**decoder._tags(forcing, sampling, self.limit), **tags}
        self._engines: list[StepEngine] = []  # one for each lane
        if isinstance(decoder, TorchDecoder) and len(prompts):
            columns = max(self.root(problem).longest for problem in range(len(prompts)))
            rows = max(1, min(decoder.rows, live))
            count = min(len(prompts), lanes(decoder.network.device, live))
            for _ in range(count):
                network = decoder.network.twin()  # the decoder may be used between two steps
                shelf = -(-2 * live // count)
                self._engines.append(StepEngine(network, rows, columns, sampling, shelf))

    def root(self, problem: int) -> Stepper:
        """A trace that has not begun."""
        prompt = self.prompts[problem]
        return Stepper(prompt, self.forcing, self.marks, self.decoder.window, self.limit, problem)

    def advance(self, traces: Iterable[tuple[int, int, Stepper]]) -> Iterator[tuple[int, Stepper]]:
        """Let each (problem, number, trace) make one step; yields (number in this call, trace).

        A trace comes back `paused` after a step of thinking, or done with thinking and answer.
        """
        jobs = [
            Job(trace, problem, number, key(self.sampling.seed, self.ids[problem], number))
            for problem, number, trace in traces
        ]
        place = {id(job): index for index, job in enumerate(jobs)}
        if self._engines:
            run = side_by_side(self._engines, deal(jobs, len(self._engines)))
        else:
            run = self.decoder.run(jobs, self.sampling)
        for job, machine in run:
            assert isinstance(machine, Stepper)
            yield place[id(job)], machine

    def generation(
        self, done: Stepper, problem: int, sample: int, sampled: int, **tags: Any
    ) -> Generation:
        """The record's row of a finished trace; `sampled` tokens are on its bill."""
        row = self.decoder._generation(done, self.ids[problem], sample, self._fields)
        return replace(row, sampled=sampled, **tags)


def blank_lines(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids whose text ends in a blank line: where a step ends."""
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    newline = tokenizer.convert_ids_to_tokens(tokenizer.encode("\n", add_special_tokens=False))[-1]
    return frozenset(i for i, piece in enumerate(pieces) if piece and piece.endswith(2 * newline))
