"""Two graphs side by side, before and after, as an SVG file of its own: no script, no font to load."""

from __future__ import annotations

import collections
import html
import itertools
from collections.abc import Iterator

import onnx

from cnnc.analysis.report.colors import COLORS
from tools.gallery.graph import Box, Line, boxes_and_lines
from tools.gallery.layout import LABEL_CHARACTER, LINE, TITLE_LINE, Placed, Point, place

__all__ = ["before_and_after"]

_MARGIN, _BETWEEN, _HEAD = 16.0, 64.0, 30.0
_INK, _QUIET = "#1b1f23", "#57606a"
_STYLE = (
    "text{font:11px ui-sans-serif,system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1b1f23}"
    ".t{font-size:13px;font-weight:600}.q{fill:#57606a}"
    ".l{font-size:10.5px;fill:#57606a;paint-order:stroke;stroke:#fff;stroke-width:4px}"
    ".e{fill:none;stroke:#808791;stroke-width:1.3}"
)


def before_and_after(before: onnx.ModelProto, after: onnx.ModelProto, title: str) -> str:
    """The picture; `title` is what a screen reader says."""
    graphs = [boxes_and_lines(model) for model in (before, after)]
    placed = [place(*graph) for graph in graphs]
    widths, heights = zip(*(one.size for one in placed), strict=True)
    width, height = sum(widths) + _BETWEEN + 2 * _MARGIN, max(heights) + _HEAD + 2 * _MARGIN
    second = _MARGIN + widths[0] + _BETWEEN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img"><title>{html.escape(title)}</title><style>{_STYLE}</style>',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#808791"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#fff"/>',
    ]
    for left, name, graph, one in zip((_MARGIN, second), ("before", "after"), graphs, placed, strict=True):
        parts.append(
            f'<text class="q" x="{left + one.size[0] / 2:.0f}" y="{_MARGIN + 8:.0f}" {_CENTERED}>{name}</text>'
        )
        parts.append(f'<g transform="translate({left:.0f} {_MARGIN + _HEAD:.0f})">')
        parts += _panel(*graph, one)
        parts.append("</g>")
    y = _MARGIN + _HEAD + min(heights) / 2
    parts.append(f'<path d="M{second - 48:.0f} {y:.0f}h30" stroke="{_INK}" stroke-width="2" marker-end="url(#a)"/>')
    return "\n".join([*parts, "</svg>", ""])


_CENTERED = 'text-anchor="middle"'


def _panel(boxes: list[Box], lines: list[Line], placed: Placed) -> Iterator[str]:
    for bends in placed.bends:
        yield f'<path class="e" marker-end="url(#a)" d="{_curve(bends)}"/>'
    for box, rectangle in zip(boxes, placed.rectangles, strict=True):
        yield from _box(box, *rectangle)
    values: dict[tuple[int, int], tuple[str, list[tuple[Point, ...]]]] = {}
    for line, bends in zip(lines, placed.bends, strict=True):
        values.setdefault((line.start, line.port), (line.label, []))[1].append(bends)
    alone = collections.Counter(start for start, _ in values)
    for (start, _), (label, lines_of_value) in values.items():
        yield _label(label, lines_of_value, alone[start] == 1)


def _label(label: str, lines: list[tuple[Point, ...]], is_only_output: bool) -> str:
    """The shape of a value beside its lines, on the side to which they do not go, or between two that part.

    Of several outputs of a node each has its label to the right: there is room for it.
    """
    x, y = lines[0][0]
    left, right = (max(side * (bends[1][0] - x) for bends in lines) for side in (-1, 1))
    part = len(lines) == 2 and min(left, right) > 0
    if is_only_output and part and 0.6 * (left + right) > LABEL_CHARACTER * len(label):  # there is room between them
        below = min(bends[1][1] for bends in lines) - 9
        place = f'x="{x + 0.3 * (right - left):.1f}" y="{below:.1f}" {_CENTERED}'
    elif is_only_output and right > max(left, 1):
        place = f'x="{x - 5:.1f}" y="{y + 14:.1f}" text-anchor="end"'
    else:
        place = f'x="{x + 5:.1f}" y="{y + 14:.1f}"'
    return f'<text class="l" {place}>{html.escape(label)}</text>'


def _box(box: Box, x: float, y: float, width: float, height: float) -> Iterator[str]:
    color = COLORS.get(box.kind)
    shape = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    if color is None:
        yield f'<rect {shape} rx="{height / 2:.1f}" fill="#eef1f4" stroke="#808791"/>'
    else:
        yield f'<rect {shape} rx="4" fill="{color}" fill-opacity=".14" stroke="{color}" stroke-width="1.4"/>'
    middle = x + width / 2
    yield f'<text class="t" x="{middle:.1f}" y="{y + TITLE_LINE - 7:.1f}" {_CENTERED}>{html.escape(box.title)}</text>'
    for row, text in enumerate(box.lines, 1):
        below = y + TITLE_LINE - 6 + LINE * row
        yield f'<text class="q" x="{middle:.1f}" y="{below:.1f}" {_CENTERED}>{html.escape(text)}</text>'


def _curve(bends: tuple[Point, ...]) -> str:
    """Smooth, leaving and reaching each point straight down."""
    path = f"M{bends[0][0]:.1f} {bends[0][1]:.1f}"
    for (x, y), (to_x, to_y) in itertools.pairwise(bends):
        middle = (y + to_y) / 2
        path += f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}"
    return path
