"""What `cnnc demo` does, in order: train, compile, run, compare, race, analyze. Every step is a user's own."""

from __future__ import annotations

import csv
import inspect
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from cnnc.cli import console
from cnnc.demo.digits import Digits, load_digits, write_images
from cnnc.demo.train import accuracy, predict, train
from cnnc.race import Contender, race
from cnnc.source import resolve
from cnnc.zoo import lenet
from cnnc_runtime.errors import CnncError

__all__ = ["tell"]

_FACTORY = "LeNet5"


def tell(folder: Path, *, epochs: int, seed: int) -> None:
    """Run the demo in `folder`; it stays there for the reader to go on with."""
    folder.mkdir(parents=True, exist_ok=True)
    digits = load_digits(seed)
    _heading(f"1. Train LeNet-5 on {len(digits.train_labels):,} handwritten digits, hold out {len(digits.test_labels)}")
    net, checkpoint = folder / "lenet5.py", folder / "lenet5.pt"
    net.write_text(inspect.getsource(lenet), encoding="utf-8")
    torch.manual_seed(seed)
    module = resolve(f"{net}:{_FACTORY}").module
    assert module is not None
    train(module, digits, epochs=epochs, seed=seed)
    torch.save(module.state_dict(), checkpoint)
    images = folder / "heldout"
    write_images(digits.test_images, digits.test_labels, images)
    (folder / "labels.txt").write_text("\n".join("0123456789") + "\n", encoding="utf-8")
    expected = predict(module, digits.test_images)
    console.out.print(f"PyTorch, on the held-out fifth: {accuracy(expected, digits.test_labels):.1%} right")

    _heading("2. Compile: export, rewrite, verify against PyTorch")
    artifact = folder / "lenet5.onnx"
    _cnnc(
        *("compile", f"{net}:{_FACTORY}", "--weights", checkpoint, "--input-shape", "1,1,32,32"),
        *("--size", "32,32", "--mean", "0.5", "--std", "0.5", "--color", "gray"),
        *("--labels", folder / "labels.txt", "-o", artifact, "--force"),
    )

    _heading("3. Run it on the held-out images")
    table = folder / "predictions.csv"
    _cnnc("run", artifact, images, "--top", "1", "-o", table, "--force", "--batch", "32", "--device", "cpu")
    _compare(digits, expected, _read_predictions(table))

    _heading("4. Latency of one image, each contender in a process of its own, in turn")
    _race(net, checkpoint, artifact)

    _heading("5. What each layer costs, convolution against fully connected")
    _cnnc("analyze", artifact)

    _heading("Your turn")
    for line in (
        f"cnnc run {artifact} {images} --top 3",
        "cnnc analyze vgg16",
        "cnnc compile resnet18 -o resnet18.onnx",
        "cnnc compile net.py:Net --weights net.pt --input-shape 1,3,224,224 -o net.onnx",
    ):
        console.out.print(f"  {line}", highlight=False, markup=False)


def _compare(digits: Digits, expected: np.ndarray, got: np.ndarray) -> None:
    table = Table("on the held-out images", "accuracy", box=None, pad_edge=False)
    table.add_row("PyTorch", f"{accuracy(expected, digits.test_labels):.2%}")
    table.add_row("artifact", f"{accuracy(got, digits.test_labels):.2%}")
    table.add_row("same prediction", f"{(got == expected).sum()} of {len(expected)}")
    console.out.print(table)


def _read_predictions(path: Path) -> np.ndarray:
    """The top class of every image, in the order of the file names (which begin with the image's number)."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: Path(row["name"]).name)
    return np.array([int(row["label"]) for row in rows])


def _race(net: Path, checkpoint: Path, artifact: Path) -> None:
    shape = (1, 1, 32, 32)
    seconds = race(
        {
            "cnnc engine": Contender("engine", str(artifact), shape),
            "bare onnxruntime, same artifact": Contender("bare", str(artifact), shape),
            "PyTorch eager": Contender("eager", f"{net}:{_FACTORY}", shape, str(checkpoint)),
        }
    )
    table = Table("", "median", "spread of 3 rounds", "against eager", box=None, pad_edge=False)
    eager = statistics.median(seconds["PyTorch eager"])
    for name, rounds in seconds.items():
        middle = statistics.median(rounds)
        spread = f"{min(rounds) * 1e6:.0f} to {max(rounds) * 1e6:.0f} µs"
        table.add_row(name, f"{middle * 1e6:.0f} µs", spread, f"{eager / middle:.1f}x")
    console.out.print(table)


def _cnnc(*arguments: object) -> None:
    """Show the command as a user would type it, then run it."""
    words = [str(word) for word in arguments]
    console.out.print(f"$ cnnc {shlex.join(words)}", highlight=False, markup=False, style="bold")
    done = subprocess.run([sys.executable, "-m", "cnnc", *words], check=False)
    if done.returncode:
        raise CnncError(f"cnnc {words[0]} ended with exit code {done.returncode}")


def _heading(text: str) -> None:
    console.out.print(f"\n[bold]{text}[/bold]", highlight=False)
    sys.stdout.flush()
