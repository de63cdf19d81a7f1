"""vLLM in this process: its scheduler steps, our state machines decide what follows.

Needs the `cluster` extra. Budget forcing needs no fork of vLLM and no logits processor: a
sequence whose machine forces ids goes back into the queue with them appended, and prefix caching
makes that cost the forced ids alone. No sequence waits for another.

An engine takes nearly all memory of a GPU, and a chapter compares several models. So engines take
turns: one starts when its decoder is first used, and ends when another decoder or a training wants
the GPU (`s1lib.decoding.decoder.give_back`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from s1lib.artifacts import RunError
from s1lib.chat import Delimiters, model_path
from s1lib.decoding.decoder import Decoder, give_back
from s1lib.decoding.forcing import Machine
from s1lib.decoding.jobs import Done, Job, one_id_stops
from s1lib.decoding.requests import request, take
from s1lib.decoding.sampling import Sampling

_SHARE = 0.9  # of the free memory; vLLM's own default, of all


class VllmDecoder(Decoder):
    """A model loaded into vLLM. `options` go to `vllm.LLM`, such as `tensor_parallel_size`."""

    def __init__(
        self,
        name: str,
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        answer_tokens: int,
        rows: int = 64,
        dtype: str = "auto",
        ends: Sequence[int] = (),
        delimiters: Delimiters | None = None,
        **options: Any,
    ) -> None:
        if find_spec("vllm") is None:
            raise RunError("vLLM is not installed: pip install 's1lib[cluster]'")
        config = {"dtype": dtype}
        super().__init__(name, tokenizer, window, answer_tokens, rows, ends, delimiters, config)
        self.options = {
            "model": model_path(name),
            "dtype": dtype,
            "max_model_len": window,
            "max_num_seqs": rows,
            "enable_prefix_caching": True,
            **options,
        }
        self._engine: Any = None
        self._asked = 0

    def close(self) -> None:
        """End the engine, and with it the process that holds the GPU."""
        if self._engine is not None:
            self._engine.engine_core.shutdown()
            self._engine = None
            _empty()

    def _start(self) -> None:
        """Start the engine in what is free once all others have given back what they have."""
        from vllm import LLM

        give_back()
        _empty()
        options: dict[str, Any] = {}
        if torch.cuda.is_initialized():  # this process holds some of it, a reward model perhaps
            free, total = torch.cuda.mem_get_info()
            options["gpu_memory_utilization"] = round(_SHARE * free / total, 3)
        if not torch.cuda.is_available():  # a CPU build: dies of a seed whose prompt comes in parts
            options["enable_chunked_prefill"] = False
        self._engine = LLM(**{**options, **self.options}).llm_engine
        size = self._engine.model_config.get_vocab_size()
        self._beyond = range(len(self.tokenizer), size)

    def run(self, jobs: list[Job], sampling: Sampling) -> Iterator[Done]:
        if self._engine is None:
            self._start()
        running: dict[str, tuple[Job, Machine, bool]] = {}
        for job in jobs:
            one_id_stops(job.machine)
            job.machine.start()
        coming = [(job, job.machine, True) for job in jobs]  # and whether it was thinking
        try:
            while coming or running:
                for job, machine, thinking in coming:
                    following = [machine]
                    if job.branches and thinking and machine.phase != "thinking":
                        following = job.branches(machine)
                    for one in following:
                        if one.phase == "done":
                            yield job, one
                        else:
                            asked = self._ask(job, one, sampling)
                            running[asked] = job, one, one.phase == "thinking"
                coming = []
                for output in self._engine.step() if running else ():
                    if output.finished:
                        job, machine, thinking = running.pop(output.request_id)
                        self.paid += take(machine, output.outputs[0].token_ids)
                        coming.append((job, machine, thinking))
        finally:  # whoever stops reading leaves nothing in the engine
            if running and self._engine is not None:
                self._engine.abort_request(list(running))

    def _ask(self, job: Job, machine: Machine, sampling: Sampling) -> str:
        """Queue what a machine wants next; returns the name of the request."""
        from vllm import SamplingParams

        wanted = request(job, machine, sampling, self._beyond)
        params = SamplingParams(**wanted, detokenize=False)
        self._asked += 1
        name = str(self._asked)
        self._engine.add_request(name, {"prompt_token_ids": list(machine.ids)}, params)
        return name


def _empty() -> None:
    """Leave nothing on the GPU that nobody uses any more."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
