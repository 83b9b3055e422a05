"""BatchNormalization for graphs written by hand: its parameters, and what it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from tests.cases.harness import values


def statistics(channels: int, **fixed: float) -> dict[str, np.ndarray]:
    """Scale g, shift b, mean m and variance v as training leaves them; `fixed` sets every element of one."""
    drawn = {
        "g": values(channels, seed=1, low=-1.5, high=1.5),
        "b": values(channels, seed=2),
        "m": values(channels, seed=3),
        "v": values(channels, seed=4, low=0.5, high=1.5),
    }
    return drawn | {name: np.full(channels, value, np.float32) for name, value in fixed.items()}


def normalize(c: dict[str, np.ndarray], prefix: str = "", epsilon: float = 1e-5) -> Callable[[Any], torch.Tensor]:
    """What BatchNormalization computes, in float64 PyTorch."""
    g, b, m, v = (torch.from_numpy(c[prefix + name].astype(np.float64)).reshape(-1, 1, 1) for name in "gbmv")
    return lambda x: (x - m) / torch.sqrt(v + epsilon) * g + b


def double(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float64))
