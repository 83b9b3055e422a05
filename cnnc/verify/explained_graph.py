"""The truth of a heat map of an ONNX graph, which no autograd knows: its weights are held against the scores.

A heat map is sum_k w_k A_k. In float64 the sum is made here, for the class chosen here. That the w_k are what they
should be is shown by the scores themselves, run twice more from a layer that is moved a little: along every direction
v, constant over places, score(A + e v) - score(A - e v) = 2 e <v, sum over places of d score / d A>, up to e^2. A
wrong weight shows for almost every v. No rule of a derivative is used.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir

from cnnc.verify.oracle import OnnxOracle
from cnnc.verify.reference import Float64Evaluator
from cnnc_passes.explain import HeatMap
from cnnc_runtime.errors import VerificationError

__all__ = ["ExplainedGraphOracle"]

Feed = Mapping[str, np.ndarray]
_DIRECTIONS = 3
_STEP = 1e-5  # of the layer's magnitude: rounding is 1e-11 of the difference then, and few ReLUs change sides
_LIMIT = 1e-3  # of a sum of so many random terms: what those few may make; a wrong rule is off by its whole


class ExplainedGraphOracle(OnnxOracle):
    """An explained ONNX graph in float64, its heat map summed up outside of it.

    Args:
        model: with the heat map in it.
        heat_map: what that computes.
        probe: a feed of noise to show the weights right on.

    Raises:
        VerificationError: they are not the derivative of the class score.
    """

    def __init__(self, model: ir.Model, heat_map: HeatMap, probe: Feed) -> None:
        super().__init__(model)
        self._heat_map = heat_map
        self._outputs = [str(value.name) for value in model.graph.outputs if value.name != heat_map.output]
        _check_weights(model, heat_map, probe)
        self.description = f"{self.description}, its heat map by differences of the score"

    def exact(self, feed: Feed) -> list[np.ndarray]:
        """Every output in float64, the heat map last."""
        one = self._heat_map
        values = self._evaluator.intermediate(feed, list(dict.fromkeys([*self._outputs, one.layer, one.weights])))
        weights, layer = values[one.weights], values[one.layer]
        if one.method == "gradcam":
            weights = weights.mean(axis=tuple(range(2, weights.ndim)), keepdims=True)
        heat = (weights * layer).sum(axis=1)
        return [*(values[name] for name in self._outputs), np.maximum(heat, 0) if one.method == "gradcam" else heat]


def _check_weights(model: ir.Model, heat_map: HeatMap, probe: Feed) -> None:
    evaluator = Float64Evaluator(ir.to_proto(ir.external_data.load_to_model(model.clone())))
    names = list(dict.fromkeys([heat_map.layer, heat_map.weights, heat_map.score, heat_map.logits]))
    values = evaluator.intermediate(probe, names)
    layer, weights = values[heat_map.layer], values[heat_map.weights]
    places = tuple(range(2, layer.ndim))
    channels = weights.mean(axis=places)  # by Grad-CAM the mean over places, by CAM the sum
    if heat_map.method == "gradcam":
        channels = channels * np.prod(layer.shape[2:])
    classes = values[heat_map.score].argmax(axis=1)
    if heat_map.class_input is not None:
        asked = probe[heat_map.class_input]
        classes = np.where(asked < 0, classes, asked)
    head = _from_layer(model, heat_map.layer)
    rng = np.random.default_rng(0)
    step = _STEP * max(float(np.sqrt(np.mean(layer**2))), 1e-30)
    for _ in range(_DIRECTIONS):
        v = rng.standard_normal(channels.shape)
        move = step * v.reshape(*v.shape, *[1] * len(places))
        ahead, behind = (
            head.intermediate({**probe, heat_map.layer: moved}, [heat_map.logits])[heat_map.logits]
            for moved in (layer + move, layer - move)
        )
        found = np.take_along_axis(ahead - behind, classes[:, None], axis=1)[:, 0] / (2 * step)
        scale = np.sqrt(((channels * v) ** 2).sum(axis=1)) + np.finfo(np.float32).tiny
        off = float((np.abs(found - (channels * v).sum(axis=1)) / scale).max())
        if not off < _LIMIT:
            raise VerificationError(
                f"the heat map's weights at {heat_map.layer!r} are no derivative of the class score: off by {off:.1e} "
                "of what moving the layer shows. Nothing was written"
            )


def _from_layer(model: ir.Model, layer: str) -> Float64Evaluator:
    """The graph with `layer` as an input."""
    proto = ir.to_proto(ir.external_data.load_to_model(model.clone()))
    for node in proto.graph.node:
        for index, name in enumerate(node.output):
            if name == layer:
                node.output[index] = f"{layer}.computed"
    proto.graph.input.append(onnx.helper.make_tensor_value_info(layer, onnx.TensorProto.DOUBLE, None))
    return Float64Evaluator(proto)
