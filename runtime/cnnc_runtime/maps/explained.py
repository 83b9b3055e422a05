"""What a run does with an artifact that explains itself: the class it asks for, and heat maps over pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnc_runtime.batch import Result
from cnnc_runtime.engine import Engine
from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.maps.drawing import Draw
from cnnc_runtime.maps.explanation import Explanation
from cnnc_runtime.maps.geometry import place
from cnnc_runtime.maps.heat import class_index, spread
from cnnc_runtime.maps.overlay import heat_colors, overlay, write_picture
from cnnc_runtime.maps.picture_files import PictureFiles, original
from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["ask_class", "draw_explanation", "explanation_of"]


def explanation_of(engine: Engine) -> Explanation:
    """What the artifact says of its heat map.

    Raises:
        UsageError: it has none.
    """
    found = engine.metadata.explanation if engine.metadata is not None else None
    if found is None:
        raise UsageError("this artifact has no heat map: compile it with one, cnnc compile ... --explain gradcam")
    return found


def ask_class(explanation: Explanation, asked: str | None, labels: Sequence[str]) -> int | None:
    """The class to feed for every item, -1 for the top class of each; None where the artifact takes none.

    Args:
        explanation: of the artifact.
        asked: a label or a number from 0; None for the top class.
        labels: by class; others than the scores' are not looked at.

    Raises:
        UsageError: there is no such class, or the artifact takes none.
    """
    if explanation.class_input is None:
        if asked is not None:
            raise UsageError(
                "--class: this artifact explains the top class of each image: compile it with --explain-class input"
            )
        return None
    fitting = labels if len(labels) == explanation.classes else ()
    return -1 if asked is None else class_index(asked, explanation.classes, fitting)


def draw_explanation(files: PictureFiles, explanation: Explanation, prepare: Preprocessing | None) -> Draw:
    """What writes the heat map of each result, over its picture where the net saw it, or alone where there is none.

    Colors go from 0, and what is below, to the highest value in this picture; of a clip, frames lie side by side.

    Args:
        files: where to.
        explanation: of the artifact.
        prepare: what made the input of a picture.
    """

    def draw(result: Result) -> None:
        heat = np.maximum(result.outputs[explanation.output].astype(np.float64), 0)
        if not np.isfinite(heat).all():
            raise InvalidInputError(f"{result.name}: NaN or infinity in its heat map: there is nothing to draw")
        heat /= max(float(heat.max()), 1e-30)
        if heat.ndim == 3:
            heat = np.concatenate(list(heat), axis=1)
        picture = original(result.name) if prepare is not None else None
        if picture is None or prepare is None:
            pixels = np.rint(heat_colors(heat)).astype(np.uint8)
        else:
            placement = place(prepare, (picture.height, picture.width))
            pixels = overlay(np.asarray(picture.convert("RGB")), spread(heat, placement, None))
        write_picture(files(result.name), pixels)

    return draw
