"""g -> g * f'(x), for activations f; by y where y says enough, so that the forward graph can still be fused."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from cnnc_passes.gradient.step import Rule, Step
from cnnc_passes.rewrite import constant

__all__ = ["ACTIVATIONS"]


def relu(s: Step) -> ir.Value:
    """Relu: dx = g where y > 0, else 0."""
    return s.op("Where", s.op("Greater", s.y, 0.0), s.g, 0.0)


def leaky_relu(s: Step) -> ir.Value:
    """LeakyRelu: dx = g * (1 where x > 0, else alpha); y has the sign of x for alpha >= 0."""
    alpha = s.attribute("alpha", 0.01)
    return s.op("Mul", s.g, s.op("Where", s.op("Greater", s.y if alpha >= 0 else s.x, 0.0), 1.0, alpha))


def prelu(s: Step) -> ir.Value:
    """PRelu: dx = g * (1 where x > 0, else slope), dslope = sum of g*min(x, 0); y has x's sign for slopes >= 0."""
    x, slope = s.input(0), s.input(1)
    if s.index == 1:
        return s.sum_to(s.op("Mul", s.g, s.op("Min", x, 0.0)), slope)
    slopes = constant(slope)
    signed = s.y if slopes is not None and bool(np.all(slopes >= 0)) else x
    return s.op("Mul", s.g, s.op("Where", s.op("Greater", signed, 0.0), 1.0, slope))


def clip(s: Step) -> ir.Value:
    """Clip: dx = g where low < y < high, else 0: at the bounds 0, as PyTorch's relu6 and hardtanh have it."""
    low, high = s.constant_input(1, "bounds"), s.constant_input(2, "bounds")
    inside = [] if low is None else [s.op("Greater", s.y, low)]
    inside += [] if high is None else [s.op("Less", s.y, high)]
    if not inside:
        return s.g
    return s.op("Where", inside[0] if len(inside) == 1 else s.op("And", *inside), s.g, 0.0)


def sigmoid(s: Step) -> ir.Value:
    """Sigmoid: dx = g * y * (1 - y)."""
    return s.op("Mul", s.g, s.op("Mul", s.y, s.op("Sub", 1.0, s.y)))


def tanh(s: Step) -> ir.Value:
    """Tanh: dx = g * (1 - y^2)."""
    return s.op("Mul", s.g, s.op("Sub", 1.0, s.op("Mul", s.y, s.y)))


def hard_sigmoid(s: Step) -> ir.Value:
    """HardSigmoid: dx = g * alpha where 0 < y < 1, else 0."""
    inside = s.op("And", s.op("Greater", s.y, 0.0), s.op("Less", s.y, 1.0))
    return s.op("Mul", s.g, s.op("Where", inside, s.attribute("alpha", 0.2), 0.0))


def hard_swish(s: Step) -> ir.Value:
    """HardSwish: dx = g * (x/3 + 1/2 where -3 < x < 3, else 1 above and 0 below)."""
    middle = s.op("Add", s.op("Mul", s.x, 1 / 3), 0.5)
    below = s.op("Where", s.op("Greater", s.x, -3.0), middle, 0.0)
    return s.op("Mul", s.g, s.op("Where", s.op("Less", s.x, 3.0), below, 1.0))


def elu(s: Step) -> ir.Value:
    """Elu: dx = g * (1 where y > 0, else y + alpha), as y = alpha*(exp(x) - 1) there; alpha >= 0 or it reads x."""
    alpha = s.attribute("alpha", 1.0)
    positive = s.op("Greater", s.y if alpha >= 0 else s.x, 0.0)
    return s.op("Mul", s.g, s.op("Where", positive, 1.0, s.op("Add", s.y, alpha)))


def selu(s: Step) -> ir.Value:
    """Selu: dx = g * (gamma where y > 0, else y + gamma*alpha)."""
    alpha, gamma = s.attribute("alpha", 1.67326319217681884765625), s.attribute("gamma", 1.05070102214813232421875)
    return s.op("Mul", s.g, s.op("Where", s.op("Greater", s.y, 0.0), gamma, s.op("Add", s.y, gamma * alpha)))


