"""Malformed, unsafe and unsupported .onnx files: one clear error each, of the right kind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

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


MALFORMED: dict[str, tuple[type[CnncError], str, Callable[[onnx.ModelProto], object]]] = {
    "no graph": (InvalidInputError, "holds no graph", lambda p: p.ClearField("graph")),
    "no outputs": (InvalidInputError, "no outputs", lambda p: p.graph.ClearField("output")),
    "undefined input": (InvalidInputError, "'nothing', which nothing defines", lambda p: first_input_is(p, "nothing")),
    "defined twice": (InvalidInputError, "'c' is defined twice", lambda p: first_output_is(p, "c")),
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


def test_external_data_that_does_not_fit(tmp_path: Path) -> None:
    assert "missing" in str(refused(tmp_path, external("net.data")))
    (tmp_path / "net.data").write_bytes(b"\0" * 10)
    assert "past the end" in str(refused(tmp_path, external("net.data")))
    (tmp_path / "net.data").write_bytes(b"\0" * 100_000)
    assert "disagree" in str(refused(tmp_path, external("net.data", length="8")))


def test_a_fifo_as_external_data_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.data")
    assert "not a regular file" in str(refused(tmp_path, external("net.data")))


def test_helper_builds_valid_models() -> None:
    """The edits above are what is refused, not the graph they start from."""
    onnx.checker.check_model(conv_relu())
    assert helper.printable_graph(conv_relu().graph)
