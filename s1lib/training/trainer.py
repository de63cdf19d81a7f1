"""The trainer: TRL's SFTTrainer with balanced rows and a loss that weighs sequences alike."""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import DistributedType, FullyShardedDataParallelPlugin, PartialState
from datasets import Dataset
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl import SFTConfig

from s1lib.artifacts import RunError
from s1lib.profile import Profile
from s1lib.training import attention
from s1lib.training.balance import StepSampler
from s1lib.training.data import IGNORED
from s1lib.training.fit import quadratic, read_shape
from s1lib.training.recipe import Layout
from s1lib.training.two_rows import TwoRows


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
    tokens = sum(len(sample["labels"]) for sample in samples)
    filling = -tokens % parts if tokens else parts
    documents = [(sample["input_ids"], sample["labels"]) for sample in samples]
    documents += [([0] * filling, [IGNORED] * filling)] if filling else []
    row: dict[str, list[Any]] = defaultdict(list)
    for ids, labels in documents:
        shifted = [*labels[1:], IGNORED]
        trained = sum(label != IGNORED for label in shifted)
        weight = 1.0 / max(trained, 1) if loss == "sequence" else 1.0
        row["input_ids"] += ids
        row["position_ids"] += range(len(ids))
        row["shift_labels"] += shifted
        row["weights"] += [weight * (label != IGNORED) for label in shifted]
    size = (tokens + filling) // parts
    return {
        **{name: torch.tensor([column[part * size :][:size]]) for name, column in row.items()},
        "documents": tuple(len(ids) for ids, _ in documents),
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


class BalancedTrainer(TwoRows):
    """SFTTrainer with batches from `StepSampler` and a loss that says what each sequence weighs.

    TRL averages over all trained tokens of a step. The reference ran one sequence per GPU, so
    that it averaged over the tokens of each sequence and then over sequences: a long trace
    counted as much as a short one. `weights` in the batch hold either choice.
    """

    loss_is_scaled_for_ga: Any = True

    def __init__(self, *args: Any, sampler: StepSampler, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sampler = sampler
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
        return rows, self.accelerator.gather(total).sum()

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


def make_trainer(
    book: Profile,
    plan: Layout,
    samples: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    model: str,
    folder: Path,
) -> BalancedTrainer:
    """The trainer for `samples` (columns of `load_samples`); what it trains is float32."""
    recipe = book.training
    lengths = [len(ids) for ids in samples["input_ids"]]
    config = sft_config(book, plan, folder)
    sharing, shape = recipe.sequence_parallel, read_shape(model)
    attention.check_heads(shape.heads, shape.kv_heads, sharing)
    part = PartialState().process_index % sharing
    attention.share_rows(sharing)
    shares = plan.groups, plan.accumulation, sharing
    dtype = recipe.dtype if recipe.lora else "float32"  # what is not trained takes less room
    config.model_init_kwargs = {"dtype": dtype, "attn_implementation": attention.NAME}
    return BalancedTrainer(
        model=model,
        args=config,
        train_dataset=samples,
        processing_class=tokenizer,
        data_collator=lambda rows: collate(rows, recipe.loss, part, sharing),
        peft_config=adapters(recipe.lora) if recipe.lora else None,
        callbacks=[Journal(sum(lengths) / math.ceil(len(lengths) / recipe.batch))],
        sampler=StepSampler(lengths, recipe.batch, *shares, quadratic(shape), book.seed),
    )


def adapters(rank: int) -> Any:
    """LoRA beside all matrices of the layers, not the tables. `RunError` where peft is missing."""
    if find_spec("peft") is None:
        raise RunError("training.lora needs peft: pip install 's1lib[cluster]'")
    from peft import LoraConfig

    return LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def gather(model: Any, keep: bool) -> dict[str, torch.Tensor]:
    """All weights in float32 on the CPU, gathered one by one; empty where not to `keep`.

    Adapters are merged first: whoever reads the model later need not know of them.
    """
    if hasattr(model, "merge_and_unload"):
        model = model.cpu().float().merge_and_unload()
    weights = {}
    for name, value in model.state_dict().items():
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        if keep:
            weights[name] = whole.detach().cpu()
    return weights
