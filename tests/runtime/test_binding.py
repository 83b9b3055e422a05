"""IO binding, and CUDA graphs by a session that plays a GPU: the calls are onnxruntime's own, on CPU memory."""

import logging

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from cnnc_runtime.computation import Computation
from cnnc_runtime.gpu.binding import Binding
from cnnc_runtime.gpu.cuda_graphs import GraphRunner
from cnnc_runtime.opening import Opened
from cnnc_runtime.providers import CPU, Device, GpuOptions
from cnnc_runtime.session import open_session
from cnnc_runtime.tensors import TensorSpec
from tests.runtime.models import add, channel_means, serialized


class FakeGpu:
    """A session that records graphs as CUDA would: a replay computes on the buffers it was captured with.

    A graph is of no use once its session has run another shape, as it may be on a real GPU. `fault` makes a replay
    wrong: `stale` leaves the outputs as they were, `broken` fails the capture.
    """

    def __init__(self, session, fault: str | None = None) -> None:
        self.session, self.fault = session, fault
        self.runs: list[int] = []
        self.captured: dict[int, list[int]] = {}
        self.shapes: list[list[tuple[int, ...]]] = []

    def io_binding(self):
        return self.session.io_binding()

    def run_with_iobinding(self, binding, options=None) -> None:
        graph = int(options.get_run_config_entry("gpu_graph_id")) if options is not None else -1
        self.runs.append(graph)
        self.shapes.append([tuple(value.shape()) for value in binding._bound_inputs.values() if value is not None])
        if self.captured and self.shapes[-1] != self.shapes[-2]:
            raise RuntimeError("CUDA failure 715: an illegal instruction was encountered")
        if graph >= 0:
            addresses = [value.data_ptr() for value in binding._bound_inputs.values()]
            addresses += [value.data_ptr() for value in binding._bound_outputs.values()]
            if self.fault == "broken":
                raise RuntimeError("CUDA failure 900: operation not permitted when stream is capturing")
            assert self.captured.setdefault(graph, addresses) == addresses, "a graph replays at fixed addresses"
            if self.fault == "stale" and self.runs.count(graph) > 1:
                for value in binding._bound_outputs.values():
                    value.update_inplace(np.full(value.shape(), 7, np.float32))
                return
        self.session.run_with_iobinding(binding)


class Played(list):
    """Opens sessions with graphs on a played GPU, and lists them."""

    def __init__(self, fault: str | None = None) -> None:
        super().__init__()
        self.fault = fault

    def __call__(self) -> Binding:
        binding, gpu = bind(channel_means(), self.fault)
        self.append(gpu)
        return binding


def bind(model: bytes, fault: str | None = None) -> tuple[Binding, FakeGpu]:
    session, _ = open_session(model, "net", CPU, 1, "all")
    inputs = [TensorSpec.of(arg) for arg in session.get_inputs()]
    outputs = [TensorSpec.of(arg) for arg in session.get_outputs()]
    gpu = FakeGpu(session, fault)
    return Binding(gpu, inputs, outputs, "cpu", 0), gpu


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def means(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=(2, 3))


def test_buffers_are_allocated_once_per_shape():
    binding, _ = bind(channel_means())
    kept = []
    for batch in (2, 3, 2, 3, 2):
        x = random(batch, 3, 8, 8)
        (y,) = binding.run({"x": x})
        np.testing.assert_allclose(y, means(x), atol=1e-6)
        kept.append((y, means(x)))
    for y, right in kept:  # no later run has written into an earlier result
        np.testing.assert_allclose(y, right, atol=1e-6)
    assert len(binding._kept) == 2


def test_many_shapes_do_not_pile_up():
    binding, _ = bind(channel_means(side="s"))
    for side in range(1, 40):
        x = random(1, 3, side, side)
        np.testing.assert_allclose(binding.run({"x": x})[0], means(x), atol=1e-5)
    assert len(binding._kept) == 8


def test_several_inputs_and_outputs():
    binding, _ = bind(add())
    a, b = random(2, 4), random(4, 2).T.copy()
    for _ in range(2):
        s, d = binding.run({"a": a, "b": b})
        np.testing.assert_array_equal(s, a + b)
        np.testing.assert_array_equal(d, a - b)


def test_outputs_whose_shape_depends_on_values():
    nodes = [
        helper.make_node("Greater", ["x", "zero"], ["g"]),
        helper.make_node("Compress", ["x", "g"], ["y"]),
    ]
    binding, _ = bind(serialized(nodes, {"x": ("n",)}, ["y"], constants={"zero": np.zeros(1, np.float32)}))
    for values in ([1, -1, 2, -2], [1, 2, 3, -1], [-1, -1, 4, -1], [5, 6, -1, -1]):
        x = np.array(values, np.float32)
        np.testing.assert_array_equal(binding.run({"x": x})[0], x[x > 0])
        tensor = torch.from_numpy(x)
        assert torch.equal(binding.run_tensors({"x": tensor})[0], tensor[tensor > 0])


def test_tensors_are_used_where_they_are():
    binding, _ = bind(channel_means())
    results = []
    for _ in range(3):  # onnxruntime allocates the first output, PyTorch the others
        x = torch.randn(2, 3, 8, 8)
        (y,) = binding.run_tensors({"x": x})
        results.append((y, x.mean(dim=(2, 3))))
    for y, right in results:
        assert torch.allclose(y, right, atol=1e-6)


