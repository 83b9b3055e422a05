"""The table: operator -> its vector-Jacobian product. One rule a row, its law in the rule's docstring."""

from __future__ import annotations

from cnnc_passes.gradient.activations import ACTIVATIONS
from cnnc_passes.gradient.convolutions import CONVOLUTIONS
from cnnc_passes.gradient.elementwise import ELEMENTWISE
from cnnc_passes.gradient.normalization import NORMALIZATIONS
from cnnc_passes.gradient.pools import POOLS
from cnnc_passes.gradient.products import PRODUCTS
from cnnc_passes.gradient.reductions import REDUCTIONS
from cnnc_passes.gradient.resizes import RESIZES
from cnnc_passes.gradient.selections import SELECTIONS
from cnnc_passes.gradient.shapes import SHAPES
from cnnc_passes.gradient.step import Rule

__all__ = ["RULES"]

RULES: dict[str, Rule] = (
    ACTIVATIONS
    | ELEMENTWISE
    | PRODUCTS
    | CONVOLUTIONS
    | REDUCTIONS
    | NORMALIZATIONS
    | SHAPES
    | POOLS
    | SELECTIONS
    | RESIZES
)
