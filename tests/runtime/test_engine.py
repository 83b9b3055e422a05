"""The engine: values, checks, and the errors that stand for onnxruntime's."""

import gc
import weakref
from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cnnc_runtime import Metadata, load
from cnnc_runtime.errors import (
    DeviceError,
    InvalidInputError,
    ResourceLimitError,
    UnsafeInputError,
    UnsupportedModelError,
    UsageError,
)
from tests.runtime.models import add, relu, serialized


@pytest.fixture(scope="module")
def engine():
    with load(relu(), device="cpu") as engine:
        yield engine


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_describes_itself(engine):
    assert engine.provider == "CPUExecutionProvider" and engine.device == "cpu"
    (spec,) = engine.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("x", np.dtype("float32"), ("n", 3, 8, 8))
    assert "x: float32(n, 3, 8, 8)" in repr(engine)


def test_array_in_array_out_dict_in_dict_out(engine):
    x = random(2, 3, 8, 8)
    for batch in (x, x[:1], x, x):  # shapes alternate: the fast path must not remember wrongly
        np.testing.assert_array_equal(engine.run(batch), np.maximum(batch, 0))
        np.testing.assert_array_equal(engine({"x": batch})["y"], np.maximum(batch, 0))


def test_several_outputs_are_a_tuple():
    engine = load(add(), device="cpu")
    a, b = random(2, 4), random(2, 4) + 1
    out = engine.run({"a": a, "b": b})
    np.testing.assert_array_equal(out["s"], a + b)
    np.testing.assert_array_equal(out["d"], a - b)
    with pytest.raises(InvalidInputError, match=r"\['a', 'b'\]"):
        engine.run(a)
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    y, z = load(serialized(nodes, {"x": ("n", 4)}, ["y", "z"]), device="cpu").run(a)
    np.testing.assert_array_equal(y, np.maximum(a, 0))
    np.testing.assert_array_equal(z, -a)


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.astype(">f4"),
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=3)[..., ::2],
        lambda x: x[:, ::-1][:, ::-1].transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2),
    ],
    ids=["big-endian", "fortran", "strided", "transposed"],
)
@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"x": x}], ids=["array", "dict"])
def test_memory_layout_does_not_matter(engine, convert, wrap):
    x = random(2, 3, 8, 8)
    engine.run(x)  # the fast path now knows this shape
    out = engine.run(wrap(convert(x)))
    np.testing.assert_array_equal(out["y"] if isinstance(out, dict) else out, np.maximum(x, 0))


def test_lossless_dtypes_are_converted_and_others_refused(engine):
    for dtype in (np.uint8, np.int16, np.float16):
        x = np.arange(3 * 64).reshape(1, 3, 8, 8).astype(dtype)
        assert engine.run(x).dtype == np.float32
        np.testing.assert_array_equal(engine.run(x), x.astype(np.float32))
    for dtype in ("float64", "int32", "int64", "complex64"):
        with pytest.raises(InvalidInputError, match=rf"'x' expects float32.*{dtype}.*astype"):
            engine.run(np.zeros((1, 3, 8, 8), dtype))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 8, 8), "f4"), r"'x' expects shape \(n, 3, 8, 8\), got \(3, 8, 8\)"),
        (np.zeros((1, 4, 8, 8), "f4"), r"got \(1, 4, 8, 8\)"),
        (np.zeros((0, 3, 8, 8), "f4"), "empty"),
        ([[1.0]], "got list"),
        ({"z": np.zeros((1, 3, 8, 8), "f4")}, r"\['x'\], got \['z'\]"),
        ({}, r"\['x'\]"),
    ],
)
def test_a_misfit_is_named(engine, x, message):
    with pytest.raises(InvalidInputError, match=message):
        engine.run(x)


def test_zero_padding_before_max_pooling_counts_as_zero():
    """Onnxruntime's Pad_Fusion turns these zeros into -inf; the engine must disable it."""
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["p"], mode="constant"),
        helper.make_node("MaxPool", ["p"], ["y"], kernel_shape=[3, 3], strides=[1, 1]),
    ]
    pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    model = serialized(nodes, {"x": ("n", 1, 5, 5)}, ["y"], constants={"pads": pads})
    x = -np.abs(random(2, 1, 5, 5)) - 1
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3)).max(axis=(4, 5))
    for optimization in ("off", "basic", "extended", "all"):
        out = load(model, device="cpu", optimization=optimization).run(x)
        np.testing.assert_array_equal(out, expected)


def test_closed_engine_says_so():
    with load(relu(), device="cpu", threads=1) as engine:
        pass
    with pytest.raises(UsageError, match="closed"):
        engine.run(np.zeros((1, 3, 8, 8), "f4"))


def test_a_dropped_engine_frees_its_session_at_once():
    engine = load(relu(), device="cpu")
    engine.run(random(1, 3, 8, 8))
    session = weakref.ref(engine.session)
    gc.disable()
    try:
        del engine
        assert session() is None
    finally:
        gc.enable()


def test_options_out_of_range():
    for threads in (0, True, 1.5):
        with pytest.raises(UsageError, match="threads"):
            load(relu(), device="cpu", threads=threads)
    with pytest.raises(UsageError, match="`model` is of type int"):
        load(3)
    with pytest.raises(UsageError, match="max_batch"):
        load(relu(), device="cpu", max_batch=0)
    with pytest.raises(UsageError, match="max_wait"):
        load(relu(), device="cpu", max_wait=-1)
    with pytest.raises(UsageError, match="optimization"):
        load(relu(), device="cpu", optimization="fast")


def one_node(op: str, *inputs: str, outputs: Sequence[str] = ("y",), domain: str = "", **options: int) -> bytes:
    node = helper.make_node(op, inputs, ["y"], domain=domain)
    return serialized([node], {"x": ("n",)}, outputs, domains=[domain] if domain else [], **options)


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (b"", InvalidInputError, "empty"),
        (b"\x08\x01 random bytes", InvalidInputError, "damaged"),
        (relu()[:40], InvalidInputError, "damaged"),
        (one_node("Frob", "x"), UnsupportedModelError, "Frob"),
        (one_node("Relu", "x", domain="a.b"), UnsupportedModelError, "a.b"),
        (one_node("Relu", "x", opset=999), UnsupportedModelError, "999"),
        (one_node("Relu", "x", opset=1), UnsupportedModelError, "Relu"),
        (one_node("Identity", "x", dtype=TensorProto.STRING), UnsupportedModelError, "string"),
        (one_node("Add", "x", "w"), InvalidInputError, "'w'"),
        (one_node("Relu", "x", outputs=()), InvalidInputError, "no outputs"),
    ],
)
def test_a_bad_model_is_our_error(model, error, message, capfd):
    with pytest.raises(error, match=message) as caught:
        load(model, device="cpu")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # onnxruntime's own log stays off the terminal


def test_running_out_of_memory_is_a_limit():
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceSum", ["huge"], ["zero"]),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    model = serialized(nodes, {"x": ("n", 4)}, ["y"], constants={"size": np.array([2**44])})
    with pytest.raises(ResourceLimitError, match="memory"):
        load(model, device="cpu").run(random(1, 4))


def test_an_artifact_for_the_cpu_provider_is_not_for_tensorrt():
    fused = relu(metadata=Metadata("1", "net", "cpu"))
    with pytest.raises(DeviceError, match=r"made for the CPU provider, not for tensorrt.*--target portable"):
        load(fused, device="tensorrt")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "a/../../secret.bin", "link.bin"])
def test_external_data_outside_the_models_folder_is_unsafe(tmp_path, location):
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(16))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value=location)
    model = onnx.load_from_string(one_node("Add", "x", "w"))
    model.graph.initializer.append(outside)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsafeInputError, match=r"net\.onnx"):
        load(folder / "net.onnx", device="cpu")


def test_float16_weights_do_not_overflow_where_onnxruntime_would_fold_a_factor_into_them():
    """100 * 2000 is infinity in float16; 100 * x * 2000 is not, for small x."""
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Mul", ["c", "k"], ["y"])]
    constants = {"w": np.full((4, 3, 1, 1), 100, np.float16), "k": np.array(2000, np.float16)}
    model = serialized(nodes, {"x": ("n", 3, 2, 2)}, ["y"], constants=constants, dtype=TensorProto.FLOAT16)
    with load(model, device="cpu") as engine:
        y = engine.run(np.full((1, 3, 2, 2), 1e-3, np.float16))
    np.testing.assert_allclose(y, np.full((1, 4, 2, 2), 600), rtol=2e-3)


def test_relu_then_clip_in_float64_can_be_loaded():
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Clip", ["r", "low", "high"], ["y"])]
    bounds = {"low": np.array(-1.0), "high": np.array(1.0)}
    model = serialized(nodes, {"x": ("n", 3)}, ["y"], constants=bounds, dtype=TensorProto.DOUBLE)
    with load(model, device="cpu") as engine:
        np.testing.assert_array_equal(engine.run(np.array([[-3.0, 0.5, 7.0]])), [[0, 0.5, 1]])


def test_values_outside_the_declared_range_are_refused_at_every_call():
    metadata = Metadata(version="1", source="s", target="portable", input_ranges={"x": (0.0, 1.0)})
    with load(relu(metadata=metadata), device="cpu") as engine:
        inside = np.full((1, 3, 8, 8), 0.5, np.float32)
        engine.run(inside)
        outside = inside.copy()
        outside[0, 0, 0, 0] = -0.25
        for bad in (outside, outside * np.float32(np.nan)):
            with pytest.raises(InvalidInputError, match=r"input 'x' holds values from .*compiled for 0 to 1"):
                engine.run(bad)
        with pytest.raises(InvalidInputError):
            engine.run({"x": outside})
        engine.run(inside)


def test_a_convolution_that_onnxruntime_loses_in_a_fusion_is_kept():
    """ConvAddActivationFusion takes v0 into the sum, though it is an output as well: nothing produces it then."""
    rng = np.random.default_rng(0)
    w, b = rng.standard_normal((8, 4, 3, 3)).astype("f4"), rng.standard_normal(8).astype("f4")
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["v0"], group=2),
        helper.make_node("Conv", ["x", "w", "b"], ["v1"], group=2),
        helper.make_node("Add", ["v0", "v1"], ["y"]),
    ]
    model = serialized(nodes, {"x": ("n", 8, 5, 5)}, ["y", "v0"], constants={"w": w, "b": b})
    x = random(1, 8, 5, 5)
    y, v0 = load(model, device="cpu").run(x)
    np.testing.assert_allclose(y, 2 * v0, rtol=1e-6)
    np.testing.assert_allclose(v0, load(model, device="cpu", optimization="off").run(x)[1], rtol=1e-5, atol=1e-5)


def test_shapes_are_prepared_and_checked():
    model = relu(("n", 3, "h", "w"))
    for shapes in ((1, 3, 8, 8), {"x": (2, 3, 8, 8)}, [(1, 3, 8, 8), {"x": (4, 3, 16, 16)}]):
        with load(model, device="cpu", shapes=shapes) as engine:
            engine.warmup()
    with load(model, device="cpu") as engine:
        engine.warmup((1, 3, 4, 4))
        with pytest.raises(UsageError, match=r"open shape \(n, 3, h, w\): say which `shapes`"):
            engine.warmup()
    for shapes in ((1, 4, 8, 8), (1, 3, 8), {"z": (1, 3, 8, 8)}, 3, "1388", (1, 3, 8, -1), (1, 3, 8.0, 8)):
        with pytest.raises(UsageError, match="`shapes`"):
            load(model, device="cpu", shapes=shapes)
    with pytest.raises(UsageError, match=r"each of \['a', 'b'\]"):
        load(add(), device="cpu", shapes=(1, 4))


def test_warmup_stays_inside_the_declared_range():
    metadata = Metadata(version="1", source="s", target="portable", input_ranges={"x": (0.5, 1.0)})
    with load(relu(metadata=metadata), device="cpu") as engine:
        engine.warmup()
