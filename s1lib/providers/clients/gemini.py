"""Gemini through google-genai, thoughts requested: they come as separate parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from s1lib.providers.faults import ErrorInside, Failure, judge
from s1lib.providers.prices import Usage
from s1lib.providers.protocol import BatchProvider, Fetched, Reply, Request
from s1lib.providers.store import Batch

if TYPE_CHECKING:
    from google.genai import types

_REFUSED = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "prompt")
_STATUS = dict.fromkeys(_REFUSED, "refused") | {"MAX_TOKENS": "cut"}
_ENDED = {"JOB_STATE_SUCCEEDED", "JOB_STATE_PARTIALLY_SUCCEEDED"}
_GRPC = {3: "INVALID_ARGUMENT", 5: "NOT_FOUND", 7: "PERMISSION_DENIED", 9: "FAILED_PRECONDITION"}
_GRPC |= {11: "OUT_OF_RANGE", 16: "UNAUTHENTICATED"}  # any other is worth another try
_DEAD = {"JOB_STATE_FAILED", "JOB_STATE_CANCELLED", "JOB_STATE_EXPIRED"}


class Client(BatchProvider):
    """The Gemini API; settings are fields of `GenerateContentConfig`, thoughts are always asked."""

    keys = ("GEMINI_API_KEY", "GOOGLE_API_KEY")

    def connect(self, key: str) -> Any:
        from google import genai
        from google.genai import types

        once = types.HttpRetryOptions(attempts=1)
        options = types.HttpOptions(base_url=self.base_url, retry_options=once)
        return genai.Client(api_key=key, http_options=options, vertexai=False).aio

    async def send(self, request: Request) -> Reply:
        response = await self._client.models.generate_content(
            model=request.model, contents=request.prompt, config=_config(request)
        )
        return _reply(response)

    async def served(self) -> list[str]:
        models = await self._client.models.list(config={"page_size": 1000})
        return [(model.name or "").removeprefix("models/") async for model in models]

    async def submit(self, label: str, requests: Mapping[str, Request]) -> str:
        source: Any = [
            {
                "contents": [{"role": "user", "parts": [{"text": request.prompt}]}],
                "config": _config(request),
                "metadata": {"key": key},
            }
            for key, request in requests.items()
        ]
        model = next(iter(requests.values())).model
        job = await self._client.batches.create(
            model=model, src=source, config={"display_name": label}
        )
        return str(job.name)

    async def find(self, batch: Batch, taken: set[str]) -> str | None:
        async for job in await self._client.batches.list():
            if job.display_name == batch.label:
                return job.name
        return None

    async def fetch(self, remote: str, keys: Sequence[str]) -> Fetched | None:
        """The documentation promises the order of the requests, and the API does not keep it
        (googleapis/python-genai#1909): an answer is known by its key, or not at all."""
        job = await self._client.batches.get(name=remote)
        state = job.state.name if job.state else ""
        if state in _DEAD:
            failed = job.error and _failure(job.error)
            return Fetched(dict.fromkeys(keys, failed) if failed else {})
        if state not in _ENDED:
            return None
        outcomes: dict[str, Reply | Failure] = {}
        lost, asked = [], set(keys)
        for answer in (job.dest and job.dest.inlined_responses) or []:
            outcome = _outcome(answer)
            key = (answer.metadata or {}).get("key", "")
            if key in asked and key not in outcomes:
                outcomes[key] = outcome
            else:
                lost.append(outcome)
        return Fetched(outcomes, lost, keyed=bool(outcomes))


def _outcome(answer: types.InlinedResponse) -> Reply | Failure:
    if not answer.response:
        return _failure(answer.error)
    try:
        return _reply(answer.response)
    except ErrorInside as error:
        return judge(error.body, None)


def _failure(error: types.JobError | None) -> Failure:
    """An error of a batch has a code of gRPC (google/rpc/code.proto) and no HTTP status."""
    code = (error and error.code) or 0
    message = (error and error.message) or "no answer"
    return judge({"status": _GRPC.get(code, "UNKNOWN"), "message": message}, None)


def _config(request: Request) -> types.GenerateContentConfig:
    from google.genai import types

    return types.GenerateContentConfig(
        system_instruction=request.system or None,
        max_output_tokens=request.max_tokens,
        **{"thinking_config": {"include_thoughts": True}, **request.settings},
    )


def _reply(response: types.GenerateContentResponse) -> Reply:
    """A reply from a response. Raises `ErrorInside` for a body that has nothing of one."""
    if not (response.candidates or response.prompt_feedback or response.usage_metadata):
        raise ErrorInside({"message": "the answer holds neither candidates nor usage"})
    candidate = response.candidates[0] if response.candidates else None
    feedback = response.prompt_feedback
    finish = candidate.finish_reason.name if candidate and candidate.finish_reason else ""
    if not candidate and feedback and feedback.block_reason:
        finish = f"prompt {feedback.block_reason.name}"
    parts = (candidate and candidate.content and candidate.content.parts) or []
    text = "".join(part.text or "" for part in parts if not part.thought)
    return Reply(
        _STATUS.get(finish.partition(" ")[0]) or ("ok" if text.strip() else "empty"),
        text=text,
        thinking="".join(part.text or "" for part in parts if part.thought),
        finish=finish,
        model=response.model_version or "",
        usage=_usage(response.usage_metadata),
    )


def _usage(meta: types.GenerateContentResponseUsageMetadata | None) -> Usage | None:
    """`prompt_token_count` includes what is cached, `candidates_token_count` no thoughts."""
    if meta is None or meta.prompt_token_count is None:
        return None
    cached, thoughts = meta.cached_content_token_count or 0, meta.thoughts_token_count or 0
    return Usage(
        input=meta.prompt_token_count - cached,
        cached=cached,
        output=(meta.candidates_token_count or 0) + thoughts,
        thinking=thoughts,
    )
