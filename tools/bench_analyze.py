"""How long `cnnc analyze` takes, and how much memory: on a deep model, and on one with large weights.

    python tools/bench_analyze.py [--nodes N] [--gigabytes G]

Each in a process of its own, `cnnc analyze --json` on an .onnx file with external data (of a sparse file: no disk is
needed). Times are those of the whole command, Python's start included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import onnx
from onnx import TensorProto, helper

CHANNELS = 8


def external(name: str, shape: list[int], offset: int) -> TensorProto:
    """A float32 tensor of zeros in `weights.data`."""
    size = 4
    for axis in shape:
        size *= axis
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "weights.data"), ("offset", offset), ("length", size)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def chain(folder: Path, layers: int, channels: int, kernel: int) -> Path:
    """Convolutions and Relus, one after the other."""
    shape, nodes, tensors, size = (
        [channels, channels, kernel, kernel],
        [],
        [],
        4 * channels * channels * kernel * kernel,
    )
    for i in range(layers):
        pads = [kernel // 2] * 4
        nodes.append(helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"c{i}"], name=f"conv{i}", pads=pads))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"x{i + 1}"], name=f"relu{i}"))
        tensors.append(external(f"w{i}", shape, i * size))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", channels, 16, 16])
        for name in ("x0", f"x{layers}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors)
    path = folder / "chain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    (folder / "weights.data").touch()
    os.truncate(folder / "weights.data", layers * size)
    return path


def measure(path: Path, what: str) -> None:
    """Run the command and print what it took."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "cnnc", "analyze", str(path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    totals = json.loads(done.stdout)["totals"]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(
        f"{what}: {totals['weight_bytes'] / 1e9:.2f} GB of weights, {seconds:.2f} s, peak {peak / 1e6:.0f} MB",
        flush=True,
    )


def main() -> None:
    """Both models, the one with large weights first: the peak is that of all children so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--gigabytes", type=float, default=2.5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        channels = 2048
        layers = max(1, round(options.gigabytes * 1e9 / (4 * 9 * channels**2)))
        measure(chain(Path(folder), layers, channels, 3), f"{2 * layers} nodes")
    with tempfile.TemporaryDirectory() as folder:
        measure(chain(Path(folder), options.nodes // 2, CHANNELS, 3), f"{options.nodes} nodes")


if __name__ == "__main__":
    main()
