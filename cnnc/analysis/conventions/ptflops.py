"""ptflops' get_model_complexity_info (its pytorch backend): hooks on modules, and functions of torch.nn.functional.

A module whose forward calls a function that is counted too is counted twice: ReLU, GELU, pooling.
"""

from __future__ import annotations

import math

from cnnc.analysis.conventions.calls import Call
from cnnc.analysis.conventions.convention import Convention

__all__ = ["PTFLOPS"]

_RANKS = ("1d", "2d", "3d")
_PRODUCTS = frozenset({f"{kind}{rank}" for kind in ("Conv", "ConvTranspose") for rank in _RANKS} | {"Linear"})
_ACTIVATIONS = frozenset({"ReLU", "PReLU", "ELU", "LeakyReLU", "ReLU6", "GELU"})
_POOLINGS = frozenset(
    f"{kind}{rank}" for kind in ("MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool") for rank in _RANKS
)
_NORMALIZATIONS = frozenset(
    {f"{kind}{rank}" for kind in ("BatchNorm", "InstanceNorm") for rank in _RANKS} | {"GroupNorm", "LayerNorm"}
)
_FUNCTIONS = frozenset(
    {"relu", "prelu", "elu", "relu6", "gelu", "silu", "softmax"}
    | {f"{kind}_pool{rank}" for kind in ("avg", "max", "adaptive_avg", "adaptive_max") for rank in _RANKS}
)


def _cost(call: Call) -> int:
    return _hook(call) + _functional(call) + _tensor_operation(call)


def _hook(call: Call) -> int:
    """From `MODULES_MAPPING`. The scale and shift of a LayerNorm go unnoticed: it has no attribute `affine`."""
    layer = call.origin.layer
    if layer in _PRODUCTS:
        return call.macs + (call.written if "bias" in call.parameters else 0)
    if layer in _ACTIVATIONS:
        return call.written
    if layer in _POOLINGS:
        return call.read
    if layer in _NORMALIZATIONS:
        return call.read * (2 if call.is_affine and layer != "LayerNorm" else 1)
    return math.prod(call.output[1:]) if layer == "Upsample" else 0


def _functional(call: Call) -> int:
    """From `FUNCTIONAL_MAPPING`: patched in torch.nn.functional, so not where `torch` or a tensor has it too."""
    function = call.origin.function
    if call.origin.through not in ("F", ""):
        return 0
    if function in ("interpolate", "upsample"):
        return call.written
    return call.read if function in _FUNCTIONS else 0


def _tensor_operation(call: Call) -> int:
    """From `TENSOR_OPS_MAPPING`: `torch.add` and `x.add`; the operators `+`, `*` and `@` are not patched."""
    if call.origin.through not in ("torch", "method"):
        return 0
    if call.origin.function in ("add", "mul"):
        return call.written
    if call.origin.function in ("matmul", "mm", "bmm"):
        node = call.find("MatMul", "Gemm")
        return math.prod(call.shape(node.inputs[0])) * call.shape(node.inputs[1])[-1] if node is not None else 0
    return 0


PTFLOPS = Convention(
    name="ptflops",
    unit="MACs",
    note="ptflops adds biases, normalizations at 2 an element, activations and pooling to the MACs; ReLU, GELU and "
    "pooling twice (as module and as function), functions called without a module once, operators never",
    cost=_cost,
)
