"""The user's own data as cases of a proof: images, folders of them, .npy and .npz, Parquet, videos."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from cnnc.verify.inputs import Case, Inputs
from cnnc_runtime.errors import InvalidInputError
from cnnc_runtime.media import Failure, Item, find_files, read_items
from cnnc_runtime.preprocessing import Preprocessing
from cnnc_runtime.tensors import TensorSpec

__all__ = ["read_samples"]

_MOST = 64  # items: beyond that a proof takes long and shows little more
_BATCH = 16


def read_samples(
    paths: Sequence[str | os.PathLike[str]], inputs: Inputs, preprocessing: Preprocessing | None
) -> list[Case]:
    """Up to 64 items of the files that `paths` name, in batches where the network's batch is open.

    A video gives its frames, or for a network that takes clips the one in its middle.

    Raises:
        InvalidInputError: a file cannot be used, or declared ranges do not hold its values.
    """
    if not paths:
        return []
    asking = {
        name: np.array(low) for name, (low, _) in inputs.ranges.items() if inputs.examples[name].dtype.kind == "i"
    }
    specs = [_spec(name, inputs) for name in inputs.examples if name not in asking]
    items: list[Item] = []
    for item in read_items(find_files(paths), specs, preprocessing):
        if isinstance(item, Failure):
            raise item.error
        _check_range(item, inputs)
        items.append(Item(item.name, {**item.feed, **asking}))  # -1: the top class
        if len(items) == _MOST:
            break
    size = next((spec.shape[0] for spec in specs if isinstance(spec.shape[0], int)), None)
    groups = [items[i : i + (size or _BATCH)] for i in range(0, len(items), size or _BATCH)]
    return [
        Case(f"your data, {group[0].name} and {len(group) - 1} more", _stack(group, size))
        for group in groups
        if len({tuple(x.shape for x in item.feed.values()) for item in group}) == 1
    ] or [Case(f"your data, {item.name}", _stack([item], size)) for item in items]


def _spec(name: str, inputs: Inputs) -> TensorSpec:
    example = inputs.examples[name]
    axes = inputs.axes.get(name, {})
    return TensorSpec(name, example.dtype, tuple(axes.get(i, n) for i, n in enumerate(example.shape)))


def _stack(group: Sequence[Item], size: int | None) -> dict[str, np.ndarray]:
    filled = [*group, *[group[-1]] * ((size or 0) - len(group))]
    return {name: np.stack([item.feed[name] for item in filled]) for name in group[0].feed}


def _check_range(item: Item, inputs: Inputs) -> None:
    for name, values in item.feed.items():
        low, high = inputs.ranges.get(name, (-np.inf, np.inf))
        if values.min() < low or values.max() > high:
            raise InvalidInputError(
                f"{item.name}: values from {values.min():g} to {values.max():g}, outside the declared range "
                f"{low:g} to {high:g} of input {name!r}"
            )
