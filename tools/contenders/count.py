"""The child process that looks into .onnx files, `python -m tools.contenders.count`: nodes and MACs, as JSON."""

from __future__ import annotations

import collections
import json
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from cnnc.analysis import analyze
from cnnc_runtime.errors import CnncError
from cnnc_runtime.providers import CPU
from cnnc_runtime.session import open_session

_REORDERS = ("ReorderInput", "ReorderOutput")


def main(question: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of each of the `paths`, as it `runs_on`; `failed`, the reason, where it cannot be opened."""
    warnings.simplefilter("ignore")
    found: dict[str, dict[str, Any]] = {}
    for path in question["paths"]:
        try:
            found[path] = count(path, question["runs_on"])
        except Exception as error:  # an engine's own are of any class
            found[path] = {"failed": str(error)}
    return found


def count(path: str, runs_on: str) -> dict[str, Any]:
    """Of one file.

    `file_nodes` and `macs` (cnnc's own count, at batch 1; None where a size is not known) are of the file; `nodes`,
    `operators` and `layout_conversions` of the graph that onnxruntime makes of it on the CPU.
    """
    try:
        macs: int | None = analyze(path).totals.macs
    except CnncError:
        macs = None
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        _optimize(path, runs_on, optimized)
        nodes = onnx.load(optimized, load_external_data=False).graph.node
    return {
        "file_nodes": len(onnx.load(path, load_external_data=False).graph.node),
        "nodes": len(nodes),
        "operators": dict(sorted(collections.Counter(node.op_type for node in nodes).items())),
        "layout_conversions": sum(node.op_type in _REORDERS for node in nodes),
        "macs": macs,
    }


def _optimize(path: str, runs_on: str, optimized: Path) -> None:
    if runs_on == "engine":
        open_session(path, path, CPU, None, "all", optimized=str(optimized))
        return
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(optimized)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
