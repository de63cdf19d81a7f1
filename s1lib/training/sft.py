"""The training script: supervised fine-tuning with TRL's SFTTrainer.

    accelerate launch --config_file s1lib/training/configs/cpu.yaml -m s1lib.training.sft \\
        --profile laptop --data results/laptop/s1K.parquet --output results/laptop/models/s1

The same script runs on one CPU process and on two nodes of eight GPUs. It trains in a hidden
folder beside `--output` and renames at the end, so that the output is whole or not there. Started
again after a kill it goes on from the last checkpoint and ends in the same weights.
"""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from accelerate import DistributedType, FullyShardedDataParallelPlugin, PartialState
from datasets import Dataset
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTConfig, SFTTrainer

from s1lib.artifacts import RunError, replace_folder, write_json, write_table, write_text
from s1lib.chat import load_tokenizer, model_path
from s1lib.profile import Profile, load_profile
from s1lib.training import attention
from s1lib.training.balance import StepSampler
from s1lib.training.data import IGNORED, load_samples
from s1lib.training.fit import quadratic, read_shape
from s1lib.training.recipe import Layout, deviations, identity, layout

FAILED = 3  # exit status after a RunError
LOG = ["step", "epoch", "loss", "learning_rate", "grad_norm"]


def collate(
    samples: list[dict[str, Any]], loss: str = "sequence", part: int = 0, parts: int = 1
) -> dict[str, Any]:
    """One row of documents, end to end, without padding.

    input_ids, position_ids (restart with each document), shift_labels (the label of the token
    after), int64, and weights, float32, all of shape (1, tokens). With `loss="sequence"` the
    weights of a document's trained tokens sum to 1, with `"token"` each is 1. `parts` processes
    that share the row get a slice each, and a last document of weight 0 makes slices equal; so
    does an empty list, for a process that has nothing to do in the last step of an epoch.
    """
    ids: list[int] = []
    positions: list[int] = []
    labels: list[int] = []
    weights: list[float] = []
    documents = [len(sample["labels"]) for sample in samples]
    for sample in samples:
        shifted = [*sample["labels"][1:], IGNORED]
        trained = sum(label != IGNORED for label in shifted)
        weight = 1.0 / trained if loss == "sequence" else 1.0
        ids += sample["input_ids"]
        positions += range(len(shifted))
        labels += shifted
        weights += [weight if label != IGNORED else 0.0 for label in shifted]
    filling = -len(ids) % parts if ids else parts
    if filling:
        documents.append(filling)
    own = slice(part * (len(ids) + filling) // parts, (part + 1) * (len(ids) + filling) // parts)
    return {
        "input_ids": torch.tensor([(ids + [0] * filling)[own]]),
        "position_ids": torch.tensor([[*positions, *range(filling)][own]]),
        "shift_labels": torch.tensor([(labels + [IGNORED] * filling)[own]]),
        "weights": torch.tensor([(weights + [0.0] * filling)[own]]),
        "documents": tuple(documents),
        "rows": tuple(sample["id"] for sample in samples),
    }


def row_loss(model: torch.nn.Module, row: dict[str, Any]) -> torch.Tensor:
    """Weighted sum of the negative log-likelihoods of a row (a batch of `collate`).

    On a GPU, TRL's fused head scores the row in tiles and never holds all logits. On a CPU, where
    vocabularies are small, scoring the trained tokens at once is four times faster than tiles.
    """
    inputs = {key: row[key] for key in ("input_ids", "position_ids", "documents")}
    labels, weights = row["shift_labels"], row["weights"]
    if labels.is_cuda:
        outputs = model(**inputs, shift_labels=labels, use_cache=False, fused_lm_head=True)
        return -(weights * outputs.log_probs).sum()
    trained = (labels[0] != IGNORED).nonzero()[:, 0]
    logits = model(**inputs, use_cache=False, logits_to_keep=trained).logits[0]
    losses = F.cross_entropy(logits.float(), labels[0, trained], reduction="none")
    return (weights[0, trained] * losses).sum()


class BalancedTrainer(SFTTrainer):
    """SFTTrainer with batches from `StepSampler` and a loss that says what each sequence weighs.

    TRL averages over all trained tokens of a step. The reference ran one sequence per GPU, so
    that it averaged over the tokens of each sequence and then over sequences: a long trace
    counted as much as a short one. `weights` in the batch hold either choice.
    """

    loss_is_scaled_for_ga: Any = True

    def __init__(self, *args: Any, sampler: StepSampler, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sampler = sampler
        self.rows: list[dict[str, Any]] = []  # of the step at hand
        self.losses: list[torch.Tensor] = []
        self.lanes: ThreadPoolExecutor | None = None
        self.remove_callback(PrinterCallback)  # `Journal` is the log

    def create_accelerator_and_postprocess(self) -> None:
        """Shard on CPU too: accelerate knows FSDP on accelerators only and falls back to DDP."""
        super().create_accelerator_and_postprocess()
        if sharded() and not self.is_fsdp_enabled:
            state = self.accelerator.state
            state.distributed_type = DistributedType.FSDP
            state.fsdp_plugin = FullyShardedDataParallelPlugin()  # from the configuration's values
            self.is_fsdp_enabled = True

    def get_train_dataloader(self) -> DataLoader:
        dataset: Any = self.train_dataset
        loader = DataLoader(
            dataset,
            batch_sampler=self.sampler,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """The rows of one step, and the sum of their weights over all processes."""
        rows, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        total = torch.stack([row["weights"].sum() for row in rows]).sum().to(device)
        self.rows = rows
        return rows, self.accelerator.gather(total).sum()

    def _lanes(self) -> ThreadPoolExecutor | None:
        """Two threads for two rows, where a row does not need all cores or the other's result.

        On a CPU, two rows with half the cores each are a fourth faster than one after the other
        with all of them. Their gradients meet in a sum, which is the same in either order; with
        more rows it would depend on who is first. (Autocast's cache of weights is shared, so not
        in bfloat16.)
        """
        threads = torch.get_num_threads() // 2
        alone = self.args.device.type == "cpu" and self.accelerator.num_processes == 1
        plain = self.args.gradient_accumulation_steps == 2 and not self.args.bf16
        if not (alone and plain and threads):
            return None
        torch.set_num_threads(threads)
        return ThreadPoolExecutor(2, "row", initializer=_settle_thread, initargs=(threads,))

    def train(self, *args, **kwargs):
        before, self.lanes = torch.get_num_threads(), self._lanes()
        try:
            return super().train(*args, **kwargs)
        finally:
            if self.lanes is not None:
                self.lanes.shutdown()
            torch.set_num_threads(before)

    def training_step(self, model, inputs, num_items_in_batch=None):
        """Loss and gradients of a row; with two lanes, of both when the first is asked for."""
        step = super().training_step
        if self.lanes is None or len(self.rows) != 2:
            return step(model, inputs, num_items_in_batch)
        if inputs is self.rows[0]:
            both = [self.lanes.submit(step, model, row, num_items_in_batch) for row in self.rows]
            self.losses = [one.result() for one in both]
        return self.losses.pop(0)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        rows = inputs.pop("rows")
        loss = row_loss(model, inputs) / num_items_in_batch
        if not torch.isfinite(loss):
            raise RunError(
                f"the loss of step {self.state.global_step + 1} is {loss.item()} (samples "
                f"{', '.join(rows)}): look at these samples or lower training.learning_rate; "
                "the last checkpoint is kept"
            )
        # Gradients are averaged over processes; the loss is a sum over them.
        return loss * self.accelerator.num_processes


def _settle_thread(threads: int) -> None:
    torch.set_num_threads(threads)
    settle()


def settle() -> None:
    """What this process (or thread) needs before it trains.

    A sharp softmax is full of subnormal numbers, on which the backward pass of attention is ten
    times slower on a CPU. They become zero.
    """
    torch.set_flush_denormal(True)


class Journal(TrainerCallback):
    """One line of log per step on standard output, from the first process."""

    def __init__(self, tokens_per_step: float) -> None:
        self.tokens_per_step, self.started, self.first = tokens_per_step, time.monotonic(), 0

    def on_train_begin(self, args, state, control, **kwargs):
        self.started, self.first = time.monotonic(), state.global_step

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not state.is_world_process_zero or "loss" not in (logs or {}):
            return
        seconds = (time.monotonic() - self.started) / max(1, state.global_step - self.first)
        print(
            f"step {state.global_step}/{state.max_steps} loss {logs['loss']:.4f} "
            f"lr {logs['learning_rate']:.2e} norm {logs['grad_norm']:.2f} "
            f"{self.tokens_per_step / seconds:,.0f} tokens/s",
            flush=True,
        )


def sharded() -> bool:
    """Whether the accelerate configuration asks for FSDP."""
    return os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def sft_config(book: Profile, plan: Layout, folder: Path) -> SFTConfig:
    """The recipe as TRL's typed arguments; `folder` is where checkpoints and logs go."""
    recipe = book.training
    cuda = torch.cuda.is_available()
    name = folder.name.removeprefix(".").removesuffix(".training")
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder.parent / "tensorboard" / name)
    os.environ["FSDP_ACTIVATION_CHECKPOINTING"] = str(sharded() and recipe.checkpointing).lower()
    return SFTConfig(
        output_dir=str(folder),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.micro_batch,
        gradient_accumulation_steps=plan.accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=plan.warmup_steps,
        adam_beta1=recipe.betas[0],
        adam_beta2=recipe.betas[1],
        weight_decay=recipe.weight_decay,
        max_grad_norm=1.0,
        bf16=recipe.dtype == "bfloat16",
        use_cpu=not cuda,
        gradient_checkpointing=recipe.checkpointing and not sharded(),
        max_length=None,  # `load_samples` has checked the lengths
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        accelerator_config={"even_batches": False, "split_batches": False},
        dataloader_pin_memory=cuda,
        seed=book.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to=["tensorboard"],
        disable_tqdm=True,
        save_strategy="steps",
        save_steps=recipe.save_every,
        save_total_limit=1,
    )


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


def train(book: Profile, data: Path, output: Path, model_name: str = "") -> None:
    """Fine-tune `model_name` (the profile's base) on `data` and publish it as `output`."""
    settle()
    check_processes(book)
    state = PartialState()
    model_name = model_name or book.models.base
    staging = output.with_name(f".{output.name}.training")
    tokenizer = load_tokenizer(model_name)
    recipe = book.training
    samples = load_samples(data, tokenizer, recipe.max_length, recipe.overlong == "cut")
    plan = layout(book, len(samples))
    job = {**identity(book, data, model_name), "samples": len(samples)}
    with state.main_process_first():
        checkpoint = _prepare(staging, job) if state.is_main_process else None
    checkpoint = checkpoint or get_last_checkpoint(str(staging))

    trainer = make_trainer(book, plan, samples, tokenizer, model_path(model_name), staging)
    model: Any = trainer.model
    parameters = sum(p.numel() for p in model.parameters())
    if state.is_main_process:
        _check_disk(staging, parameters)
        print(f"{parameters / 1e6:.2f} M parameters, {len(samples)} samples, {plan}", flush=True)
    trainer.train(resume_from_checkpoint=checkpoint)

    final = staging / "final"
    model = trainer.model
    weights = gather(model, keep=state.is_main_process)
    if state.is_main_process:
        model.save_pretrained(final, state_dict=weights)
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


def gather(model: torch.nn.Module, keep: bool) -> dict[str, torch.Tensor]:
    """All weights in float32 on the CPU, gathered one by one; empty where not to `keep`."""
    weights = {}
    for name, value in model.state_dict().items():
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        if keep:
            weights[name] = whole.detach().cpu()
    return weights


def make_trainer(
    book: Profile,
    plan: Layout,
    samples: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    model: str,
    folder: Path,
) -> BalancedTrainer:
    """The trainer for `samples` (columns of `load_samples`), with weights in float32."""
    recipe = book.training
    lengths = [len(ids) for ids in samples["input_ids"]]
    config = sft_config(book, plan, folder)
    sharing, shape = recipe.sequence_parallel, read_shape(model)
    attention.check_heads(shape.heads, shape.kv_heads, sharing)
    part = PartialState().process_index % sharing
    attention.share_rows(sharing)
    config.model_init_kwargs = {"dtype": "float32", "attn_implementation": attention.NAME}
    return BalancedTrainer(
        model=model,
        args=config,
        train_dataset=samples,
        processing_class=tokenizer,
        data_collator=lambda rows: collate(rows, recipe.loss, part, sharing),
        callbacks=[Journal(sum(lengths) / math.ceil(len(lengths) / recipe.batch))],
        sampler=StepSampler(
            lengths,
            recipe.batch,
            plan.groups,
            plan.accumulation,
            sharing,
            quadratic(shape),
            book.seed,
        ),
    )


def card(book: Profile, job: dict[str, Any], log: pd.DataFrame) -> str:
    """The model card: recipe, data hash, deviations and loss curve."""
    points = log.iloc[sorted({*range(0, len(log), max(1, len(log) // 15)), len(log) - 1})]
    lines = [
        "---",
        f"base_model: {job['model']}",
        "library_name: transformers",
        "tags: [s1, test-time scaling, trl, sft]",
        "---",
        f"# {job['model']} fine-tuned on {job['samples']} thinking traces",
        "",
        f"Profile `{book.name}`, seed {job['seed']}, data SHA-256 `{job['data']}` (first 16 "
        f"digits), {len(log)} optimizer steps. Weights are float32; the step-by-step log is in "
        "`log.parquet`.",
        "",
        "## Recipe",
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in job["recipe"].items()),
        "",
        "Where it departs from the paper's (arXiv 2501.19393, appendix D):",
        "",
        *(f"- {line}" for line in deviations(book) or ["nowhere"]),
        "",
        "## Loss",
        "",
        "| step | epoch | loss |",
        "|---|---|---|",
        *(f"| {row.step} | {row.epoch:.2f} | {row.loss:.4f} |" for row in points.itertuples()),
    ]
    return "\n".join(lines) + "\n"


def _prepare(staging: Path, job: dict[str, Any]) -> str | None:
    """Make the staging folder; keep what a killed run of the same job left, remove the rest."""
    if staging.is_dir():
        known = staging / "job.json"
        try:
            same = json.loads(known.read_text(encoding="utf-8")) == json.loads(json.dumps(job))
        except (OSError, ValueError):
            same = False
        if not same:
            shutil.rmtree(staging)
    staging.mkdir(parents=True, exist_ok=True)
    write_json(staging / "job.json", job)
    for folder in staging.glob("checkpoint-*"):
        try:  # the trainer writes this file last
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(folder)
    checkpoint = get_last_checkpoint(str(staging))
    if checkpoint:
        print(f"resuming from {Path(checkpoint).name}", flush=True)
    return checkpoint


def _check_disk(folder: Path, parameters: int) -> None:
    """Two checkpoints (weights and two moments, float32) and the final weights must fit."""
    need = parameters * 4 * (2 * 3 + 1) / 1e9
    free = shutil.disk_usage(folder).free / 1e9
    if free < need:
        raise RunError(
            f"{folder} has {free:.1f} GB free and training needs {need:.1f} GB for checkpoints: "
            "free space or choose another run folder"
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
    parser.add_argument("--model", default="", help="instead of the profile's base model")
    parser.add_argument("--follow-parent", action="store_true", help="end with the caller")
    options = parser.parse_args(arguments)
    if options.follow_parent:
        _follow_parent()
    try:
        train(load_profile(options.profile), options.data, options.output, options.model)
    except RunError as error:
        print(f"RunError: {error}", file=sys.stderr, flush=True)
        return FAILED
    except Exception as error:
        if not _full(error):
            raise
        print(
            f"RunError: no room to save in {options.output.parent} ({error}): free space and "
            "start again, training goes on from the last checkpoint",
            file=sys.stderr,
            flush=True,
        )
        return FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
