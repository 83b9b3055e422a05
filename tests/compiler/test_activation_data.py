"""Activation health from files, folders and arrays; what cannot be used; and how it is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from cnnc.analysis.activations import activation_lines, measure_activations, print_activations
from cnnc.export import export
from cnnc_runtime.errors import InvalidInputError, UnsupportedModelError, UsageError
from tests.compiler.activation_nets import DIGITS, LABELS, SCANS, measured, small_model


def test_files_and_arrays_give_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", DIGITS[:60])
    np.savez(tmp_path / "x.npz", images=DIGITS[:60], y=LABELS[:60])
    np.savez(tmp_path / "named.npz", input=DIGITS[:60], other=np.zeros(3), labels=LABELS[:60])
    want = measure_activations(small_model(), DIGITS[:60], labels=LABELS[:60]).to_dict()
    assert measure_activations(small_model(), str(tmp_path / "x.npz")).to_dict() == want
    assert measure_activations(small_model(), tmp_path / "named.npz").to_dict() == want
    assert measure_activations(small_model(), tmp_path / "x.npy", labels=LABELS[:60]).to_dict() == want
    assert measure_activations(small_model(), tmp_path / "x.npy").classes == ()


def test_folder_of_images_by_class(tmp_path: Path) -> None:
    from PIL import Image

    for i, (scan, label) in enumerate(zip(SCANS[:60], LABELS[:60], strict=True)):
        folder = tmp_path / f"digit{label}"
        folder.mkdir(exist_ok=True)
        Image.fromarray((scan * 15.9375).astype(np.uint8).reshape(8, 8)).save(folder / f"{i}.png")
    health = measure_activations(small_model(), tmp_path, limit=40, batch=16)
    assert (health.samples, health.classes) == (40, tuple(f"digit{i}" for i in range(10)))
    assert health.projection is not None and len(set(health.projection.labels)) == 10  # drawn, not the first 40
    some = [tmp_path / "digit0" / "0.png", tmp_path / "digit1" / "1.png"]
    assert measure_activations(small_model(), some, labels=["nought", "one"]).classes == ("nought", "one")
    assert measure_activations(small_model(), some[0]).samples == 1


def test_frames_of_a_video_and_rows_of_a_table(tmp_path: Path) -> None:
    """The same 12 pictures from a video without loss, a Parquet file and a folder; drawn from all of them."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    from cnnc_runtime.pipeline.video import load_opencv, read_frames

    cv2 = load_opencv()
    writer = cv2.VideoWriter(str(tmp_path / "film.avi"), cv2.VideoWriter_fourcc(*"FFV1"), 10, (16, 16))
    for scan in SCANS[:12]:
        writer.write(np.kron((scan * 15).astype(np.uint8).reshape(8, 8, 1), np.ones((2, 2, 3), np.uint8)))
    writer.release()
    (tmp_path / "frames").mkdir()
    rows = []
    for number, image in read_frames(tmp_path / "film.avi"):
        image.save(tmp_path / "frames" / f"{number:02}.png")
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    pq.write_table(pa.table({"image": rows}), tmp_path / "rows.parquet")
    want = measure_activations(small_model(), tmp_path / "frames", labels=LABELS[:12], batch=5).to_dict()
    assert want["samples"] == 12
    for name in ("film.avi", "rows.parquet"):
        assert measure_activations(small_model(), tmp_path / name, labels=LABELS[:12], batch=5).to_dict() == want
    few = [measure_activations(small_model(), tmp_path / name, limit=4).to_dict() for name in ("frames", "film.avi")]
    assert few[0] == few[1] and few[0]["samples"] == 4
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "none.parquet")
    (tmp_path / "text.mp4").write_text("no video")
    for name, message in (
        ("none.parquet", "none.parquet"),
        ("text.mp4", "text.mp4 is not a video"),
        ("no.mp4", "no such"),
    ):
        with pytest.raises(InvalidInputError, match=message) as caught:
            measure_activations(small_model(), tmp_path / name)
        assert "\n" not in str(caught.value) and "zip" not in str(caught.value)


def test_clips_of_a_video_one_after_the_other(tmp_path: Path) -> None:
    from cnnc_runtime import Preprocessing
    from tests.runtime.films import numbered

    film = numbered(tmp_path / "film.mp4", 50)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv3d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 3))
    model = export(net, (torch.zeros(2, 3, 8, 16, 24),))
    assert measure_activations(model, film).samples == 6
    assert measure_activations(model, film, preprocessing=Preprocessing(clip_stride=3)).samples == 2
    assert measure_activations(model, film, limit=4).samples == 4
    with pytest.raises(UsageError, match="images become 8x8, the input is 16x24"):
        measure_activations(model, film, preprocessing=Preprocessing(resize=(8, 8)))


