"""On a machine with CUDA: everything about the engine that needs a GPU, in one run of under 8 minutes.

    python tools/gpu_check.py [--json FILE] [--net NAME ...]

For each net of the zoo (seeded weights; LeNet-5, ResNet-18 and MobileNetV2 by default): do all nodes run on the GPU
alone, do outputs equal the CPU's (float32, and TensorFloat-32 with its own tolerance), do CUDA graphs and tensors that
stay on the GPU give the same, what does each convolution search cost at the first run, what does `gpu="measured"`
choose and what part of the default's time does that take. Then: does a batch that does not fit in memory run in halves;
and, at last, a race against bare onnxruntime, PyTorch and torch.compile. Prints a table. Exits with 0, with 1 after a
difference, and elsewhere with 8 and the reason. Every check stands alone: one that fails is a row that says so.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch  # before onnxruntime, so that the CUDA libraries it brings are found

import cnnc
from cnnc.race import measure
from cnnc.zoo import ZOO, build
from cnnc_runtime.errors import DeviceError
from cnnc_runtime.providers import GpuOptions

_NETS = ["lenet5", "resnet18", "mobilenet_v2"]
_BATCHES = (1, 8, 64)
_FLOAT32 = 1e-5  # of the output's magnitude
_TF32 = 5e-3  # 10 bits of mantissa, through some twenty layers
_BUDGET = 7 * 60.0  # seconds; what else races takes less than a minute
_COMPILE = 75.0  # seconds that torch.compile may take for one shape, by experience

Row = dict[str, Any]
Check = Callable[[Path, tuple[int, ...]], Iterator[Row]]


def main() -> int:
    """The exit code: 0 all right, 1 a difference, 8 no CUDA here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    parser.add_argument("--net", action="append", choices=sorted(ZOO), help="a net of the zoo; may be repeated")
    parser.add_argument(
        "--seconds", type=float, default=_BUDGET, help="by which the last torch.compile ends (default: 420)"
    )
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.onnx" for name in options.net or _NETS}
        for name, path in paths.items():
            cnnc.compile(name, output=path, device="cpu")
            try:
                cnnc.load(path, device="cuda").close()
            except DeviceError as error:
                print(f"no GPU check here: {error}")
                return error.exit_code
            rows += said(checks(name, path, (placement, equality, graphs, tensors, out_of_memory, searches, choice)))
        for name, path in paths.items():  # last: torch.compile gets the time that is left
            rows += said(checks(name, path, (functools.partial(race, until=until),)))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    return 0 if all(row.get("ok", True) for row in rows) else 1


def said(rows: Iterator[Row]) -> Iterator[Row]:
    """Each row as it comes, printed."""
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        yield row


