"""The child process that times one contender, `python -m tools.contenders.run`: seconds a call, as JSON.

All get the same seeded input, at batch 1, and their own default number of threads. The first result is kept in a
file where asked, to be compared: a contender that computes something else is not faster.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cnnc.race import measure
from tools.contenders.known import input_shapes

Feed = Mapping[str, Any]
Call = Callable[[], Any]


def main(question: Mapping[str, Any]) -> dict[str, Any]:
    """Time it, after its first result is written to `output`, if that names a file."""
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    shapes = input_shapes(question["net"], 1)
    feed = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    bring_up = {
        "onnxruntime": _onnxruntime,
        "engine": _engine,
        "openvino": _openvino,
        "eager": _eager,
        "compiled": _compiled,
    }[question["runs_on"]]
    call = bring_up(question, feed)
    if question.get("output"):
        np.save(question["output"], np.asarray(_first(call())))
    return {"seconds": measure(call)}


def _onnxruntime(question: Mapping[str, Any], feed: Feed) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(question["path"], options, providers=["CPUExecutionProvider"])
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
    if question["settings"].get("memory_format") == "channels_last":
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        for parameter in module.parameters():
            if parameter.ndim in formats:
                parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])
        tensors = {
            name: x.contiguous(memory_format=formats[x.ndim]) if x.ndim in formats else x for name, x in tensors.items()
        }
    return lambda: call_module(module, tensors)


def _compiled(question: Mapping[str, Any], feed: Feed) -> Call:
    """From the cache that `produce.py` filled, where inductor finds its kernels there."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = question["path"]
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # no idle workers beside what is timed
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


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
