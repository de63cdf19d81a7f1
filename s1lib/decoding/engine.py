"""The torch backend's loop: rows side by side in different phases, never waiting for each other.

A job that ends makes room at once. Forced ids are fed as one chunk together with everybody's
next token. A state machine is asked only when it has something to say: when its row samples an
id that it watches, or when a count of its runs out; between those moments the loop is a forward
pass, an argmax and a comparison.

Rows are kept roughly in the order of their lengths, longest first, so that attention can read
each group of neighbours no further than it must. When a row ends, the longest row of each later
group moves up by one group, and the newcomer begins where the short rows are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from s1lib.artifacts import RunError
from s1lib.chat import S1, Delimiters
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.draw import draw, uniform
from s1lib.decoding.forcing import DONE, GO_ON, Machine, Marks, Move
from s1lib.decoding.jobs import Job
from s1lib.decoding.lanes import deal, lanes, side_by_side
from s1lib.decoding.network import Chunk, Network
from s1lib.decoding.sampling import Sampling

NEVER = np.iinfo(np.int64).max
GROUP = 16  # rows that attention reads to the same length; measured on two cores


@dataclass
class Row:
    job: Job
    machine: Machine
    ids: list[int]
    pending: list[int] = field(default_factory=list)
    waiting: list[Machine] = field(default_factory=list)


class Engine:
    """Runs jobs on a `Network`, `rows` at a time; yields each machine as it is done.

    `prefill` bounds the tokens fed in one step beyond one per row. Raises `RunError` naming the
    prompt whose logits are not numbers.
    """

    def __init__(
        self, network: Network, rows: int, columns: int, sampling: Sampling, prefill: int = 4096
    ) -> None:
        self.network, self.size, self.prefill = network, rows, prefill
        self.sampling = sampling
        network.reserve(rows, columns)
        self.rows: list[Row] = []
        self.length = np.zeros(rows, np.int64)  # position of the last token, which is fed next
        self.fed = np.zeros(rows, np.int64)  # positions that the cache holds
        self.due = np.full(rows, NEVER)  # position at which a machine must be asked
        self.free = np.zeros(rows, np.int64)  # position before which an end is banned
        self.keys = np.zeros(rows, np.uint64)
        self.tokens = np.zeros(rows, np.int64)
        self.seen: torch.Tensor | None = None  # tokens of each row, where repeating costs
        if sampling.repetition_penalty != 1:
            shape = rows, network.head.shape[1]
            self.seen = torch.zeros(shape, dtype=torch.bool, device=network.device)
        self.sampled = self.steps = 0

    def run(self, jobs: list[Job]) -> Iterator[tuple[Job, Machine]]:
        queue = deque(jobs)
        if jobs:
            self._watch(jobs[0].machine.marks)
        while queue or self.rows:
            yield from self._admit(queue)
            if self.rows:
                yield from self._step()

    def _watch(self, marks: Marks) -> None:
        vocabulary = self.network.head.shape[1]
        self.watched = np.zeros(vocabulary, bool)
        self.watched[[token for token in marks.watched if token < vocabulary]] = True
        inside = [token for token in sorted(marks.banned) if token < vocabulary]
        self.banned = torch.tensor(inside, dtype=torch.int64, device=self.network.device)

    # --- rows come and go -----------------------------------------------------------------------

    def _admit(self, queue: deque[Job]) -> Iterator[tuple[Job, Machine]]:
        fresh = 0
        while len(self.rows) < self.size and fresh < self.prefill:
            if queue:
                twin = self._twin(queue[0].problem)
                if twin is not None and not self.fed[twin]:
                    return  # its prompt is fed in this step and copied in the next
                job = queue.popleft()
                move = job.machine.start()
                index = self._append(Row(job, job.machine, job.machine.ids))
                if twin is not None:
                    self._fork(twin, index)
                alive = yield from self._settle(index, move, job.machine.phase != "thinking")
                if not alive:
                    self.rows.pop()
                    continue
            else:
                owner = self._owner()
                if owner is None:
                    return
                machine = self.rows[owner].waiting.pop(0)
                index = self._append(Row(self.rows[owner].job, machine, machine.ids))
                self._fork(owner, index)
                self._expect(index)
            fresh += int(self.length[index] - self.fed[index])

    def _twin(self, problem: int) -> int | None:
        """A row with the same prompt, the fed ones first."""
        same = [i for i, row in enumerate(self.rows) if row.job.problem == problem]
        return max(same, key=lambda i: int(self.fed[i]), default=None)

    def _owner(self) -> int | None:
        """A row with answers waiting, the one with most of them first."""
        most = max(range(len(self.rows)), key=lambda i: len(self.rows[i].waiting), default=None)
        return most if most is not None and self.rows[most].waiting else None

    def _append(self, row: Row) -> int:
        self.rows.append(row)
        index = len(self.rows) - 1
        self.keys[index], self.fed[index] = row.job.stream, 0
        return index

    def _fork(self, source: int, target: int) -> None:
        shared = _shared(self.rows[source].ids, self.rows[target].ids)
        self.fed[target] = min(shared, self.fed[source])
        self.network.copy(source, target, int(self.fed[target]))

    def _expect(self, index: int) -> None:
        """Note what the row feeds next and when its machine wants to be asked."""
        row = self.rows[index]
        machine = row.machine
        row.ids, row.pending = machine.ids, []
        self.length[index] = len(machine.ids) - 1
        self.fed[index] = min(self.fed[index], self.length[index])
        self.tokens[index] = machine.ids[-1]
        self.due[index] = self.length[index] + machine.patience
        self.free[index] = self.length[index] + machine.ban
        if self.seen is not None:
            self.seen[index] = False
            self.seen[index, machine.ids] = True

    def _leave(self, index: int) -> None:
        """Close the gap: the longest row of each later group moves up into it."""
        group = self.network.group
        for start in range((index // group + 1) * group, len(self.rows), group):
            stop = min(start + group, len(self.rows))
            longest = start + int(self.length[start:stop].argmax())
            self._move(longest, index)
            index = longest
        last = len(self.rows) - 1
        if index != last:
            self._move(last, index)
        self.rows.pop()

    def _move(self, source: int, target: int) -> None:
        self.network.copy(source, target, int(self.fed[source]))
        self.rows[target] = self.rows[source]
        for state in (self.length, self.fed, self.due, self.free, self.keys, self.tokens):
            state[target] = state[source]
        if self.seen is not None:
            self.seen[target] = self.seen[source]

    # --- one token for each row -----------------------------------------------------------------

    def _step(self) -> Iterator[tuple[Job, Machine]]:
        live = len(self.rows)
        tokens = self._sample(live)
        self.steps += 1
        self.sampled += live
        self.tokens[:live] = tokens
        self.length[:live] += 1
        for row, token in zip(self.rows, tokens.tolist(), strict=True):
            row.pending.append(token)
        events = self.watched[tokens] | (self.length[:live] >= self.due[:live])
        if events.any():
            yield from self._ask(np.flatnonzero(events))

    @torch.inference_mode()
    def _sample(self, live: int) -> np.ndarray:
        """The next token of each row, int64 of shape (live,)."""
        logits, chance = self._forward(live), None
        held = np.flatnonzero(self.free[:live] > self.length[:live])
        if len(held):
            at = torch.from_numpy(held).to(logits.device)
            logits[at[:, None], self.banned] = float("-inf")
        if self.sampling.temperature:
            chance = uniform(self.keys[:live], self.length[:live] + 1)
        seen = None if self.seen is None else self.seen[:live]
        chosen, check = draw(logits, self.sampling, chance, seen)
        if self.seen is not None:
            self.seen[torch.arange(live), chosen] = True
        numbers = check.float().cpu().numpy()  # NumPy knows no bfloat16
        if np.isnan(numbers).any():
            self._not_a_number(int(np.flatnonzero(np.isnan(numbers))[0]))
        return chosen.cpu().numpy()

    def _forward(self, live: int) -> torch.Tensor:
        tokens, places = [self.tokens[:live]], [self.length[:live]]
        rows, chunks, offset = [np.arange(live)], [], live
        for index in np.flatnonzero(self.fed[:live] < self.length[:live]).tolist():
            start, stop = int(self.fed[index]), int(self.length[index])
            tokens.append(np.asarray(self.rows[index].ids[start:stop]))
            places.append(np.arange(start, stop))
            rows.append(np.full(stop - start, index))
            chunks.append(Chunk(index, start, stop - start, offset))
            offset += stop - start
        self.fed[:live] = self.length[:live] + 1
        flat = torch.from_numpy(np.stack([np.concatenate(x) for x in (tokens, places, rows)]))
        flat = flat.to(self.network.device, non_blocking=True)
        return self.network.forward(
            flat[0], flat[1], flat[2], live, chunks, self.length[:live].tolist()
        )

    def _ask(self, indices: np.ndarray) -> Iterator[tuple[Job, Machine]]:
        gone = []
        for index in indices.tolist():
            row = self.rows[index]
            row.machine.extend(row.pending[:-1])
            thinking = row.machine.phase == "thinking"
            move = row.machine.push(row.pending[-1])
            thought = thinking and row.machine.phase != "thinking"
            self.fed[index] = min(self.fed[index], len(row.machine.ids) - len(move.force))
            alive = yield from self._settle(index, move, thought)
            if not alive:
                gone.append(index)
        for index in reversed(gone):
            self._leave(index)

    def _settle(
        self, index: int, move: Move, thought: bool
    ) -> Generator[tuple[Job, Machine], None, bool]:
        """Yield what is done; turn to what is waiting. False if the row has nothing left."""
        row = self.rows[index]
        if thought and row.job.branches:
            leaves = row.job.branches(row.machine)
            row.waiting = sorted(leaves, key=lambda leaf: leaf.thinking_stop)
            move = DONE
        elif move.done:
            yield row.job, row.machine
        while move.done and row.waiting:
            row.machine = row.waiting.pop()
            self.fed[index] = min(self.fed[index], _shared(row.ids, row.machine.ids))
            move = DONE if row.machine.phase == "done" else GO_ON
            if move.done:
                yield row.job, row.machine
        if not move.done:
            self._expect(index)
        return not move.done

    def _not_a_number(self, index: int) -> None:
        row = self.rows[index]
        self.network.cache = []  # a masked position that is not a number still spoils a product
        raise RunError(
            f"the model's logits for prompt {row.job.problem} are not numbers after "
            f"{len(row.machine.ids) + len(row.pending)} tokens: check its weights and dtype"
        )


def _shared(first: list[int], second: list[int]) -> int:
    """Length of the common prefix."""
    if first[: len(second)] == second:
        return len(second)
    pairs = zip(first, second, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


class TorchDecoder(Decoder):
    """A Hugging Face causal LM in this process, on CPU or CUDA.

    `rows` sequences are decoded side by side, on a CPU in each of two lanes (`lanes.py`). `model`
    must be on its device, in its dtype, and is only read.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        answer_tokens: int,
        rows: int = 64,
        name: str = "",
        delimiters: Delimiters = S1,
    ) -> None:
        ends: Any = getattr(model.generation_config, "eos_token_id", None)
        super().__init__(
            name or str(model.name_or_path),
            tokenizer,
            window,
            answer_tokens,
            [ends] if isinstance(ends, int) else ends or [],
            delimiters,
            {"dtype": str(model.dtype).removeprefix("torch.")},
        )
        self.rows = rows
        self.network = Network(model, len(tokenizer), GROUP if model.device.type == "cpu" else rows)

    def run(self, jobs: list[Job], sampling: Sampling) -> Iterator[tuple[Job, Machine]]:
        if not jobs:
            return
        columns = max(job.machine.longest for job in jobs)
        parts = [part for part in deal(jobs, lanes(self.network.device, len(jobs))) if part]
        engines: list[Engine] = []
        for part in parts:
            most = sum(1 if job.branches is None else len(job.branches) for job in part)
            network = self.network.twin() if engines else self.network
            engines.append(Engine(network, max(1, min(self.rows, most)), columns, sampling))
        for done in side_by_side(engines, parts):
            self.paid = sum(engine.sampled for engine in engines)
            yield done
