"""What every backend runs: a job is a state machine, a place in the batch, and its branches."""

from __future__ import annotations

from dataclasses import dataclass

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
