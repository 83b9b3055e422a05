"""Conv(x, W, b) in g groups => in g/j groups, with zeros in W where j groups of before do not meet. Exact."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.blocked_layout import takes_blocks
from cnnc_passes.rewrite import Change, Decline, Rewrite, again, constant, new_constant
from cnnc_passes.windows import groups

__all__ = ["JoinGroups"]

_MOST = 4  # groups in one, so times the MACs: measured, see docs/lowering.md
_WEIGHT = ",".join(str(1 + (i + i // 4) % 9) for i in range(128))


class JoinGroups(Rewrite):
    """Make whole blocks of the CPU provider's layout out of narrow groups (ResNeXt's of 4 and 8, RegNet's of 8).

    A convolution whose groups are no whole blocks is computed outside the layout, group by group, by matrix products
    far too small. Joined, the groups are the diagonal of a wider weight: more multiplications, in far less time.

    Declines if the weight is not constant, or no divisor of the number of groups makes whole blocks of up to four, and
    leaves more than one group (of one group, laws for convolutions would take the zeros out again).
    """

    roots = frozenset({"Conv"})
    trades = True  # j times the multiplications, and the weights
    example = f"""
        g (float[N,32,2,2] x) => (float[N,32,2,2] y) <float[32,4,1,1] w = {{{_WEIGHT}}}>
        {{ y = Conv <group = 8> (x, w) }}
    """

    def rewrite(self, conv: ir.Node) -> Change | Decline | None:
        """Answer for one convolution of images."""
        group, w = groups(conv), conv.inputs[1]
        if group == 1 or w is None or w.dtype != ir.DataType.FLOAT or w.shape is None or len(w.shape) != 4:
            return None
        weight = constant(w)
        if weight is None:
            return Decline("the weight is not constant")
        filters, width = weight.shape[:2]
        if takes_blocks(filters, width, group) or (width == 1 and filters == group):
            return None
        divisors = (j for j in range(2, _MOST + 1) if not group % j and group > j)
        joined = next((j for j in divisors if takes_blocks(filters, j * width, group // j)), None)
        if joined is None:
            return Decline(f"no up to {_MOST} of {group} groups of {width} channels make whole blocks")
        attributes = {**conv.attributes, "group": ir.AttrInt64("group", group // joined)}
        wider = new_constant(conv.outputs[0], "weight", _diagonal(weight, group, joined))
        return Change([conv], [again(conv, [conv.inputs[0], wider, *conv.inputs[2:]], attributes)])


def _diagonal(weight: np.ndarray, group: int, joined: int) -> np.ndarray:
    """(filters, width, ...) of `group` groups as (filters, joined * width, ...), each on its own part of the width."""
    filters, width, *kernel = weight.shape
    parts = weight.reshape(group // joined, joined, filters // group, width, *kernel)
    wider = np.zeros((group // joined, joined, filters // group, joined, width, *kernel), weight.dtype)
    for part in range(joined):
        wider[:, part, :, part] = parts[:, part]
    return wider.reshape(filters, joined * width, *kernel)