def test_an_artifact_that_explains_a_class_takes_tensors(monkeypatch):
    """`explain_class` has a range; it goes the way of the pictures all the same, through an engine on a played GPU."""
    values = [("x", TensorProto.FLOAT, ["n", 4]), ("explain_class", TensorProto.INT64, ["n"])]
    nodes = [
        helper.make_node("Unsqueeze", ["explain_class", "one"], ["at"]),
        helper.make_node("GatherElements", ["x", "at"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*value) for value in values],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.array([1], np.int64), "one")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    binding, gpu = bind(model)
    monkeypatch.setattr("cnnc_runtime.executor.Binding", lambda *_: binding)
    specs = [TensorSpec.of(arg) for arg in gpu.session.get_inputs()]
    ranges = {"explain_class": (-1.0, 3.0)}
    opened = Opened(gpu, Device("cuda"), "net", GpuOptions())
    computation = Computation(opened, specs, [TensorSpec("y", np.dtype("f4"), ("n", 1))], [], ranges)
    x, asked = torch.randn(5, 4), torch.tensor([3, -1, 0, 2, 1])
    for _ in range(2):
        (y,) = computation.on_device({"x": x, "explain_class": asked})
        assert torch.equal(y[:, 0], x[torch.arange(5), asked])


def test_a_graph_serves_each_bucket_and_its_smaller_batches():
    plain, gpu = bind(channel_means())
    opened = Played()
    graphs = GraphRunner(plain, opened, [4, 2], lambda feed: True)
    for batch in (1, 2, 3, 4, 3, 1, 5, 2):
        x = random(batch, 3, 8, 8)
        (y,) = graphs.run({"x": x})
        assert y.shape == (batch, 3)
        np.testing.assert_allclose(y, means(x), atol=1e-6)
    assert [graph.runs for graph in opened] == [[-1] + [1] * 5, [-1] + [1] * 4]  # one replay each, once captured
    assert set(gpu.runs) == {-1} and len(gpu.runs) == 3  # compared with twice, and the batch of 5


def test_larger_batches_and_dependent_samples_run_without_a_graph():
    binding, gpu = bind(channel_means())
    for sizes, batch in (([2], 3), ([4], 3)):
        opened = Played()
        graphs = GraphRunner(binding, opened, sizes, lambda feed: False)
        x = random(batch, 3, 8, 8)
        np.testing.assert_allclose(graphs.run({"x": x})[0], means(x), atol=1e-6)
        assert not opened
    assert set(gpu.runs) == {-1}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("stale", "no CUDA graph for batch 2: its outputs differ from those of a plain run"),
        ("broken", "no CUDA graph for batch 2: CUDA failure 900: operation not permitted when stream is capturing"),
    ],
)
def test_a_graph_that_is_wrong_is_not_used_and_that_is_said(caplog, fault, message):
    plain, _ = bind(channel_means())
    opened = Played(fault)
    graphs = GraphRunner(plain, opened, [2], lambda feed: True)
    with caplog.at_level(logging.WARNING, logger="cnnc"):
        for batch in (2, 1, 2):
            x = random(batch, 3, 8, 8)
            np.testing.assert_allclose(graphs.run({"x": x})[0], means(x), atol=1e-6)
    assert [record.message for record in caplog.records] == [message]
    assert len(opened) == 1  # not tried again


def test_an_engine_on_a_gpu_goes_through_buffers_and_graphs(monkeypatch):
    monkeypatch.setattr("cnnc_runtime.executor.Binding", lambda gpu, *_: gpu)
    inputs, outputs = ([TensorSpec("x", np.dtype("f4"), ("n", 3, 8, 8))], [TensorSpec("y", np.dtype("f4"), ("n", 3))])
    for options, another in ((GpuOptions(), None), (GpuOptions(cuda_graphs=True), Played())):
        plain, gpu = bind(channel_means())
        opened = Opened(plain, Device("cuda"), "net", options, with_graph=another)
        computation = Computation(opened, inputs, outputs, [], {})
        for batch in (3, 1, 3):
            x = random(batch, 3, 8, 8)
            np.testing.assert_allclose(computation.host({"x": x})[0], means(x), atol=1e-6)
            (tensor,) = computation.on_device({"x": torch.from_numpy(x)})
            np.testing.assert_allclose(tensor.numpy(), means(x), atol=1e-6)
        assert not gpu.captured
        assert another is None or [set(graph.captured) for graph in another] == [{1}] * 3


def test_tensors_that_do_not_fit_run_in_halves(monkeypatch, caplog):
    binding, gpu = bind(channel_means())
    monkeypatch.setattr("cnnc_runtime.executor.Binding", lambda *_: binding)
    run = binding.run_tensors

    def starved(feed):
        if len(feed["x"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return run(feed)

    monkeypatch.setattr(binding, "run_tensors", starved)
    inputs, outputs = ([TensorSpec("x", np.dtype("f4"), ("n", 3, 8, 8))], [TensorSpec("y", np.dtype("f4"), ("n", 3))])
    computation = Computation(Opened(gpu, Device("cuda"), "net", GpuOptions()), inputs, outputs, [], {})
    x = torch.randn(5, 3, 8, 8)
    (y,) = computation.on_device({"x": x})
    assert torch.allclose(y, x.mean(dim=(2, 3)), atol=1e-6)
    assert "out of memory at batch 5, running 2 at a time" in caplog.text
