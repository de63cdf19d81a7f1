"""What a machine wants next, in the words of vLLM: the same for its server and for this process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from s1lib.decoding.draw import uniform_one
from s1lib.decoding.forcing import GO_ON, Machine
from s1lib.decoding.jobs import Job
from s1lib.decoding.sampling import Sampling


def request(
    job: Job, machine: Machine, sampling: Sampling, beyond: Iterable[int] = ()
) -> dict[str, Any]:
    """Sampling parameters for the tokens up to the machine's next decision.

    `beyond` are ids of a padded vocabulary that the tokenizer does not know: never sampled. The
    seed belongs to the place in the sequence, so that a request may be sent again.
    """
    found = {
        "max_tokens": machine.max_tokens,
        "min_tokens": min(machine.min_tokens, machine.max_tokens),
        "stop_token_ids": sorted(machine.marks.stop_token_ids),
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
    }
    if sampling.temperature:
        found["seed"] = int(uniform_one(job.stream, len(machine.ids)) * 2**31)
    if bias := dict.fromkeys(beyond, -100.0):
        found["logit_bias"] = bias
    return found


def take(machine: Machine, tokens: Sequence[int]) -> int:
    """Push what came back, up to the machine's next move; returns how many were taken."""
    for count, token in enumerate(tokens, start=1):
        if machine.push(token) != GO_ON:
            return count
    return len(tokens)
