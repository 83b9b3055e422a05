"""The first kernels that a network learns, beside Sobel's and Gauss's, and what each makes of an image.

    pip install '.[examples]'
    python examples/kernels.py [--decay WEIGHT_DECAY] [--quick] [--out FOLDER]

A small network with 9x9 kernels learns the digits. Each kernel is compared, by cosine similarity, with three families
of classical filters of its size: Gaussians (blur), their first derivatives in 12 directions (edges, as Sobel's) and
their second derivatives (lines), each at five widths. What random kernels reach stands beside it. Krizhevsky et al.
(ImageNet Classification with Deep Convolutional Neural Networks, 2012, figure 3) show such kernels of AlexNet.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from lab import accuracy, digits, draw, fit, kaiming, options, plt, save, table
from torch import nn

SIZE, COUNT = 9, 12
DECAY = 0.02  # forty times AlexNet's: it clears away what is left of the random start
WIDTHS = (0.8, 1.2, 1.8, 2.5, 3.5)  # standard deviations, in pixels


def network() -> nn.Sequential:
    """9x9 first kernels, then two 3x3 convolutions."""
    return nn.Sequential(
        *(nn.Conv2d(1, COUNT, SIZE, padding=SIZE // 2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(COUNT, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(24, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10)),
    )


def gaussian(width: float, derivative: int = 0, angle: float = 0.0, size: int = SIZE) -> torch.Tensor:
    """A Gaussian, or its first or second derivative along `angle`, on a grid of `size`."""
    axis = torch.arange(size, dtype=torch.float64) - size // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    along = x * math.cos(angle) + y * math.sin(angle)
    bell = torch.exp(-(x**2 + y**2) / (2 * width**2))
    return (bell, -along * bell, (along**2 / width**2 - 1) * bell)[derivative]


def families() -> dict[str, torch.Tensor]:
    """Name -> (N, SIZE*SIZE) filters of unit length."""
    angles = [math.pi * i / 12 for i in range(12)]
    found = {
        "Gaussian": [gaussian(w) for w in WIDTHS],
        "edge (1st derivative)": [gaussian(w, 1, a) for w in WIDTHS for a in angles],
        "line (2nd derivative)": [gaussian(w, 2, a) for w in WIDTHS for a in angles],
    }
    return {name: F.normalize(torch.stack(filters).flatten(1), dim=1) for name, filters in found.items()}


def likeness(kernels: torch.Tensor) -> dict[str, torch.Tensor]:
    """(N, 1, SIZE, SIZE) kernels -> for each family the best |cosine| of each kernel, (N,)."""
    flat = F.normalize(kernels.detach().double().flatten(1), dim=1)
    return {name: (flat @ filters.T).abs().amax(1) for name, filters in families().items()}


def classical() -> dict[str, torch.Tensor]:
    """The filters that are drawn: Sobel's two and a Gaussian of the same 3x3, and a Gaussian and an edge of 9x9."""
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=torch.float64)
    blur = torch.tensor([1.0, 2, 1], dtype=torch.float64)
    return {
        "Sobel x": sobel,
        "Sobel y": sobel.T,
        "Gauss 3x3": torch.outer(blur, blur) / 16,
        "Gauss 9x9": gaussian(1.8) / gaussian(1.8).sum(),
        "edge 45°": gaussian(1.8, 1, math.pi / 4),
        "line 0°": gaussian(1.8, 2),
    }


def show(axes: tuple[plt.Axes, plt.Axes], title: str, kernel: torch.Tensor, image: torch.Tensor) -> None:
    """A kernel (blue is negative) and, below it, its response."""
    kernel = kernel.detach().double()
    around = F.pad(image.double(), (len(kernel) // 2,) * 4, mode="replicate")  # no edge where the image ends
    response = F.conv2d(around[None], kernel[None, None])[0, 0]
    for axis, picture in zip(axes, (kernel, response), strict=True):
        most = picture.abs().max()
        axis.imshow(picture, cmap="RdBu_r", vmin=-most, vmax=most)
        axis.set_axis_off()
    axes[0].set_title(title, fontsize=8)


def main() -> None:
    """Train, compare, draw."""
    chosen = options(__doc__, lambda parser: parser.add_argument("--decay", type=float, default=DECAY))
    samples = digits(quick=chosen.quick)
    net = draw(network(), 0, kaiming)
    untrained = likeness(net[0].weight)
    fit(
        *(net, samples.images, samples.labels),
        **{"steps": 5 if chosen.quick else 500, "lr": 0.05, "seed": 0, "weight_decay": chosen.decay},
    )
    print(f"held out: {accuracy(net, samples.test_images, samples.test_labels):.1%} right")
    learned = net[0].weight
    random = likeness(torch.randn(2000, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1)))
    found = likeness(learned)
    rows = [
        [name, *(f"{of[name].mean():.2f}" for of in (found, untrained, random)), f"{found[name].max():.2f}"]
        for name in found
    ]
    best = torch.stack(list(found.values())).amax(0)
    chance = torch.stack(list(random.values())).amax(0)
    start = torch.stack(list(untrained.values())).amax(0)
    rows.append(["any", *(f"{of.mean():.2f}" for of in (best, start, chance)), f"{best.max():.2f}"])
    table(["best match in", "learned, mean", "the same before training", "random, mean", "learned, best"], rows)
    which = torch.stack(list(found.values())).argmax(0).tolist()
    nearest = ", ".join(f"{name} {which.count(i)}" for i, name in enumerate(found))
    print(f"\nnearest family of the {COUNT} learned kernels: {nearest}")
    image = samples.images[0]
    figure = plt.figure(figsize=(11, 4.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1)
    bottom.suptitle("learned, and how much each resembles its nearest classical filter", fontsize=10)
    top.suptitle("the image, and classical filters", fontsize=10)
    upper = top.subplots(2, COUNT)
    for axis in upper.flat:
        axis.set_axis_off()
    upper[0][0].imshow(image[0], cmap="gray")
    for column, (title, kernel) in enumerate(classical().items(), 2):
        show((upper[0][column], upper[1][column]), title, kernel, image)
    lower = bottom.subplots(2, COUNT)
    for column in range(COUNT):
        show((lower[0][column], lower[1][column]), f"{best[column]:.2f}", learned[column, 0], image)
    save(figure, chosen.out, "kernels")


if __name__ == "__main__":
    main()
