"""PyTorch tensors in, PyTorch tensors out, on the same memory; PyTorch itself is the caller's."""

import numpy as np
import pytest
import torch

from cnnc_runtime import load
from cnnc_runtime.errors import InvalidInputError
from cnnc_runtime.feeds import Checker
from cnnc_runtime.tensors import TensorSpec
from tests.runtime.models import add, relu

SPEC = TensorSpec("x", np.dtype(np.float32), ("n", 3, 8, 8))


@pytest.fixture(scope="module")
def engine():
    with load(relu(), device="cpu") as engine:
        yield engine


def checker(device: str = "cpu", ranges: dict[str, tuple[float, float]] | None = None) -> Checker:
    return Checker([SPEC], ranges or {}, False, device, "net")


def test_tensor_in_tensor_out(engine):
    x = torch.randn(2, 3, 8, 8)
    for call in (engine.run, engine, lambda x: engine.submit(x).result(), lambda x: next(engine.map([x]))):
        y = call(x)
        assert isinstance(y, torch.Tensor) and y.device == x.device
        assert torch.equal(y, x.relu())
    assert torch.equal(engine.run({"x": x})["y"], x.relu())


def test_one_tensor_among_arrays_makes_the_outputs_tensors():
    a, b = torch.randn(2, 4), np.ones((2, 4), np.float32)
    out = load(add(), device="cpu").run({"a": a, "b": b})
    assert torch.equal(out["s"], a + 1) and torch.equal(out["d"], a - 1)


def test_memory_is_shared_not_copied():
    x = torch.randn(2, 3, 8, 8)
    call = checker().call(x)
    assert call.feed["x"].ctypes.data == x.data_ptr()
    result = np.zeros((2, 3), np.float32)
    assert call.finish(["y"], [result]).data_ptr() == result.ctypes.data


def test_layout_and_dtype_are_converted_where_lossless(engine):
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(engine.run(x.to(memory_format=torch.channels_last)), x.relu())
    assert torch.equal(engine.run(x.half()), x.half().float().relu())
    assert torch.equal(engine.run(x.bfloat16()), x.bfloat16().float().relu())
    with pytest.raises(InvalidInputError, match=r"'x' expects float32.*float64"):
        engine.run(x.double())


def test_what_cannot_be_shared_is_refused(engine):
    with pytest.raises(InvalidInputError, match=r"'x' cannot be read.*detach"):
        engine.run(torch.randn(2, 3, 8, 8, requires_grad=True))


def test_anything_that_speaks_dlpack_is_an_array(engine):
    class Foreign:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    y = engine.run(Foreign(x))
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, np.maximum(x, 0))


class OnGpu(torch.Tensor):
    """A tensor that says it is on a GPU: this machine need not have one."""

    device = torch.device("cuda", 1)


def on_gpu(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype).as_subclass(OnGpu)


def test_a_tensor_on_another_device_is_not_moved_silently(engine):
    with pytest.raises(InvalidInputError, match=r"'x' is on cuda:1, the engine on cpu.*\(x.to\('cpu'\)\)"):
        engine.run(on_gpu(2, 3, 8, 8))
    with pytest.raises(InvalidInputError, match=r"'x' is on cuda:1, the engine on cuda:0"):
        checker("cuda:0").call(on_gpu(2, 3, 8, 8))


def test_a_tensor_on_the_engines_gpu_stays_there():
    for device in ("cuda:1", "tensorrt:1"):
        x = on_gpu(2, 3, 8, 8)
        call = checker(device).call(x)
        assert call.on_device and call.feed["x"].data_ptr() == x.data_ptr()
    for dtype in (torch.float16, torch.bfloat16, torch.uint8):
        assert checker("cuda:1").call(on_gpu(2, 3, 8, 8, dtype=dtype)).feed["x"].dtype == torch.float32
    strided = checker("cuda:1").call(on_gpu(2, 8, 8, 3).permute(0, 3, 1, 2))
    assert strided.feed["x"].is_contiguous()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (on_gpu(2, 3, 8, 8, dtype=torch.float64), "float64"),
        (on_gpu(2, 3, 8, 8, dtype=torch.complex64), "complex64"),
        (on_gpu(2, 4, 8, 8), r"got \(2, 4, 8, 8\)"),
        (on_gpu(2, 3, 8, 8).requires_grad_(), "detach"),
    ],
)
def test_tensors_on_a_gpu_are_checked_too(x, message):
    with pytest.raises(InvalidInputError, match=message):
        checker("cuda:1").call(x)


def test_a_class_that_is_asked_for_on_a_gpu_is_checked():
    """One number a sample is copied to the host: a class out of range would be read past the end of the weights."""
    asked = TensorSpec("explain_class", np.dtype(np.int64), ("n",))
    asking = Checker([SPEC, asked], {"explain_class": (-1.0, 9.0)}, False, "cuda:1", "net")
    call = asking.call({"x": on_gpu(2, 3, 8, 8), "explain_class": on_gpu(2, dtype=torch.int64) + 9})
    assert call.on_device and call.feed["explain_class"].tolist() == [9, 9]
    with pytest.raises(InvalidInputError, match=r"'explain_class' holds values from 10 to 10.*-1 to 9"):
        asking.call({"x": on_gpu(2, 3, 8, 8), "explain_class": on_gpu(2, dtype=torch.int64) + 10})
    with pytest.raises(InvalidInputError, match=r"'explain_class' is on cpu, the engine on cuda:1"):
        asking.call({"x": on_gpu(2, 3, 8, 8), "explain_class": torch.zeros(2, dtype=torch.int64)})


def test_a_declared_range_is_checked_in_host_memory():
    with pytest.raises(InvalidInputError, match=r"x\.cpu\(\)"):
        checker("cuda:1", {"x": (0.0, 1.0)}).call(on_gpu(2, 3, 8, 8))
