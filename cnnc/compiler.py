"""compile(): source -> export -> expected results -> rewrites -> artifact -> proof -> published file."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from cnnc._version import __version__
from cnnc.artifact import append_metadata, check_writable, publish, scratch_beside, write_model
from cnnc.attempt import Plan, build, check, fusion
from cnnc.declared import check_labels, fitted, ranges_for
from cnnc.embed import embed
from cnnc.engine_graph.census import Census, regressions
from cnnc.explain import explaining
from cnnc.frontend import Frontend, open_source
from cnnc.fully_convolutional import Sliding, open_fully_convolutional, uncropped
from cnnc.memory import release_memory
from cnnc.mend import repaired
from cnnc.states import States, numbered, pair_states
from cnnc.verify import Case, Certificate, Inputs, Reference, refer
from cnnc.verify.samples import read_samples
from cnnc_passes.costs import Cost, model_cost
from cnnc_passes.driver import Instance
from cnnc_passes.pipeline import Report, Target
from cnnc_runtime.engine import Engine
from cnnc_runtime.errors import UnsupportedModelError, UsageError, VerificationError
from cnnc_runtime.maps.explanation import Explanation
from cnnc_runtime.metadata import Metadata
from cnnc_runtime.preprocessing import Preprocessing

if TYPE_CHECKING:
    from torch import nn

    from cnnc.export import Dynamic, Example

__all__ = ["CompileReport", "Compiled", "compile"]

_log = logging.getLogger("cnnc")


@dataclasses.dataclass(frozen=True)
class CompileReport:
    """What a compilation did: rewrites, costs before and after, the proof, and where the time went."""

    source: str
    target: str
    passes: Report
    before: Cost | None
    """None where a size that the costs depend on is not known."""
    after: Cost | None
    certificate: Certificate | None
    fusion: tuple[Census, Census] | None
    """What the engine fuses: of the original, and of the artifact."""
    seconds: dict[str, float]
    sliding: Sliding | None = None
    """How the windows of a fully convolutional network lie."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what `--json` prints and (without the times) the artifact carries."""
        return {
            "source": self.source,
            "target": self.target,
            "nodes": {"before": self.passes.nodes_before, "after": self.passes.nodes_after},
            "before": dataclasses.asdict(self.before) if self.before else None,
            "after": dataclasses.asdict(self.after) if self.after else None,
            "applied": self.passes.applied(),
            "declined": [_plain(one) for one in self.passes.declined()],
            "dropped": [_plain(one) for one in self.passes.dropped()],
            "fusion": dict(zip(("before", "after"), map(dataclasses.asdict, self.fusion), strict=True))
            if self.fusion
            else None,
            "fully_convolutional": self.sliding.to_dict() if self.sliding else None,
            "certificate": self.certificate.to_dict() if self.certificate else None,
        }


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A finished artifact: in the file `path`, or, where no output was named, in memory as `content`."""

    report: CompileReport
    path: Path | None
    content: bytes | None

    def engine(self, device: str = "auto") -> Engine:
        """Load the artifact on `device`; raises as `cnnc.load`."""
        source = self.path if self.path is not None else self.content
        assert source is not None
        return Engine(source, device=device)


def compile(
    model: nn.Module | str | os.PathLike[str],
    example: Example | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    dynamic: Dynamic | None = None,
    target: Target = "onnxruntime",
    opset: int | None = None,
    weights: str | os.PathLike[str] | None = None,
    arguments: Mapping[str, str] | None = None,
    input_shapes: Sequence[str] = (),
    example_factory: str | None = None,
    preprocessing: Preprocessing | None = None,
    embed_preprocessing: bool = False,
    fully_convolutional: bool = False,
    explain: str | None = None,
    explain_class: str = "top",
    labels: Sequence[str] = (),
    skip: Collection[str] = (),
    only: Collection[str] | None = None,
    limit: int | None = None,
    device: str = "auto",
    prove: bool = True,
    input_range: Mapping[str, tuple[float, float]] | tuple[float, float] | None = None,
    states: States | None = None,
    verify_data: Sequence[str | os.PathLike[str]] = (),
    allow_training_ops: bool = False,
    seed: int = 0,
    force: bool = True,
) -> Compiled:
    """Turn a trained CNN into an optimized ONNX artifact that was shown equal to it.

    Args:
        model: a module, a zoo name, `file.py:factory`, `pkg.mod:factory`, or an .onnx file.
        example: example inputs of a module: a tensor, a tuple, or a dict by parameter name.
        output: where the artifact goes; None keeps it in memory.
        dynamic: the axes that vary, `{"x": {0: "batch"}}`. None: the batch does. `{}`: none does.
        target: `onnxruntime` (any provider of it), `cpu` (its CPU provider only) or `portable` (other engines).
        opset: the ONNX operator set; PyTorch's default if None.
        weights: a checkpoint to load into a module named by a string.
        arguments: keyword arguments of its factory, as text.
        input_shapes: shapes of its inputs, `["x:1,3,224,224"]`, instead of `example`.
        example_factory: `file.py:function` that returns the example, instead of `example`.
        preprocessing: stored in the artifact; applied by `cnnc run` to images.
        embed_preprocessing: the graph does its arithmetic: the input becomes uint8 (N, H, W, C), resized outside.
        fully_convolutional: larger images give a map of scores, (N, classes, h, w): the classifier's on each window
            of the size it was exported at. Images are not cropped then.
        explain: `cam`, `gradcam` or `gradcam:LAYER` adds the output `heat_map`, (N, h, w); see docs/systems/cam.md.
        explain_class: the heat map's class: `top`, of each image, or `input`: asked for by an input `explain_class`.
        labels: class names, stored in the artifact.
        skip, only: names of passes to leave out, or the only ones to run.
        limit: apply no more than this many rewrite instances.
        device: where the proof runs: the device that will serve.
        prove: False leaves the artifact unverified, and marked so.
        input_range: the values that the inputs may take, (lowest, highest), of every floating input or by name.
            The proof stays inside; the engine refuses what lies outside.
        states: of a step function, the inputs that are states: `{"h": "h_next"}` or `{"h": 1}` names the output that
            is the next value, `["h"]` means the last outputs, in order. None: what the zoo says of its own.
        verify_data: images, folders, .npy or .npz files to prove the artifact on as well.
        allow_training_ops: take a graph whose BatchNormalization or Dropout runs as in training.
        seed: of the proof's inputs.
        force: overwrite an existing output.

    Raises:
        CnncError: one of its kinds, see `cnnc_runtime.errors`. Nothing is written then.
    """
    out = Path(output) if output is not None else None
    if out is not None:
        check_writable(out, force=force)
    clock = _Clock()
    reopen: Callable[[], Frontend] = functools.partial(
        open_source,
        model,
        example,
        weights=weights,
        arguments=arguments,
        input_shapes=input_shapes,
        example_factory=example_factory,
        dynamic=dynamic,
        opset=opset,
        allow_training_ops=allow_training_ops,
    )
    if fully_convolutional:
        if explain is not None:
            raise UsageError("a fully convolutional net has a map of each class already: leave out --explain, or that")
        preprocessing, reopen = uncropped(preprocessing), functools.partial(open_fully_convolutional, reopen)
    reopen = explaining(explain, explain_class, reopen, states)
    if embed_preprocessing:
        preprocessing, reopen = embed(preprocessing, reopen, input_range)
    front = reopen()
    clock.lap("export")
    paired = pair_states(front.states if states is None else states, front.model)
    check_labels(labels, front.model, paired.values())
    if preprocessing is not None:
        preprocessing = fitted(preprocessing, front.model, (*paired, *front.class_inputs))
    inputs = dataclasses.replace(front.inputs, states=numbered(paired, front.model))
    inputs = dataclasses.replace(inputs, ranges=ranges_for(input_range, inputs))
    samples = read_samples(verify_data, inputs, preprocessing)
    reference = _reference(front, inputs, seed, samples) if prove else None
    clock.lap("reference")

    name, graph, sizes, sliding = front.name, front.model, front.sizes(), front.sliding
    if not graph.graph.outputs:
        raise UnsupportedModelError(f"{name} returns no tensor: is a `return` missing?")
    before, explanation = _cost(graph, sizes), front.explanation
    with scratch_beside(out) as scratch:
        original = scratch / "original.onnx"
        if reference is not None:  # the weights need not stay in memory for what is looked at on failure only
            write_model(graph, original)
        file = out.name if out else "model.onnx"
        plan = Plan(name, file, scratch, target, skip, only, limit, inputs.ranges, device, reference)
        attempt = build(plan, graph)
        after = _cost(graph, sizes)
        del front, graph  # the weights are in the file now: the engine may have their memory
        release_memory()
        clock.lap("rewrite")
        certificate, fused = None, None
        if reference is not None:
            try:
                certificate = check(plan, attempt)
            except VerificationError as error:
                attempt, certificate = repaired(plan, original, attempt, error, reopen)
                after = _cost(ir.load(attempt.files[-1]), sizes)
            fused = fusion(plan, original, attempt, certificate.device)
            for regression in regressions(*fused):
                _log.warning("the engine fuses less of the artifact than of the original: %s", regression)
        clock.lap("verify")
        report = CompileReport(name, target, attempt.passes, before, after, certificate, fused, clock.seconds, sliding)
        metadata = _describe(report, preprocessing, labels, inputs.ranges, paired, explanation)
        append_metadata(attempt.files[-1], metadata.to_props())
        if out is None:
            return Compiled(report, None, _whole(attempt.files))
        publish(attempt.files, out)
    return Compiled(report, out, None)


def _reference(front: Frontend, inputs: Inputs, seed: int, samples: Sequence[Case]) -> Reference:
    """What the original gives; the oracle itself (its weights are twice the network's) ends here."""
    reference = refer(front.oracle(), inputs, seed, samples, front.explanation)
    release_memory()
    return reference


def _cost(model: ir.Model, sizes: Mapping[str, int]) -> Cost | None:
    try:
        return model_cost(model, sizes)
    except UsageError as error:
        _log.info("costs are not known: %s", error)
        return None


class _Clock:
    """Wall-clock seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _plain(instance: Instance) -> dict[str, str]:
    return {"law": instance.law, "node": instance.node, "reason": instance.reason}


def _describe(
    report: CompileReport,
    preprocessing: Preprocessing | None,
    labels: Sequence[str],
    ranges: Mapping[str, tuple[float, float]],
    states: dict[str, str],
    explanation: Explanation | None,
) -> Metadata:
    plain = report.to_dict()
    certificate = plain.pop("certificate")
    return Metadata(
        version=__version__,
        source=report.source,
        target=report.target,
        preprocessing=preprocessing,
        labels=tuple(labels),
        input_ranges=dict(ranges),
        states=states,
        explanation=explanation,
        report=plain,
        certificate=certificate,
    )


def _whole(files: list[Path]) -> bytes:
    if len(files) > 1:
        raise UsageError("a model of this size has its weights in a second file: name an output")
    return files[0].read_bytes()
