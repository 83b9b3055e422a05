"""Working ahead: order, window, errors at their turn, calls that hang, and an end to all threads."""

import contextlib
import itertools
import threading
import time

import pytest

from cnnc_runtime.ahead import Ahead, Stopped
from cnnc_runtime.errors import ResourceLimitError


def wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("threads", [1, 4])
def test_answers_come_in_the_order_of_the_tasks(threads):
    def slow_if_even(number: int) -> int:
        time.sleep(0.002 * (number % 2 == 0))
        return number * number

    answers = list(Ahead(slow_if_even, range(50), threads=threads, window=7))
    assert answers == [number * number for number in range(50)]


@pytest.mark.parametrize("function", [None, lambda number: number])
def test_no_further_ahead_than_the_window(function):
    drawn = []
    ahead = Ahead(function, (drawn.append(number) or number for number in itertools.count()), window=5)
    wait_until(lambda: len(drawn) == 5)
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    wait_until(lambda: len(drawn) == 8)
    time.sleep(0.02)
    assert len(drawn) == 8
    assert ahead.close()


def test_an_error_comes_when_it_is_its_turn():
    ahead = Ahead(lambda number: 1 // (3 - number), range(9), window=9)
    assert [next(ahead) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(ahead)

    def tasks():
        yield 1
        raise KeyError("the source")

    for function in (None, lambda number: number):
        drawn = Ahead(function, tasks())
        assert next(drawn) == 1
        with pytest.raises(KeyError, match="the source"):
            next(drawn)
        with pytest.raises(StopIteration):
            next(drawn)


def test_a_call_that_hangs_is_left_to_itself():
    free = threading.Event()

    def call(number: int) -> int:
        if number in (2, 3):
            free.wait(20)
        return number

    ahead = Ahead(call, range(8), threads=2, window=4, timeout=0.5, late=lambda task: -task)
    assert list(ahead) == [0, 1, -2, -3, 4, 5, 6, 7]
    free.set()
    assert ahead.close()


def test_a_source_that_hangs_ends_with_what_late_raises():
    free = threading.Event()

    def tasks():
        yield 1
        free.wait(20)

    def late(task):
        raise ResourceLimitError("too late")

    ahead = Ahead(None, tasks(), timeout=0.5, late=late)
    assert next(ahead) == 1
    with pytest.raises(ResourceLimitError, match="too late"):
        next(ahead)
    free.set()
    assert ahead.close()


def test_a_time_limit_does_not_touch_what_is_in_time():
    ahead = Ahead(lambda number: number, range(20), threads=2, timeout=30, late=lambda task: -1)
    assert list(ahead) == list(range(20))


def test_storage_that_hangs_altogether_is_given_up():
    free = threading.Event()
    ahead = Ahead(lambda _: free.wait(30), range(100), threads=16, window=100, timeout=0.01, late=lambda task: task)
    with pytest.raises(ResourceLimitError, match="reads hang"):
        list(ahead)
    free.set()
    ahead.close()


def test_close_ends_the_threads_and_closes_the_source():
    closed = threading.Event()

    def tasks():
        try:
            yield from itertools.count()
        finally:
            closed.set()

    before = threading.active_count()
    ahead = Ahead(lambda number: number, tasks(), threads=3)
    assert next(ahead) == 0
    assert ahead.close()
    assert closed.is_set() and threading.active_count() <= before  # those of other tests may have ended as well


def test_close_says_if_a_call_goes_on():
    free = threading.Event()
    ahead = Ahead(lambda _: free.wait(20), range(1), threads=1)
    wait_until(lambda: ahead._pending and ahead._pending[0].since is not None)
    assert not ahead.close(grace=0.05)
    free.set()
    assert ahead.close()


def test_a_stage_above_ends_the_one_below_in_the_middle_of_a_wait():
    free, stop = threading.Event(), threading.Event()
    below = Ahead(lambda _: free.wait(20), range(3), threads=1, above=stop)
    outcome = []

    def draw():
        with contextlib.suppress(Stopped):
            yield from below
        outcome.append("ended")

    above = Ahead(None, draw(), stop=stop)
    assert above.close(grace=5) and outcome == ["ended"]
    free.set()
    assert below.close()
