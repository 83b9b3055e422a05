"""The inputs of a proof: noise and adversarial values, at traced and untraced sizes of every open axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

__all__ = ["Case", "Inputs", "cases_for", "frames_for", "more_cases", "resized"]

_TRACED_AT = 2  # the exporter's batch; at others one that was baked in shows
_FRAMES = 4
_STEPS = (1, 3, 2, 8, 16, 32, 64)  # other sizes to try of an axis that is no batch: nets accept multiples of some


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What a network takes.

    Attributes:
        examples: an array per input, at the size it was traced. Floating inputs lend their shape and type;
            others (indices, masks) lend their values as well, since random ones may not be valid.
        axes: per input, the open axes by index, each with its symbol; equal symbols are equal sizes.
        batch: the symbols that count items.
        ranges: per input the values it may take, (lowest, highest), where that was declared. Integers that have
            one are drawn from it.
        images: the inputs of 8-bit values that may be any.
        states: of a step function, per input that is a state the number of the output that is its next value.
    """

    examples: Mapping[str, np.ndarray]
    axes: Mapping[str, Mapping[int, str]] = dataclasses.field(default_factory=dict)
    batch: frozenset[str] = frozenset()
    ranges: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    images: frozenset[str] = frozenset()
    states: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def batch_axis(self, name: str) -> int | None:
        """The axis of an input that counts its items, if it is open."""
        return next((axis for axis, symbol in self.axes.get(name, {}).items() if symbol in self.batch), None)

    def other_symbols(self) -> dict[str, int]:
        """The open sizes that are no batch, as they were traced."""
        return {
            symbol: self.examples[name].shape[axis]
            for name, axes in self.axes.items()
            for axis, symbol in axes.items()
            if symbol not in self.batch
        }


@dataclasses.dataclass(frozen=True)
class Case:
    """One feed of the network: `label` says what it is made of; `axis` names the open size that it varies."""

    label: str
    feed: dict[str, np.ndarray]
    axis: str | None = None


Values = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(shape)


