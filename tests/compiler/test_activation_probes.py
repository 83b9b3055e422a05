"""What layers tell apart: linear probes of a trained network, and against scikit-learn's discriminant."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler
from torch import nn

from cnnc.analysis.activations.linear_probe import features_of, probe_accuracy, split_by_class
from tests.compiler.activation_nets import DIGITS, LABELS, measured


@pytest.fixture(scope="module")
def shifted() -> np.ndarray:
    """The digits in a frame of 12x12, each moved by up to two pixels: no longer told apart by single pixels."""
    rng = np.random.default_rng(0)
    framed = np.pad(DIGITS, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=DIGITS.min())
    return np.stack([np.roll(scan, rng.integers(-2, 3, 2), (1, 2)) for scan in framed])


@pytest.fixture(scope="module")
def trained(shifted: np.ndarray) -> nn.Module:
    """A small CNN after 6 epochs of the first 1200 of them."""
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 32, 3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(288, 32), nn.ReLU(), nn.Linear(32, 10)),
    )
    x, y = torch.from_numpy(shifted[:1200]), torch.from_numpy(LABELS[:1200])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(6):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
    return net.eval()


def test_a_trained_network_separates_the_classes(trained: nn.Module, shifted: np.ndarray) -> None:
    x, y = shifted[1200:], LABELS[1200:]  # never trained on
    health = measured(trained, x, labels=y)
    probes = [layer.probe or 0.0 for layer in health.layers]
    assert health.flags == ()
    assert health.input_probe is not None and health.chance is not None
    assert max(health.input_probe, probes[0]) < 0.4  # measured: 0.25 and 0.3
    assert probes[0] < probes[3] < probes[-1] and probes[-1] > 0.65
    assert health.chance < 0.2
    assert health.classes == tuple("0123456789") and health.split == (448, 149)
    projection = health.projection
    assert projection is not None and projection.labels == tuple(y)
    assert 0 < projection.explained[1] <= projection.explained[0] < 1
    points = np.array(projection.points)
    between = np.var([points[y == c].mean(axis=0) for c in range(10)], axis=0).sum()
    assert between > 0.4 * points.var(axis=0).sum()  # the classes lie apart; of random points it were 0.02


class Ridge(EmpiricalCovariance):
    """scikit-learn's, with 0.1 on the diagonal."""

    def fit(self, x: np.ndarray, y: None = None) -> Ridge:
        super().fit(x)
        self.covariance_ = self.covariance_ + 0.1 * np.eye(x.shape[1])
        return self


def test_probe_is_a_linear_discriminant() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=400)
    x = (np.eye(3)[labels] @ rng.normal(size=(3, 5)) + rng.normal(size=(400, 5))).astype(np.float32)
    split = split_by_class(labels, 0)
    assert split is not None
    fit, test = split
    assert set(fit) | set(test) == set(range(400)) and len(test) == 100
    scaled = StandardScaler().fit(x[fit]).transform(x)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Ridge()).fit(scaled[fit], labels[fit])
    accuracy = probe_accuracy(x, labels, split)
    assert accuracy == theirs.score(scaled[test], labels[test]) and 0.5 < accuracy < 1
    assert probe_accuracy(np.zeros_like(x), labels, split) == np.mean(labels[test] == np.bincount(labels[fit]).argmax())
    assert probe_accuracy(np.full_like(x, np.nan), labels, split) is None
    assert split_by_class(np.array([0, 0, 1]), 0) is None


def test_probe_features_are_cell_means() -> None:
    x = np.random.default_rng(0).normal(size=(2, 64, 9, 9))
    pooled = features_of(x, 1, 0)
    assert pooled.shape == (2, 256)
    assert pooled.reshape(2, 64, 2, 2)[0, 0, 0, 0] == pytest.approx(x[0, 0, :4, :4].mean(), rel=1e-6)
    assert features_of(np.ones((2, 700)), 1, 0).shape == (2, 256)
    tokens = features_of(x.reshape(2, 64, 81), -1, 0)
    assert tokens[0, 0] == pytest.approx(x.reshape(2, 64, 81)[0, :21, 0].mean(), rel=1e-6)
