"""Preprocessing against the same steps written plainly with Pillow and numpy."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from cnnc_runtime import PRESETS, Preprocessing
from cnnc_runtime.errors import InvalidInputError, ResourceLimitError, UsageError
from cnnc_runtime.preprocessing import assumed_for

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), mode)


@pytest.mark.parametrize(
    ("size", "resized", "box"),
    [
        ((500, 375), (341, 256), (58, 16)),  # 256 * 500 / 375 = 341.3; (341 - 224) / 2 = 58.5, to even
        ((375, 500), (256, 341), (16, 58)),
        ((333, 500), (256, 384), (16, 80)),  # 256 * 500 / 333 = 384.4
        ((300, 300), (256, 256), (16, 16)),
        ((100, 61), (419, 256), (98, 16)),  # enlarged; 97.5 to even
    ],
)
def test_imagenet_equals_the_plain_steps(size, resized, box):
    image = noise(*size)
    left, top = box
    plain = image.resize(resized, Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224))
    expected = ((np.asarray(plain, np.float64) / 255 - MEAN) / STD).transpose(2, 0, 1)
    got = PRESETS["imagenet"](image)
    assert got.dtype == np.float32 and got.shape == (3, 224, 224) and got.flags.c_contiguous
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_exact_size_and_bgr():
    image = noise(50, 30)
    expected = np.asarray(image.resize((20, 10), Image.Resampling.BILINEAR), np.float32)[:, :, ::-1].transpose(2, 0, 1)
    got = Preprocessing(resize=(10, 20), scale=1.0, color="bgr")(image)
    np.testing.assert_array_equal(got, expected)


def test_gray_is_pillows_luma():
    image = noise(6, 4)
    np.testing.assert_array_equal(
        Preprocessing(scale=1.0, color="gray")(image), np.asarray(image.convert("L"), np.float32)[None]
    )


def test_symmetric_spans_minus_one_to_one():
    image = Image.fromarray(np.array([[0, 255]], dtype=np.uint8))
    np.testing.assert_allclose(PRESETS["symmetric"](image)[0], [[-1, 1]], atol=1e-6)


def test_a_crop_larger_than_the_image_is_padded_with_black():
    got = Preprocessing(crop=(4, 5), scale=1.0, color="gray")(Image.new("L", (2, 2), 7))
    expected = np.zeros((4, 5), np.float32)
    expected[1:3, 1:3] = 7  # of 3 columns to add, torchvision puts 1 on the left
    np.testing.assert_array_equal(got[0], expected)


def test_sixteen_bits_are_scaled_and_not_saturated():
    values = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    got = Preprocessing(scale=1.0)(Image.fromarray(values))
    np.testing.assert_array_equal(got, np.broadcast_to(np.float32([[0, 1, 128, 255]]), (3, 1, 4)))


def test_exif_rotation_is_applied(tmp_path):
    upright = noise(8, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(PRESETS["unit"](Image.open(tmp_path / "turned.png")), PRESETS["unit"](upright))


@pytest.mark.parametrize("mode", ["RGBA", "P", "LA", "1", "CMYK", "L"])
def test_every_pixel_format_reads_as_pillow_converts_it(mode):
    image = noise(7, 5).convert(mode)
    expected = np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1)
    np.testing.assert_array_equal(Preprocessing(scale=1.0)(image), expected)


def test_float_pixels_are_refused():
    with pytest.raises(InvalidInputError, match="npy"):
        PRESETS["unit"](Image.new("F", (2, 2)))


def test_a_needle_of_an_image_is_refused():
    with pytest.raises(ResourceLimitError, match="narrow"):
        PRESETS["imagenet"](Image.new("L", (1, 2000)))


@pytest.mark.parametrize("preprocessing", [*PRESETS.values(), Preprocessing((10, 20), color="gray")])
def test_json_round_trip(preprocessing):
    assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing


@pytest.mark.parametrize(
    ("field", "value"),
    [("resize", 0), ("crop", (0, 1)), ("scale", 0.0), ("std", (0.0,)), ("mean", (1.0, 2.0)), ("mean", (float("nan"),)),
     ("color", "hsv")],
)  # fmt: skip
def test_a_bad_field_is_named(field, value):
    with pytest.raises(UsageError, match=f"`{field}`"):
        dataclasses.replace(PRESETS["unit"], **{field: value})


def test_assumed_default():
    assert assumed_for(("n", 3, 32, 48)) == Preprocessing(resize=(32, 48))
    assert assumed_for((1, 1, 28, 28)) == Preprocessing(resize=(28, 28), color="gray")
    assert assumed_for(("n", 3, "h", "w")).resize is None
    for shape in (("n", 10), ("n", 224, 224, 3), ("n", 5, 8, 8)):
        with pytest.raises(InvalidInputError, match="npy"):
            assumed_for(shape)


def test_fitted_fills_in_the_size_of_the_input_and_refuses_what_is_no_such_input():
    unit = Preprocessing()
    assert unit.fitted(("batch", 3, 24, 32)) == Preprocessing(resize=(24, 32))
    assert unit.fitted(("batch", 3, "h", "w")) == unit
    assert PRESETS["imagenet"].fitted((1, 3, 224, 224)) == PRESETS["imagenet"]
    for preprocessing, shape, message in (
        (unit, (1, 1, 32, 32), "`color` rgb gives 3 channels, the input has 1"),
        (PRESETS["imagenet"], (1, 3, 32, 32), "images become 224x224, the input is 32x32"),
        (Preprocessing(resize=(8, 9)), (1, 3, 9, 8), "images become 8x9, the input is 9x8"),
        (Preprocessing(resize=64), (1, 3, 32, 32), "shorter side 64 .* give --size 32,32, or --crop 32,32 as well"),
        (Preprocessing(resize=32), (1, 3, 32, 32), "shorter side 32 leaves the longer one"),
        (unit, (1, 10), r"need an input \(N, C, H, W\)"),
    ):
        with pytest.raises(UsageError, match=message):
            preprocessing.fitted(shape)
