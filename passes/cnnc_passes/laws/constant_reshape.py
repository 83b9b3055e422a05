"""Reshape(x, computed shape) => Reshape(x, constant), the one open axis as -1. Exact.

What `torch.flatten` and `x.view(x.size(0), -1)` export to is a chain of Shape, Squeeze and Concat that ends here.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.rewrite import Change, Decline, Rewrite, constant, new_constant

__all__ = ["ConstantReshape"]


class ConstantReshape(Rewrite):
    """Read the target shape off the output where it is known but for one axis, which -1 stands for.

    Declines if two axes are open, the rank is unknown, or a size is 0 (-1 would then be ambiguous).
    """

    roots = frozenset({"Reshape"})
    example = """
        g (float[N,2,3] x) => (float[N,6] y) <int64[1] rest = {6}>
        {
            batch = Shape <start = 0, end = 1> (x)
            shape = Concat <axis = 0> (batch, rest)
            y = Reshape (x, shape)
        }
    """

    def rewrite(self, reshape: ir.Node) -> Change | Decline | None:
        """Answer for one Reshape."""
        x, target = reshape.inputs[:2]
        if target is None or target.const_value is not None or constant(target) is not None:
            return None  # a constant already, or one that a caller may override
        if target.is_graph_input():
            return None  # the caller's to choose
        shape = reshape.outputs[0].shape
        if shape is None:
            return Decline("the rank of the result is unknown")
        open_axes = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
        if len(open_axes) > 1:
            return Decline(f"{len(open_axes)} axes of the result are open")
        if 0 in shape:
            return Decline("the result is empty")
        sizes = np.array([size if isinstance(size, int) else -1 for size in shape], np.int64)
        static = new_constant(reshape.outputs[0], "shape", sizes)
        return Change([reshape], [ir.node("Reshape", [x, static], name=reshape.name)])
