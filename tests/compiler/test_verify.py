"""The proof itself: oracle, tolerance and inputs; a difference beyond rounding never passes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from cnnc.verify import Certificate, Inputs, TorchOracle, refer, verify
from cnnc.verify.reference import Float64Evaluator
from cnnc.verify.tolerance import accepts, relative_error
from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError, VerificationError
from tests.contract.graphs import feeds, model, node, run_on_engine, weights
from tests.nets import Residual

EXAMPLES = {"x": np.zeros((2, 3, 12, 12), np.float32)}
INPUTS = Inputs(EXAMPLES, {"x": {0: "batch"}}, frozenset({"batch"}))


def check(net: torch.nn.Module, run, inputs: Inputs = INPUTS) -> Certificate:  # type: ignore[no-untyped-def]
    return verify(refer(TorchOracle(net), inputs, seed=0), run, device="cpu", provider="p", optimization="all")


def run_of(net: torch.nn.Module):  # type: ignore[no-untyped-def]
    net.eval()

    def run(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return {"y": net(torch.from_numpy(feed["x"])).numpy()}

    return run


def test_the_network_equals_itself() -> None:
    net = Residual()
    certificate = check(net, run_of(net))
    assert certificate.error == certificate.own_error > 0
    assert certificate.constant_outputs() == [] and certificate.differences[0].top1 == 1


@pytest.mark.parametrize("parameter", ["stem.weight", "bn.running_mean", "conv1.bias", "fc.weight"])
def test_one_percent_on_one_filter_is_caught(parameter: str) -> None:
    torch.manual_seed(4)  # a bias that happens to be tiny moves nothing beyond rounding
    net, wrong = Residual(), Residual()
    wrong.load_state_dict(net.state_dict())
    wrong.state_dict()[parameter][0] *= 1.01
    with pytest.raises(VerificationError, match="no rounding"):
        check(net, run_of(wrong))


def test_a_different_batch_size_is_proved() -> None:
    net = Residual()
    honest = run_of(net)

    def baked(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": honest(feed)["y"][:2]}

    with pytest.raises(
        VerificationError, match=r"a batch of 6: the artifact gives shape \(2, 5\), the original \(6, 5\)"
    ):
        check(net, baked)


def test_state_between_calls_is_caught() -> None:
    net = Residual()
    honest, calls = run_of(net), iter(range(100))

    def drifting(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": honest(feed)["y"] * (1 + next(calls) * 1e-3).__float__()}

    with pytest.raises(VerificationError):
        check(net, lambda feed: {"y": drifting(feed)["y"].astype(np.float32)})


def test_type_and_number_of_outputs_count() -> None:
    net = Residual()
    honest = run_of(net)
    with pytest.raises(VerificationError, match="float64, the original float32"):
        check(net, lambda feed: {"y": honest(feed)["y"].astype(np.float64)})
    with pytest.raises(VerificationError, match="0 outputs"):
        check(net, lambda feed: {})


def test_oracle_leaves_the_module_alone() -> None:
    net = Residual().train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    exact = TorchOracle(net).exact(EXAMPLES)
    assert exact[0].dtype == np.float64 and net.training
    assert all(torch.equal(before[n], t) and before[n].dtype == t.dtype for n, t in net.state_dict().items())
    assert torch.get_default_dtype() == torch.float32


def test_oracle_widens_what_is_no_parameter_and_what_is_narrowed() -> None:
    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = torch.full((1, 3, 1, 1), 0.1)  # neither parameter nor buffer

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = torch.zeros(x.shape[0], 1, x.shape[2], x.shape[3])
            out[:, :] = torch.conv2d(x, self.kernel).float() / 3
            return out

    x = np.full((1, 3, 2, 2), 0.3, np.float32)
    kernel, value = np.float64(np.float32(0.1)), np.float64(np.float32(0.3))
    exact = TorchOracle(Plain()).exact({"x": x})[0]
    assert exact.dtype == np.float64
    np.testing.assert_allclose(exact, 3 * kernel * value / 3, rtol=1e-15)


def test_oracle_survives_a_network_that_changes_its_input() -> None:
    class InPlace(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x.mul_(0.1)
            return torch.relu_(x) + x

    x = np.full((2, 3), 0.3, np.float32)
    oracle = TorchOracle(InPlace())
    exact, original = oracle.exact({"x": x})[0], oracle.original({"x": x})[0]
    np.testing.assert_allclose(exact, np.float64(np.float32(0.3)) * 0.2, rtol=1e-15)
    np.testing.assert_allclose(original, exact, rtol=1e-6)
    assert (x == np.float32(0.3)).all()


class Counting(torch.nn.Module):
    """Keeps count of its calls in a buffer, which its output does not show, or does."""

    def __init__(self, shown: bool) -> None:
        super().__init__()
        self.shown = shown
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.calls = self.calls + 1
        return x.mean((1, 2)) + (self.calls if self.shown else 0)


@pytest.mark.parametrize("shown", [False, True])
def test_oracle_puts_buffers_back(shown: bool) -> None:
    net = Counting(shown)
    buffer = net.calls
    oracle = TorchOracle(net)
    first, second = oracle.original(EXAMPLES)[0], oracle.exact(EXAMPLES)[0]
    np.testing.assert_allclose(first, second)
    assert net.calls is buffer and buffer.item() == 0 and buffer.dtype == torch.float32


class Random(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x)


def test_a_network_that_draws_random_numbers_cannot_be_proved() -> None:
    with pytest.raises(UnsupportedModelError, match="draws random numbers"):
        check(Random(), run_of(Random()))


def test_nothing_but_nan_is_no_result_to_equal() -> None:
    net = Residual()
    net.fc.weight.data.fill_(float("nan"))
    with pytest.raises(UnsupportedModelError, match="output 0 is NaN or infinity for every input"):
        check(net, run_of(net))


def test_an_original_far_from_exact_shows_nothing() -> None:
    assert accepts(1e-6, 0.5) and not accepts(0.1, 0.5)
    assert accepts(0.07, 0.009)


def test_where_the_original_overflows_the_artifact_must_too() -> None:
    class Overflow(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x * 1e38 * 10, x], 1)

    def run(feed: Mapping[str, np.ndarray], factor: float = 1e38) -> dict[str, np.ndarray]:
        x = feed["x"]
        with np.errstate(over="ignore"):
            return {"y": np.concatenate([x * np.float32(factor) * np.float32(10), x], 1)}

    assert check(Overflow(), run).error < 1e-6
    with pytest.raises(VerificationError):
        check(Overflow(), lambda feed: run(feed, factor=1))


class Flat(torch.nn.Module):
    """Nothing of its input arrives at the output."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * 0).flatten(1)[:, :2] + 3


