"""Latency of the artifact against what its user would run instead: each in its own process, in turn.

    python tools/bench_latency.py [NET ...] [--batch N] [--rounds N]      default: resnet18, batch 1, 5 rounds

Contenders, all on this machine's CPU: PyTorch eager; the raw export (torch.onnx.export with dynamo=True, as it
comes) and the same after onnxsim, on bare onnxruntime; the artifact on cnnc's engine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from cnnc.race import Contender, race
from cnnc.zoo import ZOO

RAW = "raw export on onnxruntime"

# In a process of its own: the race must not share the machine with PyTorch's threads.
PREPARE = """
import sys, onnx, onnxsim, torch, cnnc
from cnnc.zoo import ZOO, build
net, folder = sys.argv[1:]
module, x = build(net), torch.zeros(2, *ZOO[net].input_shape)
batch = ({0: torch.export.Dim("batch")},)
torch.onnx.export(module, (x,), f"{folder}/raw.onnx", dynamo=True, dynamic_shapes=batch, verbose=False)
onnx.save(onnxsim.simplify(f"{folder}/raw.onnx")[0], f"{folder}/onnxsim.onnx")
cnnc.compile(module, x, f"{folder}/cnnc.onnx")
for name in ("raw", "onnxsim", "cnnc"):
    print(name, len(onnx.load(f"{folder}/{name}.onnx", load_external_data=False).graph.node), "nodes")
"""


def main() -> None:
    """Print a table a net: the median of the rounds' medians, their spread, the ratio to the raw export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=["resnet18"], metavar="NET")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for net in options.nets:
        shape = (options.batch, *ZOO[net].input_shape)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, "-c", PREPARE, net, folder], check=True, stdout=subprocess.PIPE, text=True
            )
            files = {name: str(Path(folder) / f"{name}.onnx") for name in ("raw", "onnxsim", "cnnc")}
            seconds = race(
                {
                    "PyTorch eager": Contender("eager", net, shape),
                    RAW: Contender("bare", files["raw"], shape),
                    "after onnxsim": Contender("bare", files["onnxsim"], shape),
                    "cnnc": Contender("engine", files["cnnc"], shape),
                },
                options.rounds,
            )
        nodes = ", ".join(line for line in done.stdout.splitlines() if line.endswith(" nodes"))
        print(f"{net}, input {'x'.join(map(str, shape))}, {options.rounds} rounds; {nodes}")
        raw = statistics.median(seconds[RAW])
        for name, rounds in seconds.items():
            middle = statistics.median(rounds)
            spread = f"{min(rounds) * 1e3:.3f} to {max(rounds) * 1e3:.3f}"
            print(f"  {name:<26} {middle * 1e3:9.3f} ms ({spread})   {raw / middle:5.2f}x the raw export's speed")


if __name__ == "__main__":
    main()
