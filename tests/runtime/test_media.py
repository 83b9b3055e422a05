"""Files -> items: what is read, in which order, and what a file that cannot be read says."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnc_runtime import PRESETS, Failure, Item, TensorSpec, read_items
from cnnc_runtime.ahead import WINDOW
from cnnc_runtime.errors import CnncError, InvalidInputError, ResourceLimitError, UnsupportedModelError
from cnnc_runtime.media import find_files

FLOAT = np.dtype("float32")
IMAGE_INPUT = (TensorSpec("x", FLOAT, ("n", 3, 4, 6)),)


def picture(path: Path, size=(6, 4)) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def read(*files: Path, inputs=IMAGE_INPUT) -> list[Item | Failure]:
    return list(read_items(files, inputs))


def error_of(file: Path, inputs=IMAGE_INPUT) -> CnncError:
    (failure,) = read(file, inputs=inputs)
    assert isinstance(failure, Failure), failure
    assert str(file) in str(failure.error) and "\n" not in str(failure.error)
    return failure.error


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "tiff", "gif"])
def test_every_format(tmp_path, suffix):
    file = picture(tmp_path / f"ünï code.{suffix}")
    (item,) = read(file)
    assert item.name == str(file)
    np.testing.assert_array_equal(item.feed["x"], PRESETS["unit"](Image.open(file)))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "plain.tiff", "packed.tiff"])
def test_exif_rotation_in_every_format(tmp_path, name):
    """A picture stored lying on its side comes out upright: what is left of it in the file is its top."""
    stored = Image.new("RGB", (4, 6), "black")
    stored.paste("white", (0, 0, 2, 6))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    options = {"compression": "tiff_lzw"} if name == "packed.tiff" else {}
    stored.save(tmp_path / name, exif=exif, **options)
    (item,) = read(tmp_path / name)
    rows = item.feed["x"].mean(axis=(0, 2))
    assert item.feed["x"].shape == (3, 4, 6)
    assert (rows[:2] > 0.8).all() and (rows[2:] < 0.2).all()


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    (item,) = read(tmp_path / "moving.gif")
    np.testing.assert_array_equal(item.feed["x"], PRESETS["unit"](frames[0]))


def test_pixels_fit_a_float16_input(tmp_path):
    (item,) = read(picture(tmp_path / "a.png"), inputs=(TensorSpec("x", np.dtype("float16"), ("n", 3, 4, 6)),))
    assert item.feed["x"].dtype == np.float16


def test_folders_are_sorted_recursive_and_hold_images_only(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.PNG", "a.jpg", "sub/c.webp", "._hidden.jpg"):
        picture(tmp_path / name.replace("PNG", "png")).rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    assert find_files([tmp_path]) == [tmp_path / "a.jpg", tmp_path / "b.PNG", tmp_path / "sub" / "c.webp"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="no images"):
        find_files([tmp_path / "empty"])


def write_text(path: Path) -> None:
    path.write_text("this is no image")


def write_svg(path: Path) -> None:
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')


def write_eps(path: Path) -> None:
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")


def write_truncated(path: Path) -> None:
    picture(path.with_suffix(".png"), (64, 64))
    Image.open(path.with_suffix(".png")).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:900])


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("text.jpg", write_text, "not an image"),
        ("drawing.svg", write_svg, "not an image.*convert"),
        ("drawing.eps", write_eps, "not an image"),
        ("cut.jpg", write_truncated, "damaged"),
        ("empty.png", Path.touch, "is empty"),
        ("missing.png", lambda path: None, "no such file"),
        ("pipe.png", os.mkfifo, "regular file"),
    ],
)
def test_bad_images(tmp_path, name, write, message):
    write(tmp_path / name)
    error = error_of(tmp_path / name)
    assert isinstance(error, InvalidInputError)
    with pytest.raises(InvalidInputError, match=message):
        raise error


def test_a_decompression_bomb_is_a_limit(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert isinstance(error_of(tmp_path / "bomb.png"), ResourceLimitError)


def test_an_image_that_does_not_fit_says_how_it_would(tmp_path):
    file = picture(tmp_path / "a.png", (9, 9))
    (failure,) = read_items([file], IMAGE_INPUT, PRESETS["unit"])
    assert "got (3, 9, 9)" in str(failure.error) and "--size" in str(failure.error)


def batch(*shape: int, dtype="f4") -> np.ndarray:
    return np.random.default_rng(0).integers(-9, 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f2", "u1", "i2", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_batches_and_samples(tmp_path, dtype, order):
    file, array = tmp_path / "x.npy", np.asarray(batch(2, 3, 4, 6).astype(dtype), order=order)
    np.save(file, array)
    items = read(file)
    assert [item.name for item in items] == [f"{file}[0]", f"{file}[1]"]
    for item, sample in zip(items, array, strict=True):
        assert item.feed["x"].dtype == FLOAT and item.feed["x"].dtype.isnative
        np.testing.assert_array_equal(item.feed["x"], sample.astype("f4"))
    np.save(file, array[0])
    (item,) = read(file)
    assert item.name == str(file)
    np.testing.assert_array_equal(item.feed["x"], array[0].astype("f4"))


def write_header(path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: np.save(path, batch(2, 3, 4, 6, dtype="f8")), r"float64.*astype"),
        (lambda path: np.save(path, batch(2, 3, 4, 6, dtype="i8")), r"int64.*astype"),
        (lambda path: np.save(path, np.array([{}], object)), "Python objects"),
        (lambda path: np.save(path, batch(0, 3, 4, 6)), "empty"),
        (lambda path: np.save(path, batch(2, 4, 4, 6)), r"expects shape \(N, 3, 4, 6\), got \(2, 4, 4, 6\)"),
        (lambda path: np.save(path, batch(4, 6)), r"got \(4, 6\)"),
        (lambda path: np.save(path, np.float32(1)), r"got \(\)"),
        (lambda path: write_header(path, "(1024, 1024, 1024, 256)"), r"claims 1,099,511,627,776 bytes"),
        (lambda path: write_header(path, "(-1, 3, 4, 6)"), "impossible shape"),
        (lambda path: write_header(path, "oops"), "cannot be read|can be read"),
        (lambda path: write_header(path, "(True, 3)"), "impossible shape"),
        (lambda path: write_header(path, "((((("), "can be read"),
        (lambda path: path.write_bytes(b"text, not numbers"), "can be read"),
        (Path.touch, "is empty"),
    ],
)
def test_bad_npy(tmp_path, write, message):
    write(tmp_path / "x.npy")
    error = error_of(tmp_path / "x.npy")
    assert isinstance(error, InvalidInputError)
    with pytest.raises(InvalidInputError, match=message):
        raise error


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_only_the_sample_that_is_not_finite_fails(tmp_path, value):
    array = batch(3, 3, 4, 6)
    array[1, 2, 3, 4] = value
    np.save(tmp_path / "x.npy", array)
    first, second, third = read(tmp_path / "x.npy")
    assert isinstance(first, Item) and isinstance(third, Item)
    assert "x.npy[1]" in str(second.error) and "NaN or infinity" in str(second.error)


def test_npz_is_an_item_a_key(tmp_path):
    file = tmp_path / "x.npz"
    np.savez_compressed(file, one=batch(3, 4, 6), two=batch(2, 3, 4, 6))
    assert [item.name for item in read(file)] == [f"{file}:one", f"{file}:two[0]", f"{file}:two[1]"]


def test_npz_with_the_inputs_names_is_one_feed(tmp_path):
    inputs = (TensorSpec("a", FLOAT, ("n", 4)), TensorSpec("b", FLOAT, ("n", 2)))
    file = tmp_path / "x.npz"
    np.savez(file, a=batch(3, 4), b=batch(3, 2))
    items = read(file, inputs=inputs)
    assert len(items) == 3 and set(items[0].feed) == {"a", "b"}
    np.savez(file, a=batch(4), b=batch(2))
    assert [item.name for item in read(file, inputs=inputs)] == [str(file)]
    np.savez(file, a=batch(3, 4), b=batch(2, 2))
    assert "different numbers" in str(error_of(file, inputs))
    np.savez(file, a=batch(3, 4))
    assert "['a', 'b']" in str(error_of(file, inputs))
    assert "npz" in str(error_of(picture(tmp_path / "a.png"), inputs))


def test_an_npz_without_arrays(tmp_path):
    np.savez(tmp_path / "x.npz")
    assert "holds no arrays" in str(error_of(tmp_path / "x.npz"))


def test_a_truncated_npz(tmp_path):
    np.savez(tmp_path / "x.npz", a=batch(3, 4, 6))
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:200])
    assert "can be read" in str(error_of(tmp_path / "x.npz"))


def test_files_are_decoded_in_order_and_only_a_little_ahead(tmp_path):
    file = picture(tmp_path / "a.png")
    asked = []

    def files():
        for number in range(10 * WINDOW):
            asked.append(number)
            yield file if number % 2 else tmp_path / f"missing {number}.png"

    items = read_items(files(), IMAGE_INPUT)
    assert [isinstance(next(items), Item) for _ in range(6)] == [False, True] * 3
    assert len(asked) <= WINDOW + 6
    items.close()  # stopping early leaves no thread at work
    assert len(asked) <= WINDOW + 6


def test_an_input_without_a_batch_axis():
    with pytest.raises(UnsupportedModelError, match="batch axis"):
        read(Path("x.npy"), inputs=(TensorSpec("x", FLOAT, ()),))
