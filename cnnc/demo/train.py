"""Training LeNet-5 on the digits: a minute on two cores, the same weights for the same seed and PyTorch."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from cnnc.cli import console
from cnnc.demo.digits import PREPROCESSING, Digits

__all__ = ["accuracy", "predict", "to_tensor", "train"]

_BATCH = 64


def train(net: nn.Module, digits: Digits, *, epochs: int, seed: int) -> None:
    """Adam with a cosine schedule on shuffled mini-batches; random shifts by up to two pixels."""
    images, labels = to_tensor(digits.train_images), torch.from_numpy(digits.train_labels)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    steps = epochs * -(-len(images) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    net.train()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console.err) as progress:
        task = progress.add_task("training LeNet-5", total=steps, note="")
        for epoch in range(epochs):
            for chosen in torch.randperm(len(images), generator=generator).split(_BATCH):
                down, right = torch.randint(-2, 3, (2,), generator=generator).tolist()
                batch = torch.roll(images[chosen], (down, right), (2, 3))
                loss = F.cross_entropy(net(batch), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                progress.update(task, advance=1, note=f"epoch {epoch + 1}/{epochs}, loss {loss.item():.3f}")
    net.eval()


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """(N, 32, 32) uint8 -> (N, 1, 32, 32) float32, by the same preprocessing as the artifact's."""
    return torch.from_numpy(np.stack([PREPROCESSING(Image.fromarray(image)) for image in images]))


def predict(net: nn.Module, images: np.ndarray) -> np.ndarray:
    """The most likely class of each image."""
    with torch.inference_mode():
        return np.asarray(net(to_tensor(images)).argmax(1).numpy())


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """The share that is right, 0 to 1."""
    return float((predicted == labels).mean())
