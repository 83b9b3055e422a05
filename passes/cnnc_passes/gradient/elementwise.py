"""g -> g * dy/dx, element by element; for an operand that was broadcast, summed over what it was spread to."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from cnnc_passes.gradient.step import Rule, Step
from cnnc_passes.rewrite import constant, is_stored

__all__ = ["ELEMENTWISE"]


def identity(s: Step) -> ir.Value:
    """Identity: dx = g."""
    return s.g


def add(s: Step) -> ir.Value:
    """Add: dx = g, for each operand; also of Sum."""
    return s.sum_to(s.g, s.x)


def mean(s: Step) -> ir.Value:
    """Mean: dx = g/n, for each of the n operands."""
    return s.sum_to(s.op("Mul", s.g, 1 / len(s.node.inputs)), s.x)


def sub(s: Step) -> ir.Value:
    """Sub: da = g, db = -g."""
    return s.sum_to(s.g if s.index == 0 else s.op("Neg", s.g), s.x)


def mul(s: Step) -> ir.Value:
    """Mul: da = g*b, db = g*a."""
    return s.sum_to(s.op("Mul", s.g, s.input(1 - s.index)), s.x)


def div(s: Step) -> ir.Value:
    """Div: da = g/b, db = -g*y/b."""
    quotient = s.op("Div", s.g, s.input(1))
    return s.sum_to(quotient if s.index == 0 else s.op("Neg", s.op("Mul", quotient, s.y)), s.x)


def power(s: Step) -> ir.Value:
    """Pow: da = g*b*a^(b - 1), db = g*y*log(a)."""
    a, b = s.input(0), s.input(1)
    if s.index == 1:
        return s.sum_to(s.op("Mul", s.g, s.op("Mul", s.y, s.op("Log", a))), b)
    exponent = constant(b)
    if exponent is not None and exponent.size == 1:
        lower = s.op("Pow", a, exponent.astype(np.float64) - 1) if exponent != 2 else a
        return s.sum_to(s.op("Mul", s.g, s.op("Mul", lower, exponent.astype(np.float64))), a)
    b = b if b.dtype == a.dtype else s.op("CastLike", b, a)
    return s.sum_to(s.op("Mul", s.g, s.op("Mul", b, s.op("Pow", a, s.op("Sub", b, 1.0)))), a)


def extreme(s: Step) -> ir.Value:
    """Max: dx = g where x = y, shared by computed operands that tie; a constant takes none, as in torch.clamp."""
    computed = [value for value in s.node.inputs if value is not None and not is_stored(value)]
    won = s.op("Equal", s.x, s.y)
    if len(computed) < 2:
        return s.sum_to(s.op("Where", won, s.g, 0.0), s.x)
    to = int(s.gradient_type())
    counts = [s.op("Cast", s.op("Equal", value, s.y), to=to) for value in computed]
    share = s.op("Div", s.g, s.op("Sum", *counts))
    return s.sum_to(s.op("Where", won, share, 0.0), s.x)


def where(s: Step) -> ir.Value:
    """Where: da = g where the condition holds, db = g where it does not, else 0."""
    condition = s.input(0)
    chosen = s.op("Where", condition, s.g, 0.0) if s.index == 1 else s.op("Where", condition, 0.0, s.g)
    return s.sum_to(chosen, s.x)


def neg(s: Step) -> ir.Value:
    """Neg: dx = -g."""
    return s.op("Neg", s.g)


def absolute(s: Step) -> ir.Value:
    """Abs: dx = g * sign(x)."""
    return s.op("Mul", s.g, s.op("Sign", s.x))


def exp(s: Step) -> ir.Value:
    """Exp: dx = g*y."""
    return s.op("Mul", s.g, s.y)


def log(s: Step) -> ir.Value:
    """Log: dx = g/x."""
    return s.op("Div", s.g, s.x)


def sqrt(s: Step) -> ir.Value:
    """Sqrt: dx = g/(2*y)."""
    return s.op("Div", s.op("Mul", s.g, 0.5), s.y)


def reciprocal(s: Step) -> ir.Value:
    """Reciprocal: dx = -g*y^2."""
    return s.op("Neg", s.op("Mul", s.g, s.op("Mul", s.y, s.y)))


def erf(s: Step) -> ir.Value:
    """Erf: dx = g * 2/sqrt(pi) * exp(-x^2)."""
    bell = s.op("Exp", s.op("Neg", s.op("Mul", s.x, s.x)))
    return s.op("Mul", s.g, s.op("Mul", bell, 2 / math.sqrt(math.pi)))


def sin(s: Step) -> ir.Value:
    """Sin: dx = g * cos(x)."""
    return s.op("Mul", s.g, s.op("Cos", s.x))


def cos(s: Step) -> ir.Value:
    """Cos: dx = -g * sin(x)."""
    return s.op("Neg", s.op("Mul", s.g, s.op("Sin", s.x)))


def cast(s: Step) -> ir.Value:
    """Cast: dx = g in x's type; also of CastLike."""
    if s.x.dtype is None:
        s.refuse(f"the type of {s.x.name!r} is not known")
    return s.op("Cast", s.g, to=int(s.x.dtype))


def dropout(s: Step) -> ir.Value:
    """Dropout: dx = g, in inference."""
    training = s.constant_input(2, "mode")
    if training is not None and bool(np.any(training)):
        s.refuse("it drops at random, training_mode is set")
    return s.g


ELEMENTWISE: dict[str, Rule] = {
    "Identity": identity,
    "Dropout": dropout,
    "Cast": cast,
    "CastLike": cast,
    "Add": add,
    "Sum": add,
    "Mean": mean,
    "Sub": sub,
    "Mul": mul,
    "Div": div,
    "Pow": power,
    "Max": extreme,
    "Min": extreme,
    "Where": where,
    "Neg": neg,
    "Abs": absolute,
    "Exp": exp,
    "Log": log,
    "Sqrt": sqrt,
    "Reciprocal": reciprocal,
    "Erf": erf,
    "Sin": sin,
    "Cos": cos,
}
