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

from cnnc.race import Contender, race
from cnnc.zoo import ZOO

NAMES = ("raw", "onnxscript", "onnxsim", "onnxslim", "cnnc")

# In a process of its own: its threads and memory end with it.
PREPARE = """
import json, sys, warnings; warnings.simplefilter("ignore")
import numpy as np, onnx, onnxscript.optimizer, onnxsim, onnxslim, torch, cnnc
from pathlib import Path
from cnnc.zoo import ZOO, build
net, folder, tools = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(",")
module, shape = build(net), ZOO[net].input_shape
x, batch = torch.zeros(2, *shape), ({0: torch.export.Dim("batch")},)
torch.onnx.export(module, (x,), str(folder / "raw.onnx"), dynamo=True, dynamic_shapes=batch, verbose=False,
                  external_data=False)
if "onnxscript" in tools:
    onnx.save(onnxscript.optimizer.optimize(onnx.load(folder / "raw.onnx")), folder / "onnxscript.onnx")
if "onnxsim" in tools:
    onnx.save(onnxsim.simplify(str(folder / "raw.onnx"))[0], folder / "onnxsim.onnx")
if "onnxslim" in tools:
    onnxslim.slim(str(folder / "raw.onnx"), str(folder / "onnxslim.onnx"))
report = cnnc.compile(module, x, folder / "cnnc.onnx").report
if sys.argv[4] == "count":
    cnnc.compile(module, x, folder / "portable.onnx", target="portable", prove=False)
print(json.dumps({"applied": report.passes.applied(), "error": report.certificate.error}))
"""

COUNT = """
import json, sys, warnings; warnings.simplefilter("ignore")
import math, numpy as np, onnx, onnx_tool
path, shape = sys.argv[1], json.loads(sys.argv[2])
graph = onnx.load(path).graph
sizes = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.INT64: 8}
weights = sum(math.prod(t.dims) * sizes.get(t.data_type, 1) for t in graph.initializer)
counted = onnx_tool.Model(path)
counted.graph.shape_infer({graph.input[0].name: np.zeros(shape, np.float32)})
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
    shape = (1, *ZOO[net].input_shape)
    with tempfile.TemporaryDirectory() as folder:
        result = child(PREPARE, net, folder, ",".join(tools), "count" if count else "race")
        files = {name: str(Path(folder) / f"{name}.onnx") for name in tools}
        counted = {**files, "cnnc": str(Path(folder) / "portable.onnx")}
        result["counts"] = {}
        for name, file in counted.items() if count else ():
            try:
                result["counts"][name] = child(COUNT, file, json.dumps(shape))
            except RuntimeError as error:  # of the counter, on an operator that it does not know
                result["counts"][name] = {"failed": str(error)}
        kinds = {name: "engine" if name == "cnnc" else "bare" for name in tools}
        contenders = {name: Contender(kinds[name], file, shape) for name, file in files.items()}
        result["seconds"] = race(contenders, rounds) if rounds else {}
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
        except RuntimeError as error:
            print(f"{net}: {error}", flush=True)
            continue
        show(net, results[net])
        if options.json:  # after each net: a sweep of hours may be stopped
            options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
