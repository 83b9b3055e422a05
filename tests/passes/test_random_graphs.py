"""The whole pipeline on random CNNs: same interface and numbers, no more MACs, nothing refuted, nothing left to do."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Collection

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings

from cnnc.verify.local import LocalProof
from cnnc.verify.tolerance import relative_error
from cnnc_passes.costs import model_cost
from cnnc_passes.pipeline import TARGETS, named_passes, optimize, pipeline_for
from cnnc_passes.rewrite import Rewrite
from tests.contract.blocks import Sample
from tests.contract.graphs import model, node, run_exactly, run_on_engine, weights
from tests.passes.random_graphs import RandomGraph, random_graphs

STEPS = [step for target in TARGETS for step in pipeline_for(target)]
LAWS = {name for name, step in named_passes(STEPS).items() if isinstance(step, Rewrite)}
# Lowerings that multiply by zeros, and gain time by it.
_ZEROS = {"pad-channels", "join-groups", "lrn-to-conv", "concat-to-conv", "fill-block"}
_COMMON = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True)

Feed = dict[str, np.ndarray]
Numbers = list[np.ndarray]


@settings(_COMMON, max_examples=100, derandomize=True)
@given(random_graphs())
def test_pipeline_keeps_the_contract(graph: RandomGraph) -> None:
    assert_contract(graph)


@pytest.mark.slow
def test_every_law_keeps_the_contract_on_two_thousand_graphs() -> None:
    applied: collections.Counter[str] = collections.Counter()

    @settings(_COMMON, max_examples=2000)
    @given(random_graphs())
    def sweep(graph: RandomGraph) -> None:
        applied.update(assert_contract(graph))

    sweep()
    print(dict(applied))
    assert set(applied) >= LAWS, f"never applied: {sorted(LAWS - set(applied))}"


def slice_of_all_that_is_left() -> onnx.ModelProto:
    """Prune-unread leaves a Slice that takes every channel."""
    limits = {name: np.array([value]) for name, value in (("first", 2), ("last", 9), ("axis", 1))}
    nodes = [
        node("Conv", "x w", "c"),
        node("Sigmoid", "c", "r"),
        node("Slice", "r first last axis", "s"),
        node("Conv", "s v", "y"),
    ]
    constants = {"w": weights(6, 4, 3, 3), "v": weights(5, 4, 3, 3), **limits}
    return model(nodes, {"x": ["batch", 4, 7, 7]}, ["y"], constants)


def two_biases_of_zeros() -> onnx.ModelProto:
    """Fuse-activation writes them out, one like the other."""
    convolutions = [node("Conv", "x w", "a"), node("Conv", "r v", "b")]
    nodes = [convolutions[0], node("Relu", "a", "r"), convolutions[1], node("Relu", "b", "y")]
    return model(nodes, {"x": ["batch", 4, 7, 7]}, ["y"], {"w": weights(4, 4, 3, 3), "v": weights(4, 4, 3, 3)})


def sum_written_twice() -> onnx.ModelProto:
    """Merge-duplicates leaves the convolution one reader, and merge-parallel a sum to take in."""
    nodes = [
        node("Conv", "x w", "c", pads=[1, 1, 1, 1]),
        node("Add", "x c", "a"),
        node("Add", "c x", "b"),
        node("Mul", "a b", "y"),
    ]
    return model(nodes, {"x": ["batch", 4, 7, 7]}, ["y"], {"w": weights(4, 4, 3, 3)})


@pytest.mark.parametrize("found", [slice_of_all_that_is_left, two_biases_of_zeros, sum_written_twice])
def test_what_random_graphs_have_found(found: Sample) -> None:
    assert assert_contract(RandomGraph(found(), {}))


def assert_contract(graph: RandomGraph) -> dict[str, int]:
    """Optimize for every target and hold each result to the contract; how often each law was applied."""
    counts: collections.Counter[str] = collections.Counter()
    before, feeds = graph.proto, graph.feeds()
    truths = [run_exactly(before, feed) for feed in feeds]
    rounded = [_errors(run_on_engine(before, feed), truth) for feed, truth in zip(feeds, truths, strict=True)]
    own = [max(errors) for errors in zip(*rounded, strict=True)]  # of one feed it is chance: the worst of them
    cost = model_cost(ir.from_proto(before), graph.sizes)
    for target in TARGETS:
        after, applied, dropped = _optimized(before, target)
        assert not dropped
        _assert_same_interface(before, after)
        for feed, truth in zip(feeds, truths, strict=True):
            for run, times in (
                (run_exactly, 4),
                (run_on_engine, 8),
            ):
                for error, own_error in zip(_errors(run(after, feed), truth), own, strict=True):
                    assert error <= times * own_error + 2e-6, f"{target}, {run.__name__}: {error:.1e}, {own_error:.1e}"
        counted = _optimized(before, target, skip=_ZEROS)[0] if set(applied) & _ZEROS else after
        assert model_cost(ir.from_proto(counted), graph.sizes).macs <= cost.macs
        if set(applied) & _ZEROS:
            counts.update(applied)
            continue  # what zeros have widened, other laws may narrow: a second run is another network's
        twice, again, _ = _optimized(after, target)
        assert not set(again) - _ZEROS, f"{target}: a second run applies {again}"
        assert again or (twice.graph.node == after.graph.node and twice.graph.initializer == after.graph.initializer)
        if target == "portable":
            onnx.checker.check_model(after)
        counts.update(applied)
    return counts


def _optimized(
    before: onnx.ModelProto, target: str, skip: Collection[str] = ()
) -> tuple[onnx.ModelProto, dict[str, int], list[str]]:
    """The model after the pipeline, how often each pass was applied, and what the proof refuted."""
    graph = ir.from_proto(before)
    report = optimize(graph, pipeline_for(target), skip=skip, prove=LocalProof())
    return ir.to_proto(graph), report.applied(), [f"{one.law} {one.node}: {one.reason}" for one in report.dropped()]


def _assert_same_interface(before: onnx.ModelProto, after: onnx.ModelProto) -> None:
    ends = [[*proto.graph.input, *proto.graph.output] for proto in (before, after)]
    for old, new in itertools.zip_longest(*ends):
        assert (old.name, old.type) == (new.name, new.type)


def _errors(got: Numbers, truth: Numbers) -> list[float]:
    assert [one.shape for one in got] == [one.shape for one in truth]
    return [relative_error(one, exact) for one, exact in zip(got, truth, strict=True)]
