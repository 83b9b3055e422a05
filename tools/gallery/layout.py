"""Where the boxes of a small graph stand: in layers, each below what it reads (Sugiyama, Tagawa and Toda, 1981).

Layers by longest path; order within a layer by the mean place of the neighbors, swept down and up; places likewise,
then pushed apart. A line that passes layers gets a stand-in in each, so that it bends around their boxes.
"""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Sequence

from tools.gallery.graph import Box, Line

__all__ = ["LABEL_CHARACTER", "LINE", "TITLE_LINE", "Placed", "Point", "place"]

CHARACTER, TITLE_CHARACTER, LABEL_CHARACTER = 6.3, 8.3, 7.4  # widths in pixels: small print, titles, shapes
LINE, TITLE_LINE, PADDING = 14.0, 22.0, 10.0
_APART, _DOWN = 14.0, 40.0
_SWEEPS = 12

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Placed:
    """Pixels from the upper left corner.

    Attributes:
        rectangles: (left, top, width, height) by box.
        bends: the points of each line, from the lower edge of its start to the upper edge of its end.
        size: width and height of the whole.
    """

    rectangles: tuple[tuple[float, float, float, float], ...]
    bends: tuple[tuple[Point, ...], ...]
    size: Point


def place(boxes: Sequence[Box], lines: Sequence[Line]) -> Placed:
    """Lay out; every line goes from an earlier box to a later one."""
    layer = _layers(boxes, lines)
    chains = _chains(lines, layer)
    leaving = [[line for line in lines if line.start == i] for i in range(len(boxes))]
    widths = [_width(box, own) for box, own in zip(boxes, leaving, strict=True)]
    rooms = [_room(width, own) for width, own in zip(widths, leaving, strict=True)]
    rooms += [PADDING] * (len(layer) - len(boxes))
    centers = _centers(layer, rooms, chains)
    left = min(center - room / 2 for center, room in zip(centers, rooms, strict=True))
    heights = [_height(box) for box in boxes]
    rows = [[heights[i] for i in range(len(boxes)) if layer[i] == row] for row in range(max(layer) + 1)]
    tops = [0.0, *itertools.accumulate(max(row) + _DOWN for row in rows)]
    rectangles = tuple(
        (centers[i] - widths[i] / 2 - left, tops[layer[i]], widths[i], heights[i]) for i in range(len(boxes))
    )
    bends = []
    for line, chain in zip(lines, chains, strict=True):
        x, y, width, height = rectangles[line.start]
        passed = [
            (centers[i] - left, tops[layer[i]] + max(rows[layer[i]]) * part) for i in chain[1:-1] for part in (0, 1)
        ]
        start = (x + width * _share(line, lines, "start"), y + height)
        x, y, width, _ = rectangles[line.end]
        bends.append((start, *passed, (x + width * _share(line, lines, "end"), y)))
    right = max(center + room / 2 for center, room in zip(centers, rooms, strict=True))
    return Placed(rectangles, tuple(bends), (right - left, tops[-1] - _DOWN))


def _layers(boxes: Sequence[Box], lines: Sequence[Line]) -> list[int]:
    layer = [0] * len(boxes)
    for line in sorted(lines, key=lambda line: line.end):
        layer[line.end] = max(layer[line.end], layer[line.start] + 1)
    return layer


def _chains(lines: Sequence[Line], layer: list[int]) -> list[list[int]]:
    """The items of each line from start to end; stand-ins get numbers after the boxes, and their layers in `layer`."""
    chains = []
    for line in lines:
        between = range(layer[line.start] + 1, layer[line.end])
        chains.append([line.start, *range(len(layer), len(layer) + len(between)), line.end])
        layer.extend(between)
    return chains


def _centers(layer: Sequence[int], rooms: Sequence[float], chains: Sequence[Sequence[int]]) -> list[float]:
    """The middle of each item: that of its neighbors above, then below, in turn, where there is room."""
    rows = [[i for i, own in enumerate(layer) if own == row] for row in range(max(layer) + 1)]
    above: list[list[int]] = [[] for _ in layer]
    below: list[list[int]] = [[] for _ in layer]
    for chain in chains:
        for upper, lower in itertools.pairwise(chain):
            above[lower].append(upper)
            below[upper].append(lower)
    centers = [0.0] * len(layer)
    for row in rows:
        _push_apart(row, [0.0] * len(row), rooms, centers)
    for sweep in range(_SWEEPS):
        neighbors, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for row in order:
            wanted = {
                i: statistics.fmean(centers[j] for j in neighbors[i]) if neighbors[i] else centers[i] for i in row
            }
            if sweep < _SWEEPS - 2:
                row.sort(key=lambda i: wanted[i])  # stable: ties keep the order of the text
            _push_apart(row, [wanted[i] for i in row], rooms, centers)
    return centers


def _push_apart(row: Sequence[int], wanted: Sequence[float], rooms: Sequence[float], centers: list[float]) -> None:
    """The nearest places to those wanted, as far apart as needed: neighbors that collide share their mean."""
    offsets = [0.0, *itertools.accumulate((rooms[a] + rooms[b]) / 2 + _APART for a, b in itertools.pairwise(row))]
    blocks: list[list[float]] = []  # of wanted places, the offsets taken off: they must not fall
    for place_of, offset in zip(wanted, offsets, strict=True):
        blocks.append([place_of - offset])
        while len(blocks) > 1 and statistics.fmean(blocks[-2]) > statistics.fmean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    bases = [statistics.fmean(block) for block in blocks for _ in block]
    for item, base, offset in zip(row, bases, offsets, strict=True):
        centers[item] = base + offset


def _width(box: Box, leaving: Sequence[Line]) -> float:
    """That of its text, or of the labels of its outputs, side by side."""
    text = max(TITLE_CHARACTER * len(box.title), *(CHARACTER * len(line) for line in box.lines), 24.0)
    ports = len({line.port for line in leaving})
    return max(text + 2 * PADDING, ports * (_label(leaving) + PADDING) if ports > 1 else 0.0)


def _room(width: float, leaving: Sequence[Line]) -> float:
    """A label stands beside its line: what it needs beyond the box is kept free on both sides."""
    ports = max(1, len({line.port for line in leaving}))
    return max(width, width - width / ports + 2 * (_label(leaving) + PADDING))


def _label(leaving: Sequence[Line]) -> float:
    return LABEL_CHARACTER * max((len(line.label) for line in leaving), default=0)


def _height(box: Box) -> float:
    return TITLE_LINE + LINE * len(box.lines) + (4 if box.lines else 0)


def _share(line: Line, lines: Sequence[Line], side: str) -> float:
    """Where along its box's edge a line begins or ends: outputs, and readings, side by side."""
    if side == "start":
        ports = sorted({other.port for other in lines if other.start == line.start})
        return (ports.index(line.port) + 0.5) / len(ports)
    ends = [other for other in lines if other.end == line.end]
    return (next(i for i, other in enumerate(ends) if other is line) + 0.5) / len(ends)
