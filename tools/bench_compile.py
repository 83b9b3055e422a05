"""What a compilation costs, against the export it contains: time and peak memory, each in its own process.

    python tools/bench_compile.py [NET] [--rounds N]     default: resnet18, 3 rounds

Contenders, in turn: `import` (PyTorch alone: the memory floor), `export` (torch.onnx.export with
dynamo=True, written to a file), `verify` (one verification of a finished artifact: oracle, original and
engine on the proof's inputs), `compile` (what `cnnc compile NET -o FILE` does). Times are inside the
process; building the net and importing the contender's libraries are included, importing PyTorch is not.
A caller who keeps a module that he handed to `cnnc.compile` keeps its weights, and adds them to the peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cnnc.zoo import ZOO, build

CONTENDERS = ("import", "export", "verify", "compile")


def main() -> None:
    """Print a table of medians and the ratios that matter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", nargs="?", default="resnet18")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--artifact", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(contend(options.contender, options.net, options.artifact)))
        return
    with tempfile.TemporaryDirectory() as folder:
        artifact = str(Path(folder) / "net.onnx")
        child(options.net, "compile", artifact)
        results: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
        for _ in range(options.rounds):
            for name in CONTENDERS:
                results[name].append(child(options.net, name, artifact))
    seconds = {name: statistics.median(r["seconds"] for r in rounds) for name, rounds in results.items()}
    peak = {name: statistics.median(r["peak_mb"] for r in rounds) for name, rounds in results.items()}
    weights = ZOO[options.net].params * 4 / 1e6
    print(f"{options.net}: weights {weights:.1f} MB, medians of {options.rounds} rounds")
    for name in CONTENDERS:
        spread = sorted(r["seconds"] for r in results[name])
        print(
            f"  {name:<8} {seconds[name]:6.2f} s ({spread[0]:.2f} to {spread[-1]:.2f})   peak {peak[name]:7.0f} MB, "
            f"{(peak[name] - peak['import']) / weights:5.1f}x weights above PyTorch alone"
        )
    ratio = seconds["compile"] / (seconds["export"] + seconds["verify"])
    print(f"  compile / (export + one verification) = {ratio:.2f}")


def child(net: str, contender: str, artifact: str) -> dict[str, float]:
    """One contender in a process of its own."""
    command = [sys.executable, __file__, net, "--contender", contender, "--artifact", artifact]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def contend(contender: str, net: str, artifact: str) -> dict[str, float]:
    """Do the work; seconds and peak resident memory of this process."""
    import torch

    shape = ZOO[net].input_shape
    start = time.perf_counter()
    module = build(net) if contender in ("export", "verify") else None
    if contender == "export":
        assert module is not None
        x = torch.zeros(2, *shape)
        batch = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(module, (x,), artifact + ".raw", dynamo=True, dynamic_shapes=batch, verbose=False)
    elif contender == "verify":
        import numpy as np

        from cnnc.verify import Inputs, TorchOracle, refer, verify
        from cnnc_runtime import load

        assert module is not None
        inputs = Inputs({"x": np.zeros((2, *shape), np.float32)}, {"x": {0: "batch"}}, frozenset({"batch"}))
        reference = refer(TorchOracle(module), inputs, seed=0)
        engine = load(artifact, device="cpu")
        verify(reference, lambda feed: engine.run(dict(feed)), device="cpu", provider="", optimization="all")
    elif contender == "compile":
        import cnnc

        cnnc.compile(net, output=artifact)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # KiB on Linux
    return {"seconds": seconds, "peak_mb": peak}


if __name__ == "__main__":
    main()
