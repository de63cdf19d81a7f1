"""Claude through anthropic; the system prompt (a rubric) is cached by the provider."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from s1lib.providers.faults import ErrorInside, Failure, Malformed, judge
from s1lib.providers.prices import Usage
from s1lib.providers.protocol import BatchProvider, Fetched, Reply, Request
from s1lib.providers.store import Batch

_STATUS = {"refusal": "refused", "max_tokens": "cut", "model_context_window_exceeded": "cut"}
_SKEW = 300.0  # seconds between two clocks


class Client(BatchProvider):
    """The Messages API; settings go into the body as they are."""

    keys = ("ANTHROPIC_API_KEY",)

    def connect(self, key: str) -> Any:
        from anthropic import AsyncAnthropic

        return AsyncAnthropic(api_key=key, base_url=self.base_url, max_retries=0, timeout=3600.0)

    async def send(self, request: Request) -> Reply:
        settings = dict(request.settings)
        message = await self._client.messages.create(**_body(request), extra_body=settings)
        return _reply(message)

    async def served(self) -> list[str]:
        """With the short names of dated models, which requests may use as well."""
        dated = [model.id async for model in self._client.models.list(limit=1000)]
        return [*dated, *(re.sub(r"-\d{8}$", "", name) for name in dated)]

    async def submit(self, label: str, requests: Mapping[str, Request]) -> str:
        items: Any = [
            {"custom_id": key, "params": {**_body(request), **request.settings}}
            for key, request in requests.items()
        ]
        batch = await self._client.messages.batches.create(requests=items)
        return batch.id

    async def find(self, batch: Batch, taken: set[str]) -> str | None:
        """Batches have no name of ours here: the oldest unknown one of this size since then."""
        found = None
        async for other in self._client.messages.batches.list(limit=100):
            if other.created_at.timestamp() < batch.made - _SKEW:
                break  # newest first
            counts = other.request_counts
            size = sum(getattr(counts, name) for name in type(counts).model_fields)
            if other.id not in taken and size == len(batch.keys):
                found = other.id
        return found

    async def fetch(self, remote: str, keys: Sequence[str]) -> Fetched | None:
        batch = await self._client.messages.batches.retrieve(remote)
        if batch.processing_status != "ended":
            return None
        outcomes = {}
        async for line in await self._client.messages.batches.results(remote):
            if outcome := _outcome(line.result):
                outcomes[line.custom_id] = outcome
        return Fetched(outcomes, keyed=bool(outcomes))


def _outcome(result: Any) -> Reply | Failure | None:
    """What a line of a batch says; None for one that was never worked on."""
    if result.type == "errored":
        return judge(result.error.error.model_dump(), None)
    if result.type != "succeeded":
        return None
    try:
        return _reply(result.message)
    except Malformed as error:  # one line is no reason to lose the others
        return Failure("retry", True, str(error))


def _body(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": [{"role": "user", "content": request.prompt}],
    }
    if request.system:
        cache = {"type": "ephemeral"}
        body["system"] = [{"type": "text", "text": request.system, "cache_control": cache}]
    return body


def _reply(message: Any) -> Reply:
    """A reply from a `Message`. Raises `ErrorInside` or `Malformed` for anything else."""
    if isinstance(error := getattr(message, "error", None), dict):
        raise ErrorInside(error)
    blocks = getattr(message, "content", None)
    usage = getattr(message, "usage", None)
    if not isinstance(blocks, list):
        raise Malformed("the answer is no message")
    text = "".join(block.text for block in blocks if block.type == "text")
    finish = message.stop_reason or ""
    return Reply(
        _STATUS.get(finish) or ("ok" if text.strip() else "empty"),
        text=text,
        thinking="".join(block.thinking for block in blocks if block.type == "thinking"),
        finish=finish,
        model=message.model,
        usage=usage
        and Usage(
            input=usage.input_tokens,
            cached=usage.cache_read_input_tokens or 0,
            written=usage.cache_creation_input_tokens or 0,
            output=usage.output_tokens,
        ),
    )
