"""The pixels against Pillow's own pipeline, bit for bit: exif_transpose, convert, resize, crop, /255, normalize."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cnnc_runtime import PRESETS, Preprocessing
from cnnc_runtime.errors import InvalidInputError, ResourceLimitError, UsageError
from cnnc_runtime.images import open_image

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RESAMPLING = {name: getattr(Image.Resampling, name.upper()) for name in ("bilinear", "bicubic", "nearest")}
SIDES = st.integers(1, 300)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def normalized(image: Image.Image) -> np.ndarray:
    """ToTensor and Normalize of torchvision, in float32 steps."""
    values = np.asarray(image.convert("RGB")).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    return (values - np.float32(MEAN)[:, None, None]) / np.float32(STD)[:, None, None]


def shorter_side(image: Image.Image, size: int, resampling: Image.Resampling) -> Image.Image:
    """torchvision.transforms.Resize(size): the longer side is int(size * long / short)."""
    w, h = image.size
    short, long = (w, h) if w <= h else (h, w)
    new_short, new_long = size, int(size * long / short)
    return image.resize((new_short, new_long) if w <= h else (new_long, new_short), resampling)


def center_cropped(image: Image.Image, height: int, width: int) -> Image.Image:
    """torchvision.transforms.CenterCrop: black around an image that is smaller, then int(round((H - h) / 2.0))."""
    w, h = image.size
    left, right = ((width - w) // 2, (width - w + 1) // 2) if width > w else (0, 0)
    top, bottom = ((height - h) // 2, (height - h + 1) // 2) if height > h else (0, 0)
    image = ImageOps.expand(image, (left, top, right, bottom))
    y, x = round((image.height - height) / 2.0), round((image.width - width) / 2.0)
    return image.crop((x, y, x + width, y + height))


@settings(max_examples=120, deadline=None)
@given(
    SIDES, SIDES, st.integers(1, 200), st.tuples(SIDES, SIDES), st.sampled_from(sorted(RESAMPLING)), st.integers(0, 99)
)
def test_shorter_side_crop_and_normalize(width, height, size, crop, interpolation, seed):
    if size * max(width, height) / min(width, height) > 3000:
        size = 1 + size % 10  # a needle of an image grows too long to be quick
    image = noise(width, height, seed)
    expected = normalized(center_cropped(shorter_side(image, size, RESAMPLING[interpolation]), *crop))
    prepare = Preprocessing(size, crop, mean=MEAN, std=STD, interpolation=interpolation)
    np.testing.assert_array_equal(prepare(image), expected)


@settings(max_examples=80, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(sorted(RESAMPLING)), st.integers(0, 255))
def test_exact_and_letterbox(width, height, to_width, to_height, interpolation, fill):
    image = noise(width, height)
    exact = Preprocessing((to_height, to_width), mean=MEAN, std=STD, interpolation=interpolation)
    np.testing.assert_array_equal(
        exact(image), normalized(image.resize((to_width, to_height), RESAMPLING[interpolation]))
    )
    boxed = Preprocessing((to_height, to_width), interpolation=interpolation, letterbox=True, fill=(fill,))
    if round(min(height / width * to_width, width / height * to_height, to_width, to_height)) < 1:
        with pytest.raises(ResourceLimitError, match="too narrow to fit"):
            boxed.pixels(image)
        return
    expected = ImageOps.pad(image, (to_width, to_height), RESAMPLING[interpolation], (fill,) * 3)
    np.testing.assert_array_equal(boxed.pixels(image), np.asarray(expected))


def test_a_letterbox_in_figures():
    """20 x 10 into 8 x 9: 8 x 4 of image, and of the 5 rows left round(2.5) = 2 above."""
    prepare = Preprocessing((9, 8), letterbox=True, fill=(114,), scale=1.0)
    pixels = prepare.pixels(Image.new("RGB", (20, 10), (1, 2, 3)))
    assert pixels.shape == (9, 8, 3)
    assert (pixels[:2] == 114).all() and (pixels[2:6] == (1, 2, 3)).all() and (pixels[6:] == 114).all()


def test_a_letterbox_needs_a_size_to_fill():
    boxed = Preprocessing(letterbox=True)
    assert boxed.fitted(("n", 3, 64, 48)) == Preprocessing((64, 48), letterbox=True)
    with pytest.raises(UsageError, match="give --size H,W"):
        boxed.fitted(("n", 3, "h", "w"))
    with pytest.raises(UsageError, match="`resize` is 64: give both"):
        Preprocessing(64, letterbox=True)


def test_an_embedded_one_fits_an_input_with_channels_last():
    embedded = Preprocessing(embedded=True)
    assert embedded.fitted(("n", 8, 9, 3)) == Preprocessing((8, 9), embedded=True)
    with pytest.raises(UsageError, match="gives 3 channels, the input has 9"):
        embedded.fitted(("n", 3, 8, 9))


def test_fill_is_in_the_order_of_the_channels_and_around_a_crop_too():
    prepare = Preprocessing(crop=(1, 3), scale=1.0, color="bgr", fill=(10, 20, 30))
    got = prepare(Image.new("RGB", (1, 1), (1, 2, 3)))
    np.testing.assert_array_equal(got[:, 0], [[10, 3, 10], [20, 2, 20], [30, 1, 30]])


def test_dividing_by_255_is_not_multiplying_by_its_inverse():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    got = Preprocessing(color="gray")(ramp)[0, 0]
    np.testing.assert_array_equal(got, np.arange(256, dtype=np.float32) / np.float32(255))
    assert Preprocessing().divisor == 255 and Preprocessing(scale=1.0).divisor == 1
    assert Preprocessing(scale=0.017).divisor is None and Preprocessing(scale=2.0).divisor is None


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_of_a_file(tmp_path: Path, suffix: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    noise(20, 12).save(path, exif=exif)
    with Image.open(path) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
    assert expected.size == ((12, 20) if orientation > 4 else (20, 12))
    np.testing.assert_array_equal(Preprocessing().pixels(open_image(path)), np.asarray(expected))


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "name"),
    [("CMYK", "a.jpg"), ("CMYK", "a.tif"), ("RGBA", "a.png"), ("RGBA", "a.webp"), ("LA", "a.png"), ("P", "a.png"),
     ("P", "a.gif"), ("1", "a.png"), ("L", "a.jpg"), ("YCbCr", "a.jpg"), ("1", "a.tif"), ("RGB", "a.bmp")],
)  # fmt: skip
def test_every_mode_of_file_after_resizing(tmp_path: Path, mode: str, name: str):
    """Converted first, then resized: an alpha channel or a palette must not be interpolated."""
    path = saved(noise(37, 23).convert(mode), tmp_path / name)
    with Image.open(path) as image:
        expected = image.convert("RGB").resize((16, 11), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(Preprocessing((11, 16)).pixels(open_image(path)), np.asarray(expected))


def test_alpha_is_dropped_and_not_composited(tmp_path: Path):
    """As Pillow's convert("RGB"): a transparent pixel keeps the color under its transparency."""
    clear = saved(Image.new("RGBA", (2, 2), (200, 100, 50, 0)), tmp_path / "clear.png")
    assert (Preprocessing().pixels(open_image(clear)) == (200, 100, 50)).all()
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    path = saved(palette, tmp_path / "palette.png", transparency=1)
    assert (Preprocessing().pixels(open_image(path)) == (9, 8, 7)).all()


