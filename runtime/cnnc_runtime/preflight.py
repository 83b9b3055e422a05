"""Is this file an ONNX model at all? Said in one clear line before a parser sees it."""

from __future__ import annotations

import os
from pathlib import Path

from cnnc_runtime.errors import InvalidInputError

__all__ = ["check_model_bytes", "check_model_file"]

_LARGEST_PROTOBUF = 2**31 - 1

# No ONNX file can begin so: its first byte is a protobuf field number, in practice 0x08.
_LOOKALIKES = (
    (b"version https://git-lfs", "is a git-LFS pointer, not the model: run `git lfs pull`"),
    (b"\x1f\x8b", "is gzip-compressed: unpack it first"),
    (b"PK\x03\x04", "is a zip archive (perhaps a PyTorch checkpoint), not an ONNX model"),
    (b"\x80", "is a Python pickle (perhaps a PyTorch checkpoint), not an ONNX model"),
    (b"<", "is HTML or XML, not an ONNX model: perhaps a failed download"),
    (b"{", "is JSON, not an ONNX model"),
    (b"[", "is JSON, not an ONNX model"),
)


def check_model_file(path: str | os.PathLike[str]) -> None:
    """Refuse what is plainly not an ONNX file.

    Raises:
        InvalidInputError: the path is missing, a directory, unreadable, empty, too large for one protobuf,
            or holds something else; the message says what and the way out.
    """
    path = Path(path)
    if path.is_dir():
        raise InvalidInputError(f"{path} is a directory: name the .onnx file in it")
    if not path.exists():
        raise InvalidInputError(f"{path}: no such file")
    if not path.is_file():  # opening a FIFO would wait for ever
        raise InvalidInputError(f"{path} is not a regular file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    if size > _LARGEST_PROTOBUF:
        raise InvalidInputError(f"{path} is over 2 GiB, too much for one protobuf: save it with external data")
    check_model_bytes(head, str(path))


def check_model_bytes(head: bytes, name: str = "the model") -> None:
    """Refuse bytes (at least the first 64) that are empty or plainly another format.

    Raises:
        InvalidInputError: says what they are.
    """
    if not head:
        raise InvalidInputError(f"{name} is empty")
    for magic, what in _LOOKALIKES:
        if head.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(magic):
            raise InvalidInputError(f"{name} {what}")
