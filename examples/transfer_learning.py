"""Does a net that knows the digits 0 to 4 learn 5 to 9 from fewer samples?

    pip install '.[examples]'
    python examples/transfer_learning.py [--quick] [--out FOLDER]

LeNet-5 is trained on the digits 0 to 4 and saved. From a few images each of 5 to 9, it is then trained four ways: from
scratch, from the saved weights with a new head, and so with its first layers frozen (`cnnc.zoo.load(..., freeze=)`).
The question is Yosinski et al.'s (How Transferable Are Features in Deep Neural Networks?, 2014). It is asked twice: of
the digits as they are, large and centered, and of digits of 18x18 at random places, which a few images do not teach.
Last, a net that was trained on all centered images of 5 to 9 is compiled and run.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from lab import Samples, accuracy, digits, draw, fit, options, plt, save, table
from torch import nn

import cnnc.zoo

NET = "lenet5"
WAYS: dict[str, int | str | None] = {  # how much is frozen
    "all layers trained": None,
    "2 stages frozen": 2,
    "all but the head frozen": "body",
}
SCRATCH = "from scratch"


def only(samples: Samples, first: int, last: int) -> Samples:
    """The classes first..last, numbered from 0."""
    kept = [(labels >= first) & (labels <= last) for labels in (samples.labels, samples.test_labels)]
    return Samples(
        samples.images[kept[0]],
        samples.labels[kept[0]] - first,
        samples.test_images[kept[1]],
        samples.test_labels[kept[1]] - first,
    )


def few(samples: Samples, each: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`each` images of every class."""
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(len(samples.labels), generator=generator)
    chosen = torch.cat([shuffled[samples.labels[shuffled] == c][:each] for c in range(5)])
    return samples.images[chosen], samples.labels[chosen]


def learner(way: str, checkpoint: Path, seed: int) -> nn.Module:
    """The net that starts to learn 5 to 9."""
    if way == SCRATCH:
        return draw(cnnc.zoo.build(NET, num_classes=5), seed)
    # Five classes before and after, and not the same five
    return cnnc.zoo.load(NET, checkpoint, num_classes=5, new_head=True, freeze=WAYS[way], seed=seed)


def compile_and_check(net: nn.Module, samples: Samples, folder: Path) -> None:
    """What a user does with the result."""
    compiled = cnnc.compile(net, torch.zeros(1, *samples.images.shape[1:]), output=folder / "digits59.onnx")
    error = compiled.report.certificate.error
    with torch.inference_mode():
        expected = net(samples.test_images).argmax(1)
    engine = cnnc.load(folder / "digits59.onnx", device="cpu")
    got = torch.from_numpy(engine.run(samples.test_images.numpy())).argmax(1)
    right = float((got == samples.test_labels).double().mean())
    same = int((got == expected).sum())
    print(f"\ncompiled and verified: off by {error:.1e} of the output's magnitude;")
    print(f"the artifact is right on {right:.1%} and agrees with PyTorch on {same} of {len(got)} held-out images")


def place(images: torch.Tensor, seed: int) -> torch.Tensor:
    """(N, 1, 32, 32) -> the same, shrunk to 18x18 and put at a random place on black."""
    generator = torch.Generator().manual_seed(seed)
    small = F.interpolate(images, size=(18, 18), mode="area")
    placed = torch.full_like(images, -1.0)
    for image, digit in zip(placed, small, strict=True):
        down, right = torch.randint(0, 15, (2,), generator=generator).tolist()
        image[:, down : down + 18, right : right + 18] = digit
    return placed


def compare(title: str, source: Samples, target: Samples, folder: Path, quick: bool) -> dict[str, list[list[float]]]:
    """Pretrain, then a training run for each way, number of images and seed: the accuracy on held-out 5 to 9."""
    net = draw(cnnc.zoo.build(NET, num_classes=5), seed=0)
    fit(net, source.images, source.labels, steps=30 if quick else 1000, lr=0.05, seed=0)
    right = accuracy(net, source.test_images, source.test_labels)
    print(f"\n{title}: the saved net is right on {right:.1%} of the held-out 0 to 4; on 5 to 9, trained")
    torch.save(net.state_dict(), folder / f"{title}.pt")
    found: dict[str, list[list[float]]] = {way: [[] for _ in numbers(quick)] for way in (SCRATCH, *WAYS)}
    fitted: list[list[float]] = [[] for _ in numbers(quick)]
    for way, results in found.items():
        for i, each in enumerate(numbers(quick)):
            for seed in range(1 if quick else 3):
                net = learner(way, folder / f"{title}.pt", seed)
                images, labels = few(target, each, seed)
                fit(net, images, labels, steps=20 if quick else 300, lr=0.05, seed=seed, batch=32)
                results[i].append(accuracy(net, target.test_images, target.test_labels))
                if way == SCRATCH:
                    fitted[i].append(accuracy(net, images, labels))
    columns = {**found, "from scratch, its own images": fitted}
    rows = [
        [each, *(f"{statistics.mean(results[i]):.1%}" for results in columns.values())]
        for i, each in enumerate(numbers(quick))
    ]
    table(["images a class", *columns], rows)
    return found


def numbers(quick: bool) -> tuple[int, ...]:
    """Images of each class."""
    return (1, 5) if quick else (1, 5, 20, 50)


def draw_accuracy(axis: plt.Axes, title: str, found: dict[str, list[list[float]]], x: tuple[int, ...]) -> None:
    """Mean and range over the seeds."""
    for way, results in found.items():
        axis.plot(x, [100 * statistics.mean(r) for r in results], "o-", ms=4, label=way)
        axis.fill_between(x, [100 * min(r) for r in results], [100 * max(r) for r in results], alpha=0.12)
    axis.set(title=title, xscale="log", xlabel="images of each of the digits 5 to 9")
    axis.set_xticks(x, [str(n) for n in x])
    axis.minorticks_off()


def main() -> None:
    """Pretrain, transfer, compare, compile."""
    chosen = options(__doc__)
    samples = digits(quick=chosen.quick)
    copies = 2 if chosen.quick else 8  # of each image to pretrain on, at another place each
    placed = dataclasses.replace(
        samples, images=place(samples.images, seed=0), test_images=place(samples.test_images, seed=1)
    )
    many = dataclasses.replace(
        placed,
        images=torch.cat([place(samples.images, seed=2 + i) for i in range(copies)]),
        labels=samples.labels.repeat(copies),
    )
    sets = {"centered": (samples, samples), "at random places": (many, placed)}
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for axis, (title, (source, target)) in zip(axes, sets.items(), strict=True):
            found = compare(title, only(source, 0, 4), only(target, 5, 9), folder, chosen.quick)
            draw_accuracy(axis, f"digits {title}", found, numbers(chosen.quick))
        target = only(samples, 5, 9)
        net = learner("all layers trained", folder / "centered.pt", seed=0)
        fit(net, target.images, target.labels, steps=20 if chosen.quick else 300, lr=0.05, seed=0)
        compile_and_check(net, target, folder)
    axes[0].set_ylabel("right, held out (%)")
    axes[0].legend(fontsize=8)
    save(figure, chosen.out, "transfer_learning")


if __name__ == "__main__":
    main()
