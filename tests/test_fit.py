"""Will it fit: predicted against measured, and the paper's bill."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch.distributed._tools.mem_tracker import MemTracker
from transformers import Qwen2Config, Qwen2ForCausalLM

from s1lib.artifacts import RunError
from s1lib.profile import load_profile
from s1lib.training import attention
from s1lib.training.fit import (
    GIB,
    QWEN_32B,
    Shape,
    flops,
    memory,
    minutes,
    needed,
    published_lengths,
    read_shape,
    utilisation,
)
from s1lib.training.trainer import collate, row_loss

PAGES = Path(__file__).resolve().parents[1] / "jupyter_book"
SHAPES = [
    (Shape(4, 128, 352, 4, 1, 640, tied=True), [200] * 4),
    (Shape(6, 192, 512, 6, 1, 640, tied=True), [150] * 8),
    (Shape(2, 256, 1024, 4, 4, 4000), [100] * 3),
    (Shape(8, 512, 1408, 8, 2, 1000, tied=True), [64]),
    (Shape(12, 96, 256, 3, 1, 640, tied=True), [100] * 10),
]


def build(shape: Shape) -> Qwen2ForCausalLM:
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=shape.tied,
    )
    model = Qwen2ForCausalLM(config).train()
    model.set_attn_implementation(attention.NAME)
    return model


def measured_peak(shape: Shape, documents: list[int], dtype: str, checkpointing: bool) -> float:
    """Bytes of all live tensors at their peak in the second training step."""
    model = build(shape)
    if checkpointing:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    row = collate(
        [{"id": "a", "input_ids": [5] * size, "labels": [5] * size} for size in documents]
    )

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = row_loss(model, row)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    tracker = MemTracker()
    tracker.track_external(model, optimizer)
    with tracker:
        step()
    return sum(device["Total"] for device in tracker.get_tracker_snapshot("peak").values())


@pytest.mark.parametrize(
    ("dtype", "checkpointing"), [("float32", False), ("float32", True), ("bfloat16", False)]
)
@pytest.mark.parametrize(("shape", "documents"), SHAPES)
def test_predicted_memory_is_within_15_percent_of_the_measured_peak(
    shape, documents, dtype, checkpointing
):
    recipe = load_profile(
        "laptop", training__dtype=dtype, training__checkpointing=checkpointing
    ).training
    predicted = memory(shape, recipe, sum(documents), gpu=False).total
    assert predicted == pytest.approx(
        measured_peak(shape, documents, dtype, checkpointing), rel=0.15
    )


@pytest.mark.parametrize("shape", [shape for shape, _ in SHAPES])
def test_parameters_are_counted_exactly(shape):
    assert shape.parameters == sum(p.numel() for p in build(shape).parameters())


def test_qwen_32b_has_its_published_size():
    assert QWEN_32B.parameters == pytest.approx(32.76e9, rel=1e-3)


def test_a_model_folder_tells_its_shape(tiny_model_path):
    assert read_shape(str(tiny_model_path)).layers == 2


def test_the_papers_bill_is_18_7_percent():
    lengths = published_lengths()
    assert len(lengths) == 1000
    assert sum(lengths) == pytest.approx(4.7e6)
    assert utilisation(QWEN_32B, lengths, 5, 16, 26) == pytest.approx(0.187, abs=0.0005)


def test_minutes_and_utilisation_are_each_others_inverse():
    lengths = published_lengths(extra=500)
    share = utilisation(QWEN_32B, lengths, 5, 16, 26, "causal")
    assert minutes(QWEN_32B, lengths, 5, 16, share, convention="causal") == pytest.approx(26)


def test_causal_attention_adds_its_half_of_the_square():
    shape = Shape(2, 64, 128, 4, 4, 100)
    extra = flops(shape, [10.0, 20.0], "causal") - flops(shape, [10.0, 20.0])
    assert extra == 6 * 2 * 64 * (100 + 400)
    with pytest.raises(RunError, match="no convention"):
        flops(shape, [1.0], "full")


def test_the_32b_model_fits_on_16_gpus_of_80_gb_and_not_on_one():
    recipe = load_profile("paper").training
    assert memory(QWEN_32B, recipe, 8600 * recipe.sequence_parallel).total < 80e9
    alone = load_profile("paper", training__processes=1, training__sequence_parallel=1).training
    assert memory(QWEN_32B, alone, 8600).total > 500e9


@pytest.mark.parametrize("page", ["cluster", "troubleshooting"])
def test_the_pages_say_what_is_counted_for_eight_gpus(page):
    """The numbers were typed, and nothing held them to the count."""
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    (told,) = re.findall(r"eight need (\d+) GiB each with rows of eight .* (\d+) GiB", text)
    for samples, number in zip((8, 2), told, strict=True):
        book = load_profile("paper", training__processes=8, training__micro_batch=samples)
        assert number == f"{needed(book, QWEN_32B).total / GIB:.0f}"


def test_the_page_says_what_is_counted_for_one_gpu():
    """One said 34 GiB where 33.5 are counted."""
    text = (PAGES / "cluster.md").read_text(encoding="utf-8")
    rows = re.findall(r"GB \| (Qwen/[\w.-]+)(.*?) \| (\d+) GiB \|", text)
    assert len(rows) == 5
    for model, how, number in rows:
        book = load_profile("gpu", training__lora=32 if "`lora: 32`" in how else 0)
        assert number == f"{needed(book, read_shape(model)).total / GIB:.0f}"


def test_adapters_take_as_many_parameters_as_peft_gives_them():
    from peft import get_peft_model

    from s1lib.training.trainer import adapters

    shape = SHAPES[0][0]
    recipe = load_profile("gpu", training__lora=8).training
    model = get_peft_model(build(shape), adapters(8))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == shape.trained(recipe)


def test_with_adapters_other_weights_are_counted_in_the_dtype_of_the_recipe():
    shape = read_shape("Qwen/Qwen2.5-7B-Instruct")
    whole, small = (
        memory(shape, load_profile("gpu", training__lora=rank).training, 4096) for rank in (0, 16)
    )
    few = shape.trained(load_profile("gpu", training__lora=16).training)
    assert whole.weights == 4 * shape.parameters
    assert small.weights == 2 * shape.parameters + 4 * few
    assert small.optimizer == 8 * few
