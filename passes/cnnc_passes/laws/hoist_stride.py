"""sample(f(x)) => f(sample(x)), sample = every s-th position, f = convolution, pooling or elementwise. Exact."""

from __future__ import annotations

import onnx_ir as ir

from cnnc_passes.forms.elementwise import POINTWISE, element_inputs
from cnnc_passes.forms.sampling import Stride, is_sampler_only, sample_stride
from cnnc_passes.rewrite import Change, Decline, Rewrite, again, constant, new_constant, op_name
from cnnc_passes.windows import node_windows

__all__ = ["HoistStride"]

_WINDOWED = frozenset({"Conv", "MaxPool", "AveragePool"})
_FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


class HoistStride(Rewrite):
    """Compute a feature map at those positions only that its readers take.

    Its readers are 1x1 convolutions of stride s (ResNet v1 has its strides there), strided Slices or 1x1
    poolings. The stride climbs through what is elementwise into the convolutions and poolings that made
    the map: floor(floor(n/a)/b) = floor(n/(a*b)). What other nodes read as well, an identity shortcut, is
    sampled by a 1x1 MaxPool of stride s; constants with spatial axes are sampled here.

    Declines if a reader takes other positions, the caller sees the map, or no convolution or pooling above
    can take the stride: others read its result, auto_pad is SAME (its padding varies with the stride), or
    ceil_mode is set.
    """

    roots = _WINDOWED | POINTWISE
    example = """
        g (float[N,1,8,8] x) => (float[N,1,4,4] y)
        <float[1,1,3,3] w = {0,1,0,1,2,1,0,1,0}, float[1,1,1,1] v = {3}>
        {
            c = Conv <pads = [1, 1, 1, 1]> (x, w)
            r = Relu (c)
            y = Conv <strides = [2, 2]> (r, v)
        }
    """

    def rewrite(self, node: ir.Node) -> Change | Decline | None:
        """Answer for the node that makes the map."""
        made, uses = node.outputs[0], node.outputs[0].uses()
        strides = {sample_stride(reader, index) for reader, index in uses}
        samplers = [reader for reader, index in uses if max(sample_stride(reader, index) or (1,)) > 1]
        if not samplers:
            return None
        if len(strides) > 1 and all(reader.op_type == "MaxPool" for reader in samplers):
            return None  # a shortcut, sampled on its own beside readers of every position
        if made.is_graph_output():
            return Decline("the caller sees every position")
        stride = strides.pop()
        if stride is None or strides or any(reader.graph is not node.graph for reader, _ in uses):
            return Decline("its readers take different positions")
        readers = [reader for reader, _ in uses]
        ends = [reader for reader in readers if is_sampler_only(reader)]
        if sum(reader.outputs[0].is_graph_output() for reader in ends) > 1:
            return Decline("two outputs of the graph would be one value")
        region = _Region(node, stride)
        if not region.takers:
            return Decline(f"nothing above it can take the stride: {region.obstacle}")

        new = region.sampled(made)
        replace = {reader.outputs[0]: new for reader in sorted(ends, key=lambda end: end.outputs[0].is_graph_output())}
        for reader in readers:
            if reader not in ends:
                unstrided = {**reader.attributes, "strides": [1] * len(region.stride)}
                region.built.append(again(reader, [new, *reader.inputs[1:]], unstrided))
                replace[reader.outputs[0]] = region.built[-1].outputs[0]
        assert node.graph is not None
        removed = {*region.nodes, *readers}
        return Change([one for one in node.graph if one in removed], region.built, replace)


