"""What a run draws of each result: masks of segmentation nets, heat maps of classifiers that slide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.batch import Result
from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError
from cnnc_runtime.maps.geometry import Placement, place
from cnnc_runtime.maps.heat import class_index, heat_of, spread
from cnnc_runtime.maps.masks import class_mask, fit_mask, write_mask
from cnnc_runtime.maps.overlay import heat_colors, overlay, write_picture
from cnnc_runtime.maps.picture_files import PictureFiles, original
from cnnc_runtime.maps.windows import Windows
from cnnc_runtime.preprocessing import Preprocessing
from cnnc_runtime.tensors import TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Draw", "draw_heat", "draw_masks", "map_output"]

Draw = Callable[[Result], None]


def map_output(outputs: Sequence[TensorSpec]) -> str:
    """The name of the first output (N, C, H, W).

    Raises:
        UnsupportedModelError: there is none.
    """
    for spec in outputs:
        if len(spec.shape) == 4 and spec.dtype.kind == "f":
            return spec.name
    shown = ", ".join(map(str, outputs))
    raise UnsupportedModelError(
        f"pictures need an output (N, classes, H, W), the net has {shown}: of a classifier, compile with "
        "--fully-convolutional"
    )


def draw_masks(files: PictureFiles, output: str, prepare: Preprocessing | None, *, of_picture: bool) -> Draw:
    """What writes the mask of each result.

    Args:
        files: where to.
        output: its name, (C, H, W) of an item.
        prepare: what made the input of a picture.
        of_picture: over the picture's own pixels; else as the network gives it, as for whatever is no picture file.
    """

    def draw(result: Result) -> None:
        mask = class_mask(result.outputs[output])
        picture = original(result.name) if of_picture and prepare is not None else None
        if picture is not None and prepare is not None:
            mask = fit_mask(mask, _placement(picture, prepare))
        write_mask(files(result.name), mask)

    return draw


def draw_heat(
    files: PictureFiles,
    output: str,
    prepare: Preprocessing | None,
    windows: Windows | None,
    asked: str | None = None,
    labels: Sequence[str] = (),
) -> Draw:
    """What writes the heat map of each result, over its picture, or alone where there is no picture file.

    Colors go from 0 to the highest probability of the class in this picture.

    Args:
        files: where to.
        output: its name, (C, h, w) of an item.
        prepare: what made the input of a picture.
        windows: how the places lie.
        asked: the class, by label or number; None for each picture's top one.
        labels: by class.
    """

    def draw(result: Result) -> None:
        scores = result.outputs[output]
        if not np.isfinite(scores).all():
            raise InvalidInputError(f"{result.name}: NaN or infinity in its scores: there is no heat map of them")
        index = None if asked is None else class_index(asked, len(scores), labels)
        _, heat = heat_of(scores, index)
        heat = heat / max(float(heat.max()), 1e-12)
        picture = original(result.name) if prepare is not None else None
        if picture is None or prepare is None:
            pixels: NDArray[Any] = np.rint(heat_colors(heat)).astype(np.uint8)
        else:
            pixels = overlay(np.asarray(picture.convert("RGB")), spread(heat, _placement(picture, prepare), windows))
        write_picture(files(result.name), pixels)

    return draw


def _placement(picture: Image, prepare: Preprocessing) -> Placement:
    return place(prepare, (picture.height, picture.width))
