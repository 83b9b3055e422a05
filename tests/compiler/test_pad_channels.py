"""Channels that pruning or a factored convolution leaves, under the target `cpu`: proved, and in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch import nn

import cnnc
from cnnc.engine_graph.census import Census, census
from cnnc_passes.driver import Driver
from cnnc_passes.laws.pad_channels import PadChannels
from tests.contract.graphs import feeds, model, node, run_exactly, run_on_engine, weights
from tests.nets import randomize_statistics

SHAPES = {"w": (29, 3, 3, 3), "b": (29,), "v": (5, 29, 3, 3)}


class Pruned(nn.Module):
    """A residual network whose every width was cut: 29 channels in the stream, 45 and 61 in the blocks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = self._layer(3, 29, 3, 2)
        self.wide, self.narrow = self._layer(29, 45, 3), self._layer(45, 29, 3)
        self.expand, self.depthwise = self._layer(29, 61, 1), self._layer(61, 61, 3, 1, 61)
        self.project, self.head = self._layer(61, 29, 1), nn.Linear(29, 5)
        randomize_statistics(self)

    def _layer(self, inputs: int, outputs: int, kernel: int, stride: int = 1, group: int = 1) -> nn.Sequential:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=group, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(image))
        x = torch.relu(x + self.narrow(torch.relu(self.wide(x))))
        x = x + self.project(nn.functional.relu6(self.depthwise(nn.functional.relu6(self.expand(x)))))
        return self.head(x.mean((2, 3)))


class Factored(nn.Module):
    """R(2+1)D's convolutions of space and of time, with its 45 channels between them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.space, self.time = nn.Conv3d(3, 45, (1, 3, 3), (1, 2, 2)), nn.Conv3d(45, 16, (3, 1, 1), 1, (1, 0, 0))
        self.bn = randomize_statistics(nn.BatchNorm3d(45))

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.time(torch.relu(self.bn(self.space(clip))))).mean((2, 3, 4))


def compiled(net: nn.Module, example: torch.Tensor, path: Path, **options: object) -> tuple[dict[str, int], Census]:
    """What was applied, and the census; asserts that each change was proved by itself."""
    result = cnnc.compile(net.eval(), example, output=path, device="cpu", target="cpu", **options)
    certificate = result.report.certificate
    assert certificate is not None and not certificate.local["unproved"]
    return result.report.passes.applied(), census(path, "cpu", path.parent)


def test_a_pruned_network_runs_in_blocks(tmp_path: Path) -> None:
    example = torch.zeros(1, 3, 32, 32)
    _, plain = compiled(Pruned(), example, tmp_path / "plain.onnx", skip=["pad-channels"])
    applied, padded = compiled(Pruned(), example, tmp_path / "padded.onnx")
    assert applied["pad-channels"] == 3  # the stream, and what each block has inside
    assert plain.unblocked == 5 and padded.unblocked == 0
    assert plain.layout_conversions - plain.pooled_conversions > 0
    assert padded.layout_conversions - padded.pooled_conversions == 0


def test_an_artifact_of_it_is_left_as_it_is(tmp_path: Path) -> None:
    """No law takes the channels away again: what is left would be no multiple of four."""
    compiled(Pruned(), torch.zeros(1, 3, 32, 32), tmp_path / "once.onnx")
    again = cnnc.compile(tmp_path / "once.onnx", output=tmp_path / "again.onnx", device="cpu", target="cpu")
    assert again.report.passes.applied() == {}


def test_clips_between_space_and_time_are_taken_by_frames(tmp_path: Path) -> None:
    applied, counts = compiled(Factored(), torch.zeros(1, 3, 4, 16, 16), tmp_path / "net.onnx")
    assert (applied["pad-channels"], applied["conv3d-to-2d"], counts.unblocked) == (1, 2, 0)


def test_what_is_added_is_zero_and_changes_no_bit() -> None:
    """Weights that are whole numbers, whose sums no order of additions can round."""
    constants = {name: np.round(weights(*shape, low=-8, high=8)) for name, shape in SHAPES.items()}
    nodes = [node("Conv", "x w b", "c"), node("Sigmoid", "c", "s"), node("Round", "s", "r"), node("Conv", "r v", "y")]
    before = model(nodes, {"x": ["batch", 3, 9, 9]}, ["y"], constants)
    graph = ir.from_proto(before)
    assert Driver(graph).run(PadChannels())
    after = ir.to_proto(graph)
    read = {name for one in after.graph.node for name in one.input}
    added = [onnx.numpy_helper.to_array(tensor) for tensor in after.graph.initializer if tensor.name in read]
    assert sorted(array.shape for array in added) == [(5, 32, 3, 3), (32,), (32, 3, 3, 3)]
    for array in added:
        if array.shape == (5, 32, 3, 3):
            np.testing.assert_array_equal(array[:, :29], constants["v"])
            assert not array[:, 29:].any()
        else:
            np.testing.assert_array_equal(array[:29], constants["w" if array.ndim == 4 else "b"])
            assert not array[29:].any()
    for feed in feeds(before):
        whole = {name: np.round(array) for name, array in feed.items()}
        for run in (run_exactly, run_on_engine):
            np.testing.assert_array_equal(run(after, whole)[0], run(before, whole)[0])


def test_channels_that_are_pooled_fill_the_block() -> None:
    for f, channels in (("Relu", 60), ("MaxPool", 64)):
        attributes = {"kernel_shape": [2, 2]} if f == "MaxPool" else {}
        constants = {"w": weights(57, 3, 3, 3), "v": weights(5, 57, 3, 3)}
        nodes = [node("Conv", "x w", "c"), node(f, "c", "r", **attributes), node("Conv", "r v", "y")]
        graph = ir.from_proto(model(nodes, {"x": ["batch", 3, 9, 9]}, ["y"], constants))
        assert Driver(graph).run(PadChannels())
        assert list(next(one for one in graph.graph if one.op_type == f).outputs[0].shape or ())[1] == channels
