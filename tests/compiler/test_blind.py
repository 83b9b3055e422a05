"""Items on which float32 shows nothing: the artifact's graph is compared in float64 there, and the others as ever."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import nn

import cnnc
from cnnc.cli import console
from cnnc.verify import Certificate, Inputs, refer, verify
from cnnc.verify.tolerance import item_errors, relative_error
from cnnc_runtime.errors import UnsupportedModelError, VerificationError

Feed = Mapping[str, np.ndarray]
EXAMPLES = {"x": np.zeros((2, 3, 4, 4), np.float32)}
OPEN = Inputs(EXAMPLES, {"x": {0: "batch"}}, frozenset({"batch"}))


def exactly(feed: Feed) -> list[np.ndarray]:
    return [feed["x"].astype(np.float64).mean(axis=3)]


def off_by(error: float, where: Callable[[np.ndarray], np.ndarray]) -> Callable[[Feed], list[np.ndarray]]:
    """The result with an error on the images that `where` finds."""

    def run(feed: Feed) -> list[np.ndarray]:
        (y,) = exactly(feed)
        return [y + error * where(feed["x"]).reshape(-1, 1, 1)]

    return run


def constant(x: np.ndarray) -> np.ndarray:
    return np.ptp(x, axis=(1, 2, 3)) == 0


def other(x: np.ndarray) -> np.ndarray:
    return ~constant(x)


def everywhere(x: np.ndarray) -> np.ndarray:
    return np.ones(len(x), bool)


class Original:
    """Off by a twentieth in float32, where it is told to be."""

    description = "a mean"

    def __init__(self, where: Callable[[np.ndarray], np.ndarray] = constant, noise: float = 0.0) -> None:
        self._run, self._noise = off_by(0.05, where), noise

    def exact(self, feed: Feed) -> list[np.ndarray]:
        return [y + self._noise * constant(feed["x"]).reshape(-1, 1, 1) for y in exactly(feed)]

    def original(self, feed: Feed) -> list[np.ndarray]:
        return [y.astype(np.float32) for y in self._run(feed)]


def proved(
    engine: Callable[[Feed], list[np.ndarray]],
    graph: Callable[[Feed], list[np.ndarray]] | None,
    original: Original | None = None,
    inputs: Inputs = OPEN,
) -> Certificate:
    def run(feed: Feed) -> dict[str, np.ndarray]:
        return {"y": engine(feed)[0].astype(np.float32)}

    truth = refer(original or Original(), inputs, seed=0)
    return verify(truth, run, device="cpu", provider="p", optimization="all", graph=graph)


def test_what_the_engine_rounds_there_is_no_fault_where_its_graph_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    certificate = proved(off_by(0.4, constant), exactly)
    assert certificate.in_float64 == 1 and certificate.to_dict()["in_float64"] == 1
    assert certificate.error < 1e-6 and certificate.own_error < 1e-6  # of the other items
    console.proof(certificate)
    assert "items compared in float64" in "".join(capsys.readouterr())


def test_nothing_is_settled_where_float32_decides() -> None:
    assert proved(exactly, exactly, Original(lambda x: np.zeros(len(x), bool))).in_float64 == 0


def unknown_operator(feed: Feed) -> list[np.ndarray]:
    raise UnsupportedModelError("no such operator")


@pytest.mark.parametrize(
    ("engine", "graph"),
    [
        (off_by(0.4, constant), None),
        (off_by(0.4, constant), unknown_operator),
        (off_by(0.4, constant), off_by(1e-4, constant)),
        (off_by(1e-3, other), exactly),
        (off_by(np.inf, everywhere), exactly),
    ],
    ids=["no graph", "graph that cannot be run", "wrong graph", "wrong on others", "infinity"],
)
def test_refused(engine: Callable[[Feed], list[np.ndarray]], graph: Callable[[Feed], list[np.ndarray]] | None) -> None:
    with pytest.raises(VerificationError, match=r"this is no rounding|NaN or infinity"):
        proved(engine, graph)


def test_an_original_that_is_never_near_exact_shows_nothing_at_all() -> None:
    shifted = Original(lambda x: 1e3 * np.abs(x).max(axis=(1, 2, 3)) + 1)
    with pytest.raises(VerificationError, match=r"output 'y'.*on every input tried.*--input-range"):
        proved(exactly, exactly, shifted)


def test_a_case_of_its_own_whose_exact_result_is_float64s_rounding() -> None:
    fixed, noise = Inputs(EXAMPLES, {}), 1e-15
    assert proved(off_by(0.4, constant), exactly, Original(noise=noise), fixed).in_float64 == 2
    with pytest.raises(VerificationError, match="on zeros: the artifact is off"):
        proved(off_by(0.4, constant), off_by(1e-4, constant), Original(noise=noise), fixed)


def test_the_error_of_each_item() -> None:
    exact = np.array([[1.0, 2.0], [0.0, 0.0], [np.inf, 4.0], [np.nan, 1.0], [3.0, 3.0]])
    actual = np.array([[1.0, 2.2], [0.0, 0.1], [np.inf, 4.0], [0.0, 1.0], [np.inf, 3.0]])
    errors = item_errors(actual, exact)
    np.testing.assert_allclose(errors, [0.1, 0.5, 0.0, np.inf, np.inf])
    assert relative_error(actual[:3], exact[:3]) == pytest.approx(0.5)


@pytest.mark.parametrize("dynamic", [None, {}])
def test_normalizations_in_a_row(dynamic: dict[str, dict[int, str]] | None) -> None:
    """Of an image of zeros each channel is a constant map: what is left of its mean's rounding is normalized twice."""
    torch.manual_seed(0)
    norms = [nn.LayerNorm([8, 14, 14]), nn.InstanceNorm2d(8), nn.GroupNorm(2, 8), nn.LocalResponseNorm(3)]
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), *norms).eval()
    certificate = cnnc.compile(net, torch.zeros(2, 3, 16, 16), dynamic=dynamic).report.certificate
    assert certificate is not None and certificate.error < 0.1
