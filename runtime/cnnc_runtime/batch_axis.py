"""Does a net treat the samples of a batch independently? Only then may batches be joined, padded or halved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.tensors import TensorSpec

__all__ = ["Feed", "batch_of", "has_open_batch", "is_close", "is_samplewise", "random_values"]

Array = NDArray[Any]
Feed = dict[str, Array]

# Of the output's magnitude: the kernels of batch 2 and batch 1 may round differently, and no more than that.
_ROUNDING = {np.dtype(np.float16): 1e-2, np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}


def has_open_batch(inputs: Sequence[TensorSpec]) -> bool:
    """Whether every input's first axis is open."""
    return all(spec.shape and isinstance(spec.shape[0], str) for spec in inputs)


def batch_of(feed: Mapping[str, Any]) -> int | None:
    """The length that all first axes have in common; None if they differ, or an input has no axis."""
    lengths = {tuple(array.shape[:1]) for array in feed.values()}
    (length, *others) = lengths
    return int(length[0]) if length and not others else None


def is_samplewise(
    run: Callable[[Feed], Sequence[Array]],
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, np.dtype[Any]],
    ranges: Mapping[str, tuple[float, float]],
) -> bool:
    """Whether two random samples give the same outputs together as alone, up to rounding.

    Shapes cannot tell: a net that subtracts the batch's mean has an open batch axis too.

    Args:
        run: {input name: array} -> outputs.
        shapes: the inputs' shapes to try, without the batch axis.
        dtypes: the inputs' dtypes.
        ranges: the values that inputs may take, (lowest, highest), where not 0 to 1.
    """
    rng = np.random.default_rng(0)
    feed = {
        name: random_values(rng, (2, *shape), dtypes[name], *ranges.get(name, (0.0, 1.0)))
        for name, shape in shapes.items()
    }
    together = run(feed)
    for index in range(2):
        alone = run({name: array[index : index + 1] for name, array in feed.items()})
        for both, one in zip(together, alone, strict=True):
            if both.shape != (2, *one.shape[1:]) or one.shape[:1] != (1,) or not is_close(both[index], one[0]):
                return False
    return True


def random_values(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any], low: float, high: float
) -> Array:
    """Uniform from `low` to `high`; whole numbers, where the dtype holds no others."""
    values = low + (high - low) * rng.random(shape)
    return (values if dtype.kind == "f" else np.rint(values)).astype(dtype)


def is_close(a: Array, b: Array) -> bool:
    """Whether two outputs of one shape agree up to rounding; integers must be equal."""
    if a.dtype not in _ROUNDING:
        return bool(np.array_equal(a, b))
    limit = _ROUNDING[a.dtype] * max(float(np.abs(b).max(initial=0)), float(np.finfo(a.dtype).tiny))
    return bool(np.all((np.abs(a - b) <= limit) | (a == b) | (np.isnan(a) & np.isnan(b))))
