"""What the exporter must understand: the order of channels, and dropout that is meant to drop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import cnnc
from cnnc_runtime.errors import UnsupportedModelError, VerificationError
from tests.cases.harness import check_module, check_proto, nodes_of, right_or_refused, values
from tests.contract.graphs import model, node

# --- onnxscript #2892: the order of channels in space and depth


class Shuffles(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        spread = F.pixel_unshuffle(x, 2)
        return spread, F.pixel_shuffle(spread, 2), F.pixel_shuffle(spread.flip(1), 2), F.channel_shuffle(spread, 3)


def test_pixels_are_shuffled_in_the_order_of_pytorch() -> None:
    check_module(Shuffles(), torch.zeros(1, 3, 4, 6))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_in_both_orders(mode: str, tmp_path: Path) -> None:
    proto = model([node("DepthToSpace", "x", "y", blocksize=2, mode=mode)], {"x": ("n", 12, 2, 3)})

    def truth(x: torch.Tensor) -> torch.Tensor:
        if mode == "CRD":
            return F.pixel_shuffle(x, 2)
        n, c, h, w = x.shape
        return x.reshape(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)

    check_proto(proto, truth, folder=tmp_path)


# --- pytorch #24824: dropout that drops in eval mode has no right answer; dropout that does not is nothing


class Dropping(nn.Module):
    """A network with a dropout function between two convolutions."""

    def __init__(self, drop: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.first, self.drop, self.second = nn.Conv2d(3, 4, 3), drop, nn.Conv2d(4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.drop(self.first(x)))


class AlwaysOn(nn.Dropout):
    """A module that ignores its mode, as Monte Carlo dropout does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, self.p, training=True)


HARD_CODED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "dropout": lambda x: F.dropout(x, 0.5, training=True),
    "default of the function": F.dropout,
    "dropout2d": lambda x: F.dropout2d(x, 0.5, training=True),
    "feature dropout": lambda x: torch.feature_dropout(x, 0.5, True),
    "alpha dropout": lambda x: F.alpha_dropout(x, 0.5, training=True),
    "module": AlwaysOn(),
}


@pytest.mark.parametrize("kind", HARD_CODED)
def test_dropout_hard_coded_on_is_refused(kind: str) -> None:
    with pytest.raises(UnsupportedModelError, match=r"(?i)drop|random"):
        cnnc.compile(Dropping(HARD_CODED[kind]), torch.zeros(1, 3, 6, 6), device="cpu")


def test_dropout_modules_of_a_network_in_training_mode_are_removed() -> None:
    drops = nn.Sequential(nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout(), nn.FeatureAlphaDropout())
    artifact = check_module(Dropping(drops).train(), torch.zeros(1, 3, 6, 6))
    assert not nodes_of(artifact, "Dropout")


def test_scripted_dropout_is_removed_or_refused() -> None:
    def check() -> None:
        net = Dropping(torch.jit.script(nn.Dropout())).eval()
        assert not nodes_of(check_module(net, torch.zeros(1, 3, 6, 6)), "Dropout")

    right_or_refused(check, UnsupportedModelError, match="torch.export cannot trace Dropping")


@pytest.mark.parametrize("draw", [torch.rand_like, torch.randn_like])
def test_network_that_draws_random_numbers_is_refused(draw: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """It has no one right output: its own error is no measure for that of the artifact."""
    with pytest.raises((UnsupportedModelError, VerificationError)):
        cnnc.compile(Dropping(lambda x: x + draw(x)), torch.zeros(1, 3, 6, 6), device="cpu")


def dropout_in_a_graph(training: bool, kept: str) -> onnx.ModelProto:
    """The flag as an initializer, as a Constant node, computed, or in a function of the model's own."""
    constants = {"w": values(4, 3, 3, 3), "ratio": np.array(0.5, np.float32)}
    flag = np.array(training)
    drop = node("Dropout", "c ratio training", "d")
    before: list[onnx.NodeProto] = []
    if kept == "constant node":
        before = [helper.make_node("Constant", [], ["training"], value=numpy_helper.from_array(flag))]
    elif kept == "computed":
        constants["opposite"] = np.array(not training)
        before = [node("Not", "opposite", "training")]
    else:
        constants["training"] = flag
    nodes = [node("Conv", "x w", "c"), *before, drop, node("Relu", "d", "y")]
    proto = model(nodes, {"x": ("n", 3, 6, 6)}, constants=constants)
    if kept == "function":
        body = helper.make_function("own", "Drop", list(drop.input), ["d"], [drop], [helper.make_opsetid("", 20)])
        proto.functions.append(body)
        proto.opset_import.append(helper.make_opsetid("own", 1))
        one = next(one for one in proto.graph.node if one.op_type == "Dropout")
        one.op_type, one.domain = "Drop", "own"
    return proto


KEPT = ["initializer", "constant node", "computed", "function"]


@pytest.mark.parametrize("kept", KEPT)
def test_dropout_that_drops_in_a_file_is_refused(kept: str, tmp_path: Path) -> None:
    path, out = tmp_path / "net.onnx", tmp_path / "out.onnx"
    onnx.save(dropout_in_a_graph(True, kept), path)
    with pytest.raises(UnsupportedModelError, match=r"drops at inference.*model\.eval\(\)"):
        cnnc.compile(path, output=out, device="cpu")
    assert not out.exists()


@pytest.mark.parametrize("kept", ["initializer", "constant node"])
def test_dropout_that_does_not_drop_in_a_file_is_removed(kept: str, tmp_path: Path) -> None:
    artifact = check_proto(dropout_in_a_graph(False, kept), folder=tmp_path)
    assert not nodes_of(artifact, "Dropout")


@pytest.mark.parametrize("kept", ["computed", "function"])
def test_dropout_whose_mode_is_not_in_sight_is_removed_or_refused(kept: str, tmp_path: Path) -> None:
    def check() -> None:
        assert not nodes_of(check_proto(dropout_in_a_graph(False, kept), folder=tmp_path), "Dropout")

    right_or_refused(check, UnsupportedModelError, match="drop")


@pytest.mark.parametrize("default", [True, False])
def test_dropout_whose_mode_is_the_callers_is_kept_or_refused(default: bool, tmp_path: Path) -> None:
    """The flag is an input with a default: whether it drops is not known before it runs."""
    proto = dropout_in_a_graph(default, "initializer")
    proto.graph.input.append(helper.make_tensor_value_info("training", TensorProto.BOOL, ()))

    def check() -> None:
        artifact = check_proto(proto, folder=tmp_path)
        assert not default and nodes_of(artifact, "Dropout")
        assert "training" in [value.name for value in artifact.graph.input]

    right_or_refused(check, UnsupportedModelError, match="drops at inference")
