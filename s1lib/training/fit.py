"""Will it fit, and how long will it take: memory and time of a training run, before it starts.

Memory is counted tensor by tensor, for the eager Qwen2 layer of transformers with the attention
of `attention.py`; time is operations over what the hardware does per second. A laptop can plan a
cluster with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from s1lib.artifacts import RunError
from s1lib.chat import model_path
from s1lib.profile import Profile, Training
from s1lib.published import published
from s1lib.training.recipe import layout

H100 = 989e12  # dense bf16 operations per second; the same on an H200
GIB = 2**30


@dataclass(frozen=True)
class Shape:
    """A Qwen2-like decoder."""

    layers: int
    hidden: int
    mlp: int
    heads: int
    kv_heads: int
    vocabulary: int
    tied: bool = False
    head_size: int = 0

    @property
    def attention(self) -> int:
        """Width of all heads together (D)."""
        return self.heads * (self.head_size or self.hidden // self.heads)

    @property
    def keys(self) -> int:
        return self.kv_heads * (self.head_size or self.hidden // self.heads)

    @property
    def layer(self) -> int:
        """Parameters of one decoder layer, with biases of queries, keys and values."""
        h, a, k = self.hidden, self.attention, self.keys
        return 2 * h * a + 2 * h * k + a + 2 * k + 3 * h * self.mlp + 2 * h

    @property
    def parameters(self) -> int:
        tables = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layers * self.layer + tables + self.hidden

    def trained(self, recipe: Training) -> int:
        """Parameters that a recipe trains: all, or those of LoRA's adapters.

        An adapter of rank r beside a matrix of a rows and b columns has r (a + b).
        """
        h, a, k, m = self.hidden, self.attention, self.keys, self.mlp
        sides = 2 * (h + a) + 2 * (h + k) + 3 * (h + m)
        return self.layers * recipe.lora * sides if recipe.lora else self.parameters


SIZES = {  # as configurations call them
    "layers": "num_hidden_layers", "hidden": "hidden_size", "mlp": "intermediate_size",
    "heads": "num_attention_heads", "kv_heads": "num_key_value_heads", "vocabulary": "vocab_size",
    "tied": "tie_word_embeddings",
}  # fmt: skip
QWEN_32B = Shape(64, 5120, 27648, 40, 8, 152064)
KNOWN = {  # as on the hub, so that plans can be made without it
    "Qwen/Qwen2.5-0.5B-Instruct": Shape(24, 896, 4864, 14, 2, 151936, tied=True),
    "Qwen/Qwen2.5-1.5B-Instruct": Shape(28, 1536, 8960, 12, 2, 151936, tied=True),
    "Qwen/Qwen2.5-3B-Instruct": Shape(36, 2048, 11008, 16, 2, 151936, tied=True),
    "Qwen/Qwen2.5-7B-Instruct": Shape(28, 3584, 18944, 28, 4, 152064),
    "Qwen/Qwen2.5-32B-Instruct": QWEN_32B,
}


def read_shape(model: str) -> Shape:
    """The shape of a model, by name as in `chat.model_path`.

    Raises `RunError` if its configuration cannot be read, or is not like Qwen2's.
    """
    from transformers import AutoConfig

    if model in KNOWN:
        return KNOWN[model]
    try:
        config = AutoConfig.from_pretrained(model_path(model))
    except (OSError, ValueError):
        raise RunError(f"{model} has no configuration that can be read: is it there?") from None
    try:
        sizes = {ours: getattr(config, theirs) for ours, theirs in SIZES.items()}
    except AttributeError as error:
        raise RunError(f"{model} is no Qwen2-like model ({error}): choose another base") from None
    return Shape(**sizes, head_size=getattr(config, "head_dim", None) or 0)


# Memory


@dataclass(frozen=True)
class Memory:
    """Bytes per process at the moment when most is allocated."""

    weights: float
    optimizer: float
    gathered: float
    gradients: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        return sum(self.parts().values())

    def parts(self) -> dict[str, float]:
        return dict(vars(self))


def memory(
    shape: Shape, recipe: Training, row_tokens: float, accumulation: int = 1, gpu: bool = True
) -> Memory:
    """Peak memory of one process that trains on rows of `row_tokens`.

    Weights, gradients and AdamW's two moments are float32, sharded over the processes when there
    are several. With LoRA so are those of the adapters, and all other weights have the recipe's
    dtype (and no gradients, though the head's is counted). With `accumulation` above one, gradients
    of earlier rows are there all the time. The peak is at the end of the forward pass, at the first
    layer that is recomputed, or at the end of the backward pass, when all gradients are there.
    """
    shards, value = recipe.processes, 2 if recipe.dtype == "bfloat16" else 4
    tokens = row_tokens / recipe.sequence_parallel
    table = float(shape.vocabulary * shape.hidden)
    full = 4.0 * shape.trained(recipe) / shards
    frozen = float(value * shape.parameters) if recipe.lora else 0.0
    early = full if accumulation > 1 or recipe.lora else 4.0 * table / shards
    layer = saved_per_token(shape, value) * tokens
    working = 4.0 * (2 * shape.mlp + shape.hidden) * tokens * value / 4
    moments = [(full, layer + working, 0.0)]
    if recipe.checkpointing:
        inputs = float(shape.layers * tokens * shape.hidden * 4)
        moments += [(early, inputs, _logits(shape, tokens, value, gpu))]
        moments += [(early, inputs + layer + working, 0.0)]
    else:
        moments += [(early, shape.layers * layer, _logits(shape, tokens, value, gpu))]
    gathered = 2.0 * shape.layer * value if shards > 1 else 0.0
    peak = max(moments, key=sum)  # gradients, activations, logits
    return Memory(full + frozen, 2 * full, gathered, *peak)


def needed(book: Profile, shape: Shape, gpu: bool = True) -> Memory:
    """Memory of a process that trains s1: its rows are full of samples as long as the longest of
    the paper, or as the profile takes if that is less."""
    recipe = book.training
    longest = min(recipe.max_length, max(published_lengths(extra=500)))
    rows = layout(book, book.selection.size).accumulation
    return memory(shape, recipe, longest * recipe.micro_batch, rows, gpu)


def disk(shape: Shape, recipe: Training, models: int = 1) -> float:
    """Bytes that models take, float32, while one of them is trained: with it two checkpoints of
    what is trained, weights and AdamW's two moments."""
    checkpoints = 2 * 3 * shape.trained(recipe) if models else 0
    return 4.0 * (models * shape.parameters + checkpoints)


def saved_per_token(shape: Shape, value: int) -> float:
    """Bytes per token that one layer keeps for its backward pass, at `value` bytes per number.

    Per norm its input, the normalised input and the output; queries, keys, values, attention's
    output and its copy for the output projection; gate before and after SiLU, up, and product.
    In bfloat16 the residual stream and the norms stay float32, and each matrix product keeps its
    input in bfloat16.
    """
    h, a, k, m = shape.hidden, shape.attention, shape.keys, shape.mlp
    if value == 4:
        return 4.0 * (6 * h + 3 * a + 2 * k + 4 * m + shape.heads + 2)
    return 4.0 * (6 * h + shape.heads + 2) + 2.0 * (2 * h + 3 * a + 2 * k + 4 * m)


def _logits(shape: Shape, tokens: float, value: int, gpu: bool) -> float:
    """Scores of a row: in tiles on a GPU (`trl.kernels`), at once on a CPU (`trainer.row_loss`)."""
    if not gpu:  # logits, their logarithms of probabilities and two gradients, float32
        return 4 * 4.0 * tokens * shape.vocabulary
    table = shape.vocabulary * shape.hidden  # the head, gathered, and its gradient in float32
    return min(tokens, 4096) * 32768 * value + table * (value + 4.0)


# Time


def flops(shape: Shape, lengths: Sequence[float], convention: str = "6N") -> float:
    """Floating-point operations of one pass over `lengths`, forward and backward.

    "6N" counts parameters only; "causal" adds 6 L D T^2 per sequence for attention with its
    causal half. Recomputed activations count as nothing, as usual in model FLOPs utilisation.
    """
    linear = 6.0 * shape.parameters * sum(lengths)
    if convention == "6N":
        return linear
    if convention == "causal":
        return linear + 6.0 * shape.layers * shape.attention * sum(t * t for t in lengths)
    raise RunError(f"no convention {convention!r}: use 6N or causal")


def minutes(
    shape: Shape,
    lengths: Sequence[float],
    epochs: int,
    gpus: int,
    utilisation: float,
    imbalance: float = 1.0,
    convention: str = "6N",
    peak: float = H100,
) -> float:
    """Minutes of training at a utilisation of `peak`, when steps are `imbalance` too long."""
    work = epochs * flops(shape, lengths, convention)
    return float(work * imbalance / (gpus * peak * utilisation) / 60)


def utilisation(
    shape: Shape,
    lengths: Sequence[float],
    epochs: int,
    gpus: int,
    taken: float,
    convention: str = "6N",
) -> float:
    """Share of the peak that a run of `taken` minutes reached."""
    return minutes(shape, lengths, epochs, gpus, 1.0, convention=convention) / taken


def quadratic(shape: Shape) -> float:
    """The factor of `balance.cost` for this shape."""
    return shape.layers * shape.attention / shape.parameters


def published_lengths(extra: float = 0.0) -> list[float]:
    """1,000 lengths with the paper's histogram, scaled to its 4.7M tokens, each plus `extra`.

    `extra` stands for prompt and answer, which the histogram of traces leaves out (about 500).
    """
    histogram = published("lengths")["gemini"]
    edges, counts = histogram["bins"], histogram["counts"]
    middle = [(a + b) / 2 for a, b in pairwise(edges)]
    lengths = [m for m, count in zip(middle, counts, strict=True) for _ in range(count)]
    scale = 4.7e6 / sum(lengths)
    return [length * scale + extra for length in lengths]
