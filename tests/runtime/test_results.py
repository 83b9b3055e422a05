"""What is said of a result, and how it is written."""

import csv
import json
import os

import numpy as np
import pytest

from cnnc_runtime import Result
from cnnc_runtime.errors import InvalidInputError, OutputError, UsageError
from cnnc_runtime.results import describe
from cnnc_runtime.writers import open_writer


def logits(*values: float) -> Result:
    return Result("a.png", {"y": np.array(values, np.float32)})


def test_logits_get_a_softmax():
    out = describe(logits(1, 3, 2), ("x", "y", "z"), top=2)["outputs"]["y"]
    assert out["scores"] == "softmax" and out["shape"] == [3]
    assert [(entry["index"], entry["label"]) for entry in out["top"]] == [(1, "y"), (2, "z")]
    expected = np.exp([3, 2]) / np.exp([1, 3, 2]).sum()
    np.testing.assert_allclose([entry["score"] for entry in out["top"]], expected)


def test_probabilities_stay_as_they_are():
    out = describe(logits(0.25, 0.25, 0.5), top=9)["outputs"]["y"]
    assert out["scores"] == "as is"
    assert [(entry["index"], entry["score"]) for entry in out["top"]] == [(2, 0.5), (0, 0.25), (1, 0.25)]
    assert out["top"][0]["label"] is None


def test_huge_logits_do_not_overflow():
    assert describe(logits(-3e38, 3e38))["outputs"]["y"]["top"][0]["score"] == 1


def test_other_outputs_are_summarised():
    result = Result("a", {"map": np.arange(8, dtype=np.float32).reshape(2, 2, 2), "one": np.float32([5])})
    out = describe(result)["outputs"]
    shares = [{"index": 1, "label": None, "share": 1.0}]
    assert out["map"] == {"shape": [2, 2, 2], "shares": shares, "min": 0.0, "max": 7.0, "mean": 3.5}
    assert out["one"] == {"shape": [1], "min": 5.0, "max": 5.0, "mean": 5.0}


def test_nan_is_counted_and_stays_out_of_json():
    for values in ((1, np.nan, np.inf), (np.nan, np.nan)):
        record = describe(logits(*values))
        assert record["outputs"]["y"]["non_finite"] == 2
        json.dumps(record, allow_nan=False)


def test_labels_must_fit():
    with pytest.raises(InvalidInputError, match="2 labels for 3 classes"):
        describe(logits(1, 2, 3), ("a", "b"))


def test_labels_name_the_head_that_they_fit():
    two = Result("a", {"logits": np.float32([1, 2]), "embedding": np.float32([3, 1, 2])})
    out = describe(two, ("x", "y"), top=1)["outputs"]
    assert out["logits"]["top"][0]["label"] == "y" and out["embedding"]["top"][0]["label"] is None
    with pytest.raises(InvalidInputError, match="4 labels for 2 and 3 classes"):
        describe(two, "abcd")


def write(path, *results: Result, force: bool = False) -> None:
    with open_writer(path, force=force) as write:
        for result in results:
            write(result, describe(result, top=2))


def test_csv(tmp_path):
    write(tmp_path / "o.csv", logits(0, 1, 2), Result("=b, é\udcff", {"map": np.ones((1, 2))}))
    with (tmp_path / "o.csv").open(encoding="utf-8", newline="") as file:
        first, second, third = csv.DictReader(file)
    assert (first["name"], first["rank"], first["index"]) == ("a.png", "1", "2")
    assert (second["rank"], second["index"]) == ("2", "1")
    assert (third["shape"], third["mean"], third["rank"]) == ("1x2", "1.0", "")


def test_jsonl(tmp_path):
    write(tmp_path / "o.jsonl", logits(0, 1), logits(1, 0))
    lines = (tmp_path / "o.jsonl").read_text().splitlines()
    assert [json.loads(line)["outputs"]["y"]["top"][0]["index"] for line in lines] == [1, 0]


def test_npz(tmp_path):
    two = Result("b", {"y": np.float32([1]), "z": np.float32([2])})
    write(tmp_path / "o.npz", logits(0, 1), logits(5, 6), two)
    with np.load(tmp_path / "o.npz") as arrays:
        assert {key: list(arrays[key]) for key in arrays} == {
            "a.png": [0, 1],
            "a.png#2": [5, 6],
            "b/y": [1],
            "b/z": [2],
        }
    first = (tmp_path / "o.npz").read_bytes()
    write(tmp_path / "o.npz", logits(0, 1), logits(5, 6), two, force=True)
    assert (tmp_path / "o.npz").read_bytes() == first


def test_an_existing_output_is_refused_and_intact(tmp_path):
    (tmp_path / "o.csv").write_text("precious")
    with pytest.raises(OutputError, match="--force"):
        write(tmp_path / "o.csv", logits(1, 2))
    assert (tmp_path / "o.csv").read_text() == "precious"
    write(tmp_path / "o.csv", logits(1, 2), force=True)
    assert (tmp_path / "o.csv").read_text().startswith("name,")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "npz"])
def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"o.{suffix}"
    path.write_text("precious")
    with pytest.raises(ZeroDivisionError), open_writer(path, force=True) as write:
        write(logits(1, 2), describe(logits(1, 2)))
        raise ZeroDivisionError
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_impossible_outputs(tmp_path):
    with pytest.raises(OutputError, match="missing"):
        write(tmp_path / "missing" / "o.csv")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(OutputError, match="directory"):
        write(tmp_path / "d.csv", force=True)
    with pytest.raises(UsageError, match="suffix"):
        write(tmp_path / "o.txt")


@pytest.mark.parametrize("force", [False, True])
def test_links_and_pipes_are_never_replaced(tmp_path, force):
    (tmp_path / "dangling.csv").symlink_to("nowhere.csv")
    (tmp_path / "target.csv").write_text("precious")
    (tmp_path / "link.csv").symlink_to("target.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    for name, message in (
        ("dangling", "name its target, .*nowhere.csv"),
        ("link", "symbolic link"),
        ("pipe", "not a regular file"),
    ):
        with pytest.raises(OutputError, match=message):
            write(tmp_path / f"{name}.csv", logits(1, 2), force=force)
    assert (tmp_path / "dangling.csv").is_symlink() and (tmp_path / "pipe.csv").is_fifo()
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "target.csv").read_text() == "precious"


def test_a_heat_map_is_of_no_classes() -> None:
    result = Result("a", {"y": np.array([1.0, 2], np.float32), "heat": np.ones((5, 2, 2), np.float32)})
    described = describe(result, ["cat", "dog"], heat_map="heat")["outputs"]
    assert "top" in described["y"] and described["heat"] == {"shape": [5, 2, 2], "min": 1.0, "max": 1.0, "mean": 1.0}
