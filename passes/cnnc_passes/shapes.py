"""The output size of a sliding window, once, for every rank: out = floor((in + p0 + p1 - d*(k-1) - 1)/s) + 1.

Source: Dumoulin and Visin, A guide to convolution arithmetic for deep learning (2016), relationship 15, with
the two ends of the padding apart as ONNX has them. Sizes are ints, or `onnx_ir.SymbolicDim`s, which keep the
formula as their expression.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import onnx_ir as ir

from cnnc_passes.dims import UNKNOWN, Dim
from cnnc_runtime.errors import InvalidInputError

__all__ = ["AutoPad", "Window", "explicit_pads", "output_size", "size_formula", "transposed_size"]

AutoPad = Literal["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]
AUTO_PADS: tuple[str, ...] = get_args(AutoPad)


class Window(NamedTuple):
    """A kernel along one axis. `pads` are the (begin, end) sizes; `auto_pad` other than NOTSET replaces them."""

    kernel: int
    stride: int = 1
    dilation: int = 1
    pads: tuple[int, int] = (0, 0)
    auto_pad: AutoPad = "NOTSET"
    ceil_mode: bool = False
    output_padding: int = 0
    transposed: bool = False

    @property
    def span(self) -> int:
        """Input positions from the kernel's first tap to its last: d*(k-1) + 1."""
        return self.dilation * (self.kernel - 1) + 1


def output_size(size: Dim, window: Window) -> Dim:
    """How many positions the window takes along an axis of `size`.

    With ceil_mode a last, partly covered window counts too, if it starts inside the input or its left
    padding: PyTorch's and onnxruntime's rule (ONNX's own inference ignored it before opset 22).

    Raises:
        InvalidInputError: no window fits; with ceil_mode one that is covered in part does.
    """
    if window.transposed:
        return transposed_size(size, window)
    size = _readable(size)
    if window.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return _ceil_div(size, window.stride)
    begin, end = explicit_pads(size, window)
    free = size + (begin + end) - window.span
    positions = free // window.stride + 1
    if window.ceil_mode:
        positions = _minimum(_ceil_div(free, window.stride) + 1, _ceil_div(size + begin, window.stride))
    if isinstance(positions, int) and positions < 1:
        raise InvalidInputError(f"a window of {window.span} does not fit into {size} + padding {begin} + {end}")
    return positions


def transposed_size(size: Dim, window: Window) -> Dim:
    """The inverse, for ConvTranspose: (in - 1)*s + d*(k-1) + 1 + output_padding - p0 - p1."""
    size = _readable(size)
    if window.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return size * window.stride
    begin, end = (0, 0) if window.auto_pad == "VALID" else window.pads
    out = (size - 1) * window.stride + (window.span + window.output_padding - begin - end)
    if isinstance(out, int) and out < 1:
        raise InvalidInputError(f"padding {begin} + {end} leaves nothing of an output of {out + begin + end}")
    return out


def explicit_pads(size: Dim, window: Window) -> tuple[int, int]:
    """The (begin, end) padding that `auto_pad` stands for: SAME makes out = ceil(in/s), UPPER pads the end more.

    Raises:
        InvalidInputError: SAME with a window and a stride above 1 on a symbolic size, whose padding varies with it.
    """
    if window.auto_pad == "VALID":
        return (0, 0)
    if window.auto_pad == "NOTSET":
        return window.pads
    if window.transposed:  # the output is in*s; what the kernel adds beyond that is cropped
        total = max(window.span + window.output_padding - window.stride, 0)
    elif window.stride == 1 or window.span == 1:
        total = window.span - 1
    elif isinstance(size, int):
        out = -(-size // window.stride)
        total = max((out - 1) * window.stride + window.span - size, 0)
    else:
        raise InvalidInputError(f"auto_pad {window.auto_pad} with stride {window.stride} on the open size {size}")
    half = total // 2
    return (half, total - half) if window.auto_pad == "SAME_UPPER" else (total - half, half)


def size_formula(size: int, window: Window) -> str:
    """The formula with its numbers filled in: `(32 - 5)/1 + 1 = 28`, `floor((224 + 2*3 - 7)/2) + 1 = 112`.

    A dilated kernel shows as its span, `(2*(3-1) + 1)`; floor is written where it does something.
    """
    out = output_size(size, window)
    begin, end = explicit_pads(size, window)
    pads = "" if begin == end == 0 else f"2*{begin}" if begin == end else f"{begin} + {end}"
    span = f"{window.kernel}" if window.dilation == 1 else f"({window.dilation}*({window.kernel}-1) + 1)"
    if window.transposed:
        crop = f" - {pads}" if begin == end else f" - {begin} - {end}"
        extra = f" + {window.output_padding}" if window.output_padding else ""
        return f"({size} - 1)*{window.stride}{crop if pads else ''} + {span}{extra} = {out}"
    padded = f"{size} + {pads}" if pads else f"{size}"
    quotient = f"({padded} - {span})/{window.stride}"
    free = size + begin + end - window.span
    if free % window.stride == 0:
        return f"{quotient} + 1 = {out}"
    if not window.ceil_mode:
        return f"floor({quotient}) + 1 = {out}"
    whole = -(-free // window.stride) + 1
    if out == whole:
        return f"ceil({quotient}) + 1 = {out}"
    return f"floor({quotient}) + 1 = {out}, as one more window would start in the end padding"


def _ceil_div(size: Dim, divisor: int) -> Dim:
    return -(-size // divisor)


def _minimum(a: Dim, b: Dim) -> Dim:
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    if isinstance(a, ir.SymbolicDim) and isinstance(b, ir.SymbolicDim) and a.value and b.value:
        # Through text, the one public way to a Min; adding 0 gives it SymPy's canonical form.
        return ir.SymbolicDim(f"Min({a.value}, {b.value})") + 0
    return UNKNOWN


def _readable(size: Dim) -> Dim:
    """An unknown size in place of a symbol that is no expression (`input.1?`), with which no one can compute."""
    if isinstance(size, int):
        return size
    try:
        return size + 0 if size.value is not None else size
    except ValueError:
        return UNKNOWN
