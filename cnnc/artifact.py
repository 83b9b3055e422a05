"""Writing an artifact: into a fresh folder beside the target, flushed, renamed; what was there stays till then."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import onnx_ir as ir

from cnnc.onnx_stream import stream_model
from cnnc_runtime.atomic import check_writable
from cnnc_runtime.errors import OutputError

__all__ = ["append_metadata", "check_writable", "publish", "scratch_beside", "write_model"]

_SINGLE_FILE_LIMIT = 1_900_000_000  # bytes; one protobuf message ends at 2 GiB


@contextlib.contextmanager
def scratch_beside(output: Path | None) -> Iterator[Path]:
    """A fresh folder on the output's own file system, gone afterwards whatever happens."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=".cnnc-", dir=output.parent if output else None))
    except OSError as error:
        raise OutputError(f"{output}: cannot write beside it: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_model(model: ir.Model, path: Path) -> list[Path]:
    """Serialize to `path`; beyond the size of one protobuf file, with the weights in `path` + `.data`.

    Returns:
        the files written, weights first.
    """
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    data = f"{path.name}.data" if size > _SINGLE_FILE_LIMIT else None
    try:
        if data is None:
            with path.open("wb") as file:
                stream_model(model, file)
        else:
            ir.save(model, path, external_data=data)
    except OSError as error:
        raise OutputError(f"{path.name} could not be written: {error.strerror}") from error
    return [path] if data is None else [path.with_name(data), path]


def append_metadata(path: Path, properties: Mapping[str, str]) -> None:
    """Add metadata to a finished model file without reading it back.

    Protobuf defines the concatenation of two messages as their merge, so a second, nearly empty
    ModelProto at the end adds its properties to the first.
    """
    addition = onnx.ModelProto()
    onnx.helper.set_model_props(addition, dict(properties))
    try:
        with path.open("ab") as file:
            file.write(addition.SerializeToString())
    except OSError as error:
        raise OutputError(f"{path.name} could not be written: {error.strerror}") from error


def publish(files: list[Path], output: Path) -> None:
    """Move finished files to where `output` is wanted, in one rename each."""
    try:
        for file in files:
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
            file.replace(output.parent / file.name)
    except OSError as error:
        raise OutputError(f"{output}: could not be written: {error.strerror}") from error
