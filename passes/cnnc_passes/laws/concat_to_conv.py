"""Concat(a, b) + z => Conv(b, I[:, b]) + (Conv(a, I[:, a]) + z), with I the identity. Exact."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.blocked_layout import is_blocked
from cnnc_passes.forms.joined_channels import JoinedChannels, Term, joined_channels, sum_of_convolutions
from cnnc_passes.rewrite import Change, Decline, Rewrite, same_shape

__all__ = ["ConcatToConv"]

_MOST_CHANNELS = 128  # a MAC for each and value; GhostNet's widest is 112


class ConcatToConv(Rewrite):
    """Add each of the joined maps to its channels by a 1x1 convolution of zeros and ones (GhostNet's residuals).

    The CPU provider's blocked layout has no Concat of parts that are no whole blocks: the maps would leave it, and the
    sum come back. A convolution reads any channels and writes any others there.

    Declines if another node reads what is joined, a part or z is not in the blocked layout, z does not have exactly
    the shape of what is joined, the type is not float32, parts are not of known sizes or do not fit the layout, each
    is whole blocks, or there are so many channels that the products cost more.
    """

    roots = frozenset({"Add"})
    trades = True  # products with zeros and ones
    example = """
        g (float[N,4,2,2] x) => (float[N,8,2,2] y) <float[4,4,1,1] w = {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8},
         float[8,4,1,1] v = {1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}>
        { a = Conv (x, w)  b = Conv (a, w)  z = Conv (x, v)  c = Concat <axis = 1> (a, b)  y = Add (c, z) }
    """

    def rewrite(self, add: ir.Node) -> Change | Decline | None:
        """Answer for one Add."""
        left, right = add.inputs
        answers = [self._fuse(add, whole, z) for whole, z in ((left, right), (right, left))]
        found = [answer for answer in answers if answer is not None]
        return next((answer for answer in found if isinstance(answer, Change)), found[0] if found else None)

    def _fuse(self, add: ir.Node, whole: ir.Value | None, z: ir.Value | None) -> Change | Decline | None:
        joined = joined_channels(whole)
        if not isinstance(joined, JoinedChannels) or whole is None or z is None:
            return joined if isinstance(joined, Decline) else None
        if joined.is_blocked:
            return Decline("each part is whole blocks")
        if joined.channels > _MOST_CHANNELS:
            return Decline(f"{joined.channels} channels are too many to multiply by zeros")
        if not same_shape(whole, z):
            return Decline("what is added does not have exactly the shape of what is joined")
        if not all(is_blocked(value) for value in (z, *(part for part, _ in joined.parts))):
            return Decline("a part or what is added is not in the engine's blocked layout")
        identity = np.eye(joined.channels, dtype=np.float32)[:, :, None, None]
        terms = [Term(part, identity[:, rows]) for part, rows in joined.parts]
        return Change([joined.concat, add], sum_of_convolutions(add, terms, None, z, {"kernel_shape": [1, 1]}, {}))
