"""InstanceNormalization(x) => s*(x - mean)/sqrt(mean((x - mean)^2) + eps) + b, by rows. Equal up to rounding."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from cnnc_passes.rewrite import Change, Decline, Rewrite, constant, has_one_reader, new_constant, opset, producer

__all__ = ["ExpandInstancenorm"]

_OPSET_OF_SHAPES_FROM = 15  # of one axis: `Shape` with a start


class ExpandInstancenorm(Rewrite):
    """Take the means of rows first, and then the mean of these: of its parts, a long sum loses the fewest digits.

    onnxruntime adds up a whole channel in float32, one value after the other. Where the mean is large beside the
    deviation, as it is in a GroupNorm network on a dark image, that loses two digits. The expansion reads the map
    as often, but in more operators: it is for networks whose proof fails without it.

    A channel that is a vector is cut into rows near the square root of its length; where the length is open, into the
    rows of the map that the vector was, as in a GroupNorm at any size of image.

    Declines if a channel is a vector that cannot be cut into rows, or scale or shift are not constant. Is for
    float32 only.
    """

    roots = frozenset({"InstanceNormalization"})
    trades = True
    example = """
        g (float[N,2,4,4] x) => (float[N,2,4,4] y) <float[2] s = {1,2}, float[2] b = {0,1}>
        { y = InstanceNormalization (x, s, b) }
    """

    def rewrite(self, norm: ir.Node) -> Change | Decline | None:
        """Answer for one InstanceNormalization."""
        x, y = norm.inputs[0], norm.outputs[0]
        if x is None or x.dtype != ir.DataType.FLOAT or x.shape is None or len(x.shape) < 3:
            return None
        scale, shift = constant(norm.inputs[1]), constant(norm.inputs[2])
        if scale is None or shift is None:
            return Decline("scale or shift are not constant")
        row, view = _row_length(x.shape), _view_of_map(x)
        if row is None and view is None:
            return Decline("a channel is a vector that cannot be cut into rows")
        build = _Builder(y, opset(norm), max(4, len(x.shape)))
        if row is None and view is not None:
            rows = build.rows_of(view.inputs[0], len(scale))
        elif len(x.shape) == 3:
            rows = build("Reshape", x, build.constant("rows", np.array([0, len(scale), -1, row], np.int64)))
        else:
            rows = x
        centered = build("Sub", rows, build.mean(rows))
        variance = build.mean(build("Mul", centered, centered))
        epsilon = np.array(norm.attributes.get_float("epsilon", 1e-5), np.float32)
        normalized = build("Div", centered, build("Sqrt", build("Add", variance, build.constant("epsilon", epsilon))))
        if (scale != 1).any():
            normalized = build("Mul", normalized, build.per_channel("scale", scale))
        if (shift != 0).any():
            normalized = build("Add", normalized, build.per_channel("shift", shift))
        if len(x.shape) == 3:
            build("Reshape", normalized, build.constant("vector", np.array([0, len(scale), -1], np.int64)))
        return Change([view, norm] if row is None and view is not None else [norm], build.nodes)


def _view_of_map(x: ir.Value) -> ir.Node | None:
    """The Reshape that makes vectors (N, G, length) of the channels of a map (N, C, H, W), G of them, and no more."""
    view = producer(x, "Reshape")
    map_ = view.inputs[0] if view is not None else None
    if view is None or map_ is None or map_.shape is None or x.shape is None or not has_one_reader(x):
        return None
    channels, groups = map_.shape[1] if len(map_.shape) > 3 else None, x.shape[1]
    if not isinstance(channels, int) or not isinstance(groups, int) or channels % groups:
        return None
    return view if map_.shape[0] == x.shape[0] and opset(view) >= _OPSET_OF_SHAPES_FROM else None


def _row_length(shape: ir.Shape) -> int | None:
    """Of a map, the last size, whatever it is; of a vector, a divisor near its square root, where there is one."""
    length = shape[-1]
    if len(shape) > 3:
        return 1
    if not isinstance(length, int):
        return None
    divisor = next((size for size in range(math.isqrt(length), 0, -1) if length % size == 0), 1)
    return length // divisor if divisor > 1 else None


class _Builder:
    """Makes nodes on maps of `rank` axes, which serve the value `output`, and remembers them."""

    def __init__(self, output: ir.Value, opset: int, rank: int) -> None:
        self.nodes: list[ir.Node] = []
        self._output, self._opset, self._rank = output, opset, rank

    def __call__(self, op: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
        self.nodes.append(ir.node(op, list(inputs), attributes))
        return self.nodes[-1].outputs[0]

    def constant(self, role: str, array: np.ndarray) -> ir.Value:
        return new_constant(self._output, role, array)

    def rows_of(self, x: ir.Value | None, channels: int) -> ir.Value:
        """A map (N, C, H, W) as (N, channels, C / channels * H, W), whatever the sizes are."""
        assert x is not None
        length = self("Shape", x, start=-1)
        sizes = self("Concat", self.constant("rows", np.array([0, channels, -1], np.int64)), length, axis=0)
        return self("Reshape", x, sizes)

    def per_channel(self, role: str, array: np.ndarray) -> ir.Value:
        return self.constant(role, array.reshape(-1, *[1] * (self._rank - 2)))

    def mean(self, x: ir.Value) -> ir.Value:
        """Over the spatial axes: over the last one first."""
        return self._mean(self._mean(x, [self._rank - 1]), list(range(2, self._rank - 1)))

    def _mean(self, x: ir.Value, axes: list[int]) -> ir.Value:
        if self._opset < 18:
            return self("ReduceMean", x, axes=axes, keepdims=1)
        return self("ReduceMean", x, self.constant("axes", np.array(axes, np.int64)), keepdims=1)
