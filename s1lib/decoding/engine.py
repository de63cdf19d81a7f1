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

import numpy as np
import torch

from s1lib.artifacts import RunError
from s1lib.decoding.draw import draw, uniform
from s1lib.decoding.forcing import DONE, GO_ON, Machine, Move
from s1lib.decoding.hooks import Hooks
from s1lib.decoding.jobs import Done, Job
from s1lib.decoding.network import BLOCK, Chunk, Network
from s1lib.decoding.prefixes import Prefixes, shared
from s1lib.decoding.sampling import GREEDY, Sampling

NEVER = np.iinfo(np.int64).max
PREFILL = 4096  # tokens fed in one step beyond one per row, about
FIRST = 1024  # positions for which a cache has room at first
NONE = Hooks()


@dataclass
class Row:
    job: Job
    machine: Machine
    ids: list[int]
    pending: list[int] = field(default_factory=list)
    waiting: list[Machine] = field(default_factory=list)


class Engine:
    """Runs jobs on a `Network`, `rows` at a time; yields each machine as it is done.

    `longest` is what no sequence exceeds, `kept` the size of the prefix cache. Raises `RunError`
    naming the prompt whose logits are not numbers.
    """

    def __init__(
        self,
        network: Network,
        rows: int,
        longest: int,
        sampling: Sampling = GREEDY,
        hooks: Hooks = NONE,
        kept: int = 0,
    ) -> None:
        self.network, self.size, self.longest = network, rows, longest
        self.sampling, self.hooks = sampling, hooks
        network.reserve(rows + kept, min(longest, FIRST))
        self.prefixes = Prefixes(network, rows, kept) if kept else None
        self.rows: list[Row] = []
        self.length = np.zeros(rows, np.int64)  # position of the last token, which is fed next
        self.fed = np.zeros(rows, np.int64)  # positions that the cache holds
        self.due = np.full(rows, NEVER)  # position at which a machine must be asked
        self.free = np.zeros(rows, np.int64)  # position before which an end is banned
        self.keys = np.zeros(rows, np.uint64)
        self.tokens = np.zeros(rows, np.int64)
        self.seen: torch.Tensor | None = None  # tokens of each row, where repeating costs
        if sampling.repetition_penalty != 1:
            shape = rows, network.vocabulary
            self.seen = torch.zeros(shape, dtype=torch.bool, device=network.device)
        self.sampled = self.steps = 0

    def run(self, jobs: list[Job]) -> Iterator[Done]:
        """Decode all jobs; yields each finished machine, a branch's with the trunk's job."""
        self.begin(jobs)
        while self.busy:
            yield from self.advance()

    def begin(self, jobs: list[Job]) -> None:
        """Take jobs on; `advance` decodes one token of each that has found a row."""
        self.queue = deque(jobs)
        if not jobs:
            return
        marks, vocabulary = jobs[0].machine.marks, self.network.vocabulary
        self.stops = np.zeros(vocabulary, bool)
        self.stops[[token for token in marks.stop_token_ids if token < vocabulary]] = True
        inside = [token for token in sorted(marks.banned_token_ids) if token < vocabulary]
        self.banned = torch.tensor(inside, dtype=torch.int64, device=self.network.device)

    @property
    def busy(self) -> bool:
        return bool(self.queue or self.rows)

    def advance(self) -> Iterator[Done]:
        """One token for each row, after new ones were let in; yields what is done."""
        yield from self._admit(self.queue)
        if self.rows:
            yield from self._step()

    # --- rows come and go -----------------------------------------------------------------------

    def _admit(self, queue: deque[Job]) -> Iterator[Done]:
        fresh = 0
        while len(self.rows) < self.size and fresh < PREFILL:
            if queue:
                twin = self._twin(queue[0].problem)
                if twin is not None and not self.fed[twin]:
                    return  # its prompt is fed in this step and copied in the next
                job = queue.popleft()
                move = job.machine.start()
                index = self._append(Row(job, job.machine, job.machine.ids))
                if self.prefixes:
                    self.fed[index] = self.prefixes.take(job.machine.ids, index)
                if twin is not None and not self.fed[index]:
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
        same = shared(self.rows[source].ids, self.rows[target].ids)
        self.fed[target] = min(same, self.fed[source])
        self.network.copy(source, target, int(self.fed[target]))

    def _expect(self, index: int) -> None:
        """Note what the row feeds next and when its machine wants to be asked."""
        row = self.rows[index]
        machine = row.machine
        row.ids, row.pending = machine.ids, []
        self.length[index] = len(machine.ids) - 1
        self.fed[index] = min(self.fed[index], self.length[index])
        self.tokens[index] = machine.ids[-1]
        self.due[index] = self.length[index] + machine.max_tokens
        self.free[index] = self.length[index] + machine.min_tokens
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

    def _step(self) -> Iterator[Done]:
        live = len(self.rows)
        self._make_room(int(self.length[:live].max()) + 1)
        tokens = self._sample(live)
        self.steps += 1
        self.sampled += live
        self.tokens[:live] = tokens
        self.length[:live] += 1
        for row, token in zip(self.rows, tokens.tolist(), strict=True):
            row.pending.append(token)
        events = self.stops[tokens] | (self.length[:live] >= self.due[:live])
        ended = self._ended() if self.hooks.stop else []
        events[ended] = True
        if events.any():
            yield from self._ask(np.flatnonzero(events), set(ended))

    @torch.inference_mode()
    def _sample(self, live: int) -> np.ndarray:
        """The next token of each row, int64 of shape (live,)."""
        logits, chance = self._forward(live), None
        # 1. What the caller's processors and the machines allow
        if self.hooks.process:
            parts = zip(self.rows, logits.split(1), strict=True)
            logits = torch.cat([self.hooks.process(*_new(row), part) for row, part in parts])
        held = np.flatnonzero(self.free[:live] > self.length[:live])
        if len(held):
            at = torch.from_numpy(held).to(logits.device)
            logits[at[:, None], self.banned] = float("-inf")
        # 2. The choice, by random numbers that belong to one place each
        if self.sampling.temperature:
            chance = uniform(self.keys[:live], self.length[:live] + 1)
        seen = None if self.seen is None else self.seen[:live]
        chosen, check = draw(logits, self.sampling, chance, seen)
        if self.seen is not None:
            self.seen[torch.arange(live), chosen] = True
        # 3. No numbers, no token
        numbers = check.float().cpu().numpy()  # NumPy knows no bfloat16
        if np.isnan(numbers).any():
            self._not_a_number(int(np.flatnonzero(np.isnan(numbers))[0]))
        return chosen.cpu().numpy()

    def _forward(self, live: int) -> torch.Tensor:
        # 1. What the cache lacks of each row before its last token
        chunks = []
        for index in np.flatnonzero(self.fed[:live] < self.length[:live]).tolist():
            start, stop = int(self.fed[index]), int(self.length[index])
            chunks.append(Chunk(index, start, self.rows[index].ids[start:stop]))
        # 2. The model
        self.fed[:live] = self.length[:live] + 1
        return self.network.step(self.tokens[:live], self.length[:live], chunks)

    def _make_room(self, needed: int) -> None:
        if needed > self.network.columns:
            wanted = max(needed, self.network.columns * 3 // 2)
            self.network.reserve(self.size, min(self.longest, -(-wanted // BLOCK) * BLOCK))

    def _ended(self) -> list[int]:
        """Rows that the caller's own criteria end here."""
        stop = self.hooks.stop
        return [i for i, row in enumerate(self.rows) if stop and stop(*_new(row))]

    def _ask(self, indices: np.ndarray, ended: set[int]) -> Iterator[Done]:
        gone = []
        for index in indices.tolist():
            row = self.rows[index]
            row.machine.extend(row.pending[:-1])
            thinking = row.machine.phase == "thinking"
            take = row.machine.halt if index in ended else row.machine.push
            move = take(row.pending[-1])
            thought = thinking and row.machine.phase != "thinking"
            self.fed[index] = min(self.fed[index], len(row.machine.ids) - len(move.force))
            alive = yield from self._settle(index, move, thought)
            if not alive:
                gone.append(index)
        for index in reversed(gone):
            self._leave(index)

    def _settle(self, index: int, move: Move, thought: bool) -> Generator[Done, None, bool]:
        """Yield what is done; turn to what is waiting. False if the row has nothing left."""
        row = self.rows[index]
        if self.prefixes and row.machine.paused:
            self.prefixes.put(row.machine.ids, index, int(self.fed[index]))
        if thought and row.job.branches:
            leaves = row.job.branches(row.machine)
            row.waiting += sorted(leaves, key=lambda leaf: leaf.thinking_stop)
            move = DONE
        elif move.done:
            yield row.job, row.machine
        while move.done and row.waiting:
            row.machine = row.waiting.pop()
            self.fed[index] = min(self.fed[index], shared(row.ids, row.machine.ids))
            move = DONE if row.machine.phase == "done" else GO_ON
            if move.done:
                yield row.job, row.machine
        if not move.done:
            self._expect(index)
        return not move.done

    def _not_a_number(self, index: int) -> None:
        row = self.rows[index]
        self.network.clear()  # a masked position that is not a number still spoils a product
        raise RunError(
            f"the model's logits for prompt {row.job.problem} are not numbers after "
            f"{len(row.machine.ids) + len(row.pending)} tokens: check its weights and dtype"
        )


def _new(row: Row) -> tuple[int, list[int]]:
    """A row's problem, and its ids after the prompt."""
    return row.job.problem, row.machine.ids[row.machine.prompt_stop :] + row.pending
