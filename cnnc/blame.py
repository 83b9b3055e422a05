"""Who is at fault when no rewrite is: the engine's own optimization, or the exporter; and at which node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from cnnc.frontend import Frontend
from cnnc.verify import Reference, verify
from cnnc.verify.oracle import graph_in_float64
from cnnc_runtime.engine import Engine
from cnnc_runtime.errors import CnncError, VerificationError

__all__ = ["blame"]


def blame(
    error: VerificationError, reference: Reference, original: Path, reopen: Callable[[], Frontend]
) -> VerificationError:
    """The error to end with, for an unrewritten graph that already differs from its source.

    Args:
        error: how it differs.
        reference: the truth.
        original: the unrewritten graph, as a file.
        reopen: opens the source once more.
    """
    if _is_right_unoptimized(reference, original):
        return VerificationError(
            f"onnxruntime's own graph optimization breaks this network, with no rewrite of ours applied: {error}. "
            "With its optimization off it is right. Nothing was written"
        )
    if _is_right_in_float64(reference, original):
        return VerificationError(
            f"onnxruntime computes this network less exactly than PyTorch does: {error}. The exported graph is right: "
            "in float64 it equals its source. Where an error of this size does no harm, compile with --no-verify. "
            "Nothing was written"
        )
    first = reopen().first_departure(ir.load(original), reference.expected[0].case.feed)
    where = f" The first value that departs is {first}." if first else ""
    return VerificationError(
        f"the exported graph differs from its source already, with no rewrite applied: {error}.{where} "
        "Nothing was written"
    )


def _is_right_unoptimized(reference: Reference, original: Path) -> bool:
    try:
        with Engine(original, device="cpu", optimization="off") as engine:
            verify(
                reference,
                lambda feed: engine.run(dict(feed)),
                device=engine.device,
                provider=engine.provider,
                optimization="off",
                graph=graph_in_float64(original),
            )
    except CnncError:
        return False
    return True


def _is_right_in_float64(reference: Reference, original: Path) -> bool:
    """Whether the graph is, run by no engine: then what is left is the engine's rounding."""
    graph, expected = graph_in_float64(original), reference.expected[0]

    def run(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        pairs = zip(graph(feed), expected.original, strict=True)
        with np.errstate(over="ignore"):
            return {str(index): np.asarray(y, own.dtype) for index, (y, own) in enumerate(pairs)}

    try:
        if reference.explanation is not None or reference.sequence:
            return False  # these compare by the names of the engine's outputs
        verify(reference, run, device="cpu", provider="float64", optimization="off", graph=graph)
    except (CnncError, ValueError):
        return False
    return True
