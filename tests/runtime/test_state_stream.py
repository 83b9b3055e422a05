"""Streams: a step function's states from frame to frame, where they are and what becomes of them."""

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
import pytest
import torch

from cnnc_runtime import load
from cnnc_runtime.errors import InvalidInputError, ResourceLimitError, UsageError
from tests.runtime.models import leaky_sum, relu


def clip(frames=64, batch=1, side=8, seed=0):
    shape = (frames, batch, 3, side, side)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def expected(frames, state=None):
    """(results, last state), by the definition."""
    state = np.zeros_like(frames[0]) if state is None else state
    results = []
    for frame in frames:
        state = np.float32(0.5) * state + frame
        results.append(state.mean(axis=(2, 3)))
    return np.stack(results), state


def play(stream, frames):
    return np.stack([stream.step(frame) for frame in frames])


@pytest.fixture
def engine():
    with load(leaky_sum(), device="cpu") as engine:
        yield engine


@pytest.fixture(params=["host", "device"])
def stream(engine, request):
    """Both ways of a frame: bound where it is, and copied to a buffer on the device, which is host memory here."""
    with engine.stream() as stream:
        stream._step._on_host = request.param == "host"
        yield stream


@pytest.mark.parametrize("batch", [1, 3])
def test_a_clip_of_64_frames(stream, batch):
    frames = clip(batch=batch)
    results, state = expected(frames)
    got = play(stream, frames)
    np.testing.assert_allclose(got, results, atol=1e-6)
    np.testing.assert_allclose(stream.state["h"], state, atol=1e-6)


def test_a_reset_begins_anew_and_may_change_the_size(stream):
    for frames in (clip(4), clip(4, seed=1), clip(4, batch=2), clip(4)):
        np.testing.assert_allclose(play(stream, frames), expected(frames)[0], atol=1e-6)
        stream.reset()


def test_a_clip_goes_on_from_a_given_state(engine):
    frames = clip(8)
    results, _ = expected(frames)
    with engine.stream() as first:
        play(first, frames[:5])
        state = first.state
    with engine.stream(state) as second:
        np.testing.assert_array_equal(second.state["h"], state["h"])
        np.testing.assert_allclose(play(second, frames[5:]), results[5:], atol=1e-6)
        second.reset(state)
        state["h"][:] = 9  # the caller's own again
        np.testing.assert_allclose(play(second, frames[5:]), results[5:], atol=1e-6)


def test_what_goes_in_says_what_comes_out(engine):
    frame = clip(1)[0]
    with engine.stream() as stream:
        assert stream.state == {}
        assert set(stream.step({"x": frame})) == {"y"}
        result = stream.step(torch.from_numpy(frame))
        assert isinstance(result, torch.Tensor) and result.shape == (1, 3)


def test_earlier_results_stay(stream):
    frames = clip(6)
    kept = [stream.step(frame) for frame in frames]
    np.testing.assert_allclose(np.stack(kept), expected(frames)[0], atol=1e-6)


def test_streams_of_one_engine_do_not_meet(engine):
    one, other = clip(6), clip(6, seed=1)
    with engine.stream() as a, engine.stream() as b:
        both = [(a.step(x), b.step(y)) for x, y in zip(one, other, strict=True)]
    np.testing.assert_allclose(np.stack([x for x, _ in both]), expected(one)[0], atol=1e-6)
    np.testing.assert_allclose(np.stack([y for _, y in both]), expected(other)[0], atol=1e-6)


def test_streams_in_threads(engine):
    clips = [clip(seed=seed) for seed in range(8)]

    def work(frames):
        with engine.stream() as stream:
            return play(stream, frames)

    with ThreadPoolExecutor(8) as pool:
        for frames, got in zip(clips, pool.map(work, clips), strict=True):
            np.testing.assert_allclose(got, expected(frames)[0], atol=1e-6)


def test_a_state_stays_on_the_device_between_frames(stream, monkeypatch):
    """What the binding says: the output of a frame is the input of the next, in two buffers, and nothing is copied."""
    bound, copied, made = [], [], []
    frames = clip(20)
    play(stream, frames[:2])

    session = stream._engine.session
    run = session.run_with_iobinding

    def spy_run(binding, options=None):
        bound.append((binding._bound_inputs["h"].data_ptr(), binding._bound_outputs["h_next"].data_ptr()))
        run(binding, options)

    def spy(name, seen):
        original = getattr(onnxruntime.OrtValue, name)

        def called(value, *args, **kwargs):
            seen.append(value)
            return original(value, *args, **kwargs)

        monkeypatch.setattr(onnxruntime.OrtValue, name, called)

    monkeypatch.setattr(session, "run_with_iobinding", spy_run)
    spy("numpy", copied)
    spy("update_inplace", copied)
    for name in ("ortvalue_from_numpy", "ortvalue_from_shape_and_type"):
        monkeypatch.setattr(onnxruntime.OrtValue, name, lambda *args: made.append(args))
    play(stream, frames[2:])

    states = {address for pair in bound for address in pair}
    assert len(bound) == 18 and len(states) == 2
    assert all(before[1] == after[0] for before, after in itertools.pairwise(bound))
    assert not [value for value in copied if value.data_ptr() in states]
    assert not made
    assert set(stream.state) == {"h"}  # now one is asked for
    assert [value for value in copied if value.data_ptr() in states]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((1, 3, 8, 9), np.float32), "expects shape"),
        (np.zeros((3, 8, 8), np.float32), "expects shape"),
        (np.zeros((1, 3, 8, 8), np.float64), "expects float32"),
        (np.full((1, 3, 8, 8), np.nan, np.float32), "192 NaN"),
        (
            {"x": np.zeros((1, 3, 8, 8), np.float32), "h": np.zeros((1, 3, 8, 8), np.float32)},
            r"\['x'\], got \['x', 'h'",
        ),
        (np.zeros((2, 3, 8, 8), np.float32), "begins a new clip"),
        ("frame", "expects an array"),
    ],
)
def test_a_wrong_frame_is_an_error_and_the_state_as_before(engine, frame, message):
    frames = clip(4)
    with engine.stream() as stream:
        play(stream, frames[:2])
        before = stream.state["h"]
        with pytest.raises(InvalidInputError, match=message):
            stream.step(frame)
        np.testing.assert_array_equal(stream.state["h"], before)
        np.testing.assert_allclose(play(stream, frames[2:]), expected(frames)[0][2:], atol=1e-6)


