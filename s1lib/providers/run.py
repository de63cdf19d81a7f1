"""One run over a list of requests: its books, its cap, and when it ends early.

A run has an event loop in a thread of its own (a notebook has one already). How the requests
travel, one by one or in batches, is for those that use it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from s1lib.artifacts import RunError
from s1lib.progress import bar
from s1lib.providers.faults import Failure
from s1lib.providers.prices import Usage, price
from s1lib.providers.protocol import BatchProvider, Provider, Reply, Request
from s1lib.providers.store import Store

DOUBLINGS = 6  # of the pause between tries, which then stays as long


@dataclass
class Settings:
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


class Run:
    """Answers `todo`, the part of `total` requests that is not stored yet."""

    def __init__(
        self, settings: Settings, todo: Mapping[str, Request], total: int, what: str
    ) -> None:
        self.settings, self.todo, self.what = settings, todo, what
        # By key, which is no order at all: neighbours in a source tend to fail alike.
        self.queue = deque(sorted(todo))
        self.failed: dict[str, Reply] = {}
        self.ended: Counter[str] = Counter()
        self.answers = 0
        self.accepted: set[str] = set()  # kinds of request
        self.rejected: dict[str, tuple[int, str]] = {}  # by key, call and reason
        self.in_a_row = 0
        self.too_many = max(8, settings.concurrency, total // 100)
        self.interrupted = False
        self.reason: Exception | None = None
        self.halted = asyncio.Event()
        self.loop = asyncio.new_event_loop()

    def join(self, work: Callable[[Run], Awaitable[None]]) -> dict[str, Reply]:
        """Do the work to its end; returns what failed, by key."""
        self.task = self.loop.create_task(self._all(work))
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

    async def _all(self, work: Callable[[Run], Awaitable[None]]) -> None:
        shown = bar(self.what, len(self.todo))
        with Store(self.settings.store) as self.store, shown as self.bar:
            if self.store.lost.calls:
                print(
                    f"{self.store.lost.calls} calls were in flight when a process died; they may "
                    f"have cost ${self.store.lost.dollars:.4f}, which is counted as spent"
                )
            async with self.settings.provider:
                await work(self)
            if not self.halted.is_set():
                self._judge()
            ended = ", ".join(f"{n:,} {status}" for status, n in sorted(self.ended.items()))
            print(f"{self.what}: {ended or 'none'}; ${self.store.spent:.4f} spent so far")
            if self.ended["invalid"]:
                print("an invalid prompt is not asked again, unless by `-p again=invalid`")

    # The books

    def record(
        self,
        call: int,
        request: Request | str,
        reply: Reply,
        worst: float,
        batch: bool = False,
        how: str = "answered",
    ) -> None:
        """Store an answer and what it cost; `how` it came is how its call ended.

        Of a request of an earlier run, no more than the model is known.
        """
        model = request if isinstance(request, str) else request.model
        cost = cost_of(reply, model, worst, batch)
        asked = {"model": model} if isinstance(request, str) else asdict(request)
        self.store.settle(call, cost, how, asked, asdict(replace(reply, dollars=cost)))
        self.ended[reply.status] += 1
        if not isinstance(request, str) and reply.status != "invalid":
            self.accepted.add(request.kind)
            self.answers += 1
        self.in_a_row = 0
        self.bar.set_postfix_str(f"${self.store.spent:.2f} of ${self.settings.cap:.2f}", False)
        self.bar.update()

    def fail(
        self, call: int, request: Request | str, failure: Failure, worst: float, outcome: str
    ) -> bool:
        """Note a call that failed; returns whether to ask again."""
        if failure.action == "refuse":
            self.record(call, request, Reply("refused", finish=failure.why, usage=Usage()), worst)
            return False
        self.store.settle(call, worst if failure.billed else 0.0, outcome, wait=failure.wait)
        if failure.action == "stop":
            self.stop(failure.why)
        elif failure.action == "reject" and not isinstance(request, str):
            self.rejected[request.key] = (call, failure.why)
            self._count(failure.why)
        return failure.action == "retry"

    def give_up(self, key: str, why: str) -> None:
        self._leave(key, why)
        self._count(why)

    def _leave(self, key: str, why: str) -> None:
        self.failed[key] = Reply("failed", finish=why)
        self.ended["failed"] += 1

    def _judge(self) -> None:
        """Tell prompts that are wrong from a set-up that is, and store nothing but the former.

        A rejection is about its prompt if others of its kind were accepted in this run and none
        was rejected in the same words. What is left is asked again by a later run, which is free.
        """
        said = Counter((self.todo[key].kind, why) for key, (_, why) in self.rejected.items())
        for key, (call, why) in self.rejected.items():
            request = self.todo[key]
            if request.kind in self.accepted and said[request.kind, why] == 1:
                self.record(call, request, Reply("invalid", finish=why, usage=Usage()), 0.0)
                continue
            self._leave(key, why)
            if request.kind not in self.accepted and not self.store.accepted(asdict(request)):
                self.halt(
                    RunError(
                        f"{request.model} rejects every request, the last with {why}. None is "
                        f"taken for the answer to a question: mend the set-up and run again"
                    )
                )

    # Its end

    def _count(self, why: str) -> None:
        """End the run when nothing works any more."""
        self.in_a_row += 1
        if self.in_a_row >= self.too_many:
            self.stop(f"{self.in_a_row} calls in a row failed, the last with {why}")

    def halt(self, reason: Exception) -> None:
        """Send nothing any more, and raise `reason` when all that is in flight has ended."""
        self.reason = self.reason or reason
        self.halted.set()

    def stop(self, why: str) -> None:
        self.halt(RunError(f"{why}. Nothing is lost: mend it and run again"))

    def capped(self, worst: float) -> None:
        self.halt(
            RunError(
                f"the cap of ${self.settings.cap:.2f} is reached: ${self.store.spent:.4f} spent, "
                f"and the next call may cost ${worst:.4f}; to go on, raise calls.max_dollars"
            )
        )

    # Its pauses

    def pause(self, attempt: int, wait: float | None) -> float:
        """Seconds before the next try: exponential with jitter, but not before `wait`."""
        backoff = self.settings.backoff * 2 ** min(attempt, DOUBLINGS)
        return (wait or 0.0) + backoff * random.uniform(0.5, 1.0)

    def put_off(self, failure: Failure, pauses: int) -> bool:
        """Whether a call was told to wait, but not for how long, and its pauses may still grow.

        That is no try yet, or the quota of a minute would outlast all of them.
        """
        return failure.wait == 0 and pauses < DOUBLINGS

    async def sleep(self, seconds: float) -> None:
        """Pause, but no longer than the run."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.halted.wait(), seconds)


def cost_of(reply: Reply, model: str, worst: float, batch: bool) -> float:
    """Dollars of an answer; without a usage it may have cost the worst."""
    return worst if reply.usage is None else price(model).cost(reply.usage, batch)


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
