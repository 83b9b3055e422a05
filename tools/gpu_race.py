"""On a machine with CUDA: cnnc's artifacts against the raw export and PyTorch eager, net by net.

    python tools/gpu_race.py [--nets A,B] [--batches 1,16] [--seconds S] [--json FILE]

Each net is exported, and compiled with the proof on the GPU; for the target `cpu` as well, whose FusedConv shows what
fusing costs here. Then the default artifact's results on CUDA are compared with those on the CPU, and all are timed as
tools/peers.py does: in turn, each in a process of its own that is stopped while others run, copies to and from the GPU
counted, TensorFloat-32 off everywhere. Prints rows of Markdown; after `--seconds` no further net begins. Exits with 0,
with 1 after a difference or a failure, and elsewhere with 8.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cnnc
from cnnc.zoo import ZOO
from cnnc_runtime.errors import CnncError
from tools.contenders.known import Contender, input_shapes
from tools.contenders.produce import file_of
from tools.contenders.race import produce, reason, time_in_turn

_NETS = "resnet50,repvgg_a0,mobileone_s0,repvit_m0_9,convnext_tiny,efficientnet_b0,inception_v3,s3d"
_CUDA = {"device": "cuda"}
_CONTENDERS = (
    Contender("raw", "raw", "onnxruntime", _CUDA),
    Contender("cnnc", "cnnc", "onnxruntime", _CUDA),
    Contender("cnnc-cpu", "cnnc-cpu", "onnxruntime", _CUDA),
    Contender("eager", None, "eager", _CUDA),
)
_ROUNDS = 7
_FLOAT32 = 1e-4  # of the output's magnitude, between two devices

Row = dict[str, Any]


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", default=_NETS, help=f"of the zoo; default: {_NETS}")
    parser.add_argument("--batches", default="1,16", help="default: 1,16")
    parser.add_argument("--seconds", type=float, default=600.0, help="default: 600")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    unknown = [net for net in options.nets.split(",") if net not in ZOO]
    if unknown:
        parser.error(f"--nets: no reference net is named {unknown[0]!r}; `cnnc zoo` lists them")
    batches = options.batches.split(",")
    if not all(batch.isdecimal() and int(batch) for batch in batches):
        parser.error(f"--batches {options.batches!r}: whole numbers of at least 1, as 1,16")
    if not torch.cuda.is_available():
        print(f"no GPU race here: PyTorch {torch.__version__} finds no CUDA; `cnnc doctor` says more")
        return 8
    start, rows = time.monotonic(), []
    print(
        "| net | batch | raw, ms | cnnc | cnnc-cpu | eager | raw / cnnc | cnnc from the CPU's |\n| --- |"
        + " ---: |" * 7
    )
    for net in options.nets.split(","):
        if time.monotonic() - start > options.seconds:
            print(f"no time left for {net}")
            continue
        rows += race(net, [int(batch) for batch in batches])
        if options.json:
            options.json.write_text(json.dumps(rows, indent=1))
    return 0 if all(row.get("ok") for row in rows) else 1


def race(net: str, batches: list[int]) -> list[Row]:
    """A row for each batch; one that says why, where something fails."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            for product, more in (("raw", {}), ("cnnc", _CUDA), ("cnnc-cpu", {"prove": False})):
                produce(net, product, folder, **more)
            for batch in batches:
                rows.append({"net": net, "batch": batch, **_race(net, batch, folder)})
                print(_markdown(rows[-1]), flush=True)
        except (CnncError, RuntimeError) as error:
            rows.append({"net": net, "ok": False, "failed": reason(error)})
            print(f"| {net} | {rows[-1]['failed']} |", flush=True)
    return rows


def _race(net: str, batch: int, folder: Path) -> Row:
    runners = [(one.name, one, file_of(one.product, folder) if one.product else None) for one in _CONTENDERS]
    found = time_in_turn(net, runners, _ROUNDS, 0.02, folder, batch=batch)
    failed = [f"{name}: {entry['failed']}" for name, entry in found.items() if "failed" in entry]
    if failed:
        raise RuntimeError("; ".join(failed))
    difference = _difference(net, batch, folder)
    rounds = {name: entry["rounds"] for name, entry in found.items()}
    return {"ok": difference < _FLOAT32, "difference": difference, "rounds": rounds}


def _difference(net: str, batch: int, folder: Path) -> float:
    """Largest difference of the artifact's first output on CUDA from that on the CPU, as a part of its magnitude."""
    rng = np.random.default_rng(0)
    shapes = input_shapes(net, batch)
    feed = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    with cnnc.load(file_of("cnnc", folder), device="cpu") as cpu:
        outputs = cpu.run({one.name: feed.get(one.name, feed[""]) for one in cpu.inputs})
    expected = next(iter(outputs.values()))
    return float(np.abs(np.load(folder / "cnnc.npy") - expected).max() / np.abs(expected).max())


def _markdown(row: Row) -> str:
    times = {one.name: statistics.median(row["rounds"][one.name]) * 1e3 for one in _CONTENDERS}
    difference = f"{row['difference']:.0e}{'' if row['ok'] else ' DIFFERS'}"
    columns = " | ".join(f"{value:.3f}" for value in times.values())
    return f"| {row['net']} | {row['batch']} | {columns} | {times['raw'] / times['cnnc']:.2f} | {difference} |"


if __name__ == "__main__":
    sys.exit(main())
