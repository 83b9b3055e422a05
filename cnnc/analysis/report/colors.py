"""A color and a marker for every kind of layer, the same in all plots and tables.

The hues are those of Okabe and Ito (Color Universal Design, 2008), made so dark or light that each has a contrast of
3:1 and more on the light page and on the dark one (WCAG 2.2, 1.4.11). Color is never the only sign: hover texts,
legends and markers say the kind too.
"""

from __future__ import annotations

__all__ = ["ACCENT", "CATEGORIES", "COLORS", "MUTED", "PAGES", "SYMBOLS"]

PAGES = ("#ffffff", "#14171a")  # backgrounds: light and dark, as in report.css
ACCENT = "#2b7fb8"
MUTED = "#808791"

COLORS = {
    "convolution": ACCENT,
    "fully connected": "#d55e00",
    "matrix product": "#b07d00",
    "recurrent": "#8a8a1f",
    "normalization": "#009e73",
    "activation": "#c4649a",
    "pooling": "#2f9fc9",
    "elementwise": "#a0683c",
    "data movement": MUTED,
    "other": "#7f6bb3",
}

SYMBOLS = {
    "convolution": "circle",
    "fully connected": "square",
    "matrix product": "diamond",
    "recurrent": "star",
    "normalization": "triangle-up",
    "activation": "triangle-down",
    "pooling": "pentagon",
    "elementwise": "cross",
    "data movement": "x",
    "other": "hexagon",
}

CATEGORIES = tuple(COLORS.values())  # for the classes of a data set; more classes take turns, with other markers
