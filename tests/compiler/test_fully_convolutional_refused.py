"""Networks that cannot slide over larger images: refused in a line that says why."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cnnc
from cnnc_runtime.errors import UnsupportedModelError
from tests.nets import TwoInputs


class Last(nn.Module):
    """What follows a flattened map, by name."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.conv, self.norm, self.fc = kind, nn.Conv2d(3, 4, 3), nn.LayerNorm(144), nn.Linear(144, 5)
        self.places = nn.Parameter(torch.ones(1, 4, 6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        if self.kind == "map":
            return y
        if self.kind == "features":
            return y.flatten(1)
        if self.kind == "norm":
            return self.fc(self.norm(y.flatten(1)))
        if self.kind == "positions":
            return self.fc((y + self.places).flatten(1))
        z = y.flatten(2).transpose(1, 2)  # attention over places
        return self.fc((torch.softmax(z @ z.transpose(1, 2), -1) @ z).transpose(1, 2).reshape(-1, 4, 6, 6).flatten(1))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("map", r"output 'conv2d' has the shape \[batch,4,6,6\]: no classifier's \(N, classes\), or a map already"),
        ("features", "is a flattened map, and no scores of classes"),
        ("norm", "LayerNormalization .* has no form that slides over a larger map"),
        ("positions", "it takes one size alone: Add"),
        ("attention", "Reshape .* keeps the sizes that it was exported at"),
    ],
)
def test_what_cannot_slide_is_said(kind: str, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        cnnc.compile(Last(kind), torch.zeros(2, 3, 8, 8), fully_convolutional=True, device="cpu")


def test_two_inputs_cannot_slide() -> None:
    example = (torch.zeros(2, 1, 12, 10), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(UnsupportedModelError, match="has 2 inputs: only one image can slide"):
        cnnc.compile(TwoInputs(), example, fully_convolutional=True, device="cpu")
