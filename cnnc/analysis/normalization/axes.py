"""What the axes of an activation are called, as far as the graph shows it, and words for some of them."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from cnnc.analysis.geometry.rules import BROADCASTING, UNARY
from cnnc_passes.rewrite import op_name
from cnnc_passes.windows import CONVOLUTIONS, POOLINGS

__all__ = ["axis_letters", "channels_first", "each", "over"]

_LETTERS = {2: "NC", 3: "NCL", 4: "NCHW", 5: "NCDHW"}
_CHANNELS_FIRST = CONVOLUTIONS | POOLINGS | {"GlobalAveragePool", "GlobalMaxPool", "DepthToSpace"}
_CHANNELS_FIRST |= {"BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN"}
_IN_PLACE = UNARY | BROADCASTING | {"LayerNormalization", "RMSNormalization", "Softmax", "Concat", "Pad", "Slice"}
# those whose result has as many axes as they read
_IN_PLACE |= {"Split", "Resize", "ReduceMean", "ReduceMax", "Transpose"}
_FARTHEST = 100  # nodes back to the operator that shows the axes


def channels_first(rank: int) -> str | None:
    """Of what a convolution reads: `NCHW` for rank 4; None for a rank that has no names."""
    return _LETTERS.get(rank)


def axis_letters(value: ir.Value) -> str | None:
    """`NCHW`, or `NHWC` behind a Transpose; None where nothing on the way back shows what the axes are.

    A graph input of rank 4 or 5 has its channels first, of rank 3 it may be tokens. What a Transpose moves from
    second to last is the channels, whatever computed it.
    """
    rank = len(value.shape or ())
    letters = _LETTERS.get(rank)
    moves: list[tuple[int, ...]] = []
    for _ in range(_FARTHEST):
        node = value.producer()
        if letters is None or (node is None and rank < 4):
            return None
        if node is None or op_name(node) in _CHANNELS_FIRST:
            return _moved(letters, moves)
        if op_name(node) == "Transpose":
            moves.append(tuple(node.attributes.get_ints("perm", range(rank)[::-1])))
        before = [read for read in node.inputs if read is not None and read.const_value is None]
        before = [read for read in before if read.shape is not None and len(read.shape) == rank]
        if not before or op_name(node) not in _IN_PLACE:
            return _moved(letters, moves) if moves and moves[-1] == (0, *range(2, rank), 1) and rank > 3 else None
        value = before[0]
    return None


def _moved(letters: str, moves: Collection[tuple[int, ...]]) -> str:
    for perm in reversed(list(moves)):
        letters = "".join(letters[axis] for axis in perm)
    return letters


def over(axes: Collection[int], letters: str | None, rank: int) -> str:
    """`over C, H, W (axes 1, 2, 3)`; without letters, which axes they are: `over the last (axis 2)`."""
    numbers = f"({'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))})"
    if letters is not None:
        return f"over {', '.join(letters[axis] for axis in axes)} {numbers}"
    if sorted(axes) == list(range(1, rank)):
        return f"over all but the first {numbers}"
    if sorted(axes) == list(range(rank - len(axes), rank)):
        return f"over the last {numbers}"
    return f"over {numbers[1:-1]}"


def each(axes: Collection[int], letters: str | None, rank: int) -> str:
    """What has a mean of its own: the indices of the other axes, `for each sample and channel`."""
    others = [axis for axis in range(rank) if axis not in axes]
    if others == [0]:
        return "for each sample"
    if letters is None:
        return "for each index of the others" if others else "for the whole tensor"
    words = {"N": "sample", "C": "channel"}
    names = list(dict.fromkeys(words.get(letters[axis], "position") for axis in others))
    names.sort(key=["sample", "channel", "position"].index)
    return f"for each {' and '.join(names)}" if len(names) < 3 else "for each sample, channel and position"
