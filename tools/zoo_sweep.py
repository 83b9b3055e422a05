"""The zoo against its peers: operations, weights, nodes and latency of each net, as each tool leaves it.

    pip install '.[peers]'
    python tools/zoo_sweep.py [NET ...] [--tools raw,cnnc] [--rounds N] [--no-race] [--no-count] [--json FILE]

Contenders, all on the same onnxruntime on this machine's CPU, batch 1: the raw export (torch.onnx.export with
dynamo=True, as it comes), and that after onnxscript's optimizer, after onnxsim and after OnnxSlim; cnnc. MACs are
those of convolutions and matrix products as onnx-tool counts them (with a bias as one more), on cnnc's portable
target, whose operators it knows; weight bytes are those of the initializers of the file. Latencies are raced: a
process per contender and round, in turn; the ratio is that of the raw export's median to the contender's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cnnc.zoo import ZOO
from cnnc_runtime.errors import CnncError
from tools.contenders.known import contenders, input_shapes
from tools.contenders.produce import file_of
from tools.contenders.race import produce, time_in_turn

NAMES = ("raw", "onnxscript", "onnxsim", "onnxslim", "cnnc")
_PAUSE = 0.2  # seconds

# In a process of its own: its memory ends with it.
COUNT = """
import json, sys, warnings; warnings.simplefilter("ignore")
import math, numpy as np, onnx, onnx_tool
path, shapes = sys.argv[1], json.loads(sys.argv[2])
graph = onnx.load(path).graph
sizes = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.INT64: 8}
weights = sum(math.prod(t.dims) * sizes.get(t.data_type, 1) for t in graph.initializer)
counted = onnx_tool.Model(path)
counted.graph.shape_infer({i.name: np.zeros(shapes.get(i.name, shapes[""]), np.float32) for i in graph.input})
counted.graph.profile()
macs = sum(node.macs[0] for node in counted.graph.nodemap.values() if node.op_type in ("Conv", "Gemm", "MatMul"))
print(json.dumps({"nodes": len(graph.node), "macs": macs, "weights": weights}))
"""


def child(program: str, *arguments: str) -> dict[str, Any]:
    """The JSON that a program prints last."""
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def sweep(net: str, tools: Sequence[str], rounds: int, *, count: bool) -> dict[str, Any]:
    """Everything of one net."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = {tool: produce(net, tool, folder) for tool in tools}
        files = {tool: file_of(tool, folder) for tool in tools}
        result = {"applied": made["cnnc"]["applied"], "error": made["cnnc"]["proved_to"], "counts": {}, "seconds": {}}
        if count:
            produce(net, "cnnc-portable", folder, prove=False)
        for tool, file in files.items() if count else ():
            counted = file_of("cnnc-portable", folder) if tool == "cnnc" else file
            try:
                result["counts"][tool] = child(COUNT, str(counted), json.dumps(input_shapes(net, 1)))
            except RuntimeError as error:  # of the counter, on an operator that it does not know
                result["counts"][tool] = {"failed": str(error)}
        if rounds:
            runners = [(one.name, one, files[one.name]) for one in contenders(tuple(tools))]
            timed = time_in_turn(net, runners, rounds, _PAUSE, folder)
            failed = next((entry["failed"] for entry in timed.values() if "failed" in entry), None)
            if failed is not None:
                raise RuntimeError(failed)
            result["seconds"] = {tool: entry["rounds"] for tool, entry in timed.items()}
    return result


def show(net: str, result: dict[str, Any]) -> None:
    """A few lines a net."""
    print(f"{net}: proved to {result['error']:.1e}; {result['applied']}")
    raw = statistics.median(result["seconds"]["raw"]) if result["seconds"] else 0
    for name in result["counts"] or result["seconds"]:
        count = result["counts"].get(name, {"failed": "as asked"})
        numbers = (
            f"{count['nodes']:5,} nodes {count['macs'] / 1e6:11,.1f} MMACs {count['weights'] / 1e6:8.2f} MB"
            if "nodes" in count
            else f"not counted: {count['failed'][:60]}"
        )
        speed = ""
        if raw:
            rounds = result["seconds"][name]
            middle = statistics.median(rounds)
            speed = f"{middle * 1e3:9.3f} ms ({min(rounds) * 1e3:.3f} to {max(rounds) * 1e3:.3f}) {raw / middle:5.2f}x"
        print(f"  {name:<11}{numbers} {speed}", flush=True)


def main() -> None:
    """Print every net; write all of it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", metavar="NET")
    parser.add_argument("--tools", default=",".join(NAMES), help="raw and cnnc, and which others")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-race", action="store_true")
    parser.add_argument("--no-count", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    results = {}
    tools, rounds = options.tools.split(","), 0 if options.no_race else options.rounds
    for net in options.nets or list(ZOO):
        try:
            results[net] = sweep(net, tools, rounds, count=not options.no_count)
        except (CnncError, RuntimeError) as error:
            print(f"{net}: {str(error).strip().splitlines()[-1]}", flush=True)
            continue
        show(net, results[net])
        if options.json:  # after each net: a sweep of hours may be stopped
            options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
