"""What is asked and what comes back, whoever answers: the types that the clients share."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

from s1lib.artifacts import RunError
from s1lib.providers.faults import Failure
from s1lib.providers.prices import Usage, price
from s1lib.providers.store import Batch


@dataclass(frozen=True)
class Request:
    """What is asked; all fields together are the key of its answer.

    `max_tokens` bounds thinking and answer together, `settings` go to the provider as they are,
    and `ask` tells a question that is asked again from the first time.
    """

    model: str
    prompt: str
    max_tokens: int
    system: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    ask: int = 0

    @cached_property
    def key(self) -> str:
        """SHA-256 (hex) of model, prompt and settings."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def kind(self) -> str:
        """JSON of all but the prompt: what a mistake of the set-up is about."""
        asked = (self.model, self.max_tokens, self.system, dict(self.settings))
        return json.dumps(asked, sort_keys=True)

    def worst(self, batch: bool = False) -> float:
        """Dollars that the answer cannot exceed."""
        return price(self.model).worst(self.system + self.prompt, self.max_tokens, batch)


@dataclass(frozen=True)
class Reply:
    """What came back. `failed` is not stored: a later run asks again.

    ok · cut: ended by `max_tokens` · refused: by a filter · empty: no text · invalid: the provider
    rejects this prompt, and no other with these settings · unclaimed: a batch may have brought its
    answer, without its key · failed: no answer after all tries, or a rejection that may be about
    the set-up.
    """

    status: str
    text: str = ""
    thinking: str = ""
    finish: str = ""
    model: str = ""
    usage: Usage | None = None
    dollars: float = 0.0


class Fetched(NamedTuple):
    """What a batch came back with: by key, and, as `lost`, what came without one.

    `keyed` says that something came under its key.
    """

    outcomes: dict[str, Reply | Failure]
    lost: Sequence[Reply | Failure] = ()
    keyed: bool = False


class Provider(ABC):
    """A client of one wire format.

    Entering it reads the key, from the first of `keys` that the environment has. `base_url` is
    another server than the one that the library beneath it finds (in `GOOGLE_GEMINI_BASE_URL`,
    `ANTHROPIC_BASE_URL` or `OPENAI_BASE_URL`, or the provider's own).
    """

    keys: ClassVar[tuple[str, ...]]

    def __init__(self, base_url: str | None = None) -> None:
        self.base_url = base_url

    @property
    def name(self) -> str:
        """That of its module, by which profiles and stores know it."""
        return type(self).__module__.rpartition(".")[2]

    async def __aenter__(self) -> Self:
        key = next((os.environ[name] for name in self.keys if os.environ.get(name)), "")
        if not key:
            raise RunError(
                f"set {self.keys[0]} in the environment to call {self.name} (to any text for a "
                "server of your own)"
            )
        self._client = self.connect(key)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.__aexit__(*error)

    @abstractmethod
    def connect(self, key: str) -> Any:
        """The library's own client, without retries: they are ours, or the cap would not hold."""

    @abstractmethod
    async def send(self, request: Request) -> Reply:
        """Ask once. Raises whatever the client raises."""

    @abstractmethod
    async def served(self) -> list[str]:
        """Names of the models that it serves today, as it lists them itself."""


class BatchProvider(Provider):
    """A provider with a batch interface."""

    @abstractmethod
    async def submit(self, label: str, requests: Mapping[str, Request]) -> str:
        """Send a batch (requests by key); returns the provider's name for it."""

    @abstractmethod
    async def find(self, batch: Batch, taken: set[str]) -> str | None:
        """The provider's name, none of `taken`, for a batch whose sender never learned it."""

    @abstractmethod
    async def fetch(self, remote: str, keys: Sequence[str]) -> Fetched | None:
        """What became of `keys` once the batch has ended (without what was never answered)."""
