"""What an artifact says of its heat map: how it was made, of which layer, and for which class."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnc_runtime.errors import InvalidInputError

__all__ = ["Explanation"]


@dataclass(frozen=True)
class Explanation:
    """An output that is a heat map, (N, h, w), or (N, t, h, w) for clips.

    Attributes:
        method: `cam` (Zhou et al. 2016) or `gradcam` (Selvaraju et al. 2017).
        layer: whose maps are summed, as it was named, or as the graph names it.
        output: the output's name.
        score: the name of the output (N, classes) that it explains.
        classes: how many there are.
        is_smooth: whether nothing between layer and score makes its weights jump, as a ReLU or a maximum does.
        class_input: the input (N,) that asks for a class, -1 for the top one; None where it is always the top class.
    """

    method: str
    layer: str
    output: str
    score: str
    classes: int
    is_smooth: bool = True
    class_input: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back equal."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Explanation:
        """Read what `to_json` wrote.

        Raises:
            InvalidInputError: a field is unknown, missing or of the wrong type.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if set(value) != names:
            raise InvalidInputError(f"expected the fields {sorted(names)}, got {sorted(value)}")
        texts = [value[name] for name in ("method", "layer", "output", "score")]
        asked, classes = value["class_input"], value["classes"]
        if not all(isinstance(text, str) for text in texts) or not (asked is None or isinstance(asked, str)):
            raise InvalidInputError("expected names")
        if not isinstance(value["is_smooth"], bool):
            raise InvalidInputError(f"expected true or false, got {value['is_smooth']!r}")
        if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
            raise InvalidInputError(f"expected a number of classes, got {classes!r}")
        method, layer, output, score = texts
        return cls(method, layer, output, score, classes, value["is_smooth"], asked)
