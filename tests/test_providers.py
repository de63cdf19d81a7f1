"""The three clients: what they send, and what they make of an answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from wire import Wire

from s1lib.artifacts import RunError
from s1lib.providers.calls import Calls
from s1lib.providers.clients import claude, gemini, openai
from s1lib.providers.clients.openai import split_thinking
from s1lib.providers.prices import price
from s1lib.providers.protocol import Provider, Reply, Request

MODELS: dict[str, tuple[Any, str, str]] = {
    "gemini-2.5-flash": (gemini.Client, "", "GEMINI_API_KEY"),
    "claude-haiku-4-5": (claude.Client, "", "ANTHROPIC_API_KEY"),
    "deepseek-reasoner": (openai.Client, "/v1", "OPENAI_API_KEY"),
}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    for _, _, name in MODELS.values():
        monkeypatch.setenv(name, "a-key-for-the-test")


def one(folder: Path, wire: Wire, model: str, **changes: Any) -> tuple[Reply, dict[str, Any]]:
    """The reply to one question, and the body that was sent for it."""
    make, path, _ = MODELS[model]
    provider: Provider = make(wire.url + path)
    request = Request(model, "How many?", 200, **changes)
    (reply,) = Calls(folder / "calls.sqlite", provider, 1.0, timeout=5.0, backoff=0.01).map(
        [request]
    )
    return reply, wire.requests[-1]


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_keeps_model_usage_and_cost(tmp_path: Path, model: str):
    with Wire() as wire:
        reply, _ = one(tmp_path, wire, model)
    assert (reply.status, reply.text, reply.model) == ("ok", "Answer: 9", model)
    assert reply.usage and reply.usage.input == len("How many?") // 4
    assert reply.dollars == price(model).cost(reply.usage) == pytest.approx(wire.billed)


@pytest.mark.parametrize("model", MODELS)
def test_a_missing_key_is_one_sentence(tmp_path: Path, model: str, monkeypatch):
    monkeypatch.delenv(MODELS[model][2])
    with Wire() as wire, pytest.raises(RunError, match=f"set {MODELS[model][2]} in the env"):
        one(tmp_path, wire, model)


def test_gemini_is_asked_for_thoughts_and_bounded(tmp_path: Path):
    with Wire() as wire:
        reply, body = one(tmp_path, wire, "gemini-2.5-flash", settings={"temperature": 0.7})
    config = body["generationConfig"]
    assert config["thinkingConfig"] == {"include_thoughts": True}  # as the client spells it
    assert (config["maxOutputTokens"], config["temperature"]) == (200, 0.7)
    assert reply.thinking == "I think about How many?"
    assert reply.usage and 0 < reply.usage.thinking < reply.usage.output


def test_a_rubric_is_cached_by_claude(tmp_path: Path):
    with Wire() as wire:
        _, body = one(tmp_path, wire, "claude-haiku-4-5", system="the rubric")
    (block,) = body["system"]
    assert block["text"] == "the rubric"
    assert block["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "deepseek-reasoner"])
def test_settings_go_into_the_body_as_they_are(tmp_path: Path, model: str):
    with Wire() as wire:
        _, body = one(tmp_path, wire, model, settings={"temperature": 0.5})
    assert (body["temperature"], body["max_tokens"]) == (0.5, 200)


def test_tokens_read_from_a_cache_are_cheaper_and_written_ones_dearer():
    from s1lib.providers.prices import Usage

    rate = price("claude-haiku-4-5")
    read, fresh, written = (
        rate.cost(Usage(**{kind: 1000})) for kind in ("cached", "input", "written")
    )
    assert read < fresh < written


@pytest.mark.parametrize(
    "text, thinking, answer",
    [
        ("<think>a</think>b", "a", "b"),
        ("a\n</think>\n\nb", "a", "b"),  # the chat template wrote the first tag
        ("b", "", "b"),
        ("<think>a", "<think>a".removeprefix("<think>"), ""),  # cut while thinking
        ("", "", ""),
    ],
)
def test_think_tags_are_split(text: str, thinking: str, answer: str):
    assert split_thinking(text) == (thinking, answer)


def test_an_openai_server_has_no_batches(tmp_path: Path):
    with pytest.raises(RunError, match="openai has no batches"):
        Calls(tmp_path / "calls.sqlite", openai.Client(), 1.0, batch=True)