class _Region:
    """The nodes whose results only the sampled map needs, from `end` up; and their sampled copies.

    Attributes:
        stride: the step along each spatial axis.
        nodes: those to replace; the windows among them take the stride.
        takers: how many do.
        obstacle: what ended the region first, where it was.
        built: the new nodes, in order.
    """

    def __init__(self, end: ir.Node, stride: Stride) -> None:
        self.stride = stride
        self.nodes: set[ir.Node] = set()
        self.takers = 0
        self.obstacle = ""
        self.built: list[ir.Node] = []
        self._new: dict[ir.Value, ir.Value] = {}
        pending = [end.outputs[0]]
        while pending:  # a value that two nodes of the region read is asked again after the second
            value = pending.pop()
            node = value.producer()
            refused = self._refusal(node, value, root=node is end)
            if node is None or node in self.nodes or refused:
                self.obstacle = self.obstacle or refused
                continue
            self.nodes.add(node)
            if node.op_type in _WINDOWED:
                self.takers += 1
            else:
                pending += [x for x in _element_values(node) if not self._is_read_as_is(x)]

    def _refusal(self, node: ir.Node | None, value: ir.Value, *, root: bool) -> str:
        """Why `node`, which makes `value`, cannot join the region; empty where it can."""
        if node is None or op_name(node) not in _WINDOWED | POINTWISE or self._rank(value) != len(self.stride):
            return f"{value.name!r} comes from no convolution or pooling"
        if not root and (value.is_graph_output() or not all(self._samples(use.node) for use in value.uses())):
            return f"{value.name!r} is read at every position"
        if node.op_type not in _WINDOWED:
            if element_inputs(node) is None or not all(map(self._can_be_sampled, _element_values(node))):
                return f"{op_name(node)} {node.name!r} is not elementwise on maps of one rank"
            return ""
        windows = node_windows(node)
        if windows is None or any(output.uses() for output in node.outputs[1:]):
            return f"the kernel of {node.name!r} is not known, or its Indices are read"
        if any(window.auto_pad not in ("NOTSET", "VALID") for window in windows):
            return f"{node.name!r} has auto_pad {windows[0].auto_pad}, which varies with the stride"
        return f"{node.name!r} has ceil_mode" if any(window.ceil_mode for window in windows) else ""

    def _samples(self, reader: ir.Node) -> bool:
        """True if its copy reads what is sampled: a window takes the stride itself, and reads every position."""
        return reader in self.nodes and reader.op_type not in _WINDOWED

    def _rank(self, value: ir.Value) -> int | None:
        return None if value.shape is None else len(value.shape) - 2

    def _is_read_as_is(self, value: ir.Value) -> bool:
        """True if it has size 1 on every spatial axis, and broadcasts."""
        return value.shape is not None and all(size == 1 for size in value.shape[-len(self.stride) :])

    def _can_be_sampled(self, value: ir.Value) -> bool:
        if value.shape is None:
            return False
        same_rank = self._rank(value) == len(self.stride) and value.dtype in _FLOATS
        return same_rank or self._is_read_as_is(value) or constant(value) is not None

    def sampled(self, value: ir.Value) -> ir.Value:
        """`value` at every s-th position; what computes it is appended to `built`."""
        if value not in self._new:
            self._new[value] = self._sample(value)
        return self._new[value]

    def _sample(self, value: ir.Value) -> ir.Value:
        node, array = value.producer(), constant(value)
        if node is not None and node in self.nodes:
            self.built.append(self._sampled_node(node))
        elif self._is_read_as_is(value):
            return value
        elif array is not None:
            steps = [slice(None, None, step) for step in self.stride][-array.ndim :]
            every: list[slice] = [slice(None)] * (array.ndim - len(steps))
            return new_constant(value, "sampled", array[tuple(every + steps)])
        else:
            window = {"kernel_shape": [1] * len(self.stride), "strides": list(self.stride)}
            self.built.append(ir.node("MaxPool", [value], window, name=f"{value.name}.sampled"))
        return self.built[-1].outputs[0]

    def _sampled_node(self, node: ir.Node) -> ir.Node:
        if node.op_type in _WINDOWED:
            windows = node_windows(node) or []
            strides = [window.stride * step for window, step in zip(windows, self.stride, strict=True)]
            return again(node, node.inputs, {**node.attributes, "strides": strides})
        read = element_inputs(node) or {}
        return again(node, [self.sampled(read[i]) if i in read else value for i, value in enumerate(node.inputs)])


def _element_values(node: ir.Node) -> list[ir.Value]:
    return list((element_inputs(node) or {}).values())
