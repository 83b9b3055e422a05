"""Conv(x, W1, b1) + Conv(x, W2, b2) + BN(x) + x + ... => Conv(x, W1 + W2 + ..., b1 + b2 + ...). Equal up to rounding.

Each kernel is set into the larger one at the offset that its padding gives; BN(x) and x are kernels of one tap.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from cnnc_passes.forms.kernel_sum import common_frame, frame_macs, kernel_sum
from cnnc_passes.forms.linear import fits
from cnnc_passes.forms.linear_branch import Branch, Frame, branch_of, identity_branch, source_of
from cnnc_passes.rewrite import Change, Decline, Rewrite, has_one_reader, new_constant, op_name, same_shape

__all__ = ["MergeParallel"]

_SUMS = ("Add", "Sum")


class MergeParallel(Rewrite):
    """Collapse the branches of a trained block (RepVGG, MobileOne, ACNet, large-kernel nets) into one convolution.

    The branches are the terms of a tree of Add and Sum that are one linear node on the same x: Conv of any kernel,
    stride, dilation and groups, AveragePool, BatchNormalization, Mul by a channel constant, or x itself. At least
    one is a Conv. Terms that do not fit in stay in the sum.

    Declines if another node reads a branch, a parameter is not constant, a branch is broadcast, strides differ, an
    AveragePool leaves its padding out of the mean or has ceil_mode, a BatchNormalization is not one of inference, a
    merged value does not fit the weight's type, or the merged kernel costs more than its branches.
    """

    roots = frozenset(_SUMS)
    example = """
        g (float[N,1,4,4] x) => (float[N,1,4,4] y)
        <float[1,1,3,3] w = {0,1,0,1,2,1,0,1,0}, float[1,1,1,1] v = {5}, float[1] b = {7}>
        {
            three = Conv <pads = [1, 1, 1, 1]> (x, w)
            one = Conv (x, v, b)
            s = Add (three, one)
            y = Add (s, x)
        }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for one Add or Sum, with all sums that only it reads."""
        if _is_inner(node):
            return None
        sums, terms = _flatten(node)
        declines: list[Decline] = []
        for source in dict.fromkeys(filter(None, map(source_of, terms))):
            branches = _branches(source, terms, node.outputs[0], declines)
            merged = _mergeable(branches, declines)
            if merged is not None:
                return _change(sums, terms, *merged)
        return declines[0] if declines else None


def _is_inner(node: ir.Node) -> bool:
    """True if a larger sum of the same shape is the one reader: the law is asked there."""
    output = node.outputs[0]
    if not has_one_reader(output):
        return False
    (reader,) = output.consumers()
    return reader.graph is node.graph and op_name(reader) in _SUMS and same_shape(output, reader.outputs[0])


def _flatten(root: ir.Node) -> tuple[list[ir.Node], list[ir.Value]]:
    """The sums of the tree, each after those that it reads, and its terms in order."""
    sums: list[ir.Node] = []
    terms: list[ir.Value] = []
    for value in filter(None, root.inputs):
        inner = value.producer()
        if inner is not None and op_name(inner) in _SUMS and _is_inner(inner):
            more_sums, more_terms = _flatten(inner)
            sums += more_sums
            terms += more_terms
        else:
            terms.append(value)
    return [*sums, root], terms


def _branches(source: ir.Value, terms: Sequence[ir.Value], output: ir.Value, declines: list[Decline]) -> list[Branch]:
    """The terms that are convolutions of `source`, if one at least is a Conv; why others are not, to `declines`."""
    members = [term for term in terms if term is source or source_of(term) is source]
    made_by = [op_name(node) for term in members if term is not source and (node := term.producer()) is not None]
    if len(members) < 2 or "Conv" not in made_by:
        return []
    if source.shape is None or len(source.shape) < 3 or not isinstance(source.shape[1], int):
        declines.append(Decline(f"the rank or channels of {source.name!r} are not known"))
        return []
    branches = []
    for term in members:
        if not same_shape(term, output):
            branch: Branch | Decline = Decline("a branch does not have exactly the sum's shape")
        elif term is source:
            branch = identity_branch(source)
        else:
            branch = branch_of(term) if has_one_reader(term) else Decline("another node reads a branch")
        if isinstance(branch, Branch):
            branches.append(branch)
        else:
            declines.append(branch)
    return branches


def _mergeable(branches: Sequence[Branch], declines: list[Decline]) -> tuple[list[Branch], Frame] | None:
    """The largest Conv, with all that it takes in at no more MACs, and their frame; else the next that takes any."""
    ordered = sorted(branches, key=lambda branch: branch.macs, reverse=True)
    for index, base in enumerate(ordered):
        if not base.macs:
            break
        group, frame, macs = [base], base.frame, base.macs
        for other in ordered[index + 1 :]:
            joint = common_frame(frame, other.frame)
            if joint is None:
                declines.append(Decline("the strides of two branches differ"))
            elif (merged := frame_macs(joint, base.inputs, base.outputs)) > macs + other.macs:
                declines.append(Decline("the merged kernel costs more than its branches"))
            else:
                group, frame, macs = [*group, other], joint, merged
        if len(group) > 1:
            return group, frame
    return None


def _change(
    sums: Sequence[ir.Node], terms: Sequence[ir.Value], branches: Sequence[Branch], frame: Frame
) -> Change | Decline:
    """One Conv for the branches, and what is left of the sum."""
    base, output = branches[0], sums[-1].outputs[0]
    assert base.node is not None
    dtype = base.weight.dtype
    weight, bias = kernel_sum(branches, frame)
    if not (fits(weight, dtype) and fits(bias, dtype)):
        return Decline(f"a merged value does not fit {dtype}")
    conv = ir.node(
        "Conv",
        [
            base.source,
            new_constant(output, "weight", weight.astype(dtype)),
            new_constant(output, "bias", bias.astype(dtype)),
        ],
        {
            "group": frame.groups,
            "strides": [window.stride for window in frame.windows],
            "dilations": [window.dilation for window in frame.windows],
            "pads": [window.pads[end] for end in (0, 1) for window in frame.windows],
        },
        name=base.node.name,
        metadata_props=dict(base.node.metadata_props),
    )
    merged = {branch.value for branch in branches}
    rest = [term for term in terms if term not in merged]
    remove = [branch.node for branch in branches if branch.node is not None]
    return Change([*remove, *sums], [conv, *_sum(conv.outputs[0], rest, sums)])


def _sum(first: ir.Value, rest: list[ir.Value], sums: Sequence[ir.Node]) -> list[ir.Node]:
    """The nodes that add `rest` to `first`: as one Sum if there was one, else Adds, the last of which reads `first`.

    So a residual joins the convolution as its sole other operand, the form that engines fuse.
    """
    name = sums[-1].name
    if len(rest) > 1 and any(node.op_type == "Sum" for node in sums):
        return [ir.node("Sum", [first, *rest], name=name)]
    nodes: list[ir.Node] = []
    right = rest[-1] if rest else None
    for left in [*rest[-2::-1], first] if right is not None else []:
        nodes.append(ir.node("Add", [left, right], name=name if left is first else None))
        right = nodes[-1].outputs[0]
    return nodes
