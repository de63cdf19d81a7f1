"""What the fast path has been checked with: anything else is decoded by the model's own `forward`.

Nothing is taken on trust: each module is of the class that a new model has there, with nothing hung
onto it (adapters, quantised layers, hooks of an offloaded model), each weight is a plain tensor in
one place, and the configuration has no switch that this file has not seen.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.activations import SiLUActivation
from transformers.models.llama import modeling_llama as llama
from transformers.models.qwen2 import modeling_qwen2 as qwen2

SWITCHES = {  # of the two configurations; one that a later release adds is not known here
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "hidden_act", "max_position_embeddings", "initializer_range",
    "rms_norm_eps", "use_cache", "tie_word_embeddings", "rope_parameters", "use_sliding_window",
    "sliding_window", "max_window_layers", "layer_types", "attention_dropout", "pad_token_id",
    "bos_token_id", "eos_token_id", "pretraining_tp", "attention_bias", "mlp_bias", "head_dim",
}  # fmt: skip
ROPES = {"default", "linear", "llama3", "yarn"}  # the others change as a text grows
BIASED = ("q_proj", "k_proj", "v_proj")
LINEAR = torch.nn.Linear


class Unknown(Exception):
    """A part of a model that the fast path has not been checked with."""


def check(body: Any, head: Any) -> None:
    """Raise `Unknown` naming what in the blocks `body` or the layer `head` is not known."""
    own = {qwen2.Qwen2Model: qwen2.Qwen2Config, llama.LlamaModel: llama.LlamaConfig}
    if type(body) not in own:
        raise Unknown(type(body).__name__)
    with torch.device("meta"):
        fresh = type(body)(body.config)
    expected = {name: type(part) for name, part in fresh.named_modules()}
    found = dict(body.named_modules())
    names = found.keys() | expected.keys()
    wrong = {name for name in names if type(found.get(name)) is not expected.get(name)}
    _demand(not wrong, f"a module: {min(wrong, default='')}")
    _demand(type(head) is LINEAR and head.bias is None, "the output layer")
    for name, part in [*found.items(), ("the output layer", head)]:
        hung = part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part)
        _demand(not hung, f"a hook on {name}")
        biased = isinstance(part, LINEAR) and part.bias is not None and not name.endswith(BIASED)
        _demand(not biased, f"a bias of {name}")
    for part in [*body.parameters(), head.weight]:
        _demand(type(part) is torch.nn.Parameter, f"weights of {type(part).__name__}")
        same = part.device == head.weight.device and part.dtype == head.weight.dtype
        _demand(same and part.is_floating_point(), "weights of several kinds or places")
    _demand(head.weight.device.type != "meta", "weights that are elsewhere")
    _check_settings(body, own[type(body)])


def _check_settings(body: Any, own: Any) -> None:
    config, rotary = body.config, body.rotary_emb
    new = set(own.__annotations__) - SWITCHES
    _demand(not new, f"the switch {min(new, default='')}")
    _demand(rotary.rope_type in ROPES, f"rope_type={rotary.rope_type}")
    _demand(not (body.training and config.attention_dropout), "dropout")
    for layer in body.layers:
        attention = layer.self_attn
        _demand(type(layer.mlp.act_fn) is SiLUActivation, f"hidden_act={config.hidden_act}")
        size = attention.head_dim
        _demand(2 * len(rotary.inv_freq) == size, "a rotary embedding of a part of the head")
        _demand(attention.scaling == size**-0.5, "another scale of attention")
        _demand(getattr(attention, "sliding_window", None) is None, "a sliding window")


def _demand(right: bool, what: str) -> None:
    if not right:
        raise Unknown(what)
