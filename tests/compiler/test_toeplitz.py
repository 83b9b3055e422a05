"""A convolution as a matrix gives what the convolution gives, for every rank, stride, group and direction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import cnnc
from cnnc.analysis.toeplitz import prove_dense

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "the lecture's": (nn.Conv2d(3, 6, 5), (3, 32, 32)),
    "strided, padded, grouped": (nn.Conv2d(4, 6, 3, 2, 1, groups=2), (4, 9, 8)),
    "depthwise": (nn.Conv2d(4, 4, 3, padding=1, groups=4), (4, 6, 6)),
    "dilated": (nn.Conv1d(2, 3, 3, dilation=2, padding="same"), (2, 11)),
    "of volumes": (nn.Conv3d(2, 3, (1, 2, 3)), (2, 4, 4, 4)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), (4, 5, 6)),
}


@pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)
def test_the_product_is_the_convolution(case: tuple[nn.Module, tuple[int, ...]]) -> None:
    layer, shape = case
    (proof,) = prove_dense(cnnc.analyze(layer, torch.zeros(2, *shape)))
    y = layer(torch.zeros(1, *shape))
    assert (proof.outputs, proof.inputs) == (y.numel(), int(np.prod(shape)))
    assert proof.error is not None and proof.error < 1e-13
    assert proof.weights == layer.weight.numel() <= proof.used <= proof.outputs * proof.inputs


def test_the_matrix_is_that_of_pytorchs_own_derivative() -> None:
    layer = nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False).double()
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(layer, x).reshape(3 * 3 * 3, 2 * 5 * 6)
    from cnnc.analysis.toeplitz import convolution_matrix
    from cnnc_passes.shapes import Window

    windows = [Window(kernel=3, stride=2, pads=(1, 1))] * 2
    matrix = convolution_matrix(layer.weight.detach().numpy(), (2, 5, 6), (3, 3, 3), windows, 1)
    np.testing.assert_array_equal(matrix, jacobian.numpy())


def test_the_lectures_figures_in_words() -> None:
    (proof,) = prove_dense(cnnc.analyze(nn.Conv2d(3, 6, 5), torch.zeros(2, 3, 32, 32)))
    assert "4,704 x 3,072 = 14,450,688 weights; 352,800 of them (2.44%)" in str(proof)
    assert "share 450 values" in str(proof)


def test_what_is_too_large_is_said_and_not_made() -> None:
    (proof,) = prove_dense(cnnc.analyze(nn.Conv2d(3, 64, 3), torch.zeros(2, 3, 224, 224)))
    assert proof.error is None and "too large" in str(proof)