def test_an_output_that_nothing_moves_is_said_to_prove_little() -> None:
    certificate = check(Flat(), run_of(Flat()))
    assert certificate.constant_outputs() == ["y"]
    assert "uniform 0 to 1" in certificate.cases  # other inputs were tried


class Rectified(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x)


class Classified(torch.nn.Module):
    """A linear layer over every pixel: one size only."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(432, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.flatten(1))


class Downsampled(torch.nn.Module):
    """Takes heights that are multiples of four only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (-1, 4)).mean(3)


@pytest.mark.parametrize(("net", "label"), [(Rectified(), "height of 13"), (Downsampled(), "height of 20")])
def test_every_open_axis_is_varied_to_a_size_that_the_original_takes(net: torch.nn.Module, label: str) -> None:
    inputs = Inputs(EXAMPLES, {"x": {0: "batch", 2: "height"}}, frozenset({"batch"}))
    certificate = check(net, run_of(net), inputs)
    assert any(case.startswith(label) for case in certificate.cases) and not certificate.unproved_axes
    run = run_of(net)

    def baked(feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if feed["x"].shape[2] != 12:
            raise InvalidInputError("expects 12")
        return run(feed)

    with pytest.raises(VerificationError, match="axis 'height' was baked in"):
        check(net, baked, inputs)


def test_an_axis_at_which_the_original_takes_one_size_only_is_named() -> None:
    net = Classified()
    inputs = Inputs(EXAMPLES, {"x": {0: "batch", 3: "width"}}, frozenset({"batch"}))
    assert check(net, run_of(net), inputs).unproved_axes == ("width",)


def test_error_is_that_of_the_worst_item() -> None:
    exact = np.array([[1000.0, 0.0], [1.0, 0.0]])
    off = exact + np.array([[0, 0], [0.01, 0]])
    assert relative_error(off, exact) == pytest.approx(0.01)  # not drowned by the first item's scale


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_float64_convolution_and_pooling_equal_the_engine(rank: int, groups: int) -> None:
    constants = {"w": weights(6, 4 // groups, *(3,) * rank), "b": weights(6)}
    conv = node(
        "Conv", "x w b", "c", group=groups, strides=[2] * rank, dilations=[2] * rank, pads=[1] * rank + [2] * rank
    )
    transposed = node("ConvTranspose", "c v", "t", group=groups, strides=[2] * rank, pads=[1] * 2 * rank,
                      output_padding=[1] * rank, dilations=[2] + [1] * (rank - 1))  # fmt: skip
    constants["v"] = weights(6, 4 // groups, *(3,) * rank)
    pool = node("MaxPool", "t", "y", kernel_shape=[2] * rank, strides=[2] * rank, pads=[1] + [0] * (2 * rank - 1))
    proto = model([conv, transposed, pool], {"x": ["batch", 4, *(11,) * rank]}, ["y"], constants)
    for feed in feeds(proto):
        exact = Float64Evaluator(proto).run(feed)[0]
        assert exact.dtype == np.float64
        assert relative_error(run_on_engine(proto, feed)[0], exact) < 1e-6
