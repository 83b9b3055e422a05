"""torch.utils.flop_counter.FlopCounterMode: convolutions and matrix products, two FLOPs a multiply-accumulate."""

from __future__ import annotations

from cnnc.analysis.conventions.calls import Call
from cnnc.analysis.conventions.convention import Convention
from cnnc_passes.costs import node_cost

__all__ = ["FLOPCOUNTER"]


def _cost(call: Call) -> int:
    """From `flop_registry` of torch.utils.flop_counter. A product with a vector is no `mm` and costs nothing."""
    return sum(
        2 * node_cost(node, call.sizes).macs
        for node in call.nodes
        if node.op_type != "MatMul" or all(len(call.shape(value)) > 1 for value in node.inputs)
    )


FLOPCOUNTER = Convention(
    name="flopcounter",
    unit="FLOPs",
    note="FlopCounterMode counts 2 FLOPs a multiply-accumulate, as cnnc does; leaves out normalizations, pooling, "
    "activations and everything else that is elementwise",
    cost=_cost,
)
