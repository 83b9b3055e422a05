"""What four initializations do to a plain network of ten convolutions, before any training, on real digits.

    pip install '.[demo]'
    python tools/initialization.py [--samples N] [--layers N] [--channels N]

The set-up of Glorot and Bengio (2010) and He et al. (2015) in small: 3x3 convolutions, nothing between them but the
activation, no normalization, no biases, then global average pooling and a linear classifier. The weights are
constant, N(0, 0.01^2), Xavier's or Kaiming's; the data is scikit-learn's digits at 32x32, mean 0 and variance 1.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from cnnc.analysis.activations import ActivationHealth, measure_activations
from cnnc.demo.digits import load_digits
from cnnc.export import export

INITIALIZATIONS: dict[str, Callable[[torch.Tensor], object]] = {
    "constant 0.01": lambda w: nn.init.constant_(w, 0.01),
    "N(0, 0.01^2)": lambda w: nn.init.normal_(w, std=0.01),
    "Xavier": nn.init.xavier_normal_,
    "Kaiming": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
}
ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "ReLU": nn.ReLU}


def plain(activation: type[nn.Module], layers: int, channels: int) -> nn.Sequential:
    """`layers` convolutions of `channels` each, and a classifier of 10."""
    net = nn.Sequential()
    for i in range(1, layers + 1):
        net.add_module(f"conv{i}", nn.Conv2d(channels if i > 1 else 1, channels, 3, padding=1, bias=False))
        net.add_module(f"act{i}", activation())
    net.add_module("pool", nn.AdaptiveAvgPool2d(1))
    net.add_module("flatten", nn.Flatten())
    net.add_module("fc", nn.Linear(channels, 10, bias=False))
    return net


def table(found: dict[str, ActivationHealth], layers: int) -> list[str]:
    """Markdown: the standard deviation of every convolution's output, a column an initialization."""
    columns = {name: {layer.name: layer for layer in health.layers} for name, health in found.items()}
    names = [f"conv{i}" for i in range(1, layers + 1)]
    lines = ["| layer | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    lines += [f"| {n} | " + " | ".join(f"{layer[n].std:.2g}" for layer in columns.values()) + " |" for n in names]
    factors = [
        (layer[names[-1]].std / layer[names[0]].std) ** (1 / (layers - 1)) if layer[names[0]].std else float("nan")
        for layer in columns.values()
    ]
    lines.append("| factor a layer | " + " | ".join(f"{factor:.2f}" for factor in factors) + " |")
    for title, of in (("saturated", "saturated"), ("dead units", "dead_share")):
        for where in (1, layers):
            shares = [getattr(layer[f"act{where}"], of) for layer in columns.values()]
            if None not in shares:
                lines.append(f"| {title}, act{where} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    shares = [layer[names[-1]].sample_share for layer in columns.values()]
    lines.append(f"| between samples, {names[-1]} | " + " | ".join(f"{share:.0%}" for share in shares) + " |")
    return lines


def main() -> None:
    """Print a table an activation, and the flags below it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--channels", type=int, default=32)
    options = parser.parse_args()
    images = load_digits().test_images.astype(np.float32)[:, None]
    images = (images - images.mean()) / images.std()
    example = torch.zeros(2, *images.shape[1:])
    for title, activation in ACTIVATIONS.items():
        net = plain(activation, options.layers, options.channels)
        model = export(net, (example,))  # reads the weights where the module has them
        found = {}
        for name, init in INITIALIZATIONS.items():
            torch.manual_seed(0)
            for layer in net:
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    init(layer.weight)
            found[name] = measure_activations(model, images, limit=options.samples)
        print(f"### {title}\n", *table(found, options.layers), "", sep="\n")
        for name, health in found.items():
            print(*(f"- {name}: {flag}" for flag in health.flags or ("healthy",)), sep="\n")
        print(flush=True)


if __name__ == "__main__":
    main()
