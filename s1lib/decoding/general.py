"""Any causal language model, through its own `forward` and a cache that `forward` fills.

Rows of different lengths share a batch as in `transformers.generate`: flush right, so that a token
and those before it lie side by side and every mask (causal, sliding, chunked) is the model's own.
What is cached is kept flush left, one row after the other, and gathered for each step, so that a
row can go back, fork or go on by several tokens without moving the others.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from s1lib.decoding.network import Chunk, Ints, Network, enlarged


class Past(CacheLayerMixin):
    """One layer's keys and values of all rows: (rows, columns, heads, size), grown as needed.

    Before a forward pass `General` says which positions it writes and reads (`Where`).
    """

    is_sliding = False  # sliding layers keep all positions, too: a row may go back

    def __init__(self, where: Where) -> None:
        super().__init__()
        self.where = where

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        self.is_initialized = True
        self.keys = self._put(self.keys, key_states)
        self.values = self._put(self.values, value_states)
        return self._get(self.keys), self._get(self.values)

    def grow(self, rows: int, columns: int) -> None:
        for name in ("keys", "values"):
            held = getattr(self, name)
            if held is not None:
                setattr(self, name, enlarged(held, (rows, columns, *held.shape[2:]), held))

    def _put(self, held: Tensor | None, new: Tensor) -> Tensor:
        if held is None:
            shape = self.where.rows, self.where.columns, new.shape[1], new.shape[3]
            held = enlarged(None, shape, new)
        at, into = self.where.real.to(new.device), self.where.write.to(new.device)
        flat = new.transpose(1, 2).flatten(0, 1)[at]
        held.flatten(0, 1).index_copy_(0, into, flat.to(held.dtype))
        return held

    def _get(self, held: Tensor) -> Tensor:
        read = self.where.read.to(held.device)
        return held.flatten(0, 1)[read.flatten()].unflatten(0, read.shape).transpose(1, 2)

    def get_seq_length(self) -> int:
        return self.where.before

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.where.before + query_length, 0

    def get_max_length(self) -> int:
        return -1


class Where:
    """Which positions of the cache a forward pass writes and reads, as slots row x columns."""

    rows = columns = before = 0
    real: Tensor  # the new tokens that are no padding, as places in the flat batch
    write: Tensor  # the slot of each of them
    read: Tensor  # (batch, before + new) slots; those of padding are any, since they are masked


class Whole(Network):
    """A model as a whole, and the ids of its rows: (rows, columns), int64.

    `model` must be on its device(s); it is only read, and may be quantised or adapted.
    """

    def __init__(self, model: Any, vocabulary: int) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.device, self.dtype = execution_device(model), model.dtype
        self.clear()

    def clear(self) -> None:
        self.ids, self.rows, self.columns = np.zeros((0, 0), np.int64), 0, 0

    def _grow(self, rows: int, columns: int) -> None:
        grown = np.zeros((rows, columns), np.int64)
        grown[: self.rows, : self.columns] = self.ids
        self.ids, self.rows, self.columns = grown, rows, columns

    def copy(self, source: int, target: int, length: int) -> None:
        self.ids[target, :length] = self.ids[source, :length]

    def _write(self, tokens: Ints, places: Ints, chunks: Sequence[Chunk]) -> None:
        self.ids[np.arange(len(tokens)), places] = tokens
        for chunk in chunks:
            self.ids[chunk.row, chunk.start : chunk.start + len(chunk.ids)] = chunk.ids


class General(Whole):
    """With a cache of all rows."""

    def __init__(self, model: Any, vocabulary: int) -> None:
        super().__init__(model, vocabulary)
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model  # peft's
        accepted = inspect.signature(bare.forward).parameters
        self._takes_places = "position_ids" in accepted
        self._keep = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def clear(self) -> None:
        super().clear()
        self.where = Where()
        self.cache: Any = Cache(layer_class_to_replicate=lambda: Past(self.where))  # type: ignore

    @property
    def position_bytes(self) -> int:  # type: ignore[override]
        """Known after the first step."""
        parts = [part for layer in self.cache.layers for part in (layer.keys, layer.values)]
        return sum(part[0, 0].nbytes for part in parts if part is not None)

    def _grow(self, rows: int, columns: int) -> None:
        super()._grow(rows, columns)
        self.where.rows, self.where.columns = rows, columns
        for layer in self.cache.layers:
            layer.grow(rows, columns)

    def copy(self, source: int, target: int, length: int) -> None:
        super().copy(source, target, length)
        for layer in self.cache.layers:
            for part in (layer.keys, layer.values):
                part[target, :length] = part[source, :length]

    @torch.inference_mode(False)  # tensors made there may not be changed outside
    @torch.no_grad()
    def step(self, tokens: Ints, places: Ints, chunks: Sequence[Chunk]) -> Tensor:
        self._write(tokens, places, chunks)
        sizes = np.ones(len(tokens), np.int64)
        for chunk in chunks:
            sizes[chunk.row] = places[chunk.row] - chunk.start + 1
        # rows that feed about as many tokens go together
        classes = np.ceil(np.log2(sizes)).astype(int)
        found: Tensor | None = None
        for one in np.unique(classes):
            rows = np.flatnonzero(classes == one)
            logits = self._feed(rows, places[rows], int(sizes[rows].max()))
            if len(rows) == len(tokens):
                return logits
            if found is None:
                found = logits.new_empty(len(tokens), logits.shape[1])
            found[torch.from_numpy(rows).to(found.device)] = logits
        assert found is not None
        return found

    def _feed(self, rows: Ints, places: Ints, size: int) -> Tensor:
        """The last `size` tokens of each row; what is cached of them already is fed again."""
        before = max(int(places.max()) + 1 - size, 0)
        # flush right: column -1 is each row's last token, columns below position 0 are padding
        seen = places[:, None] - np.arange(before + size - 1, -1, -1)
        new = seen[:, before:]
        slots = rows[:, None] * self.columns + seen.clip(0)
        where = self.where
        where.before = before
        where.real = torch.from_numpy(np.flatnonzero(new >= 0))
        where.write = torch.from_numpy(slots[:, before:][new >= 0])
        where.read = torch.from_numpy(slots)
        ids = np.where(new >= 0, self.ids[rows[:, None], new.clip(0)], 0)
        inputs = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy((seen >= 0).astype(np.int64)),
        }
        if self._takes_places:
            inputs["position_ids"] = torch.from_numpy(new.clip(0))
        inputs = {name: value.to(self.device) for name, value in inputs.items()}
        out = self.model(**inputs, past_key_values=self.cache, use_cache=True, **self._keep)
        return out.logits[:, -1, : self.vocabulary].to(self.device)


class Reread(Whole):
    """Without a cache: every step reads each row from its beginning, alone.

    Slow, and right for whatever a model keeps between tokens, such as a recurrent state.
    """

    def step(self, tokens: Ints, places: Ints, chunks: Sequence[Chunk]) -> Tensor:
        self._write(tokens, places, chunks)
        rows = [self.ids[row, : place + 1].tolist() for row, place in enumerate(places)]
        return torch.stack([own_logits(self.model, ids, self.device) for ids in rows])[
            :, : self.vocabulary
        ]


@torch.no_grad()
def own_logits(model: Any, ids: Sequence[int], device: torch.device) -> Tensor:
    """What the model itself says of the token after `ids`, without cache or padding."""
    tokens = torch.tensor([list(ids)], device=device)
    return model(input_ids=tokens, use_cache=False).logits[0, -1].to(device)


def execution_device(model: Any) -> torch.device:
    """Where inputs go: a model that is offloaded or sharded computes elsewhere than it lies."""
    hooks = (getattr(part, "_hf_hook", None) for part in model.modules())
    places = (getattr(hook, "execution_device", None) for hook in hooks)
    found = next((place for place in places if place is not None), model.device)
    return torch.device(found)
