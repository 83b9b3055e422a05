"""Devices: which of them run a network, each tried in a process of its own; and what a GPU needs beside that."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from cnnc.doctor.finding import Finding, State
from cnnc.doctor.nvidia import has_driver, nvidia

__all__ = ["devices"]

_SECTION = "devices"
_TIMEOUT = 120.0  # seconds
_KINDS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}

# A graph of one node, y = x + x on two floats, serialized: to be run where onnx is not installed.
_MODEL = (
    "080812003a350a0e0a01780a017812017922034164641201675a0f0a0178120a0a08080112040a020802"
    "620f0a0179120a0a08080112040a02080242040a001011"
)
_TRY = """
import json, sys
device, model = sys.argv[1:]
answer = {"providers": []}
try:
    import numpy, onnxruntime
    answer["providers"] = onnxruntime.get_available_providers()
    from cnnc_runtime import load
    with load(bytes.fromhex(model), device=device) as engine:
        (y,) = engine.run({"x": numpy.ones(2, numpy.float32)}).values()
        answer["provider"] = engine.provider
        if y.tolist() != [2.0, 2.0]:
            answer["error"] = f"1 + 1 gave {y.tolist()}"
except Exception as error:
    from cnnc_runtime.errors import CnncError
    answer["error"] = str(error) if isinstance(error, CnncError) else f"{type(error).__name__}: {error}"
sys.stdout.write(json.dumps(answer))
"""


def devices() -> tuple[list[Finding], bool]:
    """A finding for every device and for what a GPU needs, and whether the CPU runs a network."""
    answers = {kind: _try(kind) for kind in _KINDS}
    built: list[str] = answers["cpu"].get("providers", [])
    others = [name for name in built if name not in _KINDS.values()]
    found = [_device(kind, answer) for kind, answer in answers.items()]
    if others:
        found.append(Finding(_SECTION, "other providers", "ok", f"{', '.join(others)}: not used by cnnc", data=others))
    return [*found, *nvidia()], "error" not in answers["cpu"]


def _device(kind: str, answer: dict[str, Any]) -> Finding:
    provider = _KINDS[kind]
    error = answer.get("error")
    data = {"provider": provider, "built_in": provider in answer.get("providers", []), "error": error}
    if error is None:
        return Finding(_SECTION, kind, "ok", f"runs a network on {answer['provider']}", data=data)
    if kind == "cpu":
        advice = "pip install --force-reinstall onnxruntime-gpu (or onnxruntime): nothing runs without it"
        return Finding(_SECTION, kind, "problem", error, advice, data)
    # Without a driver no GPU is expected to work: its absence is no fault of this machine's.
    state: State = "problem" if has_driver() else "missing"
    return Finding(_SECTION, kind, state, error, "", data)  # the engine's message ends with the way out


def _try(device: str) -> dict[str, Any]:
    """Run the little graph there, in a process of its own: a broken library may take it down."""
    command = [sys.executable, "-c", _TRY, device, _MODEL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"running one addition takes more than {_TIMEOUT:g} s: stopped"}
    if done.returncode or not done.stdout.strip():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"error": f"the process ended with {done.returncode}: {last}"}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
