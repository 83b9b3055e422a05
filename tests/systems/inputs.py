"""What a system is given in its test: arrays for the engine, and a picture or a film for `cnnc run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from cnnc.zoo import ZOO
from cnnc_runtime import Engine
from tests.runtime.moving import moving_film
from tools.systems_page.known import System


def noise(engine: Engine, shapes: dict[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """Seeded normal values for each input; axes that the artifact leaves open are those of `shapes`."""
    rng = np.random.default_rng(0)
    feed = {}
    for one in engine.inputs:
        shape = shapes.get(one.name) or shapes.get("") or (1, *map(int, one.shape[1:]))
        feed[one.name] = rng.standard_normal(shape).astype(np.float32)
    return feed


def item(system: System, folder: Path) -> Path:
    """A handwritten digit, a photograph, or a film of something that moves."""
    entry = ZOO[system.net]
    if len(entry.input_shape) == 4 or entry.other_inputs:
        moving_film(folder / "film.mp4", 24)
        return folder / "film.mp4"
    picture = folder / "picture.png"
    if entry.input_shape[0] == 1:
        Image.fromarray(np.uint8(255 / 16 * load_digits().images[0])).save(picture)
    else:
        Image.fromarray(load_sample_image("china.jpg")).save(picture)
    return picture
