"""How an image becomes a network's input: resize, center crop, `(value * scale - mean) / std`, HWC -> CHW.

Sizes and offsets round as torchvision's Resize and CenterCrop do, so that a net sees what it was trained on.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cnnc_runtime.errors import InvalidInputError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PRESETS", "Color", "Preprocessing", "assumed_for"]

Color = Literal["rgb", "bgr", "gray"]


@dataclass(frozen=True)
class Preprocessing:
    """PIL image -> float32 array (C, H, W).

    Attributes:
        resize: the shorter side in pixels, keeping the aspect; or exact (height, width); or None.
        crop: (height, width) cut from the center, padded with black where the image is smaller; or None.
        scale: multiplies the 8-bit values first; 1/255 gives 0..1.
        mean, std: one value, or one a channel, in the channel order of `color`.
        color: the channels, in order.

    Raises:
        UsageError: a field is out of range, or `mean`/`std` do not fit the channels.
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    color: Color = "rgb"

    def __post_init__(self) -> None:
        if self.color not in get_args(Color):
            raise UsageError(f"`color` is {self.color!r}: choose rgb, bgr or gray")
        for name in ("resize", "crop"):
            size = getattr(self, name)
            sides = size if isinstance(size, tuple) else () if size is None else (size,)
            if any(not 1 <= side <= 65535 for side in sides):
                raise UsageError(f"`{name}` is {size}: sides are 1 to 65535 pixels")
        for name, values in (("scale", (self.scale,)), ("mean", self.mean), ("std", self.std)):
            if not all(math.isfinite(value) for value in values) or (name != "mean" and 0 in values):
                raise UsageError(f"`{name}` is {values}: finite values, and not zero in scale and std")
            if len(values) not in (1, self.channels):
                raise UsageError(f"`{name}` has {len(values)} values, `color` {self.color} needs {self.channels}")

    @property
    def channels(self) -> int:
        return 1 if self.color == "gray" else 3

    def __call__(self, image: Image) -> NDArray[np.float32]:
        """Prepare one image; EXIF rotation is applied, alpha dropped, 16 bits scaled to 8.

        Returns:
            float32 array (C, H, W).
        """
        from cnnc_runtime.pixels import center_crop, resized, to_eight_bit

        image = to_eight_bit(image, "L" if self.color == "gray" else "RGB")
        if self.resize is not None:
            image = resized(image, self.resize)
        if self.crop is not None:
            image = center_crop(image, self.crop)
        pixels = np.asarray(image, dtype=np.float32).reshape(image.height, image.width, self.channels)
        if self.color == "bgr":
            pixels = pixels[:, :, ::-1]
        chw = pixels.transpose(2, 0, 1) * np.float32(self.scale)
        chw -= np.array(self.mean, dtype=np.float32)[:, None, None]
        chw /= np.array(self.std, dtype=np.float32)[:, None, None]
        return np.ascontiguousarray(chw)

    def fitted(self, input_shape: Sequence[int | str]) -> Preprocessing:
        """For an input (N, C, H, W): resized to exactly (H, W) where neither `resize` nor `crop` says to what.

        Args:
            input_shape: with names where an axis is dynamic.

        Raises:
            UsageError: what comes out is no such input.
        """
        if len(input_shape) != 4:
            raise UsageError(f"images need an input (N, C, H, W), this one is {tuple(input_shape)}")
        channels, height, width = input_shape[1:]
        if isinstance(channels, int) and channels != self.channels:
            raise UsageError(f"`color` {self.color} gives {self.channels} channels, the input has {channels}")
        if not isinstance(height, int) or not isinstance(width, int):
            return self
        if self.resize is None and self.crop is None:
            return dataclasses.replace(self, resize=(height, width))
        size = self.crop or self.resize
        if not isinstance(size, tuple):
            raise UsageError(
                f"shorter side {size} leaves the longer one as it comes, the input is {height}x{width}: "
                f"give --size {height},{width}, or --crop {height},{width} as well"
            )
        if size != (height, width):
            raise UsageError(f"images become {size[0]}x{size[1]}, the input is {height}x{width}")
        return self

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it back equal."""
        fields = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_json` wrote.

        Raises:
            InvalidInputError: a field is unknown, missing, of the wrong type or out of range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if set(value) != names:
            raise InvalidInputError(f"expected the fields {sorted(names)}, got {sorted(value)}")
        resize = value["resize"]
        try:
            return cls(
                resize=resize if resize is None or _is_int(resize) else _pair(resize),
                crop=None if value["crop"] is None else _pair(value["crop"]),
                scale=float(value["scale"]),
                mean=tuple(float(number) for number in value["mean"]),
                std=tuple(float(number) for number in value["std"]),
                color=value["color"],
            )
        except (TypeError, ValueError, UsageError) as error:
            raise InvalidInputError(str(error)) from error

    def __str__(self) -> str:
        parts = [self.color.upper() if self.color != "gray" else "gray"]
        if isinstance(self.resize, int):
            parts.append(f"shorter side {self.resize}")
        elif self.resize is not None:
            parts.append("resized to {}x{}".format(*self.resize))
        if self.crop is not None:
            parts.append("center crop {}x{}".format(*self.crop))
        lowest, highest = ((255 * self.scale * full - np.array(self.mean)) / np.array(self.std) for full in (0, 1))
        parts.append(f"values {lowest.min():.4g}..{highest.max():.4g}")
        return ", ".join(parts)


PRESETS: dict[str, Preprocessing] = {
    "imagenet": Preprocessing(256, (224, 224), 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": Preprocessing(),
    "symmetric": Preprocessing(mean=(0.5,), std=(0.5,)),
}


def assumed_for(input_shape: Sequence[int | str]) -> Preprocessing:
    """The default where an artifact stores none: RGB (gray for one channel), resized to the input, 0..1.

    Args:
        input_shape: (N, C, H, W), with names where a dimension is dynamic.

    Raises:
        InvalidInputError: an image does not fit such an input.
    """
    channels = input_shape[1] if len(input_shape) == 4 else 0
    if channels not in (1, 3) and not isinstance(channels, str):
        raise InvalidInputError(
            f"an image needs an input (N, C, H, W) with 1 or 3 channels, this one is {tuple(input_shape)}: "
            "pass arrays (.npy) instead"
        )
    return Preprocessing(color="gray" if channels == 1 else "rgb").fitted(input_shape)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pair(value: Any) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(map(_is_int, value)):
        raise ValueError(f"expected [height, width], got {value!r}")
    return value[0], value[1]
