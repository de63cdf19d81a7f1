"""One mechanism for every call that costs money.

`Calls.map` answers a list of requests. Stored answers are free; the rest is sent with bounded
concurrency, retried where that is worth it, kept below a cost cap and stored one by one: an answer
once received is never paid for again, whatever kills the process.

The cap holds because a call is sent only when its worst case fits. What it really cost is settled
when it ends; a call whose fate is unknown (timeout, dropped connection, killed process) stays on
the books at its worst case.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tqdm import tqdm

from s1lib.artifacts import RunError
from s1lib.providers.batches import collect
from s1lib.providers.faults import explain
from s1lib.providers.prices import Usage, price
from s1lib.providers.store import Batch, Store

CACHED_FROM = 1024  # tokens of a system prompt; providers cache no shorter one


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

    @property
    def key(self) -> str:
        """SHA-256 (hex) of model, prompt and settings."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def worst(self, batch: bool = False) -> float:
        """Dollars that the answer cannot exceed."""
        return price(self.model).worst(self.system + self.prompt, self.max_tokens, batch)


@dataclass(frozen=True)
class Reply:
    """What came back. `failed` is not stored: a later run asks again.

    ok · cut: ended by `max_tokens` · refused: by a filter · empty: no text · invalid: the provider
    rejects the request · failed: no answer after all tries.
    """

    status: str
    text: str = ""
    thinking: str = ""
    finish: str = ""
    model: str = ""
    usage: Usage | None = None
    dollars: float = 0.0


class Provider(Protocol):
    """A client of one wire format. Entering it reads the key from the environment."""

    name: str

    async def __aenter__(self) -> Any: ...
    async def __aexit__(self, *_: object) -> None: ...
    async def send(self, request: Request) -> Reply:
        """Ask once. Raises whatever the client raises."""


@runtime_checkable
class BatchProvider(Provider, Protocol):
    """A provider with a batch interface."""

    async def submit(self, label: str, requests: Mapping[str, Request]) -> str:
        """Send a batch (requests by key); returns the provider's name for it."""

    async def find(self, batch: Batch, taken: set[str]) -> str | None:
        """The provider's name, none of `taken`, for a batch whose sender never learned it."""

    async def fetch(self, remote: str, keys: Sequence[str]) -> dict[str, Reply] | None:
        """Replies by key once the batch has ended (without what was never answered)."""


@dataclass(frozen=True)
class Estimate:
    """What a list of requests would cost, before the first call."""

    calls: int
    stored: int
    input_tokens: int
    output_tokens: int
    dollars: float
    at_most: float

    def __str__(self) -> str:
        return (
            f"{self.calls:,} calls to make, {self.stored:,} stored; "
            f"{self.input_tokens / 1e6:,.1f}M tokens in, {self.output_tokens / 1e6:,.1f}M out; "
            f"about ${self.dollars:,.2f}, at most ${self.at_most:,.2f}"
        )


