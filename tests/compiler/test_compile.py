"""compile(): the artifact equals the network, on what was traced and what was not; a failure writes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

import cnnc
from cnnc import attempt
from cnnc.artifact import write_model
from cnnc_runtime.errors import InvalidInputError, OutputError, UnsupportedModelError, UsageError, VerificationError
from tests.nets import BakedBatch, Branches, NegativePadPool, Residual, TwoInputs

X = torch.zeros(1, 3, 12, 12)


def reference(module: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    module.eval()
    with torch.inference_mode():
        return module(torch.from_numpy(x)).numpy()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("target", ["onnxruntime", "portable"])
def test_artifact_equals_the_network_at_batches_never_traced(tmp_path: Path, target: str) -> None:
    net = Residual()
    compiled = cnnc.compile(net, X, tmp_path / "net.onnx", target=target)
    engine = compiled.engine("cpu")
    for batch in (1, 2, 5):
        x = noise(batch, 3, 12, 12)
        np.testing.assert_allclose(engine.run(x), reference(net, x), atol=1e-5)


def test_report_counts_what_was_done(tmp_path: Path) -> None:
    report = cnnc.compile(Residual(), X, tmp_path / "net.onnx").report
    assert report.passes.applied() == {"reduce-to-pool": 1, "fold-batchnorm": 3}
    assert report.before is not None and report.after is not None
    assert report.before.params == sum(p.numel() for p in Residual().parameters())
    assert report.after.macs == report.before.macs
    assert report.certificate is not None and report.certificate.error < 1e-5
    assert report.certificate.provider == "CPUExecutionProvider"


def test_mode_of_every_submodule_is_restored(tmp_path: Path) -> None:
    net = Residual().train()
    net.bn.eval()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    cnnc.compile(net, X, tmp_path / "net.onnx")
    assert net.training and net.bn1.training and not net.bn.training
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_several_inputs_and_outputs_of_several_types(tmp_path: Path) -> None:
    net = TwoInputs().eval()
    example = {"image": torch.zeros(1, 1, 6, 6), "kind": torch.tensor([3])}
    engine = cnnc.compile(net, example, tmp_path / "net.onnx").engine("cpu")
    feed = {"image": noise(4, 1, 6, 6), "kind": np.array([0, 6, 2, 2])}
    with torch.inference_mode():
        features, named = net(*(torch.from_numpy(x) for x in feed.values()))
    outputs = engine.run(feed)
    assert list(outputs)[1:] == ["double", "top"]
    np.testing.assert_allclose(next(iter(outputs.values())), features, atol=1e-6)
    np.testing.assert_allclose(outputs["double"], named["double"], atol=1e-6)
    assert outputs["top"].dtype == np.int64 and np.array_equal(outputs["top"], named["top"])


def test_static_shapes(tmp_path: Path) -> None:
    engine = cnnc.compile(Residual(), X, tmp_path / "net.onnx", dynamic={}).engine("cpu")
    assert engine.inputs[0].shape == (1, 3, 12, 12)


def test_dynamic_height_and_width(tmp_path: Path) -> None:
    net = Residual()
    dynamic = {"x": {0: "batch", 2: "height", 3: "width"}}
    engine = cnnc.compile(net, X, tmp_path / "net.onnx", dynamic=dynamic).engine("cpu")
    x = noise(3, 3, 9, 17)
    np.testing.assert_allclose(engine.run(x), reference(net, x), atol=1e-5)


def test_opset_is_what_was_asked_for(tmp_path: Path) -> None:
    cnnc.compile(Residual(), X, tmp_path / "net.onnx", opset=18)
    opsets = {entry.domain: entry.version for entry in onnx.load(tmp_path / "net.onnx").opset_import}
    assert opsets[""] == 18


def test_pad_then_max_pool_is_right_on_negative_inputs(tmp_path: Path) -> None:
    net, x = NegativePadPool(), -np.abs(noise(2, 3, 12, 12)) - 1
    engine = cnnc.compile(net, X, tmp_path / "net.onnx").engine("cpu")
    np.testing.assert_array_equal(engine.run(x), reference(net, x))


def test_without_output_the_artifact_stays_in_memory() -> None:
    net, x = Residual(), noise(2, 3, 12, 12)
    compiled = cnnc.compile(net, X)
    assert compiled.path is None and compiled.content
    np.testing.assert_allclose(compiled.engine("cpu").run(x), reference(net, x), atol=1e-5)


def test_metadata_describes_the_artifact(tmp_path: Path) -> None:
    preprocessing = cnnc.Preprocessing(
        resize=(12, 12), crop=None, scale=1 / 255, mean=(0.5,) * 3, std=(0.5,) * 3, color="rgb"
    )
    cnnc.compile(Residual(), X, tmp_path / "net.onnx", preprocessing=preprocessing, labels="abcde")
    metadata = cnnc.load(tmp_path / "net.onnx", device="cpu").metadata
    assert metadata is not None
    assert metadata.preprocessing == preprocessing and metadata.labels == tuple("abcde")
    assert metadata.certificate is not None and metadata.certificate["seed"] == 0
    assert metadata.report is not None and metadata.report["before"]["params"] > 0


def test_onnx_source_is_proved_against_its_own_graph(tmp_path: Path) -> None:
    net, x = Residual(), noise(3, 3, 12, 12)
    raw = tmp_path / "raw.onnx"
    torch.onnx.export(net.eval(), (torch.zeros(2, 3, 12, 12),), raw, dynamo=True, verbose=False,
                      dynamic_shapes=({0: torch.export.Dim("batch")},))  # fmt: skip
    compiled = cnnc.compile(raw, output=tmp_path / "net.onnx", target="cpu")
    assert "reference evaluator" in compiled.report.certificate.oracle
    assert compiled.report.passes.applied()["fuse-activation"] == 3
    np.testing.assert_allclose(compiled.engine("cpu").run(x), reference(net, x), atol=1e-5)


def test_an_artifact_can_be_compiled_again(tmp_path: Path) -> None:
    cnnc.compile(Residual(), X, tmp_path / "net.onnx")
    again = cnnc.compile(tmp_path / "net.onnx", output=tmp_path / "again.onnx")
    assert again.report.passes.applied() == {}


def test_untraceable_code_is_named_by_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"nets\.py:\d+, `if x.sum\(\) > 0:`"):
        cnnc.compile(Branches(), torch.zeros(1, 4), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_untraceable_code_leaves_no_half_graph_on_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnsupportedModelError):
        cnnc.compile(Branches(), torch.zeros(1, 4))
    assert capfd.readouterr() == ("", "")


def test_inputs_that_the_network_itself_refuses_are_an_input_error() -> None:
    with pytest.raises(InvalidInputError, match=r"Residual itself fails on x 2x5x12x12 at .*nets\.py:\d+.*5 channels"):
        cnnc.compile(Residual(), torch.zeros(1, 5, 12, 12))


def test_types_that_the_engine_lacks_are_named() -> None:
    with pytest.raises(UnsupportedModelError, match=r"the artifact of Residual needs a kernel.*Conv"):
        cnnc.compile(Residual().double(), X.double())
    with pytest.raises(UnsupportedModelError, match=r"input 'x' is bfloat16"):
        cnnc.compile(Residual().bfloat16(), X.bfloat16())


def test_a_batch_size_in_the_code_is_named() -> None:
    with pytest.raises(UnsupportedModelError, match=r"BakedBatch.forward works at one size of axis 'batch' only"):
        cnnc.compile(BakedBatch(), torch.zeros(1, 4))


def test_a_wrong_artifact_is_caught_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every weight off by 1%, whatever was rewritten: no rounding, so exit 6, and the old file is intact."""

    def off_by_a_percent(model: ir.Model, path: Path) -> list[Path]:
        for value in model.graph.initializers.values():
            if value.dtype == ir.DataType.FLOAT:
                value.const_value = ir.tensor(1.01 * value.const_value.numpy(), ir.DataType.FLOAT, name=value.name)
        return write_model(model, path)

    monkeypatch.setattr(attempt, "write_model", off_by_a_percent)
    out = tmp_path / "net.onnx"
    out.write_bytes(b"precious")
    with pytest.raises(VerificationError, match=r"of the output's magnitude.* Nothing was written"):
        cnnc.compile(Residual(), X, out)
    assert out.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [out]


