"""What to do about a call that failed, and whether it may be billed.

Every provider says it in fields of its error object, and their values decide, not the wording:

| provider | fields |
|---|---|
| Gemini | `status`; `reason`, `quotaId` and `retryDelay` in the parts of `details` |
| Claude | `type`, `details.error_code` |
| OpenAI, DeepSeek, vLLM, OpenRouter | `code`, `type`, `metadata.flagged_input` |

Sources: google/rpc/error_details.proto, docs.claude.com/en/api/errors,
platform.openai.com/docs/guides/error-codes, openrouter.ai/docs/api-reference/errors.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal


class Malformed(Exception):
    """A response that is not what the wire format promises."""


class ErrorInside(Exception):
    """An error that came as an HTTP 200 (proxies do that). `body` is its error object."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(str(body.get("message", "")))
        self.body = dict(body)


@dataclass(frozen=True)
class Failure:
    """A classified fault. `wait` is the pause (seconds) that the provider asked for, 0 if it did
    not say how long.

    retry: ask again · refuse: a filter holds this very prompt back · reject: the prompt or the
    set-up is wrong, only other calls can tell which · stop: no call can succeed now.
    """

    action: Literal["retry", "refuse", "reject", "stop"]
    billed: bool
    why: str
    wait: float | None = None


_RETRY = {408, 409, 425, 429}  # and every 5xx
_STOP = {401, 402, 403, 404}
# Codes of the set-up that come with another HTTP status or, in a batch, with none.
_SET_UP = {
    # Gemini
    *("API_KEY_INVALID", "FAILED_PRECONDITION", "PERMISSION_DENIED", "UNAUTHENTICATED"),
    *("NOT_FOUND", "BILLING_DISABLED", "SERVICE_DISABLED"),
    # Claude
    *("authentication_error", "billing_error", "permission_error", "not_found_error"),
    *("contract_spend_limit_reached", "enforced_spend_limit_reached", "organization_on_hold"),
    *("linked_organization_spend_limit_reached", "linked_organization_billing_unavailable"),
    # OpenAI
    *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active"),
}
_FILTERED = {"content_filter", "content_policy_violation", "invalid_prompt"}
_WRONG = {"invalid_request_error", "request_too_large", "INVALID_ARGUMENT", "OUT_OF_RANGE"}
_LONG = re.compile(r"Per(Day|Week|Month)")  # in the name of a quota, beside PerMinute
_UNSENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ClientConnectorError"}
_BROKEN = {"TransportError", "APIConnectionError", "APIResponseValidationError"}  # httpx and SDKs
_BROKEN |= {"ClientConnectionError", "ClientPayloadError", "ClientResponseError"}  # aiohttp
_PATIENCE = 600.0  # seconds; a provider that asks for a longer pause ends the run


def explain(error: BaseException) -> Failure | None:
    """Classify an exception of any client; `None` for one that is not a fault of a call.

    | what happened | action | billed |
    |---|---|---|
    | 408, 409, 425, 429, 5xx | retry, not before the server allows it | no |
    | no connection | retry | no |
    | timeout, dropped connection, unreadable answer | retry | perhaps |
    | wrong key, empty account, unknown model, region, the quota of a day | stop the run | no |
    | a prompt that a filter holds back | record as refused | no |
    | any other 4xx | reject | no |
    """
    if isinstance(error, ErrorInside):
        code = error.body.get("code")
        return judge(error.body, code if isinstance(code, int) and code >= 400 else None)
    names = {cls.__name__ for link in _chain(error) for cls in type(link).__mro__}
    if names & _UNSENT:
        return Failure("retry", False, _why(error))
    if names & _BROKEN:
        return Failure("retry", True, _why(error))
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    if isinstance(status, int) and status >= 400:
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        return judge(_fields(error), status, retry_after(headers), _why(error))
    if isinstance(error, OSError | ValueError | Malformed):
        return Failure("retry", True, _why(error))
    return None


def judge(
    fields: Mapping[str, Any], status: int | None, wait: float | None = None, why: str = ""
) -> Failure:
    """Classify an error object. `status` is its HTTP status, none for a line of a batch."""
    parts = [part for part in _sequence(fields.get("details")) if isinstance(part, Mapping)]
    codes = {fields.get("code"), fields.get("type"), fields.get("status")}
    codes |= {part.get("reason") for part in parts} | {_inner(fields, "details").get("error_code")}
    names = {code for code in codes if isinstance(code, str)}
    if message := fields.get("message"):
        label = next((fields[name] for name in ("status", "code", "type") if fields.get(name)), "")
        why = _short(f"{label or 'error'}: {message}")
    for part in parts:
        for violation in _sequence(part.get("violations")):
            if _LONG.search(quota := str(violation.get("quotaId"))):
                return Failure("stop", False, f"the quota {quota} is used up for now")
    if names & _FILTERED or "flagged_input" in _inner(fields, "metadata"):
        return Failure("refuse", False, why)
    if status in _STOP or names & _SET_UP:
        return Failure("stop", False, why)
    if names & _WRONG if status is None else status < 500 and status not in _RETRY:
        return Failure("reject", False, why)
    delays = [_seconds(part["retryDelay"]) for part in parts if "retryDelay" in part]
    wait = max([*delays, wait or 0.0]) or (0.0 if status == 429 else wait)
    if wait and wait > _PATIENCE:
        return Failure("stop", False, f"the provider asks for a pause of {wait:.0f} s ({why})")
    return Failure("retry", False, why, wait)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header (seconds or an HTTP date), `None` without a valid one.

    `retry-after-ms` is finer, where a server sends it.
    """
    for name, parts in (("retry-after-ms", 1000), ("retry-after", 1)):
        text = headers.get(name, "").strip()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text) / parts
    try:
        then = parsedate_to_datetime(text)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - (now or datetime.now(UTC))).total_seconds())


def redact(text: str) -> str:
    """Blot out every secret of the environment, should a server or a client repeat one."""
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search(r"KEY|TOKEN|SECRET|PASSWORD", name.upper()):
            text = text.replace(value, "***")
    return text


def _why(error: BaseException) -> str:
    return _short(f"{type(error).__name__}: {error}")


def _short(text: str) -> str:
    return " ".join(redact(text).split())[:300].rstrip(".")


def _fields(error: BaseException) -> Mapping[str, Any]:
    """The error object of a response: google-genai has its body as `details`, others as `body`."""
    body = getattr(error, "body", None) or getattr(error, "details", None)
    body = body if isinstance(body, Mapping) else {}
    return _inner(body, "error") or body


def _inner(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, Mapping) else {}


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _seconds(duration: object) -> float:
    """Seconds of a protobuf duration such as `53s` or `1.5s`; 0 for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(duration))
    return float(found[1]) if found else 0.0


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
