"""What to do about a call that failed: retry, record or stop, and whether it may be billed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal


class Malformed(Exception):
    """A response that is not what the wire format promises."""


@dataclass(frozen=True)
class Failure:
    """A classified exception. `wait` is the pause (seconds) that the provider asked for."""

    action: Literal["retry", "record", "stop"]
    billed: bool
    why: str
    wait: float | None = None


_RETRY = {408, 409, 425, 429}  # and every 5xx
_STOP = {401, 402, 403, 404}
_HOPELESS = re.compile(r"api.key|credit balance|insufficient_quota|billing", re.IGNORECASE)
_UNSENT = {"ConnectError", "ConnectTimeout", "PoolTimeout"}
_BROKEN = {"TransportError", "APIConnectionError", "APIResponseValidationError"}
_PATIENCE = 600.0  # seconds; a provider that asks for a longer pause ends the run


def explain(error: BaseException) -> Failure | None:
    """Classify an exception of any client; `None` for one that is not a fault of a call.

    | what happened | action | billed |
    |---|---|---|
    | 408, 409, 425, 429, 5xx | retry, not before Retry-After | no |
    | no connection | retry | no |
    | timeout, dropped connection, unreadable answer | retry | perhaps |
    | wrong key, empty account, unknown model | stop the run | no |
    | any other 4xx | record as invalid | no |
    """
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    why = redact(f"{type(error).__name__}: {' '.join(str(error)[:300].split())}")
    if isinstance(status, int) and status >= 400:
        if status in _STOP or (status in {400, 429} and _HOPELESS.search(str(error))):
            return Failure("stop", False, why)
        if status < 500 and status not in _RETRY:
            return Failure("record", False, why)
        wait = retry_after(getattr(getattr(error, "response", None), "headers", None) or {})
        if wait and wait > _PATIENCE:
            return Failure("stop", False, f"the provider asks for a pause of {wait:.0f} s")
        return Failure("retry", False, why, wait)
    names = {cls.__name__ for link in _chain(error) for cls in type(link).__mro__}
    if names & _UNSENT:
        return Failure("retry", False, why)
    if names & _BROKEN or isinstance(error, OSError | ValueError | Malformed):
        return Failure("retry", True, why)
    return None


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header (seconds or an HTTP date), `None` without a valid one."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
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


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
