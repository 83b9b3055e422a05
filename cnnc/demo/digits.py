"""scikit-learn's bundled digits (1,797 real 8x8 scans, from the UCI repository) as 32x32 PNG files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from cnnc.torch_extra import require_installed
from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["PREPROCESSING", "Digits", "load_digits", "write_images"]

SIZE = 32
PREPROCESSING = Preprocessing(resize=(SIZE, SIZE), crop=None, scale=1 / 255, mean=(0.5,), std=(0.5,), color="gray")


@dataclasses.dataclass(frozen=True)
class Digits:
    """Images (N, 32, 32) in uint8 and their labels (N,), split once: a fifth of every class is held out."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load_digits(seed: int = 0) -> Digits:
    """The digits, enlarged to LeNet-5's input size."""
    require_installed("sklearn", "scikit-learn", "the demo's data")
    from sklearn import datasets, model_selection

    scans, labels = datasets.load_digits(return_X_y=True)
    images = np.stack([_enlarge(scan.reshape(8, 8)) for scan in scans])
    split = model_selection.train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=seed)
    train_images, test_images, train_labels, test_labels = split
    return Digits(train_images, train_labels, test_images, test_labels)


def write_images(images: np.ndarray, labels: np.ndarray, folder: Path) -> list[Path]:
    """One PNG per image, named by number and true digit: `0007_is_3.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:04d}_is_{label}.png" for i, label in enumerate(labels)]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image).save(path)
    return paths


def _enlarge(scan: np.ndarray) -> np.ndarray:
    pixels = Image.fromarray((scan * (255 / 16)).round().astype(np.uint8))  # a scan counts 0..16
    return np.asarray(pixels.resize((SIZE, SIZE), Image.Resampling.BICUBIC))
