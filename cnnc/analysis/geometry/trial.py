"""Trying other input sizes on a graph: every shape again, or the contradiction, by the rules of `InferShapes`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import onnx_ir as ir

from cnnc.analysis.geometry.rules import BROADCASTING, UNARY, has_subgraph
from cnnc_passes.dims import Dim, Dims, dims_of, may_equal
from cnnc_passes.onnx_inference import infer_by_onnx
from cnnc_passes.rewrite import op_name
from cnnc_passes.shape_rules import RULES, Contents
from cnnc_passes.shape_values import ShapeValues
from cnnc_passes.windows import CONVOLUTIONS
from cnnc_runtime.errors import InvalidInputError

__all__ = ["Trial"]

_BY_RULE, _BY_ONNX = 10, 50  # visits that one inference takes as long as
_SAME_SHAPE = UNARY | {"Softmax", "LogSoftmax", "LRN"}
_SAME_SHAPE |= {"InstanceNormalization", "GroupNormalization"}
_SCALED = frozenset({"LayerNormalization", "RMSNormalization"})  # by an element: their scale has the sizes of the map

_Shape = tuple[Dim, ...] | None
_Result = list[_Shape] | InvalidInputError


@dataclasses.dataclass(frozen=True, eq=False)
class _Step:
    """One node, prepared.

    Attributes:
        node: whose outputs' shapes are inferred.
        read: its inputs, those that only keep another's shape replaced by that one.
        moving: those of them whose shapes vary.
        small: the inputs that may hold sizes (computed integer vectors).
        known: results so far, by the shapes and the sizes that were read; shared with all nodes like this one.
    """

    node: ir.Node
    read: tuple[ir.Value | None, ...]
    moving: tuple[ir.Value, ...]
    small: tuple[ir.Value, ...]
    known: dict[object, _Result]


class Trial:
    """Infers the output shapes for given input shapes, many times over.

    A node is inferred once for each combination of shapes that it, or one like it, sees: deep in a net, most
    sizes of the image come to the same. Weights are not read, and the model stays as it is.

    Attributes:
        visits: nodes looked at so far, the measure of work; one that is inferred counts as what that takes.
        unknown: the first node whose shapes could not be inferred; contradictions after it go unseen.
    """

    def __init__(self, model: ir.Model) -> None:
        """Of a model with inferred shapes, functions inlined, constants as initializers."""
        model = model.clone()  # its shapes are overwritten where onnx's own inference needs them
        self.inputs = list(model.graph.inputs)
        self.visits = 0
        self.unknown: str | None = None
        self._opsets = dict(model.opset_imports)
        self._same: dict[ir.Value, ir.Value] = {}
        self._agreeing: dict[ir.Node, frozenset[int]] = {}
        self._results: dict[object, dict[object, _Result]] = {}
        self._steps = list(self._dependent(model.graph))
        self._outputs = [self._same.get(value, value) for value in model.graph.outputs]

    def _dependent(self, graph: ir.Graph) -> Iterator[_Step]:
        """The nodes whose shapes depend on the inputs, without those that keep the shape of their first input."""
        moving = {value for value in graph.inputs if value.const_value is None}
        for node in graph:
            inputs = node.inputs if op_name(node) != "CastLike" else node.inputs[:1]  # the other says the type
            if moving.isdisjoint(inputs) and not has_subgraph(node):
                continue
            moving.update(node.outputs)
            read = [None if value is None else self._same.get(value, value) for value in node.inputs]
            first = read[0] if op_name(node) in _SAME_SHAPE and len(node.outputs) == 1 else None
            if first is not None and first in moving and not _small(first):
                self._same[node.outputs[0]] = first
                continue
            present = [value for value in read if value is not None]
            small = tuple(value for value in node.inputs if value is not None and _small(value))
            varying = tuple(value for value in present if value in moving)
            known = self._results.setdefault(_signature(node, varying), {})
            yield _Step(node, tuple(read), varying, small, known)

    def run(self, inputs: Mapping[ir.Value, tuple[Dim, ...]]) -> list[_Shape]:
        """The shapes of the outputs.

        Raises:
            InvalidInputError: they contradict each other, one would be empty, or what had one size in the first
                trial that went well is now broadcast: a branch that shrank to 1 fits any other, and means nothing.
        """
        shapes: dict[ir.Value, _Shape] = dict(inputs)
        values, agreeing = ShapeValues(), {}
        for step in self._steps:
            result = self._infer(step, shapes, values)
            if isinstance(result, InvalidInputError):
                raise InvalidInputError(f"{op_name(step.node)} {step.node.name!r}: {result}")
            for output, dims in zip(step.node.outputs, result, strict=True):
                shapes[output] = dims
            if len(step.moving) > 1 and op_name(step.node) in BROADCASTING:
                agreeing[step.node] = _agreeing([shapes[value] for value in step.moving])
                if not agreeing[step.node] >= self._agreeing.get(step.node, frozenset()):
                    met = " and ".join(str(list(shapes[value] or ())) for value in step.moving)
                    raise InvalidInputError(f"{op_name(step.node)} {step.node.name!r}: {met}, of one size before")
        self._agreeing = self._agreeing or agreeing
        return [_shape(value, shapes) for value in self._outputs]

    def _infer(self, step: _Step, shapes: Mapping[ir.Value, _Shape], values: ShapeValues) -> _Result:
        self.visits += 1
        key: object = tuple([shapes[value] for value in step.moving])
        holds = step.node.op_type == "Shape"
        if holds:
            key = None  # the rank of its input, which no trial changes
        if step.small:
            contents = [values(value) for value in step.small]
            holds = holds or any(sizes is not None for sizes in contents)
            key = (key, *(sizes and tuple(sizes) for sizes in contents))
        result = step.known.get(key)
        if result is None:
            read = [() if value is None else _shape(value, shapes) for value in step.read]
            result = step.known[key] = self._evaluate(step.node, read, values)
        if holds:
            _note(step, shapes, result, values)
        return result

    def _evaluate(self, node: ir.Node, read: Sequence[_Shape], values: ShapeValues) -> _Result:
        try:
            result = self._dims(node, read, values)
        except InvalidInputError as error:
            return error
        for dims in result:
            if dims is not None and any(isinstance(size, int) and size < 1 for size in dims):
                return InvalidInputError(f"nothing is left of its output, {list(dims)}")
        if self.unknown is None and any(dims is None or not all(isinstance(d, int) for d in dims) for dims in result):
            self.unknown = f"{op_name(node)} {node.name!r}"
        return result

    def _dims(self, node: ir.Node, read: Sequence[_Shape], values: ShapeValues) -> list[_Shape]:
        """By our rule for the operator where there is one, else by onnx's."""
        self.visits += _BY_RULE
        rule, known = _RULES.get(op_name(node)), [dims for dims in read if dims is not None]
        if len(known) < len(read):
            return [None] * len(node.outputs)
        if rule is not None:
            try:
                dims = rule(node, known, values)
                return [None if dims is None else tuple(dims)] * len(node.outputs)
            except ValueError:  # left to onnx
                pass
        for value, shape in zip(node.inputs, known, strict=True):
            if value is not None and value.const_value is None:
                value.shape = ir.Shape(shape)
        self.visits += _BY_ONNX
        found: dict[ir.Value, _Shape] = {}

        def assign(output: ir.Value, dims: Dims | None, _: ir.DataType | None) -> bool:
            found[output] = None if dims is None else tuple(dims)
            return True

        infer_by_onnx(node, values, self._opsets, assign)
        return [found.get(output) for output in node.outputs]


