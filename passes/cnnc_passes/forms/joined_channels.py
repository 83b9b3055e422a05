"""Feature maps joined along channels, and a sum of convolutions of them: what the laws that avoid a Concat share."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from cnnc_passes.forms.blocked_layout import is_aligned, is_whole_blocks
from cnnc_passes.rewrite import Decline, has_one_reader, new_constant, producer

__all__ = ["JoinedChannels", "Term", "joined_channels", "sum_of_convolutions"]


@dataclasses.dataclass(frozen=True)
class JoinedChannels:
    """A Concat of images along channels.

    Attributes:
        concat: the node; nothing but what asked reads its result.
        parts: the maps, (N, C of the part, H, W), and which channels of the whole each is.
    """

    concat: ir.Node
    parts: Sequence[tuple[ir.Value, slice]]

    @property
    def channels(self) -> int:
        """Of the whole."""
        return int(self.parts[-1][1].stop)

    @property
    def is_blocked(self) -> bool:
        """True if each part is whole blocks: of maps in blocks the engine joins such without leaving its layout."""
        return all(is_whole_blocks(rows.stop - rows.start) for _, rows in self.parts)


def joined_channels(whole: ir.Value | None) -> JoinedChannels | Decline | None:
    """Read the Concat behind `whole`; None where there is none of images along channels."""
    concat = producer(whole, "Concat")
    if concat is None or whole is None or whole.shape is None or len(whole.shape) != 4:
        return None
    if concat.attributes.get_int("axis", 0) not in (1, -3):
        return None
    if not has_one_reader(whole):
        return Decline("another node reads what is joined")
    if whole.dtype != ir.DataType.FLOAT:
        return Decline(f"FusedConv needs float32, not {whole.dtype}")
    maps = [part for part in concat.inputs if part is not None]
    sizes = [part.shape[1] if part.shape is not None else None for part in maps]
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) < len(sizes):
        return Decline("the parts are not of known sizes")
    if not all(is_aligned(size) for size in known):
        return Decline("a part's channels do not fit the engine's blocked layout")
    ends = itertools.accumulate(known)
    return JoinedChannels(concat, [(m, slice(end - n, end)) for m, n, end in zip(maps, known, ends, strict=True)])


@dataclasses.dataclass(frozen=True)
class Term:
    """One convolution of a sum: its input, (N, C, H, W), and float32 weight, (filters, C, kh, kw)."""

    x: ir.Value
    weight: np.ndarray


def sum_of_convolutions(
    like: ir.Node,
    terms: Sequence[Term],
    bias: np.ndarray | None,
    z: ir.Value | None,
    attributes: Mapping[str, object],
    last: Mapping[str, object],
) -> list[ir.Node]:
    """Nodes that compute activation(sum of the terms + bias + z), each adding to the one before.

    Args:
        like: the node whose result it takes the place of, for names and origin.
        terms: in order.
        bias: (filters,); None for zeros.
        z: what is added, of the result's shape.
        attributes: of each convolution, such as strides.
        last: of the last alone: its activation.
    """
    output, nodes = like.outputs[0], []
    none = np.zeros(len(terms[0].weight), np.float32)
    for index, term in enumerate(terms):
        weight = new_constant(output, f"weight.{index}", term.weight)
        # With z and no bias the engine leaves its blocked layout.
        added = new_constant(output, f"bias.{index}", bias if bias is not None and not index else none)
        extra = last if index == len(terms) - 1 else {}
        fused = z is not None or bool(extra)
        node = ir.node(
            "FusedConv" if fused else "Conv",
            [term.x, weight, added, *([z] if z is not None else [])],
            {**attributes, **extra},
            domain="com.microsoft" if fused else "",
            name=f"{like.name}.{index}" if like.name else None,
            metadata_props=dict(like.metadata_props),
        )
        nodes.append(node)
        z = node.outputs[0]
    return nodes