def machine() -> Row:
    """What the figures were measured on."""
    import onnxruntime

    return {
        "gpu": torch.cuda.get_device_name(0),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def checks(name: str, path: Path, wanted: Sequence[Check]) -> Iterator[Row]:
    """All rows of one net; a check that raises becomes a row that is not ok."""
    shape = ZOO[name].input_shape
    for check in wanted:
        what = getattr(check, "func", check).__name__
        try:
            yield from ({"net": name, "check": what, **row} for row in check(path, shape))
        except Exception as error:
            yield {"net": name, "check": what, "ok": False, "error": f"{type(error).__name__}: {error}"}


def random(batch: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A seeded batch."""
    return np.random.default_rng(batch).standard_normal((batch, *shape)).astype(np.float32)


def distance(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """Largest difference, as a part of b's magnitude."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def placement(path: Path, shape: tuple[int, ...]) -> Iterator[Row]:
    """All nodes and no copies on the GPU: otherwise this raises, with the list."""
    cnnc.load(path, device="cuda", require_device=True).close()
    yield {"ok": True}


def equality(path: Path, shape: tuple[int, ...]) -> Iterator[Row]:
    """Outputs against the CPU's."""
    with cnnc.load(path, device="cpu") as cpu:
        expected = {batch: cpu.run(random(batch, shape)) for batch in _BATCHES[:2]}
    for what, gpu, limit in (
        ("float32", GpuOptions(), _FLOAT32),
        ("float32, nhwc", GpuOptions(nhwc=True), _FLOAT32),
        ("tf32", GpuOptions(tf32=True), _TF32),
    ):
        with cnnc.load(path, device="cuda", gpu=gpu) as engine:
            for batch, right in expected.items():
                x = random(batch, shape)
                error = distance(engine.run(x), right)
                seconds = measure(lambda engine=engine, x=x: engine.run(x))
                yield {"ok": error < limit, "type": what, "batch": batch, "error": f"{error:.1e}", **us(seconds)}


def graphs(path: Path, shape: tuple[int, ...]) -> Iterator[Row]:
    """CUDA graphs in two buckets, and a batch that is padded, against plain runs; both timed."""
    with (
        cnnc.load(path, device="cuda") as plain,
        cnnc.load(path, device="cuda", gpu=GpuOptions(cuda_graphs=True), shapes=[(1, *shape), (8, *shape)]) as recorded,
    ):
        for batch in (1, 3, 8):
            x = random(batch, shape)
            recorded.run(x)
            error = distance(recorded.run(x), plain.run(x))
            with_graph, without = measure(lambda x=x: recorded.run(x)), measure(lambda x=x: plain.run(x))
            yield {"ok": error < _FLOAT32, "batch": batch, "error": f"{error:.1e}", **us(with_graph, without)}


def tensors(path: Path, shape: tuple[int, ...]) -> Iterator[Row]:
    """Tensors stay on the GPU, and a later run does not write into an earlier result."""
    with cnnc.load(path, device="cuda") as engine:
        for batch in _BATCHES[:2]:
            x = random(batch, shape)
            on_gpu = torch.from_numpy(x).cuda()
            results = [engine.run(on_gpu * scale) for scale in (1, 2, 1)]
            error = max(distance(results[0].cpu().numpy(), engine.run(x)), float((results[0] - results[2]).abs().max()))
            stays = all(result.device == on_gpu.device for result in results)
            yield {"ok": stays and error < _FLOAT32, "batch": batch, "error": f"{error:.1e}"}


def out_of_memory(path: Path, shape: tuple[int, ...]) -> Iterator[Row]:
    """A batch beyond the limit runs in parts and equals one that fits; the log says so."""
    limit = path.stat().st_size + 400 * 2**20
    x = random(512, shape)
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("cnnc").addHandler(handler)
    try:
        with cnnc.load(path, device="cuda", memory_limit=limit) as engine:
            parts = np.concatenate([engine.run(x[start : start + 8]) for start in range(0, 64, 8)])
            error = distance(engine.run(x)[:64], parts)
    finally:
        logging.getLogger("cnnc").removeHandler(handler)
    yield {"ok": error < _FLOAT32, "error": f"{error:.1e}", "said": said}


def searches(path: Path, shape: tuple[int, ...]) -> Iterator[Row]:
    """Seconds to load, of the first run and of later ones, by how cuDNN's algorithm is searched."""
    x = random(8, shape)
    for search in ("exhaustive", "heuristic", "default"):
        start = time.perf_counter()
        with cnnc.load(path, device="cuda", gpu=GpuOptions(convolution_search=search)) as engine:
            loaded = time.perf_counter()
            engine.run(x)
            first = time.perf_counter()
            yield {
                "search": search,
                "load_s": round(loaded - start, 3),
                "first_s": round(first - loaded, 3),
                **us(measure(lambda engine=engine: engine.run(x))),
            }


def choice(path: Path, shape: tuple[int, ...]) -> Iterator[Row]:
    """What `gpu="measured"` chooses for a batch of 8, and its time as a part of the default's."""
    x = random(8, shape)
    with cnnc.load(path, device="cuda", shapes=x.shape) as plain:
        start = time.perf_counter()
        chosen = cnnc.load(path, device="cuda", gpu="measured", shapes=x.shape, cache=False)
        loaded = time.perf_counter()
        error = distance(chosen.run(x), plain.run(x))
        ours, default = measure(lambda: chosen.run(x)), measure(lambda: plain.run(x))
        yield {
            "ok": error < _FLOAT32,
            "search": chosen.gpu.convolution_search,
            "nhwc": chosen.gpu.nhwc,
            "part_of_default": round(ours / default, 3),
            "load_s": round(loaded - start, 3),
            "error": f"{error:.1e}",
            **us(ours, default),
        }
        chosen.close()


def race(path: Path, shape: tuple[int, ...], until: float) -> Iterator[Row]:
    """The engine on tensors and with graphs, bare onnxruntime, PyTorch and torch.compile; TF32 off everywhere.

    torch.compile only while it will be ready at `until`, of the monotonic clock.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    module = build(path.stem).cuda().eval()
    buckets = [(batch, *shape) for batch in _BATCHES]
    with (
        torch.inference_mode(),
        cnnc.load(path, device="cuda") as engine,
        cnnc.load(path, device="cuda", gpu=GpuOptions(cuda_graphs=True), shapes=buckets) as graph,
    ):
        for batch in _BATCHES:
            x = random(batch, shape)
            on_gpu = torch.from_numpy(x).cuda()
            feed = {engine.inputs[0].name: x}
            row = {
                "batch": batch,
                "engine_array_us": _us(lambda x=x: engine.run(x)),
                "graph_array_us": _us(lambda x=x: graph.run(x)),
                "bare_array_us": _us(lambda feed=feed: engine.session.run(None, feed)),
                "engine_tensor_us": _us(lambda x=on_gpu: _wait(engine.run(x))),
                "eager_tensor_us": _us(lambda x=on_gpu: _wait(module(x))),
            }
            if time.monotonic() + _COMPILE < until:
                compiled = torch.compile(module, mode="max-autotune")
                row["compiled_tensor_us"] = _us(lambda x=on_gpu, f=compiled: _wait(f(x)))
            else:
                row["compiled_tensor_us"] = "no time left"
            yield row


def _wait(result: Any) -> Any:
    torch.cuda.synchronize()
    return result


def _us(call: Callable[[], object]) -> float:
    return round(measure(call) * 1e6, 1)


def us(ours: float, plain: float | None = None) -> Row:
    """Seconds as microseconds, for a row."""
    row = {"us": round(ours * 1e6, 1)}
    return row if plain is None else row | {"plain_us": round(plain * 1e6, 1)}


if __name__ == "__main__":
    sys.exit(main())
