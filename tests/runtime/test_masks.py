"""Masks: the class of each pixel, where it belongs in the picture, in VOC's colors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnc_runtime import Preprocessing
from cnnc_runtime.errors import OutputError, UnsupportedModelError
from cnnc_runtime.maps.class_maps import class_shares, is_class_map
from cnnc_runtime.maps.geometry import place
from cnnc_runtime.maps.masks import VOID, class_mask, fit_mask, voc_palette, write_mask
from cnnc_runtime.maps.picture_files import PictureFiles


def bright_square(height: int, width: int, box: tuple[int, int, int, int]) -> Image.Image:
    """Black, and white from (top, left) to (bottom, right)."""
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left, bottom, right = box
    pixels[top:bottom, left:right] = 255
    return Image.fromarray(pixels)


PREPARATIONS = {
    "as it is": Preprocessing(),
    "exact": Preprocessing(resize=(60, 90)),
    "shorter side": Preprocessing(resize=64),
    "shorter side, crop": Preprocessing(resize=64, crop=(56, 48)),
    "crop alone": Preprocessing(crop=(70, 75)),
    "crop beyond the picture": Preprocessing(resize=40, crop=(90, 101)),
    "letterbox": Preprocessing(resize=(80, 80), letterbox=True),
    "letterbox of odd sides": Preprocessing(resize=(63, 128), letterbox=True),
}


@pytest.mark.parametrize("prepare", PREPARATIONS.values(), ids=PREPARATIONS)
@pytest.mark.parametrize("size", [(100, 160), (161, 97), (80, 80)], ids=["wide", "high", "square"])
def test_the_mask_lies_where_the_square_is(prepare: Preprocessing, size: tuple[int, int]) -> None:
    """What is bright in the prepared pixels, as a mask, put back over the picture: within a pixel of the square."""
    height, width = size
    top, left, bottom, right = box = (height // 3, width // 3, height // 3 + 30, width // 3 + 24)
    picture = bright_square(height, width, box)
    pixels = prepare.pixels(picture)
    placement = place(prepare, size)
    assert placement.net == pixels.shape[:2]
    fitted = fit_mask((pixels[..., 0] > 127).astype(np.uint8), placement)
    assert fitted.shape == size
    true = np.zeros(size, np.uint8)
    true[top:bottom, left:right] = 1
    rows, columns = placement.visible()
    seen = np.ix_(rows, columns)
    assert (fitted[~rows] == VOID).all() and (fitted[:, ~columns] == VOID).all()
    step = max(1, *(int(np.ceil(1 / scale)) for scale in placement.scale))
    inner, outer = true.copy(), true.copy()  # but for the pixels at its edge
    inner[:] = 0
    inner[top + step : bottom - step, left + step : right - step] = 1
    outer[top - step : bottom + step, left - step : right + step] = 1
    assert (fitted[seen] >= inner[seen]).all() and (fitted[seen] <= outer[seen]).all()
    assert fitted[seen].sum() > 0


def test_a_coarse_mask_covers_the_whole_input() -> None:
    """A net that gives an eighth of its input's resolution: each value over its own 8x8 pixels."""
    coarse = np.arange(12, dtype=np.uint8).reshape(3, 4)
    fitted = fit_mask(coarse, place(Preprocessing(resize=(24, 32)), (24, 32)))
    np.testing.assert_array_equal(fitted, np.kron(coarse, np.ones((8, 8), np.uint8)))
    twice = fit_mask(coarse, place(Preprocessing(resize=(24, 32)), (48, 64)))
    np.testing.assert_array_equal(twice, np.kron(coarse, np.ones((16, 16), np.uint8)))


def test_what_a_crop_cut_off_is_no_class() -> None:
    fitted = fit_mask(np.ones((4, 4), np.uint8), place(Preprocessing(crop=(4, 4)), (6, 10)))
    expected = np.full((6, 10), VOID, np.uint8)
    expected[1:5, 3:7] = 1
    np.testing.assert_array_equal(fitted, expected)


