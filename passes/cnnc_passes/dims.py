"""One size of a shape, a number or a symbol, and the arithmetic of several."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import onnx_ir as ir

from cnnc_runtime.errors import InvalidInputError

__all__ = ["UNKNOWN", "Dim", "Dims", "broadcast", "dims_of", "may_equal", "product", "quotient", "same_size"]

Dim = int | ir.SymbolicDim
Dims = Sequence[Dim]
UNKNOWN = ir.SymbolicDim(None)


def dims_of(shape: Iterable[Any]) -> list[Dim]:
    """The sizes of a shape, as a list."""
    return list(shape)


def broadcast(shapes: Iterable[Dims]) -> list[Dim]:
    """NumPy's rule: align at the right; sizes are equal or 1.

    Raises:
        InvalidInputError: sizes that are neither.
    """
    aligned = list(shapes)
    rank = max(map(len, aligned))
    padded = [[*[1] * (rank - len(shape)), *shape] for shape in aligned]
    return [same_size([size for size in sizes if size != 1] or [1]) for sizes in zip(*padded, strict=True)]


def same_size(sizes: Iterable[Dim]) -> Dim:
    """The one size that all of these must be: a number if there is one, a symbol if all are that symbol."""
    every = list(dict.fromkeys(sizes))
    numbers = [size for size in every if isinstance(size, int)]
    if len(numbers) > 1:
        raise InvalidInputError(f"sizes {' and '.join(map(str, numbers))} on one axis")
    return numbers[0] if numbers else every[0] if len(every) == 1 else UNKNOWN


def may_equal(a: Dim, b: Dim) -> bool:
    """False for two different numbers; where there is a symbol nothing speaks against it."""
    return a == b or not (isinstance(a, int) and isinstance(b, int))


def product(sizes: Iterable[Dim]) -> Dim:
    """Of all sizes; 1 of none. Numbers first: each product with a symbol is a symbolic one, which is slow."""
    every = list(sizes)
    numbers = math.prod(size for size in every if isinstance(size, int))
    return _times(numbers, tuple(size for size in every if not isinstance(size, int)))


@functools.lru_cache(maxsize=4096)
def _times(number: int, symbols: tuple[ir.SymbolicDim, ...]) -> Dim:
    """Remembered: of the sizes in a deep network few are different."""
    return functools.reduce(operator.mul, symbols, number)


def quotient(have: Dim, want: Dim) -> Dim:
    """`have` / `want`, where want is known or a factor of have that cancels."""
    if isinstance(want, int):
        return have // want if want else UNKNOWN
    if isinstance(have, int):
        return UNKNOWN
    ratio = (have / want).evaluate({})
    return ratio if "/" not in str(ratio) else UNKNOWN
