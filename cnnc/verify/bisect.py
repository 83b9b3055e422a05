"""Which rewrite broke the network: a binary search over the numbered instances, as LLVM's opt-bisect-limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cnnc_passes.driver import Instance, Key
from cnnc_runtime.errors import VerificationError

__all__ = ["Attempt", "Drop", "repair"]

_MOST_CULPRITS = 8

Drop = tuple[Key, str]
"""An instance to leave out, and why."""
Attempt = Callable[[int | None, Sequence[Drop]], tuple[list[Instance], VerificationError | None]]
"""(limit, drops) -> the instances applied, and the error of the artifact that they make."""


def repair(attempt: Attempt, applied: Sequence[Instance], error: VerificationError) -> list[Drop]:
    """Find every rewrite instance that breaks the artifact.

    Args:
        attempt: compiles again with the first `limit` instances (None: all) but those dropped.
        applied: the instances of the artifact that failed.
        error: how it failed.

    Returns:
        what to leave out: without it the artifact is right, and everything else is in it.

    Raises:
        VerificationError: the unrewritten model fails too, or a whole crowd of instances does.
    """
    unrewritten = attempt(0, ())[1]
    if unrewritten is not None:
        raise unrewritten
    drops: list[Drop] = []
    right = 0  # so many first instances are known to be right
    while True:
        wrong, reason = len(applied), str(error)
        while wrong - right > 1:
            middle = (right + wrong) // 2
            failure = attempt(middle, drops)[1]
            if failure is None:
                right = middle
            else:
                wrong, reason = middle, str(failure)
        culprit = applied[wrong - 1]
        drops.append((culprit.key, f"found by bisection (instance {culprit.number}): {reason}"))
        applied, failure = attempt(None, drops)
        if failure is None:
            return drops
        if len(drops) == _MOST_CULPRITS:
            raise failure
        error = failure
