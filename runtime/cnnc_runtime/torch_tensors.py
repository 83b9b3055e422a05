"""PyTorch tensors in and out, where the caller has PyTorch: this package never imports it itself."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from cnnc_runtime.errors import InvalidInputError
from cnnc_runtime.tensors import TensorSpec

__all__ = ["conform_on_device", "device_of", "is_tensor", "to_array", "to_tensor", "widened"]


def is_tensor(value: Any) -> bool:
    """Whether it is a `torch.Tensor`: whoever holds one has imported torch."""
    kind = getattr(sys.modules.get("torch"), "Tensor", None)
    return kind is not None and isinstance(value, kind)


def device_of(tensor: Any) -> str:
    """As the engine writes devices: `cpu`, `cuda:0`."""
    kind = tensor.device.type
    return kind if kind == "cpu" else f"{kind}:{tensor.device.index or 0}"


def to_tensor(array: np.ndarray[Any, Any]) -> Any:
    """A CPU tensor that shares the array's memory."""
    return sys.modules["torch"].from_numpy(array)


def to_array(tensor: Any) -> np.ndarray[Any, Any]:
    """A copy in host memory, or the tensor's own memory if it is there."""
    array: np.ndarray[Any, Any] = tensor.cpu().numpy()
    return array


def widened(tensor: Any) -> Any:
    """bfloat16, which numpy lacks, as float32, which holds all of it; any other tensor as it is."""
    return tensor.float() if tensor.dtype == sys.modules["torch"].bfloat16 else tensor


def conform_on_device(spec: TensorSpec, tensor: Any) -> Any:
    """The tensor as a session needs it on its own device: the input's dtype, contiguous; a copy only where it is not.

    Raises:
        InvalidInputError: as `TensorSpec.check`; or it needs a gradient, which onnxruntime does not compute.
    """
    if tensor.requires_grad:
        raise InvalidInputError(f"input {spec.name!r} needs a gradient, and the engine computes none: pass x.detach()")
    tensor = widened(tensor)
    name = str(tensor.dtype).removeprefix("torch.")
    try:
        dtype = np.dtype(name)
    except TypeError:
        raise InvalidInputError(f"input {spec.name!r} expects {spec.dtype}, got {name}") from None
    spec.check_form(dtype, tuple(tensor.shape))
    if dtype != spec.dtype:
        tensor = tensor.to(getattr(sys.modules["torch"], str(spec.dtype)))
    return tensor.contiguous()
