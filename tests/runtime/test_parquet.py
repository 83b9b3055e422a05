"""Images in Parquet files, and results written to them."""

import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cnnc_runtime import PRESETS, Failure, Item, Result, TensorSpec, read_items
from cnnc_runtime.errors import CnncError, InvalidInputError, UsageError
from cnnc_runtime.media import Reading
from cnnc_runtime.pipeline.table import _ROWS
from cnnc_runtime.pipeline.tasks import count_items
from cnnc_runtime.results import describe
from cnnc_runtime.writers import open_writer

INPUT = (TensorSpec("x", np.dtype("float32"), ("n", 3, 4, 6)),)


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, **columns):
    pq.write_table(pa.table(columns), path, row_group_size=10)
    return path


@pytest.mark.parametrize("kind", ["bytes", "large", "struct"])
def test_every_row_is_an_item(tmp_path, kind):
    images = [png(seed) for seed in range(33)]
    column = {
        "bytes": lambda: images,
        "large": lambda: pa.array(images, pa.large_binary()),
        "struct": lambda: [{"bytes": image, "path": f"{i}.png"} for i, image in enumerate(images)],
    }[kind]()
    file = write(tmp_path / "a.parquet", image=column, label=list(range(33)))
    items = list(read_items([file], INPUT))
    assert [item.name for item in items] == [f"{file}[{row}]" for row in range(33)]
    assert count_items([str(file)], Reading()) == 33
    for item, image in zip(items, images, strict=True):
        np.testing.assert_array_equal(item.feed["x"], PRESETS["unit"](Image.open(io.BytesIO(image))))


def test_a_bad_row_is_one_failure(tmp_path):
    file = write(tmp_path / "a.parquet", image=[png(0), b"no image", None, b"", png(1)])
    kinds = [type(item) for item in read_items([file], INPUT)]
    assert kinds == [Item, Failure, Failure, Failure, Item]
    errors = [str(item.error) for item in read_items([file], INPUT) if isinstance(item, Failure)]
    assert all(f"{file}[{row}]" in error for row, error in enumerate(errors, start=1))


def test_a_struct_with_only_a_path_has_no_image(tmp_path):
    rows = pa.array([{"bytes": None, "path": "x.png"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    (failure,) = read_items([write(tmp_path / "a.parquet", image=rows)], INPUT)
    assert "bytes are missing" in str(failure.error)


def test_the_column_is_asked_for_where_it_is_open(tmp_path):
    file = write(tmp_path / "a.parquet", image=[png(0)], mask=[png(1)], label=[1])
    (failure,) = read_items([file], INPUT)
    assert isinstance(failure.error, UsageError) and "--column image or mask" in str(failure.error)
    (failure,) = read_items([file], INPUT, None, Reading(column="label"))
    assert isinstance(failure.error, UsageError)
    (item,) = read_items([file], INPUT, None, Reading(column="mask"))
    np.testing.assert_array_equal(item.feed["x"], PRESETS["unit"](Image.open(io.BytesIO(png(1)))))
    (failure,) = read_items([write(tmp_path / "b.parquet", label=[1])], INPUT)
    assert "no column of bytes" in str(failure.error)


def test_what_is_no_parquet(tmp_path):
    whole = write(tmp_path / "a.parquet", image=[png(seed) for seed in range(50)]).read_bytes()
    for content in (b"text", whole[:-20], whole[:100]):
        (tmp_path / "b.parquet").write_bytes(content)
        (failure,) = read_items([tmp_path / "b.parquet"], INPUT)
        assert isinstance(failure.error, InvalidInputError) and "b.parquet is not a Parquet" in str(failure.error)


def test_results_as_a_table(tmp_path):
    scores = np.arange(3, dtype=np.float16)
    results = [
        Failure("bad", CnncError("bad: no image")),
        Result("a", {"y": scores, "name": np.ones((1, 2), np.int64)}),
        Result("b\udcff", {"y": np.float16([1, np.nan, 0]), "name": np.zeros((1, 2), np.int64)}),
    ]
    with open_writer(tmp_path / "o.parquet") as add:
        for result in results:
            record = (
                {"name": "bad", "error": "bad: no image"} if isinstance(result, Failure) else describe(result, "uvw", 2)
            )
            add(result, record)
    bad, first, second = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert (bad["error"], bad["y"], first["error"]) == ("bad: no image", None, None)
    assert (first["y"], first["y_shape"], first["y_index"], first["y_label"]) == ([0, 1, 2], [3], [2, 1], ["w", "v"])
    assert (first["name"], first["name_"], first["name__shape"]) == ("a", [1, 1], [1, 2])
    assert second["name"] == r"b\udcff" and second["y_index"] == []


def test_a_long_table_is_written_in_groups(tmp_path):
    with open_writer(tmp_path / "o.parquet") as add:
        for number in range(2 * _ROWS + 5):
            result = Result(str(number), {"y": np.float32([number, 0])})
            add(result, describe(result))
    file = pq.ParquetFile(tmp_path / "o.parquet")
    assert file.num_row_groups == 3
    assert [row["y"][0] for row in file.read().to_pylist()] == list(range(2 * _ROWS + 5))


def test_without_pyarrow_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'cnnc\[parquet\]'"), open_writer(tmp_path / "o.parquet"):
        pass
    assert not list(tmp_path.iterdir())
