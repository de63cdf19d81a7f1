"""The training script: supervised fine-tuning with the trainer of `trainer.py`.

    accelerate launch --config_file s1lib/training/configs/cpu.yaml -m s1lib.training.sft \\
        --profile laptop --data results/laptop/s1K.parquet --output results/laptop/models/s1

The same script runs on one CPU process and on two nodes of eight GPUs. It trains in a hidden
folder beside `--output` and renames at the end, so that the output is whole or not there. Started
again after a kill it goes on from the last checkpoint and ends in the same weights.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate import PartialState
from huggingface_hub import ModelCard, ModelCardData
from transformers.trainer_utils import get_last_checkpoint

from s1lib.artifacts import RunError, read_json, replace_folder, write_json, write_table, write_text
from s1lib.chat import load_tokenizer, model_path
from s1lib.profile import Profile, load_profile
from s1lib.training.attention import settle
from s1lib.training.data import load_samples
from s1lib.training.fit import disk, read_shape
from s1lib.training.recipe import deviations, identity, layout
from s1lib.training.trainer import gather, make_trainer

FAILED = 3  # exit status after a RunError
LOG = ["step", "epoch", "loss", "learning_rate", "grad_norm"]


def check_processes(book: Profile) -> None:
    """Raise `RunError` unless as many processes run as the profile asks for.

    `accelerate launch` on a CPU starts one process, whatever it is asked for.
    """
    started = PartialState(cpu=not torch.cuda.is_available()).num_processes
    asked = book.training.processes
    if started != asked:
        raise RunError(
            f"training.processes is {asked}, but {started} started with "
            f"configs/{book.training.launcher}.yaml: change the one or the other (on CPU, "
            "accelerate launch starts one process; torchrun starts several)"
        )
    if book.training.launcher.startswith("gpu") and not torch.cuda.is_available():
        raise RunError(
            f"configs/{book.training.launcher}.yaml wants GPUs and torch sees none: use "
            "another profile or training__launcher='cpu'"
        )


def train(book: Profile, data: Path, output: Path) -> None:
    """Fine-tune the profile's base model on `data` and publish it as `output`."""
    settle()
    check_processes(book)
    state = PartialState()
    staging = output.with_name(f".{output.name}.training")
    base = book.models.base
    tokenizer = load_tokenizer(base)
    recipe = book.training
    samples = load_samples(data, tokenizer, recipe.max_length, recipe.overlong == "cut")
    plan = layout(book, len(samples))
    job = {**identity(book, data), "samples": len(samples)}
    with state.main_process_first():
        checkpoint = _prepare(staging, job) if state.is_main_process else None
    checkpoint = checkpoint or get_last_checkpoint(str(staging))

    trainer = make_trainer(book, plan, samples, tokenizer, model_path(base), staging)
    model: Any = trainer.model
    parameters = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    if state.is_main_process:
        _check_disk(staging, disk(read_shape(base), recipe))
        counts = f"{trained / 1e6:.2f} of {parameters / 1e6:.2f} M parameters"
        print(f"{counts}, {len(samples)} samples, {plan}", flush=True)
    trainer.train(resume_from_checkpoint=checkpoint)

    final = staging / "final"
    model = trainer.model  # wrapped by now
    weights = gather(model, keep=state.is_main_process)
    if state.is_main_process:
        whole = model.get_base_model() if recipe.lora else model
        whole.save_pretrained(final, state_dict=weights)
        tokenizer.save_pretrained(final)
        log = pd.DataFrame([row for row in trainer.state.log_history if "loss" in row])[LOG]
        write_table(final / "log.parquet", log)
        write_json(final / "job.json", job)
        write_text(final / "README.md", card(book, job, log))
        for file in final.glob("*.safetensors"):
            file.chmod(0o644)
        replace_folder(final, output)
        shutil.rmtree(staging)
    state.wait_for_everyone()


def card(book: Profile, job: dict[str, Any], log: pd.DataFrame) -> str:
    """The model card: recipe, data hash, deviations and loss curve."""
    tags = ["s1", "test-time scaling", "trl", "sft"]
    data = ModelCardData(base_model=job["model"], library_name="transformers", tags=tags)
    points = log.iloc[sorted({*range(0, len(log), max(1, len(log) // 15)), len(log) - 1})]
    shown: dict[str, Any] = {"profile": book.name, "job": job, "deviations": deviations(book)}
    shown |= {"steps": len(log), "points": list(points.itertuples())}
    template = Path(__file__).parent / "card.jinja"
    return f"{ModelCard.from_template(data, template_path=str(template), **shown)}\n"


def _prepare(staging: Path, job: dict[str, Any]) -> str | None:
    """Make the staging folder; keep what a killed run of the same job left, remove the rest."""
    if staging.is_dir() and _known(staging / "job.json") != job:
        shutil.rmtree(staging)
    staging.mkdir(parents=True, exist_ok=True)
    write_json(staging / "job.json", job)
    for folder in staging.glob("checkpoint-*"):
        if _known(folder / "trainer_state.json") is None:  # the trainer writes this file last
            shutil.rmtree(folder)
    checkpoint = get_last_checkpoint(str(staging))
    if checkpoint:
        print(f"resuming from {Path(checkpoint).name}", flush=True)
    return checkpoint


def _known(file: Path) -> Any:
    """What a file of JSON holds, None where a kill has left none or half of one."""
    with suppress(RunError):
        return read_json(file)
    return None


def _check_disk(folder: Path, needed: float) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            f"{folder} has {free / 1e9:.1f} GB free and training needs {needed / 1e9:.1f} GB for "
            "checkpoints: free space or choose another run folder"
        )


def _full(error: BaseException) -> bool:
    """Whether an error while saving means that the disk is full or a quota is reached."""
    text = str(error)
    return (
        isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    ) or any(part in text for part in ("No space left", "File too large", "PytorchStreamWriter"))


def _follow_parent() -> None:
    """End when standard input closes: a notebook that is killed leaves no training behind."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(FAILED)

    threading.Thread(target=wait, daemon=True).start()


def main(arguments: list[str] | None = None) -> int:
    """Parse arguments, train, and turn a `RunError` into one line and exit status 3."""
    parser = argparse.ArgumentParser(prog="s1lib.training.sft", description="fine-tune a model")
    parser.add_argument("--profile", required=True, help="smoke, laptop, paper or a .yaml file")
    parser.add_argument("--data", type=Path, required=True, help="Parquet with a column text")
    parser.add_argument("--output", type=Path, required=True, help="folder of the new model")
    parser.add_argument("--follow-parent", action="store_true", help="end with the caller")
    options = parser.parse_args(arguments)
    if options.follow_parent:
        _follow_parent()
    try:
        train(load_profile(options.profile), options.data, options.output)
        return 0
    except RunError as error:
        why = str(error)
    except Exception as error:
        if not _full(error):
            raise
        why = (
            f"no room to save in {options.output.parent} ({error}): free space and start again, "
            "training goes on from the last checkpoint"
        )
    print(f"RunError: {why}", file=sys.stderr, flush=True)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
