"""LRCN (Donahue et al., Long-term Recurrent Convolutional Networks for Visual Recognition and Description, 2015)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from cnnc.zoo.alexnet import last_convolutions

_HIDDEN = 256


class LSTM(nn.LSTMCell):
    """One step of a long short-term memory, with PyTorch's names for its weights.

    With i, f, o the input, forget and output gates:

        i, f, o = sigmoid(W_i x + U_i h), sigmoid(W_f x + U_f h), sigmoid(W_o x + U_o h)
        c'      = f c + i tanh(W_c x + U_c h)
        h'      = o tanh(c')
    """

    def fill_own(self, stream: torch.Generator) -> None:
        """N(0, 1/fan-in) weights, so that gates are neither open nor shut; N(0, 0.1) biases."""
        for weight in (self.weight_ih, self.weight_hh):
            weight.normal_(0, weight.shape[1] ** -0.5, generator=stream)
        for bias in (self.bias_ih, self.bias_hh):
            bias.normal_(0, 0.1, generator=stream)


class CNNLSTM(nn.Module):
    """LRCN-fc6 for activity recognition: CaffeNet to its first fully connected layer, an LSTM of 256, a classifier.

    One step: inputs `frame` (N, 3, 227, 227), `h` and `c` (N, 256); outputs (N, num_classes) scores, and the next h
    and c. The paper averages the softmax of the scores over the frames of a clip. 44,571,365 parameters at the 101
    classes of UCF-101. CaffeNet is AlexNet in two groups, with its response normalization after the pooling.
    """

    def __init__(self, num_classes: int = 101) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, kernel_size=11, stride=4),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1),
            nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1),
            *last_convolutions(),
        )
        self.fc6 = nn.Sequential(nn.Linear(256 * 6 * 6, 4096), nn.ReLU(), nn.Dropout())
        self.lstm = LSTM(4096, _HIDDEN)
        self.dropout = nn.Dropout()
        self.classifier = nn.Linear(_HIDDEN, num_classes)

    def forward(
        self, frame: torch.Tensor, h: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Class scores of this frame, and the next states."""
        x = self.fc6(torch.flatten(self.features(frame), 1))
        h, c = self.lstm(x, (h, c))
        return self.classifier(self.dropout(h)), h, c

    def initial_state(self, batch: int, height: int = 227, width: int = 227) -> tuple[torch.Tensor, torch.Tensor]:
        """Zeros; the size of the frames does not matter."""
        like = next(self.parameters())
        return like.new_zeros(batch, _HIDDEN), like.new_zeros(batch, _HIDDEN)

    def unroll(self, clip: torch.Tensor, states: Sequence[torch.Tensor] | None = None) -> torch.Tensor:
        """Scores of each frame, (N, T, num_classes), of clips (N, 3, T, 227, 227), from zero states if None."""
        states = states or self.initial_state(clip.shape[0])
        scores = []
        for frame in clip.unbind(2):
            score, *states = self(frame, *states)
            scores.append(score)
        return torch.stack(scores, 1)
