"""One engine, many threads: run, submit, map, and what a fork does."""

import threading
import time
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed, wait

import numpy as np
import pytest
from onnx import helper

from cnnc_runtime import load
from cnnc_runtime.batching import ALONE, Batcher, Request
from cnnc_runtime.errors import InvalidInputError, UsageError
from tests.runtime.models import channel_means, relu, serialized


def samples(count: int, *shape: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(count)]


def convolution() -> bytes:
    """A net in which rounding depends on the order of sums."""
    w = np.random.default_rng(1).standard_normal((16, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    return serialized(nodes, {"x": ("n", 3, 16, 16)}, ["y"], constants={"w": w})


def batch_mean() -> bytes:
    """A net that mixes the samples of a batch: y = x - mean over the batch."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    return serialized(nodes, {"x": ("n", 4)}, ["y"])


@pytest.fixture
def join_everything(monkeypatch):
    """Nets of any speed are joined."""
    monkeypatch.setattr("cnnc_runtime.engine._WORTH_JOINING", 0.0)


def test_eight_threads_get_the_bits_that_one_gets():
    """200 runs in each thread, every input another one."""
    xs = samples(8 * 200, 1, 3, 16, 16)
    with load(convolution(), device="cpu") as engine:
        expected = [engine.run(x) for x in xs]
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda first: [engine.run(x) for x in xs[first::8]], range(8)))
    for first in range(8):
        for result, right in zip(results[first], expected[first::8], strict=True):
            np.testing.assert_array_equal(result, right)


def test_a_hundred_runs_of_one_input_give_the_same_bits():
    (x,) = samples(1, 3, 3, 16, 16)
    with load(convolution(), device="cpu") as engine:
        assert len({engine.run(x).tobytes() for _ in range(100)}) == 1


def test_submitted_calls_get_their_own_rows(join_everything):
    xs = [np.concatenate(samples(1 + index % 3, 1, 3, 16, 16)) + index for index in range(40)]
    with load(convolution(), device="cpu", max_batch=8, max_wait=0.05) as engine:
        expected = [engine.run(x) for x in xs]
        with ThreadPoolExecutor(8) as pool:
            futures = list(pool.map(engine.submit, xs))
        for future, right in zip(futures, expected, strict=True):
            np.testing.assert_allclose(future.result(timeout=30), right, rtol=1e-5, atol=1e-6)


def test_shapes_of_the_answer_follow_the_question(join_everything):
    with load(channel_means(side="s"), device="cpu", max_wait=0.01) as engine:
        futures = [engine.submit({"x": np.full((1, 3, side, side), side, np.float32)}) for side in (4, 8, 4, 6)]
        for future, side in zip(futures, (4, 8, 4, 6), strict=True):
            np.testing.assert_array_equal(future.result(timeout=30)["y"], np.full((1, 3), side))


@pytest.mark.parametrize("model", [batch_mean(), relu((2, 4))], ids=["mixes samples", "fixed batch"])
def test_nets_that_cannot_be_batched_run_one_by_one(model, join_everything):
    xs = samples(10, 2, 4)
    with load(model, device="cpu", max_wait=0.05) as engine:
        expected = [engine.run(x) for x in xs]
        for future, right in zip([engine.submit(x) for x in xs], expected, strict=True):
            np.testing.assert_array_equal(future.result(timeout=30), right)
        for result, right in zip(engine.map(xs, batch=8), expected, strict=True):
            np.testing.assert_array_equal(result, right)


class Recorder:
    """Stands for a session: doubles what it gets, notes the batches, and refuses negative values."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.batches: list[int] = []
        self.seconds = seconds

    def __call__(self, feed):
        x = feed["x"]
        self.batches.append(len(x))
        time.sleep(self.seconds)
        if (x < 0).any():
            raise InvalidInputError("negative")
        return [2 * x]


def request(value: float, count: int = 1, samples: int | None = None) -> Request:
    return Request({"x": np.full((count, 2), value, np.float32)}, lambda rows: rows[0], samples or count)


def test_an_error_reaches_its_own_future_only():
    batcher = Batcher(Recorder(), max_batch=8, max_wait=0.2)
    futures = [batcher.submit(request(value)) for value in (1, -1, 3)]
    assert futures[0].result(timeout=5)[0, 0] == 2
    with pytest.raises(InvalidInputError, match="negative"):
        futures[1].result(timeout=5)
    assert futures[2].result(timeout=5)[0, 0] == 6
    batcher.close()


def test_batches_are_full_or_as_old_as_allowed():
    run = Recorder(seconds=0.05)
    batcher = Batcher(run, max_batch=4, max_wait=10)
    futures = [batcher.submit(request(value)) for value in range(8)]
    assert [future.result(timeout=5)[0, 0] for future in futures] == [2 * value for value in range(8)]
    assert run.batches == [4, 4]  # nobody waited for ten seconds
    lone = Batcher(run, max_batch=4, max_wait=0.1)
    start = time.monotonic()
    lone.submit(request(1)).result(timeout=5)
    assert 0.1 <= time.monotonic() - start < 2
    for each in (batcher, lone):
        each.close()


def test_a_call_that_must_be_alone_does_not_wait():
    run = Recorder()
    batcher = Batcher(run, max_batch=8, max_wait=30)
    assert batcher.submit(request(1, 3, ALONE)).result(timeout=5).shape == (3, 2)
    batcher.close()


def test_close_finishes_what_is_queued_and_refuses_more():
    run = Recorder(seconds=0.02)
    batcher = Batcher(run, max_batch=2, max_wait=60)
    futures = [batcher.submit(request(value)) for value in range(5)]
    cancelled = batcher.submit(request(9))
    assert cancelled.cancel()
    batcher.close()
    assert all(future.done() for future in futures)
    assert futures[4].result()[0, 0] == 8
    with pytest.raises(CancelledError):
        cancelled.result()
    with pytest.raises(UsageError, match="closed"):
        batcher.submit(request(1))


def test_close_inside_a_callback_does_not_wait_for_itself(join_everything):
    with load(relu(("n", 4)), device="cpu", max_wait=0) as engine:
        closed = threading.Event()

        def close(_):
            engine.close()
            closed.set()

        engine.submit(np.ones((1, 4), np.float32)).add_done_callback(close)
        assert closed.wait(10)
    with pytest.raises(UsageError, match="closed"):
        engine.submit(np.ones((1, 4), np.float32))


def test_what_is_too_quick_to_be_joined_is_done_at_once(monkeypatch):
    monkeypatch.setattr("cnnc_runtime.engine._WORTH_JOINING", 60.0)
    with load(convolution(), device="cpu", max_wait=60) as engine:
        (x,) = samples(1, 1, 3, 16, 16)
        future = engine.submit(x)
        assert future.done()
        np.testing.assert_array_equal(future.result(), engine.run(x))


def test_what_is_done_at_once_is_a_future_like_any_other(monkeypatch):
    monkeypatch.setattr("cnnc_runtime.engine._WORTH_JOINING", 60.0)
    called = []
    with load(convolution(), device="cpu") as engine:
        futures = [engine.submit(x) for x in samples(4, 1, 3, 16, 16)]
        assert wait(futures, timeout=5).done == set(futures)
        assert set(as_completed(futures, timeout=5)) == set(futures)
        futures[0].add_done_callback(called.append)
        assert called == futures[:1]
        assert futures[0].exception() is None
        assert not futures[0].cancel()
        bad = engine.submit(np.ones((1, 3, 16), np.float32))
        with pytest.raises(InvalidInputError, match="shape"):
            bad.result()


def test_a_bad_submission_fails_through_its_future():
    with load(relu(), device="cpu") as engine, pytest.raises(InvalidInputError, match="got list"):
        engine.submit([1.0]).result()


def test_map_keeps_the_order_and_reads_ahead():
    xs = samples(21, 1, 3, 16, 16)
    read = []

    def items():
        for index, x in enumerate(xs):
            read.append(index)
            yield x

    with load(convolution(), device="cpu") as engine:
        results = engine.map(items(), batch=4)
        first = next(results)
        until = time.monotonic() + 5
        while len(read) < 8 and time.monotonic() < until:
            time.sleep(0.01)
        assert 8 <= len(read) < 21 + 1  # ahead, whether or not anyone asks
        for result, x in zip([first, *results], xs, strict=True):
            np.testing.assert_allclose(result, engine.run(x), rtol=1e-5, atol=1e-6)
        once, twice = (list(engine.map(iter(xs), batch=4)) for _ in range(2))
        assert all(np.array_equal(a, b) for a, b in zip(once, twice, strict=True))
        with pytest.raises(UsageError, match="batch"):
            engine.map(xs, batch=0)


def test_map_raises_an_items_error_in_its_place():
    def failing():
        yield np.ones((1, 4), np.float32)
        yield np.ones((2, 4), np.float32)
        raise OSError("disk")

    with load(relu(("n", 4)), device="cpu") as engine:
        for items, error in ((failing(), OSError), ([*samples(2, 1, 4), "text"], InvalidInputError)):
            results = engine.map(items)
            assert next(results) is not None and next(results) is not None
            with pytest.raises(error):
                next(results)


def test_a_map_left_early_stops_reading():
    before = threading.active_count()
    with load(relu(("n", 4)), device="cpu") as engine:
        results = engine.map((np.ones((1, 4), np.float32) for _ in iter(int, 1)), batch=2)
        next(results)
        results.close()
        until = time.monotonic() + 10
        while threading.active_count() > before and time.monotonic() < until:
            time.sleep(0.02)
        assert threading.active_count() <= before
