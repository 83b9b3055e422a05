"""Any PyTorch code in float64, without a copy of its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

__all__ = ["Float64Mode"]

_NARROW = (torch.float32, torch.float16, torch.bfloat16)
_CASTS = (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16)


class Float64Mode(TorchFunctionMode):
    """Inside it every function of PyTorch computes in float64, whatever its tensors are or it is asked for.

    Operands are widened as each function is called: weights one layer at a time, and tensors that are
    neither parameters nor buffers as well. `x.float()` and `torch.zeros(...)` give float64.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call one function wide."""
        wide_args, wide_kwargs = tree_map(_widen, (args, kwargs or {}))
        if func in _CASTS:
            return wide_args[0]
        return tree_map(_widen, func(*wide_args, **wide_kwargs))


def _widen(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x.double() if x.dtype in _NARROW else x
    return torch.float64 if isinstance(x, torch.dtype) and x in _NARROW else x
