"""Features of many dimensions drawn in two: the directions in which they vary most."""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["Projection", "project"]


@dataclasses.dataclass(frozen=True)
class Projection:
    """A layer's features on their first two principal components.

    Attributes:
        layer: its name.
        points: x and y of each sample, centered.
        explained: share of the features' variance along x and along y.
        labels: class index of each sample, or empty.
    """

    layer: str
    points: tuple[tuple[float, float], ...]
    explained: tuple[float, float]
    labels: tuple[int, ...] = ()


def project(layer: str, features: np.ndarray, labels: np.ndarray | None) -> Projection | None:
    """Principal component analysis of (N, D) features, by singular value decomposition; not standardized.

    The sign of a component, which is arbitrary, is such that its largest weight is positive.

    Returns:
        None where there are fewer than two samples, or a feature is not finite.
    """
    if len(features) < 2 or not np.isfinite(features).all():
        return None
    x = features.astype(np.float64)
    x -= x.mean(axis=0)
    _, s, vt = np.linalg.svd(x, full_matrices=False)
    axes = vt[:2]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    points = np.zeros((len(x), 2))
    points[:, : len(axes)] = x @ (axes * signs[:, None]).T
    shares = np.zeros(2)
    shares[: len(axes)] = s[:2] ** 2 / max(float((s**2).sum()), np.finfo(np.float64).tiny)
    return Projection(
        layer=layer,
        points=tuple((float(a), float(b)) for a, b in points),
        explained=(float(shares[0]), float(shares[1])),
        labels=() if labels is None else tuple(int(label) for label in labels),
    )
