"""The torch backend: a Hugging Face causal language model in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import psutil
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from s1lib.artifacts import RunError
from s1lib.decoding.decoder import Decoder, Prompt
from s1lib.decoding.engine import NONE, Engine
from s1lib.decoding.forcing import Forcing, Machine
from s1lib.decoding.hooks import Hooks
from s1lib.decoding.jobs import Done, Job, end_ids
from s1lib.decoding.network import Network
from s1lib.decoding.paths import network_for
from s1lib.decoding.sampling import GREEDY, Sampling
from s1lib.decoding.workers import deal, side_by_side, workers

SHARE = 0.9  # of the free memory, for the cache; the rest is for what a step needs besides

log = logging.getLogger(__name__)


class TorchDecoder(Decoder):
    """`model`, on its device(s) and in its dtype, is only read; any causal LM (`paths`) will do.

    `hooks` are what a caller of `transformers.generate` brings along, `settings` those of
    `Decoder`; fewer than `rows` run where memory is short (said in a line).
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str = "",
        hooks: Hooks = NONE,
        **settings: Any,
    ) -> None:
        super().__init__(
            name or str(model.name_or_path),
            tokenizer,
            ends=end_ids(model.generation_config),
            config={"dtype": str(model.dtype).removeprefix("torch.")},
            **settings,
        )
        self.hooks = hooks
        known = model.config.get_text_config().vocab_size
        self.network = network_for(model, min(len(tokenizer), known), self.window)

    def close(self) -> None:
        """Drop the cache; the weights stay."""
        self.network.clear()
        if self.network.device.type == "cuda":
            torch.cuda.empty_cache()

    def run(self, jobs: list[Job], sampling: Sampling) -> Iterator[Done]:
        if not jobs:
            return
        longest = max(job.machine.longest for job in jobs)
        parts = [part for part in deal(jobs, self._workers(len(jobs))) if part]
        most = fitting(self.network, longest, self.rows * len(parts)) // len(parts)
        engines: list[Engine] = []
        for part in parts:
            needed = sum(1 if job.branches is None else len(job.branches) for job in part)
            network = self.network.twin() if engines else self.network
            rows = max(1, min(most, self.rows, needed))
            engines.append(Engine(network, rows, longest, sampling, self.hooks))
        for done in side_by_side(engines, parts):
            self.paid = sum(engine.sampled for engine in engines)
            yield done

    def stepwise(
        self, roots: Iterable[Machine], live: int, sampling: Sampling
    ) -> Callable[[list[Job]], Iterator[Done]]:
        """Engines of its own, since the decoder may be used between two steps."""
        lengths = [root.longest for root in roots]
        if not lengths:
            return lambda jobs: iter(())
        count = min(len(lengths), self._workers(live))
        rows, kept = max(1, min(self.rows, live)), -(-2 * live // count)
        fitting(self.network, max(lengths), count * (rows + kept))
        engines = [
            Engine(self.network.twin(), rows, max(lengths), sampling, kept=kept)
            for _ in range(count)
        ]
        return lambda jobs: side_by_side(engines, deal(jobs, count))

    def stream(
        self, prompt: Prompt, forcing: Forcing | None = None, sampling: Sampling = GREEDY
    ) -> Iterator[tuple[int, bool]]:
        exam = self.exam([prompt])
        (job,) = self.jobs(exam, self.bounded(forcing, exam), replace(sampling, samples=1))
        machine = job.machine
        engine = Engine(self.network.twin(), 1, machine.longest, sampling, self.hooks)
        shown = machine.prompt_stop
        engine.begin([job])
        while engine.busy:
            for _ in engine.advance():
                pass
            row = engine.rows[0] if engine.rows else None
            ids = machine.ids + (row.pending if row else [])
            # the last few may turn out to be the end of thinking, and be taken off again
            held = 0
            if machine.phase == "thinking":  # the harness cuts its surplus at the end
                harness = machine.forcing.protocol == "harness"
                held = len(ids) if harness else machine.longest_stop - 1
            forced = set(machine.forced)
            for place in range(shown, len(ids) - held):
                yield ids[place], place in forced
            shown = max(shown, len(ids) - held)

    def _workers(self, jobs: int) -> int:
        return workers(self.network.device, jobs) if self.network.parallel else 1


def fitting(network: Network, longest: int, rows: int, share: float = SHARE) -> int:
    """How many of `rows` sequences of `longest` tokens have room side by side.

    `share` is what they may have of the free memory.
    Raises `RunError` if not even one has.
    """
    cost = longest * network.position_bytes
    free = share * (_free(network.device) + network.rows * network.columns * network.position_bytes)
    if cost <= 0 or rows * cost <= free:
        return rows
    each, left = f"{cost / 2**30:,.1f} GiB", f"{free / 2**30:,.1f} GiB"
    if cost > free:
        raise RunError(
            f"a sequence of {longest:,} tokens needs {each} of cache, and {left} are free: "
            "lower window, budget or answer_tokens"
        )
    most = int(free // cost)
    log.warning("%d sequences side by side, not %d: each may need %s of %s", most, rows, each, left)
    return most


def _free(device: torch.device) -> int:
    """Bytes free on a device."""
    if device.type != "cuda":
        return int(psutil.virtual_memory().available)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused
