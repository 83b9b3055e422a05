"""Each condition of each law, alone violated: the law declines, and says so where its pattern was there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto

from cnnc_passes.driver import Driver
from cnnc_passes.pipeline import named_passes
from tests.contract.graphs import model, node, weights
from tests.contract.samples import batchnorm, conv_bn, conv_relu, noop, residual
from tests.contract.test_contract import copy, to_float16

LAWS = named_passes()


def declines(law: str, proto: onnx.ModelProto) -> list[str]:
    """The reasons; asserts that nothing was applied."""
    graph = ir.from_proto(proto)
    driver = Driver(graph)
    assert not driver.run(LAWS[law])
    return [one.reason for one in driver.instances]


def set_attribute(proto: onnx.ModelProto, index: int, **attributes: object) -> onnx.ModelProto:
    changed = copy(proto)
    for name, value in attributes.items():
        changed.graph.node[index].attribute.append(onnx.helper.make_attribute(name, value))
    return changed


def expose(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    changed = copy(proto)
    changed.graph.output.append(next(v for v in changed.graph.value_info if v.name == name))
    return changed


def overridable(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    changed = copy(proto)
    tensor = next(t for t in changed.graph.initializer if t.name == name)
    changed.graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
    return changed


def conv_bn_with(**replaced: np.ndarray) -> onnx.ModelProto:
    proto = conv_bn()
    for tensor in proto.graph.initializer:
        if tensor.name in replaced:
            tensor.CopyFrom(onnx.numpy_helper.from_array(replaced[tensor.name], tensor.name))
    return proto


def float16_overflow() -> onnx.ModelProto:
    """A gamma of 6e4 over a deviation of 0.03 is a factor of 2e6: finite in float32, not in float16."""
    small, large = np.full(6, 1e-6, np.float32), np.full(6, 6e4, np.float32)
    return to_float16(conv_bn_with(var=small, gamma=large))


def gemm_bn_with_matrix_bias() -> onnx.ModelProto:
    constants = {"w": weights(4, 6), "b": weights(2, 6), **batchnorm(6)}
    nodes = [node("Gemm", "x w b", "c"), node("BatchNormalization", "c gamma beta mean var", "y")]
    return model(nodes, {"x": [2, 4]}, ["y"], constants)


FOLD_BATCHNORM: dict[str, Callable[[], onnx.ModelProto]] = {
    "another node reads the Conv": lambda: expose(conv_bn(), "c"),
    "training_mode is set": lambda: set_attribute(conv_bn(), 1, training_mode=1),
    "statistics are per position": lambda: set_attribute(conv_bn(), 1, spatial=0),
    "is not constant": lambda: overridable(conv_bn(), "gamma"),
    "variance + epsilon is not positive": lambda: conv_bn_with(var=np.full(6, -1, np.float32)),
    "does not fit float16": float16_overflow,
    "is not per output channel": gemm_bn_with_matrix_bias,
}


@pytest.mark.parametrize("reason", FOLD_BATCHNORM)
def test_fold_batchnorm_declines(reason: str) -> None:
    reasons = declines("fold-batchnorm", FOLD_BATCHNORM[reason]())
    assert len(reasons) == 1 and reason in reasons[0]


def test_fold_batchnorm_does_not_cross_an_activation() -> None:
    nodes = [
        node("Conv", "x w", "c"),
        node("Relu", "c", "r"),
        node("BatchNormalization", "r gamma beta mean var", "y"),
    ]
    proto = model(nodes, {"x": [1, 4, 5, 5]}, ["y"], {"w": weights(6, 4, 3, 3), **batchnorm(6)})
    assert declines("fold-batchnorm", proto) == []


def broadcast_residual() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Add", "c z", "a"), node("Relu", "a", "y")]
    return model(nodes, {"x": ["batch", 4, 6, 6], "z": ["batch", 4, 1, 1]}, ["y"], {"w": weights(4, 4, 3, 3)})


def unrelated_batch_residual() -> onnx.ModelProto:
    """Two symbols that may be 1 and n: Add would broadcast, FusedConv would not."""
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("Add", "c z", "a"), node("Relu", "a", "y")]
    return model(nodes, {"x": ["n", 4, 6, 6], "z": ["m", 4, 6, 6]}, ["y"], {"w": weights(4, 4, 3, 3)})


def doubled() -> onnx.ModelProto:
    nodes = [node("Conv", "x w", "c"), node("Add", "c c", "a"), node("Relu", "a", "y")]
    return model(nodes, {"x": [1, 4, 6, 6]}, ["y"], {"w": weights(4, 4, 3, 3)})


FUSE_ACTIVATION: dict[str, Callable[[], onnx.ModelProto]] = {
    "another node reads the convolution": lambda: expose(conv_relu(), "c"),
    "another node reads the sum": lambda: expose(residual(), "a"),
    "needs float32": lambda: to_float16(conv_relu()),
    "is not constant": lambda: overridable(conv_relu(), "w"),
    "exactly the output's shape": broadcast_residual,
    "residual does not have exactly": unrelated_batch_residual,
    "same convolution": doubled,
}


@pytest.mark.parametrize("reason", FUSE_ACTIVATION)
def test_fuse_activation_declines(reason: str) -> None:
    reasons = declines("fuse-activation", FUSE_ACTIVATION[reason]())
    assert len(reasons) == 1 and reason in reasons[0]


def test_reduce_to_pool_leaves_other_means_alone() -> None:
    for axes in ([1], [1, 2, 3], [3], [0, 2, 3]):
        proto = model([node("ReduceMean", "x k", "y")], {"x": [2, 3, 4, 4]}, ["y"], {"k": np.array(axes, np.int64)})
        assert declines("reduce-to-pool", proto) == []


def test_reduce_to_pool_declines_axes_that_a_caller_may_override() -> None:
    proto = model([node("ReduceMean", "x k", "y")], {"x": [2, 3, 4, 4]}, ["y"], {"k": np.array([2, 3])})
    assert declines("reduce-to-pool", overridable(proto, "k")) == ["the axes are not constant"]


def test_reduce_to_pool_declines_integers() -> None:
    proto = model(
        [node("ReduceMean", "x k", "y")],
        {"x": [2, 3, 4, 4]},
        ["y"],
        {"k": np.array([2, 3])},
        dtype=TensorProto.INT32,
    )
    assert "not defined" in declines("reduce-to-pool", proto)[0]


def _f(value: float, *shape: int) -> np.ndarray:
    return np.full(shape, value, np.float32)


NOT_NOOPS: dict[str, Callable[[], onnx.ModelProto]] = {
    "add of +0.0 changes -0.0": noop("Add", "r k", {"k": _f(0.0, 1)}),
    "sub of -0.0 changes -0.0": noop("Sub", "r k", {"k": _f(-0.0, 1)}),
    "one over x": noop("Div", "k r", {"k": _f(1, 1)}),
    "zero minus x": noop("Sub", "k r", {"k": _f(0, 1)}),
    "almost one": noop("Mul", "r k", {"k": _f(1.000009, 1)}),
    "one in all but one place": noop("Mul", "r k", {"k": np.array([[[1]], [[1]], [[2]]], np.float32)}),
    "broadcasts to a higher rank": noop("Mul", "r k", {"k": _f(1, 1, 1, 1, 1, 1)}),
    "pads": noop("Pad", "r k", {"k": np.array([0, 0, 1, 0, 0, 0, 0, 0])}),
    "strided 1x1 pool": noop("MaxPool", kernel_shape=[1, 1], strides=[2, 2]),
    "concat of two": noop("Concat", "r r", axis=1),
    "cast": lambda: model(
        [node("Relu", "x", "r"), node("Cast", "r", "n", to=10), node("Cast", "n", "m", to=1), node("Neg", "m", "y")],
        {"x": [2, 3]},
    ),
    "clip at zero": noop("Clip", "r low", {"low": _f(0)}),
    "transpose": noop("Transpose", perm=[0, 1, 3, 2]),
    "reshape": noop("Reshape", "r k", {"k": np.array([0, 3, 16])}),
    "resize": noop("Resize", "r _ k", {"k": np.array([1, 1, 2, 2], np.float32)}, mode="nearest"),
    "slice off the end": noop("Slice", "r s e a", {"s": np.array([0]), "e": np.array([-1]), "a": np.array([1])}),
    "reversed slice": noop(
        "Slice", "r s e a t", {"s": np.array([-1]), "e": np.array([-(2**62)]), "a": np.array([1]), "t": np.array([-1])}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_NOOPS)
def test_drop_noops_leaves_what_does_something(case: str) -> None:
    assert declines("drop-noops", NOT_NOOPS[case]()) == []


def test_drop_noops_keeps_the_names_of_inputs_and_outputs() -> None:
    proto = model([node("Identity", "x", "y")], {"x": [2, 3]})
    assert declines("drop-noops", proto) == ["it gives a graph output its name"]


def test_drop_noops_renames_what_it_leaves_as_an_output() -> None:
    graph = ir.from_proto(model([node("Relu", "x", "r"), node("Identity", "r", "y")], {"x": [2, 3]}))
    assert Driver(graph).run(LAWS["drop-noops"])
    assert [n.op_type for n in graph.graph] == ["Relu"]
    assert [v.name for v in graph.graph.outputs] == ["y"]


def test_drop_noops_declines_a_dropout_whose_mask_is_read() -> None:
    nodes = [node("Relu", "x", "r"), node("Dropout", "r", "n m"), node("Neg", "n", "y")]
    proto = model(nodes, {"x": [2, 3]}, ["y", "m"])
    assert declines("drop-noops", proto) == ["a second output is read"]


def reshape_to(shape: list[int | str], target: str, source: Sequence[int | str] = ("batch", "n")) -> onnx.ModelProto:
    """Reshape of x to the computed shape of another input."""
    nodes = [node("Shape", target, "s"), node("Reshape", "x s", "y")]
    return model(nodes, {"x": source, "z": shape}, ["y"])


def test_constant_reshape_declines_two_open_axes() -> None:
    assert declines("constant-reshape", reshape_to(["n", "batch"], "z")) == ["2 axes of the result are open"]


def test_constant_reshape_declines_an_empty_result() -> None:
    empty = reshape_to(["batch", 0], "z", source=("batch", 0))  # a 0 copies the axis: the source must have one there
    assert declines("constant-reshape", empty) == ["the result is empty"]


def test_constant_reshape_declines_an_unknown_rank() -> None:
    proto = reshape_to(["batch", 4], "z")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert declines("constant-reshape", proto) == ["the rank of the result is unknown"]


def test_constant_reshape_leaves_a_shape_that_the_caller_chooses() -> None:
    proto = model([node("Reshape", "x s", "y")], {"x": [2, 6]}, ["y"], {"s": np.array([3, 4])})
    assert declines("constant-reshape", proto) == []
    assert declines("constant-reshape", overridable(proto, "s")) == []
