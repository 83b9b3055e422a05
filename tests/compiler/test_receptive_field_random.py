"""Receptive fields of random nets: exactly the pixels on which the gradient is not zero, from first to last."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cnnc.analysis.geometry import receptive_fields
from tests.contract.graphs import model, node


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


# A random net is a list of steps, each drawn, written as ONNX and run by PyTorch.
Step = tuple[str, dict[str, Any]]


@st.composite
def steps(draw: st.DrawFn, rank: int) -> list[Step]:
    """Convolutions, poolings, residual branches that are padded unevenly, one upsampling at the most."""

    def each(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))

    drawn: list[Step] = []
    for kind in draw(st.lists(st.sampled_from(("conv", "pool", "branch", "stride", "up")), min_size=1, max_size=4)):
        if kind == "conv":
            drawn.append((kind, {"k": each(1, 4), "s": each(1, 2), "d": each(1, 3), "p": each(0, 2)}))
        elif kind == "pool":
            drawn.append((kind, {"k": each(1, 3), "s": each(1, 2)}))
        elif kind == "branch":
            sizes, dilations = each(1, 3), each(1, 2)
            reach = [d * (k - 1) for k, d in zip(sizes, dilations, strict=True)]
            before = [draw(st.integers(0, total)) for total in reach]
            drawn.append((kind, {"k": sizes, "d": dilations, "before": before, "reach": reach}))
        elif kind == "stride":
            drawn.append((kind, {}))
        elif all(name != "up" for name, _ in drawn):
            drawn.append((kind, {"k": each(1, 4), "s": each(1, 3)}))
    return drawn


def as_onnx(drawn: Sequence[Step], shape: Sequence[int]) -> ir.Graph:
    """One channel; the output is `y`."""
    rank, last = len(shape) - 2, "x"
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, np.ndarray] = {}
    for place, (kind, step) in enumerate(drawn):
        y, w, one = f"v{place}", f"w{place}", f"one{place}"
        if "k" in step:
            weights[w] = ones(1, 1, *step["k"])
        if kind == "conv":
            options = {"strides": step["s"], "dilations": step["d"], "pads": step["p"] * 2}
            nodes.append(node("Conv", f"{last} {w}", y, **options))
        elif kind == "pool":
            nodes.append(node("AveragePool", last, y, kernel_shape=step["k"], strides=step["s"]))
        elif kind == "up":
            nodes.append(node("ConvTranspose", f"{last} {w}", y, strides=step["s"]))
        elif kind == "branch":
            after = [total - begin for total, begin in zip(step["reach"], step["before"], strict=True)]
            nodes.append(node("Conv", f"{last} {w}", f"{y}a", dilations=step["d"], pads=step["before"] + after))
            nodes.append(node("Add", f"{y}a {last}", y))
        else:
            weights[w], weights[one] = ones(1, 1, *[3] * rank), ones(1, 1, *[1] * rank)
            nodes.append(node("Conv", f"{last} {w}", f"{y}a", strides=[2] * rank, pads=[1] * 2 * rank))
            nodes.append(node("Conv", f"{last} {one}", f"{y}b", strides=[2] * rank))
            nodes.append(node("Add", f"{y}a {y}b", y))
        last = y
    used = {name for entry in nodes for name in entry.input}
    constants = {name: array for name, array in weights.items() if name in used}
    return ir.from_proto(model([*nodes, node("Relu", last, "y")], {"x": shape}, constants=constants)).graph


def run(drawn: Sequence[Step], x: torch.Tensor) -> torch.Tensor:
    """The same in PyTorch; the convolutions of one channel with weights of 1."""
    rank = x.dim() - 2
    convolve: Any = (F.conv1d, F.conv2d)[rank - 1]
    transposed: Any = (F.conv_transpose1d, F.conv_transpose2d)[rank - 1]
    pool: Any = (F.avg_pool1d, F.avg_pool2d)[rank - 1]
    for kind, step in drawn:
        weight = torch.ones(1, 1, *step.get("k", [3] * rank), dtype=x.dtype)
        if kind == "conv":
            x = convolve(x, weight, stride=step["s"], dilation=step["d"], padding=step["p"])
        elif kind == "pool":
            x = pool(x, step["k"], step["s"])
        elif kind == "up":
            x = transposed(x, weight, stride=step["s"])
        elif kind == "branch":
            ends = zip(step["before"], step["reach"], strict=True)
            pads = [size for begin, total in reversed(list(ends)) for size in (begin, total - begin)]
            x = convolve(F.pad(x, pads), weight, dilation=step["d"]) + x
        else:
            one = torch.ones(1, 1, *[1] * rank, dtype=x.dtype)
            x = convolve(x, weight, stride=2, padding=1) + convolve(x, one, stride=2)
    return x


@pytest.mark.parametrize(("rank", "size"), [(1, 360), (2, 150)])
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_fields_are_the_supports_of_gradients(rank: int, size: int, data: st.DataObject) -> None:
    """All weights are positive, so no path cancels another: first and last nonzero pixel are the field's ends."""
    drawn = data.draw(steps(rank))
    shape = (1, 1, *(size + axis for axis in range(rank)))
    graph = as_onnx(drawn, shape)
    field = receptive_fields(graph, {})[graph.outputs[0]]
    x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    y = run(drawn, x)
    middle = tuple(extent // 2 for extent in y.shape[2:])
    for index in (middle, tuple(place + 1 for place in middle)):
        assume(all(place < extent for place, extent in zip(index, y.shape[2:], strict=True)))
        found = field.interval(index)
        reach = [span for span in found if span is not None]
        assume(all(first >= 8 and last < size - 8 for first, last in reach))  # far from any padding
        (gradient,) = torch.autograd.grad(y[(0, 0, *index)], x, retain_graph=True)
        seen = gradient[0, 0].nonzero()
        if len(reach) < rank:  # between the taps of an upsampling
            assert len(seen) == 0
            continue
        lows, highs = seen.min(0).values.tolist(), seen.max(0).values.tolist()
        assert list(found) == list(zip(lows, highs, strict=True))
        if all(kind != "up" for kind, _ in drawn):
            centers = [begin + place * jump for begin, place, jump in zip(field.start, index, field.jump, strict=True)]
            radius = [Fraction(extent - 1, 2) for extent in field.size]
            assert [c - r for c, r in zip(centers, radius, strict=True)] == lows
            assert [c + r for c, r in zip(centers, radius, strict=True)] == highs
