"""thop's profile: hooks on the modules of torch.nn, by their exact class."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cnnc.analysis.conventions.calls import Call
from cnnc.analysis.conventions.convention import Convention

__all__ = ["THOP"]

_RANKS = ("1d", "2d", "3d")
_CONVOLUTIONS = frozenset(f"Conv{rank}" for rank in _RANKS)
_TRANSPOSED = frozenset(f"ConvTranspose{rank}" for rank in _RANKS)
_NORMALIZATIONS = frozenset(
    {
        *(f"BatchNorm{rank}" for rank in _RANKS),
        *(f"InstanceNorm{rank}" for rank in _RANKS),
        "LayerNorm",
        "SyncBatchNorm",
    }
)
_POOLINGS = frozenset(f"AvgPool{rank}" for rank in _RANKS)
_ADAPTIVE = frozenset(f"AdaptiveAvgPool{rank}" for rank in _RANKS)
_UPSAMPLINGS = frozenset({"Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"})
_PER_OUTPUT = {  # the modes that thop knows
    **dict.fromkeys(("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"), 1),
    "upsample_linear1d": 5,
    "upsample_bilinear2d": 11,
    "upsample_bicubic2d": 224 + 35,
}
_COUNTED = _CONVOLUTIONS | _TRANSPOSED | _NORMALIZATIONS | {"Linear", "PReLU"}  # of those that have parameters


def _cost(call: Call) -> int:
    """From `register_hooks` of thop.profile; modules of other classes, GroupNorm among them, cost nothing."""
    layer = call.origin.layer
    if layer in _CONVOLUTIONS or layer == "Linear":
        return call.macs
    if layer in _TRANSPOSED:
        return _transposed(call)
    if layer in _NORMALIZATIONS:
        return call.read * (4 if call.is_affine else 2)
    if layer == "PReLU":
        return call.read
    if layer == "Softmax":
        return _softmax(call)
    if layer in _POOLINGS:
        return call.written
    if layer in _ADAPTIVE:
        window = math.prod(before / after for before, after in zip(call.input[2:], call.output[2:], strict=True))
        return int((window + 1) * call.written)
    return _PER_OUTPUT.get(call.origin.target, 0) * call.written if layer in _UPSAMPLINGS else 0


def _transposed(call: Call) -> int:
    """As if each output had a whole window of inputs."""
    node = call.find("ConvTranspose")
    assert node is not None
    groups = node.attributes.get_int("group", 1) or 1
    return call.written * (call.input[1] // groups) * math.prod(call.shape(node.inputs[1])[2:])


def _softmax(call: Call) -> int:
    node = call.find("Softmax")
    assert node is not None
    classes = call.input[node.attributes.get_int("axis", -1)]
    return call.read // classes * (3 * classes - 1)


def _params(calls: Sequence[Call]) -> int:
    """Of the modules that thop knows; parameters of a network's own modules are not seen."""
    modules = {call.origin.path: call.parameters for call in calls if call.origin.layer in _COUNTED}
    return sum(sum(parameters.values()) for parameters in modules.values())


THOP = Convention(
    name="thop",
    unit="MACs",
    note="thop adds normalizations at 4 an element (GroupNorm at none), average pooling and upsampling to the MACs, "
    "counts a transposed convolution at its output, and sees only the modules of torch.nn",
    cost=_cost,
    params=_params,
)
