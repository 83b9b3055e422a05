"""Weights of equal bytes become one: of a layer and of its gradient, once the same scale was folded into both."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

__all__ = ["ShareWeights"]

_SAMPLES = 256  # elements that are looked at before two weights are compared as a whole


class ShareWeights(ir.passes.InPlacePass):
    """Let the readers of equal initializers, of any size, read the first of them, and drop the others.

    onnx_ir's own passes keep to small ones, or hash every byte of a model; here a weight is read as a whole only
    where another of its type and shape agrees with it on a few hundred elements. Bytes are compared: -0.0 is not 0.0.
    What a caller may override, or gets as an output, stays.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Share; `modified` says whether any were equal."""
        kept: dict[tuple[object, ...], list[ir.Value]] = {}
        modified = False
        for value in tuple(model.graph.initializers.values()):
            tensor = value.const_value
            if tensor is None or tensor.dtype.is_string() or value.is_graph_input() or value.is_graph_output():
                continue
            alike = kept.setdefault((tensor.dtype, tuple(tensor.shape), _sample(tensor.numpy())), [])
            same = next((other for other in alike if _are_equal(other.const_value, tensor)), None)
            if same is None:
                alike.append(value)
                continue
            ir.convenience.replace_all_uses_with(value, same)
            model.graph.initializers.pop(str(value.name))
            modified = True
        return ir.passes.PassResult(model, modified)


def _sample(array: np.ndarray) -> bytes:
    """Elements at even distances, the last among them."""
    return array.reshape(-1)[:: -max(1, array.size // _SAMPLES)].tobytes()


def _are_equal(one: ir.TensorProtocol | None, other: ir.TensorProtocol) -> bool:
    return one is other or (one is not None and one.tobytes() == other.tobytes())
