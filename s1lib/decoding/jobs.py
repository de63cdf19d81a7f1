"""What every backend runs: a job is a state machine, a place in the batch, and its branches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from s1lib.artifacts import RunError
from s1lib.decoding.forcing import Machine
from s1lib.decoding.sweep import Branches


@dataclass
class Job:
    """One sequence to decode: sample number `sample` of prompt number `problem`.

    `stream` keys its random numbers (see `s1lib.decoding.draw`). `branches`, called once
    thinking has ended, returns machines in the answer phase that continue prefixes of this
    job's sequence; then those are decoded in its place.
    """

    machine: Machine
    problem: int
    sample: int = 0
    stream: int = 0
    branches: Branches | None = None


Done = tuple[Job, Machine]  # a finished machine, of a branch with the trunk's job


def one_id_stops(machine: Machine) -> None:
    """Raise `RunError` if the machine wants an end of thinking banned that is several ids long.

    vLLM bans the ids that it stops at, which are the last of each end; what has to be banned is
    the first.
    """
    forcing = machine.forcing
    banned = forcing and (forcing.waits or forcing.minimum)
    if banned and any(len(stop) > 1 for stop in machine.marks.stops):
        raise RunError(
            "the end of thinking is several tokens long, and vLLM can only ban single ones: use "
            "the torch backend, or delimiters that begin with a special token"
        )


def end_ids(config: Any) -> list[int]:
    """The ends of sequence that a model's generation config names."""
    ends = getattr(config, "eos_token_id", None)
    return [ends] if isinstance(ends, int) else list(ends or [])
