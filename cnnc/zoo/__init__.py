"""The field's reference CNNs, from the papers: a registry that loads no PyTorch until a net is built."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
from typing import TYPE_CHECKING

from cnnc.torch_extra import require_torch
from cnnc_runtime.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ZOO", "ZooEntry", "build"]


@dataclasses.dataclass(frozen=True)
class ZooEntry:
    """One reference network.

    Attributes:
        name: as the user types it.
        factory: "family:callable" in this package; imported when the net is built.
        input_shape: (channels, height, width), without the batch.
        params: learned values, as published, at the default number of classes.
        paper: authors, title, year.
    """

    name: str
    factory: str
    input_shape: tuple[int, ...]
    params: int
    paper: str


_LECUN = "LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998"
_KRIZHEVSKY = "Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014"
_SIMONYAN = "Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition, 2014"
_HE = "He et al., Deep Residual Learning for Image Recognition, 2015"

ZOO: dict[str, ZooEntry] = {
    entry.name: entry
    for entry in (
        ZooEntry("lenet5", "lenet:LeNet5", (1, 32, 32), 61_706, _LECUN),
        ZooEntry("alexnet", "alexnet:AlexNet", (3, 224, 224), 61_100_840, _KRIZHEVSKY),
        ZooEntry("vgg16", "vgg:vgg16", (3, 224, 224), 138_357_544, _SIMONYAN),
        ZooEntry("resnet18", "resnet:resnet18", (3, 224, 224), 11_689_512, _HE),
        ZooEntry("resnet34", "resnet:resnet34", (3, 224, 224), 21_797_672, _HE),
        ZooEntry("resnet50", "resnet:resnet50", (3, 224, 224), 25_557_032, _HE),
    )
}


def build(name: str, *, seed: int = 0, num_classes: int | None = None) -> nn.Module:
    """Build a reference net in eval mode, with seeded random weights; no global random state is touched.

    Args:
        name: a key of `ZOO`.
        seed: of the weights and of the BatchNorm statistics.
        num_classes: outputs of the last layer; the paper's if None.

    Raises:
        UsageError: no net has that name, the number of classes is not positive, or PyTorch is not installed.
    """
    if name not in ZOO:
        close = difflib.get_close_matches(name, ZOO)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(ZOO)}"
        raise UsageError(f"no reference net is named {name!r}: {hint}")
    if num_classes is not None and num_classes < 1:
        raise UsageError(f"`num_classes` must be at least 1, not {num_classes}")
    require_torch(f"the zoo net {name!r}")
    import torch

    from cnnc.zoo.weights import fill

    family, _, factory = ZOO[name].factory.partition(":")
    make = getattr(importlib.import_module(f"cnnc.zoo.{family}"), factory)
    with torch.device("meta"):  # no memory and no random numbers for values that `fill` replaces
        module: nn.Module = make() if num_classes is None else make(num_classes)
    module = module.to_empty(device="cpu")
    fill(module, seed)
    return module.eval()
