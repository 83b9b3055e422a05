"""The benchmark: what is asked of which process, what its figures mean, and where energy comes from. No times."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from cnnc.bench import bench as bench_module
from cnnc.bench import energy as energy_module
from cnnc.bench import plot as plot_module
from cnnc.bench.bench import bench, in_turn
from cnnc.bench.child import _main
from cnnc.bench.contenders import contenders_for
from cnnc.bench.energy import cpu_meter, meter_for
from cnnc.bench.job import Input, Job, Sample, describe, run_job
from cnnc.bench.plot import check_plot, draw, save_plot
from cnnc.bench.result import SCHEMA, summarize
from cnnc.race import Contender, race
from cnnc_runtime import Metadata, Preprocessing
from cnnc_runtime.errors import DeviceError, InvalidInputError, OutputError, UnsupportedModelError, UsageError
from tests.runtime.models import add, channel_means, relu

CERTIFIED = Metadata("1", "net.py:Net", "portable", certificate={})  # so that no probe runs it first


@pytest.fixture
def net(tmp_path: Path) -> str:
    path = tmp_path / "net.onnx"
    path.write_bytes(channel_means(metadata=CERTIFIED))
    return str(path)


def sample(median: float, runs: int = 100, joules: float | None = None) -> Sample:
    return Sample(0.1, 0.01, 0.02, 0.03, median, 2 * median, 3 * median, runs * median, runs, joules, "meter", "CPU")


def faked(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Run no process; remember what was asked, in order."""
    asked: list[Job] = []

    def run(job: Job) -> Sample:
        asked.append(job)
        return sample(1e-3 * (1 + len(asked)))

    monkeypatch.setattr(bench_module, "run_job", run)
    return asked


@pytest.mark.parametrize("kind", ["engine", "bare"])
def test_a_process_measures_a_file(net: str, kind: str) -> None:
    found = run_job(Job(kind, net, (Input("x", "float32", (2, 3, 8, 8)),), threads=1, seconds=0.01))
    assert found.provider == "CPUExecutionProvider"
    assert found.runs >= 10 and 0 < found.median <= found.p90 <= found.p99 <= found.total
    assert found.read is not None and min(found.imports, found.read, found.session, found.first) > 0
    assert (found.joules is None) == (meter_for("cpu")[0] is None)


@pytest.mark.parametrize("kind", ["engine", "bare", "eager"])
def test_a_device_that_is_not_there_is_an_error_and_never_the_cpu(net: str, kind: str) -> None:
    source = "lenet5" if kind == "eager" else net
    with pytest.raises(DeviceError, match=r"cuda:9.*cannot be used"):
        run_job(Job(kind, source, (Input("x", "float32", (2, 3, 8, 8)),), device="cuda:9", seconds=0.01))


def test_a_process_measures_pytorch_whatever_it_prints(tmp_path: Path) -> None:
    source = tmp_path / "net.py"
    source.write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        print('[]')\n"
        "        return x * 2\n",
        encoding="utf-8",
    )
    found = run_job(Job("eager", f"{source}:Net", (Input("x", "float32", (2, 3)),), threads=1, seconds=0.01))
    assert found.provider.startswith("PyTorch") and found.read is None and found.runs >= 10
    (tmp_path / "bad.py").write_text(source.read_text(encoding="utf-8").replace("x * 2", "x @ x"), encoding="utf-8")
    bad = Job("eager", f"{tmp_path / 'bad.py'}:Net", (Input("x", "float32", (2, 3)),), seconds=0.01)
    answer = _main({"job": json.loads(json.dumps(dataclasses.asdict(bad)))})
    assert answer["error"] == "InvalidInputError" and "bad.py:Net fails: RuntimeError: mat1 and" in answer["message"]


def test_an_error_of_the_child_is_an_error_here(net: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="expects shape"):
        run_job(Job("engine", net, (Input("x", "float32", (1, 3, 9, 9)),), seconds=0.01))
    path = tmp_path / "custom.onnx"
    path.write_bytes(relu().replace(b"Relu", b"Nope"))
    with pytest.raises(UnsupportedModelError):
        describe(str(path), "cpu")


