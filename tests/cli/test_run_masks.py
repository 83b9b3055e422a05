"""`cnnc run` that draws: --mask-out of a segmentation net, --heat-out of a classifier that slides."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from onnx import helper
from PIL import Image

from cnnc.cli import main
from cnnc_runtime import Metadata, Preprocessing
from tests.runtime.models import serialized

LABELS = ("dark", "bright")
CROPPED = Preprocessing(resize=32, crop=(32, 32), color="gray")


def brightness(metadata: Metadata | None = None, *, classes: int = 2, name: str = "scores") -> bytes:
    """Class 0 where a gray pixel is below a half, class 1 above: scores (N, 2, H, W); or the logit of that alone."""
    weight = np.float32([-1, 1][-classes:]).reshape(classes, 1, 1, 1)
    bias = np.float32([0.5, -0.5][-classes:])
    node = helper.make_node("Conv", ["x", "w", "b"], [name])
    return serialized([node], {"x": ("n", 1, "h", "w")}, [name], constants={"w": weight, "b": bias}, metadata=metadata)


def windows_of_four(metadata: Metadata) -> bytes:
    """As `brightness`, of the mean of each 4x4 window at a stride of 2."""
    nodes = [
        helper.make_node("AveragePool", ["x"], ["m"], kernel_shape=[4, 4], strides=[2, 2]),
        helper.make_node("Conv", ["m", "w", "b"], ["y"]),
    ]
    constants = {"w": np.float32([-9, 9]).reshape(2, 1, 1, 1), "b": np.float32([4.5, -4.5])}
    return serialized(nodes, {"x": ("n", 1, "h", "w")}, ["y"], constants=constants, metadata=metadata)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures with a bright square, one of them in a folder below, and nets."""
    square = np.zeros((40, 60), np.uint8)
    square[10:20, 30:45] = 255
    (tmp_path / "pics" / "in").mkdir(parents=True)
    Image.fromarray(square).save(tmp_path / "pics" / "a.png")
    Image.fromarray(square.T).save(tmp_path / "pics" / "in" / "b.bmp")
    gray = Preprocessing(color="gray")
    described = Metadata("1", "net", "portable", gray, LABELS, certificate={})
    (tmp_path / "net.onnx").write_bytes(brightness(described))
    (tmp_path / "binary.onnx").write_bytes(
        brightness(Metadata("1", "net", "portable", gray, certificate={}), classes=1)
    )
    (tmp_path / "cropped.onnx").write_bytes(brightness(Metadata("1", "net", "portable", CROPPED, certificate={})))
    slides = {"fully_convolutional": {"window": [4, 4], "stride": [2, 2]}}
    (tmp_path / "heat.onnx").write_bytes(
        windows_of_four(Metadata("1", "net", "portable", gray, LABELS, report=slides, certificate={}))
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended, and what it said."""

    exit_code: int
    stdout: str
    stderr: str


def run(*arguments: str) -> Ended:
    """`cnnc run`, in this process: one of its own takes a second to start."""
    said, warned, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(warned), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cnnc", "run", *arguments, "--device", "cpu"])
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, said.getvalue(), warned.getvalue())


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def square_of(path: Path) -> np.ndarray:
    return (pixels(path) > 127).astype(np.uint8)


def test_a_mask_for_each_picture_of_a_folder(work: Path) -> None:
    result = run("net.onnx", "pics", "--mask-out", "masks", "-o", "out.csv")
    assert result.exit_code == 0, result.stderr
    np.testing.assert_array_equal(pixels(work / "masks" / "a.png"), square_of(work / "pics" / "a.png"))
    np.testing.assert_array_equal(pixels(work / "masks" / "in" / "b.png"), square_of(work / "pics" / "in" / "b.bmp"))
    with (work / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["rank"], row["label"], row["share"]) for row in rows[:2]] == [
        ("1", "dark", "0.9375"),
        ("2", "bright", "0.0625"),
    ]
    assert rows[0]["shape"] == "2x40x60" and rows[0]["score"] == "" and float(rows[0]["max"]) == 0.5


def test_the_shares_on_the_screen_and_as_json(work: Path) -> None:
    result = run("net.onnx", "pics/a.png")
    assert "share of the picture" in result.stdout and "93.8 %" in result.stdout and "bright" in result.stdout
    (one,) = json.loads(run("net.onnx", "pics/a.png", "--json", "--top", "1").stdout)["results"]
    assert one["outputs"]["scores"]["shares"] == [{"index": 0, "label": "dark", "share": 0.9375}]


def test_the_size_of_a_mask(work: Path) -> None:
    """The net sees the middle of the picture, at four fifths of its size."""
    assert run("cropped.onnx", "pics/a.png", "--mask-out", "image").exit_code == 0
    assert run("cropped.onnx", "pics/a.png", "--mask-out", "net", "--mask-size", "net").exit_code == 0
    whole, seen = pixels(work / "image" / "a.png"), pixels(work / "net" / "a.png")
    assert whole.shape == (40, 60) and seen.shape == (32, 32)
    assert (whole[:, :10] == 255).all() and (whole[:, 50:] == 255).all() and (whole[:, 10:50] < 255).all()
    true = square_of(work / "pics" / "a.png")
    assert (whole[:, 10:50] != true[:, 10:50]).mean() < 0.02
    assert abs(int(seen.sum()) - true.sum() * 0.64) < 10


def test_a_net_of_one_channel(work: Path) -> None:
    assert run("binary.onnx", "pics/a.png", "--mask-out", "masks").exit_code == 0
    np.testing.assert_array_equal(pixels(work / "masks" / "a.png"), square_of(work / "pics" / "a.png"))


def test_arrays_have_masks_of_the_nets_size(work: Path) -> None:
    np.save(work / "x.npy", np.ones((2, 1, 5, 7), np.float32))
    assert run("net.onnx", "x.npy", "--mask-out", "masks").exit_code == 0
    assert sorted(path.name for path in (work / "masks").iterdir()) == ["x.npy-0.png", "x.npy-1.png"]
    np.testing.assert_array_equal(pixels(work / "masks" / "x.npy-1.png"), np.ones((5, 7)))


def test_heat_is_where_the_class_is(work: Path) -> None:
    result = run("heat.onnx", "pics/a.png", "--heat-out", "heat", "--class", "bright")
    assert result.exit_code == 0, result.stderr
    laid = pixels(work / "heat" / "a.png").astype(int)
    assert laid.shape == (40, 60, 3)
    red, blue = laid[..., 0], laid[..., 2]
    assert (red[12:18, 33:42] > blue[12:18, 33:42]).all()
    away = np.ones((40, 60), bool)
    away[6:24, 26:49] = False
    assert red[away].max() < red[12:18, 33:42].min()
    top = json.loads(run("heat.onnx", "pics/a.png", "--json").stdout)["results"][0]["outputs"]["y"]["top"]
    assert [one["label"] for one in top] == ["dark", "bright"] and top[1]["place"] in ([5, 15], [6, 15], [5, 16])


def test_the_top_class_where_none_is_named(work: Path) -> None:
    assert run("heat.onnx", "pics/a.png", "--heat-out", "top").exit_code == 0
    assert run("heat.onnx", "pics/a.png", "--heat-out", "dark", "--class", "0").exit_code == 0
    np.testing.assert_array_equal(pixels(work / "top" / "a.png"), pixels(work / "dark" / "a.png"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["net.onnx", "--mask-size", "net"], 2, "--mask-out DIR"),
        (["heat.onnx", "--class", "1"], 2, "--heat-out"),
        (
            ["heat.onnx", "--heat-out", "d", "--class", "brigth"],
            2,
            "no class is labeled 'brigth': give a number, 0 to 1",
        ),
        (["heat.onnx", "--heat-out", "d", "--class", "2"], 2, "there are 2 classes"),
        (["net.onnx", "--heat-out", "d", "--mask-out", "d"], 2, "would overwrite each other"),
        (["net.onnx", "--mask-out", "net.onnx"], 9, "net.onnx cannot be made"),
        (["means.onnx", "--mask-out", "d"], 5, "--fully-convolutional"),
    ],
)
def test_what_cannot_be_drawn_is_said(work: Path, arguments: list[str], code: int, message: str) -> None:
    pooled = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    (work / "means.onnx").write_bytes(serialized(pooled, {"x": ("n", 1, 40, 60)}, ["y"]))
    model, *options = arguments
    result = run(model, "pics/a.png", *options)
    assert result.exit_code == code and message in result.stderr
    assert not (work / "d").exists() or not list((work / "d").iterdir())


def test_a_picture_smaller_than_a_window_is_said_to_be(work: Path) -> None:
    Image.new("L", (9, 3)).save(work / "small.png")
    result = run("heat.onnx", "small.png")
    assert result.exit_code == 3 and "small.png: input 'x' expects at least (1, 4, 4), got (1, 3, 9)" in result.stderr
    (work / "bad.png").write_text("no picture")
    assert "is not an image" in run("heat.onnx", "bad.png").stderr


def test_an_item_without_numbers_is_a_failed_item(work: Path) -> None:
    np.save(work / "x.npy", np.full((1, 1, 8, 8), 3e38, np.float32))
    result = run("heat.onnx", "x.npy", "pics/a.png", "--heat-out", "heat")
    assert result.exit_code == 10 and "1 of 2 items failed" in result.stderr
    assert [path.name for path in (work / "heat").rglob("*.png")] == ["a.png"]
