"""Conv1x1(Resize(x)) => Resize(Conv1x1(x)), with no more outputs than inputs. Equal up to rounding.

W*(sum of a_i*x_i) + b = sum of a_i*(W*x_i + b), since the weights a_i of nearest, linear and cubic interpolation sum
to one at every position, also at the border, where they repeat its elements or (exclude_outside) are renormalized.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.pointwise import pointwise
from cnnc_passes.rewrite import Change, Decline, Rewrite, constant, has_one_reader, new_constant, producer, reading

__all__ = ["PointwiseBeforeResize"]


class PointwiseBeforeResize(Rewrite):
    """Convolve the small map instead of the enlarged one: 1/scale^2 of the MACs (segmentation heads, FPN).

    Declines if another node reads the Resize, the convolution has a stride or padding, or more outputs than
    inputs, the Resize extrapolates (tf_crop_and_resize), or it is not known to keep batch and channels. Where it
    makes the map smaller the cost guard declines.
    """

    roots = frozenset({"Conv"})
    example = """
        g (float[N,2,4,4] x) => (float[N,1,8,8] y) <float[4] scales = {1,1,2,2}, float[1,2,1,1] w = {1,3}>
        { r = Resize <mode = "nearest"> (x, , scales)  y = Conv (r, w) }
    """

    def rewrite(self, conv: ir.Node) -> Change | Decline | None:
        """Answer for one Conv."""
        resize = producer(conv.inputs[0], "Resize")
        found = pointwise(conv) if resize is not None else None
        if resize is None or found is None or isinstance(found, Decline):
            return found if isinstance(found, Decline) else None
        x, resized = resize.inputs[0], resize.outputs[0]
        if not has_one_reader(resized):
            return Decline("another node reads the Resize")
        if resize.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
            return Decline("the Resize extrapolates (tf_crop_and_resize)")
        weight = conv.inputs[1].shape if conv.inputs[1] is not None else None
        if x is None or x.shape is None or weight is None or not isinstance(x.shape[1], int):
            return Decline("the channels of the Resize are not known")
        outputs, inputs = weight[0], x.shape[1]
        if not isinstance(outputs, int) or outputs > inputs:
            return Decline(f"the convolution has more outputs than inputs, {outputs} for {inputs}")
        if not _keeps_batch_and_channels(resize, x):
            return Decline("the Resize is not known to keep batch and channels")
        small = reading(conv, x)
        nodes, large = _resized_to(resize, small.outputs[0], outputs - inputs, len(x.shape))
        return Change([resize, conv], [small, *nodes, large])


def _keeps_batch_and_channels(resize: ir.Node, x: ir.Value) -> bool:
    if "axes" in resize.attributes:
        assert x.shape is not None
        return all(axis % len(x.shape) > 1 for axis in resize.attributes["axes"].as_ints())
    if _sizes(resize) is None:
        scales = constant(resize.inputs[2 if len(resize.inputs) > 2 else 1])  # the second before opset 11
        return scales is not None and bool(np.all(scales[:2] == 1))
    shapes = [value.shape for value in (x, resize.outputs[0])]
    pairs = [shape[:2] if shape is not None else None for shape in shapes]
    if pairs[0] is None or pairs[1] is None:
        return False
    return all(a == b and (isinstance(a, int) or a.value is not None) for a, b in zip(*pairs, strict=True))


def _sizes(resize: ir.Node) -> ir.Value | None:
    return resize.inputs[3] if len(resize.inputs) > 3 else None


def _resized_to(resize: ir.Node, x: ir.Value, more: int, rank: int) -> tuple[list[ir.Node], ir.Node]:
    """The Resize of `x`, which has `more` channels than the old input, and what computes its sizes first."""
    sizes = _sizes(resize)
    if sizes is None or more == 0 or "axes" in resize.attributes:
        return [], reading(resize, x)
    added = np.array([0, more, *[0] * (rank - 2)], np.int64)
    array, nodes = constant(sizes), []
    if array is not None:
        sizes = new_constant(resize.outputs[0], "sizes", array + added)
    else:
        nodes = [ir.node("Add", [sizes, new_constant(resize.outputs[0], "channels", added)])]
        sizes = nodes[0].outputs[0]
    large = ir.node(
        "Resize",
        [x, *resize.inputs[1:3], sizes],
        resize.attributes,
        name=resize.name,
        metadata_props=dict(resize.metadata_props),
    )
    return nodes, large
