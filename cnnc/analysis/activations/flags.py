"""What is wrong with a network's activations, in sentences; each with the criterion, and why it is that one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cnnc.analysis.activations.result import LayerActivations

__all__ = ["ENOUGH_SAMPLES", "find_flags"]

ENOUGH_SAMPLES = 10
"""To call a unit dead: one that is off for half of all inputs is off for ten of them with probability 1/1000."""

_TREND = 100.0  # times, from the first layer to the last
_TREND_LAYERS = 4
_MOST = 0.5
_INSENSITIVE = 0.01


def find_flags(layers: Sequence[LayerActivations], samples: int) -> tuple[str, ...]:
    """The sentences for `layers`, which saw `samples` samples; none for a healthy network."""
    found = [
        _not_finite(layers),
        _trend(layers),
        _dead(layers, samples),
        _saturated(layers),
        _symmetric(layers),
        _constant(layers, samples),
        _insensitive(layers, samples),
    ]
    return tuple(sentence for sentence in found if sentence is not None)


def _not_finite(layers: Sequence[LayerActivations]) -> str | None:
    broken = [layer for layer in layers if layer.nonfinite]
    if not broken:
        return None
    return f"not finite: {broken[0].nonfinite:,} values of {broken[0].name} are NaN or infinite{_and_more(broken[1:])}"


def _trend(layers: Sequence[LayerActivations]) -> str | None:
    """Vanishing or exploding: the standard deviation changes a hundredfold over the linear layers, as a trend.

    The trend is the median of the slopes between all pairs of linear layers (Theil and Sen) of the logarithm
    of the standard deviation over the depth, so that one layer with small weights, as many a classifier's last,
    is none. It takes four layers of different depth. A hundredfold, since healthy networks drift by ten (Xavier's
    by the slope of tanh, Kaiming's by the zeros of padding). At that, Xavier's 1/sqrt(2) a layer with ReLU is
    flagged from 15 layers on; He et al. (2015) see it train more slowly at 22 layers, and not at all at 30.
    Layers without any deviation are left to `_constant`.
    """
    chain = [layer for layer in layers if layer.kind == "linear" and layer.std > 0 and not layer.nonfinite]
    depths = np.array([layer.depth for layer in chain], dtype=np.float64)
    steps = len(set(depths)) - 1
    if steps < _TREND_LAYERS - 1:
        return None
    logs = np.log([layer.std for layer in chain])
    first, second = np.triu_indices(len(chain), 1)
    apart = depths[second] != depths[first]
    first, second = first[apart], second[apart]
    slope = float(np.median((logs[second] - logs[first]) / (depths[second] - depths[first])))
    if abs(slope) * steps < math.log(_TREND):
        return None
    word, verb, most = ("vanishing", "falls", min) if slope < 0 else ("exploding", "grows", max)
    end = most(chain, key=lambda layer: layer.std)
    return (
        f"{word}: the standard deviation {verb} from {chain[0].std:.2g} at {chain[0].name} to {end.std:.2g} at "
        f"{end.name} (a factor {math.exp(slope):.2g} a layer over {steps + 1} layers)"
    )


def _dead(layers: Sequence[LayerActivations], samples: int) -> str | None:
    """Most units of a rectifier are never above zero: no gradient reaches their weights.

    Half, since a fifth or so dies in networks that train well. Not judged on fewer than ten samples.
    """
    dead = [layer for layer in layers if (layer.dead_share or 0) > _MOST]
    if not dead or samples < ENOUGH_SAMPLES:
        return None
    worst = max(dead, key=lambda layer: layer.dead_share or 0)
    return (
        f"dead: {worst.dead_units} of {worst.units} units of {worst.name} are active on none of {samples:,} samples"
        + _and_more([layer for layer in dead if layer is not worst])
    )


def _saturated(layers: Sequence[LayerActivations]) -> str | None:
    """Most values are where the function is flat: little gradient passes. Gates and outputs are meant to."""
    flat = [layer for layer in layers if not layer.decides and (layer.saturated or 0) > _MOST]
    if not flat:
        return None
    worst = max(flat, key=lambda layer: layer.saturated or 0)
    rest = [layer for layer in flat if layer is not worst]
    return f"saturated: {worst.saturated:.0%} of the values of {worst.name} are where it is flat{_and_more(rest)}"


def _symmetric(layers: Sequence[LayerActivations]) -> str | None:
    """All units of a layer are equal on every sample: their gradients are too, and they stay equal for ever.

    Equal within 1e-5 of the layer's largest magnitude, which is rounding. Layers that are zero throughout are
    dead, or constant, but not symmetric.
    """
    equal = [layer for layer in layers if layer.symmetric]
    if not equal:
        return None
    return (
        f"symmetric: all {equal[0].units} units of {equal[0].name} are equal on every sample, as a constant "
        f"initialization leaves them{_and_more(equal[1:])}"
    )


def _constant(layers: Sequence[LayerActivations], samples: int) -> str | None:
    """A layer puts out one value throughout; rectifiers that are all dead are said to be that."""
    one = [
        layer
        for layer in layers
        if layer.minimum == layer.maximum and samples * layer.elements > 1 and layer.dead_units != layer.units
    ]
    if not one:
        return None
    return f"constant: every value of {one[0].name} is {one[0].minimum:.3g}{_and_more(one[1:])}"


def _insensitive(layers: Sequence[LayerActivations], samples: int) -> str | None:
    """The input hardly reaches a layer: most of its elements differ between samples by less than 1% of their size.

    What the standard deviation over everything hides: biases of many sizes keep it up while the data fades. Gates
    are left out: many stand half open whatever comes.
    """
    still = [
        layer
        for layer in layers
        if not layer.nonfinite
        and layer.minimum != layer.maximum
        and not (layer.decides and layer.saturated is not None)
        and layer.sample_share < _INSENSITIVE
    ]
    if not still or samples < 2:
        return None
    return (
        f"insensitive: the values of {still[0].name} differ between samples by {still[0].sample_share:.1g} of "
        f"their size{_and_more(still[1:])}"
    )


def _and_more(layers: Sequence[LayerActivations]) -> str:
    if not layers:
        return ""
    return f"; so is {layers[0].name}" if len(layers) == 1 else f"; so are {len(layers)} more layers"
