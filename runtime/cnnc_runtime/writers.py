"""Writes results as they come to .csv, .jsonl or .npz, told apart by the file's suffix."""

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

__all__ = ["FORMATS", "Write", "open_writer"]

Record = dict[str, Any]
Write = Callable[[Result, Record], None]

_COLUMNS = ("name", "output", "rank", "index", "label", "score", "shape", "min", "max", "mean")


@contextlib.contextmanager
def open_writer(path: Path, *, force: bool = False) -> Iterator[Write]:
    """A function that writes one result, given with what `describe` says of it.

    .csv has a row for each of the top classes, best first, or one row for an output that is no classifier's;
    .jsonl a record a line; .npz the arrays by item name (`item/output` where there are several outputs).

    Raises:
        UsageError: the suffix is none of these.
        OutputError: as `replacing`.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: the output's suffix must be one of {', '.join(FORMATS)}")
    with replacing(path, force=force) as file, FORMATS[path.suffix.lower()](file) as write:
        yield write


@contextlib.contextmanager
def _csv(file: BinaryIO) -> Iterator[Write]:
    # File names need not be valid text
    text = io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="", write_through=True)
    rows = csv.DictWriter(text, _COLUMNS)
    rows.writeheader()

    def write(result: Result, record: Record) -> None:
        for output, summary in record["outputs"].items():
            key = {"name": record["name"], "output": output, "shape": "x".join(map(str, summary["shape"]))}
            if "top" in summary:
                for rank, entry in enumerate(summary["top"], start=1):
                    rows.writerow({**key, "rank": rank, **entry})
            else:
                rows.writerow({**key, **{column: summary[column] for column in ("min", "max", "mean")}})

    yield write
    text.detach()


@contextlib.contextmanager
def _jsonl(file: BinaryIO) -> Iterator[Write]:
    def write(result: Result, record: Record) -> None:
        file.write(json.dumps(record).encode() + b"\n")

    yield write


@contextlib.contextmanager
def _npz(file: BinaryIO) -> Iterator[Write]:
    with zipfile.ZipFile(file, "w") as archive:
        taken: set[str] = set()

        def write(result: Result, record: Record) -> None:
            for output, array in result.outputs.items():
                key = result.name if len(result.outputs) == 1 else f"{result.name}/{output}"
                key = key.encode("utf-8", "backslashreplace").decode()
                number = 1
                unique = key
                while unique in taken:  # the same file named twice
                    number += 1
                    unique = f"{key}#{number}"
                taken.add(unique)
                # A ZipInfo made here has a fixed date: equal results give equal files
                with archive.open(zipfile.ZipInfo(f"{unique}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

        yield write


FORMATS = {".csv": _csv, ".jsonl": _jsonl, ".npz": _npz}
