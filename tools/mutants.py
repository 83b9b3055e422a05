"""Does the proof catch broken artifacts, and leave right ones alone? Mutants and false alarms, counted.

    python tools/mutants.py [NET ...] [--per-kind N] [--alarms SEEDS]

For each net of the zoo: compile it, break the artifact in one way, and let the proof judge. A mutant whose graph
gives the same results in float64 is no mutant; those are listed and left out. The tolerance was fitted on other
nets than the default ones here (docs/verification.md). `--alarms N` compiles each net with N seeds instead,
and counts those that fail.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

import cnnc
from cnnc.verify import Inputs, Reference, TorchOracle, refer, verify
from cnnc.verify.reference import Float64Evaluator
from cnnc.verify.tolerance import relative_error
from cnnc.zoo import ZOO, build
from cnnc_runtime import Engine
from cnnc_runtime.errors import CnncError, VerificationError

NETS = ("resnet20", "plain20", "squeezenet1_1", "mobilenet_v2", "shufflenet_v2_x1_0", "regnet_y_400mf", "ghostnet_100")
_EQUIVALENT = 1e-9  # of the output's magnitude, both in float64
_CONVOLUTIONS = ("Conv", "Gemm")

Mutate = Callable[[onnx.ModelProto, onnx.NodeProto], bool]
"""Break one node of the model, in place; False where it has nothing to break."""


@dataclasses.dataclass
class Score:
    """How the mutants of one net fared."""

    caught: list[str] = dataclasses.field(default_factory=list)
    missed: list[str] = dataclasses.field(default_factory=list)
    equivalent: list[str] = dataclasses.field(default_factory=list)


def _tensor(model: onnx.ModelProto, name: str) -> onnx.TensorProto | None:
    return next((tensor for tensor in model.graph.initializer if tensor.name == name), None)


def _edit(model: onnx.ModelProto, name: str, change: Callable[[np.ndarray], np.ndarray]) -> bool:
    tensor = _tensor(model, name)
    if tensor is None:
        return False
    before = numpy_helper.to_array(tensor)
    after = change(before.copy())
    tensor.CopyFrom(numpy_helper.from_array(after, name))
    return not np.array_equal(before, after)


def _only_reader(model: onnx.ModelProto, node: onnx.NodeProto, op_type: str) -> onnx.NodeProto | None:
    """What reads the result of `node`, if that is one node of this type and nobody else sees it."""
    readers = [other for other in model.graph.node if node.output[0] in other.input]
    seen = any(node.output[0] == output.name for output in model.graph.output)
    return readers[0] if [reader.op_type for reader in readers] == [op_type] and not seen else None


def filter_by_a_percent(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """One filter's weights times 1.01."""

    def change(weight: np.ndarray) -> np.ndarray:
        weight[len(weight) // 2] *= np.float32(1.01)
        return weight

    return _edit(model, node.input[1], change)


def layer_by_a_percent(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """A layer's weights times 1.01."""
    return _edit(model, node.input[1], lambda weight: weight * np.float32(1.01))


def swapped_channels(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Two output channels change places, biases left."""

    def change(weight: np.ndarray) -> np.ndarray:
        weight[[0, len(weight) - 1]] = weight[[len(weight) - 1, 0]]
        return weight

    return _edit(model, node.input[1], change)


def zeroed_bias(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """The bias is forgotten."""
    return len(node.input) > 2 and _edit(model, node.input[2], np.zeros_like)


def dropped_relu(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """The Relu right behind a convolution is forgotten."""
    relu = _only_reader(model, node, "Relu")
    if node.op_type != "Conv" or relu is None:
        return False
    node.output[0] = relu.output[0]
    model.graph.node.remove(relu)
    return True


def moved_pad(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """A pixel of padding at the wrong end of the last axis."""
    pads = next((attribute for attribute in node.attribute if attribute.name == "pads"), None)
    if pads is None or pads.ints[len(pads.ints) // 2 - 1] < 1:
        return False
    pads.ints[len(pads.ints) // 2 - 1] -= 1
    pads.ints[len(pads.ints) - 1] += 1
    return True


def changed_stride(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Every second place is left out, where a global pooling hides the size."""
    last = _only_reader(model, node, "Relu") or node
    strides = next((attribute for attribute in node.attribute if attribute.name == "strides"), None)
    if strides is None or _only_reader(model, last, "GlobalAveragePool") is None:
        return False
    strides.ints[:] = [2 * stride for stride in strides.ints]
    return True


KINDS: tuple[Mutate, ...] = (
    filter_by_a_percent,
    layer_by_a_percent,
    swapped_channels,
    zeroed_bias,
    dropped_relu,
    moved_pad,
    changed_stride,
)


def mutants(artifact: onnx.ModelProto, per_kind: int) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Broken copies: each kind at up to `per_kind` layers, spread over the depth of the net."""
    places = [i for i, node in enumerate(artifact.graph.node) if node.op_type in _CONVOLUTIONS]
    for kind in KINDS:
        found = 0
        for index in _spread(places):
            broken = onnx.ModelProto()
            broken.CopyFrom(artifact)
            node = broken.graph.node[index]
            if found < per_kind and kind(broken, node):
                found += 1
                yield f"{kind.__name__} at {node.name}", broken


def _spread(places: list[int]) -> list[int]:
    """First, last, middle, quarters, ...: an order in which any beginning covers the whole depth."""
    order, step = [places[0], places[-1]], len(places)
    while step > 1:
        step //= 2
        order += places[step // 2 :: max(step, 1)]
    return list(dict.fromkeys(order))


def score(name: str, per_kind: int, seed: int = 0) -> Score:
    """Compile a net of the zoo, and judge its mutants."""
    module = build(name, seed=seed)
    example = np.zeros((2, *ZOO[name].input_shape), np.float32)
    reference = refer(TorchOracle(module), Inputs({"x": example}, {"x": {0: "batch"}}, frozenset({"batch"})), seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        cnnc.compile(module, torch.from_numpy(example), path, prove=False)
        artifact = onnx.load(path)
    return judge(artifact, reference, per_kind)


def judge(artifact: onnx.ModelProto, reference: Reference, per_kind: int) -> Score:
    """Let the proof judge every mutant of an artifact."""
    result = Score()
    feed = reference.expected[1].case.feed
    for label, broken in mutants(artifact, per_kind):
        try:
            with Engine(broken.SerializeToString(), device="cpu") as engine:
                verify(reference, lambda feed: engine.run(dict(feed)), device="cpu", provider="", optimization="all")
        except VerificationError:
            result.caught.append(label)
            continue
        except CnncError:  # it does not even load
            continue
        pairs = zip(Float64Evaluator(broken).run(feed), Float64Evaluator(artifact).run(feed), strict=True)
        same = max(relative_error(got, want) for got, want in pairs) < _EQUIVALENT
        (result.equivalent if same else result.missed).append(label)
    return result


def false_alarms(name: str, seeds: int) -> tuple[int, list[str]]:
    """How many correct compilations of a net were proved, and what failed."""
    failed = []
    for seed in range(seeds):
        example = torch.zeros(1, *ZOO[name].input_shape)
        try:
            compiled = cnnc.compile(build(name, seed=seed), example, seed=seed)
        except VerificationError as error:
            failed.append(f"seed {seed}: {error}")
            continue
        failed += [f"seed {seed}: dropped {one.law}: {one.reason}" for one in compiled.report.passes.dropped()]
    return seeds, failed


def main() -> None:
    """Print a line a net, the mutants that were missed, and the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", metavar="NET")
    parser.add_argument("--per-kind", type=int, default=3)
    parser.add_argument("--alarms", type=int, metavar="SEEDS")
    options = parser.parse_args()
    if options.alarms:
        count = 0
        for name in options.nets or list(ZOO):
            seeds, failed = false_alarms(name, options.alarms)
            count += seeds
            print(f"{name:<22} {seeds} compilations, {len(failed)} false alarms", *failed, sep="\n  ", flush=True)
        print(f"{count} correct compilations")
        return
    caught = judged = 0
    for name in options.nets or NETS:
        result = score(name, options.per_kind)
        caught, judged = caught + len(result.caught), judged + len(result.caught) + len(result.missed)
        print(
            f"{name:<22} {len(result.caught)} caught, {len(result.missed)} missed, {len(result.equivalent)} equivalent"
        )
        for kind, labels in (("missed", result.missed), ("equivalent", result.equivalent)):
            for label in labels:
                print(f"  {kind}: {label}", flush=True)
    print(f"{caught} of {judged} mutants caught: {caught / judged:.1%}")


if __name__ == "__main__":
    main()
