"""What the user names: folders, patterns and lists, and what is said where they give nothing."""

import io
import os
from pathlib import Path

import pytest

from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.pipeline.names import list_names


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder to be in, of empty files."""
    for name in ("b.png", "a/z.jpg", "a.jpg", "a/deep/x.webp", "a/.hidden.jpg", "a/notes.txt", ".git/i.png", "c/x.npy"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_gives_its_images_as_sorted_paths_would_be(tree):
    expected = ["a/deep/x.webp", "a/z.jpg", "a.jpg", "b.png"]
    assert list_names(["."]) == expected == [str(path) for path in sorted(map(Path, expected))]
    assert list_names([tree / "a"]) == [f"{tree}/a/deep/x.webp", f"{tree}/a/z.jpg"]


def test_links_to_folders_are_not_followed_so_that_no_cycle_is(tree):
    (tree / "a" / "up").symlink_to(tree)
    assert list_names(["a"]) == ["a/deep/x.webp", "a/z.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["b.png"]),
        ("**/*.jpg", ["a/z.jpg", "a.jpg"]),
        ("a/*", ["a/deep/x.webp", "a/notes.txt", "a/z.jpg"]),
        ("?.png", ["b.png"]),
        ("[bc]*", ["b.png"]),
        ("**/*.npy", ["c/x.npy"]),
        ("a/**", ["a/deep/x.webp", "a/notes.txt", "a/z.jpg"]),
    ],
)
def test_patterns(tree, pattern, expected):
    assert list_names([pattern]) == expected
    if pattern != "[bc]*":
        assert list_names([f"{tree}/{pattern}"]) == [f"{tree}/{name}" for name in expected]


def test_a_name_that_exists_is_no_pattern(tree):
    (tree / "b[1].png").touch()
    assert list_names(["b[1].png"]) == ["b[1].png"]


def test_a_list_on_standard_input(tree):
    names = b"b.png\r\na\n\nmissing.png\n with space.png\n" + b"caf\xe9.png\n"
    expected = ["b.png", "a/deep/x.webp", "a/z.jpg", "missing.png", " with space.png", os.fsdecode(b"caf\xe9.png")]
    assert list_names(["-"], io.BytesIO(names)) == expected
    assert list_names(["a.jpg", "-"], io.BytesIO(b"two\nlines\0b.png\0")) == ["a.jpg", "two\nlines", "b.png"]


def test_what_gives_nothing_says_so(tree):
    (tree / "empty").mkdir()
    for given, message in (
        ("empty", "holds no images.*pattern"),
        ("c", r"'c/\*\*/\*.npy'"),
        ("*.gif", "fits no file"),
        ("emp*", "only folders"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            list_names([given])
    with pytest.raises(InvalidInputError, match="names no files"):
        list_names(["-"], io.BytesIO(b"\n"))
    with pytest.raises(UsageError, match="once"):
        list_names(["-", "-"], io.BytesIO(b"a"))
    with pytest.raises(UsageError, match="once"):
        list_names(["-"])
