"""Heat maps on small graphs: CAM against its formula, Grad-CAM against CAM, names of layers, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx.parser
import onnx_ir as ir
import pytest

from cnnc.verify.reference import Float64Evaluator
from cnnc_passes.explain import HeatMap, add_heat_map
from cnnc_passes.explain.layers import module_scopes
from cnnc_runtime.errors import UnsupportedModelError, UsageError

RNG = np.random.default_rng(0)
WEIGHTS = {"w": RNG.standard_normal((5, 4)).astype(np.float32), "b": RNG.standard_normal(5).astype(np.float32)}
X = RNG.standard_normal((3, 4, 6, 7)).astype(np.float32)
RELU_POOL = "a = Relu (x) p = GlobalAveragePool (a) f = Flatten (p)"
GEMM = f"{RELU_POOL} y = Gemm <transB = 1> (f, w, b)"
HEADS = {
    "gemm": (GEMM, WEIGHTS),
    "scaled gemm": (f"{RELU_POOL} y = Gemm <transB = 1, alpha = 0.5> (f, w, b)", WEIGHTS),
    "gemm the other way": (f"{RELU_POOL} y = Gemm (f, w, b)", {**WEIGHTS, "w": WEIGHTS["w"].T}),
    "matmul": (f"{RELU_POOL} m = MatMul (f, w) y = Add (m, b)", {**WEIGHTS, "w": WEIGHTS["w"].T}),
    "mean": (
        "a = Relu (x) m = ReduceMean <keepdims = 0> (a, axes) y = Gemm <transB = 1> (m, w, b)",
        {**WEIGHTS, "axes": np.array([-1, 2])},
    ),
    "full window": (
        "a = Relu (x) p = AveragePool <kernel_shape = [6, 7]> (a) f = Flatten (p) y = Gemm <transB = 1> (f, w, b)",
        WEIGHTS,
    ),
    "pointwise": (
        "a = Relu (x) p = GlobalAveragePool (a) c = Conv (p, w, b) y = Flatten (c)",
        {**WEIGHTS, "w": WEIGHTS["w"][:, :, None, None]},
    ),
    "softmax": (f"{RELU_POOL} z = Gemm <transB = 1> (f, w, b) y = Softmax (z)", WEIGHTS),
}


def model_of(body: str, weights: dict[str, np.ndarray], out: str = "float[n,5] y", opset: int = 21) -> ir.Model:
    header = f'<ir_version: 10, opset_import: ["": {opset}]> g (float[n,4,6,7] x) => ({out})'
    model = ir.from_proto(onnx.parser.parse_model(f"{header} {{ {body} }}"))
    for name, array in weights.items():
        value = next(v for node in model.graph for v in node.inputs if v is not None and v.name == name)
        value.const_value = ir.tensor(np.ascontiguousarray(array), name=name)
        model.graph.register_initializer(value)
    return model


def run(model: ir.Model, **feed: np.ndarray) -> list[np.ndarray]:
    return Float64Evaluator(ir.to_proto(model)).run({"x": X, **feed})


@pytest.mark.parametrize("name", HEADS)
def test_cam_is_the_weighted_sum_of_the_maps_and_gradcam_its_positive_part_over_the_places(name: str) -> None:
    body, weights = HEADS[name]
    cam, gradcam = model_of(body, weights), model_of(body, weights)
    found = add_heat_map(cam, "cam")
    add_heat_map(gradcam, "gradcam")
    scores, heat = run(cam)
    scale = 0.5 if name == "scaled gemm" else 1.0
    expected = scale * np.einsum("nk,nkhw->nhw", WEIGHTS["w"].astype(np.float64)[scores.argmax(1)], np.maximum(X, 0))
    np.testing.assert_allclose(heat, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(run(gradcam)[1], np.maximum(expected, 0) / 42, rtol=1e-6, atol=1e-7)
    assert found.layer == "a" and found.classes == 5 and found.score == "y"
    output = cam.graph.outputs[-1]
    assert output.name == "heat_map" and output.dtype == ir.DataType.FLOAT
    assert str(output.shape) == "[n,6,7]"


def test_maps_of_classes_are_their_own_cam() -> None:
    """As in SqueezeNet: nothing linear is behind the pooling."""
    model = model_of("a = Relu (x) p = GlobalAveragePool (a) y = Flatten (p)", {}, "float[n,4] y")
    add_heat_map(model, "cam")
    scores, heat = run(model)
    np.testing.assert_allclose(heat, np.maximum(X, 0)[np.arange(3), scores.argmax(1)], rtol=1e-6)


@pytest.mark.parametrize("method", ["cam", "gradcam"])
def test_a_class_can_be_asked_for_and_minus_one_is_the_top_class(method: str) -> None:
    top, asked = model_of(GEMM, WEIGHTS), model_of(GEMM, WEIGHTS)
    add_heat_map(top, method)
    found = add_heat_map(asked, method, class_input=True)
    assert found.class_input == "explain_class"
    scores, of_top = run(top)
    np.testing.assert_array_equal(run(asked, explain_class=np.full(3, -1))[1], of_top)
    np.testing.assert_array_equal(run(asked, explain_class=scores.argmax(1))[1], of_top)
    mixed = run(asked, explain_class=np.array([4, -1, 0]))[1]
    np.testing.assert_array_equal(mixed[1], of_top[1])
    cam = np.einsum("nk,nkhw->nhw", WEIGHTS["w"].astype(np.float64)[[4, 0]], np.maximum(X[[0, 2]], 0))
    np.testing.assert_allclose(mixed[[0, 2]], cam if method == "cam" else np.maximum(cam, 0) / 42, rtol=1e-5, atol=1e-6)


def test_gradcam_of_a_layer_further_back() -> None:
    """By hand: of W mean(relu(s)), the derivative with respect to s_k is W[c, k] (s > 0) / 42."""
    body = "s = Mul (x, two) a = Relu (s) p = GlobalAveragePool (a) f = Flatten (p) y = Gemm <transB = 1> (f, w, b)"
    model = model_of(body, {**WEIGHTS, "two": np.array(2, np.float32)})
    found = add_heat_map(model, "gradcam", "s")
    scores, heat = run(model)
    gradient = WEIGHTS["w"].astype(np.float64)[scores.argmax(1)][:, :, None, None] * (X > 0) / 42
    alpha = gradient.mean(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(heat, np.maximum((alpha * 2 * X).sum(1), 0), rtol=1e-5, atol=1e-8)
    assert found.layer == "s"


@pytest.mark.parametrize(
    ("body", "layer"),
    [
        ("a = Relu (x) m = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (a) f = Flatten (m)", "a"),
        ("a = Relu (x) m = AveragePool <kernel_shape = [2, 2]> (a) d = Identity (m) f = Flatten (d)", "a"),
        ("m = MaxPool <kernel_shape = [2, 2]> (x) a = Relu (m) p = GlobalMaxPool (a) f = Flatten (p)", "a"),
        (  # channels last behind the pooling, as in ConvNeXt
            "a = Relu (x) p = GlobalAveragePool (a) t = Transpose <perm = [0, 2, 3, 1]> (p) f = Flatten (t)",
            "a",
        ),
        ("a = Relu (x) p = GlobalAveragePool (a) q = Mul (a, p) f = Flatten (q)", "q"),  # a gate is no head
    ],
)
def test_the_default_layer_is_the_last_with_places_before_the_heads_poolings(body: str, layer: str) -> None:
    flat = {"f": 4 * (3 * 3 if "strides" in body else 5 * 6 if "Identity" in body else 42 if "Mul" in body else 1)}
    weights = {"w": RNG.standard_normal((5, flat["f"])).astype(np.float32), "b": WEIGHTS["b"]}
    model = model_of(f"{body} y = Gemm <transB = 1> (f, w, b)", weights)
    assert add_heat_map(model, "gradcam").layer == layer
    assert run(model)[1].shape == ((3, 5, 6) if body.startswith("m") else (3, 6, 7))


def scoped(model: ir.Model, **paths: list[str]) -> ir.Model:
    for node in model.graph:
        scopes = paths.get(str(node.outputs[0].name))
        if scopes is not None:
            node.metadata_props["pkg.torch.onnx.name_scopes"] = repr(["", *scopes, node.outputs[0].name])
    return model


def test_a_layer_is_named_as_a_value_a_node_or_a_module() -> None:
    body = (
        "s = Mul (x, two) [call] a = Relu (s) p = GlobalAveragePool (a) f = Flatten (p) y = Gemm <transB = 1> (f, w, b)"
    )
    for name in ("s", "scale", "features.0"):
        model = model_of(body, {**WEIGHTS, "two": np.array(2, np.float32)})
        model.graph[0].name = "scale"
        scoped(model, s=["features", "features.0"], a=["features", "features.1"])
        assert add_heat_map(model, "gradcam", name).layer == "s"
    model = scoped(model_of(GEMM, WEIGHTS), a=["features", "features.0"])
    assert add_heat_map(model, "gradcam", "features").layer == "a"


def test_a_module_that_is_called_twice_is_not_guessed_at() -> None:
    body = GEMM.replace("a = Relu (x)", "r = Relu (x) s = Abs (r) a = Relu (s)")
    model = scoped(model_of(body, WEIGHTS), r=["relu"], a=["relu"])
    with pytest.raises(UsageError, match="called more than once: name one, r, a"):
        add_heat_map(model, "gradcam", "relu")


def test_scopes_that_are_no_list_are_none() -> None:
    node = ir.node("Relu", [ir.Value(name="x")], metadata_props={"pkg.torch.onnx.name_scopes": "['', 'a'"})
    assert module_scopes(node) == []


TANH = GEMM.replace("y = Gemm", "z = Gemm") + " y = Tanh (z)"
REFUSED = {
    "unknown layer": (GEMM, "gradcam", "aa", "float[n,5] y", UsageError, "no layer is named 'aa': did you mean a"),
    "flat layer": (GEMM, "gradcam", "f", "float[n,5] y", UsageError, r"layer 'f' has the shape \[n,4\]"),
    "input": (GEMM, "gradcam", "x", "float[n,5] y", UsageError, "no layer is named 'x'"),
    "cam of a layer": (GEMM, "cam", "a", "float[n,5] y", UsageError, "use gradcam:LAYER"),
    "no such method": (GEMM, "gradcam++", None, "float[n,5] y", UsageError, "choose cam, gradcam"),
    "behind the score": (
        f"{GEMM} h = Abs (a)", "gradcam", "h", "float[n,5] y, float[n,4,6,7] h", UsageError, "does not reach",
    ),
    "cam of another head": (TANH, "cam", None, "float[n,5] y", UnsupportedModelError, "at Tanh .* gradcam"),
    "no layer but the image": (
        *("f = Flatten <axis = 1> (x) y = Relu (f)", "gradcam", None, "float[n,168] y"),
        *(UnsupportedModelError, "no place to point at"),
    ),
    "no scores": ("y = Relu (x)", "gradcam", None, "float[n,4,6,7] y", UnsupportedModelError, "an output .N, classes."),
    "scores of no place": (
        "s = ReduceMax <keepdims = 0> (x, axes) y = Gemm <transB = 1> (s, w, b)",
        "cam", None, "float[n,5] y", UnsupportedModelError, "ends in global average pooling",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    body, method, layer, out, error, message = REFUSED[case]
    weights = {**WEIGHTS, "axes": np.array([2, 3])} if "axes" in body else WEIGHTS if "Gemm" in body else {}
    with pytest.raises(error, match=message):
        add_heat_map(model_of(body, weights, out), method, layer)


def test_names_that_are_taken_and_old_opsets_are_refused() -> None:
    taken = model_of(GEMM.replace("a = Relu", "heat_map = Relu").replace("(a)", "(heat_map)"), WEIGHTS)
    with pytest.raises(UsageError, match="already has a value named 'heat_map'"):
        add_heat_map(taken, "cam")
    with pytest.raises(UnsupportedModelError, match="opset 12"):
        add_heat_map(model_of(GEMM, WEIGHTS, opset=12), "cam")


def test_what_it_says_of_itself_is_frozen() -> None:
    found = add_heat_map(model_of(GEMM, WEIGHTS), "cam")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.layer = "b"  # type: ignore[misc]
    assert isinstance(found, HeatMap) and found.class_input is None
