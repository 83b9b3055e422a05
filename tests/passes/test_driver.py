"""The driver numbers what it applies, stops at its limit, guards the cost, and keeps names unique."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from cnnc_passes.driver import Driver
from cnnc_passes.laws.drop_noops import DropNoops
from cnnc_passes.laws.fold_batchnorm import FoldBatchNorm
from cnnc_passes.laws.fuse_activation import FuseActivation
from cnnc_passes.pipeline import Target, named_passes, optimize, pipeline_for
from cnnc_passes.rewrite import Change, Rewrite, new_constant
from cnnc_runtime.errors import UsageError
from tests.contract.blocks import batchnorm
from tests.contract.graphs import model, node, weights

FUSED = (*pipeline_for(), FuseActivation())


def chain(length: int = 3) -> ir.Model:
    """`length` blocks of Conv, BatchNormalization, Relu."""
    nodes, constants, x = [], {}, "x"
    for i in range(length):
        statistics = batchnorm(4) | {"gamma": weights(4, low=0.5)}  # none is 0: nothing to prune
        parameters = {f"{name}{i}": array for name, array in statistics.items()}
        constants |= {f"w{i}": weights(4, 4, 3, 3), **parameters}
        nodes += [
            node("Conv", f"{x} w{i}", f"c{i}", pads=[1, 1, 1, 1]),
            node("BatchNormalization", f"c{i} {' '.join(parameters)}", f"n{i}"),
            node("Relu", f"n{i}", f"r{i}"),
        ]
        x = f"r{i}"
    return ir.from_proto(model(nodes, {"x": ["batch", 4, 6, 6]}, [x], constants))


def test_instances_are_numbered_across_the_pipeline() -> None:
    report = optimize(chain(), FUSED)
    assert [one.number for one in report.instances if one.applied] == [1, 2, 3, 4, 5, 6]
    assert report.applied() == {"fold-batchnorm": 3, "fuse-activation": 3}
    assert (report.nodes_before, report.nodes_after) == (9, 3)


@pytest.mark.parametrize("limit", range(7))
def test_limit_stops_at_the_nth_instance(limit: int) -> None:
    graph = chain()
    report = optimize(graph, FUSED, limit=limit)
    assert sum(report.applied().values()) == limit
    assert graph.graph.num_nodes() == 9 - limit


def test_skip_and_only_choose_passes() -> None:
    assert optimize(chain(), skip=["fold-batchnorm"]).applied() == {}  # Relu follows the BatchNormalization
    assert optimize(chain(), only=["fold-batchnorm"]).applied() == {"fold-batchnorm": 3}
    with pytest.raises(UsageError, match="no pass is named 'fold'"):
        optimize(chain(), skip=["fold"])


@pytest.mark.parametrize("target", ["onnxruntime", "portable"])
def test_targets_for_several_engines_have_standard_operators_only(target: Target) -> None:
    graph = chain()
    optimize(graph, pipeline_for(target))
    assert {n.domain for n in graph.graph} == {""}
    assert "com.microsoft" not in graph.graph.opset_imports


def test_pass_names_are_those_of_their_files() -> None:
    for name, step in named_passes().items():
        folder = "laws." if isinstance(step, Rewrite) else ""
        assert type(step).__module__ == f"cnnc_passes.{folder}{name.replace('-', '_')}"
    assert list(named_passes())[:3] == ["infer-shapes", "explicit-pads", "constant-reshape"]
    for target, last in (("onnxruntime", "monotone-after-pool"), ("cpu", "concat-frames")):
        assert list(named_passes(pipeline_for(target)))[-1] == last


def test_every_law_is_stated_on_the_first_line_of_its_file() -> None:
    for name, step in named_passes().items():
        if isinstance(step, Rewrite):
            assert "=>" in step.law, name
            assert "Exact" in step.law or "Equal up to rounding" in step.law, name


def test_a_rewrite_mutates_nothing() -> None:
    graph = chain(1)
    before = ir.to_proto(graph).SerializeToString()
    answer = FoldBatchNorm().rewrite(next(n for n in graph.graph if n.op_type == "BatchNormalization"))
    assert isinstance(answer, Change)
    assert ir.to_proto(graph).SerializeToString() == before


class WidenConv(Rewrite):
    """A law that would cost more: a Conv twice as wide (the second half thrown away)."""

    roots = frozenset({"Conv"})

    def rewrite(self, conv: ir.Node) -> Change | None:
        wide = np.concatenate([conv.inputs[1].const_value.numpy()] * 2)
        if len(wide) > 8:
            return None
        w = new_constant(conv.outputs[0], "wide", wide)
        shape = ir.Shape([d * 2 if i == 1 else d for i, d in enumerate(conv.outputs[0].shape)])
        y = ir.Value(name="wide", shape=shape, type=conv.outputs[0].type)
        widened = ir.node("Conv", [conv.inputs[0], w], conv.attributes, outputs=[y])
        bounds = [
            new_constant(conv.outputs[0], role, np.array([at])) for role, at in zip("sea", (0, 4, 1), strict=True)
        ]
        return Change([conv], [widened, ir.node("Slice", [y, *bounds])])


def test_cost_guard_declines_what_computes_more() -> None:
    graph = chain(1)
    driver = Driver(graph)
    assert not driver.run(WidenConv())
    assert len(graph.graph.inputs[0].uses()) == 1  # what was refused is no reader
    assert "MACs instead of" in driver.instances[0].reason


def test_new_names_never_collide() -> None:
    proto = ir.to_proto(chain(1))
    for tensor in proto.graph.initializer:  # an old weight that has the name a new one would get
        if tensor.name == "mean0":
            tensor.name = "n0.weight"
    for n in proto.graph.node:
        n.input[:] = ["n0.weight" if name == "mean0" else name for name in n.input]
    graph = ir.from_proto(proto)
    optimize(graph)
    names = [v.name for v in graph.graph.initializers.values()]
    assert len(names) == len(set(names)) == 2


def test_driver_reports_truthfully_when_nothing_applies() -> None:
    graph = chain(1)
    before = ir.to_proto(graph).SerializeToString()
    assert not Driver(graph).run(DropNoops())
    assert ir.to_proto(graph).SerializeToString() == before
