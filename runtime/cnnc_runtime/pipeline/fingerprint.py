"""What a run is of: model, options and inputs, as digests that a journal of another run does not share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cnnc_runtime.errors import InvalidInputError
from cnnc_runtime.pipeline.tasks import is_container

__all__ = ["difference", "fingerprint"]


def fingerprint(model: str, names: Iterable[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON values: SHA-256 of the model's file and of the inputs' names, and the options that shape the output.

    Files that hold many items count with size and time of change: where an item stands in them must be the same.

    Raises:
        InvalidInputError: the model cannot be read.
    """
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        if is_container(Path(name)):
            digest.update(_state(Path(name)))
    weights = _state(Path(f"{model}.data"))  # where exporters put what is over 2 GB: too much to read again
    return {
        "model": _digest(model) + hashlib.sha256(weights).hexdigest()[:8],
        "inputs": digest.hexdigest(),
        "options": dict(options),
    }


def difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """What differs between two fingerprints, in words; None if nothing does."""
    if then.get("model") != now["model"]:
        return "the model differs"
    options = then.get("options")
    for key, value in now["options"].items():
        before = options.get(key) if isinstance(options, dict) else None
        if before != value:
            shown = "" if isinstance(value, (dict, list)) else f": {before} then, {value} now"
            return f"{key} differs{shown}"
    return "the inputs differ" if then.get("inputs") != now["inputs"] else None


def _digest(model: str) -> str:
    try:
        with Path(model).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInputError(f"{model} cannot be read: {error.strerror}") from error


def _state(file: Path) -> bytes:
    try:
        state = file.stat()
    except OSError:
        return b"missing\0"
    return f"{state.st_size} {state.st_mtime_ns}\0".encode()
