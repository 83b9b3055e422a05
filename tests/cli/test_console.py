"""Option texts and label files -> values."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from cnnc.cli import console
from cnnc_runtime.errors import InvalidInputError


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"ant\nbee\n\n", ["ant", "bee"]),
        (b"\xef\xbb\xbfant\r\nbee", ["ant", "bee"]),
        (b"ant\x0c1\nbee\xe2\x80\xa8\n", ["ant\x0c1", "bee\u2028"]),
        (b"ant\n\nbee\n", ["ant", "", "bee"]),
    ],
)
def test_labels_are_lines_and_nothing_else(tmp_path: Path, content: bytes, labels: list[str]) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    assert console.read_labels(tmp_path / "labels.txt") == labels


@pytest.mark.parametrize(("content", "message"), [(b"", "holds no labels"), (b"\xff\xfe", "cannot be read")])
def test_a_file_without_labels_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(InvalidInputError, match=rf"labels.txt.* {message}"):
        console.read_labels(tmp_path / "labels.txt")


def test_a_key_is_given_once() -> None:
    assert console.pairs(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(click.BadParameter, match="'a' is given twice"):
        console.pairs(["a=1", "a=2"])


def test_nothing_reaches_stdout_while_work_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    with console.status("working"):
        print("from Python")
        os.system("echo from a process")
    print("done")
    out, err = capfd.readouterr()
    assert out == "done\n"
    assert "from Python" in err and "from a process" in err
