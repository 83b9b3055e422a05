"""The inputs of a proof: seeded noise, all-negative values and single spikes, at traced and untraced batch sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["Case", "cases_for"]

_UNTRACED = 3  # the exporter traces at 2: a batch size baked in shows here


@dataclasses.dataclass(frozen=True)
class Case:
    """One feed of the network: `label` says what it is made of."""

    label: str
    feed: dict[str, np.ndarray]


def cases_for(examples: Mapping[str, np.ndarray], dynamic: Mapping[str, Sequence[int]], seed: int) -> list[Case]:
    """The feeds to compare on.

    Args:
        examples: an array per input; floating inputs lend their shape and type, other inputs (indices,
            masks) lend their values as well, since random ones may not be valid.
        dynamic: which axes of each input are the batch, and may take another size.
        seed: of the random numbers.

    Returns:
        Standard normal noise at the examples' own size, and a second feed of noise, all-negative noise
        and a lone spike: as the items of one batch of a size never traced where the batch is dynamic,
        else as feeds of the fixed size.
    """
    rng = np.random.default_rng(seed)
    first = Case("noise", {name: _noise(x, x.shape, rng) for name, x in examples.items()})
    if any(dynamic.values()):
        mixed = {name: _mixed(x, dynamic.get(name, ()), rng) for name, x in examples.items()}
        return [first, Case(f"noise, negative and spike, batch of {_UNTRACED}", mixed)]
    negative = {name: _negative(_noise(x, x.shape, rng)) for name, x in examples.items()}
    spike = {name: _spike(x, x.shape, rng) for name, x in examples.items()}
    return [first, Case("negative", negative), Case("spike", spike)]


def _mixed(x: np.ndarray, batch_axes: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    if not batch_axes:
        return _noise(x, x.shape, rng)
    axis = batch_axes[0]
    shape = tuple(1 if i == axis else size for i, size in enumerate(x.shape))
    one = np.take(x, [0], axis=axis)
    items = [_noise(one, shape, rng), _negative(_noise(one, shape, rng)), _spike(one, shape, rng)]
    return np.concatenate(items[:_UNTRACED], axis=axis)


def _noise(x: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if x.dtype.kind != "f":
        return x
    return rng.standard_normal(shape).astype(x.dtype)


def _negative(noise: np.ndarray) -> np.ndarray:
    """Values below zero everywhere: they show padding that is not neutral for a maximum."""
    return -np.abs(noise) - np.asarray(1, noise.dtype) if noise.dtype.kind == "f" else noise


def _spike(x: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Faint noise and one large value: it shows a border, stride or offset that is off by one.

    Zeros would tie, and an index that a network returns (argmax, topk) could differ with no fault.
    """
    if x.dtype.kind != "f":
        return x
    spike = 0.01 * _noise(x, shape, rng)
    spike.reshape(-1)[rng.integers(spike.size)] = 100
    return spike.astype(x.dtype)
