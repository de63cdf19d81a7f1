"""The transformer blocks of a Qwen2 or Llama model over a cache, as one function.

On a CPU it runs as TorchScript: the same kernels in the same order, but no Python between them, so
that two workers (`workers.py`) do not wait for each other at every operation. TorchScript reads
annotations as objects, hence no `from __future__ import annotations` here.
"""

import functools
import warnings
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Layer(NamedTuple):
    """Weights of one block, transposed so that `x @ w` applies them.

    `qkv` and `gate_up` are one matrix each, or several whose products stand side by side; `order`
    then says in which order the columns of q, k and v are used (empty: they are).
    """

    norm: Tensor
    qkv: list[Tensor]
    qkv_bias: Tensor
    order: Tensor
    out: Tensor
    mlp_norm: Tensor
    gate_up: list[Tensor]
    down: Tensor


def blocks(
    x: Tensor,
    layers: list[Layer],
    caches: list[Tensor],
    slots: Tensor,
    angles: Tensor,
    groups: list[tuple[int, int, int, Tensor]],
    spans: list[tuple[int, int, int, Tensor]],
    shape: tuple[int, int, int],
    eps: float,
) -> Tensor:
    """All blocks on a flat batch `x`, (n, hidden), whose keys and values go to `slots`.

    `groups` are neighbouring rows with one token each: first, last (excluded), how far they read,
    mask. `spans` are more tokens of one row: row, offset in the batch, size, mask.
    """
    heads, kv_heads, size = shape
    queries, hidden = heads * size, [x.shape[1]]
    for i, layer in enumerate(layers):
        cached = caches[i]
        y = F.rms_norm(x, hidden, layer.norm, eps)
        if len(layer.qkv) == 1:
            y = torch.addmm(layer.qkv_bias, y, layer.qkv[0])
        else:
            y = torch.cat([torch.mm(y, part) for part in layer.qkv], 1)
            y = y.index_select(1, layer.order) + layer.qkv_bias
        # The rotary embedding of q and k (v is multiplied by one) as a complex product
        pairs = torch.view_as_complex(y.float().unflatten(1, [-1, size // 2, 2]))
        y = torch.view_as_real(pairs * angles).flatten(1).to(x.dtype)
        cached.view(-1, y.shape[1] - queries).index_copy_(0, slots, y[:, queries:])
        # The heads of a group share keys, so for one position they are the queries
        q = y[:, :queries].unflatten(1, [kv_heads, -1, size])
        keys, values = cached.permute(3, 0, 2, 1, 4).unbind()
        parts = [
            F.scaled_dot_product_attention(
                q[a:b], keys[a:b, :, :stop], values[a:b, :, :stop], attn_mask=mask
            ).flatten(1)
            for a, b, stop, mask in groups
        ]
        for row, offset, count, mask in spans:
            stop = mask.shape[1]
            seen = keys[row, :, :stop], values[row, :, :stop]
            parts.append(_attend_span(q[offset : offset + count], seen[0], seen[1], mask))
        y = torch.cat(parts) if len(parts) > 1 else parts[0]
        x = torch.addmm(x, y, layer.out)
        y = F.rms_norm(x, hidden, layer.mlp_norm, eps)
        if len(layer.gate_up) == 1:
            gate, up = torch.mm(y, layer.gate_up[0]).chunk(2, 1)
        else:
            gate, up = torch.mm(y, layer.gate_up[0]), torch.mm(y, layer.gate_up[1])
        x = torch.addmm(x, F.silu(gate).mul_(up), layer.down)
    return x


def _attend_span(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Several positions of one row; heads that share keys follow each other as queries."""
    size, shared = q.shape[0], q.shape[2]
    q = q.permute(1, 2, 0, 3).flatten(1, 2)
    out = F.scaled_dot_product_attention(
        q[None], keys[None], values[None], attn_mask=mask.repeat(shared, 1)
    )
    return out[0].unflatten(1, [shared, size]).permute(2, 0, 1, 3).flatten(1)


@functools.cache
def scripted() -> Any:
    """`blocks` as TorchScript: called alike, decodes the same ids."""
    with warnings.catch_warnings():  # deprecated for compilers, which a first run must not need
        warnings.simplefilter("ignore")
        return torch.jit.script(blocks)
