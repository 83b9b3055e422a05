"""Files that are no ONNX models are told apart before a parser sees them."""

import gzip
import io
import os
import pickle
import zipfile

import pytest

from cnnc_runtime import check_model_file, load
from cnnc_runtime.errors import InvalidInputError
from tests.runtime.models import relu


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("model.onnx", "x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS pointer"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (zipped(), "zip"),
        (pickle.dumps({"a": 1}), "pickle"),
        (b'{"error": "not found"}', "JSON"),
        (b"\n  <!DOCTYPE html><html>", "HTML"),
    ],
)
def test_lookalikes(tmp_path, content, message):
    path = tmp_path / "a model.onnx"
    path.write_bytes(content)
    for attempt in (check_model_file, lambda path: load(path, device="cpu")):
        with pytest.raises(InvalidInputError, match=message) as caught:
            attempt(path)
        assert "a model.onnx" in str(caught.value)


def test_missing_directory_and_fifo(tmp_path):
    with pytest.raises(InvalidInputError, match="no such file"):
        check_model_file(tmp_path / "missing.onnx")
    with pytest.raises(InvalidInputError, match="directory"):
        check_model_file(tmp_path)
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(InvalidInputError, match="regular file"):
        check_model_file(tmp_path / "pipe.onnx")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path):
    path = tmp_path / "secret.onnx"
    path.write_bytes(relu())
    path.chmod(0)
    with pytest.raises(InvalidInputError, match="cannot be read"):
        check_model_file(path)


def test_a_model_passes(tmp_path):
    (tmp_path / "net.onnx").write_bytes(relu())
    check_model_file(tmp_path / "net.onnx")


def test_more_than_a_protobuf_holds(tmp_path):
    with (tmp_path / "big.onnx").open("wb") as file:
        file.write(relu())
        file.truncate(2**31)  # sparse: it takes no space
    with pytest.raises(InvalidInputError, match="external data"):
        check_model_file(tmp_path / "big.onnx")
