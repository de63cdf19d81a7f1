"""Any OpenAI-compatible server, for R1-style teachers (s1K-1.1 was made with DeepSeek-R1).

The thinking trace comes as `reasoning_content` (DeepSeek), as `reasoning` (vLLM) or between
`<think>` tags.
"""

from __future__ import annotations

from typing import Any

from s1lib.providers.faults import ErrorInside, Malformed
from s1lib.providers.prices import Usage
from s1lib.providers.protocol import Provider, Reply, Request

_STATUS = {"content_filter": "refused", "length": "cut"}


class Client(Provider):
    """The Chat Completions API; settings go into the body as they are."""

    keys = ("OPENAI_API_KEY",)

    def connect(self, key: str) -> Any:
        from openai import AsyncOpenAI

        return AsyncOpenAI(api_key=key, base_url=self.base_url, max_retries=0, timeout=3600.0)

    async def send(self, request: Request) -> Reply:
        turns: list[Any] = [{"role": "user", "content": request.prompt}]
        if request.system:
            turns.insert(0, {"role": "system", "content": request.system})
        completion = await self._client.chat.completions.create(
            model=request.model,
            messages=turns,
            max_tokens=request.max_tokens,
            extra_body=dict(request.settings),
        )
        return _reply(completion)

    async def served(self) -> list[str]:
        return [model.id async for model in self._client.models.list()]


def split_thinking(text: str) -> tuple[str, str]:
    """Thinking and answer of a text with `<think>` tags; templates may swallow the first tag."""
    thinking, tag, answer = text.partition("</think>")
    if not tag:
        opened = text.lstrip().startswith("<think>")
        thinking, answer = (text, "") if opened else ("", text)
    return thinking.strip().removeprefix("<think>").strip(), answer.strip()


def _reply(completion: Any) -> Reply:
    """A reply from a `ChatCompletion`. Raises `ErrorInside` or `Malformed` for anything else.

    Proxies put an error beside the choices, or into one that was broken off.
    """
    choices = getattr(completion, "choices", None)
    for part in (completion, *(choices or ())[:1]):
        if isinstance(error := getattr(part, "error", None), dict):
            raise ErrorInside(error)
    if not isinstance(choices, list):
        raise Malformed("the answer is no chat completion")
    if not choices:
        return Reply("empty", model=completion.model or "", usage=_usage(completion.usage))
    message, finish = choices[0].message, choices[0].finish_reason or ""
    thinking, text = split_thinking(message.content or "")
    separate = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    status = _STATUS.get(finish) or ("ok" if text else "empty")
    if message.refusal:
        status, text = "refused", message.refusal
    return Reply(
        status,
        text=text,
        thinking=separate or thinking,
        finish=finish,
        model=completion.model or "",
        usage=_usage(completion.usage),
    )


def _usage(usage: Any) -> Usage | None:
    """`prompt_tokens` includes what is cached, `completion_tokens` includes thinking."""
    if usage is None:
        return None
    cached = (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0
    details = usage.completion_tokens_details
    return Usage(
        input=usage.prompt_tokens - cached,
        cached=cached,
        output=usage.completion_tokens,
        thinking=(details and details.reasoning_tokens) or 0,
    )
