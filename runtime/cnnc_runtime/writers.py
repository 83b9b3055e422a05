"""Writes results to .csv, .jsonl, .npz or .parquet, told apart by the file's suffix."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cnnc_runtime.atomic import replacing
from cnnc_runtime.batch import Result
from cnnc_runtime.errors import UsageError
from cnnc_runtime.pipeline.items import Failure
from cnnc_runtime.pipeline.parquet import load_pyarrow
from cnnc_runtime.pipeline.table import open_table

__all__ = ["FORMATS", "HOLDS_ARRAYS", "Write", "check_format", "open_writer"]

Record = dict[str, Any]
Write = Callable[[Result | Failure, Record], None]

_COLUMNS = ("name", "output", "rank", "index", "label", "score", "shape", "min", "max", "mean", "share", "error")


def check_format(path: Path) -> None:
    """Raise UsageError if the suffix is of no format, or its package is not installed."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: the output's suffix must be one of {', '.join(FORMATS)}")
    if path.suffix.lower() == ".parquet":
        load_pyarrow()


@contextlib.contextmanager
def open_writer(path: Path, *, force: bool = False) -> Iterator[Write]:
    """A function that writes one result, or failure, given with what `describe` says of it.

    .csv has a row for each of the top classes, best first, or of those with the largest shares of a map of classes,
    or one row for any other output;
    .jsonl a record a line; .parquet a row an item, with the arrays and the top classes as lists; .npz the arrays
    by item name (`item/output` where there are several outputs), and `errors`, pairs of name and reason. In the
    others a failure is a row with `error`.

    Raises:
        UsageError: the suffix is none of these, or .parquet without pyarrow.
        OutputError: as `replacing`.
    """
    check_format(path)
    with replacing(path, force=force) as file, FORMATS[path.suffix.lower()](file) as write:
        yield write


@contextlib.contextmanager
def _csv(file: BinaryIO) -> Iterator[Write]:
    # File names need not be valid text
    text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="", write_through=True)
    rows = csv.DictWriter(text, _COLUMNS)
    rows.writeheader()

    def write(result: Result | Failure, record: Record) -> None:
        if "error" in record:
            rows.writerow(record)
            return
        for output, summary in record["outputs"].items():
            key = {"name": record["name"], "output": output, "shape": "x".join(map(str, summary["shape"]))}
            if "top" in summary:
                for rank, entry in enumerate(summary["top"], start=1):
                    rows.writerow({**key, "rank": rank, **{k: v for k, v in entry.items() if k != "place"}})
            elif "shares" in summary:
                extent = {column: summary[column] for column in ("min", "max", "mean")}
                for rank, entry in enumerate(summary["shares"], start=1):
                    rows.writerow({**key, **extent, "rank": rank, **entry})
            else:
                rows.writerow({**key, **{column: summary[column] for column in ("min", "max", "mean")}})

    yield write
    text.detach()


@contextlib.contextmanager
def _jsonl(file: BinaryIO) -> Iterator[Write]:
    def write(result: Result | Failure, record: Record) -> None:
        file.write(json.dumps(record).encode() + b"\n")

    yield write


@contextlib.contextmanager
def _npz(file: BinaryIO) -> Iterator[Write]:
    with zipfile.ZipFile(file, "w") as archive:
        numbers: dict[str, int] = {}  # how often a key was wanted
        errors: list[tuple[str, str]] = []

        def add(key: str, array: np.ndarray[Any, Any]) -> None:
            key = key.encode("utf-8", "backslashreplace").decode()
            unique = key
            while unique in numbers:  # the same file named twice
                numbers[key] += 1
                unique = f"{key}#{numbers[key]}"
            numbers[unique] = 1
            # A ZipInfo made here has a fixed date: equal results give equal files
            with archive.open(zipfile.ZipInfo(f"{unique}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)

        def write(result: Result | Failure, record: Record) -> None:
            if isinstance(result, Failure):
                errors.append((record["name"], record["error"]))
                return
            for output, array in result.outputs.items():
                add(result.name if len(result.outputs) == 1 else f"{result.name}/{output}", array)

        yield write
        if errors:
            add("errors", np.array([[text.encode("utf-8", "backslashreplace").decode() for text in e] for e in errors]))


FORMATS = {".csv": _csv, ".jsonl": _jsonl, ".npz": _npz, ".parquet": open_table}
HOLDS_ARRAYS = frozenset({".npz", ".parquet"})
