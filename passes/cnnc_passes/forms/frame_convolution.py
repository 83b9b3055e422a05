"""A convolution over clips as convolutions of its frames: what the laws that compute it so have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.blocked_layout import takes_blocks
from cnnc_passes.forms.filters import filters_of
from cnnc_passes.forms.frames import TIME, frame_count, join_frames, split_frames, taps_of
from cnnc_passes.rewrite import Change, Decline, new_constant, opset
from cnnc_passes.shapes import Window
from cnnc_passes.windows import groups, node_windows

__all__ = ["ClipConvolution", "FrameWriter", "clip_convolution"]


@dataclasses.dataclass(frozen=True)
class ClipConvolution:
    """What a convolution over clips computes.

    Attributes:
        conv: the Conv or FusedConv; its constants are all known.
        weight: (filters, channels per group, kt, kh, kw).
        windows: of time, height and width.
        taps: for each frame of the result the (tap, frame) that it sums over, padding in time left out.
    """

    conv: ir.Node
    weight: np.ndarray
    windows: Sequence[Window]
    taps: Sequence[Sequence[tuple[int, int]]]


def clip_convolution(conv: ir.Node) -> ClipConvolution | Decline | None:
    """Read `conv`; None if it is not over clips, the reason where it cannot be computed by frames."""
    x, y = conv.inputs[0], conv.outputs[0]
    if x is None or x.shape is None or len(x.shape) != 5:
        return None
    filters = filters_of(conv)
    if isinstance(filters, Decline):
        return filters
    weight, _ = filters
    if weight.dtype != np.float32:
        return Decline(f"FusedConv needs float32, not {weight.dtype}")
    windows = node_windows(conv)
    if windows is None or any(window.auto_pad != "NOTSET" for window in windows):
        return Decline("auto_pad is set")
    frames, results = frame_count(x), frame_count(y)
    if frames is None or results is None or opset(conv) < 13:
        return Decline("the number of frames is open")
    if not takes_blocks(weight.shape[0], weight.shape[1], groups(conv)):
        return Decline("the channels do not fit the engine's blocked layout")
    taps = [taps_of(windows[0], index, frames) for index in range(results)]
    if not all(taps):
        return Decline("a frame of the result sees padding alone")
    return ClipConvolution(conv, weight, windows, taps)


class FrameWriter:
    """Writes the nodes that compute a convolution over clips by frames.

    Attributes:
        frames: of the input.
        added: the frames of what is added to the result (FusedConv's z); empty where nothing is.
    """

    def __init__(self, clip: ClipConvolution) -> None:
        self._clip = clip
        conv = clip.conv
        x, z = conv.inputs[0], conv.inputs[3] if len(conv.inputs) > 3 else None
        assert x is not None
        self._nodes, self.frames = split_frames(x, conv.outputs[0])
        self.added: list[ir.Value] = []
        if z is not None:
            more, self.added = split_frames(z, conv.outputs[0])
            self._nodes += more
        self._attributes = {
            "kernel_shape": [window.kernel for window in clip.windows[1:]],
            "strides": [window.stride for window in clip.windows[1:]],
            "dilations": [window.dilation for window in clip.windows[1:]],
            "pads": [window.pads[side] for side in (0, 1) for window in clip.windows[1:]],
            "group": groups(conv),
        }
        self._taps = {tap: self.kernel(str(tap), clip.weight[:, :, tap]) for seen in clip.taps for tap, _ in seen}
        self._none = new_constant(conv.outputs[0], "no_bias", np.zeros(clip.weight.shape[0], np.float32))
        given = conv.inputs[2] if len(conv.inputs) > 2 else None
        self._bias = given if given is not None else self._none
        self._signs: dict[int, tuple[ir.Value, ir.Value]] = {}

    def kernel(self, role: str, weight: np.ndarray) -> ir.Value:
        """A constant to convolve frames with, (filters, channels per group, kh, kw)."""
        return new_constant(self._clip.conv.outputs[0], f"weight.{role}", weight.astype(np.float32))

    def tap(self, tap: int) -> ir.Value:
        """The kernel of one tap in time."""
        return self._taps[tap]

    def convolve(
        self, frame: ir.Value, kernel: ir.Value, z: ir.Value | None = None, *, bias: bool = False, last: bool = False
    ) -> ir.Value:
        """`frame` convolved with `kernel`, plus `z`, plus the bias; the `last` one of a result has the activation.

        A FusedConv where there is something to add to or an activation. It always has a bias: with z and none, the
        engine leaves its blocked layout.
        """
        conv = self._clip.conv
        names = ("activation", "activation_params") if last else ()
        extra = {name: conv.attributes[name] for name in names if name in conv.attributes}
        inputs = [frame, kernel, self._bias if bias else self._none, *([z] if z is not None else [])]
        return self._write("FusedConv" if z is not None or extra else "Conv", inputs, {**self._attributes, **extra})

    def direct(self, index: int) -> ir.Value:
        """Frame `index` of the result, a convolution a tap, each adding to the one before."""
        total = self.added[index] if self.added else None
        seen = self._clip.taps[index]
        for place, (tap, frame) in enumerate(seen):
            last = place == len(seen) - 1
            total = self.convolve(self.frames[frame], self._taps[tap], total, bias=not place, last=last)
        assert total is not None
        return total

    def add(self, left: ir.Value, right: ir.Value) -> ir.Value:
        """The sum of two maps."""
        return self._write("Add", [left, right], {})

    def subtract(self, left: ir.Value, right: ir.Value, channels: int, *, blocked: bool = True) -> ir.Value:
        """The difference of two maps of `channels`: in blocks, where there is no Sub, a depthwise convolution by -1."""
        if channels % 4 or not blocked:
            return self._write("Sub", [left, right], {})
        if channels not in self._signs:
            sign, none = np.full((channels, 1, 1, 1), -1, np.float32), np.zeros(channels, np.float32)
            output = self._clip.conv.outputs[0]
            self._signs[channels] = (new_constant(output, "minus", sign), new_constant(output, "nothing", none))
        attributes = {"kernel_shape": [1, 1], "group": channels}
        return self._write("FusedConv", [right, *self._signs[channels], left], attributes)

    def change(self, results: Sequence[ir.Value]) -> Change:
        """What takes the convolution's place: its nodes, and the clip of `results`."""
        nodes = [*self._nodes, *join_frames(results, self._clip.conv)]
        return Change([self._clip.conv], nodes, static=frozenset({TIME}))

    def _write(self, op_type: str, inputs: Sequence[ir.Value], attributes: dict[str, object]) -> ir.Value:
        domain = "com.microsoft" if op_type == "FusedConv" else ""
        metadata = dict(self._clip.conv.metadata_props)
        node = ir.node(op_type, inputs, attributes, domain=domain, metadata_props=metadata)
        self._nodes.append(node)
        return node.outputs[0]
