"""What our operators have in common, and what float64 means for a value."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun

__all__ = ["Operator", "per_channel", "widen"]

_NARROW = ("float16", "bfloat16", "float32")


class Operator(OpRun):
    """An operator of the evaluator: `_run(*inputs, **attributes)`, of which only those the node has are passed.

    Without a schema, since onnx would fill in the defaults of the newest opset, whatever the model's is.
    """

    op_domain = ""
    op_schema = None

    @property
    def opset(self) -> int:
        """The version of the operator set that the model imports."""
        version: int = self.run_params["opsets"][""]
        return version


def widen(value: Any) -> Any:
    """A floating tensor in float64, a sequence of them too; all else as it is."""
    if isinstance(value, np.ndarray) and value.dtype.name in _NARROW:
        return value.astype(np.float64)
    return [widen(x) for x in value] if isinstance(value, list) else value


def per_channel(parameter: np.ndarray, rank: int) -> np.ndarray:
    """A parameter (C,), shaped to broadcast over (N, C, *spatial) of `rank` axes."""
    return parameter.reshape(1, *parameter.shape, *(1,) * (rank - 1 - parameter.ndim))
