"""A leaner forward pass for Qwen2 and Llama as this file has checked them, over a cache it owns.

One call feeds every live row its last token, and rows that were given several tokens at once (a
prompt, a forced span) the tokens before it too. All linear layers see one flat batch; attention
reads the cache row by row, in groups of neighbours, each sliced to its own longest row.

Held token for token against `transformers` in fp32 by `tests/test_engine.py`. It exists for speed
alone, on small models above all: `fast.py`, `blocks.py` and `checked.py` can be deleted whole (with
the lines of `paths` and `methods.reward` that name `Fast`), and all is decoded by `general`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from s1lib.decoding.blocks import Layer, blocks, scripted
from s1lib.decoding.checked import check
from s1lib.decoding.network import Chunk, Ints, Network, enlarged

GROUP = 16  # rows that attention reads to the same length; measured on two cores
COPIED = 64 * 2**20  # bytes of weights that may be copied to lie as they are used


class Fast(Network):
    """The blocks `body` with the linear layer `head` on top, as they stand in a model.

    Small weights are copied, fused as they are used; large ones are used where they lie. Raises
    `Unknown` (see `s1lib.decoding.checked`) for any part that this file does not compute as it is.
    """

    parallel = True

    def __init__(self, body: Any, head: Any, vocabulary: int) -> None:
        check(body, head)
        config, self.vocabulary = body.config, vocabulary
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads or self.heads
        self.head_size = body.layers[0].self_attn.head_dim
        self.eps = config.rms_norm_eps
        self.device, self.dtype = head.weight.device, head.weight.dtype
        on_cpu = self.device.type == "cpu"
        self._run = scripted() if on_cpu else blocks
        if on_cpu:
            self.group = GROUP
        small = sum(part.nbytes for part in body.layers.parameters()) <= COPIED
        self._order = self._interleaved()
        with torch.no_grad():
            self.layers = [self._layer(layer, small) for layer in body.layers]
            self.embedding = body.embed_tokens.weight.detach()
            self.norm = body.norm.weight.detach()
            out = head.weight.detach()[:vocabulary].t()
            self.head = out.contiguous() if out.nbytes <= COPIED else out
        self._frequencies = body.rotary_emb.inv_freq.float()
        self._scaling = float(body.rotary_emb.attention_scaling)
        self.position_bytes = (
            2 * len(self.layers) * self.kv_heads * self.head_size * self.dtype.itemsize
        )
        self.clear()

    def _interleaved(self) -> Tensor:
        """The order in which columns of q, k and v are used.

        Within each head the two halves that the rotary embedding mixes are interleaved, so that
        it is one complex product; k and v of a head lie side by side, as in the cache.
        """
        half, size = self.head_size // 2, self.head_size
        turn = torch.stack((torch.arange(half), torch.arange(half) + half), 1).flatten()
        count = self.heads * size, self.kv_heads * size, self.kv_heads * size
        q, k, v = (part.view(-1, size) for part in torch.arange(sum(count)).split(count))
        kv = torch.stack((k[:, turn], v), 1).flatten(0, 1)
        return torch.cat((q[:, turn], kv)).flatten().to(self.device)

    def _layer(self, layer: Any, copied: bool) -> Layer:
        """One matrix for q, k and v, another for gate and up, unless they are large."""
        # 1. What the model has
        attention, mlp = layer.self_attn, layer.mlp
        three = [attention.q_proj, attention.k_proj, attention.v_proj]
        biases = [
            part.weight.new_zeros(part.out_features) if part.bias is None else part.bias
            for part in three
        ]
        qkv = [part.weight.detach() for part in three]
        gate_up = [mlp.gate_proj.weight.detach(), mlp.up_proj.weight.detach()]
        single = [attention.o_proj.weight.detach().t(), mlp.down_proj.weight.detach().t()]
        # 2. What is small, fused and in the order of its use
        order = self._order
        if copied:
            qkv, gate_up = [torch.cat(qkv)[order]], [torch.cat(gate_up)]
            single = [part.contiguous() for part in single]
        # 3. All transposed, as views where nothing was copied
        return Layer(
            layer.input_layernorm.weight.detach(),
            [part.t().contiguous() if copied else part.t() for part in qkv],
            torch.cat(biases).detach()[order],
            order.new_empty(0) if copied else order,
            single[0],
            layer.post_attention_layernorm.weight.detach(),
            [part.t().contiguous() if copied else part.t() for part in gate_up],
            single[1],
        )

    def clear(self) -> None:
        self.cache: list[Tensor] = []
        self.rows = self.columns = 0

    def _grow(self, rows: int, columns: int) -> None:
        shape = rows, columns, self.kv_heads, 2, self.head_size
        held: list[Tensor | None] = list(self.cache) or [None] * len(self.layers)
        self.cache = []
        for place in range(len(held)):  # one layer at a time is there twice
            self.cache.append(enlarged(held[place], shape, self.embedding))
            held[place] = None
        self.rows, self.columns = rows, columns
        angles = torch.arange(columns, device=self.device)[:, None] * self._frequencies
        turns = torch.polar(torch.full_like(angles, self._scaling), angles)[:, None, None, :]
        still = torch.ones_like(turns)
        keys = torch.cat((turns, still), 2).expand(-1, self.kv_heads, -1, -1).flatten(1, 2)
        queries = turns.expand(-1, self.heads, -1, -1).flatten(1, 2)
        self._angles = torch.cat((queries, keys), 1).contiguous()
        self._range = torch.arange(columns, device=self.device)

    def copy(self, source: int, target: int, length: int) -> None:
        for cache in self.cache:
            cache[target, :length] = cache[source, :length]

    @torch.inference_mode()
    def step(self, tokens: Ints, places: Ints, chunks: Sequence[Chunk]) -> Tensor:
        # 1. One flat batch: the rows' last tokens, then the chunks
        live, lengths = len(tokens), places.tolist()
        ids, at, rows = [tokens], [places], [np.arange(live)]
        offsets, offset = [], live
        for chunk in chunks:
            ids.append(np.asarray(chunk.ids))
            at.append(np.arange(chunk.start, chunk.start + len(chunk.ids)))
            rows.append(np.full(len(chunk.ids), chunk.row))
            offsets.append(offset)
            offset += len(chunk.ids)
        flat = torch.from_numpy(np.stack([np.concatenate(part) for part in (ids, at, rows)]))
        flat = flat.to(self.device, non_blocking=True)
        # 2. Where keys and values go, and what each query may see
        slots, angles = flat[2] * self.columns + flat[1], self._angles[flat[1]]
        groups = self._masks(flat[1][:live], lengths)
        spans = [
            (chunk.row, start, len(chunk.ids), self._causal(chunk))
            for chunk, start in zip(chunks, offsets, strict=True)
        ]
        # 3. All blocks, then the logits of the last tokens
        x = F.embedding(flat[0], self.embedding)
        shape = self.heads, self.kv_heads, self.head_size
        x = self._run(x, self.layers, self.cache, slots, angles, groups, spans, shape, self.eps)
        y = F.rms_norm(x[:live], self.norm.shape, self.norm, self.eps)
        return torch.mm(y, self.head)

    def _masks(self, places: Tensor, lengths: list[int]) -> list[tuple[int, int, int, Tensor]]:
        found = []
        for start in range(0, len(lengths), self.group):
            stop = min(start + self.group, len(lengths))
            longest = max(lengths[start:stop]) + 1
            unseen = self._range[:longest] > places[start:stop, None]
            found.append((start, stop, longest, self._mask(unseen)[:, None, None, :]))
        return found

    def _causal(self, chunk: Chunk) -> Tensor:
        stop = chunk.start + len(chunk.ids)
        return self._mask(self._range[:stop] > self._range[chunk.start : stop, None])

    def _mask(self, unseen: Tensor) -> Tensor:
        mask = torch.zeros(unseen.shape, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(unseen, float("-inf"))
