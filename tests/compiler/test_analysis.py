"""The analysis: the lecture's figures, the zoo's totals, names, formulas, memory, and open sizes."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import onnx_ir as ir
import pytest
import torch
from rich.console import Console
from torch import nn

import cnnc
from cnnc.analysis import Analysis, ConvolutionForm, FullyConnected, analyze_model
from cnnc.analysis.table import print_analysis
from cnnc.analysis.units import human
from cnnc.export import export
from cnnc.zoo import ZOO, build
from cnnc_passes.pipeline import optimize, pipeline_for
from cnnc_runtime.errors import InvalidInputError, UsageError
from tests.compiler.test_zoo import MACS


def exported(module: nn.Module, *shape: int) -> ir.Model:
    """The graph of `module` for inputs (batch, *shape)."""
    return export(module, (torch.zeros(2, *shape),))


@pytest.fixture(scope="module")
def resnet18() -> ir.Model:
    return export(build("resnet18"), torch.zeros(2, 3, 224, 224))


@pytest.fixture(scope="module")
def found(resnet18: ir.Model) -> Analysis:
    return analyze_model(resnet18, name="resnet18")


def lecture_case(bias: bool) -> Analysis:
    """Six 5x5 filters on a 3x32x32 image."""
    return analyze_model(exported(nn.Conv2d(3, 6, 5, bias=bias), 3, 32, 32), name="lecture")


def test_six_filters_against_fully_connected() -> None:
    (layer,) = lecture_case(bias=True).layers
    assert layer.params == 456
    assert layer.output_shape == (1, 6, 28, 28)
    assert layer.size_formula == ("(32 - 5)/1 + 1 = 28",) * 2
    assert layer.fully_connected == FullyConnected(14_455_392, macs=3072 * 4704, weight_bytes=4 * 14_455_392)
    dense = nn.Linear(3072, 4704, device="meta")  # as PyTorch counts it
    assert sum(p.numel() for p in dense.parameters()) == 14_455_392
    assert layer.ratio == 14_455_392 / 456


def test_without_bias_the_fully_connected_layer_has_none() -> None:
    (layer,) = lecture_case(bias=False).layers
    assert layer.params == 450
    assert layer.fully_connected == FullyConnected(3072 * 4704, 3072 * 4704, 4 * 3072 * 4704)


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "resnet50"])
def test_zoo_totals(name: str) -> None:
    totals = cnnc.analyze(name).totals
    assert (totals.params, totals.macs) == (ZOO[name].params, MACS[name])


def test_vgg16_is_nine_tenths_fully_connected() -> None:
    analysis = cnnc.analyze("vgg16")
    assert (analysis.totals.params, analysis.totals.macs) == (138_357_544, 15_470_264_320)
    dense = sum(layer.params for layer in analysis.layers if layer.op == "Gemm")
    assert dense == 123_642_856
    assert analysis.totals.weight_bytes - 4 * 138_357_544 < 1000


def test_totals_are_the_sums_of_the_layers(found: Analysis) -> None:
    totals = found.totals
    assert (totals.params, totals.macs) == (11_689_512, 1_814_073_344)
    assert totals.params == sum(layer.params for layer in found.layers)
    assert totals.macs == sum(layer.macs for layer in found.layers)
    assert totals.flops == sum(layer.flops for layer in found.layers) > 2 * totals.macs
    assert sum(layer.macs_share for layer in found.layers) == pytest.approx(1)
    assert totals.fully_connected.params > 10_000 * totals.params


def test_layers_are_named_as_their_modules_are(found: Analysis) -> None:
    modules = {name for name, _ in build("resnet18").named_modules()}
    convolutions = [layer.name for layer in found.layers if layer.op == "Conv"]
    assert convolutions[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert set(convolutions) <= modules
    assert "layer2.0.downsample.0" in convolutions
    assert next(layer.name for layer in found.layers if layer.op == "Add") == "layer1.0"
    assert not {"Shape", "Squeeze"} & {layer.op for layer in found.layers}


def test_kinds_add_up_to_the_totals(found: Analysis) -> None:
    kinds = found.by_kind()
    assert [*kinds][:3] == ["convolution", "fully connected", "normalization"] and "other" not in kinds
    assert sum(kind.layers for kind in kinds.values()) == len(found.layers)
    for name in ("params", "macs", "flops", "read_bytes", "written_bytes"):
        # The nodes that only compute shapes are no layers: a few bytes
        assert sum(getattr(kind, name) for kind in kinds.values()) == pytest.approx(
            getattr(found.totals, name), rel=1e-6
        )
    assert kinds["convolution"].macs == 1_813_561_344


def test_open_sizes_stay_symbolic_in_the_expressions(found: Analysis) -> None:
    assert found.expressions["macs"] == "1814073344*batch"
    model = exported(nn.Conv2d(3, 6, 5, stride=2), 3, 40, 48)
    model.graph.inputs[0].shape = ir.Shape(["n", 3, "h", "w"])
    macs = cnnc.analyze(model, input_shapes=["1,3,32,32"]).expressions["macs"]
    value = macs.replace("floor", "math.floor")
    assert eval(value, {"math": math, "n": 2, "h": 32, "w": 48}) == 2 * 6 * 14 * 22 * 75
    fixed = exported(nn.Conv2d(3, 6, 5), 3, 8, 8)
    fixed.graph.inputs[0].shape = ir.Shape([1, 3, 8, 8])
    assert analyze_model(fixed, name="fixed").expressions == {}


def test_statistics_and_other_constants_are_no_parameters(found: Analysis) -> None:
    assert (found.constants.learned, found.constants.statistics) == (11_689_512, 9600)
    assert sum(layer.statistics for layer in found.layers) == 9600


def test_memory_grows_with_the_batch_and_says_what_fits(resnet18: ir.Model, found: Analysis) -> None:
    memory = found.memory
    at_8 = analyze_model(resnet18, name="resnet18", sizes={"batch": 8}).memory
    # The shapes that the graph computes with, a few bytes, do not grow
    assert memory.at_batch(8) == pytest.approx(at_8.weight_bytes + at_8.peak_bytes, rel=1e-5)
    assert memory.peak_layer == at_8.peak_layer and len(memory.timeline) == len(found.model.graph)
    most = memory.largest_batch(10**9)
    assert memory.at_batch(most) <= 10**9 < memory.at_batch(most + 1)
    assert memory.largest_batch(1000) == 0


def test_a_dense_layer_is_a_convolution_over_its_map() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 5, 10), nn.Linear(10, 4))
    layers = analyze_model(exported(net, 3, 8, 7), name="net").layers
    forms = [layer.convolution for layer in layers if layer.convolution]
    assert forms == [ConvolutionForm(8, 10, (6, 5)), ConvolutionForm(10, 4, (1, 1))]


def test_an_operator_whose_cost_is_not_known_is_named() -> None:
    model = exported(nn.Conv2d(3, 6, 5), 3, 8, 8)
    model.graph[0].op_type, model.graph[0].domain = "Mystery", "com.example"
    model.graph[0].outputs[0].shape = ir.Shape(["batch", 6, 4, 4])
    analysis = analyze_model(model, name="net")
    assert analysis.uncounted == {"com.example::Mystery": 1}
    text = io.StringIO()
    print_analysis(analysis, Console(file=text, width=100))
    assert "not known here" in text.getvalue()


def test_names_survive_the_rewrites(resnet18: ir.Model, found: Analysis) -> None:
    model = resnet18.clone()
    optimize(model, pipeline_for("cpu"))
    after = analyze_model(model, name="resnet18")
    fused = [layer for layer in after.layers if layer.op == "com.microsoft::FusedConv"]
    assert {"conv1", "layer4.1.conv2"} <= {layer.name for layer in fused}
    assert after.totals.macs == found.totals.macs
    assert after.totals.params == 11_684_712  # 4,800 scales and 4,800 shifts fewer, 4,800 biases more
    assert after.totals.peak_activation_bytes <= found.totals.peak_activation_bytes


def test_the_model_stays_as_it_was(resnet18: ir.Model) -> None:
    before = ir.to_proto(resnet18).SerializeToString(deterministic=True)
    analyze_model(resnet18, name="resnet18")
    assert ir.to_proto(resnet18).SerializeToString(deterministic=True) == before


def test_peak_memory_is_the_largest_set_of_live_activations() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.b(torch.relu(self.a(x)))
            return y + x

    analysis = analyze_model(exported(Net(), 1, 10, 10), name="net")
    one = 10 * 10 * 4  # bytes of one channel
    assert analysis.totals.peak_activation_bytes == one * (1 + 4 + 4)  # the input is read again; a and relu(a)


def test_json_has_the_documented_keys_and_exact_numbers(found: Analysis) -> None:
    document = json.loads(found.to_json())
    assert document == json.loads(json.dumps(found.to_dict()))
    assert (document["schema_version"], document["model"], document["batch"]) == (2, "resnet18", 1)
    assert "1 MAC = 2 FLOPs" in document["convention"]
    assert {"params", "macs", "flops", "weight_bytes", "peak_activation_bytes"} <= set(document["totals"])
    first = document["layers"][0]
    assert {"name", "op", "input_shapes", "output_shape", "params", "macs", "flops", "fully_connected"} <= set(first)
    dense = 150528 * 802816
    assert first["fully_connected"] == {"params": dense, "macs": dense, "weight_bytes": 4 * dense}
    assert (first["input_shapes"], first["output_shape"]) == ([[1, 3, 224, 224]], [1, 64, 112, 112])


def test_the_schema_is_as_the_docs_have_it(found: Analysis) -> None:
    text = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (`[^|]+`) \| (.*) \|$", text[text.index("`schema_version`") :], re.MULTILINE))
    document = found.to_dict()
    keys = {key for names in rows for key in re.findall(r"`(\w+)`", names)}
    asked_for = {"conventions", "dense_proofs", "fit", "comparison"}
    assert keys - asked_for == document.keys() - {"schema_version"}
    layer = set(re.findall(r"`(\w+)`", re.sub(r"\{.*?\}", "", rows["`layers`"])))
    assert layer == document["layers"][0].keys()
    assert set(re.findall(r"`(\w+)`", rows["`totals`"])) == document["totals"].keys()


def test_csv_has_a_line_per_layer(found: Analysis) -> None:
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert len(rows) == len(found.layers)
    assert sum(int(row["macs"]) for row in rows) == found.totals.macs
    assert rows[0]["output_shape"] == "1x64x112x112"
    assert rows[1]["fully_connected_params"] == ""


@pytest.mark.parametrize("width", [80, 120, 200])
def test_table_fits_the_terminal(found: Analysis, width: int) -> None:
    text = io.StringIO()
    print_analysis(found, Console(file=text, width=width, force_terminal=True, color_system=None))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert any("layer2.0.downsample.0" in line for line in lines)
    assert any(line.startswith("total") and "11.7 M" in line and "1.81 G" in line for line in lines)
    assert ("floor((224 + 2*3 - 7)/2) + 1 = 112" in text.getvalue()) == (width >= 120)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (999, "999"), (1000, "1.00 k"), (9_996, "10.0 k"), (61_706, "61.7 k"), (999_499, "999 k")),
        *((999_500, "1.00 M"), (15_470_264_320, "15.5 G"), (10**15, "1.00 P"), (12 * 10**18, "12,000 P")),
    ],
)
def test_human_units(number: int, text: str) -> None:
    assert human(number) == text


def test_open_sizes_are_asked_for_and_settled() -> None:
    model = exported(nn.Conv2d(3, 6, 5), 3, 40, 48)
    model.graph.inputs[0].shape = ir.Shape(["batch", 3, "h", "w"])
    with pytest.raises(UsageError, match=r"input 'input' has the open shape.*--input-shape"):
        cnnc.analyze(model)
    at_32 = cnnc.analyze(model, input_shapes=["1,3,32,32"])
    assert at_32.totals.macs == 6 * 28 * 28 * 75
    assert at_32.layers[0].fully_connected == FullyConnected(14_455_392, 3072 * 4704, 4 * 14_455_392)
    at_batch_8 = cnnc.analyze(model, input_shapes=["input:8,3,32,32"])
    assert (at_batch_8.batch, at_batch_8.totals.macs) == (8, 8 * at_32.totals.macs)
    assert at_batch_8.layers[0].fully_connected == FullyConnected(14_455_392, 8 * 3072 * 4704, 4 * 14_455_392)
    with pytest.raises(UsageError, match="has the shape"):
        cnnc.analyze(model, input_shapes=["1,4,32,32"])
    with pytest.raises(UsageError, match="no input is named 'y'"):
        cnnc.analyze(model, input_shapes=["y:1,3,32,32"])


def test_an_artifact_remembers_its_source(tmp_path: Path) -> None:
    before = {"params": 500, "macs": 7, "flops": 14}
    model = exported(nn.Conv2d(3, 6, 5), 3, 32, 32)
    model.metadata_props["cnnc.report"] = json.dumps({"before": before})
    for key in ("version", "source", "target"):
        model.metadata_props[f"cnnc.{key}"] = json.dumps("x")
    analysis = analyze_model(model, name="net")
    assert analysis.source == before
    text = io.StringIO()
    print_analysis(analysis, Console(file=text, width=80))
    assert "source had 500 parameters" in text.getvalue()
    model.metadata_props["cnnc.report"] = "{"
    with pytest.raises(InvalidInputError, match=r"cnnc\.report"):
        analyze_model(model, name="net")


def test_weights_stay_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    ir.save(exported(nn.Conv2d(3, 6, 5), 3, 32, 32), path, external_data="net.data", size_threshold_bytes=0)
    (tmp_path / "net.data").write_bytes(b"\0" * 3000)
    model = ir.load(path)
    (tmp_path / "net.data").unlink()
    assert analyze_model(model, name="net").totals.params == 456


def test_a_graph_is_analyzed_without_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    ir.save(exported(nn.Conv2d(3, 6, 5), 3, 32, 32), path)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"import cnnc; print(cnnc.analyze({str(path)!r}).totals.params, 'onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["456", "False"]
