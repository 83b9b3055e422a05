"""fvcore's FlopCountAnalysis: functions of a traced network, one multiply-accumulate a FLOP."""

from __future__ import annotations

import math

from cnnc.analysis.conventions.calls import Call
from cnnc.analysis.conventions.convention import Convention

__all__ = ["FVCORE"]

_PRODUCTS = frozenset({"linear", "addmm", "mm", "matmul", "bmm", "einsum"})
# FLOPs of one output element, by the function that torch.export records; trilinear and bicubic are left out.
_PER_OUTPUT = {"upsample_nearest2d": 1, "upsample_bilinear2d": 4, "grid_sampler": 4}


def _cost(call: Call) -> int:
    """From `_DEFAULT_SUPPORTED_OPS` of fvcore.nn.flop_count; other functions cost nothing."""
    function, target = call.origin.function, call.origin.target
    if call.find("Conv", "FusedConv", "ConvTranspose") is not None:
        return call.macs
    if target in _PRODUCTS:
        return _product(call)
    if target == "batch_norm":
        return call.read * (2 if call.is_affine else 1)
    if target in ("group_norm", "layer_norm", "instance_norm"):
        return call.read * (5 if call.is_affine else 4)
    if function == "adaptive_avg_pool2d":
        return call.read
    return _PER_OUTPUT.get(target, 0) * call.written


def _product(call: Call) -> int:
    """Elements of the left matrices times columns of the right; a left one that is broadcast counts once."""
    node = call.find("MatMul")
    if node is None or call.origin.target == "linear":
        return call.macs
    return math.prod(call.shape(node.inputs[0])) * call.shape(node.inputs[1])[-1]


FVCORE = Convention(
    name="fvcore",
    unit="FLOPs",
    note="fvcore calls one multiply-accumulate a FLOP; adds BatchNorm at 2 an element, other normalizations at 5, "
    "2D adaptive average pooling at 1 and 2D upsampling at 1 or 4; leaves out activations and other pooling",
    cost=_cost,
)
