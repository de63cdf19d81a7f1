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
from dataclasses import asdict
from typing import TypeVar

from s1lib.artifacts import RunError
from s1lib.providers.faults import Failure, explain
from s1lib.providers.prices import Usage
from s1lib.providers.protocol import BatchProvider, Fetched, Reply
from s1lib.providers.run import Run
from s1lib.providers.store import Batch

T = TypeVar("T")
SIZE = 10_000  # requests in one batch
BYTES = 15_000_000  # of prompts in one batch
# Requests in the first batch, which tells whether answers come back under their keys: the only
# answer to the only request is known without one, so that nothing is lost where they do not.
FIRST = 1
NAMED = 5  # questions that a sentence names


async def collect(run: Run, provider: BatchProvider) -> None:
    """Collect what earlier runs sent of this; send the rest too, if the run uses batches.

    Returns with requests in the queue if batches turn out to be of no use.
    """
    waiting = [
        b for b in run.store.batches(provider.name) if not run.todo.keys().isdisjoint(b.keys)
    ]
    underway = {key for batch in waiting for key in batch.keys}
    run.queue = deque(key for key in run.queue if key not in underway)
    tries: Counter[str] = Counter()
    useful, proven = run.settings.batch, run.store.matched(provider.name)
    while (waiting or (useful and run.queue)) and not run.halted.is_set():
        while useful and (proven or not waiting):
            batch = _pack(run, SIZE if proven else FIRST)
            if not batch:
                break
            waiting.append(batch)
        if not waiting:
            return run.capped(run.todo[run.queue[0]].worst(batch=True))
        open_batches = []
        for batch in waiting:
            fetched = await _ended(run, provider, batch)
            if fetched is None:
                open_batches.append(batch)
                continue
            _settle(run, batch, fetched, tries)
            proven = proven or fetched.keyed
            if fetched.lost and useful:
                useful = False
                print(f"{provider.name} brings answers back without their keys: no more batches")
        waiting = open_batches
        if waiting:
            await run.sleep(run.settings.poll)
    for batch in [batch for batch in waiting if not batch.sent]:  # give back what was reserved
        for call, _ in run.store.flying(batch.label).values():
            run.store.settle(call, 0.0, "not sent")
        run.store.end_batch(batch.label)
        waiting.remove(batch)
    if waiting:
        print(f"{len(waiting)} batches are still being worked on: run again to collect them")


def _pack(run: Run, most: int) -> Batch | None:
    """Note a batch of as many waiting requests of one model as `most`, cap and size allow."""
    reserved: dict[str, float] = {}
    size = total = 0.0
    model = run.todo[run.queue[0]].model if run.queue else ""
    while run.queue and len(reserved) < most:
        request = run.todo[run.queue[0]]
        worst = request.worst(batch=True)
        size += len(request.system.encode()) + len(request.prompt.encode())
        total += worst
        full = reserved and (size > BYTES or request.model != model)
        if full or run.store.spent + total > run.settings.cap:
            break
        reserved[run.queue.popleft()] = worst
    if not reserved:
        return None
    label = f"s1-{uuid.uuid4().hex[:16]}"
    batch = Batch(label, run.settings.provider.name, model, list(reserved), time.time())
    run.store.send_batch(batch, reserved)
    return batch


async def _ended(run: Run, provider: BatchProvider, batch: Batch) -> Fetched | None:
    """What a batch has come back with, or None while it is being worked on."""
    fetched: Fetched | None = Fetched({})  # of one that never arrived
    if await _steady(run, lambda: _arrived(run, provider, batch)):
        fetched = await _steady(run, lambda: provider.fetch(str(batch.remote), batch.keys))
    return None if run.halted.is_set() else fetched


def _settle(run: Run, batch: Batch, fetched: Fetched, tries: Counter[str]) -> None:
    """Store what came back under its key; what was not answered is asked again.

    An answer without its key is paid for and belongs to nobody, since its place in the list proves
    nothing, unless it is the only one to the only request. It is set aside, and the run ends before
    anything else is sent: each question that it may answer is kept as `unclaimed`, with the price
    of one that was set aside, and is not asked again unless somebody wants that.
    """
    outcomes, how = fetched.outcomes, "answered"
    lost = deque(one for one in fetched.lost if isinstance(one, Reply))
    if len(batch.keys) == len(fetched.lost) == 1 and not outcomes:
        outcomes, how = {batch.keys[0]: fetched.lost[0]}, "answered without its key"
    elif lost:
        run.store.set_aside(batch.label, map(asdict, lost))
    count, unclaimed = len(lost), list[str]()
    for key, (call, worst) in run.store.flying(batch.label).items():
        outcome, request = outcomes.get(key), run.todo.get(key)
        if isinstance(outcome, Reply):
            run.record(call, request or batch.model, outcome, worst, batch=True, how=how)
            continue
        if isinstance(outcome, Failure):
            if not run.fail(call, request or batch.model, outcome, worst, outcome.action):
                continue
        elif count:
            reply = Reply("unclaimed", usage=lost.popleft().usage if lost else Usage())
            run.record(call, request or batch.model, reply, worst, batch=True, how="unclaimed")
            unclaimed.append(repr(request.prompt[:40]) if request else key)
            continue
        else:
            run.store.settle(call, 0.0, "not answered")
        tries[key] += 1
        if key in run.todo and tries[key] < run.settings.tries:
            run.queue.append(key)
        elif key in run.todo:
            run.give_up(key, "the batch ended without an answer")
    run.store.end_batch(batch.label)
    if unclaimed:
        more = f" and {len(unclaimed) - NAMED:,} more" * (len(unclaimed) > NAMED)
        run.halt(
            RunError(
                f"{count:,} answers came back without their keys, nobody can say to which of these "
                f"{len(unclaimed):,} questions: {', '.join(unclaimed[:NAMED])}{more}. They are "
                f"paid for and kept in the table unclaimed of {run.store.path}: run again to go "
                "on without these questions, or with -p again=unclaimed to pay for them once more"
            )
        )


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


async def _steady(run: Run, act: Callable[[], Awaitable[T]]) -> T | None:
    """Do what costs nothing to repeat, with the usual retries; halts the run after the last."""
    tries = pauses = 0
    while True:
        try:
            async with asyncio.timeout(run.settings.timeout):
                return await act()
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            tries += not run.put_off(failure, pauses)
            if failure.action != "retry" or tries == run.settings.tries:
                run.stop(failure.why)
                return None
            await run.sleep(run.pause(pauses, failure.wait))
            pauses += 1
