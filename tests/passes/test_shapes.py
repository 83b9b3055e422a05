"""The output-size formula against PyTorch, ONNX's text, and its own symbolic form."""

from __future__ import annotations

import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cnnc_passes.shapes import Window, explicit_pads, output_size, size_formula
from cnnc_runtime.errors import InvalidInputError


@st.composite
def pool_windows(draw: st.DrawFn) -> Window:
    kernel = draw(st.integers(1, 5))
    pad = draw(st.integers(0, kernel // 2))  # PyTorch's bound
    return Window(
        kernel=kernel,
        stride=draw(st.integers(1, 4)),
        dilation=draw(st.integers(1, 3)),
        pads=(pad, pad),
        ceil_mode=draw(st.booleans()),
    )


def fits(size: int, window: Window) -> bool:
    return size + sum(window.pads) >= window.span


@settings(deadline=None)
@given(size=st.integers(1, 20), window=pool_windows())
def test_pooling_is_pytorchs(size: int, window: Window) -> None:
    assume(fits(size, window))
    y = F.max_pool1d(
        torch.zeros(1, 1, size), window.kernel, window.stride, window.pads[0], window.dilation, window.ceil_mode
    )
    assert output_size(size, window) == y.shape[-1]


@settings(deadline=None)
@given(
    size=st.integers(1, 20),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    pads=st.tuples(st.integers(0, 4), st.integers(0, 4)),
)
def test_convolution_is_pytorchs(size: int, kernel: int, stride: int, dilation: int, pads: tuple[int, int]) -> None:
    window = Window(kernel, stride, dilation, pads)
    assume(fits(size, window))
    y = F.conv1d(F.pad(torch.zeros(1, 1, size), pads), torch.zeros(1, 1, kernel), stride=stride, dilation=dilation)
    assert output_size(size, window) == y.shape[-1]


@settings(deadline=None)
@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    pad=st.integers(0, 2),
    extra=st.integers(0, 3),
)
def test_transposed_convolution_is_pytorchs(
    size: int, kernel: int, stride: int, dilation: int, pad: int, extra: int
) -> None:
    assume(extra < max(stride, dilation))
    window = Window(kernel, stride, dilation, (pad, pad), output_padding=extra, transposed=True)
    assume((size - 1) * stride + window.span + extra - 2 * pad > 0)
    y = F.conv_transpose1d(*(torch.zeros(1, 1, size), torch.zeros(1, 1, kernel), None, stride, pad, extra, 1, dilation))
    assert output_size(size, window) == y.shape[-1]


@settings(deadline=None)
@given(size=st.integers(1, 30), kernel=st.integers(1, 7), stride=st.integers(1, 4), dilation=st.integers(1, 2))
def test_same_pads_give_the_size_they_promise(size: int, kernel: int, stride: int, dilation: int) -> None:
    upper = Window(kernel, stride, dilation, auto_pad="SAME_UPPER")
    lower = upper._replace(auto_pad="SAME_LOWER")
    pads = explicit_pads(size, upper)
    assert 0 <= pads[1] - pads[0] <= 1
    assert explicit_pads(size, lower) == pads[::-1]
    written_out = Window(kernel, stride, dilation, pads)
    assert output_size(size, upper) == output_size(size, lower) == -(-size // stride)
    assert output_size(size, written_out) == -(-size // stride)


@settings(deadline=None)
@given(size=st.integers(1, 30), window=pool_windows())
def test_symbolic_size_is_the_same_formula(size: int, window: Window) -> None:
    assume(fits(size, window))
    symbolic = output_size(ir.SymbolicDim("height"), window)
    assert symbolic == "height" or symbolic.free_symbols() == {"height"}
    assert symbolic.evaluate({"height": size}) == output_size(size, window)
    reread = ir.SymbolicDim(symbolic.value)  # as a file holds it
    assert reread.evaluate({"height": size}) == output_size(size, window)


def test_unknown_and_unreadable_sizes_stay_unknown() -> None:
    for name in (None, "input.1?"):
        assert output_size(ir.SymbolicDim(name), Window(3, 2)) == ir.SymbolicDim(None)


def test_last_window_must_not_start_in_the_end_padding() -> None:
    assert output_size(2, Window(3, 3, pads=(1, 1), ceil_mode=True)) == 1


@pytest.mark.parametrize(
    ("size", "window", "expected"),
    [
        (32, Window(5), "(32 - 5)/1 + 1 = 28"),
        (7, Window(3, 1, pads=(1, 1)), "(7 + 2*1 - 3)/1 + 1 = 7"),
        (224, Window(7, 2, pads=(3, 3)), "floor((224 + 2*3 - 7)/2) + 1 = 112"),
        (7, Window(3, 1, 2, pads=(1, 0)), "(7 + 1 + 0 - (2*(3-1) + 1))/1 + 1 = 4"),
        (112, Window(3, 2, ceil_mode=True), "ceil((112 - 3)/2) + 1 = 56"),
        (8, Window(3, 2, auto_pad="SAME_UPPER"), "(8 + 0 + 1 - 3)/2 + 1 = 4"),
        (7, Window(4, 2, pads=(1, 1), transposed=True), "(7 - 1)*2 - 2*1 + 4 = 14"),
        (
            7,
            Window(3, 2, 2, pads=(0, 1), output_padding=1, transposed=True),
            "(7 - 1)*2 - 0 - 1 + (2*(3-1) + 1) + 1 = 17",
        ),
    ],
)
def test_formula_with_its_numbers(size: int, window: Window, expected: str) -> None:
    assert size_formula(size, window) == expected


@settings(deadline=None)
@given(size=st.integers(1, 30), window=pool_windows(), transposed=st.booleans())
def test_formula_says_what_is_true(size: int, window: Window, transposed: bool) -> None:
    window = window._replace(transposed=transposed)
    assume(fits(size, window) and (size - 1) * window.stride + window.span > sum(window.pads))
    formula, _, right = size_formula(size, window).partition(" = ")
    value = eval(formula, {"floor": lambda x: x // 1, "ceil": lambda x: -(-x // 1)})
    assert value == int(right.split(",")[0]) == output_size(size, window)


def test_a_window_larger_than_its_input_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"window of 7 does not fit into 4 \+ padding 1 \+ 1"):
        output_size(4, Window(7, pads=(1, 1)))
    with pytest.raises(InvalidInputError, match="leaves nothing"):
        output_size(1, Window(1, pads=(1, 1), transposed=True))
