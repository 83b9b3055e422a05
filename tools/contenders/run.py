"""The child process that times one contender, `python -m tools.contenders.run`: a line of JSON for each it reads.

The first brings the contender up, each other one is a turn; `runner.py` asks. All get the same seeded input and their
own default number of threads. The first result is kept in a file where asked, to be compared:
a contender that computes something else is not faster.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TextIO

import numpy as np

from cnnc.race import measure
from tools.contenders.peak import peak_bytes

Feed = Mapping[str, Any]
Call = Callable[[], Any]

_WARM_UP = 0.05  # seconds; the first call after the others' turns is never timed
_LEAST = 2  # calls


def main(questions: TextIO, answers: TextIO) -> None:
    """Bring up what the first line says, then time it once for each line that follows."""
    warnings.simplefilter("ignore")
    call, answer = bring_up(json.loads(questions.readline()))
    while True:
        print(json.dumps(answer), file=answers, flush=True)
        line = questions.readline()
        if not line:
            return
        seconds = measure(call, warm_up=_WARM_UP, timed=json.loads(line)["seconds"], least=_LEAST)
        answer = {"seconds": seconds, "running_bytes": peak_bytes()}


def bring_up(question: Mapping[str, Any]) -> tuple[Call, dict[str, Any]]:
    """A call, and what it took to make; its first result is written to `output`, if that names a file."""
    rng = np.random.default_rng(0)
    feed = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in question["shapes"].items()}
    load = {
        "onnxruntime": _onnxruntime,
        "engine": _engine,
        "openvino": _openvino,
        "eager": _eager,
        "compiled": _compiled,
    }[question["runs_on"]]
    call = load(question, feed)
    start = time.perf_counter()
    first = call()
    if (
        question["runs_on"] == "compiled"
    ):  # made by its first call; that the module was built before is not in its seconds
        return call, _compiled_answer(question, first, time.perf_counter() - start)
    _keep(question, first)
    return call, {}


def _keep(question: Mapping[str, Any], first: Any) -> None:
    if question.get("output"):
        np.save(question["output"], np.asarray(_first(first)))


def _compiled_answer(question: Mapping[str, Any], first: Any, seconds: float) -> dict[str, Any]:
    from torch._inductor.async_compile import shutdown_compile_workers

    shutdown_compile_workers()  # nothing else beside what is timed; and their memory counts when they have ended
    _keep(question, first)
    return {"seconds": seconds, "bytes": None, "peak_bytes": peak_bytes()}


def _onnxruntime(question: Mapping[str, Any], feed: Feed) -> Call:
    import onnxruntime

    from cnnc_runtime.providers import CPU, parse_device, prepare_cuda

    device = parse_device(question["settings"].get("device", "cpu")) or CPU
    if device != CPU:
        prepare_cuda()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(question["path"], options, providers=device.providers)
    if session.get_providers()[0] != device.provider:
        raise RuntimeError(f"{device.provider} cannot be used here")
    named = _named(feed, [one.name for one in session.get_inputs()])
    return lambda: session.run(None, named)


def _engine(question: Mapping[str, Any], feed: Feed) -> Call:
    from cnnc_runtime.engine import load

    engine = load(question["path"], device="cpu")
    named = _named(feed, [one.name for one in engine.inputs])
    return lambda: engine.run(named)


def _openvino(question: Mapping[str, Any], feed: Feed) -> Call:
    """Without copies of inputs and outputs."""
    import openvino

    compiled = openvino.Core().compile_model(question["path"], "CPU", dict(question["settings"]))
    named = _named(feed, [one.any_name for one in compiled.inputs])
    request = compiled.create_infer_request()
    return lambda: request.infer(named, share_inputs=True, share_outputs=True)


def _eager(question: Mapping[str, Any], feed: Feed) -> Call:
    import torch

    from cnnc.zoo import build

    module = build(question["net"])
    tensors = {name: torch.from_numpy(array) for name, array in feed.items()}
    if "device" in question["settings"]:
        return _eager_on_gpu(module, tensors, question["settings"]["device"])
    if question["settings"].get("memory_format") == "channels_last":
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        for parameter in module.parameters():
            if parameter.ndim in formats:
                parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
        tensors = {
            name: x.contiguous(memory_format=formats[x.ndim]) if x.ndim in formats else x for name, x in tensors.items()
        }
    return lambda: call_module(module, tensors)


def _eager_on_gpu(module: Any, tensors: Feed, device: str) -> Call:
    """With what onnxruntime does too: copies to and from the GPU, cuDNN's exhaustive search, no TensorFloat-32."""
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    module.to(device)
    return lambda: _first(call_module(module, {name: x.to(device) for name, x in tensors.items()})).cpu()


def _compiled(question: Mapping[str, Any], feed: Feed) -> Call:
    """With a cache of its own, empty at first."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = question["path"]
    import torch

    from cnnc.zoo import build

    module = compiled(build(question["net"]))
    tensors = {name: torch.from_numpy(array) for name, array in feed.items()}
    return lambda: call_module(module, tensors)


def compiled(module: Any) -> Any:
    """torch.compile for fixed shapes, with the weights frozen into the program.

    Raises:
        RuntimeError: there is no C++ compiler.
    """
    import torch
    from torch._inductor import config, cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        cpp_builder.get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise RuntimeError("no C++ compiler works: inductor needs one") from error
    config.freezing = True
    return torch.compile(module, dynamic=False)


def call_module(module: Any, inputs: Feed) -> Any:
    """Its outputs; the input under "" goes first, the others by name."""
    import torch

    others = {name: x for name, x in inputs.items() if name}
    with torch.no_grad():  # freezing knows no inference mode
        return module(inputs[""], **others)


def _first(outputs: Any) -> Any:
    """The first array or tensor of what a call returns."""
    while not hasattr(outputs, "dtype"):
        outputs = next(iter(outputs.values())) if isinstance(outputs, Mapping) else outputs[0]
    return outputs


def _named(feed: Feed, names: list[str]) -> dict[str, Any]:
    """By the names that the file gives its inputs: what it calls otherwise than the zoo is the first."""
    return {name: feed.get(name, feed[""]) for name in names}


def _die_with_the_parent() -> None:
    """A process that is stopped would wait for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _own_output() -> TextIO:
    """The pipe to who asks; what libraries print goes where errors go."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    _die_with_the_parent()
    main(sys.stdin, _own_output())
