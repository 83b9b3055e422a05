"""`cnnc demo`: from untrained to compiled, run and taken apart, in a minute or two."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("demo")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Where the network, images and artifact go.",
)
@click.option("--epochs", type=click.IntRange(min=1), default=20, show_default=True, help="Training epochs.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split, the weights and the order.")
def command(folder: Path, epochs: int, seed: int) -> None:
    """Train LeNet-5 on real handwritten digits, then compile, verify, run and analyze it."""
    from cnnc.torch_extra import require_installed, require_torch

    require_torch("the demo")
    require_installed("sklearn", "scikit-learn", "the demo")
    from cnnc.demo import tell

    tell(folder, epochs=epochs, seed=seed)


__all__ = ["command"]
