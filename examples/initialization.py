"""What four initializations do to a plain network of ten convolutions, before any training, on real digits.

    pip install '.[examples]'
    python examples/initialization.py [--samples N] [--layers N] [--channels N] [--quick] [--out FOLDER]

The set-up of Glorot and Bengio (2010) and He et al. (2015) in small: 3x3 convolutions, nothing between them but the
activation, no normalization, no biases, then global average pooling and a linear classifier. The weights are
constant, N(0, 0.01^2), Xavier's or Kaiming's; the data is scikit-learn's digits at 32x32, mean 0 and variance 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from lab import kaiming, options, plt, save, table
from plain import plain
from torch import nn

from cnnc.analysis.activations import ActivationHealth, measure_activations
from cnnc.demo.digits import load_digits
from cnnc.export import export

INITIALIZATIONS: dict[str, Callable[[torch.Tensor], object]] = {
    "constant 0.01": lambda w: nn.init.constant_(w, 0.01),
    "N(0, 0.01^2)": lambda w: nn.init.normal_(w, std=0.01),
    "Xavier": nn.init.xavier_normal_,
    "Kaiming": kaiming,
}
ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "ReLU": nn.ReLU}


def initialize(net: nn.Module, name: str) -> None:
    """Draw all weights from seed 0."""
    torch.manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            INITIALIZATIONS[name](layer.weight)


def gradient_norms(net: nn.Sequential, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The norm of the loss's gradient with respect to each convolution's weights, on one batch of all images."""
    net.zero_grad()
    F.cross_entropy(net(torch.from_numpy(images)), torch.from_numpy(labels)).backward()
    return {name: layer.weight.grad.norm().item() for name, layer in net.named_children() if name.startswith("conv")}


def activation_table(found: dict[str, ActivationHealth], layers: int) -> None:
    """The standard deviation of every convolution's output, a column an initialization."""
    columns = {name: {layer.name: layer for layer in health.layers} for name, health in found.items()}
    names = [f"conv{i}" for i in range(1, layers + 1)]
    rows = [[n, *(f"{layer[n].std:.2g}" for layer in columns.values())] for n in names]
    factors = [
        (layer[names[-1]].std / layer[names[0]].std) ** (1 / (layers - 1)) if layer[names[0]].std else float("nan")
        for layer in columns.values()
    ]
    rows.append(["factor a layer", *(f"{factor:.2f}" for factor in factors)])
    means = [layer[f"act{layers}"].mean for layer in columns.values()]
    rows.append([f"mean, act{layers}", *(f"{mean:.2g}" for mean in means)])
    for title, of in (("saturated", "saturated"), ("dead units", "dead_share")):
        for where in (1, layers):
            shares = [getattr(layer[f"act{where}"], of) for layer in columns.values()]
            if None not in shares:
                rows.append([f"{title}, act{where}", *(f"{share:.0%}" for share in shares)])
    shares = [layer[names[-1]].sample_share for layer in columns.values()]
    rows.append([f"between samples, {names[-1]}", *(f"{share:.0%}" for share in shares)])
    table(["layer", *columns], rows)


def draw_row(
    axes: np.ndarray, title: str, found: dict[str, ActivationHealth], norms: dict[str, dict[str, float]]
) -> None:
    """Deviation of the outputs, mean of the activations, norm of the gradients: over the depth."""
    depth = range(1, len(next(iter(norms.values()))) + 1)
    for name, health in found.items():
        layers = {layer.name: layer for layer in health.layers}
        axes[0].semilogy(depth, [layers[f"conv{i}"].std for i in depth], "o-", ms=3, label=name)
        axes[1].plot(depth, [layers[f"act{i}"].mean for i in depth], "o-", ms=3)
        axes[2].semilogy(depth, list(norms[name].values()), "o-", ms=3)
    axes[0].set_title(f"{title}: std of each convolution")
    axes[1].set_title(f"{title}: mean of each activation")
    axes[1].set_yscale("symlog", linthresh=0.1)
    axes[2].set_title(f"{title}: norm of its weights' gradient")


def main() -> None:
    """Print two tables an activation, and the flags below them."""

    def extend(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--samples", type=int, default=200)
        parser.add_argument("--layers", type=int, default=10)
        parser.add_argument("--channels", type=int, default=32)

    chosen = options(__doc__, extend)
    if chosen.quick:
        chosen.samples, chosen.layers, chosen.channels = 20, 6, 8
    digits = load_digits()
    images = digits.test_images.astype(np.float32)[:, None]
    images = (images - images.mean()) / images.std()
    example = torch.zeros(2, *images.shape[1:])
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.4), layout="constrained")
    for row, (title, activation) in enumerate(ACTIVATIONS.items()):
        net = plain(activation, chosen.layers, chosen.channels)
        model = export(net, (example,))  # reads the weights where the module has them
        found, norms = {}, {}
        for name in INITIALIZATIONS:
            initialize(net, name)
            found[name] = measure_activations(model, images, limit=chosen.samples)
            norms[name] = gradient_norms(net, images[: chosen.samples], digits.test_labels[: chosen.samples])
        print(f"\n### {title}")
        activation_table(found, chosen.layers)
        print("\nNorm of the gradient:")
        table(
            ["weights of", *norms],
            [[layer, *(f"{of[layer]:.2g}" for of in norms.values())] for layer in next(iter(norms.values()))],
        )
        print()
        for name, health in found.items():
            print(*(f"- {name}: {flag}" for flag in health.flags or ("healthy",)), sep="\n")
        draw_row(axes[row], title, found, norms)
    for axis in axes[1]:
        axis.set_xlabel("layer")
    axes[0][0].legend(fontsize=8)
    save(figure, chosen.out, "initialization")


if __name__ == "__main__":
    main()
