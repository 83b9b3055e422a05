"""What the commands share: results on stdout, notes and progress on stderr, and option texts -> values."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from cnnc_runtime.errors import InvalidInputError

if TYPE_CHECKING:
    from cnnc.verify import Certificate

__all__ = ["err", "note", "out", "pairs", "proof", "read_labels", "status"]

_UNLIMITED = 1000  # columns; a pipe has no edge at which to cut


class _Console(Console):
    """rich's, but a reader that goes away is for the command group to judge: rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError from sys.exc_info()[1]


out = _Console(soft_wrap=True, width=None if sys.stdout.isatty() else _UNLIMITED)
err = _Console(stderr=True, soft_wrap=True)


def note(text: str) -> None:
    """One line for the user, on stderr."""
    err.print(f"cnnc: {text}", highlight=False, markup=False)


def proof(certificate: Certificate) -> None:
    """What a certificate shows, and what it does not."""
    out.print(
        f"verified on {certificate.provider} against {certificate.oracle}: off by {certificate.error:.1e} of the "
        f"output's magnitude; the original's own rounding is {certificate.own_error:.1e}",
        highlight=False,
    )
    for name in certificate.constant_outputs():
        note(f"output {name!r} was the same for every input tried: equal, but that proves little")
    for axis in certificate.unproved_axes:
        note(f"axis {axis!r}: the original itself takes no other size that was tried")
    if certificate.in_float64:
        count = certificate.in_float64
        note(f"items compared in float64, since the original's own precision shows nothing there: {count}")


@contextlib.contextmanager
def status(text: str) -> Iterator[None]:
    """A spinner on stderr (if that is a terminal) while work goes on; what the user's code prints goes there too."""
    with _stdout_to_stderr(), err.status(text) if err.is_terminal else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Python's stream, and the descriptor that subprocesses and C code write to."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(stdout, 1)
        os.close(stdout)


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """`["k=v"]` -> `{"k": "v"}`; exit 2 where there is no `=`, or a key is given twice."""
    values: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise click.BadParameter(f"{key!r}: give KEY=VALUE", param_hint="--arg")
        if key in values:
            raise click.BadParameter(f"{key!r} is given twice", param_hint="--arg")
        values[key] = value
    return values


def read_labels(path: Path) -> list[str]:
    """Class names, one a line; empty lines at the end do not count, nor does a byte order mark.

    Raises:
        InvalidInputError: no such file, not text, or empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path}: cannot be read as a list of labels: {error}") from error
    if not text:
        raise InvalidInputError(f"{path} holds no labels: give one class name a line")
    return text.split("\n")  # splitlines would also split at a form feed, or at U+2028
