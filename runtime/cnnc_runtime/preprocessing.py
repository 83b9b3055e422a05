"""How an image becomes a network's input: resize, center crop, `(value * scale - mean) / std`, HWC -> CHW.

The pixels are Pillow's. Sizes and offsets round as torchvision's Resize and CenterCrop do, and as Pillow's
ImageOps.pad does for a letterbox, so that a net sees what it was trained on.
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
from cnnc_runtime.flow.flow_input import FlowInput

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["PRESETS", "Color", "Interpolation", "Preprocessing", "assumed_for"]

Color = Literal["rgb", "bgr", "gray"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]

_FIRST_FIELDS = frozenset({"resize", "crop", "scale", "mean", "std", "color"})  # every artifact has these


@dataclass(frozen=True)
class Preprocessing:
    """PIL image -> float32 array (C, H, W), or uint8 (H, W, C) where the graph does the arithmetic.

    Attributes:
        resize: the shorter side in pixels, keeping the aspect; or exact (height, width); or None.
        crop: (height, width) cut from the center, padded with `fill` where the image is smaller; or None.
        scale: multiplies the 8-bit values first; 1/255 gives 0..1.
        mean, std: one value, or one a channel, in the channel order of `color`.
        color: the channels, in order.
        interpolation: how `resize` weighs pixels. Bilinear and bicubic antialias, as Pillow's do.
        letterbox: keep the aspect inside an exact `resize`, with bars of `fill` at two sides.
        fill: the 8-bit value around an image, one, or one a channel in the order of `color`; 0 is black.
        embedded: the artifact holds scale, mean, std, channel order and layout: it takes RGB (or gray) bytes.
        clip_stride: for nets that take clips: frames of the video from one of a clip to the next.
        flow: of two-stream nets, what the input beside the frames takes: the flow of frames that are resized thus.

    Raises:
        UsageError: a field is out of range, or `mean`, `std` or `fill` do not fit the channels.
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    color: Color = "rgb"
    interpolation: Interpolation = "bilinear"
    letterbox: bool = False
    fill: tuple[int, ...] = (0,)
    embedded: bool = False
    clip_stride: int = 1
    flow: FlowInput | None = None

    def __post_init__(self) -> None:
        for name, choices in (("color", get_args(Color)), ("interpolation", get_args(Interpolation))):
            if getattr(self, name) not in choices:
                raise UsageError(f"`{name}` is {getattr(self, name)!r}: choose {', '.join(choices)}")
        for name in ("resize", "crop"):
            size = getattr(self, name)
            sides = size if isinstance(size, tuple) else () if size is None else (size,)
            if any(not 1 <= side <= 65535 for side in sides):
                raise UsageError(f"`{name}` is {size}: sides are 1 to 65535 pixels")
        if self.letterbox and isinstance(self.resize, int):
            raise UsageError(f"`letterbox` fits an image into height and width, `resize` is {self.resize}: give both")
        for name, values in (("scale", (self.scale,)), ("mean", self.mean), ("std", self.std), ("fill", self.fill)):
            if not all(math.isfinite(value) for value in values) or (name in ("scale", "std") and 0 in values):
                raise UsageError(f"`{name}` is {values}: finite values, and not zero in scale and std")
            if len(values) not in (1, self.channels):
                raise UsageError(f"`{name}` has {len(values)} values, `color` {self.color} needs {self.channels}")
        if not all(0 <= value <= 255 and value == int(value) for value in self.fill):
            raise UsageError(f"`fill` is {self.fill}: whole 8-bit values, 0 to 255")
        if not 1 <= self.clip_stride <= 65535:
            raise UsageError(f"`clip_stride` is {self.clip_stride}: 1 to 65535 frames")

    @property
    def channels(self) -> int:
        return 1 if self.color == "gray" else 3

    @property
    def divisor(self) -> float | None:
        """1/scale where that is a whole number: torchvision divides by 255, which a product by 1/255 is not quite."""
        whole = round(1 / self.scale) if abs(self.scale) <= 1 else 0
        return float(whole) if whole and 1 / whole == self.scale else None

    def __call__(self, image: Image) -> NDArray[np.float32] | NDArray[np.uint8]:
        """Prepare one image.

        Returns:
            float32 array (C, H, W); of an `embedded` one `pixels`, uint8 (H, W, C).
        """
        pixels = self.pixels(image)
        return pixels if self.embedded else self.normalized(pixels)

    def pixels(self, image: Image) -> NDArray[np.uint8]:
        """The image upright (EXIF), alpha dropped, 16 bits scaled to 8, resized and cropped.

        Returns:
            uint8 array (H, W, C), in RGB order whatever `color` says, or one gray channel.
        """
        from cnnc_runtime.pixels import center_crop, fit_inside, resized, to_eight_bit

        image = to_eight_bit(image, "L" if self.color == "gray" else "RGB")
        fill = self.fill * self.channels if len(self.fill) == 1 else self.fill
        fill = fill[::-1] if self.color == "bgr" else fill
        if isinstance(self.resize, tuple) and self.letterbox:
            image = fit_inside(image, self.resize, self.interpolation, fill)
        elif self.resize is not None:
            image = resized(image, self.resize, self.interpolation)
        if self.crop is not None:
            image = center_crop(image, self.crop, fill)
        return np.asarray(image).reshape(image.height, image.width, self.channels)

    def normalized(self, pixels: NDArray[np.uint8], dtype: type[np.floating[Any]] = np.float32) -> NDArray[Any]:
        """Channels in the order of `color`, first, and their values `(value * scale - mean) / std`.

        In float32 each step rounds as torchvision's ToTensor and Normalize do.

        Args:
            pixels: (..., H, W, C), as `pixels` gives them.
            dtype: to compute in.

        Returns:
            (..., C, H, W).
        """
        ordered = pixels[..., ::-1] if self.color == "bgr" else pixels
        values: NDArray[Any] = np.moveaxis(ordered, -1, -3).astype(dtype, order="C")
        if self.divisor is not None:
            values /= dtype(self.divisor)
        else:
            values *= dtype(self.scale)
        values -= np.array(self.mean, dtype=dtype)[:, None, None]
        values /= np.array(self.std, dtype=dtype)[:, None, None]
        return values

    def fitted(self, input_shape: Sequence[int | str]) -> Preprocessing:
        """For an input (N, C, H, W): resized to exactly (H, W) where neither `resize` nor `crop` says to what.

        Args:
            input_shape: with names where an axis is dynamic; of an `embedded` one (N, H, W, C); of clips
                (N, C, T, H, W), each frame of which is an image.

        Raises:
            UsageError: what comes out is no such input.
        """
        if len(input_shape) == 5 and self.embedded:
            raise UsageError(f"the arithmetic of images can be embedded, the input is clips {tuple(input_shape)}")
        if len(input_shape) == 5:
            input_shape = (*input_shape[:2], *input_shape[3:])
        elif self.clip_stride != 1 and self.flow is None:
            raise UsageError(f"`clip_stride` is for an input (N, C, T, H, W), this one is {tuple(input_shape)}")
        if len(input_shape) != 4:
            raise UsageError(f"images need an input (N, C, H, W), this one is {tuple(input_shape)}")
        channels, height, width = (input_shape[axis] for axis in ((3, 1, 2) if self.embedded else (1, 2, 3)))
        if isinstance(channels, int) and channels != self.channels:
            raise UsageError(f"`color` {self.color} gives {self.channels} channels, the input has {channels}")
        if not isinstance(height, int) or not isinstance(width, int):
            if self.letterbox and self.resize is None:
                raise UsageError("`letterbox` needs a size, and the input takes any: give --size H,W")
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
        """As plain JSON values; `from_json` reads it back equal. What older readers lack is there only where used."""
        fields = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value.to_json() if name == "flow" else value
            for name, (value, default) in fields.items()
            if name in _FIRST_FIELDS or value != default
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_json` wrote.

        Raises:
            InvalidInputError: a field is unknown, missing, of the wrong type or out of range.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not _FIRST_FIELDS <= set(value) <= names:
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
                interpolation=value.get("interpolation", "bilinear"),
                letterbox=_flag(value.get("letterbox", False)),
                fill=tuple(map(_whole, value.get("fill", (0,)))),
                embedded=_flag(value.get("embedded", False)),
                clip_stride=_whole(value.get("clip_stride", 1)),
                flow=FlowInput.from_json(value["flow"]) if "flow" in value else None,
            )
        except (TypeError, ValueError, UsageError) as error:
            raise InvalidInputError(str(error)) from error

    def __str__(self) -> str:
        parts = [self.color.upper() if self.color != "gray" else "gray"]
        if isinstance(self.resize, int):
            parts.append(f"shorter side {self.resize}")
        elif self.resize is not None:
            parts.append("{} {}x{}".format("letterboxed into" if self.letterbox else "resized to", *self.resize))
        if self.resize is not None and self.interpolation != "bilinear":
            parts.append(self.interpolation)
        if self.crop is not None:
            parts.append("center crop {}x{}".format(*self.crop))
        lowest, highest = ((255 * self.scale * full - np.array(self.mean)) / np.array(self.std) for full in (0, 1))
        parts.append(f"values {lowest.min():.4g}..{highest.max():.4g}")
        if self.clip_stride != 1:
            parts.append(f"every {self.clip_stride} frames")
        if self.flow is not None:
            parts.append(str(self.flow))
        return ", ".join(parts) + (" (embedded in the graph)" if self.embedded else "")


PRESETS: dict[str, Preprocessing] = {
    "imagenet": Preprocessing(256, (224, 224), 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": Preprocessing(),
    "symmetric": Preprocessing(mean=(0.5,), std=(0.5,)),
    "kinetics": Preprocessing(
        (128, 171), (112, 112), 1 / 255, (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
    ),
}


def assumed_for(input_shape: Sequence[int | str]) -> Preprocessing:
    """The default where an artifact stores none: RGB (gray for one channel), resized to the input, 0..1.

    Args:
        input_shape: (N, C, H, W), or (N, C, T, H, W) of clips; with names where a dimension is dynamic.

    Raises:
        InvalidInputError: an image does not fit such an input.
    """
    channels = input_shape[1] if len(input_shape) in (4, 5) else 0
    if channels not in (1, 3) and not isinstance(channels, str):
        raise InvalidInputError(
            f"an image needs an input (N, C, H, W) with 1 or 3 channels, this one is {tuple(input_shape)}: "
            "pass arrays (.npy) instead"
        )
    return Preprocessing(color="gray" if channels == 1 else "rgb").fitted(input_shape)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(value: Any) -> int:
    if not _is_int(value):
        raise ValueError(f"expected a whole number, got {value!r}")
    return int(value)


def _pair(value: Any) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(map(_is_int, value)):
        raise ValueError(f"expected [height, width], got {value!r}")
    return value[0], value[1]


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r}")
    return value
