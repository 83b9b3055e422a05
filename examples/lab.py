"""What the examples share: the digits, a training loop, tables and plots. No example of its own."""

from __future__ import annotations

import argparse
import dataclasses
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from cnnc.demo.digits import SIZE, load_digits
from cnnc.demo.train import to_tensor

try:
    import matplotlib as mpl
except ImportError:
    raise SystemExit("the examples need matplotlib and scikit-learn: pip install '.[examples]'") from None

mpl.use("Agg")  # files, no windows
from matplotlib import pyplot as plt

COLORS = ("#4269d0", "#ff725c", "#3ca951", "#efb118", "#9c6b4e", "#6cc5b0")
"""One a curve, told apart by most color-blind readers too."""

plt.rcParams.update(
    {
        "figure.dpi": 90,
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.3,
        "legend.frameon": False,
        "axes.prop_cycle": mpl.cycler(color=COLORS),
    }
)


@dataclasses.dataclass(frozen=True)
class Samples:
    """Images (N, channels, H, W) in -1..1 and labels (N,), for training and held out."""

    images: torch.Tensor
    labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor


def options(doc: str | None, extend: Callable[[argparse.ArgumentParser], object] | None = None) -> argparse.Namespace:
    """The command line of an example: `--quick`, `--out`, and what `extend` adds."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes: shows that it runs, no more")
    parser.add_argument("--out", type=Path, default=Path("plots"), metavar="FOLDER", help="where the plot goes")
    if extend is not None:
        extend(parser)
    return parser.parse_args()


def digits(size: int = SIZE, channels: int = 1, *, quick: bool = False) -> Samples:
    """scikit-learn's 1,797 scans of 8x8, enlarged; a fifth of every class is held out. Quick: a tenth of them."""
    found = load_digits()
    step = 10 if quick else 1

    def images(array: np.ndarray) -> torch.Tensor:
        x = F.avg_pool2d(to_tensor(array[::step]), SIZE // size)
        return x.expand(-1, channels, -1, -1).contiguous()

    labels, test_labels = (torch.from_numpy(y[::step].copy()) for y in (found.train_labels, found.test_labels))
    return Samples(images(found.train_images), labels, images(found.test_images), test_labels)


def draw(net: nn.Module, seed: int, weight: Callable[[torch.Tensor], object] | None = None) -> nn.Module:
    """Draw every weight anew, as PyTorch does, or by `weight`; normalizations start as the identity."""
    torch.manual_seed(seed)
    for layer in net.modules():
        reset = getattr(layer, "reset_parameters", None)
        if reset is not None:
            reset()
        if weight is not None and isinstance(layer, (nn.Conv2d, nn.Linear)):
            weight(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return net


def kaiming(weight: torch.Tensor) -> torch.Tensor:
    """He et al. (2015): variance 2/fan_in, for ReLU."""
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


def fit(
    net: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    steps: int,
    lr: float,
    seed: int,
    batch: int = 64,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    cosine: bool = True,
) -> list[float]:
    """Train by stochastic gradient descent on the parameters that are not frozen; the loss of every step.

    A loss that is not finite ends the run: nothing comes back from it.
    """
    generator = torch.Generator().manual_seed(seed)
    learned = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=lr, momentum=momentum, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if cosine else None
    net.train()
    losses: list[float] = []
    while len(losses) < steps:
        for chosen in torch.randperm(len(images), generator=generator).split(min(batch, len(images))):
            if len(losses) == steps or len(chosen) < 2:  # BatchNorm needs two
                break
            loss = F.cross_entropy(net(images[chosen]), labels[chosen])
            losses.append(loss.item())
            if not torch.isfinite(loss):
                net.eval()
                return losses
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
    net.eval()
    return losses


@torch.inference_mode()
def accuracy(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The share that is right, in eval mode."""
    net.eval()
    scores = torch.cat([net(part) for part in images.split(256)])
    return float((scores.argmax(1) == labels).double().mean())


def smooth(losses: Sequence[float], width: int = 15) -> list[float]:
    """The mean of the last `width` steps, for the eye."""
    return [sum(losses[max(0, i - width + 1) : i + 1]) / min(width, i + 1) for i in range(len(losses))]


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print Markdown: names to the left, numbers to the right."""
    print("\n| " + " | ".join(header) + " |")
    print("| --- |" + " ---: |" * (len(header) - 1))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |", flush=True)


def save(figure: plt.Figure, folder: Path, name: str) -> None:
    """Write FOLDER/NAME.png, in 64 colors to keep it small, and say so."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    buffer = io.BytesIO()
    figure.savefig(buffer, bbox_inches="tight")
    plt.close(figure)
    with Image.open(buffer) as picture:
        picture.convert("RGB").quantize(64).save(path, optimize=True)
    print(f"\nwrote {path}")
