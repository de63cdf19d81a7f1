"""Calls that cost money: the books of both sides, with real clients and a local server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from under_fire import ended, under_fire
from wire import Wire

from s1lib.artifacts import RunError
from s1lib.providers.batches import FIRST, NAMED
from s1lib.providers.calls import Calls
from s1lib.providers.clients import claude, gemini, openai
from s1lib.providers.faults import explain, redact, retry_after
from s1lib.providers.prices import Usage, price, prices_date
from s1lib.providers.protocol import Request
from s1lib.providers.run import DOUBLINGS
from s1lib.providers.store import Store

CANARY = "canary-0123456789"
GEMINI, CLAUDE, R1 = "gemini-2.5-flash", "claude-haiku-4-5", "deepseek-reasoner"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GEMINI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, CANARY)


def ask(n: int, model: str = GEMINI, **changes) -> list[Request]:
    return [Request(model, f"{model}, question {i}", 256, **changes) for i in range(n)]


def calls(folder: Path, wire: Wire, model: str = GEMINI, **changes) -> Calls:
    provider: dict[str, Any] = {
        GEMINI: gemini.Client(wire.url),
        CLAUDE: claude.Client(wire.url),
        R1: openai.Client(f"{wire.url}/v1"),
    }
    settings = {"cap": 10.0, "timeout": 5.0, "backoff": 0.01, "poll": 0.01, **changes}
    return Calls(folder / "calls.sqlite", provider[model], **settings)


def interrupt_once(ready: Callable[[], bool]) -> None:
    """Press Ctrl-C as soon as something has happened."""

    def press() -> None:
        while not ready():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()


def echo(prompt: str, attempt: int) -> str:
    """An answer that tells which question it belongs to."""
    return f"Answer to {prompt}"


# Keys and storage


def test_a_key_covers_model_prompt_and_settings():
    one = Request(GEMINI, "x", 8)
    others = (
        Request(CLAUDE, "x", 8),
        Request(GEMINI, "y", 8),
        Request(GEMINI, "x", 9),
        Request(GEMINI, "x", 8, system="s"),
        Request(GEMINI, "x", 8, settings={"seed": 1}),
        Request(GEMINI, "x", 8, ask=1),
    )
    assert Request(GEMINI, "x", 8).key == one.key
    assert len({one.key, *(other.key for other in others)}) == 1 + len(others)


def test_an_answer_is_asked_once_and_comes_back_in_any_order(tmp_path: Path):
    requests = ask(12) + ask(3)
    with Wire() as wire:
        first = calls(tmp_path, wire).map(requests)
        shuffled = random.Random(0).sample(requests, len(requests))
        second = calls(tmp_path, wire).map(shuffled)
    assert wire.served == Counter(request.prompt for request in ask(12))
    by_prompt = {r.prompt: reply for r, reply in zip(requests, first, strict=True)}
    assert second == [by_prompt[request.prompt] for request in shuffled]
    assert first[0].thinking == f"I think about {requests[0].prompt}"


def test_a_changed_setting_is_a_new_question(tmp_path: Path):
    with Wire() as wire:
        calls(tmp_path, wire).map(ask(2))
        calls(tmp_path, wire).map(ask(2, settings={"temperature": 0.5}))
    assert set(wire.served.values()) == {2}


def test_calls_can_be_made_where_an_event_loop_runs_already(tmp_path: Path):
    async def cell() -> list:
        return calls(tmp_path, wire).map(ask(2))

    with Wire() as wire:
        assert [reply.status for reply in asyncio.run(cell())] == ["ok", "ok"]


def test_a_second_process_on_one_store_is_refused_by_name(tmp_path: Path):
    refused = pytest.raises(RunError, match=f"in use by process {os.getpid()}")
    with Wire() as wire, Store(tmp_path / "calls.sqlite"), refused:
        calls(tmp_path, wire).map(ask(1))
    assert not wire.attempts


def test_stored_answers_can_be_read_while_another_process_writes(tmp_path: Path):
    with Wire() as wire:
        answers = calls(tmp_path, wire).map(ask(2))
        with Store(tmp_path / "calls.sqlite"):
            assert calls(tmp_path, wire).map(ask(2)) == answers


def test_a_full_disk_ends_in_one_sentence_and_loses_no_stored_answer(tmp_path: Path):
    with Store(tmp_path / "a.sqlite") as store:
        store.put({"first": "kept"})
        store._db.execute("PRAGMA max_page_count=12")
        with pytest.raises(RunError, match=r"a\.sqlite cannot be used \(.*full\): free disk"):
            store.put({str(i): "x" * 10_000 for i in range(20)})
    with Store(tmp_path / "a.sqlite") as store:
        assert store.get(["first", "0"]) == {"first": "kept"}


def test_a_damaged_store_is_named_with_its_remedy(tmp_path: Path):
    (tmp_path / "calls.sqlite").write_bytes(b"this is no database" * 100)
    with Wire() as wire, pytest.raises(RunError, match=r"calls\.sqlite cannot be used.*\.recover"):
        calls(tmp_path, wire).map(ask(1))


# What is worth retrying


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, R1])
def test_all_faults_mixed_end_in_one_answer_each(tmp_path: Path, model: str):
    with Wire(faults=0.4, refused=0.1, empty=0.1, rare={"hang": 0.1}) as wire:
        replies = calls(tmp_path, wire, model, concurrency=16, timeout=2.0).map(ask(60, model))
    statuses = Counter(reply.status for reply in replies)
    assert set(wire.served.values()) == {1}
    assert set(statuses) == {"ok", "refused", "empty"}
    assert sum(wire.seen.values()) > 10


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, R1])
def test_refused_and_empty_answers_are_answers(tmp_path: Path, model: str):
    with Wire(refused=0.5, empty=0.5) as wire:
        first = calls(tmp_path, wire, model).map(ask(8, model))
        second = calls(tmp_path, wire, model).map(ask(8, model))
    assert {reply.status for reply in first} == {"refused", "empty"}
    assert first == second
    assert set(wire.attempts.values()) == {1}


def only(situation: str, *prompts: str) -> Callable[[str], str]:
    """What a server says to some prompts that it does not say to others."""
    return lambda prompt: situation if prompt in prompts else ""


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, R1])
def test_a_wrong_prompt_among_right_ones_is_invalid_until_it_is_to_be_asked_again(
    tmp_path: Path, model: str
):
    requests = ask(20, model)
    wrong = requests[7].prompt
    with Wire(wrong=only("prompt", wrong)) as wire:
        replies = calls(tmp_path, wire, model).map(requests)
        assert Counter(reply.status for reply in replies) == {"ok": 19, "invalid": 1}
        assert (replies[7].status, replies[7].dollars) == ("invalid", 0)
        assert calls(tmp_path, wire, model).map(requests) == replies
        assert wire.attempts[wrong] == 1
        wire.wrong = only("")
        again = calls(tmp_path, wire, model, again="invalid")
        assert again.estimate(requests, 100).calls == 1
        assert {reply.status for reply in again.map(requests)} == {"ok"}
    assert set(wire.served.values()) == {1}


@pytest.mark.parametrize("n", [1, 5, 30])
@pytest.mark.parametrize(
    "model, situation",
    [(GEMINI, "setting"), (CLAUDE, "setting"), (CLAUDE, "credit"), (R1, "setting")],
)
def test_a_mistake_of_the_set_up_is_the_answer_to_no_question(
    tmp_path: Path, model: str, situation: str, n: int
):
    with Wire(situation=situation) as wire:
        with pytest.raises(RunError, match=r"(every request|in a row).*mend"):
            calls(tmp_path, wire, model).map(ask(n, model))
        assert not calls(tmp_path, wire, model).stored(ask(n, model))
        wire.situation = ""
        replies = calls(tmp_path, wire, model).map(ask(n, model))
    assert {reply.status for reply in replies} == {"ok"}


@pytest.mark.parametrize("n", [34, 100])
def test_an_account_that_runs_dry_on_the_way_leaves_no_trace(tmp_path: Path, n: int):
    with Wire() as wire:
        wire.wrong = lambda prompt: "credit" if wire.served.total() >= 30 else ""
        one = calls(tmp_path, wire, CLAUDE, concurrency=2)
        if n > 40:
            with pytest.raises(RunError, match=r"8 calls in a row.*credit balance"):
                one.map(ask(n, CLAUDE))
        else:
            statuses = Counter(reply.status for reply in one.map(ask(n, CLAUDE)))
            assert statuses == {"ok": 30, "failed": 4}
        wire.wrong = only("")
        assert {reply.status for reply in one.map(ask(n, CLAUDE))} == {"ok"}
    assert set(wire.served.values()) == {1}


def test_wrong_prompts_that_stand_together_do_not_end_a_run(tmp_path: Path):
    requests = ask(300, CLAUDE)
    together = [request.prompt for request in requests[100:130]]
    with Wire(wrong=only("prompt", *together)) as wire:
        replies = calls(tmp_path, wire, CLAUDE).map(requests)
    assert Counter(reply.status for reply in replies) == {"ok": 270, "failed": 30}


def test_a_prompt_that_a_filter_holds_back_is_refused(tmp_path: Path):
    requests = ask(3, R1)
    with Wire(wrong=only("filter", requests[0].prompt, requests[1].prompt)) as wire:
        replies = calls(tmp_path, wire, R1).map(requests)
        assert calls(tmp_path, wire, R1).map(requests) == replies
    assert [reply.status for reply in replies] == ["refused", "refused", "ok"]
    assert set(wire.attempts.values()) == {1}


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, R1])
@pytest.mark.parametrize("situation", ["key", "account", "model", "day"])
def test_what_no_call_can_get_past_ends_the_run_at_once(tmp_path: Path, model: str, situation: str):
    with Wire(situation=situation) as wire, pytest.raises(RunError, match="Nothing is lost"):
        calls(tmp_path, wire, model, concurrency=2).map(ask(50, model))
    with Store(tmp_path / "calls.sqlite") as store:
        assert store.spent == 0
    assert len(ended(tmp_path / "calls.sqlite")) <= 4


def test_a_used_up_day_is_named(tmp_path: Path):
    quota = r"GenerateRequestsPerDayPerProjectPerModel-FreeTier is used up"
    with Wire(situation="day") as wire, pytest.raises(RunError, match=quota):
        calls(tmp_path, wire).map(ask(1))


@pytest.mark.parametrize("status, message", [(401, "invalid key"), (400, "API key not valid")])
def test_a_wrong_key_ends_the_run(tmp_path: Path, status: int, message: str):
    with Wire(status=status, message=message) as wire:
        with pytest.raises(RunError, match=f"{message}.*Nothing is lost"):
            calls(tmp_path, wire, concurrency=2).map(ask(50))
        wire.status = 0
        assert {reply.status for reply in calls(tmp_path, wire).map(ask(50))} == {"ok"}


def test_what_failed_after_all_tries_is_asked_again_by_the_next_run(tmp_path: Path):
    with Wire(status=503) as wire:
        (reply,) = calls(tmp_path, wire, tries=2).map(ask(1))
        assert reply.status == "failed"
        wire.status = 0
        assert calls(tmp_path, wire).map(ask(1))[0].status == "ok"


def test_a_run_whose_requests_are_all_rejected_ends_early(tmp_path: Path):
    early = pytest.raises(RunError, match=r"8 calls in a row failed.*no such setting")
    with Wire(status=400, message="no such setting") as wire, early:
        calls(tmp_path, wire).map(ask(500))
    assert len(ended(tmp_path / "calls.sqlite")) < 30


def test_a_dead_server_ends_the_run_and_costs_nothing(tmp_path: Path):
    with Wire() as wire:
        pass
    with pytest.raises(RunError, match="8 calls in a row failed"):
        calls(tmp_path, wire, tries=2).map(ask(100))
    with Store(tmp_path / "calls.sqlite") as store:
        assert store.spent == 0


def test_a_call_of_unknown_fate_stays_on_the_books_at_its_worst(tmp_path: Path):
    (request,) = ask(1)
    with Wire(faults=1.0, kinds=("drop",), stubborn=1) as wire:
        (reply,) = calls(tmp_path, wire).map([request])
    with Store(tmp_path / "calls.sqlite") as store:
        assert store.spent == pytest.approx(reply.dollars + request.worst())


def test_retry_after_is_read_as_seconds_or_as_a_date():
    now = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    assert retry_after({"retry-after": "7"}) == 7
    assert retry_after({"retry-after": "0.5"}) == 0.5
    assert retry_after({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, now) == 30
    assert retry_after({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, now) == 0
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({}) is None
    assert retry_after({"retry-after-ms": "250", "retry-after": "1"}) == 0.25


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, R1])
@pytest.mark.parametrize("kind", ["minute", "429 date"])
def test_no_call_is_tried_again_before_the_server_allows_it(tmp_path: Path, kind: str, model: str):
    with Wire(faults=1.0, kinds=(kind,), stubborn=1) as wire:
        calls(tmp_path, wire, model, concurrency=4).map(ask(4, model))
    assert wire.seen == {kind: 4}
    assert wire.early.total() == 0


def test_a_pause_that_the_server_asked_for_outlives_the_process(tmp_path: Path):
    with Wire(faults=1.0, kinds=("minute",), stubborn=1, pause=1.5) as wire:
        interrupt_once(lambda: wire.seen.total() == 4)
        with pytest.raises(KeyboardInterrupt):
            calls(tmp_path, wire, concurrency=4).map(ask(4))
        assert [reply.status for reply in calls(tmp_path, wire).map(ask(4))] == ["ok"] * 4
    assert wire.attempts.total() == 8
    assert wire.early.total() == 0


@pytest.mark.parametrize(
    "model, said, n, tries",
    [
        (GEMINI, "minute", 20, 2),
        (CLAUDE, "minute", 20, 2),
        (R1, "minute", 20, 2),
        (R1, "silent", 60, 8),
    ],
)
def test_waiting_for_ones_turn_uses_up_no_try(
    tmp_path: Path, model: str, said: str, n: int, tries: int
):
    """Four calls per 0.3 s, all at once, and too few tries for that."""
    opened: list[float] = []

    def limit(prompt: str) -> str:
        now = time.monotonic()
        opened[:] = [then for then in opened if then > now - 0.3]
        if len(opened) >= 4:
            return said
        opened.append(now)
        return ""

    with Wire(wrong=limit, pause=0.3) as wire:
        replies = calls(tmp_path, wire, model, concurrency=n, tries=tries).map(ask(n, model))
    assert {reply.status for reply in replies} == {"ok"}
    assert max(wire.attempts.values()) > tries


def test_a_server_that_only_puts_off_is_given_up(tmp_path: Path):
    with Wire(situation="minute", pause=0.01) as wire:
        (reply,) = calls(tmp_path, wire, tries=3).map(ask(1))
    assert reply.status == "failed"
    assert "RESOURCE_EXHAUSTED" in reply.finish


def shut(seconds: float) -> Callable[[str], str]:
    """A limit that names no delay and lets nobody through for so long after the first call."""
    first: list[float] = []

    def limit(prompt: str) -> str:
        first.append(time.monotonic())
        return "silent" if first[-1] < first[0] + seconds else ""

    return limit


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, R1])
def test_a_limit_without_a_delay_is_waited_for_as_if_it_named_one(tmp_path: Path, model: str):
    """All tries were made in half of the minute that such a quota is for."""
    with Wire(wrong=shut(0.6)) as wire:
        (reply,) = calls(tmp_path, wire, model, tries=2).map(ask(1, model))
    assert reply.status == "ok"
    assert wire.attempts.total() > 2 + 1


def test_a_limit_without_a_delay_that_never_opens_is_given_up(tmp_path: Path):
    with Wire(wrong=lambda prompt: "silent") as wire:
        (reply,) = calls(tmp_path, wire, tries=2, backoff=0.001).map(ask(1))
    assert reply.status == "failed" and wire.attempts.total() == DOUBLINGS + 2


@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
def test_a_batch_waits_for_a_limit_without_a_delay_too(tmp_path: Path, model: str):
    with Wire(situation="silent") as wire:
        threading.Timer(0.6, lambda: setattr(wire, "situation", "")).start()
        replies = calls(tmp_path, wire, model, batch=True, tries=2).map(ask(3, model))
    assert [reply.status for reply in replies] == ["ok"] * 3


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, R1])
def test_an_error_inside_a_good_status_is_retried_and_costs_nothing(tmp_path: Path, model: str):
    with Wire(faults=1.0, kinds=("inside",), stubborn=3) as wire:
        (reply,) = calls(tmp_path, wire, model).map(ask(1, model))
    assert reply.status == "ok"
    assert wire.seen == {"inside": 3}
    with Store(tmp_path / "calls.sqlite") as store:
        assert store.spent == pytest.approx(wire.billed) == pytest.approx(reply.dollars)


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, R1])
def test_half_a_surrogate_pair_is_repaired_and_stored(tmp_path: Path, model: str):
    with Wire(say=lambda prompt, attempt: "\ud83d and \ud83d\ude00") as wire:
        (reply,) = calls(tmp_path, wire, model).map(ask(1, model))
        assert calls(tmp_path, wire, model).map(ask(1, model)) == [reply]
    assert reply.text == "\ufffd and \U0001f600"
    assert set(wire.attempts.values()) == {1}


def test_broken_connections_of_aiohttp_are_retried(tmp_path: Path):
    """google-genai travels by aiohttp where that is installed, as vLLM brings it along."""
    pytest.importorskip("aiohttp")
    with Wire(faults=1.0, kinds=("drop", "cut"), stubborn=2) as wire:
        assert [reply.status for reply in calls(tmp_path, wire).map(ask(4))] == ["ok"] * 4


@pytest.mark.parametrize(
    "name, billed",
    [
        ("ClientConnectionError", True),
        ("ClientPayloadError", True),
        ("ClientConnectorError", False),
    ],
)
def test_the_errors_of_aiohttp_are_known_by_name(name: str, billed: bool):
    failure = explain(type(name, (Exception,), {})("gone"))
    assert (failure.action, failure.billed) == ("retry", billed)


def test_a_fault_of_ours_is_not_taken_for_one_of_the_network():
    assert explain(TypeError("a bug")) is None
    assert explain(ConnectionResetError()).action == "retry"


# Money


@pytest.mark.parametrize("cap", [0.0, 0.0007, 0.005])
def test_the_cap_is_never_exceeded_and_raising_it_goes_on(tmp_path: Path, cap: float):
    with Wire(faults=0.3, kinds=("drop", "broken", "cut")) as wire:
        with pytest.raises(RunError, match="the cap of"):
            calls(tmp_path, wire, cap=cap, concurrency=16).map(ask(60))
        assert wire.billed <= cap
        with Store(tmp_path / "calls.sqlite") as store:
            assert wire.billed <= store.spent <= cap
        replies = calls(tmp_path, wire, concurrency=16).map(ask(60))
    assert [reply.status for reply in replies] == ["ok"] * 60
    assert set(wire.served.values()) == {1}


def test_the_dry_run_makes_no_call_and_bounds_the_bill(tmp_path: Path):
    with Wire() as wire:
        one = calls(tmp_path, wire)
        estimate = one.estimate(ask(20), output_tokens=70)
        assert not wire.attempts
        one.map(ask(20))
        assert one.estimate(ask(30), 70).calls == 10
    assert estimate.calls == 20
    assert estimate.dollars == pytest.approx(wire.billed, rel=0.3)
    assert wire.billed < estimate.at_most
    assert "20 calls to make" in str(estimate)


def test_no_text_costs_more_than_its_worst_case():
    rate = price(CLAUDE)
    for text in ("a", "数学" * 50, "\U0001f600" * 20, "x" * 4000):
        usage = Usage(written=len(text.encode()), output=100)
        assert rate.cost(usage) <= rate.worst(text, 100)
        assert rate.cost(usage, batch=True) <= rate.worst(text, 100, batch=True)


def test_a_model_without_a_price_is_named():
    with pytest.raises(RunError, match=r"no price for 'gpt-x'.*prices\.yaml"):
        Request("gpt-x", "hello", 10).worst()
    assert datetime.fromisoformat(prices_date())


def test_concurrency_is_bounded(tmp_path: Path):
    with Wire(latency=0.02) as wire:
        calls(tmp_path, wire, concurrency=5).map(ask(40))
    assert 1 < wire.most_open <= 5


# Batches


@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
def test_a_batch_costs_half_and_gives_the_same_answers(tmp_path: Path, model: str):
    with Wire() as wire:
        direct = calls(tmp_path / "direct", wire, model).map(ask(6, model))
        batch = calls(tmp_path / "batch", wire, model, batch=True).map(ask(6, model))
    assert [reply.text for reply in batch] == [reply.text for reply in direct]
    assert sum(r.dollars for r in batch) == pytest.approx(sum(r.dollars for r in direct) / 2)
    assert len(wire.batches) == 2


@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
def test_what_a_batch_leaves_out_is_asked_again(tmp_path: Path, model: str):
    requests = ask(6, model)
    last = max(requests, key=lambda request: request.key)
    with Wire(expire={last.prompt}) as wire:
        replies = calls(tmp_path, wire, model, batch=True).map(requests)
    assert [reply.status for reply in replies] == ["ok"] * 6
    assert set(wire.served.values()) == {1}
    assert len(wire.batches) == 3


@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
@pytest.mark.parametrize("short", [False, True])
def test_a_batch_in_another_order_or_short_gives_each_question_its_answer(
    tmp_path: Path, model: str, short: bool
):
    requests = ask(9, model)
    with Wire(say=echo, shuffled=True, short=short, expire={requests[4].prompt}) as wire:
        replies = calls(tmp_path, wire, model, batch=True).map(requests)
    assert [reply.text for reply in replies] == [echo(request.prompt, 1) for request in requests]
    assert set(wire.served.values()) == {1}
    assert wire.billed == pytest.approx(sum(reply.dollars for reply in replies))


def unclaimed(folder: Path) -> list[str]:
    """Texts of the answers that were set aside."""
    with contextlib.closing(sqlite3.connect(folder / "calls.sqlite")) as database:
        return [json.loads(text)["text"] for (text,) in database.execute(
            "SELECT reply FROM unclaimed"
        )]  # fmt: skip


def test_where_no_keys_come_back_a_first_batch_says_so_and_nothing_is_paid_twice(tmp_path: Path):
    """A first batch of fifty was paid for, belonged to nobody, and was paid for again."""
    requests = ask(30)
    with Wire() as wire:
        calls(tmp_path / "with", wire, batch=True).map(requests)
        assert len(wire.batches) == 2
        assert not wire.attempts
    with Wire(say=echo, nameless=True) as wire:
        one = calls(tmp_path / "without", wire, batch=True)
        replies = one.map(requests)
        assert [reply.text for reply in replies] == [echo(one.prompt, 1) for one in requests]
        one.map(ask(31))  # keys may have come back meanwhile, which a first batch says again
    assert len(wire.batches) == wire.unkeyed.total() == 2
    assert set(wire.served.values()) == {1}
    with Store(tmp_path / "without" / "calls.sqlite") as store:
        assert store.spent == pytest.approx(wire.billed)


@pytest.mark.parametrize("short", [False, True])
def test_a_batch_that_loses_keys_half_way_names_its_questions_and_asks_none_of_them_again(
    tmp_path: Path, short: bool
):
    """Its answers were set aside, and their questions paid for again without a word before."""
    requests = ask(9)
    lost = {requests[i].prompt for i in (3, 5, 6, 7, 8)}
    with Wire(say=echo, shuffled=True, short=short) as wire:
        one = calls(tmp_path, wire, batch=True)
        one.map(requests[:1])  # with its key, and so the others travel together
        wire.nameless, wire.expire = lost | {requests[4].prompt}, {requests[4].prompt}
        words = "^5 answers .* these 6 questions.* and 1 more.* -p again=unclaimed"
        with pytest.raises(RunError, match=words) as said:
            one.map(requests)
        assert sum(repr(request.prompt) in str(said.value) for request in requests[3:]) == NAMED
        statuses = [reply.status for reply in one.map(requests)]
        assert statuses == ["ok"] * 3 + ["unclaimed"] * 6
        assert len(wire.batches) == 2 and not wire.attempts
        assert sorted(unclaimed(tmp_path)) == sorted(echo(prompt, 1) for prompt in lost)
        replies = calls(tmp_path, wire, again="unclaimed").map(requests)
    assert [reply.text for reply in replies] == [echo(request.prompt, 1) for request in requests]
    assert {prompt for prompt, times in wire.served.items() if times > 1} == lost
    with Store(tmp_path / "calls.sqlite") as store:
        assert store.spent == pytest.approx(wire.billed)  # the lost ones were paid for, too


@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
def test_a_wrong_prompt_in_a_batch_is_invalid(tmp_path: Path, model: str):
    requests = ask(9, model)
    with Wire(wrong=only("prompt", requests[3].prompt)) as wire:
        replies = calls(tmp_path, wire, model, batch=True).map(requests)
        assert calls(tmp_path, wire, model, batch=True).map(requests) == replies
    assert Counter(reply.status for reply in replies) == {"ok": 8, "invalid": 1}
    assert replies[3].status == "invalid"
    assert len(wire.batches) == 2


@pytest.mark.parametrize("n", [3, 50])
@pytest.mark.parametrize(
    "model, situation",
    [(GEMINI, "setting"), (GEMINI, "account"), (CLAUDE, "credit"), (CLAUDE, "setting")],
)
def test_a_batch_that_the_set_up_made_fail_is_asked_again(
    tmp_path: Path, model: str, situation: str, n: int
):
    with Wire(wrong=lambda prompt: situation) as wire:
        one = calls(tmp_path, wire, model, batch=True)
        with pytest.raises(RunError, match=r"mend"):
            one.map(ask(n, model))
        wire.wrong = only("")
        assert [reply.status for reply in one.map(ask(n, model))] == ["ok"] * n
    assert len(wire.batches) == (3 if situation == "account" else 4)  # each time a first of one
    assert set(wire.served.values()) == {1}


def test_a_batch_in_which_the_money_ran_out_keeps_what_came_before(tmp_path: Path):
    requests = ask(30, CLAUDE)
    dry = [request.prompt for request in requests[25:]]
    with Wire(wrong=only("credit", *dry)) as wire:
        one = calls(tmp_path, wire, CLAUDE, batch=True)
        assert Counter(r.status for r in one.map(requests)) == {"ok": 25, "failed": 5}
        wire.wrong = only("")
        assert Counter(r.status for r in one.map(requests)) == {"ok": 30}
    assert set(wire.served.values()) == {1}


@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
def test_a_batch_whose_sender_died_is_collected_and_not_sent_again(tmp_path: Path, model: str):
    requests = ask(6, model)
    with Wire() as wire:
        one = calls(tmp_path, wire, model, batch=True)
        one.map(requests[:1])
        wire.batch_looks = 10**9
        interrupt_once(lambda: len([b for b in wire.batches.values() if b["looks"]]) == 2)
        with pytest.raises(KeyboardInterrupt):
            one.map(requests)
        with sqlite3.connect(tmp_path / "calls.sqlite") as database:  # died before it knew
            database.execute("UPDATE batches SET remote=NULL WHERE open")
        wire.batch_looks = 0
        replies = calls(tmp_path, wire, model).map(requests)
    assert [reply.status for reply in replies] == ["ok"] * 6
    assert len(wire.batches) == 2
    assert not wire.attempts


def test_batches_stay_under_the_cap(tmp_path: Path):
    requests = ask(30)
    cap = sum(request.worst(batch=True) for request in requests) * 0.7
    with Wire(batch_looks=0) as wire:
        replies = calls(tmp_path, wire, batch=True, cap=cap).map(requests)
        assert [reply.status for reply in replies] == ["ok"] * 30
        with pytest.raises(RunError, match="the cap of"):
            calls(tmp_path, wire, batch=True, cap=cap).map(ask(300))
        with Store(tmp_path / "calls.sqlite") as store:
            assert wire.billed == pytest.approx(store.spent)
    assert wire.billed <= cap
    assert len(wire.batches) > 1


@pytest.mark.parametrize("status", [400, 401, 404])
@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
def test_a_batch_that_is_refused_gives_its_share_of_the_cap_back(
    tmp_path: Path, model: str, status: int
):
    refusal = pytest.raises(RunError, match="Nothing is lost")
    with Wire(status=status, message="no such model") as wire, refusal:
        calls(tmp_path, wire, model, batch=True).map(ask(6, model))
    with Store(tmp_path / "calls.sqlite") as store:
        assert store.spent == 0
        assert not store.batches("gemini" if model == GEMINI else "claude")
    with Wire() as wire:
        replies = calls(tmp_path, wire, model, batch=True).map(ask(6, model))
    assert [reply.status for reply in replies] == ["ok"] * 6


# Keys stay secret


@pytest.mark.parametrize("model", [GEMINI, CLAUDE, R1])
@pytest.mark.parametrize("status", [0, 400, 401, 503])
def test_the_key_is_in_no_log_exception_or_file(
    tmp_path: Path,
    model: str,
    status: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture,
):
    caplog.set_level(logging.DEBUG)
    said = ""
    with Wire(status=status, message=f"your key {CANARY} is wrong") as wire:
        try:
            said = repr(calls(tmp_path, wire, model, tries=2).map(ask(2, model)))
        except RunError as error:
            said = repr(error) + repr(error.__cause__)
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert CANARY not in said + caplog.text + "".join(capfd.readouterr())
    assert CANARY.encode() not in files


def test_redacting_leaves_everything_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_TOKEN", "abcdefgh")
    assert redact(f"key {CANARY}, token abcdefgh, text") == "key ***, token ***, text"


def test_no_half_of_a_key_is_left_where_a_long_message_is_cut():
    for n in range(270, 300):
        assert CANARY[:6] not in explain(ConnectionError("x" * n + CANARY)).why


# Kills


def test_ctrl_c_waits_for_what_is_in_flight(tmp_path: Path):
    with Wire(latency=0.2) as wire:
        interrupt_once(lambda: sum(wire.served.values()) > 20)
        with pytest.raises(KeyboardInterrupt):
            calls(tmp_path, wire, concurrency=4).map(ask(2000))
        answered = len(calls(tmp_path, wire).stored(ask(2000)))
    assert 0 < answered == sum(wire.served.values())
    with Store(tmp_path / "calls.sqlite") as store:
        assert store.lost.calls == 0


def test_calls_under_fire(tmp_path: Path):
    """Faults, SIGKILLs, odd batches, a bad account, a cap (`S1LIB_FULL=1`: 5,000 requests)."""
    n, kills, concurrency = (5000, 10, 32) if os.environ.get("S1LIB_FULL") else (200, 3, 16)
    books = under_fire(tmp_path, n, kills, concurrency)
    answered = ("answered", "answered without its key")
    assert books["stored"] == sum(books["outcomes"].get(how, 0) for how in answered) == n
    assert books["kills"] == kills
    assert books["paid_again"] == books["never_served"] == books["over_cap"] == 0
    assert books["wrong_pairs"] == 0
    assert 0 < books["without_key"] <= FIRST
    assert books["before_retry_after"] == 0
    assert all(calls <= concurrency for calls in books["in_flight_at_kills"])
    assert books["served_again"] <= books["outcomes"].get("killed", 0) <= kills * concurrency
    assert books["billed"] <= books["on_the_books"] <= books["cap"]
    assert books["capped"] >= 1


def test_importing_the_mechanism_loads_no_client():
    code = (
        "import sys; from s1lib.providers import calls; "
        "from s1lib.providers.clients import gemini, claude, openai; "
        "sys.exit(bool({'anthropic', 'google.genai', 'torch'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
