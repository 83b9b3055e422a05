"""Two-stream networks: the zoo's as published, and one artifact with two inputs that says what each of them is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import cnnc
from cnnc.bench.contenders import contenders_for
from cnnc.examples import example_for
from cnnc.source import Source
from cnnc.zoo import ZOO, on_meta
from cnnc.zoo.two_stream import Stream, TwoStream
from cnnc_runtime import Preprocessing
from cnnc_runtime.errors import UsageError
from cnnc_runtime.flow import FlowInput
from tests.compiler.two_stream_nets import Small, SmallClips
from tests.compiler.zoo_facts import MACS_OF_SEVERAL_INPUTS
from tests.runtime.moving import moving_film

EXAMPLE = {"frame": torch.zeros(1, 3, 32, 32), "flow": torch.zeros(1, 6, 32, 32)}
PREPARE = Preprocessing(resize=40, crop=(32, 32), flow=FlowInput("flow"))


def learned(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameters_are_those_of_the_papers_layers() -> None:
    """Figure 1, at the 101 classes of UCF-101: kernels and biases, layer by layer."""

    def stream(channels: int) -> int:
        convolutions = [(96, channels * 7 * 7), (256, 96 * 5 * 5), *[(512, c * 3 * 3) for c in (256, 512, 512)]]
        dense = [(4096, 512 * 6 * 6), (2048, 4096), (101, 2048)]
        return sum(out * (fan_in + 1) for out, fan_in in (*convolutions, *dense))

    net = on_meta("two_stream")
    assert learned(net.get_submodule("spatial")) == stream(3) == 90_627_813
    assert learned(net.get_submodule("temporal")) == stream(20) == 90_707_781
    assert learned(net) == ZOO["two_stream"].params


def test_two_stream_i3d_is_two_i3d_with_two_channels_for_three() -> None:
    net = on_meta("two_stream_i3d")
    fewer = 64 * 7 * 7 * 7  # one channel less in the kernels of the first convolution
    assert learned(net) == ZOO["two_stream_i3d"].params == 2 * ZOO["i3d"].params - fewer
    assert net.get_submodule("motion").Conv3d_1a_7x7.conv3d.weight.shape == (64, 2, 7, 7, 7)


@pytest.mark.parametrize("name", ["two_stream", "two_stream_i3d"])
def test_macs_and_shapes(name: str) -> None:
    entry = ZOO[name]
    shapes = (entry.input_shape, *(shape for _, shape in entry.other_inputs))
    with FlopCounterMode(display=False) as counter:
        y = on_meta(name)(*(torch.zeros(1, *shape, device="meta") for shape in shapes))
    assert counter.get_total_flops() == 2 * MACS_OF_SEVERAL_INPUTS[name]
    assert y.shape == (1, entry.num_classes)
    assert on_meta(name, 7)(*(torch.zeros(1, *shape, device="meta") for shape in shapes)).shape == (1, 7)


def test_only_the_spatial_stream_has_a_second_normalization() -> None:
    net = on_meta("two_stream")
    assert isinstance(net.get_submodule("spatial.norm2"), nn.LocalResponseNorm)
    assert isinstance(net.get_submodule("temporal.norm2"), nn.Identity)
    assert isinstance(net.get_submodule("temporal.norm1"), nn.LocalResponseNorm)


def test_streams_are_fused_by_the_mean_of_their_softmax_scores() -> None:
    class Constant(nn.Module):
        def __init__(self, *scores: float) -> None:
            super().__init__()
            self.scores = torch.tensor([scores]).log()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scores

    with torch.device("meta"):
        net = TwoStream(3)
    net.spatial, net.temporal = Constant(0.7, 0.2, 0.1), Constant(0.1, 0.6, 0.3)  # type: ignore[assignment]
    torch.testing.assert_close(net(torch.zeros(1), torch.zeros(1)), torch.tensor([[0.4, 0.4, 0.2]]))


def test_maps_are_the_papers() -> None:
    """109, 54, 26, 13, 13, 13, 13, 6 pixels a side: full6 sees 6x6 maps of 512 channels."""
    sides = []
    with torch.device("meta"):
        net = Stream(3, 10)
        for module in (net.conv1, net.pool, net.conv2, net.conv5):
            module.register_forward_hook(lambda module, given, y: sides.append(y.shape[-1]))
        net(torch.zeros(1, 3, 224, 224))
    assert sides == [109, 54, 26, 13, 13, 6]


def test_example_has_every_input_of_the_registry_unless_shapes_are_given() -> None:
    source = Source("two_stream", Small(), input_shape=(3, 32, 32), other_inputs=(("flow", (6, 32, 32)),))
    shapes = {name: tuple(x.shape) for name, x in example_for(source).items()}
    assert shapes == {"frame": (1, 3, 32, 32), "flow": (1, 6, 32, 32)}
    given = example_for(source, shapes=["frame:2,3,40,40", "flow:2,6,40,40"])
    assert {name: tuple(x.shape) for name, x in given.items()} == {"frame": (2, 3, 40, 40), "flow": (2, 6, 40, 40)}


def test_one_artifact_with_two_inputs_is_proved_on_a_video_too(tmp_path: Path) -> None:
    film = moving_film(tmp_path / "film.mp4", 8, size=(40, 48))
    net, path = Small(), tmp_path / "net.onnx"
    compiled = cnnc.compile(net, EXAMPLE, path, preprocessing=PREPARE, verify_data=[film], device="cpu")
    assert compiled.report.certificate is not None and compiled.report.certificate.error < 1e-5
    assert any("your data" in str(case) for case in compiled.report.certificate.to_dict()["cases"])
    engine = cnnc.load(path, device="cpu")
    assert engine.metadata is not None and engine.metadata.preprocessing == PREPARE
    rng = np.random.default_rng(3)
    feed = {name: rng.standard_normal((3, *x.shape[1:])).astype(np.float32) for name, x in EXAMPLE.items()}
    with torch.inference_mode():
        expected = net.eval()(*map(torch.from_numpy, feed.values())).numpy()
    (found,) = engine.run(feed).values()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("prepare", "channels", "message"),
    [
        (Preprocessing(), 6, "--flow-input"),
        (Preprocessing(flow=FlowInput("motion")), 6, "no input is named 'motion'; there are frame, flow"),
        (Preprocessing(flow=FlowInput("frame")), 6, "'frame' has 3 channels"),
        (Preprocessing(flow=FlowInput("flow")), 5, "5 channels"),
    ],
)
def test_preprocessing_that_does_not_fit_two_inputs(prepare: Preprocessing, channels: int, message: str) -> None:
    class Net(nn.Module):
        def forward(self, frame: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
            return frame.mean((1, 2, 3)) + flow.mean((1, 2, 3))

    example = (torch.zeros(1, 3, 32, 32), torch.zeros(1, channels, 32, 32))
    with pytest.raises(UsageError, match=message):
        cnnc.compile(Net(), example, preprocessing=prepare)


def test_flow_of_a_net_with_one_input_and_arithmetic_inside_are_refused() -> None:
    with pytest.raises(UsageError, match="two inputs"):
        cnnc.compile(nn.Conv2d(2, 3, 3), torch.zeros(1, 2, 8, 8), preprocessing=Preprocessing(flow=FlowInput("input")))
    with pytest.raises(UsageError, match="one input"):
        cnnc.compile(Small(), EXAMPLE, preprocessing=PREPARE, embed_preprocessing=True)


def test_clips_of_frames_and_of_flow(tmp_path: Path) -> None:
    example = {"flow": torch.zeros(1, 2, 5, 32, 32), "rgb": torch.zeros(1, 3, 5, 32, 32)}
    prepare = Preprocessing(flow=FlowInput("flow", values="unit"))
    compiled = cnnc.compile(SmallClips(), example, tmp_path / "net.onnx", preprocessing=prepare, device="cpu")
    assert compiled.report.certificate is not None
    stored = cnnc.load(tmp_path / "net.onnx", device="cpu").metadata
    assert stored is not None and stored.preprocessing is not None and stored.preprocessing.resize == (32, 32)


def test_bench_feeds_the_eager_net_both_inputs() -> None:
    (contender,), _ = contenders_for(["two_stream"], {}, "cpu")
    assert [one.shape for one in contender.inputs] == [("batch", 3, 224, 224), ("batch", 20, 224, 224)]


@pytest.mark.slow
def test_two_stream_i3d_is_compiled_and_proved() -> None:
    """At the least size that I3D takes."""
    shapes = ["rgb:1,3,9,193,193", "flow:1,2,9,193,193"]
    prepare = Preprocessing(resize=193, crop=(193, 193), flow=FlowInput("flow", values="unit"))
    compiled = cnnc.compile("two_stream_i3d", input_shapes=shapes, dynamic={}, preprocessing=prepare, device="cpu")
    assert compiled.report.certificate is not None and compiled.report.certificate.error < 1e-5
    assert compiled.report.after is not None and compiled.report.after.macs == 27_775_955_392


@pytest.mark.slow
def test_command_line_compiles_and_analyzes_the_zoos_net(tmp_path: Path) -> None:
    cnnc_command = [sys.executable, "-m", "cnnc"]
    options = ["--preprocess", "imagenet", "--flow-input", "flow", "--device", "cpu", "--json"]
    path = tmp_path / "ts.onnx"
    run = subprocess.run(
        [*cnnc_command, "compile", "two_stream", "-o", path, *options], capture_output=True, text=True, check=True
    )
    report = json.loads(run.stdout)
    assert report["after"]["params"] == ZOO["two_stream"].params and report["certificate"]["error"] < 1e-5
    model = onnx.load(path, load_external_data=False)
    assert [value.name for value in model.graph.input] == ["frame", "flow"]
    run = subprocess.run([*cnnc_command, "analyze", "two_stream", "--json"], capture_output=True, text=True, check=True)
    totals = json.loads(run.stdout)["totals"]
    assert (totals["params"], totals["macs"]) == (ZOO["two_stream"].params, MACS_OF_SEVERAL_INPUTS["two_stream"])
