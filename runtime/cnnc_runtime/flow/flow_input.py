"""What an input of a net is made of, where that is optical flow."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import InvalidInputError, UsageError
from cnnc_runtime.flow.encoding import BOUND, decode, encode, stack
from cnnc_runtime.flow.fields import METHODS, Method

__all__ = ["FlowInput", "Values"]

Values = Literal["pixels", "unit", "centered"]


@dataclass(frozen=True)
class FlowInput:
    """8-bit flow of the frames of a video -> one input of a net, whose other input is frames.

    The flow is that of the frames as they were resized; it is cropped as they are. An input (N, 2L, H, W) takes L
    fields, from the frame that the other input sees on (Simonyan and Zisserman, Two-Stream Convolutional Networks,
    2014, equation 1); an input (N, 2, T, H, W) takes T, from each of T frames to the next.

    Attributes:
        name: of the input.
        method: of `optical_flow`.
        bound: pixels, beyond which displacements are clipped before they become 8 bits, as of `encode`.
        values: what the net sees of a code c: `pixels`, `bound * (2c/255 - 1)`, the displacement again (Simonyan
            and Zisserman); `unit`, `2c/255 - 1` (Carreira and Zisserman, 2017); `centered`, `c - 128` (TSN).
        subtract_mean: take the mean displacement out of each field first, against camera motion (section 3.1).

    Raises:
        UsageError: a field is out of range.
    """

    name: str
    method: Method = "dis"
    bound: float = BOUND
    values: Values = "pixels"
    subtract_mean: bool = False

    def __post_init__(self) -> None:
        for name, value, choices in (("method", self.method, METHODS), ("values", self.values, get_args(Values))):
            if value not in choices:
                raise UsageError(f"flow `{name}` is {value!r}: choose {', '.join(choices)}")
        if not (math.isfinite(self.bound) and self.bound > 0):
            raise UsageError(f"flow `bound` is {self.bound}: pixels, more than 0")

    def length(self, shape: Sequence[int | str]) -> int:
        """How many fields an input of that shape takes, batch axis first.

        Raises:
            UsageError: it takes none.
        """
        name, channels = self.name, shape[1] if len(shape) > 1 else None
        if len(shape) == 5 and channels == 2 and isinstance(shape[2], int):
            return shape[2]
        if len(shape) == 4 and isinstance(channels, int) and channels % 2:
            raise UsageError(f"input {name!r} has {channels} channels: flow has 2 a frame, x and y")
        if len(shape) == 4 and isinstance(channels, int):
            return channels // 2
        raise UsageError(
            f"input {name!r} of shape {tuple(shape)} takes no flow: that is (N, 2L, H, W) or (N, 2, T, H, W)"
        )

    def check(self, frames: Sequence[int | str], shape: Sequence[int | str]) -> None:
        """Raise UsageError if an input of `shape` takes no flow of frames as another of the shape `frames` takes."""
        length = self.length(shape)
        if len(frames) != len(shape):
            raise UsageError(f"flow {tuple(shape)} does not go with frames {tuple(frames)}: give both a time, or none")
        if len(shape) == 5 and frames[2] != length:
            raise UsageError(f"input {self.name!r} takes the flow of {length} frames, beside {frames[2]} frames")
        if tuple(frames[-2:]) != tuple(shape[-2:]):
            sides = f"{shape[-2]}x{shape[-1]}, the frames {frames[-2]}x{frames[-1]}"
            raise UsageError(f"input {self.name!r} is {sides}: flow is cropped as they are")

    def centered(self, field: NDArray[np.float32]) -> NDArray[np.float32]:
        """The whole field (H, W, 2), less its mean where that was asked for."""
        return field - field.mean(axis=(0, 1), dtype=np.float64).astype(np.float32) if self.subtract_mean else field

    def feed(self, fields: Sequence[NDArray[np.float32]], shape: Sequence[int | str]) -> NDArray[np.float32]:
        """One sample for an input of that shape, from the L or T fields (H, W, 2) that it takes.

        Returns:
            float32 array (2L, H, W) or (2, T, H, W).
        """
        codes = encode(stack(fields), self.bound)
        if self.values == "centered":
            values = codes.astype(np.float32) - np.float32(128)
        else:
            values = decode(codes, self.bound if self.values == "pixels" else 1.0)
        if len(shape) == 4:
            return values
        return np.ascontiguousarray(values.reshape(len(fields), 2, *values.shape[1:]).swapaxes(0, 1))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back equal."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FlowInput:
        """Read what `to_json` wrote.

        Raises:
            InvalidInputError: a field is unknown, missing, of the wrong type or out of range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(value, Mapping) or set(value) != names:
            raise InvalidInputError(f"flow: expected the fields {sorted(names)}, got {value!r}")
        if not isinstance(value["name"], str) or not isinstance(value["subtract_mean"], bool):
            raise InvalidInputError(f"flow: expected a name, and true or false, got {value!r}")
        try:
            return cls(**{**value, "bound": float(value["bound"])})
        except (TypeError, ValueError, UsageError) as error:
            raise InvalidInputError(str(error)) from error

    def __str__(self) -> str:
        mean = " less its mean" * self.subtract_mean
        return f"{self.name} is {self.method} flow{mean} within {self.bound:g} pixels as {self.values}"