def test_each_round_begins_with_another_contender() -> None:
    assert list(in_turn("abc", 4)) == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_contenders_take_turns_at_every_batch_and_number_of_threads(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = faked(monkeypatch)
    seen: list[tuple[int, int]] = []
    found = bench(
        net,
        [f"bare:{net}", "lenet5"],
        batches=(1, 4),
        threads=(1, 2),
        rounds=2,
        device="cpu",
        progress=lambda done, of: seen.append((done, of)),
    )
    order = [(job.kind, job.inputs[0].shape[0], job.threads) for job in asked]
    cells = [(1, 1), (1, 2), (4, 1), (4, 2)]
    assert order == [
        (kind, *cell) for turn in (["engine", "bare", "eager"], ["bare", "eager", "engine"]) for cell in cells
        for kind in turn
    ]  # fmt: skip
    assert seen == [(index + 1, 24) for index in range(24)]
    assert [(row.contender, row.batch, row.threads) for row in found.rows[:4]] == [(net, *cell) for cell in cells]
    assert asked[0].inputs == (Input("x", "float32", (1, 3, 8, 8)),)
    assert found.rows[-1].inputs == {"x": "float32 4x1x32x32"}


def test_a_row_is_medians_of_the_rounds() -> None:
    rounds = [sample(1e-3, joules=8.0), sample(3e-3, joules=16.0), sample(2e-3, joules=24.0)]
    row = summarize("net", 4, Job("engine", "net", (), threads=2), rounds)
    assert (row.median, row.p90, row.p99) == (2e-3, 4e-3, 6e-3)
    assert row.spread == (1e-3, 3e-3) and row.runs == 300 and row.threads == 2
    assert row.throughput == pytest.approx(4 / 2e-3)
    assert row.joules == 16.0 / 400  # an item
    assert row.cold.total == pytest.approx(0.1 + 0.01 + 0.02 + 0.03)


def test_the_document_names_its_schema_and_its_machine(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    faked(monkeypatch)
    found = bench(net, [f"bare:{net}"], rounds=1, seconds=0.5, device="cpu")
    document = json.loads(json.dumps(found.to_dict()))
    assert document["schema"] == SCHEMA == 1
    assert document["machine"]["cpu"] and document["machine"]["usable_cores"] >= 1
    assert {"onnxruntime", "onnxruntime-gpu"} & set(document["machine"]["versions"])
    first, second = document["results"]
    assert first["against_first"] == 1.0 and second["against_first"] == first["median"] / second["median"]
    assert set(first["cold"]) == {"imports", "read", "session", "first"}


def test_eager_takes_the_inputs_of_the_file_it_stands_against(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(channel_means(metadata=CERTIFIED, side="side"))
    shapes = {"": (1, 3, 20, 24)}
    (engine, eager), device = contenders_for([str(path), "net.py:Net"], shapes, "auto")
    assert [one.inputs[0].shape[1:] for one in (engine, eager)] == [(3, 20, 24)] * 2
    assert device == "cpu"
    with pytest.raises(UsageError, match="has the shape nx3xsidexside: give --input-shape"):
        contenders_for([str(path)], {}, "cpu")


def test_eager_against_an_embedded_artifact_takes_floats_with_channels_first(tmp_path: Path) -> None:
    from onnx import TensorProto

    embedded = dataclasses.replace(CERTIFIED, preprocessing=Preprocessing(embedded=True))
    path = tmp_path / "net.onnx"
    path.write_bytes(relu(("n", 10, 12, 3), dtype=TensorProto.INT8, metadata=embedded))
    (_, eager), _ = contenders_for([str(path), "net.py:Net"], {}, "cpu")
    assert eager.inputs == (Input("x", "float32", ("n", 3, 10, 12)),)


def test_two_inputs_and_a_fixed_batch(tmp_path: Path) -> None:
    path = tmp_path / "add.onnx"
    path.write_bytes(add())
    (both,), _ = contenders_for([str(path)], {}, "cpu")
    assert [one.shape for one in both.job(8, None, "cpu", 1.0).inputs] == [(8, 4), (8, 4)]
    path.write_bytes(channel_means(batch=4, metadata=CERTIFIED))
    (fixed,), _ = contenders_for([str(path)], {}, "cpu")
    assert fixed.job(4, 1, "cpu", 1.0).inputs[0].shape == (4, 3, 8, 8)
    with pytest.raises(UsageError, match="takes batches of 4 only: give --batch 4"):
        fixed.job(1, 1, "cpu", 1.0)
    assert bench(str(path), rounds=1, seconds=0.01, threads=(1,), device="cpu").rows[0].batch == 4


@pytest.mark.parametrize(
    ("against", "options", "message"),
    [
        (["{net}"], {}, "named twice"),
        ([], {"batches": (0,)}, "`batch`"),
        ([], {"threads": (1, 1)}, "`threads`"),
        ([], {"threads": (100_000,)}, "1 to 1024"),
        ([], {"rounds": 0}, "at least 1"),
        ([], {"seconds": float("nan")}, "at least 1"),
        ([], {"weights": "w.pt"}, "of PyTorch sources, and none is named"),
        ([], {"shapes": {"": (1, 3, 9, 9)}}, "--input-shape does not fit it"),
        (["nope"], {}, "no zoo name"),
    ],
)
def test_what_does_not_go_together_is_said(net: str, against: list[str], options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bench(net, [one.format(net=net) for one in against], device="cpu", **options)


def test_a_source_alone_needs_a_shape() -> None:
    with pytest.raises(UsageError, match=r"net.py:Net does not say its input's shape: give --input-shape"):
        bench("net.py:Net")


def zone(folder: Path, index: int, name: str, energy: int) -> Path:
    path = folder / f"intel-rapl:{index}"
    path.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", str(energy)), ("max_energy_range_uj", "1000000")):
        (path / file).write_text(f"{text}\n", encoding="ascii")
    return path / "energy_uj"


def test_rapl_sums_the_packages_and_minds_the_wrap(tmp_path: Path) -> None:
    first, second = zone(tmp_path, 0, "package-0", 900_000), zone(tmp_path, 1, "package-1", 100_000)
    zone(tmp_path, 2, "psys", 5)
    meter, name = cpu_meter(tmp_path)
    assert meter is not None and name == "RAPL, the whole CPU package"
    joules = meter()
    first.write_text("200000", encoding="ascii")  # over its range: 0.3 J
    second.write_text("600000", encoding="ascii")  # 0.5 J
    assert joules() == pytest.approx(0.8)


def test_energy_that_is_not_exposed_is_said(tmp_path: Path) -> None:
    assert cpu_meter(tmp_path) == (
        None,
        "energy is not exposed: no RAPL counter in /sys/class/powercap (a virtual machine has none)",
    )
    zone(tmp_path, 0, "package-0", 1).write_text("", encoding="ascii")  # as for one who may not read it
    meter, why = cpu_meter(tmp_path)
    assert meter is None and "is for root alone" in why


class FakeNvml:
    """NVML with one GPU whose counter, in millijoules, goes up by 1500 a reading."""

    def __init__(self, error: int = 0) -> None:
        self.error, self.millijoules = error, 0
        self.nvmlInit_v2 = lambda: 0
        self.nvmlDeviceGetHandleByIndex_v2 = lambda index, handle: int(index != 0)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: object, energy: Any) -> int:  # noqa: N802
        self.millijoules += 1500
        energy._obj.value = self.millijoules
        return self.error


def test_a_gpus_energy_is_nvmls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_module.ctypes, "CDLL", lambda name: FakeNvml())
    meter, name = meter_for("cuda:0")
    assert meter is not None and name == "NVML, the whole GPU"
    assert meter()() == 1.5
    assert meter_for("cuda:1")[0] is None  # there is no second one
    monkeypatch.setattr(energy_module.ctypes, "CDLL", lambda name: FakeNvml(error=3))
    assert meter_for("cuda") == (None, "energy is not exposed: this GPU has no counter that NVML reads")


def test_the_plot_has_every_contender_and_loads_nothing(
    net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faked(monkeypatch)
    found = bench(net, ["lenet5"], batches=(1, 8), threads=(1, 2), rounds=1, device="cpu")
    figure = draw(found)
    lines = [trace for trace in figure.data if trace.type == "scatter"]
    assert len(lines) == 2 * 2 * 2 and len([trace for trace in figure.data if trace.type == "bar"]) == 4
    first = [row for row in found.rows if (row.contender, row.threads) == (net, 1)]
    assert list(lines[0].x) == [1, 8] and list(lines[0].y) == [1e3 * row.median for row in first]
    page = tmp_path / "plot.html"
    save_plot(found, page)
    text = page.read_text(encoding="utf-8")
    assert "eager lenet5, 2 threads" in text and '<script src="http' not in text
    with pytest.raises(OutputError, match="--force"):
        save_plot(found, page)
    with pytest.raises(UsageError, match="a plot is"):
        check_plot(tmp_path / "plot.gif")


def test_a_picture_is_kaleidos_and_says_so_where_it_fails(
    net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from plotly.graph_objects import Figure

    faked(monkeypatch)
    found = bench(net, rounds=1, device="cpu")
    monkeypatch.setattr(plot_module, "_has_kaleido", lambda: False)
    with pytest.raises(UsageError, match="pip install kaleido"):
        save_plot(found, tmp_path / "a.png")
    monkeypatch.setattr(plot_module, "_has_kaleido", lambda: True)
    monkeypatch.setattr(Figure, "to_image", lambda self, **options: options["format"].encode())
    save_plot(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"png"

    def fail(self: Figure, **options: object) -> bytes:
        raise RuntimeError("Chrome not found\nmany lines")

    monkeypatch.setattr(Figure, "to_image", fail)
    with pytest.raises(UsageError, match=r"kaleido cannot draw it: Chrome not found: name an \.html"):
        save_plot(found, tmp_path / "b.svg")


def test_a_race_is_medians_by_round(net: str) -> None:
    seconds = race({"engine": Contender("engine", net, (1, 3, 8, 8))}, 1)
    assert list(seconds) == ["engine"] and len(seconds["engine"]) == 1 and seconds["engine"][0] > 0
