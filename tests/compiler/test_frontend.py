"""An .onnx source whose sizes or attributes contradict is named by file and node, before anything computes."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import helper

from cnnc.frontend import open_source
from cnnc_runtime.errors import CnncError, InvalidInputError, ResourceLimitError, UsageError
from tests.contract.graphs import model, node, weights


def classifier() -> onnx.ModelProto:
    """Open height and width, but a head for 8x8."""
    nodes = [node("Conv", "x w", "c", pads=[1, 1, 1, 1], group=1), node("Flatten", "c", "f"), node("Gemm", "f m", "y")]
    constants = {"w": weights(4, 3, 3, 3), "m": weights(256, 5)}
    return model(nodes, {"x": ["N", 3, "H", "W"]}, ["y"], constants)


def with_attribute(name: str, value: object) -> onnx.ModelProto:
    proto = classifier()
    conv = proto.graph.node[0]
    kept = [one for one in conv.attribute if one.name != name]
    del conv.attribute[:]
    conv.attribute.extend([*kept, helper.make_attribute(name, value)])
    return proto


def padded(by: int) -> onnx.ModelProto:
    return model([node("Conv", "x w", "y", pads=[by] * 4)], {"x": ["N", 3, 8, 8]}, ["y"], {"w": weights(4, 3, 3, 3)})


@pytest.mark.parametrize(
    ("proto", "shape", "kind", "message"),
    [
        (classifier(), "1,3,9,9", InvalidInputError, "net.onnx: Gemm 'Gemm_y': 324 columns times 256 rows"),
        (classifier(), "3,8,8", UsageError, "input 'x' has the shape Nx3xHxW"),
        (classifier(), "1,3,1000000,1000000", ResourceLimitError, "input 'x' of 2x3x1000000x1000000 takes"),
        (with_attribute("group", 0), "1,3,8,8", InvalidInputError, "net.onnx: Conv 'Conv_c': `group` is 0"),
        (with_attribute("group", 3), "1,3,8,8", InvalidInputError, "`group` take 9"),
        (with_attribute("strides", [0, 0]), "1,3,8,8", InvalidInputError, r"`strides` is \[0, 0\]"),
        (padded(2**40), "1,3,8,8", ResourceLimitError, "net.onnx: value 'y' of 2x4x2199"),
    ],
)
def test_what_cannot_be_computed(
    tmp_path: Path, proto: onnx.ModelProto, shape: str, kind: type[CnncError], message: str
) -> None:
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(kind, match=message):
        open_source(tmp_path / "net.onnx", input_shapes=[shape])


def test_what_can_be_computed_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(classifier().SerializeToString())
    front = open_source(tmp_path / "net.onnx", input_shapes=["1,3,8,8"])
    assert front.inputs.examples["x"].shape == (2, 3, 8, 8)
    assert str(front.model.graph.inputs[0].shape) == "[N,3,H,W]"


def test_what_the_engine_refuses_is_named_by_its_file(tmp_path: Path) -> None:
    proto = model([node("Relu", "x", "y")], {"x": ["N", 3]})
    proto.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(InvalidInputError, match=r"net.onnx: the model cannot be used: .*INT64|net.onnx: .*int64"):
        open_source(tmp_path / "net.onnx").oracle()