def test_the_class_of_each_pixel() -> None:
    scores = np.float32([[[1, 5, 2]], [[3, 5, np.nan]], [[2, -9, 1]]])
    np.testing.assert_array_equal(class_mask(scores), [[1, 0, 0]])
    np.testing.assert_array_equal(class_mask(np.full((2, 1, 1), np.nan, np.float32)), [[VOID]])
    one = np.float32([[[-1, 0, 0.1]]])  # a logit: its sigmoid is above a half where it is positive
    np.testing.assert_array_equal(class_mask(one), [[0, 0, 1]])


@pytest.mark.parametrize(
    ("shape", "message"),
    [((5,), r"needs an output \(N, classes, H, W\)"), ((300, 2, 2), "300 classes: .* can tell 255")],
)
def test_what_is_no_mask_is_said(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        class_mask(np.zeros(shape, np.float32))


def test_the_palette_is_that_of_pascal_voc() -> None:
    """The first colors as the development kit lists them: background, aeroplane, bicycle, bird, ... tv monitor."""
    palette = voc_palette()
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 7: (128, 128, 128)}
    known |= {8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {number: tuple(map(int, palette[number])) for number in known} == known
    assert len({tuple(color) for color in palette}) == 256


def test_pixel_values_are_the_classes(tmp_path: Path) -> None:
    mask = np.arange(256, dtype=np.uint8).reshape(8, 32)
    write_mask(tmp_path / "new" / "a.png", mask)
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), mask)
        np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), voc_palette()[mask])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_mask(tmp_path / "file" / "a.png", mask)


def test_shares_of_the_classes() -> None:
    scores = np.zeros((3, 2, 4), np.float32)
    scores[2, :, :3], scores[1, 0, 3] = 1, 1
    assert class_shares(scores, ("sky", "cat", "dog")) == [
        {"index": 2, "label": "dog", "share": 0.75},
        {"index": 0, "label": "sky", "share": 0.125},
        {"index": 1, "label": "cat", "share": 0.125},
    ]
    assert [one["index"] for one in class_shares(scores, top=1)] == [2]


@pytest.mark.parametrize(
    ("channels", "labels", "is_map"), [(21, 0, True), (2, 0, True), (3, 0, False), (1, 0, False), (3, 3, True)]
)
def test_an_image_is_no_map_of_classes(channels: int, labels: int, is_map: bool) -> None:
    assert is_class_map(np.zeros((channels, 4, 4), np.float32), ["a"] * labels) == is_map


def test_names_of_pictures(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("a.jpg", "in/b.jpg", "in/b.png", "film.mp4", "x.npy")]
    files = PictureFiles(Path("out"), names)
    assert [str(files(name)) for name in names[:3]] == ["out/a.png", "out/in/b.jpg.png", "out/in/b.png.png"]
    assert str(files(f"{names[3]}[12]")) == "out/film.mp4-12.png"
    assert str(files(f"{names[4]}[3:5]")) == "out/x.npy-3-5.png"
    assert str(files.folder(f"{names[3]}[0:8:2]")) == "out/film.mp4-0-8-2"
    assert str(PictureFiles(Path("out"), ["../there/c.jpg"])("../there/c.jpg")) == "out/c.png"


def test_no_two_inputs_share_a_picture() -> None:
    names = ["b.jpg", "b.png", "b.jpg.bmp", "b.jpg.png.gif", "film.mp4", "film.mp4-12.jpg"]
    names += ["c-1.jpg", "a/b.jpg", "a_b.jpg"]
    files = PictureFiles(Path("out"), names)
    written = [str(files(name)) for name in [*names, "film.mp4[12]"] if name != "film.mp4"]
    assert len(set(written)) == len(written)
    assert written[5:8] == ["out/c-1.png", "out/a/b.png", "out/a_b.png"]
    assert str(PictureFiles(Path("out"), ["b.jpg", "b.jpg"])("b.jpg")) == "out/b.png"  # one picture, named twice
