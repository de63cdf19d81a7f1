"""The paper's recipe (appendix D), what follows from it, and where a profile departs from it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from s1lib.artifacts import RunError, digest
from s1lib.profile import Profile

# What a setting is in appendix D (where the paper is silent, in train/sft_multinode.sh of the
# reference), and what it means.
PAPER: dict[str, tuple[object, str]] = {
    "epochs": (5, "passes over the data"),
    "batch": (16, "sequences per optimizer step, all processes together"),
    "learning_rate": (1e-5, "peak; cosine decay to 0"),
    "warmup": (0.05, "share of the steps, rounded up"),
    "betas": ((0.9, 0.95), "AdamW, epsilon 1e-8, gradients clipped at norm 1.0"),
    "weight_decay": (1e-4, "on matrices, not on norms and biases"),
    "max_length": (32768, "tokens; longer samples are an error, so nothing is cut"),
    "dtype": ("bfloat16", "of matrix products; weights and optimizer are float32"),
    "loss": ("sequence", "mean over the tokens of a sequence, then over sequences"),
    "overlong": ("error", "what happens to a sample beyond max_length"),
    "lora": (0, "rank of the adapters beside all matrices of the layers; 0 trains all weights"),
    "checkpointing": (True, "recompute activations in the backward pass"),
    "processes": (16, "GPUs (or CPU processes)"),
    "micro_batch": (1, "sequences per row, on average; rows are balanced within a step"),
    "sequence_parallel": (1, "processes that share a row"),
}
# Choices that change where and how fast the run runs, but not what it computes.
_PLACE = ("processes", "checkpointing", "micro_batch", "sequence_parallel")


@dataclass(frozen=True)
class Layout:
    """Who trains on what within one optimizer step."""

    groups: int  # sets of processes that get different rows
    accumulation: int  # rows that a group goes through one after the other
    steps: int  # optimizer steps of the whole run
    warmup_steps: int


def layout(book: Profile, samples: int) -> Layout:
    """Derive accumulation and steps. Raises `RunError` on a combination that does not divide."""
    recipe = book.training
    groups, left = divmod(recipe.processes, recipe.sequence_parallel)
    if left:
        raise RunError(
            f"{recipe.processes} processes do not divide into groups of "
            f"{recipe.sequence_parallel}: change training.sequence_parallel"
        )
    if recipe.lora and recipe.processes > 1:
        raise RunError(
            f"adapters are trained by one process, not {recipe.processes}: set training.processes "
            "to 1, or training.lora to 0"
        )
    accumulation, left = divmod(recipe.batch, groups * recipe.micro_batch)
    if left or not accumulation:
        raise RunError(
            f"a batch of {recipe.batch} does not divide into {groups} groups of processes times "
            f"{recipe.micro_batch} sequences: change training.processes or training.micro_batch"
        )
    steps = math.ceil(samples / recipe.batch) * recipe.epochs
    return Layout(groups, accumulation, steps, math.ceil(recipe.warmup * steps))


def replicas(book: Profile, name: str) -> list[str]:
    """Names of a model's trainings, one for each training seed: `s1`, `s1-1`, `s1-2`, ..."""
    return [f"{name}-{seed}" if seed else name for seed in range(book.training.seeds)]


def trained(book: Profile) -> list[str]:
    """Names of all models that a book trains, on data sets and controls of chapters 05, 07, 09."""
    parts = (f"n{n}" for n in book.ablations.examples)
    compared = ("s1", "random", "diverse", "longest", "full", "cut", *parts)
    return [*(one for name in compared for one in replicas(book, name)), "token", "step"]


def identity(book: Profile, data: Path) -> dict[str, Any]:
    """What a model is made from: recipe, seed, base model and data. Equal ones give equal models.

    The base model's weights count where they are one file; a hub model goes by its name.
    """
    from s1lib.chat import model_path

    weights = Path(model_path(book.models.base)) / "model.safetensors"
    return {
        "recipe": book.training.model_dump(mode="json", exclude={"seeds", "at_once"}),
        "seed": book.seed,
        "model": book.models.base,
        "weights": digest(weights) if weights.is_file() else "",
        "data": digest(data),
    }


def table(book: Profile) -> pd.DataFrame:
    """The recipe beside the paper's: columns setting, paper, here, same, meaning."""
    rows = []
    for name, (paper, meaning) in PAPER.items():
        here = getattr(book.training, name)
        rows.append((name, _show(paper), _show(here), here == paper, meaning))
    return pd.DataFrame(rows, columns=["setting", "paper", "here", "same", "meaning"])


def deviations(book: Profile) -> list[str]:
    """One line for each setting that differs from the paper's, in what is computed or where."""
    return [
        f"{row.setting}: {row.here} instead of {row.paper} "
        f"({'runs elsewhere' if row.setting in _PLACE else 'changes the result'})"
        for row in table(book).itertuples()
        if not row.same
    ]


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_show, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
