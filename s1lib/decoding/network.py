"""A lean forward pass over the weights of a Qwen2 (or Llama) model, with a cache it owns.

One call feeds every live row its last token, and rows that were given several tokens at once (a
prompt, a forced span) the tokens before it too. All linear layers see one flat batch; attention
reads the cache row by row, in groups of neighbours, each sliced to its own longest row.

Held token for token against `transformers` in fp32 by `tests/test_engine.py`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from s1lib.artifacts import RunError
from s1lib.decoding.blocks import Layer, blocks, scripted


@dataclass(frozen=True)
class Chunk:
    """The tokens of one row before its last: `size` of them from `start`, at `offset` in the
    flat batch."""

    row: int
    start: int
    size: int
    offset: int


class Network:
    """The model and its key-value cache for `rows` rows of `columns` positions.

    `vocabulary` is the tokenizer's size: ids beyond it have no logits, so that they can neither
    win nor be drawn. Raises `RunError` for an architecture that it does not know.
    """

    def __init__(self, model: Any, vocabulary: int, group: int = 16) -> None:
        config = model.config
        if config.model_type not in ("qwen2", "llama"):
            raise RunError(
                f"the torch decoder knows Qwen2 and Llama, not {config.model_type}: use vLLM"
            )
        self.config, self.group = config, group
        self.heads = config.num_attention_heads
        self.kv_heads = config.num_key_value_heads or self.heads
        self.head_size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.eps = config.rms_norm_eps
        self.device, self.dtype = model.device, model.dtype
        self._run = scripted() if self.device.type == "cpu" else blocks
        with torch.no_grad():
            self.layers = [self._fuse(layer) for layer in model.model.layers]
            self.embedding = model.model.embed_tokens.weight.detach()
            self.norm = model.model.norm.weight.detach()
            head = model.get_output_embeddings().weight.detach()
            self.head = head[:vocabulary].t().contiguous()
        rotary = model.model.rotary_emb
        self._frequencies = rotary.inv_freq.float()
        self._scaling = float(getattr(rotary, "attention_scaling", 1.0))
        self._angles = torch.empty(0)
        self.cache: list[Tensor] = []
        self.columns = 0

    def _fuse(self, layer: Any) -> Layer:
        """One matrix for q, k and v, another for gate and up.

        Within each head the two halves that the rotary embedding mixes are interleaved, so that
        it is one complex product; k and v of a head lie side by side, as in the cache.
        """
        attention, mlp = layer.self_attn, layer.mlp
        half, size = self.head_size // 2, self.head_size
        turn = torch.stack((torch.arange(half), torch.arange(half) + half), 1).flatten()
        turn = turn.to(self.device)

        def rows(part: torch.nn.Linear) -> Tensor:
            bias = part.bias if part.bias is not None else part.weight.new_zeros(len(part.weight))
            return torch.cat((part.weight, bias[:, None]), 1).view(-1, size, part.in_features + 1)

        q, k, v = rows(attention.q_proj), rows(attention.k_proj), rows(attention.v_proj)
        kv = torch.stack((k[:, turn], v), 1).flatten(0, 1)
        qkv = torch.cat((q[:, turn], kv)).flatten(0, 1)
        return Layer(
            layer.input_layernorm.weight.detach(),
            qkv[:, :-1].t().contiguous(),
            qkv[:, -1].contiguous(),
            attention.o_proj.weight.t().contiguous(),
            layer.post_attention_layernorm.weight.detach(),
            torch.cat((mlp.gate_proj.weight, mlp.up_proj.weight)).t().contiguous(),
            mlp.down_proj.weight.t().contiguous(),
        )

    def reserve(self, rows: int, columns: int) -> None:
        """Preallocate the cache, unless there is room in the one at hand.

        Zeros at first, since a masked position still enters a product.
        """
        if self.cache and rows <= len(self.cache[0]) and columns <= self.columns:
            return
        self.columns = columns
        shape = (rows, columns, self.kv_heads, 2, self.head_size)
        self.cache = [torch.zeros(shape, dtype=self.dtype, device=self.device) for _ in self.layers]
        angles = torch.arange(columns, device=self.device)[:, None] * self._frequencies
        turns = torch.polar(torch.full_like(angles, self._scaling), angles)[:, None, None, :]
        still = torch.ones_like(turns)
        keys = torch.cat((turns, still), 2).expand(-1, self.kv_heads, -1, -1).flatten(1, 2)
        queries = turns.expand(-1, self.heads, -1, -1).flatten(1, 2)
        self._angles = torch.cat((queries, keys), 1).contiguous()
        self._range = torch.arange(columns, device=self.device)

    def twin(self) -> Network:
        """The same weights with a cache of its own."""
        other = copy.copy(self)
        other.cache, other.columns = [], 0
        return other

    def copy(self, source: int, target: int, length: int) -> None:
        """Fork: row `target` gets the first `length` positions of row `source`."""
        for cache in self.cache:
            cache[target, :length] = cache[source, :length]

    @torch.inference_mode()
    def forward(
        self,
        tokens: Tensor,
        places: Tensor,
        rows: Tensor,
        live: int,
        chunks: list[Chunk],
        lengths: list[int],
    ) -> Tensor:
        """Logits of the next token, shape (live, vocabulary), float of the model's dtype.

        `tokens`, `places` (positions) and `rows`, all int64 of shape (n,), begin with the last
        token of rows 0..live-1; the tokens of `chunks` follow. `lengths[i]` is the position of
        row i's last token.
        """
        x = F.embedding(tokens, self.embedding)
        slots = rows * self.columns + places
        angles = self._angles[places]
        groups = self._masks(places[:live], lengths)
        spans = [(one.row, one.offset, one.size, self._causal(one)) for one in chunks]
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
            mask = torch.zeros(unseen.shape, dtype=self.dtype, device=self.device)
            mask.masked_fill_(unseen, float("-inf"))
            found.append((start, stop, longest, mask[:, None, None, :]))
        return found

    def _causal(self, chunk: Chunk) -> Tensor:
        stop = chunk.start + chunk.size
        mask = torch.zeros(chunk.size, stop, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(
            self._range[:stop] > self._range[chunk.start : stop, None], float("-inf")
        )
