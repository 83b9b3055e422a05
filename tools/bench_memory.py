"""Peak memory of a compilation without proof, as a multiple of the weights: a gigabyte of them by default.

    python tools/bench_memory.py [--gigabytes G]

`cnnc.compile(path, ..., prove=False)` on an .onnx file of 3x3 convolutions with BatchNormalization and Relu and random
weights in external data, in a process of its own. The peak is above that of the same process when everything has been
imported; Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 1024

CHILD = """
import re, sys
from pathlib import Path
import cnnc, cnnc_passes.pipeline, cnnc.compiler, onnxsim, onnxruntime
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
idle = peak()
cnnc.compile(sys.argv[1], output=sys.argv[2], prove=False)
print(peak() - idle)
"""


def write_chain(path: Path, layers: int) -> int:
    """Convolution, BatchNormalization, Relu, over and over; the bytes of all weights."""
    rng = np.random.default_rng(0)
    nodes, tensors = [], []
    for i in range(layers):
        arrays = {f"w{i}": rng.standard_normal((CHANNELS, CHANNELS, 3, 3), np.float32)}
        arrays |= {f"{kind}{i}": rng.uniform(0.5, 1.5, CHANNELS).astype(np.float32) for kind in ("s", "b", "m", "v")}
        tensors += [numpy_helper.from_array(array, name) for name, array in arrays.items()]
        nodes += [
            helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"c{i}"], pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", [f"c{i}", f"s{i}", f"b{i}", f"m{i}", f"v{i}"], [f"n{i}"]),
            helper.make_node("Relu", [f"n{i}"], [f"x{i + 1}"]),
        ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", CHANNELS, 8, 8])
        for name in ("x0", f"x{layers}")
    ]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    ir.save(ir.from_proto(model), path, external_data=f"{path.name}.data")
    return sum(len(tensor.raw_data) for tensor in tensors)


def main() -> None:
    """Print the peak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.onnx"
        weights = write_chain(source, max(1, round(options.gigabytes * 1e9 / (4 * 9 * CHANNELS**2))))
        command = [sys.executable, "-c", CHILD, str(source), str(Path(folder) / "out.onnx")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak = int(done.stdout.split()[-1])
        print(f"{weights / 1e9:.2f} GB of weights: peak {peak / 1e9:.2f} GB above idle, {peak / weights:.2f} times")


if __name__ == "__main__":
    main()
