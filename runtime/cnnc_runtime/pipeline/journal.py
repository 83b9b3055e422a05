"""The append-only journal of a run, beside its output: what is finished stays so, whatever ends the process.

`out.csv.journal` has a line of JSON for the run's fingerprint, then one an item, in the order of the inputs: how many
lines there are is how many items are finished. One more says that the output is assembled, right before it takes its
name. Where the output is to hold arrays, `out.npz.journal-arrays` has their bytes, written before the line that says
where. A line that is cut short, or points past the end of the arrays, never happened: it and what follows it is cut
off before a run goes on.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from cnnc_runtime.arrays import Array
from cnnc_runtime.errors import OutputError, UsageError
from cnnc_runtime.pipeline.array_file import ArrayFile, write_all
from cnnc_runtime.pipeline.fingerprint import difference

__all__ = ["Journal", "Record", "may_overwrite"]

Record = dict[str, Any]
"""`{"name", "outputs"}` as `describe` gives it, or `{"name", "error"}`."""

_VERSION = 1
_START = b'{"cnnc_journal": '
_ASSEMBLED = b'{"assembled": true}\n'


def may_overwrite(output: Path) -> bool:
    """Whether going on with the journal may replace `output`: that run was told to, or had just written it itself."""
    try:
        with _path(output).open("rb") as lines:
            if (_parse(lines.readline()) or {}).get("force") is True:
                return True
            lines.seek(-min(len(_ASSEMBLED), lines.seek(0, 2)), 2)
            return lines.read() == _ASSEMBLED
    except OSError:
        return False


class Journal:
    """Takes the records of finished items, and gives them back when the output is assembled.

    Args:
        output: the file it is the journal of.
        run: the fingerprint of this run.
        resume: go on with a journal of the same run if there is one.
        force: discard a journal that there is, unless `resume`.

    Attributes:
        path: where it is.
        finished, failed, non_finite: records, those with an `error`, those with NaN or infinity in an output.

    Raises:
        OutputError: there is a journal already, another process writes to it, or it cannot be written; or a file
            of its name that is none.
        UsageError: it is a journal of another run.
    """

    def __init__(self, output: Path, run: Mapping[str, Any], *, resume: bool = False, force: bool = False) -> None:
        self.path = _path(output)
        self._arrays_path = output.with_name(f"{output.name}.journal-arrays")
        self.finished = self.failed = self.non_finite = 0
        is_there = _is_journal(self.path)
        if _has_items(self.path) and not resume and not force:
            raise OutputError(f"{self.path} is of an unfinished run: --resume goes on with it, --force starts again")
        with _as_output_error(self.path):
            self._lines = self.path.open("a+b", buffering=0)
            self._arrays = ArrayFile(self._arrays_path)
        try:
            self._lock()
            if is_there and resume:
                self._recover(run)
            if not self.finished:
                self._begin({**run, "force": force})
        except BaseException:
            self._lines.close()
            self._arrays.close()
            if not is_there:
                self._remove()
            raise

    def append(self, record: Record, arrays: Mapping[str, Array] | None = None) -> None:
        """One finished item; it is in the file when this returns.

        Raises:
            OutputError: the disk is full.
        """
        with _as_output_error(self.path, " (what is finished is kept: make room, then --resume)"):
            line = dict(record)
            if arrays is not None:
                line["arrays"] = {name: self._arrays.append(array) for name, array in arrays.items()}
            write_all(self._lines, json.dumps(line).encode() + b"\n")
        self._count(record)

    def records(self) -> Iterator[tuple[Record, dict[str, Array]]]:
        """Every record with its arrays, in order.

        Raises:
            InvalidInputError: arrays are damaged.
        """
        with _as_output_error(self.path), self.path.open("rb") as lines:
            lines.readline()
            for line in lines:
                record = json.loads(line)
                places = record.pop("arrays", {})
                yield record, {name: self._arrays.read(place) for name, place in places.items()}

    def mark_assembled(self) -> None:
        """Say that the output is whole, right before it gets its name: a kill between that and `close` is no loss.

        Raises:
            OutputError: the disk is full.
        """
        with _as_output_error(self.path):
            write_all(self._lines, _ASSEMBLED)

    def close(self, *, keep: bool) -> None:
        """Close the files; delete them unless `keep` and there is anything finished in them."""
        self._lines.close()
        self._arrays.close()
        if not (keep and self.finished):
            self._remove()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close(keep=kind is not None)

    def _begin(self, run: Mapping[str, Any]) -> None:
        with _as_output_error(self.path):
            self._lines.truncate(0)
            self._arrays.cut(0)
            write_all(self._lines, json.dumps({"cnnc_journal": _VERSION, **run}).encode() + b"\n")

    def _recover(self, run: Mapping[str, Any]) -> None:
        """Count what is whole and cut off the rest."""
        self._lines.seek(0)
        with _as_output_error(self.path), self.path.open("rb") as lines:
            header = _parse(lines.readline())
            if header is None:
                return  # ended before its first line was whole
            if header.get("cnnc_journal") != _VERSION:
                raise OutputError(
                    f"{self.path} is no journal of this version of cnnc: --force without --resume replaces it"
                )
            differs = difference(header, run)
            if differs is not None:
                raise UsageError(
                    f"{self.path} is of another run, {differs}: repeat that run's command, "
                    "or --force without --resume starts again"
                )
            end, whole = lines.tell(), 0
            for line in lines:
                record = _parse(line)
                if record is None or "name" not in record or (last := _end_of_arrays(record, whole)) > self._arrays.end:
                    break
                end, whole = end + len(line), last
                self._count(record)
            self._lines.truncate(end)
            self._arrays.cut(whole)

    def _count(self, record: Record) -> None:
        self.finished += 1
        self.failed += "error" in record
        self.non_finite += any("non_finite" in summary for summary in record.get("outputs", {}).values())

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        try:
            fcntl.flock(self._lines, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"{self.path} is being written by another run: wait for it, or name another output"
            ) from error
        except OSError:
            return  # not every network file system has locks

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
            self._arrays_path.unlink(missing_ok=True)


def _path(output: Path) -> Path:
    return output.with_name(f"{output.name}.journal")


def _is_journal(path: Path) -> bool:
    """Whether there is one, be it of an empty line; anything else of that name is the user's, and stays."""
    if not path.is_symlink() and not path.exists():
        return False
    with _as_output_error(path):
        if path.is_symlink() or not path.is_file():
            raise OutputError(f"{path} is where the journal would be: move it away")
        with path.open("rb") as lines:
            start = lines.read(len(_START))
    if not _START.startswith(start):
        raise OutputError(f"{path} is where the journal would be, and is none: move it away")
    return True


def _has_items(path: Path) -> bool:
    try:
        with path.open("rb") as lines:
            return _parse(lines.readline()) is not None and _parse(lines.readline()) is not None
    except OSError:
        return path.exists()


def _parse(line: bytes) -> Record | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _end_of_arrays(record: Record, end: int) -> int:
    return max([end, *(int(place[0] + place[1]) for place in record.get("arrays", {}).values())])


@contextlib.contextmanager
def _as_output_error(path: Path, more: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be used: {error.strerror or error}{more}") from error
