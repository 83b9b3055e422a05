"""The command line: parse, call the library, print. The only place that exits."""

from __future__ import annotations

import errno
import importlib
import io
import logging
import os
import sys
import traceback

import click

from cnnc_runtime.errors import CnncError, OutputError, ResourceLimitError

__all__ = ["main"]

# One module a command, imported only when that command is named: `cnnc --help` stays instant.
_COMMANDS = {
    "compile": "Compile a trained CNN into a verified ONNX artifact.",
    "run": "Run an artifact on images, folders or arrays.",
    "analyze": "Show what every layer costs, convolution against fully connected.",
    "bench": "Measure latency, throughput and cold start, against other artifacts or PyTorch.",
    "verify": "Check an artifact against its certificate, and prove it again here.",
    "passes": "List the rewrites and the law each one applies.",
    "doctor": "Check this machine: versions, devices, CPU, memory, and what to do about each problem.",
    "zoo": "List the reference CNNs that can be named as a source.",
    "demo": "Train LeNet-5 on handwritten digits, then compile, run and analyze it.",
}

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_LONGEST = 500  # characters of an internal error: some carry a screenful of C++ frames


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"cnnc.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cnnc")
@click.option("--debug", is_flag=True, help="Show the traceback of an error; may stand anywhere.")
def group(debug: bool) -> None:
    """Compile trained PyTorch CNNs to small, fast, proved ONNX artifacts; run and explain them."""


def main() -> None:
    """Entry point of `cnnc`: run the command, render any error as one line, exit with its code."""
    arguments = sys.argv[1:]
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may hold what the terminal's encoding has no letter for
            stream.reconfigure(errors="backslashreplace")
    debug = "--debug" in arguments
    sys.exit(_run([word for word in arguments if word != "--debug"], debug))


def _run(arguments: list[str], debug: bool) -> int:
    _log_to_stderr()
    try:
        # Not group.main, which makes a broken pipe an error
        with group.make_context("cnnc", arguments) as context:
            group.invoke(context)
        sys.stdout.flush()
        return 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "cnnc"
        click.echo(f"{where}: {_one_line(error.format_message())} (see {where} --help)", err=True)
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("cnnc: interrupted", err=True)
        return 130
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:
        _abandon_stdout()  # the reader of our output went away (`| head`): not an error
        return 0
    except Exception as error:
        if debug:
            traceback.print_exc()
        known = _translated(error)
        if known is not None:
            click.echo(f"cnnc: {_one_line(str(known))}", err=True)
            return known.exit_code
        what = _one_line(f"{type(error).__name__}: {error}")[:_LONGEST]
        click.echo(f"cnnc: internal error: {what} (run `cnnc --debug ...` for the traceback)", err=True)
        return 1


def _translated(error: Exception) -> CnncError | None:
    """The error as one of ours; None for what can only be a bug."""
    if isinstance(error, CnncError):
        return error
    if isinstance(error, MemoryError):
        return ResourceLimitError(f"not enough memory: {error}")
    if isinstance(error, OSError) and error.errno in _NO_ROOM:  # of standard output: our files raise OutputError
        _abandon_stdout()
        return OutputError(f"the output cannot be written: {error.strerror}")
    return None


def _open_closed_streams() -> None:
    """Give a stream that the shell closed (`>&-`) somewhere to go: the next file opened would take its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _abandon_stdout() -> None:
    """Throw away what is still to be written: Python would complain at shutdown."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _one_line(message: str) -> str:
    return " ".join(message.split())


def _log_to_stderr() -> None:
    """Show the library's notes (a fallback to the CPU, a mode restored), one line each; onnx_ir's are not for users."""
    logging.getLogger("onnx_ir").addHandler(logging.NullHandler())
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("cnnc: %(message)s"))
    log = logging.getLogger("cnnc")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
