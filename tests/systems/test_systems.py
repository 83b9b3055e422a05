"""Every system of docs/systems/README.md by its own command: proved, equal to PyTorch, run on real input, analyzed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cnnc
from cnnc.zoo import ZOO, build
from tests.systems.inputs import item, noise
from tools.systems_page.known import SYSTEMS, System
from tools.systems_page.measure import compiled

FAST = {"lenet5", "resnet20"}
# Where the net takes less than the table's size, the test gives it less: what is to be shown does not hang on it.
SMALLER = {
    **dict.fromkeys(("unet", "fcn_resnet50"), "1,3,64,64"),
    **dict.fromkeys(("r3d_18", "r2plus1d_18"), "1,3,8,56,56"),
    "i3d": "1,3,9,193,193",
}


def smaller(system: System) -> System:
    """The same on less."""
    if system.name not in SMALLER:
        return system
    target = ("--target", "cpu") if "--target" in system.options else ()
    return dataclasses.replace(system, options=(*target, "--input-shape", SMALLER[system.name]))


def tensors(y: Any) -> list[torch.Tensor]:
    if isinstance(y, torch.Tensor):
        return [y]
    return [one for part in (y.values() if isinstance(y, Mapping) else y) for one in tensors(part)]


@pytest.mark.parametrize(
    "system",
    [pytest.param(one, id=one.name, marks=() if one.name in FAST else pytest.mark.slow) for one in SYSTEMS],
)
def test_system(system: System, tmp_path: Path) -> None:
    system = smaller(system)
    path = tmp_path / "net.onnx"
    report = compiled(system, path, system.options)
    assert report["before"]["params"] == ZOO[system.net].params
    assert 0 < report["certificate"]["error"] < 1e-5

    with cnnc.load(path, device="cpu") as engine, torch.inference_mode():
        feed = noise(engine, system.shapes)
        found = list(engine.run(feed).values())
        net = build(system.net)
        expected = [one.numpy() for one in tensors(net(*map(torch.from_numpy, feed.values())))]
    for got, right in zip(found, expected, strict=False):  # what is added to a network comes after its outputs
        np.testing.assert_allclose(got.reshape(right.shape), right, rtol=0, atol=1e-4 * np.abs(right).max())
    assert len(found) == len(expected) + ("--explain" in system.options)

    command = [sys.executable, "-m", "cnnc", "run", "net.onnx", str(item(system, tmp_path)), "-o", "out.npz"]
    done = subprocess.run([*command, "--device", "cpu"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as results:
        assert len(results) and all(np.isfinite(results[name]).all() for name in results)

    sizes = [":".join(filter(None, (name, ",".join(map(str, shape))))) for name, shape in system.shapes.items()]
    assert cnnc.analyze(path, input_shapes=sizes).totals.macs == report["after"]["macs"]
