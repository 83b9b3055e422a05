"""How well a linear classifier tells the digits apart, layer by layer, and what the last features look like.

    pip install '.[examples]'
    python examples/separability.py [--quick] [--out FOLDER]

ResNet-20 is trained on the digits; on images that it never saw, a linear classifier is fitted to what each layer puts
out (Alain and Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, 2016). The features before the
net's own classifier are drawn on their first two principal components, beside the pixels and the untrained net's.
"""

from __future__ import annotations

import numpy as np
import torch
from lab import Samples, accuracy, digits, draw, fit, kaiming, options, plt, save, table
from torch import nn

import cnnc.zoo
from cnnc.analysis.activations import ActivationHealth, Projection, measure_activations
from cnnc.analysis.activations.projection import project
from cnnc.export import export

NET = "resnet20"


def last_features(net: nn.Module, images: torch.Tensor) -> np.ndarray:
    """What the head reads, (N, 64)."""
    found: list[torch.Tensor] = []
    head = net.get_submodule(cnnc.zoo.parts(NET).head[0])
    handle = head.register_forward_pre_hook(lambda _, arguments: found.append(arguments[0]))
    with torch.inference_mode():
        net(images)
    handle.remove()
    return found[0].numpy()


def probes(net: nn.Module, samples: Samples) -> ActivationHealth:
    """Every layer's linear classifier, on the held-out images."""
    model = export(net, (samples.images[:2],))
    return measure_activations(model, samples.test_images.numpy(), labels=samples.test_labels.numpy())


def blocks(health: ActivationHealth) -> dict[str, float]:
    """Where a block ends, the accuracy of its probe; the input first, the scores last."""
    found = {"input": health.input_probe or 0.0}
    for layer in health.layers:
        if layer.probe is not None and (
            layer.name == "fc" or layer.name.endswith("relu") or layer.kind == "activation"
        ):
            found[layer.name] = layer.probe
    return found


def scatter(axis: plt.Axes, title: str, points: Projection | None, labels: torch.Tensor) -> None:
    """One dot an image, one color a digit."""
    assert points is not None
    x, y = np.array(points.points).T
    axis.scatter(x, y, c=labels, cmap="tab10", s=8, vmin=-0.5, vmax=9.5)
    for digit in labels.unique().tolist():
        axis.text(float(x[labels == digit].mean()), float(y[labels == digit].mean()), digit, weight="bold", ha="center")
    axis.set(title=title, xticks=[], yticks=[])
    axis.set_xlabel("{:.0%} and {:.0%} of the variance".format(*points.explained))


def main() -> None:
    """Train, probe, project."""
    chosen = options(__doc__)
    samples = digits(8 if chosen.quick else 16, channels=3, quick=chosen.quick)
    net = draw(cnnc.zoo.build(NET), 0, kaiming).eval()
    images = samples.test_images
    before, before_features = probes(net, samples), last_features(net, images)
    fit(net, samples.images, samples.labels, steps=5 if chosen.quick else 140, lr=0.1, seed=0)
    print(f"held out: {accuracy(net, images, samples.test_labels):.1%} right")
    after, after_features = probes(net, samples), last_features(net, images)
    found, untrained = blocks(after), blocks(before)
    table(["layer", "trained", "untrained"], [[n, f"{p:.1%}", f"{untrained[n]:.1%}"] for n, p in found.items()])
    print(f"\nfitted on {after.split[0]} held-out images, tested on {after.split[1]}; chance {after.chance:.1%}")
    figure, axes = plt.subplots(1, 4, figsize=(13, 3.5), layout="constrained")
    axes[0].plot([100 * p for p in found.values()], "o-", ms=3, label="trained")
    axes[0].plot([100 * untrained[n] for n in found], "o-", ms=3, label="untrained")
    axes[0].set(title="linear classifier on each layer", xlabel="layer, from the input", ylabel="right, held out (%)")
    axes[0].legend()
    labels = samples.test_labels
    scatter(axes[1], "pixels", project("pixels", images[:, 0].flatten(1).numpy(), None), labels)
    scatter(axes[2], "last features, untrained", project("features", before_features, None), labels)
    scatter(axes[3], "last features, trained", project("features", after_features, None), labels)
    save(figure, chosen.out, "separability")


if __name__ == "__main__":
    main()
