"""Attention over a row of several documents, each of which sees only itself.

transformers can isolate packed documents with FlashAttention's variable-length kernels, or with a
dense mask of T x T entries. This is the third way, which needs neither: one causal attention per
document. It is exact on every device, costs no masked work, and rows hold few documents.

Several processes can share a row (Ulysses sequence parallelism, arXiv 2309.14509): each holds a
slice of its tokens; for attention they swap slices for heads, so that each process has all tokens
of some heads, and swap back. That is how 16 GPUs share 16 sequences evenly: two rows of eight.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch.distributed.nn.functional import all_to_all_single
from transformers import AttentionInterface

from s1lib.artifacts import RunError

NAME = "documents"
_sharing: list[dist.ProcessGroup] = []


def share_rows(processes: int) -> None:
    """Let each `processes` neighbouring processes share a row from now on; 1 ends sharing."""
    _sharing.clear()
    if processes > 1:
        group, _ = dist.new_subgroups(processes)
        _sharing.append(group)


def check_heads(heads: int, kv_heads: int, processes: int) -> None:
    """Raise `RunError` unless the heads can be dealt out evenly to processes that share a row."""
    whole = [n for n in range(1, heads + 1) if not heads % n]
    fitting = [n for n in whole if not kv_heads % n or not n % kv_heads]
    if processes not in fitting:
        raise RunError(
            f"{heads} attention heads ({kv_heads} for keys and values) cannot be dealt out to "
            f"{processes} processes: set training.sequence_parallel to one of "
            f"{', '.join(map(str, fitting))}"
        )


def settle(threads: int = 0) -> None:
    """What a thread needs before it trains; `threads` are its cores, 0 all.

    A sharp softmax is full of subnormal numbers, on which the backward pass of attention is ten
    times slower on a CPU. They become zero.
    """
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)


def document_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    documents: tuple[int, ...] = (),
    **_: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each document of a row.

    query (1, heads, T, size), key and value (1, key-value heads, T, size), any float dtype;
    `documents` are the lengths of the documents, with sum T (or, where p processes share the row,
    p T). Returns (1, T, heads, size).
    """
    group = _sharing[0] if _sharing else None
    if group is not None:
        parts = dist.get_world_size(group)
        repeat = max(1, parts // key.shape[1])  # fewer key-value heads than processes
        key, value = (x.repeat_interleave(repeat, dim=1) for x in (key, value))
        query, key, value = (_swap(x, group, split=1, join=2) for x in (query, key, value))
    lengths = list(documents) or [query.shape[2]]
    grouped = query.shape[1] != key.shape[1]
    dtype, on_cpu = value.dtype, value.device.type == "cpu"
    if on_cpu:  # the CPU's backward kernel takes twice as long in bfloat16 as in float32
        query, key, value = query.float(), key.float(), value.float()
    with torch.autocast(value.device.type, enabled=not on_cpu and torch.is_autocast_enabled()):
        outputs = [
            F.scaled_dot_product_attention(
                q, k, v, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=grouped
            )
            for q, k, v in zip(*(x.split(lengths, dim=2) for x in (query, key, value)), strict=True)
        ]
    output = torch.cat(outputs, dim=2).to(dtype)
    if group is not None:
        output = _swap(output, group, split=2, join=1)
    return output.transpose(1, 2), None


def _swap(x: torch.Tensor, group: dist.ProcessGroup, split: int, join: int) -> torch.Tensor:
    """Cut `x` along `split`, give each process of the group its part, join theirs along `join`."""
    parts = torch.stack(x.chunk(dist.get_world_size(group), dim=split)).contiguous()
    swapped = all_to_all_single(torch.empty_like(parts), parts, group=group)
    return torch.cat(swapped.unbind(0), dim=join)


AttentionInterface.register(NAME, document_attention)
