"""What `cnnc run` makes of the cores: its rate against that of decoding and of inference, each alone.

    python tools/bench_run.py rate [--items 2000] [NET ...]       default: resnet18 mobilenet_v3_small
    python tools/bench_run.py memory [--items 20000]              of a small net, photographs of many sizes

Where both stages need the same cores, the best rate there is is 1 / (1 / decoding + 1 / inference). Each figure is
taken in a process of its own, in turn: `decoding` reads and preprocesses as `cnnc run` does, with nothing to run;
`inference` runs what was read, in batches, with nothing to read. `memory` prints the resident memory of one process
while it runs all items, and the slope of a straight line through its last half.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

import cnnc

_ROUNDS = 3

_CHILD = """
import sys, time
import numpy as np
kind, model, folder = sys.argv[1:]
from cnnc_runtime import load
from cnnc_runtime.media import find_files, read_items
engine = load(model, device="cpu")
prepare = engine.metadata.preprocessing
files = find_files([folder])
if kind == "decoding":
    start = time.perf_counter()
    count = sum(1 for _ in read_items(files, engine.inputs, prepare))
    print(count / (time.perf_counter() - start))
else:
    (spec,) = engine.inputs
    pixels = np.stack([item.feed[spec.name] for item in read_items(files[:64], engine.inputs, prepare)])
    batches = np.split(pixels, 8)
    engine.run(batches[0])
    start, count = time.perf_counter(), 0
    while count < len(files):
        engine.run(batches[count // 8 % 8])
        count += 8
    print(count / (time.perf_counter() - start))
"""


def main() -> None:
    """Print a line for each net, or one for each tenth of the items."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "memory"])
    parser.add_argument("nets", nargs="*", metavar="NET", default=["resnet18", "mobilenet_v3_small"])
    parser.add_argument("--items", type=int)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if chosen.what == "rate":
            make_photographs(folder / "pics", chosen.items or 2000, distinct=50)
            for name in chosen.nets:
                rate(name, folder)
        else:
            make_photographs(folder / "pics", chosen.items or 20_000, distinct=200)
            memory(folder)


def make_photographs(folder: Path, count: int, distinct: int) -> None:
    """JPEGs of soft noise, 160 to 640 pixels a side; files after the first `distinct` are links to these."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        path = folder / f"{index:06}.jpg"
        if index >= distinct:
            os.link(folder / f"{index % distinct:06}.jpg", path)
            continue
        width, height = (int(side) for side in rng.integers(160, 640, 2))
        noise = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=90)


def rate(name: str, folder: Path) -> None:
    """Items a second: decoding, inference, the best of both, and what `cnnc run` reaches."""
    model = folder / f"{name}.onnx"
    preset = cnnc.Preprocessing(resize=256, crop=(224, 224), scale=1 / 255, mean=(0.5,) * 3, std=(0.25,) * 3)
    cnnc.compile(name, output=model, device="cpu", preprocessing=preset)
    rates: dict[str, list[float]] = {"decoding": [], "inference": [], "cnnc run": []}
    for _ in range(_ROUNDS):
        for kind in ("decoding", "inference"):
            rates[kind].append(float(_python("-c", _CHILD, kind, str(model), str(folder / "pics"))))
        out = folder / f"{name}.csv"
        said = _cnnc_run(model, folder / "pics", out)
        found = re.search(r"\(([\d,.]+) items/s\)", said)
        assert found is not None, said
        rates["cnnc run"].append(float(found[1].replace(",", "")))
    decoding, inference, reached = (statistics.median(values) for values in rates.values())
    bound = 1 / (1 / decoding + 1 / inference)
    print(
        f"{name:<20} decoding {decoding:.0f}/s  inference {inference:.0f}/s  bound {bound:.1f}/s  "
        f"cnnc run {reached:.1f}/s  {100 * reached / bound:.0f}%"
    )


def memory(folder: Path) -> None:
    """Resident megabytes over the run of a net whose input takes any size."""
    model = folder / "net.onnx"
    source = folder / "net.py"
    source.write_text(_ANY_SIZE)
    cnnc.compile(
        f"{source}:net",
        output=model,
        device="cpu",
        input_shapes=["2,3,64,64"],
        dynamic={"input": {0: "n", 2: "h", 3: "w"}},
        preprocessing=cnnc.Preprocessing(scale=1 / 255, mean=(0.0,) * 3, std=(1.0,) * 3),
    )
    command = [sys.executable, "-m", "cnnc", "run", str(model), str(folder / "pics"), "-o", str(folder / "out.csv")]
    samples: list[tuple[float, float]] = []
    start = time.perf_counter()
    with subprocess.Popen([*command, "--force", "--device", "cpu"], stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            samples.append((time.perf_counter() - start, _resident(process.pid)))
            time.sleep(0.2)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 0, said
    seconds, megabytes = np.array([sample for sample in samples if sample[1]]).T
    for tenth in np.array_split(np.arange(len(seconds)), 10):
        print(f"{seconds[tenth[0]]:7.1f} s  {megabytes[tenth].mean():8.1f} MB")
    late = seconds > seconds[-1] / 2
    slope = np.polyfit(seconds[late], megabytes[late], 1)[0]
    print(f"slope over the last half: {slope * 60:+.2f} MB a minute; {said.strip().splitlines()[-1]}")


_ANY_SIZE = """
from torch import nn
def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
"""


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _cnnc_run(model: Path, pictures: Path, out: Path) -> str:
    arguments = ["run", str(model), str(pictures), "-o", str(out), "--force", "--device", "cpu"]
    return subprocess.run(
        [sys.executable, "-m", "cnnc", *arguments], check=True, stderr=subprocess.PIPE, text=True
    ).stderr


def _python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
