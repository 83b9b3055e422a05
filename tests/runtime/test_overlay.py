"""Heat maps over pictures: the colors, and that a bright place lies where it belongs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnc_runtime import Preprocessing, Result
from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.maps.explained import ask_class, draw_explanation
from cnnc_runtime.maps.explanation import Explanation
from cnnc_runtime.maps.overlay import heat_colors, overlay
from cnnc_runtime.maps.picture_files import PictureFiles
from cnnc_runtime.metadata import Metadata

SAID = Explanation("gradcam", "layer4", "heat_map", "y", 10)


def test_colors_are_those_of_turbo() -> None:
    """Its published table, at every eighth: the polynomials keep within a few steps of 255, but at the very ends."""
    table = [
        (68, 81, 191),
        (65, 144, 254),
        (31, 200, 222),
        (163, 253, 60),
        (237, 209, 58),
        (252, 116, 27),
        (199, 41, 3),
    ]
    places = [16 / 255, 44 / 255, 74 / 255, 128 / 255, 168 / 255, 204 / 255, 233 / 255]
    colors = heat_colors(np.array([places]))[0]
    assert np.abs(colors - np.array(table)).max() < 25
    assert heat_colors(np.array([[-1.0, 2.0]])).tolist() == heat_colors(np.array([[0.0, 1.0]])).tolist()


def test_what_the_net_did_not_see_keeps_its_brightness_and_has_no_color() -> None:
    picture = np.full((2, 2, 3), (30, 60, 90), np.uint8)
    mixed = overlay(picture, np.array([[0.0, np.nan], [1.0, 0.5]]))
    assert mixed[0, 1].tolist() == [60, 60, 60]
    expected = 0.5 * picture[0, 0] + 0.5 * heat_colors(np.array([[1.0]]))[0, 0]
    assert np.abs(mixed[1, 0] - expected).max() <= 0.5


PREPARES = {
    "exact": Preprocessing((40, 40)),
    "letterbox": Preprocessing((40, 40), letterbox=True),
    "crop": Preprocessing(50, (40, 40)),
    "padded crop": Preprocessing(None, (160, 160)),
}


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("name", PREPARES)
def test_a_bright_square_is_red_where_it_is(tmp_path: Path, name: str, orientation: int) -> None:
    """The heat map is the prepared picture's own brightness, in cells of its input: nothing is computed twice."""
    pixels = np.zeros((100, 150, 3), np.uint8)
    pixels[30:60, 70:100] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path, exif=exif)
    prepare = PREPARES[name]
    seen = prepare(Image.open(path))[0]
    heat = seen.reshape(seen.shape[0] // 4, 4, seen.shape[1] // 4, 4).mean((1, 3))
    draw = draw_explanation(PictureFiles(tmp_path / "out", [str(path)]), SAID, prepare)
    draw(Result(str(path), {"heat_map": heat}))
    drawn = np.asarray(Image.open(tmp_path / "out" / "x.png")).astype(int)
    upright = pixels if orientation == 1 else np.rot90(pixels, -1)
    assert drawn.shape == upright.shape
    hot, square = drawn[..., 0] - drawn[..., 2] > 20, upright[..., 0] > 0
    assert hot.sum() > 0.5 * square.sum()
    rows, columns = np.nonzero(square)
    found = np.nonzero(hot)
    assert abs(found[0].mean() - rows.mean()) < 3 and abs(found[1].mean() - columns.mean()) < 3


def test_what_is_no_picture_is_drawn_alone_and_a_clip_frame_by_frame(tmp_path: Path) -> None:
    draw = draw_explanation(PictureFiles(tmp_path, ["a.npy"]), SAID, None)
    draw(Result("a.npy[3]", {"heat_map": np.ones((4, 5), np.float32)}))
    draw(Result("a.npy[4]", {"heat_map": np.zeros((2, 4, 5), np.float32)}))
    assert Image.open(tmp_path / "a.npy-3.png").size == (5, 4)
    assert Image.open(tmp_path / "a.npy-4.png").size == (10, 4)
    with pytest.raises(InvalidInputError, match="NaN or infinity in its heat map"):
        draw(Result("a.npy[5]", {"heat_map": np.full((2, 2), np.nan, np.float32)}))


def test_the_class_that_is_asked_for() -> None:
    asks = dataclasses.replace(SAID, classes=3, class_input="explain_class")
    labels = ("cat", "dog", "2")
    assert [ask_class(asks, asked, labels) for asked in (None, "dog", "0", "2")] == [-1, 1, 0, 2]
    assert ask_class(asks, "1", ("other", "head")) == 1
    assert ask_class(SAID, None, labels) is None
    with pytest.raises(UsageError, match="compile it with --explain-class input"):
        ask_class(SAID, "cat", labels)


@pytest.mark.parametrize(
    "change",
    [{"classes": 0}, {"classes": True}, {"method": 3}, {"class_input": 1}, {"is_smooth": "yes"}, {"more": 1}],
)
def test_a_malformed_explanation_is_refused(change: dict[str, object]) -> None:
    metadata = Metadata("1", "net", "onnxruntime", explanation=SAID)
    assert Metadata.from_props(metadata.to_props()) == metadata
    with pytest.raises(InvalidInputError):
        Explanation.from_json({**SAID.to_json(), **change})
