"""The child process that makes one artifact, `python -m tools.contenders.produce`: what it took, as JSON.

Seconds are counted from here to the finished file, the import of PyTorch, onnx and the tool's own package left out.
Simplifiers and OpenVINO start from the raw export's file: what they take comes on top of its seconds.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.contenders.known import input_shapes
from tools.contenders.peak import peak_bytes

Answer = dict[str, Any]


def file_of(product: str, folder: Path) -> Path:
    """Where `product` lies in `folder`."""
    return folder / f"{product}{'.xml' if product.startswith('openvino') else '.onnx'}"


def main(question: Mapping[str, Any]) -> Answer:
    """Make `product` of the zoo net `net` in `folder`."""
    warnings.simplefilter("ignore")
    product, folder = question["product"], Path(question["folder"])
    if product.startswith("cnnc"):
        make: Callable[[str, Path], Answer] = _cnnc(product, question)
    else:
        make = {
            "raw": _raw,
            "onnxscript": _onnxscript,
            "onnxsim": _onnxsim,
            "onnxslim": _onnxslim,
            "openvino": _openvino,
            "openvino-cnnc": _openvino,
        }[product]
    answer = make(question["net"], file_of(product, folder))
    return answer | {"bytes": _bytes(file_of(product, folder)), "peak_bytes": peak_bytes()}


def _raw(net: str, out: Path) -> Answer:
    torch, zoo = _import("torch"), _import("cnnc.zoo")
    with _Clock() as clock:
        module = zoo.build(net)
        inputs = _by_name(module, {name: torch.zeros(shape) for name, shape in input_shapes(net, 2).items()})
        axes = {name: {0: torch.export.Dim("batch")} for name in inputs}
        torch.onnx.export(
            module, (), str(out), kwargs=inputs, dynamo=True, dynamic_shapes=axes, verbose=False, external_data=False
        )
    return clock.answer()


def _onnxscript(net: str, out: Path) -> Answer:
    onnx, optimizer = _import("onnx"), _import("onnxscript.optimizer")
    with _Clock() as clock:
        onnx.save(optimizer.optimize(onnx.load(out.with_name("raw.onnx"))), out)
    return clock.answer()


def _onnxsim(net: str, out: Path) -> Answer:
    onnx, onnxsim = _import("onnx"), _import("onnxsim")
    with _Clock() as clock:
        onnx.save(onnxsim.simplify(str(out.with_name("raw.onnx")))[0], out)
    return clock.answer()


def _onnxslim(net: str, out: Path) -> Answer:
    onnxslim = _import("onnxslim")
    with _Clock() as clock:
        onnxslim.slim(str(out.with_name("raw.onnx")), str(out))
    return clock.answer()


def _cnnc(product: str, question: Mapping[str, Any]) -> Callable[[str, Path], Answer]:
    def make(net: str, out: Path) -> Answer:
        cnnc, pipeline = _import("cnnc"), _import("cnnc_passes.pipeline")
        target = question.get("target") or product.removeprefix("cnnc").lstrip("-") or pipeline.TARGETS[0]
        _import("torch")
        _import("cnnc.compiler")
        with _Clock() as clock:
            report = cnnc.compile(
                net,
                output=out,
                target=target,
                skip=question.get("skip", ()),
                prove=question.get("prove", True),
                device=question.get("device", "cpu"),
            ).report
        proof = report.certificate
        return clock.answer() | {"applied": report.passes.applied(), "proved_to": proof.error if proof else None}

    return make


def _openvino(net: str, out: Path) -> Answer:
    """At the race's batch: OpenVINO plans for fixed shapes."""
    source = out.with_name("cnnc-portable.onnx" if out.stem.endswith("cnnc") else "raw.onnx")
    openvino = _import("openvino")
    with _Clock() as clock:
        model = openvino.Core().read_model(source)
        shapes = input_shapes(net, 1)
        names = [one.any_name for one in model.inputs]
        model.reshape({name: list(shapes.get(name, shapes[""])) for name in names})
        openvino.save_model(model, out, compress_to_fp16=False)
    return clock.answer()


def _by_name(module: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    import inspect

    first = next(iter(inspect.signature(module.forward).parameters))
    return {name or first: value for name, value in inputs.items()}


def _import(name: str) -> Any:
    return importlib.import_module(name)


class _Clock:
    """Seconds of its block."""

    def __enter__(self) -> _Clock:
        self.start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.start

    def answer(self) -> Answer:
        return {"seconds": self.seconds}


def _bytes(made: Path) -> int:
    """The file's, and those of the weights beside an .xml."""
    return sum(file.stat().st_size for file in {made, made.with_suffix(".bin")} if file.is_file())


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
