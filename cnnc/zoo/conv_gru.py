"""Ballas et al., Delving Deeper into Convolutional Networks for Learning Video Representations, 2016."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from cnnc.zoo.vgg import vgg16_features

_PERCEPTS = (128, 256, 512, 512)  # channels of VGG-16's pool2 to pool5
_STATES = (64, 128, 256, 256)  # of the recurrences on them, as in the paper


class ConvGRU(nn.Module):
    """A GRU whose matrix products are 3x3 convolutions: GRU-RCN, the paper's section 3.1, stacked as in 3.2.

    With x the percept of this frame, h the state of the frame before and b this frame's state of the layer below:

        z  = sigmoid(W_z * x + V_z * b + U_z * h)      update
        r  = sigmoid(W_r * x + V_r * b + U_r * h)      reset
        h~ = tanh(W * x + U * (r h))                   candidate
        h' = (1 - z) h + z h~

    Convolutions of one input are one, their kernels side by side: `percept` is W_z, W_r, W; `below` V_z, V_r; `state`
    U_z, U_r; `candidate` U. The biases, which the paper leaves out of its equations, are those of `percept`.

    Args:
        percept: channels of x.
        channels: of the state.
        below: channels of b; None for the lowest layer.
    """

    weight_gains = {"percept": 0.5**0.5, "state": 0.5, "candidate": 0.5}  # noqa: RUF012 - gates are no ReLUs

    def __init__(self, percept: int, channels: int, below: int | None = None) -> None:
        super().__init__()
        self.percept = nn.Conv2d(percept, 3 * channels, kernel_size=3, padding=1)
        self.state = nn.Conv2d(channels, 2 * channels, kernel_size=3, padding=1, bias=False)
        self.candidate = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        if below is not None:
            self.below = nn.Conv2d(below, 2 * channels, kernel_size=3, padding=1, bias=False)
            self.pool = nn.MaxPool2d(2)  # the layer below has twice the resolution

    def forward(self, x: torch.Tensor, h: torch.Tensor, below: torch.Tensor | None = None) -> torch.Tensor:
        """The next state, of the shape of `h`."""
        update, reset, candidate = self.percept(x).chunk(3, 1)
        gates = torch.cat([update, reset], 1) + self.state(h)
        if below is not None:
            gates = gates + self.below(self.pool(below))
        z, r = torch.sigmoid(gates).chunk(2, 1)
        return (1 - z) * h + z * torch.tanh(candidate + self.candidate(r * h))


class ConvGRUNet(nn.Module):
    """A stacked GRU-RCN on VGG-16: one step, a frame and four states in, scores and the four next states out.

    Inputs `frame` (N, 3, 224, 224) and `h2` (N, 64, 56, 56), `h3` (N, 128, 28, 28), `h4` (N, 256, 14, 14), `h5`
    (N, 256, 7, 7), the states on pool2 to pool5; first output (N, num_classes) probabilities: the mean of four
    classifiers, each a linear layer and softmax on the spatial mean of one state. 28,980,948 parameters at the 101
    classes of UCF-101. The paper has a fifth recurrence, on the fully connected layer FC-7, whose 124 million
    parameters are left out here.
    """

    def __init__(self, num_classes: int = 101) -> None:
        super().__init__()
        self.features = vgg16_features()
        below = (None, *_STATES)
        self.recurrences = nn.ModuleList(map(ConvGRU, _PERCEPTS, _STATES, below))
        self.classifiers = nn.ModuleList(nn.Linear(channels, num_classes) for channels in _STATES)
        self.dropout = nn.Dropout(0.7)

    def forward(
        self, frame: torch.Tensor, h2: torch.Tensor, h3: torch.Tensor, h4: torch.Tensor, h5: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Class probabilities after this frame, and the next states."""
        states: list[torch.Tensor] = []
        for gru, x, h in zip(self.recurrences, self._percepts(frame), (h2, h3, h4, h5), strict=True):
            states.append(gru(x, h, states[-1] if states else None))
        scores = [
            F.softmax(classify(self.dropout(h.mean((2, 3)))), 1)
            for classify, h in zip(self.classifiers, states, strict=True)
        ]
        return torch.stack(scores).mean(0), *states

    def _percepts(self, x: torch.Tensor) -> list[torch.Tensor]:
        pooled = []
        for layer in self.features.children():
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                pooled.append(x)
        return pooled[1:]

    def initial_state(self, batch: int, height: int = 224, width: int = 224) -> tuple[torch.Tensor, ...]:
        """Zeros, for frames of this size."""
        like = next(self.parameters())
        return tuple(
            like.new_zeros(batch, channels, height >> level, width >> level)
            for level, channels in enumerate(_STATES, 2)
        )

    def unroll(self, clip: torch.Tensor, states: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Probabilities after each frame, (N, T, num_classes), of clips (N, 3, T, H, W), from zero states if None."""
        states = states or self.initial_state(clip.shape[0], clip.shape[3], clip.shape[4])
        scores = []
        for frame in clip.unbind(2):
            score, *states = self(frame, *states)
            scores.append(score)
        return torch.stack(scores, 1)