@dataclass
class Calls:
    """A provider behind a store; `cap` is in dollars, over the whole life of the store.

    `timeout`, `backoff` (the first pause between tries, then doubled) and `poll` (between two
    looks at a batch) are seconds. With `batch`, requests travel by the batch interface.
    """

    store: Path
    provider: Provider | BatchProvider
    cap: float
    concurrency: int = 8
    batch: bool = False
    tries: int = 6
    timeout: float = 1800.0
    backoff: float = 1.0
    poll: float = 30.0

    def __post_init__(self) -> None:
        if self.batch and not isinstance(self.provider, BatchProvider):
            raise RunError(f"{self.provider.name} has no batches: set calls.batch_api to false")

    def estimate(self, requests: Sequence[Request], output_tokens: float) -> Estimate:
        """The dry run: what is not stored yet would cost this much. Makes no call.

        `output_tokens` is the expected mean per answer, thinking included. A token of a prompt
        is taken to be four bytes; a system prompt is read from the cache where that is priced,
        if it is long enough to be kept there.
        """
        stored = self.stored(requests)
        todo = list({r.key: r for r in requests if r.key not in stored}.values())
        tokens = 0
        dollars = 0.0
        for request in todo:
            rate = price(request.model)
            prompt, system = len(request.prompt.encode()) // 4, len(request.system.encode()) // 4
            cached = system >= CACHED_FROM and rate.written != rate.input
            fresh = prompt if cached else prompt + system
            usage = Usage(fresh, prompt + system - fresh, 0, round(output_tokens))
            tokens += prompt + system
            dollars += rate.cost(usage, self.batch)
        at_most = sum(request.worst(self.batch) for request in todo)
        out = round(len(todo) * output_tokens)
        return Estimate(len(todo), len(stored), tokens, out, dollars, at_most)

    def map(self, requests: Sequence[Request], what: str = "calls") -> list[Reply]:
        """Answer all requests, in order; equal ones are asked once.

        Raises `RunError` when the cap is reached, the store is in use, or the provider rejects
        key, account or model; `KeyboardInterrupt` after Ctrl-C, which waits for what is in
        flight (a second one does not).
        """
        stored = self.stored(requests)
        todo = {r.key: r for r in requests if r.key not in stored}
        failed: dict[str, Reply] = {}
        if todo:
            failed = Run(self, todo, what).join()
            stored = self.stored(requests)
        return [stored.get(r.key) or failed[r.key] for r in requests]

    def stored(self, requests: Sequence[Request]) -> dict[str, Reply]:
        """The answers that are there already, by key."""
        if not self.store.exists():
            return {}
        with Store(self.store, write=False) as store:
            return {k: _reply(v) for k, v in store.get(r.key for r in requests).items()}


