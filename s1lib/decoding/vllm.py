"""vLLM in this process: its scheduler steps, our state machines decide what follows.

Needs the `cluster` extra. Budget forcing needs no fork of vLLM and no logits processor: a
sequence whose machine forces ids goes back into the queue with them appended, and prefix caching
makes that cost the forced ids alone. No sequence waits for another.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from transformers import PreTrainedTokenizerBase

from s1lib.artifacts import RunError
from s1lib.chat import S1, Delimiters, model_path
from s1lib.decoding.decoder import Decoder
from s1lib.decoding.draw import uniform_one
from s1lib.decoding.forcing import GO_ON, Machine
from s1lib.decoding.jobs import Job, one_id_stops
from s1lib.decoding.sampling import Sampling


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
        dtype: str = "bfloat16",
        delimiters: Delimiters = S1,
        **options: Any,
    ) -> None:
        try:
            from vllm import LLM
        except ImportError:
            raise RunError("vLLM is not installed: pip install 's1lib[cluster]'") from None
        super().__init__(name, tokenizer, window, answer_tokens, (), delimiters, {"dtype": dtype})
        llm = LLM(
            model_path(name),
            dtype=dtype,
            max_model_len=window,
            max_num_seqs=rows,
            enable_prefix_caching=True,
            **options,
        )
        self._engine, self._asked = llm.llm_engine, 0
        size = llm.llm_engine.model_config.get_vocab_size()
        self._bias = dict.fromkeys(range(len(tokenizer), size), -100.0)

    def run(self, jobs: list[Job], sampling: Sampling) -> Iterator[tuple[Job, Machine]]:
        running: dict[str, tuple[Job, Machine]] = {}
        try:
            yield from self._follow(running, jobs, sampling)
        finally:  # whoever stops reading leaves nothing in the engine
            if running:
                self._engine.abort_request(list(running))

    def _follow(
        self, running: dict[str, tuple[Job, Machine]], jobs: list[Job], sampling: Sampling
    ) -> Iterator[tuple[Job, Machine]]:
        for job in jobs:
            one_id_stops(job.machine)
            if job.machine.start().done:
                yield job, job.machine
            else:
                self._ask(running, job, job.machine, sampling)
        while running:
            for output in self._engine.step():
                if not output.finished:
                    continue
                job, machine = running.pop(output.request_id)
                for token in output.outputs[0].token_ids:
                    self.paid += 1
                    if machine.push(token) != GO_ON:
                        break
                following = [machine]
                if job.branches and machine is job.machine and machine.phase != "thinking":
                    following = job.branches(machine)
                for one in following:
                    if one.phase == "done":
                        yield job, one
                    else:
                        self._ask(running, job, one, sampling)

    def _ask(
        self,
        running: dict[str, tuple[Job, Machine]],
        job: Job,
        machine: Machine,
        sampling: Sampling,
    ) -> None:
        from vllm import SamplingParams

        seed = int(uniform_one(job.stream, len(machine.ids)) * 2**31)
        params = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            seed=seed if sampling.temperature else None,
            max_tokens=machine.patience,
            min_tokens=min(machine.ban, machine.patience),
            stop_token_ids=sorted(machine.marks.watched),
            logit_bias=self._bias or None,
            detokenize=False,
        )
        self._asked += 1
        name = str(self._asked)
        running[name] = (job, machine)
        self._engine.add_request(name, {"prompt_token_ids": list(machine.ids)}, params)