def test_existing_output_is_refused_without_force(tmp_path: Path) -> None:
    out = tmp_path / "net.onnx"
    out.write_bytes(b"precious")
    with pytest.raises(OutputError, match="--force"):
        cnnc.compile(Residual(), X, out, force=False)
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dynamic": {"y": {0: "batch"}}}, "no input is named 'y'"),
        ({"dynamic": {"x": {4: "depth"}}}, "axis 4"),
        ({"dynamic": {"x": ["batch"]}}, "give a dict"),
        ({"labels": ["a", "b"]}, "2 labels for 5 classes"),
        ({"weights": "net.pt"}, "named by a string"),
        ({"skip": ["fold"]}, "no pass is named 'fold'"),
    ],
)
def test_contradictions_are_usage_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        cnnc.compile(Residual(), X, **options)  # type: ignore[arg-type]


def test_verification_can_be_left_out_and_says_so(tmp_path: Path) -> None:
    compiled = cnnc.compile(Residual(), X, tmp_path / "net.onnx", prove=False)
    assert compiled.report.certificate is None
    metadata = cnnc.load(tmp_path / "net.onnx", device="cpu").metadata
    assert metadata is not None and metadata.certificate is None


class Twice(torch.nn.Module):
    """One tensor under two names."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        y = torch.relu(x)
        return {"a": y, "b": y}


def test_a_tensor_returned_twice_is_two_outputs(tmp_path: Path) -> None:
    outputs = cnnc.compile(Twice(), torch.zeros(1, 3)).engine().run({"x": noise(2, 3)})
    assert list(outputs) == ["a", "b"]
    np.testing.assert_array_equal(outputs["a"], outputs["b"])


class Area(torch.nn.Module):
    """Adaptive pooling: the kernel depends on the size, and an exporter bakes it in."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(x, size=(3, 3), mode="area")


def test_a_kernel_that_was_baked_in_does_not_pass_for_one_other_size() -> None:
    dynamic = {"x": {0: "batch", 2: "height", 3: "width"}}
    with pytest.raises((VerificationError, UnsupportedModelError)):  # 9 places go into 3 as 8 do: 11 do not
        cnnc.compile(Area(), torch.zeros(1, 2, 8, 8), dynamic=dynamic)
