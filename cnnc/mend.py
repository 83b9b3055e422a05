"""An artifact whose proof failed, mended: a wrong rewrite left out, or the engine's rounding kept small."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx_ir as ir

from cnnc.attempt import Attempt, CannotOpenError, Plan, build, check
from cnnc.blame import blame
from cnnc.frontend import Frontend
from cnnc.verify import Certificate
from cnnc.verify.bisect import Drop, repair
from cnnc_passes.driver import Instance
from cnnc_runtime.errors import VerificationError

__all__ = ["repaired"]

_log = logging.getLogger("cnnc")


def repaired(
    plan: Plan, original: Path, attempt: Attempt, error: VerificationError, reopen: Callable[[], Frontend]
) -> tuple[Attempt, Certificate]:
    """What is proved instead of an attempt that failed: without the wrong rewrite, or with one that rounds less.

    Args:
        plan: of the attempt.
        original: the unrewritten graph, as a file.
        attempt, error: what failed, and how.
        reopen: opens the source once more.

    Raises:
        CnncError: nothing helps; the error names who is at fault.
    """
    try:
        return _mend(plan, original, attempt, error)
    except CannotOpenError as unmendable:  # nor does the engine take the unrewritten graph
        assert unmendable.__cause__ is not None
        raise unmendable.__cause__ from error
    except VerificationError as unmendable:
        careful = _with_care(plan, original, attempt)
        if careful is None:
            assert plan.reference is not None
            raise blame(unmendable, plan.reference, original, reopen) from unmendable
        laws = ", ".join(careful[0].passes.applied().keys() - attempt.passes.applied().keys())
        _log.warning("the engine's own rounding is too large for this network: %s prevents it, and takes time", laws)
        return careful


def _mend(plan: Plan, original: Path, failed: Attempt, error: VerificationError) -> tuple[Attempt, Certificate]:
    """Find the rewrites that broke the artifact, leave them out, and prove the rest.

    Args:
        plan: of the attempt that failed.
        original: the unrewritten graph, as a file.
        failed, error: the attempt, and how it failed.

    Raises:
        VerificationError: no rewrite is at fault.
    """
    proved: dict[tuple[int | None, int], tuple[Attempt, Certificate]] = {}

    def again(limit: int | None, drops: Sequence[Drop]) -> tuple[list[Instance], VerificationError | None]:
        attempt = build(plan, ir.load(original), limit=limit, drop=drops)
        applied = [one for one in attempt.passes.instances if one.applied]
        try:
            proved[limit, len(drops)] = (attempt, check(plan, attempt))
        except VerificationError as failure:
            return applied, failure
        return applied, None

    drops = repair(again, [one for one in failed.passes.instances if one.applied], error)
    return proved[None, len(drops)]


def _with_care(plan: Plan, original: Path, failed: Attempt) -> tuple[Attempt, Certificate] | None:
    """Another attempt where no rewrite is at fault: the engine may round too much, which some rewrites prevent.

    Returns:
        None if there is nothing to be careful about, or it does not help.
    """
    attempt = build(plan, ir.load(original), careful=True)
    if attempt.passes.applied() == failed.passes.applied():
        return None
    try:
        return attempt, check(plan, attempt)
    except VerificationError:
        return None
