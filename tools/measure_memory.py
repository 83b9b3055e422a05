"""Peak memory of one inference, measured, against what the analysis says: the growth of the process in its first run.

    python tools/measure_memory.py [NET ...]     default: resnet18 vgg16 mobilenet_v2 densenet121 unet; Linux only

Each net runs once on onnxruntime's CPU provider in a process of its own, without arena and memory pattern, so that a
tensor takes memory only while it is kept: without the engine's graph optimization, and with it. Columns, in MiB:

measured: the peak of resident memory above that before the input was made.
liveness: `Memory.peak_bytes` of the analysis: each value has a buffer from its node to its last reader.
planned:  the same with onnxruntime's allocation plan: an operator overwrites an input that nobody else needs, a
          Reshape is its input, and a dead buffer is kept if a later value of the same shape will take it. Of the
          optimized graph, whose values the profiler tells the sizes of: fused layers have no value between them, a
          value in the blocked layout has its channels padded, and copies between layouts come on top.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NETS = ("resnet18", "vgg16", "mobilenet_v2", "densenet121", "unet")
VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})
IN_PLACE = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "HardSigmoid", "Add", "Sub", "Mul", "Div", "Softmax"})
MIB = 2**20


def main() -> None:
    """Print a line a net and level of optimization."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nets", nargs="*", default=NETS, metavar="NET")
    parser.add_argument("--child", nargs=4, metavar=("TASK", "MODEL", "LEVEL", "SHAPE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        task, model, level, shape = options.child
        work = {"growth": growth, "values": values}[task]
        print(json.dumps(work(model, level, json.loads(shape))))
        return
    titles = f"{'measured':>9} {'liveness':>9} {'ratio':>6} {'planned':>9} {'ratio':>6}"
    print(f"{'net':<14} {'optimized':<9} {titles}   peak at")
    for net in options.nets:
        with tempfile.TemporaryDirectory(prefix="cnnc-") as folder:
            compare(net, Path(folder) / "net.onnx")


def compare(net: str, path: Path) -> None:
    """Export, analyze and run one net."""
    import torch

    from cnnc.analysis import analyze_model
    from cnnc.artifact import write_model
    from cnnc.export import export
    from cnnc.zoo import ZOO, build

    shape = ZOO[net].input_shape
    model = export(build(net), torch.zeros(2, *shape))
    analysis = analyze_model(model, name=net)
    write_model(model, path)
    liveness = analysis.memory.peak_bytes
    for level in ("off", "all"):
        measured = in_own_process("growth", path, level, [1, *shape])
        steps = [Step(**step) for step in in_own_process("values", path, level, [1, *shape])]
        planned = planned_peak(steps)
        print(
            f"{net:<14} {level:<9} {measured / MIB:9.1f} {liveness / MIB:9.1f} {measured / liveness:6.2f} "
            f"{planned / MIB:9.1f} {measured / planned:6.2f}   {analysis.memory.peak_layer}",
            flush=True,
        )


def in_own_process(task: str, path: Path, level: str, shape: list[int]) -> Any:
    """Whatever is large comes from the system and goes back to it at once: nothing is hidden in a free list."""
    command = [sys.executable, __file__, "--child", task, str(path), level, json.dumps(shape)]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "16384", "MALLOC_TRIM_THRESHOLD_": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def open_session(model: str, level: str, profile: str | None = None, optimized: str | None = None) -> Any:
    """One thread, and no memory that is held for later."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if level == "all" else levels.ORT_DISABLE_ALL
    if profile is not None and optimized is not None:
        options.enable_profiling, options.profile_file_prefix = True, profile
        options.optimized_model_filepath = optimized
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def growth(model: str, level: str, shape: list[int]) -> int:
    """Bytes by which the resident memory of this process grows at most while it makes an input and runs."""
    import numpy as np

    session = open_session(model, level)
    name = session.get_inputs()[0].name
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
    before = resident("VmRSS")
    x = np.full(shape, 0.5, np.float32)
    session.run(None, {name: x})
    return resident("VmHWM") - before


def resident(field: str) -> int:
    """VmRSS is what is resident now, VmHWM the most since the last reset; bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


@dataclasses.dataclass(frozen=True)
class Step:
    """A node that ran: its operator, the values it read and wrote, and the bytes and shape of what it wrote."""

    op: str
    read: list[str]
    written: list[str]
    size: int
    shape: str


def values(model: str, level: str, shape: list[int]) -> list[dict[str, Any]]:
    """The steps of one run, as plain data, after one of the graph's input."""
    import numpy as np

    from cnnc.analysis.timing.trace import engine_graph, match_events

    folder = Path(model).parent
    optimized = folder / f"{level}.onnx"
    session = open_session(model, level, str(folder / "trace"), str(optimized))
    x = np.full(shape, 0.5, np.float32)
    name = session.get_inputs()[0].name
    session.run(None, {name: x})
    trace = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    events = [event for event in trace if event["cat"] == "Node"]
    steps = [Step("input", [], [name], x.nbytes, "")]
    graph = engine_graph(optimized)
    for event, index in zip(events, match_events(events, graph), strict=True):
        assert index is not None, f"{event['name']} is not in the graph"
        node, args = graph[index], event["args"]
        shapes = str(args["output_type_shape"])
        outputs = [output for output in node.outputs if output]
        steps.append(Step(node.op, list(node.inputs), outputs, int(args["output_size"]), shapes))
    outputs = [output.name for output in session.get_outputs()]
    steps.append(Step("output", [name, *outputs], [], 0, ""))  # the caller's input is kept to the end
    return [dataclasses.asdict(step) for step in steps]


def planned_peak(steps: Sequence[Step]) -> int:
    """The most bytes of buffers at once, by the rules of onnxruntime's plan (`allocation_planner.cc`)."""
    reads = Counter(value for step in steps for value in set(step.read))
    buffer: dict[str, int] = {}
    needed: list[int] = []  # by buffer: reads that are to come
    sizes: list[int] = []
    ends: list[int] = []
    starts: list[int] = []
    free: dict[int, str] = {}  # dead buffers and their shapes, the latest last
    for index, step in enumerate(steps):
        if step.written:
            taken = shared(step, buffer, needed, sizes)
            if taken is None:
                taken = next((dead for dead in reversed(free) if free[dead] == step.shape), None)
            if taken is None:
                taken = len(sizes)
                sizes.append(step.size)
                starts.append(index)
                ends.append(index)
                needed.append(0)
            free.pop(taken, None)
            buffer |= dict.fromkeys(step.written, taken)
            needed[taken] += sum(reads[value] for value in step.written)
        for value in {*step.read, *step.written} & buffer.keys():
            used = buffer[value]
            needed[used] -= value in step.read
            ends[used] = index
            if not needed[used]:
                free[used] = next(one.shape for one in steps if value in one.written)
    spans = list(zip(starts, ends, sizes, strict=True))
    return max(sum(size for start, end, size in spans if start <= now <= end) for now in range(len(steps)))


def shared(step: Step, buffer: Mapping[str, int], needed: Sequence[int], sizes: Sequence[int]) -> int | None:
    """The buffer of an input that the output takes over."""
    candidates = step.read[3:4] if step.op == "Conv" else step.read[:2] if step.op in IN_PLACE else step.read[:1]
    for value in candidates:
        used = buffer.get(value)
        alone = step.op in VIEWS or (step.op in IN_PLACE | {"Conv"} and used is not None and needed[used] == 1)
        if used is not None and alone and sizes[used] == step.size:
            return used
    return None


if __name__ == "__main__":
    main()
