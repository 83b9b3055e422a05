"""Malformed, unsafe and unsupported .onnx files: one clear error each, of the right kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cnnc.onnx_checks import check_payloads
from cnnc.onnx_file import load_onnx
from cnnc_runtime.errors import CnncError, InvalidInputError, UnsafeInputError, UnsupportedModelError
from tests.contract.blocks import batchnorm, conv_relu
from tests.contract.graphs import model, node, weights


def write(folder: Path, proto: onnx.ModelProto) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def refused(folder: Path, proto: onnx.ModelProto) -> CnncError:
    with pytest.raises(CnncError) as caught:
        load_onnx(write(folder, proto))
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_good_file_loads(tmp_path: Path) -> None:
    assert load_onnx(write(tmp_path, conv_relu())).graph.num_nodes() == 2


def edited(edit: Callable[[onnx.ModelProto], object]) -> onnx.ModelProto:
    proto = conv_relu()
    edit(proto)
    return proto


def first_input_is(p: onnx.ModelProto, name: str) -> None:
    p.graph.node[1].input[0] = name


def first_output_is(p: onnx.ModelProto, name: str) -> None:
    p.graph.node[1].output[0] = name


def attribute(p: onnx.ModelProto, name: str, value: object) -> None:
    p.graph.node[1].attribute.append(helper.make_attribute(name, value))


def swapped(p: onnx.ModelProto) -> None:
    conv, relu = p.graph.node
    order = [onnx.NodeProto.FromString(one.SerializeToString()) for one in (relu, conv)]
    del p.graph.node[:]
    p.graph.node.extend(order)


def weight(p: onnx.ModelProto) -> onnx.TensorProto:
    return p.graph.initializer[0]


MALFORMED: dict[str, tuple[type[CnncError], str, Callable[[onnx.ModelProto], object]]] = {
    "no graph": (InvalidInputError, "holds no graph", lambda p: p.ClearField("graph")),
    "no outputs": (InvalidInputError, "no outputs", lambda p: p.graph.ClearField("output")),
    "undefined input": (InvalidInputError, "'nothing', which nothing defines", lambda p: first_input_is(p, "nothing")),
    "defined twice": (InvalidInputError, "'c' is defined twice", lambda p: first_output_is(p, "c")),
    "out of order": (InvalidInputError, "Relu 'Relu_y' reads 'c', before it is computed", swapped),
    "in a circle": (InvalidInputError, "reads 'y', before it is computed", lambda p: first_input_is(p, "y")),
    "unknown attribute": (InvalidInputError, "Unrecognized attribute: foo", lambda p: attribute(p, "foo", 1)),
    "attribute of another type": (
        InvalidInputError,
        "Conv 'Conv_c': Mismatched attribute type",
        lambda p: p.graph.node[0].attribute.append(helper.make_attribute("pads", 1)),
    ),
    "inputs left out": (
        InvalidInputError,
        "has input size 1 not in range",
        lambda p: p.graph.node[0].input.__delitem__(slice(1, None)),
    ),
    "numbers missing": (
        InvalidInputError,
        "tensor 'w' of shape [6, 4, 3, 3]: 864 bytes are needed, 860 are there",
        lambda p: setattr(weight(p), "raw_data", weight(p).raw_data[:-4]),
    ),
    "numbers left over": (
        InvalidInputError,
        "864 bytes are needed, 868 are there",
        lambda p: setattr(weight(p), "raw_data", weight(p).raw_data + bytes(4)),
    ),
    "no numbers": (InvalidInputError, "216 numbers are needed, 0", lambda p: weight(p).ClearField("raw_data")),
    "numbers twice": (
        InvalidInputError,
        "twice, in float_data and raw_data",
        lambda p: weight(p).float_data.append(1.0),
    ),
    "element type 0": (InvalidInputError, "unknown element type 0", lambda p: setattr(weight(p), "data_type", 0)),
    "element type 99": (InvalidInputError, "unknown element type 99", lambda p: setattr(weight(p), "data_type", 99)),
    "negative size": (InvalidInputError, "negative size", lambda p: weight(p).dims.__setitem__(0, -6)),
    "output not computed": (
        InvalidInputError,
        "nothing computes the output 'z'",
        lambda p: setattr(p.graph.output[0], "name", "z"),
    ),
    "no opset": (InvalidInputError, "opset_import is missing", lambda p: p.ClearField("opset_import")),
    "opset 999": (UnsupportedModelError, "opset 999", lambda p: setattr(p.opset_import[0], "version", 999)),
    "opset 1": (UnsupportedModelError, "opset 1 ", lambda p: setattr(p.opset_import[0], "version", 1)),
    "unknown operator": (
        UnsupportedModelError,
        "unknown operator Foo",
        lambda p: setattr(p.graph.node[1], "op_type", "Foo"),
    ),
    "unknown domain": (
        UnsupportedModelError,
        "unknown operator my.domain::Relu",
        lambda p: setattr(p.graph.node[1], "domain", "my.domain"),
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_graphs(tmp_path: Path, case: str) -> None:
    kind, message, edit = MALFORMED[case]
    error = refused(tmp_path, edited(edit))
    assert type(error) is kind and message in str(error)


@pytest.mark.parametrize("dtype", ["FLOAT", "DOUBLE", "FLOAT16", "INT8", "UINT64", "BOOL", "INT4", "COMPLEX64"])
@pytest.mark.parametrize("raw", [False, True])
def test_stored_numbers_of_every_kind_are_counted_rightly(dtype: str, raw: bool) -> None:
    kind = getattr(TensorProto, dtype)
    tensor = helper.make_tensor("w", kind, [3], np.array([1, 0, 1], helper.tensor_dtype_to_np_dtype(kind)))
    if raw:
        tensor = numpy_helper.from_array(numpy_helper.to_array(tensor), "w")
    proto = conv_relu()
    proto.graph.initializer.extend([tensor, onnx.TensorProto(name="none", data_type=kind, dims=[0, 3])])
    check_payloads(proto)
    proto.graph.initializer[-2].dims[0] = 5
    with pytest.raises(InvalidInputError, match=r"tensor 'w' of shape \[5\]"):
        check_payloads(proto)


def test_training_mode_batchnorm_is_refused(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "c"),
        node("BatchNormalization", "c gamma beta mean var", "y m v", training_mode=1),
    ]
    proto = model(nodes, {"x": [2, 4, 5, 5]}, ["y"], {"w": weights(6, 4, 3, 3), **batchnorm(6)})
    assert "training_mode=1" in str(refused(tmp_path, proto)) and refused(tmp_path, proto).exit_code == 5


def test_dropout_that_drops_is_refused(tmp_path: Path) -> None:
    constants = {"ratio": np.array(0.5, np.float32), "mode": np.array(True)}
    proto = model([node("Dropout", "x ratio mode", "y")], {"x": [2, 3]}, ["y"], constants)
    assert refused(tmp_path, proto).exit_code == 5


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff" * 50, b"version https://git-lfs.github.com/spec/v1\noid x", b"PK\x03\x04"]
)
def test_files_that_are_no_models(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"net\.onnx"):
        load_onnx(path)


@pytest.mark.parametrize("percent", [10, 50, 99])
def test_a_file_cut_short(tmp_path: Path, percent: int) -> None:
    content = conv_relu().SerializeToString()
    path = tmp_path / "net.onnx"
    path.write_bytes(content[: len(content) * percent // 100])
    with pytest.raises(InvalidInputError):
        load_onnx(path)


def external(location: str, offset: str = "0", length: str | None = None) -> onnx.ModelProto:
    proto = conv_relu()
    tensor = proto.graph.initializer[0]
    size = numpy_helper.to_array(tensor).nbytes
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length or str(size))):
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
    return proto


def test_external_data_in_the_folder_loads(tmp_path: Path) -> None:
    array = numpy_helper.to_array(conv_relu().graph.initializer[0])
    (tmp_path / "net.data").write_bytes(array.tobytes())
    loaded = load_onnx(write(tmp_path, external("net.data")))
    assert loaded.graph.initializers["w"].const_value.numpy().shape == array.shape


@pytest.mark.parametrize("location", ["../net.data", "a/../../net.data", "/etc/passwd"])
def test_external_data_outside_the_folder_is_unsafe(tmp_path: Path, location: str) -> None:
    assert type(refused(tmp_path, external(location))) is UnsafeInputError


def test_a_symlink_out_of_the_folder_is_unsafe(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "net.data").write_bytes(b"\0" * 10_000)
    (inside / "net.data").symlink_to(tmp_path / "net.data")
    assert type(refused(inside, external("net.data"))) is UnsafeInputError


def test_a_hard_link_as_external_data_is_unsafe(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\0" * 10_000)
    (tmp_path / "net.data").hardlink_to(tmp_path / "secret")
    error = refused(tmp_path, external("net.data"))
    assert type(error) is UnsafeInputError and "hard link" in str(error)


def test_external_data_of_a_constant_node_is_checked_too(tmp_path: Path) -> None:
    proto = external("../net.data")
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=proto.graph.initializer.pop(0)))
    assert type(refused(tmp_path, proto)) is UnsafeInputError


def test_external_data_that_does_not_fit(tmp_path: Path) -> None:
    assert "missing" in str(refused(tmp_path, external("net.data")))
    (tmp_path / "net.data").write_bytes(b"\0" * 10)
    assert "past the end" in str(refused(tmp_path, external("net.data")))
    (tmp_path / "net.data").write_bytes(b"\0" * 100_000)
    assert "disagree" in str(refused(tmp_path, external("net.data", length="8")))
    assert "the offset '-1'" in str(refused(tmp_path, external("net.data", offset="-1")))


def test_a_fifo_as_external_data_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.data")
    assert "not a regular file" in str(refused(tmp_path, external("net.data")))


def test_helper_builds_valid_models() -> None:
    """The edits above are what is refused, not the graph they start from."""
    onnx.checker.check_model(conv_relu())
    assert helper.printable_graph(conv_relu().graph)
