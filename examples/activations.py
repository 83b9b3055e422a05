"""Sigmoid, tanh, ReLU, leaky ReLU and PReLU: their curves, and how a network learns with each.

    pip install '.[examples]'
    python examples/activations.py [--quick] [--out FOLDER]

The network is plain, without normalization, so that the activation alone passes the gradient on. Each is started with
the initialization that was derived for it: Xavier's for sigmoid and tanh, Kaiming's for the rest.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import torch
from lab import COLORS, accuracy, digits, draw, fit, kaiming, options, plt, save, smooth, table
from plain import plain
from torch import nn

from cnnc.analysis.activations import ActivationHealth, measure_activations
from cnnc.export import export

LEAK = 0.1
RATE = 0.02
ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], Callable[[torch.Tensor], object]]] = {
    "sigmoid": (nn.Sigmoid, nn.init.xavier_normal_),
    "tanh": (nn.Tanh, nn.init.xavier_normal_),
    "ReLU": (nn.ReLU, kaiming),
    f"leaky ReLU {LEAK}": (lambda: nn.LeakyReLU(LEAK), kaiming),
    "PReLU": (nn.PReLU, kaiming),  # one slope a layer, 0.25 at the start
}


def draw_curves(axes: np.ndarray) -> None:
    """The functions, and their slopes."""
    x = torch.linspace(-4, 4, 401, requires_grad=True)
    for color, (name, (make, _)) in zip(COLORS, ACTIVATIONS.items(), strict=False):
        y = make()(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        style = "--" if name == "PReLU" else "-"
        for axis, values in zip(axes, (y.detach(), slope), strict=True):
            axis.plot(x.detach(), values, style, color=color, label=name)
    axes[0].set(title="activation", ylim=(-1.5, 3))
    axes[1].set(title="its slope", ylim=(-0.1, 1.2))
    axes[0].legend(fontsize=8)


def shares(health: ActivationHealth) -> str:
    """The worst layer's saturated values or dead units."""
    saturated = [layer.saturated for layer in health.layers if layer.saturated is not None]
    dead = [layer.dead_share for layer in health.layers if layer.dead_share is not None]
    if saturated:
        return f"{max(saturated):.0%} of values saturated"
    return f"{max(dead):.0%} of units dead" if dead else "-"


def main() -> None:
    """Curves, then training runs."""
    chosen = options(__doc__)
    samples = digits(16, quick=chosen.quick)
    layers, channels, steps = (3, 4, 10) if chosen.quick else (6, 16, 300)
    seeds = range(1 if chosen.quick else 3)
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    draw_curves(axes[:2])
    rows = []
    for color, (name, (make, weight)) in zip(COLORS, ACTIVATIONS.items(), strict=False):
        curves, rights = [], []
        for seed in seeds:
            net = draw(plain(make, layers, channels, bias=True), seed, weight)
            curves.append(smooth(fit(net, samples.images, samples.labels, steps=steps, lr=RATE, seed=seed)))
            rights.append(accuracy(net, samples.test_images, samples.test_labels))
        health = measure_activations(export(net, (samples.images[:2],)), samples.test_images.numpy())
        slopes = [m.weight.item() for m in net.modules() if isinstance(m, nn.PReLU)]
        note = "slopes learned: " + " ".join(f"{slope:.2f}" for slope in slopes) if slopes else shares(health)
        spread = f"{min(rights):.1%} to {max(rights):.1%}"
        loss = statistics.mean(curve[-1] for curve in curves)  # nan if one diverged
        rows.append([name, f"{loss:.3f}", f"{statistics.mean(rights):.1%}", spread, note])
        whole = [curve + [float("nan")] * (steps - len(curve)) for curve in curves]
        axes[2].plot(np.mean(whole, axis=0), color=color, label=name)
    axes[2].set(title=f"training loss, {layers} convolutions", xlabel="step of 64 images", ylim=(0, 2.5))
    table(["activation", "loss at the end", "right, held out", "of all seeds", "trained (last seed)"], rows)
    save(figure, chosen.out, "activations")


if __name__ == "__main__":
    main()
