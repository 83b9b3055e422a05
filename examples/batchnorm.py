"""Training with and without BatchNorm, at several learning rates.

    pip install '.[examples]'
    python examples/batchnorm.py [--quick] [--out FOLDER]

Ioffe and Szegedy (Batch Normalization, 2015) say that it allows learning rates many times larger, and that training is
faster for it. Here: a plain network of convolutions and ReLU, stochastic gradient descent with a constant rate and no
momentum, and nothing changed but the normalization and the rate.
"""

from __future__ import annotations

from lab import accuracy, digits, draw, fit, kaiming, options, plt, save, smooth, table
from plain import plain
from torch import nn

RATES = (0.01, 0.05, 0.2, 1.0, 5.0)
LEARNED = 0.5  # of the loss, averaged over the last 15 steps


def main() -> None:
    """A run for each rate, with and without."""
    chosen = options(__doc__)
    samples = digits(16, quick=chosen.quick)
    layers, channels, steps = (4, 4, 10) if chosen.quick else (8, 16, 230)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    rows = []
    for axis, norm in zip(axes, (False, True), strict=True):
        title = "with BatchNorm" if norm else "without"
        for rate in RATES:
            net = draw(plain(nn.ReLU, layers, channels, norm=norm, bias=not norm), 0, kaiming)
            settings = {"steps": steps, "lr": rate, "seed": 0, "momentum": 0.0, "weight_decay": 0.0, "cosine": False}
            losses = fit(net, samples.images, samples.labels, **settings)
            curve = smooth(losses)
            first = next((i + 1 for i, loss in enumerate(curve) if loss < LEARNED), None)
            right = accuracy(net, samples.test_images, samples.test_labels)
            diverged = len(losses) < steps
            end = f"not finite at step {len(losses)}" if diverged else f"{curve[-1]:.3f}"
            rows.append([title, f"{rate:g}", end, first or "never", f"{right:.1%}"])
            axis.plot(curve[:-1] if diverged else curve, label=f"rate {rate:g}" + (" (diverges)" if diverged else ""))
        axis.set(title=f"{layers} convolutions, {title}", xlabel="step of 64 images", ylim=(0, 3))
        axis.legend(fontsize=8)
    axes[0].set_ylabel("training loss")
    table(["", "learning rate", "loss at the end", f"steps to a loss of {LEARNED}", "right, held out"], rows)
    save(figure, chosen.out, "batchnorm")


if __name__ == "__main__":
    main()
