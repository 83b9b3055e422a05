"""What every law must keep, on every sample and on variants of it that set the usual traps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from cnnc.verify.tolerance import relative_error
from cnnc_passes.driver import Driver
from cnnc_passes.pipeline import named_passes
from cnnc_passes.rewrite import Rewrite
from tests.contract.blocks import Sample
from tests.contract.edits import copy, to_float16
from tests.contract.graphs import feeds, run_exactly, run_on_engine
from tests.contract.laws import LAWS, SAMPLES

EVERY = [
    pytest.param(LAWS[law], sample, id=f"{law}/{name}")
    for law, samples in SAMPLES.items()
    for name, sample in samples.items()
]


def apply(law: Rewrite, proto: onnx.ModelProto) -> tuple[onnx.ModelProto, int, bool]:
    """The model after `law`, how often it was applied, and whether the driver says it changed."""
    graph = ir.from_proto(proto)
    driver = Driver(graph)
    modified = driver.run(law)
    return ir.to_proto(graph), sum(one.applied for one in driver.instances), modified


def assert_equal_models(before: onnx.ModelProto, after: onnx.ModelProto, limit: float = 2e-6) -> None:
    """Same interface; same numbers in exact arithmetic and on the engine, on adversarial inputs."""
    for old, new in itertools.zip_longest(
        [*before.graph.input, *before.graph.output], [*after.graph.input, *after.graph.output]
    ):
        assert (old.name, old.type) == (new.name, new.type)
    for feed in feeds(before):
        truth = run_exactly(before, feed)
        own = [relative_error(got, want) for got, want in zip(run_on_engine(before, feed), truth, strict=True)]
        for run in (run_exactly, run_on_engine):
            for got, want, own_error in zip(run(after, feed), truth, own, strict=True):
                assert got.shape == want.shape
                assert relative_error(got, want) <= 4 * own_error + limit


def test_every_law_has_samples() -> None:
    assert {name for name, step in named_passes().items() if isinstance(step, Rewrite)} <= set(SAMPLES)


@pytest.mark.parametrize(("law", "sample"), EVERY)
def test_law_applies_and_keeps_the_numbers(law: Rewrite, sample: Sample) -> None:
    before = sample()
    after, applied, modified = apply(law, before)
    assert applied == 1 and modified
    assert after.SerializeToString() != before.SerializeToString()
    assert_equal_models(before, after)


@pytest.mark.parametrize(("law", "sample"), EVERY)
def test_second_run_changes_nothing(law: Rewrite, sample: Sample) -> None:
    once, _, _ = apply(law, sample())
    twice, applied, modified = apply(law, once)
    assert applied == 0 and not modified
    assert twice.SerializeToString() == once.SerializeToString()


@pytest.mark.parametrize(("law", "sample"), EVERY)
def test_checker_accepts_the_result(law: Rewrite, sample: Sample) -> None:
    after, _, _ = apply(law, sample())
    onnx.checker.check_model(after, full_check=False)


@pytest.mark.parametrize(("law", "sample"), EVERY)
def test_traps_are_survived(law: Rewrite, sample: Sample) -> None:
    before = sample()
    for trap in traps(before):
        after, _, modified = apply(law, trap)
        assert modified == (after.graph.node != trap.graph.node)
        assert_equal_models(trap, after)


@pytest.mark.parametrize(("law", "sample"), EVERY)
def test_float16_stays_finite_and_close(law: Rewrite, sample: Sample) -> None:
    before = to_float16(sample())
    after, _, _ = apply(law, before)
    feed = feeds(before)[0]
    for got, want in zip(run_exactly(after, feed), run_exactly(before, feed), strict=True):
        assert relative_error(got, want) < 5e-3


def traps(proto: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """The graph with one thing changed that an unwary rewrite trips over."""
    final = {value.name for value in proto.graph.output}
    inner = [name for node in proto.graph.node for name in node.output if name not in final]
    for name in inner:  # a result in the middle is an output as well
        trap = copy(proto)
        value = next(v for v in proto.graph.value_info if v.name == name)
        trap.graph.output.append(value)
        yield trap
    for name in inner:  # a result in the middle has a second reader
        trap = copy(proto)
        value = next(v for v in proto.graph.value_info if v.name == name)
        trap.graph.node.append(helper.make_node("Neg", [name], [f"{name}_read"]))
        trap.graph.output.append(helper.make_tensor_value_info(f"{name}_read", TensorProto.FLOAT, None))
        trap.graph.output[-1].type.CopyFrom(value.type)
        yield trap
    for tensor in proto.graph.initializer:  # a weight is an input that a caller may override
        meaningful = "var" not in tensor.name and not any(node.op_type == "Resize" for node in proto.graph.node)
        if tensor.data_type == TensorProto.FLOAT and meaningful:  # no negative variance or scale
            trap = copy(proto)
            trap.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
            yield trap
    yield twice(proto)  # tied weights: the same nodes again, on the same constants


def twice(proto: onnx.ModelProto) -> onnx.ModelProto:
    both = copy(proto)
    computed = {name for node in proto.graph.node for name in node.output}
    for original in proto.graph.node:
        second = onnx.NodeProto()
        second.CopyFrom(original)
        second.name += "_again"
        second.input[:] = [f"{name}_again" if name in computed else name for name in original.input]
        second.output[:] = [f"{name}_again" for name in original.output]
        both.graph.node.append(second)
    for value in [*proto.graph.value_info]:
        info = both.graph.value_info.add()
        info.CopyFrom(value)
        info.name += "_again"
    for value in proto.graph.output:
        output = both.graph.output.add()
        output.CopyFrom(value)
        output.name += "_again"
    return both
