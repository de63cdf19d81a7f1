"""Fine-tuning beside plain TRL: padded batches of 16, float32, no compilation.

Both train `world:base` on the laptop run's s1K with the same batches and token-weighted loss (TRL's
only one), so that the loss curves must agree too.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import SFTTrainer

from benchmarks import Row
from s1lib.artifacts import RunError
from s1lib.chat import load_tokenizer, model_path
from s1lib.profile import Profile, load_profile
from s1lib.training.balance import Shuffle
from s1lib.training.data import load_samples
from s1lib.training.recipe import layout
from s1lib.training.trainer import make_trainer, sft_config

STEPS = 63  # one epoch of 1,000 samples
IDLE = 3  # steps before the clock starts
EARLY = 8  # steps in which float32 losses must agree; later, rounding errors have grown


class Clock(TrainerCallback):
    """The time at the end of each step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.times.append(time.perf_counter())


class PlainTrainer(SFTTrainer):
    """TRL as it comes, but for the order of the samples."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Shuffle:
        return Shuffle(len(self.train_dataset), self.args.seed)  # type: ignore[arg-type]


def measure() -> Iterator[Row]:
    samples = load()
    losses, seconds = train("plain", "float32", samples)
    for dtype in ("float32", "bfloat16"):
        ours, taken = train("balanced", dtype, samples)
        check_same(ours, losses, dtype)
        tokens = (STEPS - IDLE) * 16 * mean_length(samples)
        yield Row(
            "sft-vs-trl",
            "TRL SFTTrainer, padded, float32",
            tokens / taken,
            tokens / seconds,
            f"tokens/s, {torch.get_num_threads()} threads",
            len(samples),
            dtype,
        )


def load() -> Dataset:
    """The laptop run's s1K."""
    return load_samples(Path("results") / "laptop" / "s1K.parquet", load_tokenizer("world:base"))


def check_same(ours: list[float], theirs: list[float], dtype: str) -> None:
    """Raise `RunError` unless both curves (nats per token, per step) are of the same training."""
    early = max(abs(a - b) for a, b in zip(ours[:EARLY], theirs, strict=False))
    mean = abs(sum(ours) - sum(theirs)) / len(theirs)
    if mean > 0.03 or (dtype == "float32" and early > 1e-4):
        raise RunError(
            f"losses in {dtype} differ by {mean:.4f} in the mean and {early:.6f} in the first "
            f"{EARLY} steps: this is not the same training"
        )


def mean_length(samples: Dataset) -> float:
    return sum(map(len, samples["input_ids"])) / len(samples)


def train(
    kind: str, dtype: str, samples: Dataset, steps: int = STEPS, seed: int = 0
) -> tuple[list[float], float]:
    """Loss of each of `steps` steps, and the seconds that all but the first ones took."""
    book = load_profile("laptop", seed=seed, training__dtype=dtype, training__loss="token")
    clock = Clock()
    torch.set_flush_denormal(kind == "balanced")  # as `sft.train` does and TRL does not
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(kind, book, samples, Path(folder))
        trainer.args.max_steps, trainer.args.save_strategy = steps, "no"
        trainer.add_callback(clock)
        trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return losses, clock.times[-1] - clock.times[IDLE - 1]


def _trainer(kind: str, book: Profile, samples: Dataset, folder: Path) -> SFTTrainer:
    plan, tokenizer = layout(book, len(samples)), load_tokenizer("world:base")
    model = model_path("world:base")
    if kind == "balanced":
        trainer: SFTTrainer = make_trainer(book, plan, samples, tokenizer, model, folder)
    else:
        config = sft_config(book, plan, folder)
        config.per_device_train_batch_size, config.gradient_accumulation_steps = 16, 1
        config.model_init_kwargs = {"dtype": "float32"}
        trainer = PlainTrainer(
            model=model,
            args=config,
            train_dataset=samples.remove_columns("id"),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
    return trainer
