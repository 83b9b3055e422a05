"""One attempt at an artifact: rewrite the graph, write it, run it where it will serve, compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import onnx_ir as ir

from cnnc.artifact import write_model
from cnnc.engine_graph.census import Census, census
from cnnc.fingerprint import hashes
from cnnc.memory import release_memory
from cnnc.verify import Certificate, LocalProof, Reference, verify
from cnnc.verify.bisect import Drop
from cnnc.verify.oracle import graph_in_float64
from cnnc_passes.pipeline import Report, Target, optimize, pipeline_for
from cnnc_runtime.engine import Engine
from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError, VerificationError

__all__ = ["Attempt", "CannotOpenError", "Plan", "build", "check", "fusion"]


class CannotOpenError(VerificationError):
    """The engine does not take the artifact; its cause says why. A rewrite may have led to a fault of the engine's."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What every attempt at one artifact shares.

    Attributes:
        name: what messages call the network.
        file: the artifact's file name.
        scratch: the folder to work in.
        target, skip, only, limit: of the pipeline, see `cnnc_passes.pipeline.optimize`.
        ranges: the values that inputs may take, where that was declared.
        device: where the artifact will serve.
        reference: what it must equal; None to leave it unproved.
    """

    name: str
    file: str
    scratch: Path
    target: Target
    skip: Collection[str]
    only: Collection[str] | None
    limit: int | None
    ranges: Mapping[str, tuple[float, float]]
    device: str
    reference: Reference | None


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What one attempt made."""

    passes: Report
    files: list[Path]
    hashes: dict[str, str]
    local: LocalProof | None


def build(
    plan: Plan, model: ir.Model, *, limit: int | None = None, drop: Sequence[Drop] = (), careful: bool = False
) -> Attempt:
    """Rewrite `model`, in place, and write it.

    Args:
        plan: says how.
        model: the unrewritten graph.
        limit: apply no more instances than this (and no more than the plan's own limit).
        drop: instances to leave out.
        careful: with the rewrites that spend time on less rounding.
    """
    local = LocalProof(plan.reference.seed) if plan.reference is not None else None
    limits = [one for one in (limit, plan.limit) if one is not None]
    passes = optimize(
        model,
        pipeline_for(plan.target, plan.ranges, careful=careful),
        skip=plan.skip,
        only=plan.only,
        limit=min(limits) if limits else None,
        drop=drop,
        prove=local,
    )
    files = write_model(model, plan.scratch / plan.file)
    return Attempt(passes, files, hashes(model) if local is not None else {}, local)


def check(plan: Plan, attempt: Attempt) -> Certificate:
    """Prove the written artifact on the engine that will serve it.

    Raises:
        VerificationError: it is not equal to the reference, or (CannotOpenError) cannot be opened.
    """
    assert plan.reference is not None and attempt.local is not None
    try:
        opened = Engine(attempt.files[-1], device=plan.device, name=f"the artifact of {plan.name}")
    except (InvalidInputError, UnsupportedModelError) as error:
        raise CannotOpenError(str(error)) from error
    with opened as engine:
        certificate = verify(
            plan.reference,
            lambda feed: engine.run(dict(feed)),
            device=engine.device,
            provider=engine.provider,
            optimization="all",
            graph=graph_in_float64(attempt.files[-1]),
        )
    return dataclasses.replace(certificate, local=attempt.local.to_dict(), hashes=attempt.hashes)


def fusion(plan: Plan, original: Path, attempt: Attempt, device: str) -> tuple[Census, Census]:
    """What the engine makes of the original and of the artifact, where the artifact was proved."""
    before, after = (census(path, device, plan.scratch) for path in (original, attempt.files[-1]))
    release_memory()
    return before, after