class Run:
    """One `map`, on an event loop in a thread of its own (a notebook has one already)."""

    def __init__(self, calls: Calls, todo: dict[str, Request], what: str) -> None:
        self.calls, self.todo, self.what = calls, todo, what
        self.queue = deque(todo)
        self.failed: dict[str, Reply] = {}
        self.ended: Counter[str] = Counter()
        self.in_a_row = 0
        self.flying = 0
        self.interrupted = False
        self.reason: Exception | None = None
        self.halted = asyncio.Event()
        self.settled = asyncio.Condition()
        self.loop = asyncio.new_event_loop()

    def join(self) -> dict[str, Reply]:
        """Run to the end; returns what failed, by key."""
        self.task = self.loop.create_task(self._all())
        thread = threading.Thread(target=self._main, daemon=True)
        with _interrupts(self._interrupt):
            thread.start()
            while thread.is_alive():
                thread.join(0.2)
        if self.reason:
            raise self.reason
        if self.interrupted:
            raise KeyboardInterrupt
        return self.failed

    def _interrupt(self) -> None:
        act = self.task.cancel if self.interrupted else self.halted.set
        self.interrupted = True
        with contextlib.suppress(RuntimeError):  # the loop may have ended a moment ago
            self.loop.call_soon_threadsafe(act)

    def _main(self) -> None:
        try:
            self.loop.run_until_complete(self.task)
        except asyncio.CancelledError:
            pass
        except Exception as error:
            self.reason = self.reason or error
        finally:
            self.loop.close()

    async def _all(self) -> None:
        calls = self.calls
        quiet = 0.2 if sys.stderr.isatty() else 5.0
        bar = tqdm(desc=self.what, total=len(self.todo), mininterval=quiet, leave=False)
        with Store(calls.store) as self.store, bar as self.bar:
            if self.store.lost.calls:
                print(
                    f"{self.store.lost.calls} calls were in flight when a process died; they may "
                    f"have cost up to ${self.store.lost.dollars:.4f}, which counts as spent"
                )
            async with calls.provider:
                if isinstance(calls.provider, BatchProvider) and (
                    calls.batch or self.store.batches(calls.provider.name)
                ):
                    await collect(self, calls.provider)
                if not calls.batch:
                    size = min(calls.concurrency, len(self.queue))
                    await asyncio.gather(*(self._worker() for _ in range(size)))
            ended = ", ".join(f"{n:,} {status}" for status, n in sorted(self.ended.items()))
            print(f"{self.what}: {ended or 'none'}; ${self.store.spent:.4f} spent so far")

    async def _worker(self) -> None:
        while self.queue and not self.halted.is_set():
            try:
                await self._answer(self.queue.popleft())
            except Exception as error:  # a full disk, a bug: the others finish what is in flight
                self.halt(error)

    async def _answer(self, key: str) -> None:
        request, why = self.todo[key], ""
        worst = request.worst()
        if asked := self.store.pause(key):  # of a process that was stopped or killed meanwhile
            await self.sleep(self.pause(0, asked))
        for attempt in range(self.calls.tries):
            call = await self._reserve(key, worst)
            if call is None:
                return
            try:
                async with asyncio.timeout(self.calls.timeout):
                    reply = await self.calls.provider.send(request)
            except Exception as error:
                failure = explain(error)
                if failure is None:
                    raise
                why = failure.why
                if failure.action == "record":
                    reply = Reply("invalid", finish=why, usage=Usage())
                    return self.record(call, request, reply, worst)
                cost = worst if failure.billed else 0.0
                self.store.settle(call, cost, type(error).__name__, wait=failure.wait)
            else:
                return self.record(call, request, reply, worst)
            finally:
                self.flying -= 1
                async with self.settled:
                    self.settled.notify_all()
            if failure.action == "stop":
                return self.halt(RunError(f"{why}. Nothing is lost: mend it and run again"))
            await self.sleep(self.pause(attempt, failure.wait))
        self.give_up(key, why)

    async def _reserve(self, key: str, worst: float) -> int | None:
        """Note a call once its worst case fits under the cap; what is in flight may free some."""
        async with self.settled:
            while not self.halted.is_set():
                if self.store.spent + worst <= self.calls.cap:
                    self.flying += 1
                    return self.store.send(key, worst)
                if not self.flying:
                    self.capped(worst)
                else:
                    await self.settled.wait()
        return None

    # What a run and its batches share

    def record(
        self, call: int, request: Request | str, reply: Reply, worst: float, batch: bool = False
    ) -> None:
        """Store an answer and what it cost; without a usage it may have cost the worst.

        Of a request of an earlier run, no more than the model is known.
        """
        model = request if isinstance(request, str) else request.model
        cost = worst if reply.usage is None else price(model).cost(reply.usage, batch)
        asked = {"model": model} if isinstance(request, str) else asdict(request)
        self.store.settle(call, cost, "answered", asked, asdict(replace(reply, dollars=cost)))
        self.ended[reply.status] += 1
        self._count(reply.status == "invalid", reply.finish)
        self.bar.set_postfix_str(f"${self.store.spent:.2f} of ${self.calls.cap:.2f}", False)
        self.bar.update()

    def give_up(self, key: str, why: str) -> None:
        self.failed[key] = Reply("failed", finish=why)
        self.ended["failed"] += 1
        self._count(True, why)

    def _count(self, bad: bool, why: str) -> None:
        """End the run when nothing works any more."""
        self.in_a_row = self.in_a_row + 1 if bad else 0
        if self.in_a_row >= max(8, self.calls.concurrency):
            self.halt(RunError(f"{self.in_a_row} calls in a row failed, the last with {why}"))

    def halt(self, reason: Exception) -> None:
        """Send nothing any more, and raise `reason` when all that is in flight has ended."""
        self.reason = self.reason or reason
        self.halted.set()

    def capped(self, worst: float) -> None:
        self.halt(
            RunError(
                f"the cap of ${self.calls.cap:.2f} is reached: ${self.store.spent:.4f} spent, and "
                f"the next call may cost ${worst:.4f}; to go on, raise calls.max_dollars"
            )
        )

    def pause(self, attempt: int, wait: float | None) -> float:
        """Seconds before the next try: exponential with jitter, but not before `wait`."""
        backoff = min(self.calls.backoff * 2**attempt, 60.0)
        return (wait or 0.0) + backoff * random.uniform(0.5, 1.0)

    async def sleep(self, seconds: float) -> None:
        """Pause, but no longer than the run."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.halted.wait(), seconds)


@contextlib.contextmanager
def _interrupts(act: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C call `act` instead of raising (signals reach the main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _reply(value: dict[str, Any]) -> Reply:
    usage = value.pop("usage")
    return Reply(**value, usage=usage and Usage(**usage))
