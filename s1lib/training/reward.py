"""A process reward model trained on the project's own traces.

A copy of the fine-tuned model reads a trace, and a linear head on its last layer says at the end
of each step how likely the trace is to end in the right answer. Labels are outcomes: all steps of
a trace that ended right are labelled right (as Math-Shepherd does with one rollout per step,
arXiv 2312.08935). Nobody marks steps, so it also works where no step can be checked.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification, get_linear_schedule_with_warmup
from transformers.utils import logging

from s1lib.artifacts import RunError, read_json, replace_folder
from s1lib.chat import load_tokenizer, model_path
from s1lib.decoding import Generation, give_back
from s1lib.progress import progress

PART = 32_768  # tokens that go through at once: a batch of the laptop's, or a long trace


@dataclass(frozen=True)
class Trace:
    """Prompt and trace, the places at which it is scored, and whether it ended right."""

    id: str
    ids: tuple[int, ...]
    places: tuple[int, ...]
    right: bool


def labelled(generations: Iterable[Generation], pauses: Collection[int]) -> list[Trace]:
    """Graded generations as training data: scored at each id in `pauses` and at the trace's end.

    Generations without a thinking trace, and undecided ones, are left out.
    """
    found = []
    for one in generations:
        if not one.thinking or one.verdict == "undecided":
            continue
        ids = one.prompt + one.opening + one.thinking
        start = len(one.prompt) + len(one.opening)
        ends = [place for place in range(start, len(ids)) if ids[place] in pauses]
        places = tuple(ends if ends[-1:] == [len(ids) - 1] else [*ends, len(ids) - 1])
        found.append(Trace(one.id, ids, places, one.verdict == "correct"))
    return found


def train(
    model: str,
    traces: Sequence[Trace],
    output: str | Path,
    *,
    epochs: int = 1,
    learning_rate: float | None = None,
    batch: int = 32,
    seed: int = 0,
) -> pd.DataFrame:
    """Fine-tune a copy of `model` with a reward head; write it to `output` as safetensors.

    Every trace weighs the same, however many steps it has. Rows of a batch have similar lengths,
    and go through in parts of `PART` tokens. Without a `learning_rate` it is the one that the model
    was trained with, or 1e-3 where nobody has said. Decoders give their memory back first. Returns
    the log: step, loss (nats). Raises `RunError` if there are no traces.
    """
    if not traces:
        raise RunError("the reward model has no traces to learn from: sample more questions")
    give_back()
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    path = model_path(model)
    said = logging.get_verbosity()
    logging.set_verbosity_error()  # it would report that the head is new
    judge: Any = AutoModelForSequenceClassification.from_pretrained(
        path, num_labels=1, dtype=torch.float32
    ).to(device)
    logging.set_verbosity(said)
    if device.type == "cuda":  # traces of real models are long
        judge.gradient_checkpointing_enable()
        judge.train()
    if learning_rate is None:
        learning_rate = _rate(Path(path))
    batches = _batches(traces, batch, epochs, np.random.default_rng(seed))
    optimizer = torch.optim.AdamW(judge.parameters(), lr=learning_rate, weight_decay=0.01)
    warm = max(1, len(batches) // 10)
    schedule = get_linear_schedule_with_warmup(optimizer, warm, len(batches) + 1)
    log = []
    for step, rows in enumerate(progress(batches, "reward model"), start=1):
        optimizer.zero_grad()
        total = 0.0
        for part in _parts(rows):
            ids, weights, right = (one.to(device) for one in _padded(part))
            logits = judge.score(judge.model(input_ids=ids).last_hidden_state).squeeze(-1)
            losses = cross_entropy(logits, right[:, None].expand_as(logits), reduction="none")
            loss = (losses * weights).sum() / len(rows)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(judge.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        log.append({"step": step, "loss": total})
    _save(judge, path, Path(output))
    return pd.DataFrame(log)


def _batches(
    traces: Sequence[Trace], size: int, epochs: int, rng: np.random.Generator
) -> list[list[Trace]]:
    found = []
    for _ in range(epochs):
        order = rng.permutation(len(traces))
        order = order[np.argsort([len(traces[i].ids) // 32 for i in order], kind="stable")]
        parts = [order[i : i + size] for i in range(0, len(order), size)]
        found += [[traces[i] for i in parts[j]] for j in rng.permutation(len(parts))]
    return found


def _parts(rows: Sequence[Trace]) -> list[Sequence[Trace]]:
    """The rows of a batch in parts that hold `PART` tokens, padding included, or one row."""
    size = max(1, PART // max(len(row.ids) for row in rows))
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def _rate(model: Path) -> float:
    """The learning rate of the recipe that a model was made with."""
    job = model / "job.json"
    return float(read_json(job)["recipe"]["learning_rate"]) if job.is_file() else 1e-3


def _padded(rows: Sequence[Trace]) -> tuple[Any, Any, Any]:
    """Ids (rows, longest), weights of the scored places that sum to 1 in each row, labels (rows).

    Padding follows the trace, and attention looks back only, so no mask is needed.
    """
    ids = pad_sequence([torch.tensor(row.ids) for row in rows], batch_first=True)
    weights = torch.zeros(ids.shape)
    for index, row in enumerate(rows):
        weights[index, list(row.places)] = 1 / len(row.places)
    return ids, weights, torch.tensor([float(row.right) for row in rows])


def _save(judge: Any, tokenizer_from: str, output: Path) -> None:
    """The folder appears in one piece."""
    output.parent.mkdir(parents=True, exist_ok=True)
    whole = output.with_name(f".{output.name}.training")
    shutil.rmtree(whole, ignore_errors=True)
    judge.save_pretrained(whole)
    load_tokenizer(tokenizer_from).save_pretrained(whole)
    replace_folder(whole, output)
