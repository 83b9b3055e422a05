"""What every command has in common: pipes, terminals, one line for a mistake."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from cnnc.cli import _translated
from cnnc_passes.pipeline import named_passes


def cnnc(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnnc", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=os.environ | environment)


@pytest.mark.parametrize("arguments", [("zoo",), ("zoo", "--json"), ("passes",), ("--help",)])
def test_a_reader_that_goes_away_is_no_error(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "cnnc", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize("closed", ["0<&-", ">&-", "2>&-", "0<&- >&- 2>&-"])
def test_a_closed_stream_is_no_error(closed: str) -> None:
    command = f'"{sys.executable}" -m cnnc zoo {closed}'
    done = subprocess.run(["sh", "-c", command], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("arguments", [("zoo",), ("zoo", "--json"), ("passes",)])
def test_an_output_that_does_not_fit_is_exit_9(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """As on a full disk: the file that is standard output may not grow."""
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "cnnc", *arguments],
            stdout=out,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        )
    assert done.returncode == 9
    assert done.stderr == "cnnc: the output cannot be written: File too large\n"


def test_no_memory_is_a_limit_and_the_rest_are_bugs() -> None:
    error = _translated(MemoryError("12 TiB"))
    assert error is not None and error.exit_code == 7
    assert _translated(TypeError()) is None and _translated(FileNotFoundError(2, "no such file")) is None


def test_a_table_is_whole_in_a_pipe() -> None:
    lines = cnnc("passes").stdout.splitlines()
    assert len(lines) == 1 + len(named_passes())
    assert max(map(len, lines)) > 80


def test_a_terminal_without_the_letters_gets_escapes() -> None:
    done = cnnc("analyze", "lenet5", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "\\u2588" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("nope",), "cnnc: No such command 'nope'. (see cnnc --help)"),
        (("run",), "cnnc run: Missing argument 'MODEL'. (see cnnc run --help)"),
        (("passes", "nope"), "cnnc: no pass is named 'nope'; `cnnc passes` lists them"),
        (("analyze", "lenet"), "cnnc: 'lenet' is no zoo name (did you mean 'lenet5'?): name file.py"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(arguments: tuple[str, ...], line: str) -> None:
    done = cnnc(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(line) and done.stderr.count("\n") == 1


def test_debug_shows_the_traceback_wherever_it_stands() -> None:
    assert "Traceback" in cnnc("passes", "nope", "--debug").stderr