def _scaled(node: ir.Node, shapes: Sequence[Dims], _: Contents) -> Dims:
    """The shape of the first input, into which scale and shift must broadcast."""
    if len(node.outputs) > 1:
        raise ValueError("left to onnx")
    for value, scale in zip(node.inputs[1:], shapes[1:], strict=True):
        pairs = zip(reversed(shapes[0]), reversed(scale), strict=False)
        if value is not None and not all(size == 1 or may_equal(own, size) for own, size in pairs):
            raise InvalidInputError(f"a scale or shift of {list(scale)} for elements of {list(shapes[0])}")
    return shapes[0]


_RULES = {**RULES, **dict.fromkeys(_SCALED, _scaled)}


def _note(step: _Step, shapes: Mapping[ir.Value, _Shape], result: _Result, values: ShapeValues) -> None:
    """Let shape arithmetic go on from the shapes of this trial."""
    if isinstance(result, InvalidInputError) or result[0] is None:
        return
    for value, source in zip(step.node.inputs, step.read, strict=True):
        dims = None if source is None else shapes.get(source)
        if value is not None and dims is not None:
            value.shape = ir.Shape(dims)
    step.node.outputs[0].shape = ir.Shape(result[0])
    values.follow(step.node)


def _shape(value: ir.Value, shapes: Mapping[ir.Value, _Shape]) -> _Shape:
    """Of this trial, or of a value that does not vary."""
    if value in shapes:
        return shapes[value]
    return None if value.shape is None else tuple(dims_of(value.shape))


def _agreeing(shapes: Sequence[_Shape]) -> frozenset[int]:
    """The axes, counted from the last, on which all shapes have the same size."""
    known = [shape[::-1] for shape in shapes if shape is not None]
    return frozenset(axis for axis, sizes in enumerate(zip(*known, strict=False)) if len(set(sizes)) == 1)


def _small(value: ir.Value) -> bool:
    """An integer scalar or vector that is computed: it may hold sizes."""
    integer = value.dtype is not None and value.dtype.is_integer()
    return value.const_value is None and integer and (value.shape is None or len(value.shape) < 2)


def _signature(node: ir.Node, varying: Sequence[ir.Value]) -> object:
    """Equal for nodes that give equal shapes for equal shapes; the node itself where that is not plain to see."""
    plain = (ir.AttributeType.INT, ir.AttributeType.INTS, ir.AttributeType.FLOAT, ir.AttributeType.STRING)
    if any(attribute.type not in plain for attribute in node.attributes.values()):
        return node
    by_shape = op_name(node) in CONVOLUTIONS | _SCALED | {"Gemm", "MatMul"}  # of their weights, only the shape counts
    inputs: list[object] = [
        "varying" if value in varying else str(value.shape) if value is not None and by_shape else value
        for value in node.inputs
    ]
    attributes = sorted((attribute.name, str(attribute.value)) for attribute in node.attributes.values())
    return (op_name(node), len(node.outputs), str(attributes), *inputs)
