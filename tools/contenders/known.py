"""The contenders: what each runs, and on what; for peers.py, zoo_sweep.py and passes_gallery.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from cnnc.zoo import ZOO
from cnnc_passes.pipeline import TARGETS

__all__ = ["AGAIN", "DEFAULT", "PACKAGES", "RAW", "Contender", "contenders", "input_shapes", "product_of_target"]

RunsOn = Literal["onnxruntime", "engine", "openvino", "eager", "compiled"]

RAW = "raw"
"""torch.onnx.export(dynamo=True) as it comes: what all others are compared with."""
AGAIN = "raw-again"
"""The same file once more: how far it comes out from `raw` is what a race can be off by."""
PACKAGES = ("onnxsim", "onnxslim", "onnxscript", "openvino")
"""Whose versions matter beside those of `cnnc.machine.describe_machine`."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to run a network.

    Attributes:
        name: on the command line and in tables.
        product: what it runs: an artifact that `produce.py` makes; None where it runs the module itself.
        runs_on: bare onnxruntime, cnnc's engine, OpenVINO, or PyTorch (eager, or compiled by inductor).
        settings: of that.
        by_default: whether it takes part unless it is asked for.
    """

    name: str
    product: str | None
    runs_on: RunsOn
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    by_default: bool = True


def product_of_target(target: str) -> str:
    """The name of cnnc's artifact for `target`: `cnnc` alone for the default one."""
    return "cnnc" if target == TARGETS[0] else f"cnnc-{target}"


_F32 = {"INFERENCE_PRECISION_HINT": "f32"}
_KNOWN = (
    Contender(RAW, RAW, "onnxruntime"),
    Contender(AGAIN, RAW, "onnxruntime"),
    Contender("onnxscript", "onnxscript", "onnxruntime"),
    Contender("onnxsim", "onnxsim", "onnxruntime"),
    Contender("onnxslim", "onnxslim", "onnxruntime"),
    *(
        Contender(product_of_target(target), product_of_target(target), "onnxruntime", by_default=target != "portable")
        for target in TARGETS
    ),
    Contender("cnnc-engine", product_of_target(TARGETS[0]), "engine"),
    Contender("openvino-f32", "openvino", "openvino", _F32),
    Contender("openvino", "openvino", "openvino"),
    Contender("openvino-f32-cnnc", "openvino-cnnc", "openvino", _F32, by_default=False),
    Contender("torch-compile", None, "compiled"),
    Contender("eager", None, "eager"),
    Contender("eager-channels-last", None, "eager", {"memory_format": "channels_last"}),
)
DEFAULT = tuple(one.name for one in _KNOWN if one.by_default)


def contenders(names: tuple[str, ...] = DEFAULT) -> list[Contender]:
    """Those of `names`, the raw export first: without it there is nothing to compare with.

    Raises:
        KeyError: there is no contender of that name.
    """
    known = {one.name: one for one in _KNOWN}
    return [known[name] for name in dict.fromkeys((RAW, *names))]


def input_shapes(net: str, batch: int) -> dict[str, tuple[int, ...]]:
    """Shapes by name of a zoo net's inputs; that of the first is under ""."""
    entry = ZOO[net]
    return {"": (batch, *entry.input_shape)} | {name: (batch, *shape) for name, shape in entry.other_inputs}
