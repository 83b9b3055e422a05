"""The digits, and small networks measured on them."""

from __future__ import annotations

import functools

import numpy as np
import onnx_ir as ir
import torch
from sklearn.datasets import load_digits
from torch import nn

from cnnc.analysis.activations import ActivationHealth, measure_activations
from cnnc.export import export

SCANS, LABELS = load_digits(return_X_y=True)
DIGITS = ((SCANS - SCANS.mean()) / SCANS.std()).reshape(-1, 1, 8, 8).astype(np.float32)


def measured(net: nn.Module, x: np.ndarray = DIGITS[:200], **options: object) -> ActivationHealth:
    """The health of `net`, exported as a user's would be."""
    return measure_activations(export(net, (torch.zeros(2, *x.shape[1:]),)), x, **options)


@functools.cache
def small_model() -> ir.Model:
    """A small CNN for the digits, untrained."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    return export(net, (torch.zeros(2, 1, 8, 8),))
