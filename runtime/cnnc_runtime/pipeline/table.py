"""Results as a Parquet table: a row an item, written a thousand rows at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np

from cnnc_runtime.batch import Result
from cnnc_runtime.pipeline.items import Failure
from cnnc_runtime.pipeline.parquet import load_pyarrow
from cnnc_runtime.results import is_scores

__all__ = ["open_table"]

_ROWS = 1000
_BYTES = 2**26  # of values that wait for a row group to be full


@contextlib.contextmanager
def open_table(file: BinaryIO) -> Iterator[Callable[[Result | Failure, dict[str, Any]], None]]:
    """A function that adds one row: `name`, `error`, and for each output Y the columns

    `Y`, its values in row-major order, and `Y_shape`; for class scores also `Y_index`, `Y_label` and `Y_score`, of
    the top classes, best first. Columns and types are those of the first item that did not fail.

    Raises:
        UsageError: pyarrow is not installed.
    """
    table = _Table(load_pyarrow(), file)
    yield table.add
    table.close()


class _Table:
    def __init__(self, arrow: Any, file: BinaryIO) -> None:
        self._arrow, self._file = arrow, file
        self._writer: Any = None
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._names: dict[str, str] = {}  # output -> column
        self._types: dict[str, Any] = {"name": arrow.string(), "error": arrow.string()}

    def add(self, result: Result | Failure, record: dict[str, Any]) -> None:
        row: dict[str, Any] = {"name": _text(record["name"])}
        if isinstance(result, Failure):
            row["error"] = _text(record["error"])
        else:
            for output, array in result.outputs.items():
                row |= self._columns(output, array, record["outputs"][output])
                self._bytes += array.nbytes
        self._rows.append(row)
        # Failures alone do not say what the columns are
        if (len(self._rows) >= _ROWS or self._bytes > _BYTES) and self._names:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _columns(self, output: str, array: np.ndarray[Any, Any], summary: dict[str, Any]) -> dict[str, Any]:
        arrow = self._arrow
        values = array.astype(np.float32) if array.dtype == np.float16 else array  # exact, and read everywhere
        kinds = {"": arrow.from_numpy_dtype(values.dtype), "_shape": arrow.int64()}
        row: dict[str, Any] = {"": values.ravel(), "_shape": list(values.shape)}
        if is_scores(array):
            kinds |= {"_index": arrow.int64(), "_label": arrow.string(), "_score": arrow.float64()}
            row |= {f"_{key}": [one[key] for one in summary.get("top", ())] for key in ("index", "label", "score")}
        if output not in self._names:
            name = _text(output)
            while any(name + suffix in self._types for suffix in kinds):  # an output called "error", or "y_shape"
                name += "_"
            self._names[output] = name
            self._types |= {name + suffix: arrow.list_(kind) for suffix, kind in kinds.items()}
        return {self._names[output] + suffix: value for suffix, value in row.items()}

    def _flush(self) -> None:
        schema = self._arrow.schema(list(self._types.items()))
        if self._writer is None:
            self._writer = self._arrow.parquet.ParquetWriter(self._file, schema)
        columns = [self._arrow.array([row.get(name) for row in self._rows], kind) for name, kind in self._types.items()]
        self._writer.write_table(self._arrow.Table.from_arrays(columns, schema=schema))
        self._rows, self._bytes = [], 0


def _text(name: str) -> str:
    """File names need not be valid text."""
    return name.encode("utf-8", "backslashreplace").decode()
