"""Which way a model is decoded: the fast path for what it has checked, its own `forward` else.

Whatever is chosen has to say what the model's own `forward` says, first, on a few tokens: rows of
different lengths, one that goes on, one that goes back, one that forks. A path that says something
else is not taken.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaForCausalLM, Qwen2ForCausalLM

from s1lib.artifacts import RunError
from s1lib.decoding.checked import Unknown
from s1lib.decoding.fast import Fast
from s1lib.decoding.general import General, Reread, own_logits
from s1lib.decoding.network import Chunk, Network

# how far logits may be from the model's own, as a share of their spread: rounding, no more
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.1}

log = logging.getLogger(__name__)


def network_for(model: Any, vocabulary: int, longest: int) -> Network:
    """A network for `model`, tested against the model itself; no text exceeds `longest` tokens.

    Raises `RunError` for an encoder-decoder, for prompts that are trained vectors, for positions
    whose meaning changes as a text grows, and for a model whose logits are not numbers.
    """
    name = type(model).__name__
    if getattr(model.config, "is_encoder_decoder", False):
        raise RunError(f"{name} reads with an encoder: budget forcing needs a decoder-only model")
    adapter = getattr(getattr(model, "prepare_inputs_for_generation", None), "__self__", None)
    if getattr(getattr(adapter, "active_peft_config", None), "is_prompt_learning", False):
        raise RunError(f"{name} has a trained prompt, which is not in its ids: use LoRA instead")
    _demand_fixed_positions(model.config.get_text_config(), longest)
    if type(model) in (Qwen2ForCausalLM, LlamaForCausalLM):
        with suppress(Unknown):
            fast = Fast(model.model, model.lm_head, vocabulary)
            if agrees(fast, model):
                return fast
            log.warning("the fast path does not agree with %s: its own forward decodes", name)
    general = General(model, vocabulary)
    try:
        if agrees(general, model):
            return general
        why = "a row that goes back is not the same"
    except torch.OutOfMemoryError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        why = f"{type(error).__name__}: {error}".splitlines()[0]
    log.warning("%s cannot share a cache of rows (%s): each token reads all again", name, why)
    return Reread(model, vocabulary)


def _demand_fixed_positions(config: Any, longest: int) -> None:
    """Raise `RunError` for a rotary embedding that is another one from `longest` tokens on.

    What is cached would be of the old one; and in `transformers` it depends on all rows of a batch.
    """
    found = getattr(config, "rope_parameters", None) or {}
    for rope in [found, *(one for one in found.values() if isinstance(one, dict))]:
        if rope.get("rope_type") in ("dynamic", "longrope"):
            limit = rope.get("original_max_position_embeddings") or config.max_position_embeddings
            if longest > limit:
                raise RunError(
                    f"rope_type={rope['rope_type']} changes all positions of a text of more than "
                    f"{limit:,} tokens: set window={limit}"
                )


def agrees(network: Network, model: Any) -> bool:
    """Whether a network says what the model's own `forward` says, up to rounding."""
    random = np.random.default_rng(0)
    a, b, c = (random.integers(0, network.vocabulary, n).tolist() for n in (11, 6, 7))
    b2, c2 = [*b[:2], *c[:4]], [*a[:5], *c[5:]]  # goes back and on otherwise; forks
    network.reserve(3, 16)
    steps: list[tuple[list[list[int]], list[Chunk]]] = [
        ([a[:9], b[:4]], [Chunk(0, 0, a[:8]), Chunk(1, 0, b[:3])]),
        ([a[:10], b2[:5]], [Chunk(1, 2, b2[2:4])]),
        ([a, b2, c2], [Chunk(2, 5, c2[5:6])]),
    ]
    tolerance = TOLERANCE.get(network.dtype, 0.2)
    for rows, chunks in steps:
        if len(rows) == 3:
            network.copy(0, 2, 5)
        tokens, places = np.array([[row[-1], len(row) - 1] for row in rows]).T
        ours = network.step(tokens, places, chunks)
        theirs = torch.stack([own_logits(model, row, network.device) for row in rows])
        if _distance(ours, theirs[:, : network.vocabulary]) > tolerance:
            return False
    return True


def _distance(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference of a row's logits from the model's, as a share of their spread."""
    ours, theirs = ours.double(), theirs.double()
    if not bool(torch.isfinite(theirs).any()):
        raise RunError("the model's logits are not numbers: check its weights and dtype")
    gap = (ours - theirs).nan_to_num(nan=float("inf")).norm(dim=1)
    return float((gap / (theirs - theirs.mean(1, keepdim=True)).norm(dim=1)).max())
