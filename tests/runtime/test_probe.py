"""A model nobody vouches for cannot hang or fill this process: a child opens and runs it first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cnnc_runtime.errors import InvalidInputError, ResourceLimitError
from cnnc_runtime.probe import is_certified, probe


def save(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], rank: int = 2) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def endless(path: Path) -> Path:
    """A Loop of 2^62 turns."""
    boolean, number = TensorProto.BOOL, TensorProto.FLOAT
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Add", ["state", "state"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", boolean, []),
            helper.make_tensor_value_info("state", number, ["n", 4]),
        ],
        [helper.make_tensor_value_info("on", boolean, []), helper.make_tensor_value_info("next", number, ["n", 4])],
    )
    loop = helper.make_node("Loop", ["turns", "go0", "x"], ["y"], body=body)
    return save(path, [loop], {"turns": np.array(2**62), "go0": np.array(True)})


def test_an_ordinary_model_passes(tmp_path: Path) -> None:
    probe(save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {}))


def test_an_endless_loop_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ResourceLimitError, match="more than 4 s: stopped"):
        probe(endless(tmp_path / "m.onnx"), timeout=4)


def test_what_takes_all_memory_is_stopped(tmp_path: Path) -> None:
    nodes = [helper.make_node("Expand", ["x", "shape"], ["y"])]
    huge = save(tmp_path / "m.onnx", nodes, {"shape": np.array([2**31, 4])})  # 32 GiB
    with pytest.raises(ResourceLimitError, match="memory"):
        probe(huge)


def test_a_model_that_refuses_zeros_is_no_concern(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    probe(save(tmp_path / "m.onnx", nodes, {"shape": np.array([3, 7])}))  # never fits


def test_what_cannot_be_loaded_is_said_so(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {})
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InvalidInputError, match="damaged"):
        probe(path)


def test_a_certificate_is_found_without_reading_the_model(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {})
    assert not is_certified(path)
    proto = onnx.ModelProto()
    helper.set_model_props(proto, {"cnnc.certificate": "{}"})
    path.write_bytes(path.read_bytes() + proto.SerializeToString())
    assert is_certified(path)
