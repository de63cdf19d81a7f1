"""How tokens are drawn from a model's logits: the same settings for every backend."""

from __future__ import annotations

from dataclasses import dataclass

from s1lib.artifacts import RunError


@dataclass(frozen=True)
class Sampling:
    """Temperature 0 is greedy. Filters follow in the order of `transformers.generate`.

    `top_k=0`, `top_p=1` and `min_p=0` keep all tokens; `repetition_penalty=1` penalises none (it
    counts the tokens of the prompt, too, and holds for greedy decoding as well). Each prompt is
    decoded `samples` times; random numbers belong to (`seed`, problem, sample, position).
    `max_new_tokens` bounds the answer, or without budget forcing everything; None is the decoder's
    own limit. Raises `RunError` for a value that no backend takes.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
    samples: int = 1
    max_new_tokens: int | None = None

    def __post_init__(self) -> None:
        for name, right, remedy in (
            ("temperature", self.temperature >= 0, "use 0 or more"),
            ("top_p", 0 < self.top_p <= 1, "use more than 0, and 1 at most"),
            ("top_k", self.top_k >= 0, "use 0 or more"),
            ("min_p", 0 <= self.min_p <= 1, "use 0 to 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "use more than 0"),
            ("samples", self.samples >= 1, "use 1 or more"),
            ("max_new_tokens", self.max_new_tokens is None or self.max_new_tokens >= 1,
             "use 1 or more"),
        ):  # fmt: skip
            if not right:
                raise RunError(f"{name}={getattr(self, name)} is out of range: {remedy}")


GREEDY = Sampling()
