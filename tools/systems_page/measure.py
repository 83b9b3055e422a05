"""One system compiled by its own command, and raced against PyTorch, each in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cnnc.bench.bench import bench
from cnnc_runtime.errors import CnncError
from tools.systems_page.known import System

__all__ = ["compile_command", "compiled", "measure"]

Record = dict[str, Any]


def compile_command(system: System, file: Path, options: Sequence[str]) -> list[str]:
    """`cnnc compile` of its network with `options`, into `file`, proved on the CPU."""
    program = [sys.executable, "-m", "cnnc", "compile", system.net, *options]
    return [*program, "-o", str(file), "--device", "cpu", "--json"]


def compiled(system: System, file: Path, options: Sequence[str]) -> Record:
    """Compile it and return the report.

    Raises:
        CnncError: the command fails; with its last line.
    """
    done = subprocess.run(compile_command(system, file, options), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"cnnc compile ends with exit code {done.returncode}"]
        raise CnncError(f"{system.name}: {lines[-1]}")
    report: Record = json.loads(done.stdout)
    return report


def measure(system: System, rounds: int, seconds: float, say: Callable[[str], None]) -> Record:
    """What the table says of one system, as plain data; sizes in values, times in seconds, the artifact in bytes.

    Raises:
        CnncError: it does not compile, or a contender fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, plain = Path(folder) / f"{system.name}.onnx", Path(folder) / "plain.onnx"
        report = compiled(system, file, system.options)
        say(f"{system.name}: compiled in {sum(report['seconds'].values()):.0f} s")
        contenders = {"artifact": str(file), "eager": system.net}
        if system.is_addition:
            compiled(system, plain, ())
            contenders["plain"] = str(plain)
        first, *others = contenders.values()
        found = bench(
            first, others, batches=[1], rounds=rounds, seconds=seconds, device="cpu", shapes=system.shapes or None
        )
        size = sum(one.stat().st_size for one in Path(folder).glob(f"{file.name}*"))
    times = {
        name: {"median": row.median, "spread": list(row.spread), "runs": row.runs}
        for name, row in zip(contenders, found.rows, strict=True)
    }
    line = ", ".join(f"{name} {one['median'] * 1e3:.3g} ms" for name, one in times.items())
    say(f"{system.name}: {line}")
    costs = {
        key: report[key] and {name: report[key][name] for name in ("params", "macs")} for key in ("before", "after")
    }
    return {
        "command": system.command,
        "costs": costs,
        "nodes": report["nodes"],
        "error": report["certificate"]["error"],
        "compile_seconds": sum(report["seconds"].values()),
        "bytes": size,
        "inputs": found.rows[0].inputs,
        "load_average": os.getloadavg()[0],
        "rounds": rounds,
        "seconds": seconds,
        "latency": times,
    }