@pytest.mark.parametrize("at", [0, 2])
def test_a_run_that_fails_leaves_the_state_as_it_was(engine, monkeypatch, at):
    frames = clip(4)

    def fail(binding, options=None):
        raise RuntimeError("Failed to allocate memory for requested buffer")

    with engine.stream() as stream:
        got = [stream.step(frame) for frame in frames[:at]]
        with monkeypatch.context() as patch:
            patch.setattr(engine.session, "run_with_iobinding", fail)
            with pytest.raises(ResourceLimitError):
                stream.step(frames[at])
        got += [stream.step(frame) for frame in frames[at:]]
    np.testing.assert_allclose(np.stack(got), expected(frames)[0], atol=1e-6)


def test_a_net_without_states_says_how_to_compile_it():
    with load(relu(), device="cpu") as engine, pytest.raises(UsageError, match=r"no states.*--state h=h_next"):
        engine.stream()


def test_states_that_the_graph_lacks():
    for states in ({"g": "h_next"}, {"h": "g"}, {"x": "y", "h": "h_next"}):
        with load(leaky_sum(states=states), device="cpu") as engine, pytest.raises(InvalidInputError, match="compile"):
            engine.stream()


@pytest.mark.parametrize(
    ("state", "kind", "message"),
    [
        ({}, UsageError, r"the states of .* are \['h'\]"),
        (np.zeros((1, 3, 8, 8), np.float32), UsageError, r"`state` is no dict .* are \['h'\]"),
        ({"g": np.zeros((1, 3, 8, 8), np.float32)}, UsageError, r"`state` names \['g'\]"),
        ({"h": np.zeros((1, 3, 8, 9), np.float32)}, InvalidInputError, "'h' expects shape"),
        ({"h": np.full((1, 3, 8, 8), np.inf, np.float32)}, InvalidInputError, "192 infinite"),
    ],
)
def test_a_state_that_does_not_fit(engine, state, kind, message):
    with pytest.raises(kind, match=message):
        engine.stream(state)


def test_a_state_of_another_batch_than_the_frame(engine):
    with (
        engine.stream({"h": np.zeros((2, 3, 8, 8), np.float32)}) as stream,
        pytest.raises(InvalidInputError, match=r"\(2, 3, 8, 8\), this frame needs \(1, 3, 8, 8\)"),
    ):
        stream.step(clip(1)[0])


def test_the_frame_tells_the_open_sizes_of_a_state():
    with load(leaky_sum(side="s"), device="cpu") as engine, engine.stream() as stream:
        for side in (8, 5):
            frames = clip(3, side=side)
            np.testing.assert_allclose(play(stream, frames), expected(frames)[0], atol=1e-6)
            assert stream.state["h"].shape == (1, 3, side, side)
            stream.reset()


def test_sizes_that_no_frame_tells_are_those_of_the_state_given():
    frames = clip(3)
    with load(leaky_sum(state=("n", 3, "a", "b")), device="cpu") as engine:
        with engine.stream() as stream, pytest.raises(UsageError, match=r"engine.stream\(\{'h': array"):
            stream.step(frames[0])
        with engine.stream({"h": np.zeros((1, 3, 8, 8), np.float32)}) as stream:
            np.testing.assert_allclose(play(stream, frames), expected(frames)[0], atol=1e-6)


def test_closed(engine):
    frame = clip(1)[0]
    stream = engine.stream()
    stream.step(frame)
    stream.close()
    stream.close()
    with pytest.raises(UsageError, match="the stream is closed"):
        stream.step(frame)
    other = engine.stream()
    engine.close()
    for call in (lambda: other.step(frame), other.reset, lambda: other.state, engine.stream):
        with pytest.raises(UsageError, match="the engine is closed"):
            call()


FORK = """
import os, sys
import numpy as np
from cnnc_runtime import errors, load
from tests.runtime.models import leaky_sum

x = np.ones((1, 3, 8, 8), np.float32)
engine = load(leaky_sum(), device="cpu", threads=2)
stream = engine.stream()
stream.step(x)
if (child := os.fork()) == 0:
    for call in (lambda: stream.step(x), lambda: stream.state, engine.stream):
        try:
            call()
        except errors.UsageError as error:
            print("spawn" in str(error), flush=True)
    stream.close()
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), stream.step(x)[0, 0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_after_a_fork_a_stream_is_refused():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True", "True", "7", "1.5"], done.stderr