@pytest.mark.parametrize("name", ["deep.png", "deep.tif"])
def test_sixteen_bits_from_a_file_are_scaled_to_eight(tmp_path: Path, name: str):
    """Pillow's convert("L") would make all above 255 white: value * 255 / 65535, to the nearest, instead."""
    values = np.array([[0, 128, 129, 256, 32767, 32768, 65535]], dtype=np.uint16)
    path = saved(Image.fromarray(values), tmp_path / name)
    np.testing.assert_array_equal(
        Preprocessing(color="gray").pixels(open_image(path))[0, :, 0], np.round(values[0] / 257).astype(np.uint8)
    )


@pytest.mark.parametrize("color", ["rgb", "bgr", "gray"])
def test_an_embedded_one_gives_the_bytes_and_normalized_is_the_rest(color):
    image = noise(30, 20)
    outside = Preprocessing(8, (8, 8), mean=(0.5,), std=(0.25,), color=color)
    inside = Preprocessing(8, (8, 8), mean=(0.5,), std=(0.25,), color=color, embedded=True)
    pixels = inside(image)
    assert pixels.dtype == np.uint8 and pixels.shape == (8, 8, outside.channels)
    np.testing.assert_array_equal(inside.normalized(pixels), outside(image))
    np.testing.assert_array_equal(
        inside.normalized(np.stack([pixels, pixels[::-1]]))[1], outside.normalized(pixels[::-1])
    )
    exact = inside.normalized(pixels, np.float64)
    assert exact.dtype == np.float64 and 0 < np.abs(exact - outside(image)).max() < 1e-6


def test_what_no_option_uses_is_not_in_the_metadata():
    """So that an older runtime reads every artifact that it can run right."""
    assert set(PRESETS["imagenet"].to_json()) == {"resize", "crop", "scale", "mean", "std", "color"}
    boxed = Preprocessing((8, 9), letterbox=True, fill=(114,), interpolation="bicubic", embedded=True)
    assert set(boxed.to_json()) >= {"letterbox", "fill", "interpolation", "embedded"}
    assert Preprocessing.from_json(boxed.to_json()) == boxed
    for broken in ({"letterbox": 1}, {"fill": [300]}, {"fill": [1.5]}, {"embedded": None}, {"unknown": 1}):
        with pytest.raises(InvalidInputError):
            Preprocessing.from_json(boxed.to_json() | broken)
    assert str(boxed) == "RGB, letterboxed into 8x9, bicubic, values 0..1 (embedded in the graph)"
