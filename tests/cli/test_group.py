"""What every command has in common: pipes, terminals, one line for a mistake."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
