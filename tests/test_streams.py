"""Workers read as one stream: nothing lost, no error swallowed, nothing left running."""

import threading
import time
from contextlib import closing

import pytest

from s1lib.streams import Closed, Stream, read


def counter(start: int, count: int):
    def worker(stream: Stream[int]) -> None:
        for number in range(start, start + count):
            stream.push(number)

    return worker


def test_everything_that_is_pushed_comes_out_in_each_workers_order():
    found = list(read([counter(0, 100), counter(1000, 100), counter(2000, 0)]))
    assert sorted(found) == [*range(100), *range(1000, 1100)]
    assert [n for n in found if n < 1000] == [*range(100)]


def test_workers_begin_in_their_order_and_no_more_of_them_than_asked_for():
    running, most, begun = [], [], []

    def worker(number):
        def work(stream):
            begun.append(number)
            running.append(number)
            most.append(len(running))
            time.sleep(0.01)
            running.remove(number)
            stream.push(number)

        return work

    assert sorted(read([worker(n) for n in range(6)], at_once=2)) == [*range(6)]
    assert max(most) == 2 and begun[:2] == [0, 1]


def test_an_error_in_a_worker_is_raised_where_it_is_read_and_ends_the_others():
    ended = threading.Event()

    def fails(stream):
        raise KeyError("lost")

    def endless(stream):
        try:
            while True:
                stream.push(0)
        except Closed:
            ended.set()
            raise

    with pytest.raises(KeyError, match="lost"):
        list(read([endless, fails]))
    assert ended.is_set()


def test_a_worker_that_waits_for_something_else_is_told_when_nobody_reads_any_more():
    let_go = threading.Event()

    def waits(stream):
        stream.on_close(let_go.set)
        stream.push("waiting")
        let_go.wait()

    with closing(read([waits])) as stream:
        assert next(stream) == "waiting"
    assert let_go.is_set()


def test_a_worker_that_says_so_too_late_is_told_at_once():
    """A process that was started just when the reader stopped would otherwise live on."""
    closing_, told = threading.Event(), threading.Event()

    def slow(stream):
        stream.push("starting")
        closing_.wait()
        while not stream.closed:
            time.sleep(0.001)
        stream.on_close(told.set)

    def other(stream):
        stream.on_close(closing_.set)

    with closing(read([slow, other])) as stream:
        assert next(stream) == "starting"
    assert told.is_set()


def test_workers_that_have_not_begun_when_reading_stops_never_begin():
    begun = []

    def worker(stream):
        begun.append(0)
        while True:
            stream.push(0)

    with closing(read([worker, worker], at_once=1)) as stream:
        next(stream)
    assert len(begun) == 1
