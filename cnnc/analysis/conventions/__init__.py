"""The totals that other tools print for the same network, from the graph: each under its own convention.

The tools disagree by a factor of two and more: on what a FLOP is, and on which layers count. Their sources are the
specification: fvcore 0.1.5, ptflops 0.7.5, torchinfo 1.8.0, thop 0.1.1 and torch.utils.flop_counter of PyTorch 2.13.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from cnnc.analysis.conventions.calls import trace_calls
from cnnc.analysis.conventions.convention import Convention, ConventionCount
from cnnc.analysis.conventions.flopcounter import FLOPCOUNTER
from cnnc.analysis.conventions.fvcore import FVCORE
from cnnc.analysis.conventions.ptflops import PTFLOPS
from cnnc.analysis.conventions.thop import THOP
from cnnc.analysis.conventions.torchinfo import TORCHINFO
from cnnc_runtime.errors import UnsupportedModelError, UsageError

__all__ = ["CONVENTIONS", "Convention", "ConventionCount", "count"]

CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {convention.name: convention for convention in (FVCORE, PTFLOPS, TORCHINFO, THOP, FLOPCOUNTER)}
)
_UNKNOWN = frozenset({"RNN", "GRU", "LSTM", "Loop", "Scan", "If", "Attention"})
_ATTENTION = frozenset({"scaled_dot_product_attention", "multi_head_attention_forward"})


def count(graph: ir.Model, convention: str, sizes: Mapping[str, int]) -> ConventionCount:
    """Count a network as `convention` does.

    Args:
        graph: as exported, before any rewrite, with inferred shapes. In a graph that PyTorch did not export each
            operator counts as the module of torch.nn that computes the same.
        convention: a key of `CONVENTIONS`.
        sizes: values of the graph's symbols, `{"batch": 1}`.

    Raises:
        UsageError: no such convention; a size is not known.
        UnsupportedModelError: the network has layers on which the conventions are not reproduced: recurrent layers,
            attention, control flow.
    """
    if convention not in CONVENTIONS:
        raise UsageError(f"no convention is named {convention!r}; there is {', '.join(CONVENTIONS)}")
    for node in graph.graph:
        if node.op_type in _UNKNOWN:
            raise UnsupportedModelError(f"{node.op_type} {node.name!r}: {convention}'s count of it is not reproduced")
    calls = trace_calls(graph.graph, sizes)
    for call in calls:
        if call.origin.layer == "MultiheadAttention" or call.origin.target in _ATTENTION:
            raise UnsupportedModelError(f"attention {call.name!r}: {convention}'s count of it is not reproduced")
    return CONVENTIONS[convention].count(calls)
