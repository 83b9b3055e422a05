"""A classifier that takes larger images: Flatten and Gemm become convolutions, the image's axes open, the scores a map.

(N, C, H, W) -> (N, classes) becomes (N, C, height, width) -> (N, classes, h, w): the scores of every window of the
size that the network was exported at, at its total stride (Long et al., Fully Convolutional Networks for Semantic
Segmentation, 2015). What is claimed, and proved: the body runs on the whole image, and its head sees each window of
the feature map as it saw the whole map before. That equals the classifier on the cut-out windows exactly where the
body has no padding; with padding a window in the middle of an image sees its neighbors where a cut-out sees zeros.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from cnnc.frontend import Frontend
from cnnc.verify import Oracle
from cnnc.verify.sliding import SlidingOracle
from cnnc_passes.dims import dims_of
from cnnc_passes.infer_shapes import InferShapes
from cnnc_passes.open_axes import open_axes
from cnnc_passes.sliding_head import Cut, slide_head
from cnnc_runtime.errors import CnncError, InvalidInputError, UnsupportedModelError
from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["Sliding", "open_fully_convolutional", "uncropped"]

Reopen = Callable[[], Frontend]
_AXES = {1: ("length",), 2: ("height", "width"), 3: ("frames", "height", "width")}
_FAR = 2**8 * 3**3 * 5 * 7  # pixels: a multiple of the total strides that there are


@dataclasses.dataclass(frozen=True)
class Sliding:
    """How the windows lie: what a place (i, j) of the scores saw is the window that begins at (i, j) * stride.

    Attributes:
        window: (height, width) that the network was exported at, in pixels.
        stride: the network's total stride, in pixels, per axis.
    """

    window: tuple[int, ...]
    stride: tuple[int, ...]

    def to_dict(self) -> dict[str, list[int]]:
        """As plain JSON values."""
        return {"window": list(self.window), "stride": list(self.stride)}


def uncropped(preprocessing: Preprocessing | None) -> Preprocessing | None:
    """Without its crop to the size of one window: the whole image is what is wanted."""
    return None if preprocessing is None else dataclasses.replace(preprocessing, crop=None)


def open_fully_convolutional(reopen: Reopen) -> Frontend:
    """The network that `reopen` opens, made fully convolutional: graph, inputs and oracle.

    Raises:
        UnsupportedModelError: it has no head that could slide over a larger map, or its body takes one size alone.
    """
    front = reopen()
    name, shape = _image(front)
    try:
        model, cut, axes, sliding = _slide(front, name, shape)
    except CnncError as error:
        raise UnsupportedModelError(f"{front.name} cannot be made fully convolutional: {error}") from error
    example, exported = {name: front.inputs.examples[name]}, front.model

    def oracle() -> Oracle:
        truth = SlidingOracle(front.oracle(), exported, axes, cut, example)
        _check_grows(front.name, truth, example, sliding)
        return truth

    def departure(model: ir.Model, feed: Mapping[str, np.ndarray]) -> str | None:
        if feed[name].shape[2:] != shape:
            return None
        plain = reopen()
        return plain.first_departure(plain.model, feed)

    inputs = dataclasses.replace(front.inputs, axes={name: {**front.inputs.axes.get(name, {}), **axes}})
    return dataclasses.replace(
        front, model=model, inputs=inputs, oracle=oracle, first_departure=departure, sliding=sliding
    )


def _image(front: Frontend) -> tuple[str, tuple[int, ...]]:
    """The name of the one input, and its spatial sizes."""
    if len(front.inputs.examples) != 1:
        raise UnsupportedModelError(f"{front.name} has {len(front.inputs.examples)} inputs: only one image can slide")
    ((name, example),) = front.inputs.examples.items()
    if example.ndim - 2 not in _AXES:
        raise UnsupportedModelError(
            f"{front.name}: input {name!r} has rank {example.ndim}, and is no image (N, C, H, W)"
        )
    return name, example.shape[2:]


def _slide(front: Frontend, name: str, shape: tuple[int, ...]) -> tuple[ir.Model, Cut, dict[int, str], Sliding]:
    """Rewrite and open a copy of the graph, which shares its weights.

    Returns:
        the copy, where the head began, the names of the open axes, and how the windows lie.
    """
    exported = front.model
    for step in (common.InlinePass(), common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)):
        step(exported)
    for value in exported.graph.inputs:
        if value.name == name and value.shape is not None:
            value.shape = ir.Shape([value.shape[0], *front.inputs.examples[name].shape[1:]])
    InferShapes()(exported)
    model = exported.clone()
    cut = slide_head(model)
    named = front.inputs.axes.get(name, {})
    axes = {axis: named.get(axis, symbol) for axis, symbol in enumerate(_AXES[len(shape)], start=2)}
    open_axes(model, {name: axes})
    return model, cut, axes, Sliding(shape, _strides(model, name, shape))


def _strides(model: ir.Model, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Pixels from one window to the next: how slowly the number of places grows, far out."""
    large = model.clone()
    for value in [value for node in large.graph for value in node.outputs]:
        value.shape = None
    for value in large.graph.inputs:
        if value.name == name and value.shape is not None:
            value.shape = ir.Shape([*dims_of(value.shape)[:2], *(size + _FAR for size in shape)])
    try:
        InferShapes()(large)
    except InvalidInputError as error:
        raise UnsupportedModelError(f"it takes one size alone: {error}") from error
    places = dims_of(large.graph.outputs[0].shape or ())[2:]
    if len(places) != len(shape) or any(not isinstance(n, int) or n < 2 or _FAR % (n - 1) for n in places):
        raise UnsupportedModelError(f"on larger images its scores are of the shape {large.graph.outputs[0].shape}")
    return tuple(_FAR // (n - 1) for n in places if isinstance(n, int))


def _check_grows(name: str, truth: Oracle, example: Mapping[str, np.ndarray], sliding: Sliding) -> None:
    """Run the original on an image with room for 2 x 3 windows.

    Raises:
        UnsupportedModelError: it takes no such image.
    """
    ((input_name, exported),) = example.items()
    counts = range(2, 2 + len(sliding.window))
    sizes = [size + (n - 1) * stride for n, size, stride in zip(counts, sliding.window, sliding.stride, strict=True)]
    shape = (1, exported.shape[1], *sizes)
    try:
        truth.original({input_name: np.zeros(shape, exported.dtype)})
    except Exception as error:  # whatever the user's code raises
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnsupportedModelError(f"{name} takes no image of {'x'.join(map(str, sizes))}: {line}") from error
