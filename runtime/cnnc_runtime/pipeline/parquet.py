"""Images in Parquet files, as Hugging Face data sets keep them; through pyarrow (the extra `parquet`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnc_runtime.errors import InvalidInputError, UsageError

__all__ = ["count_rows", "load_pyarrow", "read_rows"]

_ROWS = 16  # read at a time: some images have megabytes


def read_rows(file: Path, column: str | None = None) -> Iterator[tuple[int, bytes | None]]:
    """(number, image file's content) of each row; None where the row has none.

    Args:
        file: a .parquet.
        column: bytes, or a struct with a field `bytes`; if None, the only column that is such.

    Raises:
        UsageError: pyarrow is not installed, or which column to take is open.
        InvalidInputError: it is no Parquet file, or damaged.
    """
    number = 0
    try:
        with _open(file) as table:
            name = _choose(file, table.schema_arrow, column)
            for batch in table.iter_batches(_ROWS, columns=[name], use_threads=False):
                for value in batch.column(0):
                    content = value.as_py()
                    yield number, content["bytes"] if isinstance(content, dict) else content
                    number += 1
    except (OSError, ValueError, load_pyarrow().ArrowException) as error:
        raise InvalidInputError(f"{file} is damaged at row {number}: {' '.join(str(error).split())}") from error


def count_rows(file: Path) -> int:
    """The rows of a .parquet, by its own claim.

    Raises:
        CnncError: as `read_rows`.
    """
    with _open(file) as table:
        return int(table.metadata.num_rows)


def load_pyarrow() -> Any:
    """The modules pyarrow and pyarrow.parquet.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(f".parquet needs pyarrow: pip install 'cnnc[parquet]' ({error})") from error
    return pyarrow


def _open(file: Path) -> Any:
    arrow = load_pyarrow()
    try:
        return arrow.parquet.ParquetFile(file)
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise InvalidInputError(
            f"{file} is not a Parquet file that can be read: {' '.join(str(error).split())}"
        ) from error


def _choose(file: Path, schema: Any, column: str | None) -> str:
    fitting = [field.name for field in schema if _holds_bytes(field.type)]
    if column is None and len(fitting) == 1:
        return str(fitting[0])
    if column is not None and column in fitting:
        return column
    if not fitting:
        raise InvalidInputError(f"{file} has no column of bytes, or of structs with `bytes`: it has {schema.names}")
    asked = f"has no images in the column {column!r}" if column is not None else "has several columns of bytes"
    raise UsageError(f"{file} {asked}: give --column {' or '.join(fitting)}")


def _holds_bytes(kind: Any) -> bool:
    types = load_pyarrow().types
    if types.is_struct(kind):
        return any(field.name == "bytes" and _holds_bytes(field.type) for field in kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))
