"""The windows of a fully convolutional classifier: how large they are, how they lie, and that an image holds one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from cnnc_runtime.errors import InvalidInputError
from cnnc_runtime.metadata import Metadata
from cnnc_runtime.tensors import TensorSpec

__all__ = ["Windows", "with_room"]


@dataclass(frozen=True)
class Windows:
    """Place (i, j) of the scores saw the window of the network's input that begins at (i, j) * stride.

    Attributes:
        size: (height, width) of each, in pixels, of clips (frames, height, width): what the network was exported at.
        stride: from one to the next, per axis.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]

    @classmethod
    def of(cls, metadata: Metadata | None) -> Windows | None:
        """Those of an artifact that was compiled with --fully-convolutional; None of any other.

        Raises:
            InvalidInputError: what it says of them is malformed.
        """
        said = (metadata.report or {}).get("fully_convolutional") if metadata is not None else None
        if said is None:
            return None
        try:
            size, stride = (tuple(map(int, said[key])) for key in ("window", "stride"))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInputError("the artifact's metadata on its windows is malformed: compile it again") from error
        if min((*size, *stride), default=0) < 1 or len(size) != len(stride):
            raise InvalidInputError(f"the artifact's windows of {size} at {stride} are impossible: compile it again")
        return cls(size, stride)


def with_room(inputs: Sequence[TensorSpec], metadata: Metadata | None) -> tuple[TensorSpec, ...]:
    """The inputs of an artifact, with the least that its images must be to hold one window.

    An engine need not notice a smaller one: onnxruntime pools what there is.
    """
    windows = Windows.of(metadata)
    if windows is None or metadata is None or len(inputs) != 1:
        return tuple(inputs)
    channels_last = metadata.preprocessing is not None and metadata.preprocessing.embedded
    least = (1, *windows.size, 1) if channels_last else (1, 1, *windows.size)
    return (dataclasses.replace(inputs[0], least=least),)
