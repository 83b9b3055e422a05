"""auto_pad = SAME_UPPER, SAME_LOWER or VALID => pads: (out - 1)*s + d*(k-1) + 1 - in over both ends, or 0. Exact."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.dims import dims_of
from cnnc_passes.rewrite import Change, Decline, Rewrite, again
from cnnc_passes.shapes import explicit_pads
from cnnc_passes.windows import node_windows
from cnnc_runtime.errors import InvalidInputError

__all__ = ["ExplicitPads"]


class ExplicitPads(Rewrite):
    """Write out the padding of a convolution or pooling, which the laws that mind the border can then read.

    onnxruntime has no kernel for a dilated convolution with auto_pad SAME; with its pads written out it has.

    Declines if the kernel's size is not known, the padding of a strided window varies with an open size, a
    ConvTranspose has an output_shape, or its kernel is shorter than its stride: to ONNX the result is then
    padded, to onnxruntime it is not.
    """

    roots = frozenset({"AveragePool", "Conv", "ConvTranspose", "LpPool", "MaxPool"})
    example = """
        g (float[N,1,4,4] x) => (float[N,1,2,2] y) <float[1,1,3,3] w = {0,1,0,1,2,1,0,1,0}>
        { y = Conv <auto_pad = "SAME_UPPER", strides = [2, 2]> (x, w) }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for one convolution or pooling."""
        if (node.attributes.get_string("auto_pad", "NOTSET") or "NOTSET") == "NOTSET":
            return None
        windows, x = node_windows(node), node.inputs[0]
        if windows is None or x is None or x.shape is None:
            return Decline("the size of the kernel is not known")
        if "output_shape" in node.attributes:
            return Decline("output_shape sets the pads")
        is_same = windows[0].auto_pad != "VALID"
        if is_same and any(w.transposed and w.span + w.output_padding < w.stride for w in windows):
            return Decline("the kernel is shorter than the stride")
        try:
            ends = [explicit_pads(size, w) for size, w in zip(dims_of(x.shape)[2:], windows, strict=True)]
        except InvalidInputError:
            return Decline("the padding varies with an open size")
        return Change([node], [_padded(node, ends, drop_ceil=is_same)])


def _padded(node: ir.Node, ends: list[tuple[int, int]], *, drop_ceil: bool) -> ir.Node:
    """The node with `pads`. The size that SAME gives needs no rounding: ceil_mode would count a window too many."""
    dropped = {"auto_pad", "pads"} | ({"ceil_mode"} if drop_ceil else set())
    kept = {name: value for name, value in node.attributes.items() if name not in dropped}
    pads = [begin for begin, _ in ends] + [end for _, end in ends]
    return again(node, node.inputs, {**kept, "pads": pads}, outputs=len(node.outputs))
