"""A small U-Net that says of every pixel of a page which digit it is part of: 11 classes, 0 is the paper.

    pip install '.[torch]' scikit-learn
    python examples/systems/segment_digits.py [--steps N] [--out FOLDER]

It learns from pages made of the digits, each at a place of its own, and writes what `docs/systems/segmentation.md`
goes on with: `segment.pt`, `labels.txt`, and `pages/`, three pages of held-out digits at three times the size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

HEIGHT, WIDTH, SIDE = 64, 96, 24


class Segment(nn.Module):
    """Two steps down and two up, with a shortcut at each: (N, 1, H, W) -> (N, 11, H, W) for multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = block(1, 16), block(16, 32), block(32, 64)
        self.up, self.four, self.five = nn.Upsample(scale_factor=2), block(96, 32), block(48, 16)
        self.head = nn.Conv2d(16, 11, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of each pixel."""
        one = self.one(x)
        two = self.two(F.max_pool2d(one, 2))
        three = self.three(F.max_pool2d(two, 2))
        four = self.four(torch.cat([two, self.up(three)], 1))
        scores: torch.Tensor = self.head(self.five(torch.cat([one, self.up(four)], 1)))
        return scores


def block(channels: int, filters: int) -> nn.Sequential:
    """Two 3x3 convolutions, the second dilated: a digit is larger than what four of them see."""
    return nn.Sequential(
        *(nn.Conv2d(channels, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()),
        *(nn.Conv2d(filters, filters, 3, padding=2, dilation=2), nn.BatchNorm2d(filters), nn.ReLU()),
    )


def page(rng: np.random.Generator, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Four digits: the gray values (HEIGHT, WIDTH), and the class of each pixel, a digit's number + 1."""
    pixels, classes = np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((HEIGHT, WIDTH), np.int64)
    for cell in rng.permutation(6)[:4]:
        chosen = int(rng.integers(len(images)))
        digit = np.asarray(Image.fromarray(images[chosen]).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        top, left = 32 * (cell // 3) + rng.integers(8), 32 * (cell % 3) + rng.integers(8)
        place = np.s_[top : top + SIDE, left : left + SIDE]
        pixels[place], classes[place] = digit, (digit > 64) * (labels[chosen] + 1)
    return pixels, classes


def main() -> None:
    """Train, and write what is needed to compile and run it."""
    from cnnc.demo.digits import load_digits

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="of training (default: 400)")
    parser.add_argument("--out", type=Path, default=Path("segment"), metavar="FOLDER", help="where all of it goes")
    given = parser.parse_args()
    (given.out / "pages").mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    rng, digits, net = np.random.default_rng(0), load_digits(), Segment()
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(given.steps):
        pages, classes = zip(*(page(rng, digits.train_images, digits.train_labels) for _ in range(8)), strict=True)
        scores = net(torch.from_numpy(np.stack(pages)[:, None] / np.float32(255)))
        loss = F.cross_entropy(scores, torch.from_numpy(np.stack(classes)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(net.state_dict(), given.out / "segment.pt")
    (given.out / "labels.txt").write_text("\n".join(("paper", *"0123456789")) + "\n", encoding="utf-8")
    net.eval()
    right = []
    for number in range(20):
        pixels, classes = page(rng, digits.test_images, digits.test_labels)
        with torch.inference_mode():
            found = net(torch.from_numpy(pixels[None, None] / np.float32(255))).argmax(1)[0].numpy()
        right.append((found == classes)[classes > 0].mean())
        if number < 3:
            Image.fromarray(pixels).resize((3 * WIDTH, 3 * HEIGHT)).save(given.out / "pages" / f"{number}.png")
    print(f"of the digits' pixels on 20 pages of held-out digits, {np.mean(right):.1%} are told right")


if __name__ == "__main__":
    main()
