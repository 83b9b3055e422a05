"""Receptive field of every value: which pixels of the image one of its elements sees; over all paths of the graph.

Source: Araujo, Norris and Sim, Computing Receptive Fields of Convolutional Neural Networks, Distill, 2019: at each
step size += (k - 1) * jump, start += ((k - 1) * d / 2 - p) * jump, jump *= stride; where paths meet, the hull.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import onnx_ir as ir

from cnnc.analysis.geometry.images import image_inputs, spatial_axes
from cnnc.analysis.geometry.law import PIXELS, Law, Span
from cnnc.analysis.geometry.reads import Along, AxisRead, Everything, Scattered, Shape, known_shape
from cnnc.analysis.geometry.rules import UNARY, VIEWS, has_subgraph, readings
from cnnc.analysis.geometry.view_rules import view_axes
from cnnc_passes.operations import read_inputs
from cnnc_passes.rewrite import op_name

__all__ = ["ReceptiveField", "receptive_fields"]


@dataclasses.dataclass(frozen=True)
class ReceptiveField:
    """What one element of a value sees of the image, for each spatial axis (of N, C, H, W: H and W).

    Theoretical: as in the middle of an image without end, so sizes may exceed the image's. Pixel centers lie at the
    integers, the first at 0, as in the Distill article. Of values that differ over channels it is the hull.

    Attributes:
        size: pixels from the first to the last seen. Through a mean over the image (global pooling,
            squeeze-and-excitation, group normalization), or a dense layer on all positions, it is the whole
            image: its size, or `local` if that is greater.
        local: the same without those global paths, as published figures have it; None where no other is left.
            Equal to `size` where there is no global path.
        jump: pixels between the fields of neighbors, of `local`; 0 where it does not move. A fraction after upsampling.
        start: center of the first element's field, of `local`; the image's center where there is none.
        laws: the field of each element, for `interval`.
        image: the name of the input that it lies on.
    """

    size: tuple[int, ...]
    local: tuple[int | None, ...]
    jump: tuple[Fraction, ...]
    start: tuple[Fraction, ...]
    laws: tuple[Law | None, ...] = dataclasses.field(repr=False)
    image: str = dataclasses.field(default="", compare=False)

    def interval(self, index: Sequence[int]) -> tuple[Span, ...]:
        """First and last pixel seen on local paths by the element at `index`, one entry per spatial axis.

        Without upsampling that is start + index*jump -+ (local - 1)/2. None: no local path, or it reads nothing.
        """
        pairs = zip(self.laws, index, strict=True)
        return tuple(None if law is None else law.at(place) for law, place in pairs)


@dataclasses.dataclass(frozen=True)
class _Track:
    """One spatial axis of the image, as a value sees it.

    Attributes:
        whole: a global path is among those that lead here.
        law: of the local paths; None where there are none, or where it is not known which element is where.
        axis: of the value, along which elements differ in place; None if they do not.
    """

    whole: bool = False
    law: Law | None = None
    axis: int | None = None


_Tracks = tuple[_Track, ...]


def receptive_fields(graph: ir.Graph, sizes: Mapping[str, int]) -> dict[ir.Value, ReceptiveField]:
    """The fields of all values on an image-like input (rank 3 or more): of several, the first they depend on.

    A two-stream net has a field on its frame in one stream, on its flow in the other; a step function on its frame,
    and, where only its state is read, on that.

    Args:
        graph: with inferred shapes, functions inlined and constants as initializers.
        sizes: values of open sizes, `{"height": 224}`.

    Returns:
        no entry for what follows an operator that is not known, for a value that mixes positions into one axis
        (Flatten: elements see different places in no order; a dense layer on it sees all), or where paths of
        different strides meet, so that their fields drift apart.

    Raises:
        InvalidInputError: an attribute of a convolution or pooling is impossible.
    """
    fields: dict[ir.Value, ReceptiveField | None] = {}
    for image in image_inputs(graph):
        shape = known_shape(image, sizes)
        if shape is None:
            continue
        axes = spatial_axes(image)
        sweep = _Sweep([shape[axis] for axis in axes], sizes)
        sweep.tracked[image] = tuple(_Track(False, PIXELS, axis) for axis in axes)
        for node in graph:
            sweep.follow(node)
        found = {value: _field(tracks, sweep.extents, str(image.name)) for value, tracks in sweep.tracked.items()}
        fields = found | fields
    return {value: field for value, field in fields.items() if field is not None}


class _Sweep:
    """One pass over the nodes.

    Attributes:
        extents: of the image.
        tracked: what depends on it; None where it is not known how.
        views: values that are a view of one with the shape and the tracks given here. A Reshape of a Reshape is one
            of the first's input: what (N, C, H, W) -> (N, G, C*H*W/G) mixes up, the way back puts in order.
    """

    def __init__(self, extents: Sequence[int], sizes: Mapping[str, int]) -> None:
        self.extents = extents
        self.tracked: dict[ir.Value, _Tracks | None] = {}
        self.views: dict[ir.Value, tuple[Shape, _Tracks]] = {}
        self._sizes = sizes

    def follow(self, node: ir.Node) -> None:
        """Note the outputs of `node`, where they depend on the image."""
        touched = {value for value in read_inputs(node) if value in self.tracked}
        if has_subgraph(node):
            self.tracked |= dict.fromkeys(node.outputs)
            return
        if not touched:
            return
        known = None not in (self.tracked[value] for value in touched)
        found = readings(node, self._sizes) if known else None
        if found is None or not touched <= {reading.source for reading in found}:
            self.tracked |= dict.fromkeys(node.outputs)
            return
        for position, output in enumerate(node.outputs):
            seen = [reading for reading in found if reading.output == position and reading.source in touched]
            if seen:
                pieces = len(seen) > 1  # of which only constants may be another, as padding
                parts = [self._through(self.tracked[reading.source], reading.axes, pieces) for reading in seen]
                self.tracked[output] = self._meet(parts)
        self._view(node)

    def _view(self, node: ir.Node) -> None:
        """Keep of what the output is a view, as long as it is one; and look through it."""
        x, output = node.inputs[0], node.outputs[0]
        after, tracks = known_shape(output, self._sizes), self.tracked.get(x) if x is not None else None
        if x is None or after is None or not tracks:
            return
        if op_name(node) in VIEWS:
            shape, before = self.views.get(x, (known_shape(x, self._sizes) or (), tracks))
            before = tuple(
                dataclasses.replace(old, whole=old.whole or new.whole) for old, new in zip(before, tracks, strict=True)
            )
            self.views[output] = shape, before
            if math.prod(shape) == math.prod(after):
                self.tracked[output] = self._through(before, view_axes(shape, after), False)
        elif x in self.views and op_name(node) in UNARY | {"InstanceNormalization"}:
            self.views[output] = self.views[x]

    def _through(self, tracks: _Tracks | None, axes: Sequence[AxisRead], pieces: bool) -> _Tracks | None:
        moved = [_move(track, axes, size, pieces) for track, size in zip(tracks or (), self.extents, strict=True)]
        found = tuple(track for track in moved if track is not None)
        return found if len(found) == len(moved) else None

    def _meet(self, parts: Sequence[_Tracks | None]) -> _Tracks | None:
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        met = [_union(tracks, size) for tracks, size in zip(zip(*known, strict=True), self.extents, strict=True)]
        found = tuple(track for track in met if track is not None)
        return found if len(found) == len(met) else None


def _move(track: _Track, axes: Sequence[AxisRead], extent: int, pieces: bool) -> _Track | None:
    """The track as the reader sees it; None where that is not known."""
    if track.axis is None:
        return track
    read = axes[track.axis]
    if isinstance(read, Everything):
        return _Track(whole=True)
    if isinstance(read, Scattered):
        return None if read.axis is None else _Track(track.whole, None, read.axis)
    if read.partial and pieces:
        return None
    return _along(track, read, extent)


def _along(track: _Track, read: Along, extent: int) -> _Track | None:
    if track.law is None:
        return _Track(track.whole, None, read.axis) if (read.period, read.advance) == (1, 1) else None
    law = track.law.through(read)
    if law is None:
        return None
    if read.advance == 0 and read.axis is not None:  # broadcast
        return _Track(whole=True) if _covers(law, extent) else _Track(track.whole, law, None)
    return _Track(track.whole, law, read.axis)


def _covers(law: Law, extent: int) -> bool:
    span = law.at(0)
    return span is not None and span[0] <= 0 and span[1] >= extent - 1


def _union(tracks: Sequence[_Track], extent: int) -> _Track | None:
    """The hull of several paths to one value; None where no law holds for it."""
    whole = any(track.whole for track in tracks)
    local = [track for track in tracks if track.law is not None or track.axis is not None]
    moving = [track for track in local if track.axis is not None]
    if moving and len(moving) < len(local):  # a place that stays, as a broadcast center pixel
        resting = [track.law for track in local if track.axis is None and track.law is not None]
        if not all(_covers(law, extent) for law in resting):
            return None
        whole, local = True, moving
    if not local:
        return _Track(whole)
    law, axis = local[0].law, local[0].axis
    for track in local[1:]:
        if track.axis != axis or (law is None) != (track.law is None):
            return None
        if law is not None and track.law is not None:
            law = law.union(track.law)
            if law is None:
                return None
    return _Track(whole, law, axis)


def _field(tracks: _Tracks | None, extents: Sequence[int], image: str) -> ReceptiveField | None:
    if tracks is None or any(track.law is None and track.axis is not None for track in tracks):
        return None
    local = tuple(None if track.law is None else track.law.size for track in tracks)
    return ReceptiveField(
        size=tuple(
            max(size or 0, extent if track.whole else 0)
            for size, extent, track in zip(local, extents, tracks, strict=True)
        ),
        local=local,
        jump=tuple(Fraction(0) if track.law is None else track.law.jump for track in tracks),
        start=tuple(
            Fraction(extent - 1, 2) if track.law is None else track.law.start
            for track, extent in zip(tracks, extents, strict=True)
        ),
        laws=tuple(track.law for track in tracks),
        image=image,
    )