def _negative(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values below zero everywhere: they show padding that is not neutral for a maximum."""
    return -np.abs(rng.standard_normal(shape)) - 1


def _positive(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.abs(rng.standard_normal(shape)) + 1


def _zeros(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """What is left is biases and padding."""
    return np.zeros(shape)


def _large(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return 1e4 * rng.standard_normal(shape)


def _spike(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Faint noise and one large value: it shows a border, stride or offset that is off by one."""
    spike = 0.01 * rng.standard_normal(shape)
    spike.reshape(-1)[rng.integers(spike.size)] = 100
    return spike


_KINDS: dict[str, Values] = {
    "noise": _noise,
    "negative": _negative,
    "positive": _positive,
    "zeros": _zeros,
    "1e4-scale": _large,
    "spike": _spike,
}
# For step functions: behind a gate's convolution the rounding of values of 1e4 alone would open and shut it.
_KINDS_OF_STEPS: dict[str, Values] = {
    **_KINDS,
    "tenfold noise": lambda shape, rng: 10 * rng.standard_normal(shape),
    "spike": lambda shape, rng: 0.1 * _spike(shape, rng),
}
del _KINDS_OF_STEPS["1e4-scale"]
_FAINT: dict[str, Values] = {
    "tenth-scale noise": lambda shape, rng: 0.1 * rng.standard_normal(shape),
    "uniform 0 to 1": lambda shape, rng: rng.uniform(0, 1, shape),
    "hundredfold noise": lambda shape, rng: 100 * rng.standard_normal(shape),
}


def cases_for(inputs: Inputs, seed: int) -> list[Case]:
    """The feeds to compare on, from a stream of `seed`.

    Where the batch is open: noise at the batch that was traced, every adversarial kind as the items of one batch
    of a size never traced, and a batch of one. Else each kind as a feed of the fixed size.
    """
    rng, kinds = np.random.default_rng(seed), _KINDS_OF_STEPS if inputs.states else _KINDS
    if not any(inputs.batch_axis(name) is not None for name in inputs.examples):
        return [Case(kind, _feed(inputs, values, rng)) for kind, values in kinds.items()]
    mixed = f"{', '.join(kinds)} in a batch of {len(kinds)}"
    return [
        Case("noise", _batch_of(inputs, [_noise] * _TRACED_AT, rng)),
        Case(mixed, _batch_of(inputs, list(kinds.values()), rng), "batch"),
        Case("noise in a batch of 1", _batch_of(inputs, [_noise], rng), "batch"),
    ]


def more_cases(inputs: Inputs, seed: int) -> list[Case]:
    """Other values, for a network whose output the first ones did not move."""
    rng = np.random.default_rng([seed, 1])
    return [Case(kind, _feed(inputs, values, rng)) for kind, values in _FAINT.items()]


def frames_for(inputs: Inputs, seed: int) -> list[Case]:
    """Frames of noise in a row for a step function, the first with states of zeros, the others without states."""
    rng = np.random.default_rng([seed, 2])
    zeros = {name: np.zeros_like(inputs.examples[name]) for name in inputs.states}
    cases = []
    for number in range(1, _FRAMES + 1):
        frame = {name: x for name, x in _feed(inputs, _noise, rng).items() if name not in zeros}
        cases.append(Case(f"frame {number} of {_FRAMES}, states fed back", {**frame, **(zeros if number == 1 else {})}))
    return cases if zeros else []


def resized(inputs: Inputs, symbol: str, seed: int) -> Iterable[Case]:
    """Noise with one open axis (no batch) at other sizes than the traced, to be tried until the original takes one."""
    size = inputs.other_symbols()[symbol]
    for other in [size + step for step in _STEPS] + [2 * size]:
        rng = np.random.default_rng([seed, other])
        shapes = {
            name: tuple(
                other if inputs.axes.get(name, {}).get(axis) == symbol else n for axis, n in enumerate(example.shape)
            )
            for name, example in inputs.examples.items()
        }
        feed = {name: _fill(inputs, name, _noise, shapes[name], rng) for name in inputs.examples}
        yield Case(f"{symbol} of {other} instead of {size}", feed, symbol)


def _feed(inputs: Inputs, values: Values, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {name: _fill(inputs, name, values, x.shape, rng) for name, x in inputs.examples.items()}


def _batch_of(inputs: Inputs, kinds: Sequence[Values], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One item of each kind, joined along each input's batch axis; an input without one is noise."""
    feed = {}
    for name, example in inputs.examples.items():
        axis = inputs.batch_axis(name)
        if axis is None:
            feed[name] = _fill(inputs, name, _noise, example.shape, rng)
            continue
        shape = tuple(1 if i == axis else size for i, size in enumerate(example.shape))
        feed[name] = np.concatenate([_fill(inputs, name, values, shape, rng) for values in kinds], axis=axis)
    return feed


def _fill(inputs: Inputs, name: str, values: Values, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values of one input, inside its declared range."""
    example = inputs.examples[name]
    if name in inputs.images:
        return _as_bytes(values, shape, rng)
    if example.dtype.kind != "f" and name in inputs.ranges:
        return _whole_numbers(values, shape, rng, *inputs.ranges[name]).astype(example.dtype)
    if example.dtype.kind != "f":
        return np.resize(example, shape) if shape != example.shape else example
    if name not in inputs.ranges:
        return values(shape, rng).astype(example.dtype)
    low, high = inputs.ranges[name]
    if values is _noise:
        return rng.uniform(low, high, shape).astype(example.dtype)
    return np.clip(values(shape, rng), low, high).astype(example.dtype)


def _whole_numbers(
    values: Values, shape: tuple[int, ...], rng: np.random.Generator, low: float, high: float
) -> np.ndarray:
    """The same kinds in a range of integers, `high` included; noise is even."""
    if values is _noise:
        return rng.integers(int(low), int(high) + 1, shape)
    return np.asarray(np.clip(np.rint(values(shape, rng)), low, high))


def _as_bytes(values: Values, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """The same kinds about the middle of 0 to 255: dark for negative, one white place for a spike; noise is even."""
    if values is _noise:
        return rng.integers(0, 256, shape).astype(np.uint8)
    return np.asarray(np.clip(np.rint(128 + 64 * values(shape, rng)), 0, 255), np.uint8)
