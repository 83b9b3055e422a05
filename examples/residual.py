"""Plain networks of 20 and 56 layers against residual ones, as in He et al., Deep Residual Learning, 2015, figure 6.

    pip install '.[examples]'
    python examples/residual.py [--quick] [--out FOLDER]

The zoo's plain20, plain56, resnet20 and resnet56: equal layers and parameters, with and without shortcuts. The paper
trains 164 epochs on 50,000 images of CIFAR-10; here it is a few epochs on 1,437 digits of 16x16. Its settings
otherwise: Kaiming initialization, SGD with momentum 0.9, rate 0.1, weight decay 1e-4 (but batches of 64, and a cosine
schedule).
"""

from __future__ import annotations

import time

from lab import COLORS, accuracy, digits, draw, fit, kaiming, options, plt, save, smooth, table

import cnnc.zoo

NETS = ("plain20", "plain56", "resnet20", "resnet56")


def main() -> None:
    """A run a net."""
    chosen = options(__doc__)
    samples = digits(8 if chosen.quick else 16, channels=3, quick=chosen.quick)
    nets = NETS[::2] if chosen.quick else NETS
    epochs = 1 if chosen.quick else 12
    per_epoch = -(-len(samples.images) // 64)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    rows = []
    for name in nets:
        net = draw(cnnc.zoo.build(name), 0, kaiming)
        start = time.process_time()
        losses = smooth(fit(net, samples.images, samples.labels, steps=epochs * per_epoch, lr=0.1, seed=0))
        seconds = time.process_time() - start
        trained = accuracy(net, samples.images, samples.labels)
        right = accuracy(net, samples.test_images, samples.test_labels)
        rows.append([name, f"{losses[-1]:.3f}", f"{trained:.1%}", f"{right:.1%}", f"{seconds:.0f} s"])
        axes[int(name.startswith("resnet"))].plot(losses, color=COLORS[int(name.endswith("56"))], label=name)
    for axis, title in zip(axes, ("plain", "residual"), strict=True):
        axis.set(title=title, xlabel="step of 64 images", ylim=(0, 3))
        axis.legend()
    axes[0].set_ylabel("training loss")
    table(["net", "loss at the end", "right, training", "right, held out", "CPU time"], rows)
    save(figure, chosen.out, "residual")


if __name__ == "__main__":
    main()
