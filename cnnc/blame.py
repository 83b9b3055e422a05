"""Who is at fault when no rewrite is: the engine's own optimization, or the exporter; and at which node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir

from cnnc.frontend import Frontend
from cnnc.verify import Reference, verify
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
            )
    except CnncError:
        return False
    return True
