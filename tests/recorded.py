"""Bodies that providers send with their errors, as people have pasted them into public reports.

`RECORDED[provider][situation]` is a status, headers and a body; ids of projects and requests are
made up, `{pause}` stands for seconds.
"""

from __future__ import annotations

import json
from typing import Any

Body = tuple[int, dict[str, str], dict[str, Any]]
_RPC = "type.googleapis.com/google.rpc"
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)


def _gemini(code: int, status: str, message: str, *details: dict[str, Any]) -> Body:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    return code, {}, {"error": {**error, "details": list(details)} if details else error}


def _quota(*periods: str) -> dict[str, Any]:
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    violations = [
        {
            "quotaMetric": metric,
            "quotaId": f"GenerateRequestsPer{period}PerProjectPerModel-FreeTier",
            "quotaDimensions": {"location": "global", "model": "gemini-2.5-flash"},
            "quotaValue": "10",
        }
        for period in periods
    ]
    return {"@type": f"{_RPC}.QuotaFailure", "violations": violations}


_RETRY = {"@type": f"{_RPC}.RetryInfo", "retryDelay": "{pause}s"}


def _claude(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Body:
    error = {"type": kind, "message": message}
    return status, headers or {}, {"type": "error", "error": error, "request_id": "req_011CR"}


def _openai(
    status: int, kind: str, code: Any, message: str, headers: dict[str, str] | None = None
) -> Body:
    error = {"message": message, "type": kind, "param": None, "code": code}
    return status, headers or {}, {"error": error}


RECORDED: dict[str, dict[str, Body]] = {
    "gemini": {
        # googleapis/python-genai#1875, langchain-ai/langchain-google#1445 and #945
        "minute": _gemini(
            429,
            "RESOURCE_EXHAUSTED",
            f"{_QUOTA} Please retry in {{pause}}s.",
            _quota("Minute"),
            {"@type": f"{_RPC}.Help", "links": [{"description": "Learn more", "url": "https://x"}]},
            _RETRY,
        ),
        # google-gemini/gemini-cli#8437: the delay is that of the minute, the day is over
        "day": _gemini(429, "RESOURCE_EXHAUSTED", _QUOTA, _quota("Minute", "Day"), _RETRY),
        # google/generative-ai-docs#236
        "silent": _gemini(
            429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."
        ),
        "busy": _gemini(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        "broken": _gemini(500, "INTERNAL", "An internal error has occurred. Please retry."),
        "key": _gemini(
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            {
                "@type": f"{_RPC}.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "generativelanguage.googleapis.com"},
            },
        ),
        # google-gemini/gemini-cli#24641
        "account": _gemini(
            400, "FAILED_PRECONDITION", "User location is not supported for the API use."
        ),
        "model": _gemini(404, "NOT_FOUND", "models/x is not found for API version v1beta."),
        "setting": _gemini(
            400,
            "INVALID_ARGUMENT",
            "Unable to submit request because it has a maxOutputTokens value of 65536 but the "
            "supported range is from 1 (inclusive) to 8193 (exclusive).",
        ),
        "prompt": _gemini(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1048700) exceeds the maximum number of tokens allowed.",
        ),
    },
    "claude": {
        "minute": _claude(
            429,
            "rate_limit_error",
            "This request would exceed your organization's rate limit of 50 requests per minute.",
            {"retry-after": "{pause}"},
        ),
        "day": (
            429,
            {},
            {
                "type": "error",
                "error": {
                    "type": "rate_limit_error",
                    "message": "You have reached your specified API usage limits.",
                    "details": {"error_code": "enforced_spend_limit_reached"},
                },
            },
        ),
        "silent": _claude(429, "rate_limit_error", "Number of concurrent connections exceeded."),
        "busy": _claude(529, "overloaded_error", "Overloaded"),
        "broken": _claude(500, "api_error", "Internal server error"),
        "key": _claude(401, "authentication_error", "invalid x-api-key"),
        "account": _claude(403, "permission_error", "Your organization has been disabled."),
        "model": _claude(404, "not_found_error", "model: claude-3-5-sonnet-20241022"),
        # anthropics/anthropic-sdk-python#899: a code of the request, a fault of the account
        "credit": _claude(
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & "
            "Billing to upgrade or purchase credits.",
        ),
        "setting": _claude(
            400,
            "invalid_request_error",
            "max_tokens: 65536 > 8192, which is the maximum allowed number of output tokens",
        ),
        "prompt": _claude(
            400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"
        ),
    },
    "openai": {
        "minute": _openai(
            429,
            "requests",
            "rate_limit_exceeded",
            "Rate limit reached for requests. Please try again in {pause}s.",
            {"retry-after-ms": "{pause_ms}"},
        ),
        "day": _openai(
            429,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        "silent": _openai(429, "tokens", "rate_limit_exceeded", "Rate limit reached for tokens."),
        "busy": _openai(503, "server_error", None, "The engine is currently overloaded."),
        "broken": _openai(500, "server_error", None, "The server had an error."),
        "key": _openai(401, "invalid_request_error", "invalid_api_key", "Incorrect API key."),
        "account": _openai(402, "unknown_error", "invalid_request_error", "Insufficient Balance"),
        "model": _openai(404, "invalid_request_error", "model_not_found", "No such model."),
        # vllm-project/vllm#20409
        "setting": (
            400,
            {},
            {
                "object": "error",
                "message": "This model's maximum context length is 16384 tokens. However, you "
                "requested 75127 tokens (9591 in the messages, 65536 in the completion).",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            },
        ),
        "prompt": _openai(
            400, "invalid_request_error", "context_length_exceeded", "Your messages are too long."
        ),
        # OpenRouter: an HTTP 200, nothing billed (openai/openai-agents-python#2850)
        "inside": (
            200,
            {},
            {
                "error": {
                    "message": "Provider returned error",
                    "code": 429,
                    "metadata": {"raw": "temporarily rate-limited upstream", "provider_name": "X"},
                },
                "user_id": "user_2x",
            },
        ),
        "filter": _openai(
            400, "invalid_request_error", "content_filter", "The prompt was filtered."
        ),
    },
}
RECORDED["gemini"]["inside"] = (200, {}, RECORDED["gemini"]["busy"][2])
RECORDED["claude"]["inside"] = (200, {}, RECORDED["claude"]["busy"][2])


def recorded(provider: str, situation: str, pause: float = 0.2) -> tuple[int, list[str], bytes]:
    """Status, header lines and body of an error, with its pause (seconds) filled in."""
    status, headers, body = RECORDED[provider][situation]

    def fill(text: str) -> str:
        return text.replace("{pause}", f"{pause:g}").replace("{pause_ms}", f"{1000 * pause:g}")

    lines = [f"{name}: {fill(value)}" for name, value in headers.items()]
    return status, lines, fill(json.dumps(body)).encode()
