"""Workers in threads of their own, read as one stream.

What workers push comes out in the order in which it comes. An error in one is raised where the
stream is read and ends the others; so does whoever stops reading.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """Raised in a worker by `push` when nobody reads any more: let it pass."""


class Stream(Generic[T]):
    """What a worker gets from `read`: the place for its results."""

    def __init__(self) -> None:
        self.items: SimpleQueue[Any] = SimpleQueue()
        self.ends: list[Callable[[], object]] = []
        self.closed, self.lock = False, Lock()

    def push(self, item: T) -> None:
        """Hand an item to the reader. Raises `Closed` if there is none any more."""
        if self.closed:
            raise Closed
        self.items.put(item)

    def on_close(self, end: Callable[[], object]) -> None:
        """Call `end` when the reader stops, in its thread; now, if it has stopped already.

        For a worker that waits for something else than `push`, such as a process or a socket.
        `end` is called after a worker that has ended by itself, too.
        """
        with self.lock:
            if not self.closed:
                self.ends.append(end)
                return
        end()

    def close(self) -> None:
        with self.lock:
            self.closed = True
        for end in self.ends:
            end()


def read(
    workers: Sequence[Callable[[Stream[T]], object]], at_once: int = 0
) -> Generator[T, None, None]:
    """What `workers` push, `at_once` of them side by side (0: all), started in their order.

    Raises a worker's error, whatever it is, after the others have ended. Close the generator
    (`contextlib.closing`) to end them; it waits until they have.
    """
    stream: Stream[T] = Stream()
    threads = ThreadPoolExecutor(at_once or len(workers) or 1)
    try:
        for worker in workers:  # each is followed by its future in the queue
            threads.submit(worker, stream).add_done_callback(stream.items.put)
        for _ in workers:
            while not isinstance(item := stream.items.get(), Future):
                yield item
            with suppress(Closed):
                item.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        stream.close()
        threads.shutdown()
