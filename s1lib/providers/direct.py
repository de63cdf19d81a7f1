"""One call for each request, so many at a time."""

from __future__ import annotations

import asyncio

from s1lib.providers.faults import explain
from s1lib.providers.run import Run


async def answer(run: Run) -> None:
    """Answer all that waits in the run's queue."""
    flight = _Flight()
    size = min(run.settings.concurrency, len(run.queue))
    await asyncio.gather(*(_worker(run, flight) for _ in range(size)))


class _Flight:
    """How many calls are in flight, and a signal when one of them ends."""

    def __init__(self) -> None:
        self.calls = 0
        self.settled = asyncio.Condition()


async def _worker(run: Run, flight: _Flight) -> None:
    while run.queue and not run.halted.is_set():
        try:
            await _answer(run, flight, run.queue.popleft())
        except Exception as error:  # a full disk, a bug: the others finish what is in flight
            run.halt(error)


async def _answer(run: Run, flight: _Flight, key: str) -> None:
    request, settings, why, tries, pauses = run.todo[key], run.settings, "", 0, 0
    worst = request.worst()
    if asked := run.store.pause(key):  # of a process that was stopped or killed meanwhile
        await run.sleep(run.pause(0, asked))
    while tries < settings.tries:
        call = await _reserve(run, flight, key, worst)
        if call is None:
            return
        answers = run.answers
        try:
            async with asyncio.timeout(settings.timeout):
                reply = await settings.provider.send(request)
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            if not run.fail(call, request, failure, worst, type(error).__name__):
                return
            why = failure.why
        else:
            return run.record(call, request, reply, worst)
        finally:
            flight.calls -= 1
            async with flight.settled:
                flight.settled.notify_all()
        await run.sleep(run.pause(pauses, failure.wait))
        # Waiting one's turn, as the server asked, is no try while others have theirs.
        others = failure.wait is not None and run.answers != answers
        tries += not (others or run.put_off(failure, pauses))
        pauses += 1
    run.give_up(key, why)


async def _reserve(run: Run, flight: _Flight, key: str, worst: float) -> int | None:
    """Note a call once its worst case fits under the cap; what is in flight may free some."""
    async with flight.settled:
        while not run.halted.is_set():
            if run.store.spent + worst <= run.settings.cap:
                flight.calls += 1
                return run.store.send(key, worst)
            if not flight.calls:
                run.capped(worst)
            else:
                await flight.settled.wait()
    return None
