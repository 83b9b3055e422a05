"""What `differentiate` promises beside the numbers: what it reads, what it leaves alone, what it refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from cnnc_passes.gradient import differentiate
from cnnc_passes.gradient.rules import RULES
from cnnc_passes.pipeline import optimize
from cnnc_passes.rewrite import constant
from cnnc_runtime.errors import UnsupportedModelError, UsageError
from tests.contract import graphs
from tests.contract.graphs import node
from tests.passes.gradient.harness import checked, deviation, run, with_gradient

HALF = TensorProto.FLOAT16
WEIGHT = graphs.weights(4, 3, 3, 3)
HEAD = graphs.weights(4, 5)
CONV, POOL = node("Conv", "x w", "c", pads=[1, 1, 1, 1]), node("GlobalAveragePool", "r", "p")
NET = [CONV, node("Relu", "c", "r"), POOL, node("Flatten", "p", "f"), node("Gemm", "f h", "y")]


def model(nodes: Sequence[Any] = NET, **kwargs: Any) -> ir.Model:
    constants = {
        "w": WEIGHT,
        "h": HEAD,
        "s": graphs.weights(4),
        "t": graphs.weights(4),
        "v": graphs.weights(4, low=0.5),
    }
    used = {name for each in nodes for name in each.input}
    return ir.from_proto(
        graphs.model(
            nodes,
            {"x": ["n", 3, 6, 7]},
            constants={name: array for name, array in constants.items() if name in used},
            **kwargs,
        )
    )


def value(m: ir.Model, name: str) -> ir.Value:
    made = (output for each in m.graph for output in each.outputs)
    return next(v for v in (*made, *m.graph.inputs, *m.graph.initializers.values()) if v.name == name)


def seed_of(m: ir.Model) -> ir.Value:
    score = m.graph.outputs[0]
    return ir.Value(name="seed", type=score.type, shape=score.shape)


def test_the_graph_stays_as_it_is() -> None:
    m = model()
    before = ir.to_proto(m).SerializeToString()
    found = differentiate(m.graph.outputs[0], seed_of(m), m.graph.inputs[0])
    assert ir.to_proto(m).SerializeToString() == before
    assert all(each.graph is None for each in found.nodes)
    assert found.value is found.nodes[-1].outputs[0]


def test_nodes_are_in_order_and_names_are_new() -> None:
    m = model()
    with_gradient(m, m.graph.inputs[0])
    known, names = {v.name for v in (*m.graph.inputs, *m.graph.initializers.values())}, []
    for each in m.graph:
        assert all(v.name in known for v in each.inputs if v is not None)
        known |= {v.name for v in each.outputs}
        names += [v.name for v in each.outputs]
    assert len(set(names)) == len(names)


def test_behind_a_global_average_the_gradient_is_one_number_a_channel() -> None:
    m = model()
    found = differentiate(m.graph.outputs[0], seed_of(m), value(m, "r"))
    assert str(found.value.shape) == "[n,4,1,1]"
    assert "Expand" not in [each.op_type for each in found.nodes]


def test_a_relu_is_read_behind_it() -> None:
    m = model()
    differentiate(m.graph.outputs[0], seed_of(m), m.graph.inputs[0])
    assert [use.node.op_type for use in value(m, "c").uses()] == ["Relu"]


def test_a_convolution_shares_its_weight_with_its_gradient() -> None:
    m = model()
    found = differentiate(m.graph.outputs[0], seed_of(m), m.graph.inputs[0])
    assert found.nodes[-1].op_type == "ConvTranspose"
    assert found.nodes[-1].inputs[1] is value(m, "w")
    assert sum(v.const_value.nbytes for v in found.initializers) < 100


def test_folded_batchnorm_leaves_the_gradient_the_forward_weights() -> None:
    """Bit for bit, so that an artifact can store them once."""
    m = model([CONV, node("BatchNormalization", "c s t t v", "b"), node("Relu", "b", "r"), *NET[2:]])
    with_gradient(m, m.graph.inputs[0])
    optimize(m)
    weights = {each.op_type: constant(each.inputs[1]) for each in m.graph if len(each.inputs) > 1}
    assert "BatchNormalization" not in weights
    assert not np.array_equal(weights["Conv"], WEIGHT)
    assert np.array_equal(weights["Conv"], weights["ConvTranspose"])


def test_constants_have_the_gradients_own_type() -> None:
    m = model([node("Gelu", "x", "g"), node("Clip", "g", "k"), node("GlobalAveragePool", "k", "y")], dtype=HALF)
    found = with_gradient(m, m.graph.inputs[0])
    assert {v.dtype for v in found.initializers} == {ir.DataType.FLOAT16}
    assert checked(m).graph.output[-1].type.tensor_type.elem_type == HALF


def test_no_shape_is_computed_where_only_the_batch_is_open() -> None:
    m = model([CONV, node("MaxPool", "c", "r", kernel_shape=[3, 3]), POOL, *NET[3:]])
    found = differentiate(m.graph.outputs[0], seed_of(m), m.graph.inputs[0])
    sizes = [each.op_type for each in found.nodes if each.op_type in ("Shape", "Gather")]
    assert sizes == ["Shape"] * 2  # of what scatters, and of what GlobalAveragePool spreads over


def test_the_score_itself_has_the_seed_as_gradient() -> None:
    m = model()
    seed = seed_of(m)
    found = differentiate(m.graph.outputs[0], seed, m.graph.outputs[0])
    assert (found.value, found.nodes, found.initializers) == (seed, [], [])


def test_a_seed_of_lower_rank_broadcasts() -> None:
    """The same class for every item: (5,) for scores (N, 5)."""
    m, x = model(), np.random.default_rng(0).standard_normal((2, 3, 6, 7)).astype(np.float32)
    row = np.eye(5, dtype=np.float32)[3]
    seed = ir.Value(name="row", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([5]), const_value=ir.tensor(row))
    found = differentiate(m.graph.outputs[0], seed, m.graph.inputs[0])
    for stored in (seed, *found.initializers):
        m.graph.register_initializer(stored)
    m.graph.extend(found.nodes)
    m.graph.outputs.append(found.value)
    whole = model()
    with_gradient(whole, whole.graph.inputs[0])
    assert deviation(run(m, {"x": x}), run(whole, {"x": x, "seed": np.tile(row, (2, 1))})) == 0


def test_operators_off_the_path_may_be_any() -> None:
    m = model([*NET, node("Hardmax", "y", "beside"), node("Hardmax", "x", "before")])
    assert differentiate(m.graph.outputs[0], seed_of(m), m.graph.inputs[0]).nodes


def test_wrt_itself_is_not_passed() -> None:
    """Above the layer stands an operator without a rule."""
    m = model([node("Hardmax", "x", "m"), node("Conv", "m w", "c"), *NET[1:]])
    assert differentiate(m.graph.outputs[0], seed_of(m), value(m, "c")).nodes
    with pytest.raises(UnsupportedModelError, match=re.escape("Hardmax 'Hardmax_m' is on the path of the gradient")):
        differentiate(m.graph.outputs[0], seed_of(m), m.graph.inputs[0])


def test_shapes_and_comparisons_carry_no_derivative() -> None:
    nodes = [node("Relu", "x", "r"), node("Shape", "r", "sizes"), node("Reshape", "x sizes", "y")]
    m = model(nodes)
    with pytest.raises(UsageError, match="'r' does not reach 'y' by operators with a derivative"):
        differentiate(m.graph.outputs[0], seed_of(m), value(m, "r"))


def branch(op: str) -> onnx.GraphProto:
    """A graph that reads x from outside."""
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node(op, ["x"], ["z"])], op, [], [z])


REFUSED = {
    "an inner graph reads it": (
        [
            node("ReduceMax", "x", "top", keepdims=0),
            node("Cast", "top", "b", to=TensorProto.BOOL),
            node("If", "b", "y", then_branch=branch("Relu"), else_branch=branch("Neg")),
        ],
        "If 'If_y'",
    ),
    "cubic": (
        [node("Resize", "x _ s", "y", mode="cubic")], "Resize 'Resize_y' cannot be differentiated: mode 'cubic'"
    ),
    "cropped": (
        [node("Resize", "x roi s", "y", mode="linear", coordinate_transformation_mode="tf_crop_and_resize")],
        "coordinate_transformation_mode 'tf_crop_and_resize' has no rule",
    ),
    "training": (
        [node("BatchNormalization", "x one one one one", "y m v", training_mode=1)], "training_mode is set"
    ),
    "computed statistics": (
        [node("ReduceMean", "x axes", "v", keepdims=0), node("BatchNormalization", "x one one one v", "y")],
        "BatchNormalization 'BatchNormalization_y' cannot be differentiated: the gradient of a parameter",
    ),
    "computed bounds": (
        [node("ReduceMax", "x", "top", keepdims=0), node("Clip", "x _ top", "y")],
        "Clip 'Clip_y' cannot be differentiated: its bounds are computed",
    ),
    "indices": ([node("Gather", "x table", "y", axis=2)], "its indices have more than one axis"),
    "vector": ([node("MatMul", "x seven", "y")], "an operand is a vector"),
    "weight": (
        [node("ReduceMean", "x a0", "k"), node("Conv", "x k", "y")], "the gradient of its weight was asked for"
    ),
    "einsum": ([node("Einsum", "x x", "y", equation="nchw,nchw->nc")], "Einsum 'Einsum_y' is on the path"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused_with_the_nodes_name_and_the_way_out(case: tuple[Any, str]) -> None:
    nodes, message = case
    constants = {
        "s": np.float32([1, 1, 2, 2]), "roi": np.float32([0, 0, 0, 0, 1, 1, 1, 1]), "one": np.ones(3, np.float32),
        "axes": np.array([0, 2, 3]), "a0": np.array([0]), "table": np.array([[0, 1]]), "seven": np.ones(7, np.float32),
    }  # fmt: skip
    used = {name for each in nodes for name in each.input}
    proto = graphs.model(nodes, {"x": [2, 3, 6, 7]}, constants={k: v for k, v in constants.items() if k in used})
    m = ir.from_proto(proto)
    score = m.graph.outputs[0]
    score.type, score.shape = ir.TensorType(ir.DataType.FLOAT), score.shape or ir.Shape([2, 3, 6, 7])
    with pytest.raises(UnsupportedModelError, match=re.escape(message)) as caught:
        differentiate(score, seed_of(m), m.graph.inputs[0])
    assert "choose a layer after it" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_open_sizes_that_a_rule_needs_are_refused() -> None:
    pool = node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    resize = node("Resize", "x _ _ z", "y", mode="linear")
    last = node("Slice", "x s z", "y")
    constants = {"z": np.array([2, 3, 8, 9]), "s": np.array([0, 0, -3, 0])}
    for each in (pool, resize, last):
        used = {name: array for name, array in constants.items() if name in each.input}
        m = ir.from_proto(graphs.model([each], {"x": ["n", 3, "h", 7]}, constants=used, opset=22))
        with pytest.raises(UnsupportedModelError, match="choose a layer after it, or fix the input's size"):
            differentiate(m.graph.outputs[0], seed_of(m), m.graph.inputs[0])


def test_whole_numbers_and_strangers_have_no_gradient() -> None:
    m, other = model([*NET[:-1], node("Gemm", "f h", "g"), node("ArgMax", "g", "y")]), model()
    with pytest.raises(UsageError, match="'y' is of type INT64: only floats have a derivative"):
        differentiate(m.graph.outputs[0], seed_of(m), m.graph.inputs[0])
    with pytest.raises(UsageError, match="'x' and 'y' are not values of one graph"):
        differentiate(other.graph.outputs[0], seed_of(other), m.graph.inputs[0])


def test_an_old_opset_is_refused() -> None:
    m = model(opset=17)
    with pytest.raises(UnsupportedModelError, match="the graph is at opset 17, gradients need 18"):
        differentiate(m.graph.outputs[0], seed_of(m), m.graph.inputs[0])


def test_a_seed_that_does_not_broadcast_is_refused() -> None:
    m = model()
    seed = ir.Value(name="s", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([1, 1, 1, 5]))
    with pytest.raises(UsageError, match=re.escape("the seed 's', [1,1,1,5], does not broadcast into the score's")):
        differentiate(m.graph.outputs[0], seed, m.graph.inputs[0])


def test_every_rule_states_its_law() -> None:
    for op, rule in RULES.items():
        assert re.search(r"d[a-zA-Z]'? = |: over ", rule.__doc__ or ""), op
