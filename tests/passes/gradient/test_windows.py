"""Convolutions and pools of random sizes, pads, strides, dilations and groups, in one to three dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.contract import graphs
from tests.passes.gradient.harness import ENGINE_LIMIT, EXACT_LIMIT, graph_deviation

CONVS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSES = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX_POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE_POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@st.composite
def windows(draw: Any, largest_pad: int = 3) -> dict[str, list[int]]:
    """Of every axis: size, kernel, stride, dilation, and the pads before and after; each fits."""
    rank = draw(st.integers(1, 3))
    found: dict[str, list[int]] = {
        name: draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank))
        for name, low, high in (("size", 1, 7), ("kernel", 1, 4), ("stride", 1, 3), ("dilation", 1, 2))
    }
    for name in ("before", "after"):
        found[name] = draw(st.lists(st.integers(0, largest_pad), min_size=rank, max_size=rank))
    return found


def spans(w: dict[str, list[int]]) -> list[int]:
    return [d * (k - 1) + 1 for k, d in zip(w["kernel"], w["dilation"], strict=True)]


def room(w: dict[str, list[int]]) -> list[int]:
    return [n + a + b - s for n, a, b, s in zip(w["size"], w["before"], w["after"], spans(w), strict=True)]


def attributes(w: dict[str, list[int]]) -> dict[str, Any]:
    return {
        "kernel_shape": w["kernel"],
        "strides": w["stride"],
        "dilations": w["dilation"],
        "pads": w["before"] + w["after"],
    }


def padded(x: torch.Tensor, w: dict[str, list[int]], value: float = 0.0) -> torch.Tensor:
    pads = [p for pair in zip(w["before"][::-1], w["after"][::-1], strict=True) for p in pair]
    return F.pad(x, pads, value=value)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def within_limits(found: tuple[float, float]) -> bool:
    return found[0] <= ENGINE_LIMIT and found[1] <= EXACT_LIMIT


@settings(max_examples=60, deadline=None)
@given(
    w=windows(), group=st.integers(1, 3), width=st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 3)]), is_open=st.booleans()
)
def test_conv(w: dict[str, list[int]], group: int, width: tuple[int, int], is_open: bool) -> None:
    assume(min(room(w)) >= 0)
    axes = zip(room(w), w["stride"], spans(w), w["before"], strict=True)
    assume(all(free // s * s + span > before for free, s, span, before in axes))  # a window reaches the input
    rank, weight = len(w["size"]), noise(group * width[1], width[0], *w["kernel"])
    x = noise(2, group * width[0], *w["size"])
    shape = ["n", x.shape[1], *("abc"[:rank] if is_open else w["size"])]
    node = graphs.node("Conv", "x w", "y", group=group, **attributes(w))
    assert within_limits(
        graph_deviation(
            graphs.model([node], {"x": shape}, constants={"w": weight}),
            lambda x: CONVS[rank](
                padded(x, w), torch.from_numpy(weight).to(x), None, w["stride"], 0, w["dilation"], group
            ),
            {"x": x},
        )
    )


@settings(max_examples=60, deadline=None)
@given(w=windows(largest_pad=2), group=st.integers(1, 2), extra=st.integers(0, 2))
def test_conv_transpose(w: dict[str, list[int]], group: int, extra: int) -> None:
    rank, weight = len(w["size"]), noise(2 * group, 3, *w["kernel"])
    w = w | {"after": w["before"]}  # PyTorch's are symmetric
    output_padding = [min(extra, s - 1) for s in w["stride"]]
    grown = zip(w["size"], w["stride"], spans(w), output_padding, w["before"], strict=True)
    assume(all((n - 1) * s + span + out - 2 * p > 0 for n, s, span, out, p in grown))
    x = noise(2, 2 * group, *w["size"])
    node = graphs.node("ConvTranspose", "x w", "y", group=group, output_padding=output_padding, **attributes(w))
    assert within_limits(
        graph_deviation(
            graphs.model([node], {"x": ["n", *x.shape[1:]]}, constants={"w": weight}),
            lambda x: CONV_TRANSPOSES[rank](
                *(x, torch.from_numpy(weight).to(x), None, w["stride"], w["before"], output_padding, group),
                w["dilation"],
            ),
            {"x": x},
        )
    )


def fits_pool(w: dict[str, list[int]]) -> bool:
    pads = zip(w["before"], w["after"], spans(w), w["kernel"], strict=True)
    return min(room(w)) >= 0 and all(max(a, b) < min(span, k) for a, b, span, k in pads)


def every_window_reads(w: dict[str, list[int]]) -> bool:
    """False where all taps of a dilated window may fall into the padding: its maximum, and PyTorch, are undefined."""
    axes = zip(w["size"], w["kernel"], w["stride"], w["dilation"], w["before"], strict=True)
    return all(
        any(0 <= start + tap * d < n for tap in range(k))
        for n, k, s, d, p in axes
        for start in range(-p, n, s)
        if start + d * (k - 1) < n + p + s
    )


@settings(max_examples=60, deadline=None)
@given(w=windows(), ceil_mode=st.booleans(), ties=st.booleans(), is_open=st.booleans())
def test_max_pool(w: dict[str, list[int]], ceil_mode: bool, ties: bool, is_open: bool) -> None:
    """With few different values the maxima tie: the first takes all, as in PyTorch."""
    w = w | {"after": w["before"]}
    assume(fits_pool(w) and all(p <= k // 2 for p, k in zip(w["before"], w["kernel"], strict=True)))
    assume(every_window_reads(w))
    rank, x = len(w["size"]), noise(2, 3, *w["size"])
    x = np.round(x) if ties else x
    shape = ["n", 3, *("abc"[:rank] if is_open else w["size"])]
    node = graphs.node("MaxPool", "x", "y", ceil_mode=int(ceil_mode), **attributes(w))
    assert within_limits(
        graph_deviation(
            graphs.model([node], {"x": shape}, opset=22),  # below, onnx's inference has another size for ceil_mode
            lambda x: MAX_POOLS[rank](x, w["kernel"], w["stride"], w["before"], w["dilation"], ceil_mode),
            {"x": x},
        )
    )


@settings(max_examples=60, deadline=None)
@given(w=windows(), ceil_mode=st.booleans(), counts_padding=st.booleans(), is_open=st.booleans())
def test_average_pool(w: dict[str, list[int]], ceil_mode: bool, counts_padding: bool, is_open: bool) -> None:
    w = w | {"after": w["before"], "dilation": [1] * len(w["size"])}
    assume(fits_pool(w) and all(p <= k // 2 for p, k in zip(w["before"], w["kernel"], strict=True)))
    assume(not (is_open and ceil_mode))
    # PyTorch's 3-D one wants every kernel inside its input
    assume(len(w["size"]) < 3 or all(k <= n for k, n in zip(w["kernel"], w["size"], strict=True)))
    rank, x = len(w["size"]), noise(2, 3, *w["size"])
    shape = ["n", 3, *("abc"[:rank] if is_open else w["size"])]
    modes = {"ceil_mode": int(ceil_mode), "count_include_pad": int(counts_padding)}
    given = {name: value for name, value in attributes(w).items() if name != "dilations"}
    node = graphs.node("AveragePool", "x", "y", **given, **modes)
    assert within_limits(
        graph_deviation(
            graphs.model([node], {"x": shape}, opset=22),
            lambda x: AVERAGE_POOLS[rank](x, w["kernel"], w["stride"], w["before"], ceil_mode, counts_padding),
            {"x": x},
        )
    )
