"""An image file, its content or a decoded picture -> an item: what the net's one input takes."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cnnc_runtime.arrays import Array
from cnnc_runtime.errors import CnncError, InvalidInputError
from cnnc_runtime.images import open_image
from cnnc_runtime.pipeline.items import Failure, Item
from cnnc_runtime.preprocessing import Preprocessing, assumed_for
from cnnc_runtime.tensors import TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_file", "check_one_input", "load_content", "load_file", "load_picture", "load_prepared"]


def load_file(file: Path, inputs: Sequence[TensorSpec], prepare: Preprocessing | None) -> list[Item | Failure]:
    """The one item of an image file.

    Raises:
        CnncError: it cannot be read, or does not fit the input.
    """
    check_file(file)
    check_one_input(file, inputs)
    return load_picture(str(file), open_image(file), inputs[0], prepare)


def load_content(
    name: str, content: bytes | None, spec: TensorSpec, prepare: Preprocessing | None
) -> list[Item | Failure]:
    """The one item of an image file's content.

    Raises:
        CnncError: there is none, it cannot be read, or does not fit the input.
    """
    if not content:
        raise InvalidInputError(f"{name} holds no image: its bytes are missing")
    return load_picture(name, open_image(io.BytesIO(content), name), spec, prepare)


def load_picture(name: str, image: Image, spec: TensorSpec, prepare: Preprocessing | None) -> list[Item | Failure]:
    """The one item of a picture; `prepare` is what the input's shape suggests if None.

    Raises:
        CnncError: it does not fit the input.
    """
    if len(spec.shape) == 5:
        raise InvalidInputError(f"{name} is one picture, the net takes clips {spec}: give a video, or arrays (.npy)")
    usual = prepare or assumed_for(spec.shape)
    return load_prepared(name, lambda: usual(image), spec, usual)


def load_prepared(
    name: str, prepared: Callable[[], Array], spec: TensorSpec, prepare: Preprocessing
) -> list[Item | Failure]:
    """The one item of what `prepared` gives: pixels as `prepare` makes them, in the input's type.

    Raises:
        CnncError: it does not fit the input.
    """
    try:
        array = prepared()
        if spec.dtype.kind == "f":
            array = array.astype(spec.dtype, copy=False)  # the pixels are ours to round, to float16 too
        return [Item(name, {spec.name: spec.sample.conform(array)})]
    except CnncError as error:
        way_out = "" if prepare.resize or prepare.crop else "; this preprocessing does not resize: compile with --size"
        raise type(error)(f"{name}: {error}{way_out}") from error


def check_one_input(file: Path, inputs: Sequence[TensorSpec]) -> None:
    """Raise InvalidInputError if the net takes more than the one array that the file's items are."""
    if len(inputs) != 1:
        names = [spec.name for spec in inputs]
        raise InvalidInputError(
            f"{file} is one array, the net takes {names}: give an .npz with these keys, or a video, if one of them is "
            "optical flow and the artifact says so (cnnc compile --flow-input)"
        )


def check_file(file: Path) -> None:
    """Raise InvalidInputError if it is missing, empty, or nothing that can be read to its end."""
    try:
        if not file.exists():
            raise InvalidInputError(f"{file}: no such file")
        if not file.is_file():  # opening a FIFO would wait for ever
            raise InvalidInputError(f"{file} is not a regular file")
        if file.stat().st_size == 0:
            raise InvalidInputError(f"{file} is empty")
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from error
