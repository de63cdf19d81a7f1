"""One mechanism for every call that costs money.

`Calls.map` answers a list of requests. Stored answers are free; the rest is sent with bounded
concurrency, retried where that is worth it, kept below a cost cap and stored one by one: an answer
once received is never paid for again, whatever kills the process.

The cap holds because a call is sent only when its worst case fits. What it really cost is settled
when it ends; a call whose fate is unknown (timeout, dropped connection, killed process) stays on
the books at its worst case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from s1lib.artifacts import RunError
from s1lib.providers import batches, direct
from s1lib.providers.prices import Usage, price
from s1lib.providers.protocol import BatchProvider, Reply, Request
from s1lib.providers.run import Run, Settings
from s1lib.providers.store import Store

CACHED_FROM = 1024  # tokens of a system prompt; providers cache no shorter one


@dataclass(frozen=True)
class Estimate:
    """What a list of requests would cost, before the first call. `spent` is of the store so far."""

    calls: int = 0
    stored: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float = 0.0
    at_most: float = 0.0
    spent: float = 0.0
    cap: float = 0.0

    def __str__(self) -> str:
        if not self.calls:
            return "no call to make" + f", {self.stored:,} stored" * bool(self.stored)
        return (
            f"{self.calls:,} calls to make, {self.stored:,} stored; "
            f"{self.input_tokens / 1e6:,.1f}M tokens in, {self.output_tokens / 1e6:,.1f}M out; "
            f"about ${self.dollars:,.2f}, at most ${self.at_most:,.2f}; "
            f"${self.spent:,.2f} of ${self.cap:,.2f} spent"
        )

    def afford(self) -> None:
        """Raise `RunError` if the expected cost goes beyond the cap; the cap bounds the worst."""
        if self.spent + self.dollars > self.cap:
            raise RunError(
                f"{self.calls:,} calls would cost about ${self.dollars:,.2f}, more than the "
                f"${max(self.cap - self.spent, 0.0):,.2f} left of the cap of ${self.cap:,.2f}: "
                f"raise calls.max_dollars or take fewer questions"
            )


@dataclass
class Calls(Settings):
    """Calls with these settings. `again` is the status of stored answers that are asked again."""

    again: str = ""

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
        spent = 0.0
        if self.store.exists():
            with Store(self.store, write=False) as store:
                spent = store.settled()
        return Estimate(
            calls=len(todo),
            stored=len(stored),
            input_tokens=tokens,
            output_tokens=round(len(todo) * output_tokens),
            dollars=dollars,
            at_most=sum(request.worst(self.batch) for request in todo),
            spent=spent,
            cap=self.cap,
        )

    def map(self, requests: Sequence[Request], what: str = "calls") -> list[Reply]:
        """Answer all requests, in order; equal ones are asked once.

        Raises `RunError` when the cap is reached, the store is in use, the provider rejects
        key, account or model, or everything alike; `KeyboardInterrupt` after Ctrl-C, which waits
        for what is in flight (a second one does not).
        """
        stored = self._all(requests)
        if anew := {key for key, reply in stored.items() if reply.status == self.again}:
            with Store(self.store) as store:
                store.forget(anew)
        todo = {r.key: r for r in requests if r.key not in stored or r.key in anew}
        failed: dict[str, Reply] = {}
        if todo:
            failed = Run(self, todo, len(requests), what).join(_answer)
            stored = self._all(requests)
        return [stored.get(r.key) or failed[r.key] for r in requests]

    def stored(self, requests: Sequence[Request]) -> dict[str, Reply]:
        """The answers that are there already, by key; none of those that are to be asked again."""
        return {k: v for k, v in self._all(requests).items() if v.status != self.again}

    def _all(self, requests: Sequence[Request]) -> dict[str, Reply]:
        if not self.store.exists():
            return {}
        with Store(self.store, write=False) as store:
            return {k: _reply(v) for k, v in store.get(r.key for r in requests).items()}


async def _answer(run: Run) -> None:
    """By batches, if the run uses them or an earlier one did; what they leave, one by one."""
    provider = run.settings.provider
    if isinstance(provider, BatchProvider) and (
        run.settings.batch or run.store.batches(provider.name)
    ):
        await batches.collect(run, provider)
    await direct.answer(run)


def _reply(value: dict[str, Any]) -> Reply:
    usage = value.pop("usage")
    return Reply(**value, usage=usage and Usage(**usage))
