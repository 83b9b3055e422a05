"""Per-frame latency of a step function: does it grow with the clip, and what does a stream save over `Engine.run`?

    python tools/bench_stream.py [--net NAME ...] [--frames 512] [--threads N] [--json FILE]

Compiles each net (`small`: a gated sum over 56x56 maps of 128 channels, which computes little and has a state of
1.6 MB; `cnn_lstm`; `conv_gru` is of the zoo too, and takes much longer) and runs the clip in a process of its own for
each way, in turn, three times: `stream.step(frame)`, and `engine.run({"frame": frame, **states})` with the states
fed back by hand. Prints medians over the first and the last quarter of the frames; of each figure the
least of the three counts, as other work on the machine only adds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

_WAYS = ("stream", "run")
_ROUNDS = 3
_DEFAULT = ["small", "cnn_lstm"]

Row = dict[str, Any]


def main() -> int:
    """Measure, and print a table."""
    if sys.argv[1:2] == ["child"]:
        return child(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", action="append", help="small, cnn_lstm or conv_gru; may be repeated")
    parser.add_argument("--frames", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.net or _DEFAULT:
            path = Path(folder) / f"{name}.onnx"
            compile_net(name, path)
            found: dict[str, list[Row]] = {way: [] for way in _WAYS}
            for _ in range(_ROUNDS):
                for way in _WAYS:
                    found[way].append(measure(path, way, options.frames, options.threads))
            rows += [
                {"net": name, "way": way, **{key: min(row[key] for row in found[way]) for key in found[way][0]}}
                for way in _WAYS
            ]
    head = ("net", "way", "state KB", "first quarter", "last quarter", "all", "last/first")
    print("{:10} {:7} {:>9} {:>14} {:>13} {:>9} {:>11}".format(*head))
    for row in rows:
        print(
            f"{row['net']:10} {row['way']:7} {row['state_bytes'] / 1e3:9,.0f} {row['first_us']:11,.0f} us "
            f"{row['last_us']:10,.0f} us {row['all_us']:6,.0f} us {row['last_us'] / row['first_us']:11.3f}"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


def compile_net(name: str, path: Path) -> None:
    """The artifact of a zoo net, or of `Small`; proofs are made elsewhere."""
    import torch

    import cnnc

    if name != "small":
        cnnc.compile(name, output=path, device="cpu", prove=False)
        return
    example = {"frame": torch.zeros(1, 16, 56, 56), "h": torch.zeros(1, 128, 56, 56)}
    cnnc.compile(small(), example, output=path, states=["h"], device="cpu", prove=False)


def small() -> Any:
    """Little arithmetic, a large state: h' = (1 - z) h + z x, with z a gate for each channel of each place."""
    import torch
    from torch import nn

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv2d(16, 128, kernel_size=1)
            self.gate = nn.Conv2d(128, 128, kernel_size=1, groups=128)

        def forward(self, frame: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x = self.embed(frame)
            z = torch.sigmoid(self.gate(h))
            h = (1 - z) * h + z * x
            return h.mean((2, 3)), h

    torch.manual_seed(0)
    return Small()


def measure(path: Path, way: str, frames: int, threads: int) -> Row:
    """One clip in a process of its own."""
    command = [sys.executable, __file__, "child", str(path), way, str(frames), str(threads)]
    row: Row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return row


def child(path: str, way: str, frames: str, threads: str) -> int:
    """Print medians in microseconds, as JSON."""
    from cnnc_runtime import load
    from cnnc_runtime.recurrent.streaming import frame_inputs

    with load(path, device="cpu", threads=int(threads)) as engine:
        assert engine.metadata is not None
        pairs = engine.metadata.states
        (spec,) = frame_inputs(engine)
        shape = [1, *map(int, spec.shape[1:])]
        rng = np.random.default_rng(0)
        pool = [rng.standard_normal(shape).astype(np.float32) for _ in range(8)]
        zeros = {s.name: np.zeros([1, *map(int, s.shape[1:])], s.dtype) for s in engine.inputs if s.name in pairs}
        seconds = []
        with engine.stream() as stream:
            states = zeros
            for number in range(-8, int(frames)):  # eight to warm up
                frame = pool[number % len(pool)]
                start = time.perf_counter()
                if way == "stream":
                    stream.step(frame)
                else:
                    outputs = engine.run({spec.name: frame, **states})
                    states = {name: outputs[output] for name, output in pairs.items()}
                if number >= 0:
                    seconds.append(time.perf_counter() - start)
    quarter = len(seconds) // 4
    parts = {"first_us": seconds[:quarter], "last_us": seconds[-quarter:], "all_us": seconds}
    row = {name: 1e6 * statistics.median(part) for name, part in parts.items()}
    print(json.dumps({**row, "state_bytes": sum(state.nbytes for state in zeros.values())}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
