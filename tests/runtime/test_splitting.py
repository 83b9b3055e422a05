"""Out of memory: the batch is halved and that is said; nothing moves to another device."""

import logging

import numpy as np
import pytest
from onnx import helper

from cnnc_runtime import load
from cnnc_runtime.errors import ResourceLimitError
from tests.runtime.models import channel_means, relu, serialized


class Starved:
    """A session with memory for `limit` samples."""

    def __init__(self, run, limit: int, message: str) -> None:
        self.run, self.limit, self.message = run, limit, message
        self.batches: list[int] = []

    def __call__(self, names, feed):
        batch = len(next(iter(feed.values())))
        if batch > self.limit:
            raise RuntimeError(self.message)
        self.batches.append(batch)
        return self.run(names, feed)


MESSAGES = [
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 536870912",
    "CUDA failure 2: out of memory ; GPU=0 ; hostname=h",
    "CUDNN failure 4000: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ; CUBLAS_STATUS_ALLOC_FAILED",
    "Error in execution: Non-zero status code returned while running FusedConv node. Name:'conv' Status Message: "
    "Available memory of 270580224 is smaller than requested bytes of 1644167168",  # an arena at its limit
]


def starved(model: bytes, limit: int, message: str = MESSAGES[0]):
    engine = load(model, device="cpu")
    session = Starved(engine.session.run, limit, message)
    engine._computation._whole = engine._computation.execute = engine._execute = session
    return engine, session


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"x": x}], ids=["array", "dict"])
def test_the_batch_is_halved_and_that_is_logged(caplog, message, wrap):
    x = np.random.default_rng(0).standard_normal((11, 3, 8, 8)).astype(np.float32)
    engine, session = starved(channel_means(), 3, message)
    with caplog.at_level(logging.WARNING, logger="cnnc"):
        for _ in range(2):
            out = engine.run(wrap(x))
            np.testing.assert_allclose(out["y"] if isinstance(out, dict) else out, x.mean(axis=(2, 3)), atol=1e-6)
    assert [record.message for record in caplog.records] == [
        "the model: out of memory at batch 11, running 5 at a time",
        "the model: out of memory at batch 5, running 2 at a time",
    ]
    assert max(session.batches) == 2 and engine.provider == "CPUExecutionProvider"
    np.testing.assert_allclose(engine.run(x[:2]), x[:2].mean(axis=(2, 3)), atol=1e-6)


def test_one_sample_that_does_not_fit_is_an_error():
    engine, _ = starved(relu(), 0)
    for batch in (1, 4):
        with pytest.raises(ResourceLimitError, match="not enough memory"):
            engine.run(np.zeros((batch, 3, 8, 8), np.float32))


def test_a_net_that_mixes_samples_is_not_divided():
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    engine, _ = starved(serialized(nodes, {"x": ("n", 4)}, ["y"]), 2)
    with pytest.raises(ResourceLimitError):
        engine.run(np.zeros((4, 4), np.float32))


def test_other_failures_are_not_retried():
    engine, session = starved(relu(), 1, "something else")
    with pytest.raises(Exception, match="something else"):
        engine.run(np.zeros((4, 3, 8, 8), np.float32))
    assert session.batches == []
