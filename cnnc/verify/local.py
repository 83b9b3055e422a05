"""Each rewrite on its own: the nodes it takes out beside those it puts in, in float64, on adversarial tensors.

A whole network fed with noise hides what happens only at a border or below zero: the layers before have made
everything positive, or small, or alike. Here the inputs of the matched nodes themselves are adversarial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from cnnc.verify.reference import Float64Evaluator
from cnnc.verify.subgraph import in_order, inputs_of, sizes_for, to_model
from cnnc.verify.tolerance import relative_error
from cnnc_passes.rewrite import Change

__all__ = ["LocalProof"]

# Constants are rounded once, to their type: a sum of rounded products stays within a few dozen roundings of its
# largest values. Wrong laws are off by thousands.
_ROUNDINGS = 64
_FLOAT32 = float(np.finfo(np.float32).eps)
_FLOAT16 = float(np.finfo(np.float16).eps)
_SCALES = (1.0, -1.0, 1.0, 0.0, 1e4, 1.0)


class LocalProof:
    """Refutes or confirms changes, and counts them.

    Attributes:
        proved: how many were shown equal.
        unproved: why others could not be run on their own, with how often; the whole-net check still covers them.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.proved = 0
        self.unproved: dict[str, int] = {}

    def __call__(self, change: Change) -> str | None:
        """Why the change is wrong; None where it is right, or could not be run."""
        try:
            before, after, feeds = self._prepare(change)
            error = max(_disagreement(before, after, feed) for feed in feeds)
        except Exception as failure:  # an operator the evaluator lacks, a shape nobody knows
            reason = f"{type(failure).__name__}: {str(failure).splitlines()[0] if str(failure) else ''}"
            self.unproved[reason] = self.unproved.get(reason, 0) + 1
            return None
        limit = _ROUNDINGS * _precision(change)
        if error > limit:
            return f"refuted on its own: off by {error:.1e} of the result's magnitude where {limit:.1e} is rounding"
        self.proved += 1
        return None

    def to_dict(self) -> dict[str, object]:
        """Plain data for the certificate."""
        return {"proved": self.proved, "unproved": self.unproved}

    def _prepare(self, change: Change) -> tuple[_Side, _Side, list[dict[str, np.ndarray]]]:
        removed, inserted = in_order([*change.given, *change.remove]), in_order([*change.given, *change.insert])
        graph = change.remove[0].graph
        opsets = graph.opset_imports if graph is not None else {}
        external = inputs_of([*removed, *inserted])
        names = {value: f"in{i}" for i, value in enumerate(external)}
        before = _Side(removed, list(change.replace), names, opsets)
        after = _Side(inserted, list(change.replace.values()), names, opsets)
        sizes, is_batched = sizes_for(removed, external, change.static)
        rng = np.random.default_rng(self._seed)
        feeds = [
            {names[value]: _inside(_fill(value, shape, kind, rng), change, value) for value, shape in sizes.items()}
            for kind in range(len(_SCALES))
        ]
        if is_batched:  # one run for all kinds
            feeds = [{name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}]
        return before, after, feeds


class _Side:
    """The nodes of one side as something that runs."""

    def __init__(
        self,
        nodes: Sequence[ir.Node],
        outputs: Sequence[ir.Value],
        names: Mapping[ir.Value, str],
        opsets: Mapping[str, int],
    ) -> None:
        self._passed = [names.get(value) for value in outputs]  # an output that is an input as it is
        model, self._constants = to_model(nodes, [v for v in outputs if v not in names], names, opsets)
        self._evaluator = Float64Evaluator(model) if nodes else None

    def run(self, feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        computed = iter(self._evaluator.run({**self._constants, **feed}) if self._evaluator is not None else [])
        return [next(computed) if name is None else feed[name].astype(np.float64) for name in self._passed]


def _disagreement(before: _Side, after: _Side, feed: Mapping[str, np.ndarray]) -> float:
    with np.errstate(all="ignore"):
        pairs = list(zip(after.run(feed), before.run(feed), strict=True))
    return max(relative_error(got, want) if got.shape == want.shape else np.inf for got, want in pairs)


def _fill(value: ir.Value, shape: Sequence[int], kind: int, rng: np.random.Generator) -> np.ndarray:
    """Noise, negative, positive, zeros, 1e4-scale, one spike; of integers 0 and 1."""
    assert value.dtype is not None
    dtype = value.dtype.numpy()
    if dtype.kind != "f":
        return rng.integers(0, 2, shape).astype(dtype)
    noise = rng.standard_normal(shape)
    if kind in (1, 2):
        return np.asarray(_SCALES[kind] * (np.abs(noise) + 1))
    if kind == 5:
        noise *= 0.01
        noise.reshape(-1)[rng.integers(noise.size)] = 100
    return np.asarray(_SCALES[kind] * noise)


def _inside(array: np.ndarray, change: Change, value: ir.Value) -> np.ndarray:
    """Clipped to what the law counts on, where it does."""
    if value not in change.within:
        return array
    low, high = (end.reshape(-1, *(1,) * (array.ndim - 2)) for end in change.within[value])
    return np.asarray(np.clip(array, low, high))


def _precision(change: Change) -> float:
    """The coarsest rounding step among the types of the change's results."""
    return _FLOAT16 if any(value.dtype == ir.DataType.FLOAT16 for value in change.replace) else _FLOAT32
