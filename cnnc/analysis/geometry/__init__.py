"""Geometry of a CNN: what its elements see of the image, which image sizes it takes, what it never reads."""

from cnnc.analysis.geometry.receptive_field import ReceptiveField, receptive_fields
from cnnc.analysis.geometry.unread import Unread, unread, unread_input
from cnnc.analysis.geometry.valid_sizes import ValidSizes, valid_sizes

__all__ = [
    "ReceptiveField",
    "Unread",
    "ValidSizes",
    "receptive_fields",
    "unread",
    "unread_input",
    "valid_sizes",
]
