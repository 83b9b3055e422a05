"""Two analyses side by side: layers aligned by name and order, and what each costs more or less."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from cnnc.analysis.layer import Layer
from cnnc.analysis.result import Analysis

__all__ = ["Comparison", "Pair", "compare"]

TOTALS = ("params", "macs", "flops", "weight_bytes", "read_bytes", "written_bytes", "peak_activation_bytes")


@dataclasses.dataclass(frozen=True)
class Pair:
    """A layer of the first network and what stands in its place in the second; None where nothing does."""

    before: Layer | None
    after: Layer | None

    @property
    def name(self) -> str:
        """The name of either."""
        layer = self.before or self.after
        assert layer is not None
        return layer.name

    @property
    def is_same(self) -> bool:
        """The same operator at the same cost."""
        before, after = self.before, self.after
        return before is not None and after is not None and _costs(before) == _costs(after)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two networks, or one before and after a compilation.

    Attributes:
        before, after: their analyses.
        pairs: every layer of both once, in order.
    """

    before: Analysis
    after: Analysis
    pairs: tuple[Pair, ...]

    def totals(self) -> dict[str, tuple[int, int]]:
        """Each total of both."""
        return {name: (getattr(self.before.totals, name), getattr(self.after.totals, name)) for name in TOTALS}

    def to_dict(self) -> dict[str, Any]:
        """Plain data; a layer is its name, operator, output shape, parameters, MACs, FLOPs and bytes."""
        return {
            "before": self.before.name,
            "after": self.after.name,
            "totals": {name: list(both) for name, both in self.totals().items()},
            "layers": [{"before": _plain(pair.before), "after": _plain(pair.after)} for pair in self.pairs],
        }


def compare(before: Analysis, after: Analysis) -> Comparison:
    """Align the layers of two analyses.

    Layers of the same name and nearly the same operator (Conv, and FusedConv into which it went) stand side by side;
    the others stand alone, in their order. A name that no exporter recorded does not match: then the operator and
    the output shape decide.
    """
    keys = [[_key(layer) for layer in analysis.layers] for analysis in (before, after)]
    if not set(keys[0]) & set(keys[1]):
        keys = [[(layer.kind, layer.output_shape) for layer in analysis.layers] for analysis in (before, after)]
    matcher = difflib.SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    pairs = []
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        left, right = before.layers[start:end], after.layers[other_start:other_end]
        if tag == "equal":
            pairs += [Pair(one, other) for one, other in zip(left, right, strict=True)]
        else:
            pairs += [Pair(layer, None) for layer in left] + [Pair(None, layer) for layer in right]
    return Comparison(before, after, tuple(pairs))


def _key(layer: Layer) -> tuple[Any, ...]:
    return layer.name, layer.kind


def _costs(layer: Layer) -> tuple[Any, ...]:
    return layer.op, layer.output_shape, layer.params, layer.macs, layer.flops, layer.read_bytes, layer.written_bytes


def _plain(layer: Layer | None) -> dict[str, Any] | None:
    if layer is None:
        return None
    names = ("name", "op", "output_shape", "params", "macs", "flops", "read_bytes", "written_bytes")
    return {name: getattr(layer, name) for name in names}
