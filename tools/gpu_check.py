"""On a machine with CUDA: do artifacts run there, on the device alone, and equal to the CPU?

    python tools/gpu_check.py [--json FILE]

Compiles LeNet-5 and ResNet-18 from the zoo (seeded weights), runs them on the CUDA provider and on the
CPU, and prints a table: placement (nodes that ran on each provider), error against the CPU, latency
against bare onnxruntime on CUDA. Elsewhere it says why not, and exits 8.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch  # noqa: F401  before onnxruntime, so that the CUDA libraries it brings are found

import cnnc
from cnnc.race import measure
from cnnc_runtime.errors import DeviceError
from cnnc_runtime.providers import parse_device
from cnnc_runtime.session import open_session

NETS = {"lenet5": (1, 32, 32), "resnet18": (3, 224, 224)}
BATCHES = (1, 8)
LIMIT = 1e-5  # of the output's magnitude; TF32 is off


def main() -> int:
    """The exit code: 0 all equal and on the GPU, 1 a difference, 8 no CUDA here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, shape in NETS.items():
            path = Path(folder) / f"{name}.onnx"
            cnnc.compile(name, output=path, device="cpu")
            try:
                rows += [check(path, (batch, *shape)) for batch in BATCHES]
            except DeviceError as error:
                print(f"no CUDA check here: {error}")
                return error.exit_code
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0 if all(row["ok"] for row in rows) else 1


def check(path: Path, shape: tuple[int, ...]) -> dict[str, object]:
    """One artifact at one shape: where its nodes ran, how far from the CPU, how fast."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    with cnnc.load(path, device="cuda") as engine:
        on_gpu = engine.run(x)
        ours = measure(lambda: engine.run(x))
        session = engine.session
        names = [session.get_inputs()[0].name]
        bare = measure(lambda: session.run(None, {names[0]: x}))
    with cnnc.load(path, device="cpu") as engine:
        on_cpu = engine.run(x)
    error = float(np.abs(on_gpu - on_cpu).max() / np.abs(on_cpu).max())
    placed = placement(path, x)
    elsewhere = {provider: count for provider, count in placed.items() if not provider.startswith("CUDA")}
    return {
        "net": path.stem,
        "batch": shape[0],
        "ok": error < LIMIT and not elsewhere,
        "error": f"{error:.1e}",
        "nodes": dict(placed),
        "engine_us": round(ours * 1e6, 1),
        "bare_us": round(bare * 1e6, 1),
    }


def placement(path: Path, x: np.ndarray) -> Counter[str]:
    """How many nodes ran on each provider, from the engine's own profile."""
    with tempfile.TemporaryDirectory() as folder:
        session, _ = open_session(
            str(path), path.name, parse_device("cuda"), None, "all", profile=str(Path(folder) / "p")
        )
        session.run(None, {session.get_inputs()[0].name: x})
        events = json.loads(Path(session.end_profiling()).read_text())
    ran = {e["name"]: e["args"]["provider"] for e in events if e.get("args", {}).get("provider")}
    return Counter(ran.values())


if __name__ == "__main__":
    sys.exit(main())
