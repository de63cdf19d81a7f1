"""The batch interface: half the price, answers within a day.

A batch is written down before it is sent and until it is collected, so that a process that dies
in between finds it again instead of paying for it twice.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from s1lib.artifacts import RunError
from s1lib.providers.faults import explain
from s1lib.providers.store import Batch

if TYPE_CHECKING:
    from s1lib.providers.calls import BatchProvider, Reply, Run

T = TypeVar("T")
SIZE = 10_000  # requests in one batch
BYTES = 15_000_000  # of prompts in one batch


async def collect(run: Run, provider: BatchProvider) -> None:
    """Collect what earlier runs sent of this; send the rest too, if the run uses batches."""
    waiting = [
        b for b in run.store.batches(provider.name) if not run.todo.keys().isdisjoint(b.keys)
    ]
    underway = {key for batch in waiting for key in batch.keys}
    run.queue = deque(key for key in run.queue if key not in underway)
    tries: Counter[str] = Counter()
    while (waiting or (run.calls.batch and run.queue)) and not run.halted.is_set():
        while run.calls.batch and (batch := _pack(run)):
            waiting.append(batch)
        if not waiting:
            return run.capped(run.todo[run.queue[0]].worst(batch=True))
        waiting = [batch for batch in waiting if not await _collected(run, provider, batch, tries)]
        if waiting:
            await run.sleep(run.calls.poll)
    for batch in [batch for batch in waiting if not batch.sent]:
        _drop(run, batch, "not sent")
        waiting.remove(batch)
    if waiting:
        print(f"{len(waiting)} batches are still being worked on: run again to collect them")


def _pack(run: Run) -> Batch | None:
    """Note a batch of as many waiting requests of one model as the cap and its size allow."""
    reserved: dict[str, float] = {}
    size = total = 0.0
    model = run.todo[run.queue[0]].model if run.queue else ""
    while run.queue and len(reserved) < SIZE:
        request = run.todo[run.queue[0]]
        worst = request.worst(batch=True)
        size += len(request.system.encode()) + len(request.prompt.encode())
        total += worst
        full = reserved and (size > BYTES or request.model != model)
        if full or run.store.spent + total > run.calls.cap:
            break
        reserved[run.queue.popleft()] = worst
    if not reserved:
        return None
    label = f"s1-{uuid.uuid4().hex[:16]}"
    batch = Batch(label, run.calls.provider.name, model, list(reserved), time.time())
    run.store.send_batch(batch, reserved)
    return batch


async def _collected(run: Run, provider: BatchProvider, batch: Batch, tries: Counter[str]) -> bool:
    """Whether the batch has ended; if so, its answers are stored and the rest asked again."""
    store = run.store
    replies: dict[str, Reply] | None = {}
    if await _steady(run, lambda: _arrived(run, provider, batch)):
        replies = await _steady(run, lambda: provider.fetch(str(batch.remote), batch.keys))
    if replies is None or run.halted.is_set():
        return False
    for key, (call, worst) in store.flying(batch.label).items():
        if key in replies:
            request = run.todo.get(key)
            run.record(call, request or batch.model, replies[key], worst, batch=True)
            continue
        store.settle(call, 0.0, "not answered")
        tries[key] += 1
        if key in run.todo and tries[key] < run.calls.tries:
            run.queue.append(key)
        elif key in run.todo:
            run.give_up(key, "the batch ended without an answer")
    store.end_batch(batch.label)
    return True


async def _arrived(run: Run, provider: BatchProvider, batch: Batch) -> bool:
    """Make sure that the provider has the batch; false for one that it never got and never will.

    A submission that broke off may have arrived: look for it before sending it again.
    """
    if batch.remote is None and batch.sent:
        batch.remote = await provider.find(batch, run.store.remotes())
    if batch.remote is None and all(key in run.todo for key in batch.keys):
        batch.sent = True
        try:
            batch.remote = await provider.submit(batch.label, {k: run.todo[k] for k in batch.keys})
        except Exception as error:
            failure = explain(error)
            batch.sent = failure is None or failure.action == "retry"  # refused: never arrived
            raise
    if batch.remote is None:
        return False
    run.store.name_batch(batch.label, batch.remote)
    return True


def _drop(run: Run, batch: Batch, why: str) -> None:
    """Give back what was reserved for a batch that the provider has not got."""
    for call, _ in run.store.flying(batch.label).values():
        run.store.settle(call, 0.0, why)
    run.store.end_batch(batch.label)


async def _steady(run: Run, act: Callable[[], Awaitable[T]]) -> T | None:
    """Do what costs nothing to repeat, with the usual retries; halts the run after the last."""
    for attempt in range(run.calls.tries):
        try:
            async with asyncio.timeout(run.calls.timeout):
                return await act()
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            if failure.action != "retry" or attempt + 1 == run.calls.tries:
                run.halt(RunError(f"{failure.why}. Nothing is lost: mend it and run again"))
                return None
            await run.sleep(run.pause(attempt, failure.wait))
    return None
