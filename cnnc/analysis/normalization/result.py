"""What is said of one normalization; plain data."""

from __future__ import annotations

import dataclasses

__all__ = ["Normalization"]


@dataclasses.dataclass(frozen=True)
class Normalization:
    """What one normalization averages over.

    Attributes:
        kind: the ONNX operator that does all of it, `GroupNormalization`, though the graph may spell it with others.
        axes: of its input, over which it averages at run time; none where the statistics are stored. Of the channels
            it may be a part only, a group or a few neighbors, as `text` says.
        values_per_mean: how many values share one mean; None where nothing is averaged, or a size is not known.
        text: the same in words.
        operators: how many layers of the analysis, this first one included, compute it.
    """

    kind: str
    axes: tuple[int, ...]
    values_per_mean: int | None
    text: str
    operators: int = 1
