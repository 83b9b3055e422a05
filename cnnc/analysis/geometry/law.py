"""Receptive field along one axis as a periodic law: element i + period sees what element i sees, `step` pixels on.

Convolutions and poolings have period 1. Upsampling by 2 has period 2: neighbours that come from one pixel see
the same. Padding is not special: the law goes on outside of the image, as theoretical fields do.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from fractions import Fraction

from cnnc.analysis.geometry.reads import Along

__all__ = ["PIXELS", "Law", "Span"]

Span = tuple[int, int] | None
"""The first and the last pixel seen; None where nothing is, as between the taps of a sparse ConvTranspose."""
_LONGEST = 4096  # elements of one period, of which all are evaluated


@dataclasses.dataclass(frozen=True)
class Law:
    """`spans[i]` is seen by element i of the first period, `step` pixels further on in each next period."""

    step: int
    spans: tuple[Span, ...]

    @property
    def jump(self) -> Fraction:
        """Pixels from one element's field to the next one's, on average over a period."""
        return Fraction(self.step, len(self.spans))

    @property
    def size(self) -> int:
        """Of the largest field."""
        return max((span[1] - span[0] + 1 for span in self.spans if span is not None), default=0)

    @property
    def start(self) -> Fraction:
        """The center of element 0's field; of the next that sees anything, moved back by the jump."""
        for index, span in enumerate(self.spans):
            if span is not None:
                return Fraction(span[0] + span[1], 2) - index * self.jump
        return Fraction(0)

    def at(self, index: int) -> Span:
        """The field of element `index`, which may be negative or beyond the end: in the padding."""
        periods, phase = divmod(index, len(self.spans))
        span = self.spans[phase]
        return None if span is None else (span[0] + periods * self.step, span[1] + periods * self.step)

    def through(self, read: Along) -> Law | None:
        """The law of a value that reads this one; None if its period is too long to follow."""
        ours = len(self.spans)
        repeats = ours // math.gcd(
            ours, read.advance
        )  # after so many of the reading's periods both are where they were
        period = read.period * repeats
        if period > _LONGEST:
            return None
        spans = tuple(_hull(map(self.at, read.taps(index))) for index in range(period))
        return Law(self.step * read.advance * repeats // ours, spans).shortened()

    def union(self, other: Law) -> Law | None:
        """Of two paths to one value; None where they drift apart, so that no law holds."""
        if self == other:
            return self
        period = math.lcm(len(self.spans), len(other.spans))
        if self.jump != other.jump or period > _LONGEST:
            return None
        spans = tuple(_hull((self.at(index), other.at(index))) for index in range(period))
        return Law(int(self.jump * period), spans).shortened()

    def shortened(self) -> Law:
        """The same with the smallest period."""
        ours = len(self.spans)
        for period in range(1, ours):
            if ours % period == 0 and self.step * period % ours == 0:
                shorter = Law(self.step * period // ours, self.spans[:period])
                if all(shorter.at(index) == span for index, span in enumerate(self.spans)):
                    return shorter
        return self


PIXELS = Law(1, ((0, 0),))
"""The image's own: each pixel sees itself."""


def _hull(spans: Iterable[Span]) -> Span:
    seen = [span for span in spans if span is not None]
    return (min(first for first, _ in seen), max(last for _, last in seen)) if seen else None
