"""What a network costs as an expression in the sizes that it leaves open: `1814073344*batch`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import onnx_ir as ir

from cnnc_passes.dims import Dim, dims_of
from cnnc_passes.operations import elementwise_flops, macs

__all__ = ["cost_expressions"]


def cost_expressions(graph: ir.Graph) -> dict[str, str]:
    """MACs and FLOPs of a graph with inferred shapes, as text: `macs`, `flops`.

    Nothing where no size is open, or a shape that is needed follows from no formula.
    The symbols are those of the inputs' shapes; `floor` is that of the output-size formula.
    """
    if all(isinstance(size, int) for value in graph.inputs for size in dims_of(value.shape or ())):
        return {}
    if any(_is_unknown(value) for node in graph for value in node.outputs):
        return {}
    products = [macs(node, _open_shape) for node in graph]
    without = [node for node, product in zip(graph, products, strict=True) if not product]
    others = [elementwise_flops(node, _open_shape) for node in without]
    all_macs = _sum(products)
    return {"macs": _text(all_macs), "flops": _text(2 * all_macs + _sum(others))}


def _is_unknown(value: ir.Value) -> bool:
    shape = value.shape
    return shape is None or any(not isinstance(size, int) and size.value is None for size in dims_of(shape))


def _open_shape(value: ir.Value) -> Sequence[Dim] | None:
    if value.const_value is not None:
        return dims_of(value.const_value.shape)
    return None if value.shape is None else dims_of(value.shape)


def _sum(terms: Sequence[Dim]) -> Dim:
    """Equal terms are counted first: of the sizes in a deep network few are different."""
    total: Dim = 0
    for term, count in Counter(terms).items():
        total += count * term
    return total


def _text(total: Dim) -> str:
    return str(total) if isinstance(total, int) else str(total.simplify())