def test_unusable_data_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.png").write_bytes(b"no image")
    np.savez(tmp_path / "two.npz", a=DIGITS[:2], b=DIGITS[:2])
    np.save(tmp_path / "x.npy", DIGITS[:2])
    broken = DIGITS[:5].copy()
    broken[3, 0, 0, 0] = np.nan
    cases: list[tuple[object, dict[str, object], str]] = [
        (tmp_path / "empty", {}, "holds no images"),
        (tmp_path / "none.npz", {}, "none.npz: no such file"),
        (tmp_path / "none.png", {}, "none.png: no such file"),
        (tmp_path / "broken.png", {}, "broken.png"),
        (tmp_path / "two.npz", {}, r"two.npz has the arrays \['a', 'b'\] besides labels, the net takes \['input'\]"),
        ([tmp_path / "x.npy", tmp_path / "broken.png"], {}, "x.npy: arrays, videos and Parquet are given as one file"),
        ([], {}, "an empty list"),
        (DIGITS[:2].reshape(2, 64), {}, r"the data: input 'input' expects shape \(N, 1, 8, 8\), got \(2, 64\)"),
        (DIGITS[:0], {}, "is empty"),
        (DIGITS[:2].astype(np.float64), {}, "cannot hold every float64"),
        (broken, {}, "sample 3 of input 'input' holds NaN"),
        (DIGITS[:2], {"labels": [1]}, "there are 1 labels for 2 samples"),
        (DIGITS[:2], {"labels": [[1, 2], [3, 4]]}, r"the labels have the shape \(2, 2\)"),
        (DIGITS[:2], {"labels": [0.5, 1.5]}, "the labels are fractions"),
        (DIGITS[:2], {"labels": [b"a", None]}, "the labels are object"),
        (DIGITS[:2], {"labels": [4, 4]}, "all labels are 4"),
    ]
    for data, options, message in cases:
        with pytest.raises(InvalidInputError, match=message) as caught:
            measure_activations(small_model(), data, **options)
        assert "\n" not in str(caught.value)
    for option in ("limit", "batch"):
        with pytest.raises(UsageError, match=f"`{option}` is 0"):
            measure_activations(small_model(), DIGITS[:2], **{option: 0})


def test_a_graph_without_layers_says_so() -> None:
    with pytest.raises(UnsupportedModelError, match="no layer"):
        measured(nn.Flatten(), DIGITS[:2])


class BatchLast(nn.Module):
    """Its second layer has the channels where others have the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(36, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).flatten(2).permute(1, 0, 2)).permute(1, 0, 2)


def test_a_layer_without_the_batch_in_front_is_left_out_and_named() -> None:
    health = measured(BatchLast(), DIGITS[:12])
    assert [layer.name for layer in health.layers] == ["conv"] and health.left_out == ("fc",)
    assert activation_lines(health)[1] == "not measured, since their leading axis is not the batch: fc"


def test_a_graph_nobody_vouches_for_is_run_in_a_child_first(monkeypatch: pytest.MonkeyPatch) -> None:
    probed: list[Path] = []
    monkeypatch.setattr("cnnc.analysis.activations.recording.probe", probed.append)
    measure_activations(small_model(), DIGITS[:2])
    assert probed == []
    measure_activations(small_model(), DIGITS[:2], vouched=False)
    assert len(probed) == 1 and not probed[0].exists()  # the private folder is gone


def test_the_graph_stays_as_it_is() -> None:
    model = small_model()
    before = [value.name for value in model.graph.outputs], [node.op_type for node in model.graph]
    measure_activations(model, DIGITS[:2])
    assert before == ([value.name for value in model.graph.outputs], [node.op_type for node in model.graph])


def test_table_and_lines() -> None:
    health = measure_activations(small_model(), DIGITS[:60], labels=LABELS[:60])
    wide, narrow = Console(width=200, record=True), Console(width=60, record=True)
    with wide.capture() as shown:
        print_activations(health, wide)
    with narrow.capture() as short:
        print_activations(health, narrow)
    lines = shown.get().splitlines()
    assert " ".join(lines[0].split()) == "layer op output mean std min max zeros dead histogram probe"
    assert "4x6x6" in lines[1] and "0/4" in lines[2]
    assert "histogram" not in short.get() and "probe" in short.get()
    assert activation_lines(health)[0] == "healthy: nothing to flag on 60 samples"
    assert activation_lines(health)[1].startswith("linear probe: ")
    few = activation_lines(measure_activations(small_model(), DIGITS[:3], labels=[0, 1, 2]))
    assert few[1].startswith("3 samples cannot show a unit dead") and few[2].startswith("no linear probe")
