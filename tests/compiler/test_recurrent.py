"""Step functions: the zoo's cells, their states through the compiler, and 64 frames against PyTorch unrolled."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import cnnc
from cnnc.states import pair_states, parse_states
from cnnc.verify import Inputs, OnnxOracle, refer, verify
from cnnc.zoo import ZOO, build, on_meta
from cnnc.zoo.cnn_lstm import LSTM
from cnnc.zoo.conv_gru import ConvGRU
from cnnc.zoo.weights import fill
from cnnc_runtime import Preprocessing
from cnnc_runtime.errors import UsageError, VerificationError
from tests.compiler.recurrent_nets import Named, SmallGRU, unrolled
from tests.compiler.zoo_facts import MACS_OF_SEVERAL_INPUTS

EXAMPLE = (torch.zeros(1, 3, 16, 16), torch.zeros(1, 4, 16, 16), torch.zeros(1, 5, 8, 8))


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recurrent") / "gru.onnx"
    cnnc.compile(SmallGRU(), EXAMPLE, output=path, states=["low", "high"], device="cpu")
    return path


def test_conv_gru_is_the_papers_equations() -> None:
    """Each convolution on its own, from the slices of the joint kernels, in float64."""
    gru = ConvGRU(3, 4, below=2)
    fill(gru, 0)
    gru = gru.double()
    x, h, below = (noise(2, *shape).double() for shape in ((3, 6, 6), (4, 6, 6), (2, 12, 12)))

    def convolved(value: torch.Tensor, layer: nn.Conv2d, number: int) -> torch.Tensor:
        rows = slice(4 * number, 4 * number + 4)
        bias = None if layer.bias is None else layer.bias[rows]
        return F.conv2d(value, layer.weight[rows], bias, padding=1)

    b = F.max_pool2d(below, 2)
    with torch.no_grad():
        z = torch.sigmoid(convolved(x, gru.percept, 0) + convolved(b, gru.below, 0) + convolved(h, gru.state, 0))
        r = torch.sigmoid(convolved(x, gru.percept, 1) + convolved(b, gru.below, 1) + convolved(h, gru.state, 1))
        candidate = torch.tanh(convolved(x, gru.percept, 2) + convolved(r * h, gru.candidate, 0))
        torch.testing.assert_close(gru(x, h, below), (1 - z) * h + z * candidate)
        alone = ConvGRU(3, 4)
        fill(alone, 0)
        assert not torch.equal(alone(x.float(), h.float()), alone(x.float(), 0 * h.float()))


def test_the_lstm_is_pytorchs() -> None:
    cell = LSTM(5, 4)
    fill(cell, 0)
    whole = nn.LSTM(5, 4, batch_first=True)
    whole.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x = noise(2, 6, 5)
    h = c = torch.zeros(2, 4)
    with torch.no_grad():
        for step, y in enumerate(whole(x)[0].unbind(1)):
            h, c = cell(x[:, step], (h, c))
            torch.testing.assert_close(h, y)


@pytest.mark.parametrize("name", ["conv_gru", "cnn_lstm"])
def test_zoo_parameters_macs_and_shapes(name: str) -> None:
    entry, net = ZOO[name], on_meta(name)
    shapes = [shape for _, shape in entry.other_inputs]
    assert tuple(key for key, _ in entry.other_inputs) == entry.states
    assert sum(p.numel() for p in net.parameters()) == entry.params
    states = net.initial_state(2, *entry.input_shape[1:])
    assert [tuple(state.shape) for state in states] == [(2, *shape) for shape in shapes]
    with FlopCounterMode(display=False) as counter:
        scores, *after = net(torch.zeros(1, *entry.input_shape, device="meta"), *(state[:1] for state in states))
    assert counter.get_total_flops() == 2 * MACS_OF_SEVERAL_INPUTS[name]
    assert scores.shape == (1, 101)
    assert [state.shape[1:] for state in after] == shapes
    assert net.unroll(torch.zeros(2, 3, 3, *entry.input_shape[1:], device="meta")).shape == (2, 3, 101)


def test_64_frames_equal_the_unrolled_net(artifact: Path) -> None:
    clip = noise(2, 3, 64, 16, 16)
    right = unrolled(SmallGRU(), clip).numpy()
    with cnnc.load(artifact, device="cpu") as engine, engine.stream() as stream:
        for _ in range(2):  # the second time after a reset
            got = np.stack([stream.step(frame) for frame in clip.unbind(2)], 1)
            assert np.abs(got - right).max() <= 1e-5 * np.abs(right).max()
            stream.reset()


def test_states_are_in_the_artifact_and_in_its_proof(artifact: Path) -> None:
    with cnnc.load(artifact, device="cpu") as engine:
        assert engine.metadata is not None and engine.metadata.certificate is not None
        assert engine.metadata.states == {"low": "low_next", "high": "high_next"}
        assert [spec.name for spec in engine.outputs][1:] == ["low_next", "high_next"]
        cases = engine.metadata.certificate["cases"]
    assert cases[-4:] == [f"frame {number} of 4, states fed back" for number in range(1, 5)]
    again = cnnc.verify_artifact(artifact, device="cpu")
    assert list(again.cases) == cases
    assert again.inputs["states"] == {"low": 1, "high": 2}


@pytest.mark.parametrize("states", [{"h": "memory"}, {"h": 0}])
def test_the_nets_own_output_names_and_open_sizes(
    states: dict[str, str | int],
) -> None:
    axes = {0: "batch", 2: "height", 3: "width"}
    example = {"x": noise(1, 3, 7, 9), "h": torch.zeros(1, 4, 7, 9)}
    compiled = cnnc.compile(Named(), example, states=states, dynamic={"x": axes, "h": axes}, device="cpu")
    with compiled.engine("cpu") as engine, engine.stream() as stream:
        assert engine.metadata is not None and engine.metadata.states == {"h": "memory"}
        for side in (7, 12):
            h = torch.zeros(1, 4, side, 9)
            for frame in noise(5, 1, 3, side, 9):
                with torch.no_grad():
                    out = Named()(frame, h)
                h = out["memory"]
                np.testing.assert_allclose(stream.step(frame.numpy()), out["scores"].numpy(), atol=1e-5)
            stream.reset()


def test_states_of_an_onnx_file(artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "again.onnx"
    cnnc.compile(artifact, output=path, states={"high": "high_next", "low": "low_next"}, device="cpu")
    clip = noise(1, 3, 6, 16, 16)
    with cnnc.load(path, device="cpu") as engine, engine.stream() as stream:
        got = np.stack([stream.step(frame) for frame in clip.unbind(2)], 1)
    np.testing.assert_allclose(got, unrolled(SmallGRU(), clip).numpy(), atol=1e-5)


def test_preprocessing_labels_and_ranges_are_of_the_frame() -> None:
    compiled = cnnc.compile(
        SmallGRU(),
        EXAMPLE,
        states=["low", "high"],
        preprocessing=Preprocessing(resize=(16, 16)),
        labels=("a", "b", "c"),
        input_range=(0.0, 1.0),
        device="cpu",
    )
    with compiled.engine("cpu") as engine:
        assert engine.metadata is not None
        assert engine.metadata.input_ranges == {"frame": (0.0, 1.0)}
    with pytest.raises(UsageError, match="'low' is a state"):
        cnnc.compile(SmallGRU(), EXAMPLE, states=["low", "high"], input_range={"low": (0.0, 1.0)}, prove=False)


def test_a_fault_that_shows_only_in_a_row_is_found(artifact: Path) -> None:
    """The artifact is right on every case, and on the frames of a sequence wherever no state was fed back to it."""
    model = ir.load(artifact)
    with cnnc.load(artifact, device="cpu") as engine:
        examples = {spec.name: np.zeros((2, *map(int, spec.shape[1:])), np.float32) for spec in engine.inputs}
        inputs = Inputs(examples, states={"low": 1, "high": 2})
        reference = refer(OnnxOracle(model), inputs, 0)
        given: list[np.ndarray] = []

        def run(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = engine.run(dict(feed))
            if any(feed["low"] is one for one in given):
                outputs["high_next"] = outputs["high_next"] + np.float32(1e-3)
            given.append(outputs["low_next"])
            return outputs

        options = {"device": "cpu", "provider": "CPU", "optimization": "all"}
        with pytest.raises(VerificationError, match=r"'high_next' on frame 2 of 4, states fed back"):
            verify(reference, run, **options)
        verify(dataclasses.replace(reference, sequence=()), run, **options)


@pytest.fixture(scope="module")
def graph() -> ir.Model:
    """Inputs x, h, c; outputs y, h1 as h, c1 as c but of another size, t as h but of another type."""
    shape = (ir.SymbolicDim("n"), 4)
    x, h, c = (ir.val(name, ir.DataType.FLOAT, shape) for name in ("x", "h", "c"))
    outputs = {
        "y": (ir.DataType.FLOAT, shape),
        "h1": (ir.DataType.FLOAT, shape),
        "c1": (ir.DataType.FLOAT, (ir.SymbolicDim("n"), 5)),
        "t": (ir.DataType.FLOAT16, shape),
    }
    nodes = [ir.node("Sum", [x, h, c], outputs=[ir.val(name, *form)]) for name, form in outputs.items()]
    return ir.Model(
        ir.Graph([x, h, c], [n.outputs[0] for n in nodes], nodes=nodes, opset_imports={"": 20}), ir_version=10
    )


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"g": "h1"}, "no input is named 'g'; the inputs are x, h, c"),
        ({"h": "h2"}, "no output is named 'h2'; the outputs are y, h1, c1, t"),
        ({"h": 4}, "output 4 of 4: count from 0"),
        ({"h": "h1", "c": "h1"}, "output 'h1' is the next value of one state, not of two"),
        ({"c": "c1"}, r"'c' is float \(n, 4\), output 'c1' is float \(n, 5\)"),
        ({"h": "t"}, r"'h' is float \(n, 4\), output 't' is float16 \(n, 4\)"),
        (["h", "c"], r"'h' is float \(n, 4\), output 'c1'"),
        (["x", "h", "c", "x", "x"], "for 4 outputs"),
        ("h", "give a list of inputs"),
    ],
)
def test_states_that_do_not_fit_the_graph(graph: ir.Model, states: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pair_states(states, graph)


def test_something_is_left_beside_the_states(graph: ir.Model) -> None:
    few = graph.clone()
    few.graph.outputs[:] = few.graph.outputs[:2]
    assert pair_states({}, few) == {}
    assert pair_states(["h"], few) == {"h": "h1"}
    with pytest.raises(UsageError, match="a step gives no result"):
        pair_states({"h": "h1", "c": "y"}, few)
    del few.graph.inputs[2]
    with pytest.raises(UsageError, match="none is left for the frame"):
        pair_states({"h": "h1", "x": "y"}, few)


def test_what_the_command_line_says() -> None:
    assert parse_states([]) is None
    assert parse_states(["h=h_next", "c=2"]) == {"h": "h_next", "c": 2}
    assert parse_states(["h", "c"]) == ["h", "c"]
    for texts in (["h="], ["=y"], ["h", "c=1"], ["h", "h"], [""]):
        with pytest.raises(UsageError, match="--state"):
            parse_states(texts)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv_gru", "cnn_lstm"])
def test_the_zoos_nets_over_64_frames(name: str, tmp_path: Path) -> None:
    path = tmp_path / "step.onnx"
    cnnc.compile(name, output=path, device="cpu")
    height, width = ZOO[name].input_shape[1:]
    clip = noise(1, 3, 64, height, width)
    with torch.no_grad():
        right = build(name).unroll(clip).numpy()
    with cnnc.load(path, device="cpu") as engine, engine.stream() as stream:
        got = np.stack([stream.step(frame) for frame in clip.unbind(2)], 1)
    assert np.abs(got - right).max() <= 1e-4 * np.abs(right).max()
    costs = cnnc.analyze(path).totals
    assert costs.macs == MACS_OF_SEVERAL_INPUTS[name]
