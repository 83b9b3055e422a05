"""Checkpoint files -> a module's state: sniffed by content, never executed, every mismatch named."""

from __future__ import annotations

import logging
import pickle
import warnings
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cnnc_runtime.errors import InvalidInputError, ResourceLimitError, UnsafeInputError

__all__ = ["load_state", "load_weights", "read_checkpoint", "strip_prefixes"]

_log = logging.getLogger("cnnc")

_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
_PREFIXES = ("module.", "_orig_mod.")  # DataParallel and torch.compile put these before every key
_LISTED = 10  # keys named in a message
_LOOKALIKES = (
    (b"version https://git-lfs", "is a git-LFS pointer, not the weights: run `git lfs pull`"),
    (b"<", "is HTML or XML, not a checkpoint: perhaps a failed download"),
    (b"\x1f\x8b", "is gzip-compressed: unpack it first"),
)
_PICKLE = b"\x80"  # how every pickle of protocol 2 or later begins; torch.save writes 2
_INFLATION = 20  # a checkpoint stores its tensors uncompressed: much more than this is a zip bomb


def load_weights(module: nn.Module, path: Path) -> None:
    """Load the checkpoint at `path` (.pt, .pth, .safetensors) into `module`, in place.

    Raises:
        InvalidInputError: missing or unreadable file; missing, unexpected, mis-shaped or unusable tensors.
        UnsafeInputError: a pickle that would run code, or TorchScript.
        ResourceLimitError: it would unpack to far more than its size.
    """
    load_state(module, strip_prefixes(read_checkpoint(path), module.state_dict()), path)


def load_state(
    module: nn.Module, state: Mapping[str, torch.Tensor], path: Path, *, new: Collection[str] = frozenset()
) -> None:
    """Load `state`, read from `path`, into `module`, in place; the tensors named in `new` stay as they are.

    Raises:
        InvalidInputError: missing, unexpected, mis-shaped or unusable tensors.
    """
    wanted = {key: value for key, value in module.state_dict().items() if key not in new}
    # `num_batches_tracked` counts training steps: inference never reads it, and old checkpoints lack it.
    missing = [key for key in wanted if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in wanted]
    mis_shaped = [
        f"{key} is {_shape(state[key])}, the network has {_shape(wanted[key])}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    unusable = [
        f"{key} {fault}" for key in wanted if key in state and (fault := _fault(state[key], wanted[key])) is not None
    ]
    problems = [
        f"{len(keys)} {what}: {', '.join(keys[:_LISTED])}{', ...' if len(keys) > _LISTED else ''}"
        for what, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("mis-shaped", mis_shaped),
            ("unusable", unusable),
        )
        if keys
    ]
    if problems:
        raise InvalidInputError(f"{path} does not fit {type(module).__name__}: {'; '.join(problems)}")
    whole = next((k for k in state if wanted[k].is_floating_point() and not state[k].is_floating_point()), None)
    if whole is not None:
        _log.warning("%s: %s is %s, the network has floats: quantized weights?", path, whole, state[whole].dtype)
    module.load_state_dict(state, strict=False)
    # `wanted` is the module's own tensors
    odd = next((k for k in state if not wanted[k].is_meta and not torch.isfinite(wanted[k]).all()), None)
    if odd is not None:
        _log.warning("%s: %s holds NaN or infinity", path, odd)


def _fault(tensor: torch.Tensor, wanted: torch.Tensor) -> str | None:
    """What keeps a tensor from being copied into the network's, number by number."""
    if tensor.is_meta:
        return "has no values (device meta)"
    if tensor.layout != torch.strided:
        return "is sparse: save it with .to_dense()"
    if tensor.is_quantized:
        return "is quantized: save it with .dequantize()"
    if tensor.is_complex() and not wanted.is_complex():
        return "is complex (the network is real)"
    return None


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """The state_dict inside a checkpoint file, on the CPU; raises as `load_weights`."""
    if not path.is_file():
        raise InvalidInputError(f"{path}: {'is a folder' if path.is_dir() else 'no such checkpoint'}")
    if path.stat().st_size == 0:
        raise InvalidInputError(f"{path}: the checkpoint is empty")
    content = _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path)
    return _find_state(content, path)


def _is_safetensors(path: Path) -> bool:
    """A safetensors file begins with its header's length, eight bytes, and the header's `{`."""
    with path.open("rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, torch.Tensor] = load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise InvalidInputError(f"{path}: not a valid safetensors file: {error}") from error
    return state


def _read_pickle(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        _check_archive(path)
    elif path.suffix == ".safetensors":
        raise InvalidInputError(f"{path}: not a valid safetensors file")
    else:
        _check_pickle(path)
    try:
        # An open file: given a name, torch.load goes by its ending
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's own deprecations, and pickle protocols it has not seen
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error) and "Unsupported" not in str(error):
            raise InvalidInputError(f"{path}: not a PyTorch checkpoint") from error
        raise UnsafeInputError(
            f"{path}: loading it would run code (it holds more than tensors); save the weights alone: "
            "torch.save(model.state_dict(), ...)"
        ) from error
    except Exception as error:  # on bytes that are no pickle the unpickler's stack machine may raise anything
        raise InvalidInputError(f"{path}: a damaged PyTorch checkpoint, or none: get a whole copy of it") from error


def _check_pickle(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(64).lstrip(b" \t\r\n\xef\xbb\xbf")
    for magic, what in _LOOKALIKES:
        if head.startswith(magic):
            raise InvalidInputError(f"{path} {what}")
    if not head.startswith(_PICKLE):
        raise InvalidInputError(f"{path} is no PyTorch checkpoint and no safetensors file")


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise InvalidInputError(f"{path}: the checkpoint is damaged: {error}") from error
    if any("/code/" in entry.filename or entry.filename.endswith("/models/model.json") for entry in entries):
        raise UnsafeInputError(f"{path}: a TorchScript or .pt2 program is code; give a state_dict instead")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > _INFLATION * max(path.stat().st_size, 1 << 20):
        raise ResourceLimitError(f"{path}: would unpack to {unpacked / 1e9:.1f} GB; refused as a zip bomb")


def _find_state(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """The mapping of names to tensors, at the top or inside one of the usual wrappers."""
    candidate = content
    for _ in range(3):
        if not isinstance(candidate, Mapping):
            break
        if candidate and all(isinstance(value, torch.Tensor) for value in candidate.values()):
            return {str(key): value for key, value in candidate.items()}
        wrapper = next((key for key in _WRAPPERS if isinstance(candidate.get(key), Mapping)), None)
        if wrapper is None:
            break
        _log.info("%s: weights found under %r", path, wrapper)
        candidate = candidate[wrapper]
    keys = f" (its keys: {', '.join(map(str, list(content)[:_LISTED]))})" if isinstance(content, Mapping) else ""
    raise InvalidInputError(f"{path}: no state_dict found{keys}")


def strip_prefixes(state: dict[str, torch.Tensor], wanted: Collection[str]) -> dict[str, torch.Tensor]:
    """Take wrappers' prefixes off every key, in whatever order they nest, until the keys are the network's."""
    while state and not set(state) & set(wanted):
        prefix = next((prefix for prefix in _PREFIXES if all(key.startswith(prefix) for key in state)), None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
