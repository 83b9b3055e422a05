"""PyTorch code, stopped at one of its operators: what it computed by then, whatever would have followed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cnnc_runtime.errors import UnsupportedModelError

__all__ = ["find_operator", "run_to"]


class _ReachedError(BaseException):  # no Exception: nobody on the way is to catch it
    """The operator asked for has run."""


class _Watch(TorchDispatchMode):
    """Counts operators as they run, and shows each result."""

    def __init__(self, see: Callable[[int, torch.Tensor], None]) -> None:
        super().__init__()
        self._see, self._count = see, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one operator."""
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        if not _only_moves(func):
            if tensors:
                self._see(self._count, tensors[0])
            self._count += 1
        return result


def _only_moves(func: Any) -> bool:
    """True for what a widening to float64 adds or leaves out: it is not counted."""
    return func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.detach, torch.ops.aten.alias)


def find_operator(run: Callable[[], Any], is_it: Callable[[torch.Tensor], bool]) -> int | None:
    """The number of the first operator whose result `is_it`; None if there is none."""
    found: list[int] = []

    def see(number: int, result: torch.Tensor) -> None:
        if not found and is_it(result):
            found.append(number)

    with _Watch(see):
        run()
    return found[0] if found else None


def run_to(number: int, run: Callable[[], Any]) -> np.ndarray:
    """The result of operator `number`; those after it do not run.

    Raises:
        UnsupportedModelError: the code ends, or fails, before it.
    """
    result: list[torch.Tensor] = []

    def see(current: int, tensor: torch.Tensor) -> None:
        if current == number:
            result.append(tensor)
            raise _ReachedError

    try:
        with _Watch(see):
            run()
    except _ReachedError:
        return np.array(result[0].detach().numpy())
    except RuntimeError as error:
        raise UnsupportedModelError(f"the network takes no image of this size: {str(error).splitlines()[0]}") from error
    raise UnsupportedModelError("the network computes less at this size than at the one it was exported at")
