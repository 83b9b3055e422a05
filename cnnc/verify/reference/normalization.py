"""Normalizations over channels, groups, layers and neighbors."""

from __future__ import annotations

import numpy as np

from cnnc.verify.reference.operator import Operator, per_channel

__all__ = ["OPERATORS"]


class BatchNormalization(Operator):
    """(x - mean) / sqrt(var + epsilon) * scale + bias: the stored statistics, or the batch's with training_mode."""

    def _run(
        self,
        x: np.ndarray,
        scale: np.ndarray,
        bias: np.ndarray,
        mean: np.ndarray,
        var: np.ndarray,
        epsilon: float = 1e-5,
        momentum: float = 0.9,
        training_mode: int = 0,
        spatial: int = 1,
    ) -> tuple[np.ndarray, ...]:
        running: tuple[np.ndarray, ...] = ()
        if training_mode:
            old, axes = (mean, var), (0, *range(2, x.ndim))
            mean, var = x.mean(axis=axes), x.var(axis=axes)
            keep = np.float64(momentum)
            running = tuple(keep * a + (1 - keep) * b for a, b in zip(old, (mean, var), strict=True))
        factor = scale / np.sqrt(var + np.float64(epsilon))
        y = x - per_channel(mean, x.ndim)
        y *= per_channel(factor, x.ndim)
        y += per_channel(bias, x.ndim)
        return (y, *running)


class InstanceNormalization(Operator):
    """Each channel of each item to mean 0 and variance 1, then scale and bias."""

    def _run(self, x: np.ndarray, scale: np.ndarray, bias: np.ndarray, epsilon: float = 1e-5) -> tuple[np.ndarray]:
        y = _standardized(x, tuple(range(2, x.ndim)), epsilon)[0]
        return (y * per_channel(scale, x.ndim) + per_channel(bias, x.ndim),)


class GroupNormalization(Operator):
    """The same over groups of channels; scale and bias are per group before opset 21, per channel since."""

    def _run(
        self,
        x: np.ndarray,
        scale: np.ndarray,
        bias: np.ndarray,
        num_groups: int,
        epsilon: float = 1e-5,
        stash_type: int = 1,
    ) -> tuple[np.ndarray]:
        groups = x.reshape(x.shape[0], num_groups, x.shape[1] // num_groups, *x.shape[2:])
        y = _standardized(groups, tuple(range(2, groups.ndim)), epsilon)[0].reshape(x.shape)
        repeats = x.shape[1] // num_groups if scale.size == num_groups else 1
        scale, bias = (per_channel(np.repeat(p, repeats), x.ndim) for p in (scale, bias))
        return (y * scale + bias,)


class LayerNormalization(Operator):
    """All axes from `axis` on to mean 0 and variance 1, then scale and bias."""

    def _run(
        self,
        x: np.ndarray,
        scale: np.ndarray,
        bias: np.ndarray | None = None,
        axis: int = -1,
        epsilon: float = 1e-5,
        stash_type: int = 1,
    ) -> tuple[np.ndarray, ...]:
        y, mean, inverse = _standardized(x, tuple(range(axis % x.ndim, x.ndim)), epsilon)
        y = y * scale if bias is None else y * scale + bias
        return (y, mean, inverse)


class LRN(Operator):
    """x / (bias + alpha/size * sum of squares over `size` neighboring channels)**beta."""

    def _run(
        self, x: np.ndarray, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
    ) -> tuple[np.ndarray]:
        before = (size - 1) // 2
        squares = np.pad(x * x, [(0, 0), (before, size - 1 - before), *[(0, 0)] * (x.ndim - 2)])
        sums = sum(squares[:, i : i + x.shape[1]] for i in range(size))
        return (x / (np.float64(bias) + np.float64(alpha) / size * sums) ** np.float64(beta),)


class LpNormalization(Operator):
    """Divided by the p-norm along `axis`; zeros stay zeros."""

    def _run(self, x: np.ndarray, axis: int = -1, p: int = 2) -> tuple[np.ndarray]:
        norm = (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
        return (x / np.where(norm == 0, 1, norm),)


class MeanVarianceNormalization(Operator):
    """(x - mean) / (sqrt(variance) + 1e-9) over `axes`."""

    def _run(self, x: np.ndarray, axes: tuple[int, ...] = (0, 2, 3)) -> tuple[np.ndarray]:
        mean, deviation = (f(x, axis=tuple(axes), keepdims=True) for f in (np.mean, np.std))
        return ((x - mean) / (deviation + 1e-9),)


def _standardized(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x - mean) * inverse, mean, inverse = 1/sqrt(variance + epsilon), over `axes`."""
    mean = x.mean(axis=axes, keepdims=True)
    y = x - mean
    inverse = 1 / np.sqrt((y * y).mean(axis=axes, keepdims=True) + np.float64(epsilon))
    y *= inverse
    return y, mean, inverse


OPERATORS = (
    BatchNormalization,
    GroupNormalization,
    InstanceNormalization,
    LRN,
    LayerNormalization,
    LpNormalization,
    MeanVarianceNormalization,
)
