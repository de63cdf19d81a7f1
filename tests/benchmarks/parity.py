"""Fine-tuning and plain TRL to the end: do both arrive at the same loss after five epochs?

Three seeds, float32, the batches of each seed the same on both sides. Within a seed the two differ
by rounding, which grows from step to step; between seeds everything differs. So the spread between
seeds is what the difference within seeds must be held against. This row's rates are losses.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean, stdev

from benchmarks import Row
from benchmarks.sft import STEPS, load, train

EPOCHS, SEEDS = 5, (0, 1, 2)


def measure() -> Iterator[Row]:
    samples = load()
    last: dict[str, list[float]] = {"balanced": [], "plain": []}
    for seed in SEEDS:
        for kind, found in last.items():
            losses, _ = train(kind, "float32", samples, EPOCHS * STEPS, seed)
            found.append(round(mean(losses[-STEPS:]), 6))
    gaps = [ours - theirs for ours, theirs in zip(*last.values(), strict=True)]
    yield Row(
        "sft-parity",
        "TRL SFTTrainer, padded, float32",
        mean(last["balanced"]),
        mean(last["plain"]),
        f"nats per token, mean of the last of {EPOCHS} epochs and of {len(SEEDS)} seeds",
        len(samples),
        "float32",
        detail={
            "ours": last["balanced"],
            "theirs": last["plain"],
            "largest gap within a seed": round(max(map(abs, gaps)), 6),
            "standard deviation between seeds": round(stdev(last["plain"]), 6),
        },
    )
