"""What a proof showed, as plain data: it goes into the artifact, and `cnnc verify` reads it back."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnnc.verify.compare import Difference
from cnnc.verify.inputs import Case, Inputs
from cnnc.verify.tolerance import FACTOR

__all__ = ["Certificate", "describe_inputs", "hash_feeds", "versions"]

_LIBRARIES = ("cnnc", "torch", "onnx", "onnxruntime-gpu", "onnxruntime", "numpy")


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What was shown for one artifact: on which inputs, how far from exact, against what limit.

    Attributes:
        oracle: what gave the exact results.
        device, provider, optimization: where and how the artifact ran: as it will serve.
        seed: of the inputs.
        cases: what they were made of.
        inputs: their names, types, shapes, open axes and declared ranges, as `cnnc verify` needs them again.
        inputs_hash: of every value that was fed.
        differences: per output, the worst over the cases.
        local: instances of rewrites that were proved on their own, and why others could not be.
        unproved_axes: open axes for which the original itself took no other size.
        undecided: items of a heat map of which rounding decides the top class or the derivative: they were left out,
            or compared at a neighbor.
        in_float64: items of which the original's own precision shows nothing, as of a constant map normalized twice:
            they were compared in the artifact's graph, in float64.
        hashes: of the artifact's graph and weights.
    """

    oracle: str
    device: str
    provider: str
    optimization: str
    seed: int
    cases: tuple[str, ...]
    inputs: dict[str, Any]
    inputs_hash: str
    differences: tuple[Difference, ...]
    local: dict[str, Any] = dataclasses.field(default_factory=dict)
    unproved_axes: tuple[str, ...] = ()
    undecided: int = 0
    in_float64: int = 0
    hashes: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def error(self) -> float:
        """Largest error of any output against the oracle, relative to the output's magnitude."""
        return max((one.error for one in self.differences), default=0.0)

    @property
    def own_error(self) -> float:
        """The same for the original in its own precision."""
        return max((one.own_error for one in self.differences), default=0.0)

    def constant_outputs(self) -> list[str]:
        """Outputs that no input moved: equal, but that says little."""
        return [one.output for one in self.differences if one.constant]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the artifact's metadata, the limit and the versions included."""
        return {
            **dataclasses.asdict(self),
            "error": self.error,
            "own_error": self.own_error,
            "factor": FACTOR,
            "versions": versions(),
        }


def describe_inputs(inputs: Inputs) -> dict[str, Any]:
    """What the feeds can be made from again; of integers, whose values were the example's, the values themselves."""
    return {
        "inputs": [
            {
                "name": name,
                "dtype": example.dtype.name,
                "shape": list(example.shape),
                "axes": {str(axis): symbol for axis, symbol in inputs.axes.get(name, {}).items()},
                "range": list(inputs.ranges[name]) if name in inputs.ranges else None,
                "values": example.reshape(-1).tolist() if _lends_values(inputs, name) else None,
            }
            for name, example in inputs.examples.items()
        ],
        "batch": sorted(inputs.batch),
        "images": sorted(inputs.images),
        "states": dict(inputs.states),
    }


def _lends_values(inputs: Inputs, name: str) -> bool:
    example = inputs.examples[name]
    return example.dtype.kind != "f" and name not in inputs.images and example.size <= 4096


def hash_feeds(cases: Sequence[Case]) -> str:
    """SHA-256 over every value of every feed, in order."""
    digest = hashlib.sha256()
    for case in cases:
        for name, array in case.feed.items():
            digest.update(f"{name} {array.dtype.str} {array.shape};".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def versions() -> Mapping[str, str]:
    """Of the libraries that took part, where they are installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
