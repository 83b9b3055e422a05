"""A node -> the PyTorch call that it came from, as torch.onnx recorded it: modules, function, line of code."""

from __future__ import annotations

import ast
import dataclasses
import re

import onnx_ir as ir

from cnnc_passes.rewrite import op_name

__all__ = ["Origin", "origin_of"]

_SCOPES = "pkg.torch.onnx.name_scopes"  # a Python list: ['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d_1']
_CLASSES = "pkg.torch.onnx.class_hierarchy"  # of the same length, [..., 'torch.nn.modules.conv.Conv2d', 'aten.conv2d']
_STACK = "pkg.torch.onnx.stack_trace"  # its last line is the code that called the function
_TORCH = "torch.nn.modules."
# A function that torch.export took apart or renamed -> how the line of code may call it.
_SPELLINGS = {
    **dict.fromkeys(("mean", "index", "avg_pool1d", "avg_pool2d", "avg_pool3d"), "adaptive_avg_pool"),
    **dict.fromkeys(("amax", "max_pool1d", "max_pool2d", "max_pool3d"), "adaptive_max_pool"),
    "hardtanh": "relu6",
}
_THROUGH = {"F": "F", "functional": "F", "torch": "torch", None: "name"}
# An operator of a graph without a record -> the module of torch.nn ({n} spatial axes) and the function it calls.
_MODULES = {
    "Conv": ("Conv{n}d", "conv{n}d"),
    "com.microsoft::FusedConv": ("Conv{n}d", "conv{n}d"),
    "ConvTranspose": ("ConvTranspose{n}d", "conv_transpose{n}d"),
    "Gemm": ("Linear", "linear"),
    "BatchNormalization": ("BatchNorm{n}d", "batch_norm"),
    "InstanceNormalization": ("InstanceNorm{n}d", "instance_norm"),
    "LayerNormalization": ("LayerNorm", "layer_norm"),
    "GroupNormalization": ("GroupNorm", "group_norm"),
    "Relu": ("ReLU", "relu"),
    "PRelu": ("PReLU", "prelu"),
    "LeakyRelu": ("LeakyReLU", "leaky_relu"),
    "Elu": ("ELU", "elu"),
    "Gelu": ("GELU", "gelu"),
    "Clip": ("ReLU6", "hardtanh"),
    "Softmax": ("Softmax", "softmax"),
    "MaxPool": ("MaxPool{n}d", "max_pool{n}d"),
    "AveragePool": ("AvgPool{n}d", "avg_pool{n}d"),
    "GlobalAveragePool": ("AdaptiveAvgPool{n}d", "adaptive_avg_pool{n}d"),
    "GlobalMaxPool": ("AdaptiveMaxPool{n}d", "adaptive_max_pool{n}d"),
}
_RESIZE = {"nearest": "upsample_nearest{n}d", "linear": "upsample_{lin}{n}d", "cubic": "upsample_bicubic2d"}


@dataclasses.dataclass(frozen=True)
class Origin:
    """The call that a node came from.

    Attributes:
        path: of the innermost module, `layer1.0.conv1`; empty for the network itself.
        module: its class, `torch.nn.modules.conv.Conv2d`.
        call: a name that the nodes of one call of a function share.
        target: the function as torch.export has it, `conv2d`, `upsample_bilinear2d`.
        function: the function as the code has it, `conv2d`, `interpolate`.
        through: how the line in forward calls it: `F` for torch.nn.functional, `torch`, `method` of a tensor, `name`
            for a bare name; empty where the line does not show it, as for an operator (`x + y`).
    """

    path: str
    module: str
    call: str
    target: str
    function: str
    through: str

    @property
    def layer(self) -> str | None:
        """The class of a module of torch.nn itself, `Conv2d`; None for any other: tools count by the exact class."""
        return self.module.rpartition(".")[2] if self.module.startswith(_TORCH) else None

    @property
    def class_name(self) -> str:
        """The module's class without where it is defined."""
        return self.module.rpartition(".")[2]


def origin_of(node: ir.Node) -> Origin:
    """From what torch.onnx wrote; else from the operator."""
    scopes, classes = _strings(node, _SCOPES), _strings(node, _CLASSES)
    if not scopes or len(scopes) != len(classes):
        return _implied(node)
    target = _target(classes[-1])
    inside = [(path, module) for path, module in zip(scopes[:-1], classes[:-1], strict=True) if path[:1] != "_"]
    path, module = inside[-1] if inside else ("", "")
    line = node.metadata_props.get(_STACK, "").rstrip().rpartition("\n")[2]
    function, through = _spelled(target, line, module.startswith(_TORCH))
    return Origin(path, module, scopes[-1], target, function, through)


def _target(recorded: str) -> str:
    """`aten.conv2d.default` -> `conv2d`; the variants of batch normalization are one."""
    name = recorded.partition(".")[2].partition(".")[0]
    return "batch_norm" if "batch_norm" in name else name.removeprefix("_").removeprefix("native_")


def _spelled(target: str, line: str, in_torch: bool) -> tuple[str, str]:
    """The function that the line of code calls, and through what."""
    if in_torch:
        called = re.search(r"\bF\.(\w+)\(", line)
        return (called[1], "F") if called else (target, "")
    names = r"interpolate|upsample" if "upsample" in target else re.escape(target)
    for pattern in (names, rf"{_SPELLINGS[target]}(?:[123]d)?" if target in _SPELLINGS else None):
        called = re.search(rf"(?:([\w)\]]+)\.)?(?<!\w)({pattern})\(", line) if pattern else None
        if called:
            return called[2], _THROUGH.get(called[1], "method")
    return "interpolate" if "upsample" in target else target, ""


def _implied(node: ir.Node) -> Origin:
    name, operator = node.name or str(node.outputs[0].name), op_name(node)
    shape = node.inputs[0].shape if node.inputs and node.inputs[0] is not None else None
    rank = len(shape) - 2 if shape is not None and len(shape) > 2 else 1
    if operator == "MatMul" and any(value is not None and value.const_value is not None for value in node.inputs):
        operator = "Gemm"
    if operator == "Resize":
        mode = _RESIZE.get(node.attributes.get_string("mode", "nearest") or "", "upsample")
        target = mode.format(n=rank, lin={1: "linear", 2: "bilinear"}.get(rank, "trilinear"))
        return Origin(name, f"{_TORCH}upsampling.Upsample", name, target, "interpolate", "F")
    if operator not in _MODULES:
        target = operator.lower()
        return Origin(name, "", name, target, target, "")
    layer, function = (text.format(n=rank) for text in _MODULES[operator])
    return Origin(name, f"{_TORCH}{layer}", name, function, function, "F")


def _strings(node: ir.Node, key: str) -> list[str]:
    try:
        strings = ast.literal_eval(node.metadata_props.get(key, "[]"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # written by whoever wrote the file
        return []
    return [str(string) for string in strings] if isinstance(strings, list) else []
