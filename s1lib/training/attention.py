"""Attention over a row of several documents, each of which sees only itself.

transformers can isolate packed documents with FlashAttention's variable-length kernels, or with a
dense mask of T x T entries. This is the third way, which needs neither: one causal attention per
document. It is exact on every device, costs no masked work, and rows hold few documents.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from transformers import AttentionInterface

NAME = "documents"


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
    `documents` are the lengths of the documents, with sum T. Returns (1, T, heads, size).
    """
    lengths = list(documents) or [query.shape[2]]
    grouped = query.shape[1] != key.shape[1]
    parts = zip(*(x.split(lengths, dim=2) for x in (query, key, value)), strict=True)
    outputs = [
        F.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout, is_causal=True, scale=scaling, enable_gqa=grouped
        )
        for q, k, v in parts
    ]
    return torch.cat(outputs, dim=2).transpose(1, 2), None


AttentionInterface.register(NAME, document_attention)
