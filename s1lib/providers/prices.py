"""What tokens cost: the price list `prices.yaml` and the two sums made with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from s1lib.artifacts import RunError


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer as a provider bills them; `output` includes `thinking`."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    thinking: int = 0


@dataclass(frozen=True)
class Price:
    """Dollars per million tokens of one model, and the factor of its batch interface."""

    input: float
    output: float
    cached: float
    written: float
    batch: float = 1.0

    def cost(self, usage: Usage, batch: bool = False) -> float:
        """Dollars of one answer."""
        dollars = (
            usage.input * self.input
            + usage.cached * self.cached
            + usage.written * self.written
            + usage.output * self.output
        ) / 1e6
        return dollars * (self.batch if batch else 1.0)

    def worst(self, prompt: str, max_tokens: int, batch: bool = False) -> float:
        """Dollars that a call cannot exceed: no tokenizer makes more tokens than bytes."""
        tokens = len(prompt.encode()) + 256  # the provider's own tokens around the prompt
        dollars = (tokens * max(self.input, self.written) + max_tokens * self.output) / 1e6
        return dollars * (self.batch if batch else 1.0)


@cache
def _list() -> dict[str, Any]:
    return yaml.safe_load((resources.files(__package__) / "prices.yaml").read_text("utf-8"))


def prices_date() -> str:
    """The day (ISO) the price list was last compared with the providers' pages."""
    return str(_list()["date"])


def price(model: str) -> Price:
    """The price of a model. Raises `RunError` where the list has none."""
    row = _list()["models"].get(model)
    if row is None:
        raise RunError(f"no price for {model!r}: add it to s1lib/providers/prices.yaml")
    return Price(**{"cached": row["input"], "written": row["input"], **row})