def celu(s: Step) -> ir.Value:
    """Celu: dx = g * (1 where y > 0, else y/alpha + 1)."""
    below = s.op("Add", s.op("Mul", s.y, 1 / s.attribute("alpha", 1.0)), 1.0)
    return s.op("Mul", s.g, s.op("Where", s.op("Greater", s.y, 0.0), 1.0, below))


def gelu(s: Step) -> ir.Value:
    """Gelu: dx = g * (P + x*P'), of y = x*P(x): the normal distribution's P, or (1 + tanh u)/2, u = a*(x + b*x^3)."""
    if s.node.attributes.get_string("approximate", "none") == "tanh":
        a, b = math.sqrt(2 / math.pi), 0.044715
        square = s.op("Mul", s.x, s.x)
        u = s.op("Mul", s.op("Mul", s.x, a), s.op("Add", s.op("Mul", square, b), 1.0))
        t = s.op("Tanh", u)
        p = s.op("Mul", s.op("Add", t, 1.0), 0.5)
        slope = s.op("Mul", s.op("Add", s.op("Mul", square, 3 * b), 1.0), a / 2)
        density = s.op("Mul", slope, s.op("Sub", 1.0, s.op("Mul", t, t)))
    else:
        p = s.op("Mul", s.op("Add", s.op("Erf", s.op("Mul", s.x, math.sqrt(0.5))), 1.0), 0.5)
        density = s.op("Mul", s.op("Exp", s.op("Mul", s.op("Mul", s.x, s.x), -0.5)), 1 / math.sqrt(2 * math.pi))
    return s.op("Mul", s.g, s.op("Add", p, s.op("Mul", s.x, density)))


def softplus(s: Step) -> ir.Value:
    """Softplus: dx = g * sigmoid(x)."""
    return s.op("Mul", s.g, s.op("Sigmoid", s.x))


def softsign(s: Step) -> ir.Value:
    """Softsign: dx = g * (1 - |y|)^2, as 1 - |y| = 1/(1 + |x|)."""
    rest = s.op("Sub", 1.0, s.op("Abs", s.y))
    return s.op("Mul", s.g, s.op("Mul", rest, rest))


def mish(s: Step) -> ir.Value:
    """Mish: dx = g * (t + x*(1 - t^2)*sigmoid(x)), t = tanh(softplus(x))."""
    t = s.op("Tanh", s.op("Softplus", s.x))
    bend = s.op("Mul", s.op("Sub", 1.0, s.op("Mul", t, t)), s.op("Sigmoid", s.x))
    return s.op("Mul", s.g, s.op("Add", t, s.op("Mul", s.x, bend)))


def thresholded_relu(s: Step) -> ir.Value:
    """ThresholdedRelu: dx = g where x > alpha, else 0."""
    return s.op("Where", s.op("Greater", s.x, s.attribute("alpha", 1.0)), s.g, 0.0)


def softmax(s: Step) -> ir.Value:
    """Softmax: dx = y * (g - sum of g*y over the axis)."""
    axis = np.array([s.integer("axis", -1)], np.int64)
    return s.op("Mul", s.y, s.op("Sub", s.g, s.op("ReduceSum", s.op("Mul", s.g, s.y), axis, keepdims=1)))


def log_softmax(s: Step) -> ir.Value:
    """LogSoftmax: dx = g - exp(y) * sum of g over the axis."""
    axis = np.array([s.integer("axis", -1)], np.int64)
    total = s.op("ReduceSum", s.full(s.g, s.y), axis, keepdims=1)
    return s.op("Sub", s.g, s.op("Mul", s.op("Exp", s.y), total))


ACTIVATIONS: dict[str, Rule] = {
    "Relu": relu,
    "LeakyRelu": leaky_relu,
    "PRelu": prelu,
    "Clip": clip,
    "Sigmoid": sigmoid,
    "Tanh": tanh,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Elu": elu,
    "Selu": selu,
    "Celu": celu,
    "Gelu": gelu,
    "Softplus": softplus,
    "Softsign": softsign,
    "Mish": mish,
    "ThresholdedRelu": thresholded_relu,
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
}
