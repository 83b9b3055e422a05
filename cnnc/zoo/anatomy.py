"""What a zoo net consists of, from its input to its classes: stages of one resolution, then the head.

Nothing of it is written down for each net. The head is what changes its shape with the number of classes, the stages
are seen in a forward pass on the meta device, which needs neither memory nor weights.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from cnnc.zoo import ZOO, ZooEntry, on_meta
from cnnc_runtime.errors import UsageError

__all__ = ["Parts", "Stage", "parts"]

_ONE_STAGE = 4  # a stem halves twice; a module that shrinks its input by more holds several stages


@dataclasses.dataclass(frozen=True)
class Stage:
    """Consecutive modules whose outputs have one resolution.

    Attributes:
        size: of the outputs, an extent for each spatial axis; () for fully connected layers.
        modules: names of those that have parameters, in the order in which they run.
    """

    size: tuple[int, ...]
    modules: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Parts:
    """A zoo net, taken apart.

    Attributes:
        stages: from the input, of parallel streams one after the other; without the head.
        head: names of the modules whose shape depends on the number of classes: the last layer, or one of each of
            the classifiers that a net averages.
        head_axes: each of the head's tensors -> the axis that counts the classes.
        order: every module that runs -> its place, by the start of its first call.
    """

    stages: tuple[Stage, ...]
    head: tuple[str, ...]
    head_axes: dict[str, int]
    order: dict[str, int]

    def is_head(self, name: str) -> bool:
        """Whether a module or tensor of this name belongs to the head."""
        return any(name == module or name.startswith(f"{module}.") for module in self.head)


@functools.cache
def parts(name: str) -> Parts:
    """Take the zoo net `name` apart.

    Raises:
        UsageError: no net has that name.
    """
    classes = ZOO[name].num_classes if name in ZOO else None
    net, other = on_meta(name, classes), on_meta(name, None if classes is None else classes + 1)
    shapes = {key: value.shape for key, value in other.state_dict().items()}
    axes = {
        key: next(axis for axis, (a, b) in enumerate(zip(value.shape, shapes[key], strict=True)) if a != b)
        for key, value in net.state_dict().items()
        if value.shape != shapes[key]
    }
    if not axes:
        raise UsageError(f"{name} has no layer that counts classes")
    found = Parts((), tuple(dict.fromkeys(key.rpartition(".")[0] for key in axes)), axes, {})
    calls = _run(net, ZOO[name])
    order = {module: place for place, module in enumerate(calls)}
    units = sorted(_units("", net, found, calls), key=order.__getitem__)
    stages = tuple(
        Stage(size, tuple(group)) for size, group in itertools.groupby(units, key=lambda unit: calls[unit].after)
    )
    return dataclasses.replace(found, stages=stages, order=order)


@dataclasses.dataclass
class _Call:
    """The spatial size of a module's input and output, at its first call."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


def _run(net: nn.Module, entry: ZooEntry) -> dict[str, _Call]:
    """Every module that is called, in the order of the calls."""
    calls: dict[str, _Call] = {}

    def start(name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        calls.setdefault(name, _Call(before=_spatial(args)))

    def end(name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        calls[name].after = calls[name].after or _spatial(output)

    for name, module in net.named_modules():
        module.register_forward_pre_hook(functools.partial(start, name))
        module.register_forward_hook(functools.partial(end, name))
    others = {name: torch.zeros(1, *shape, device="meta") for name, shape in entry.other_inputs}
    with torch.no_grad():
        net(torch.zeros(1, *entry.input_shape, device="meta"), **others)
    return calls


def _spatial(value: Any) -> tuple[int, ...]:
    """The axes behind batch and channels of the first tensor in `value`."""
    while not isinstance(value, torch.Tensor):
        if not value:
            return ()
        value = next(iter(value.values() if isinstance(value, dict) else value))
    return tuple(value.shape[2:])


def _units(name: str, module: nn.Module, found: Parts, calls: dict[str, _Call]) -> Iterator[str]:
    """The largest modules with parameters that lie within one stage: blocks, and layers between them; not the head."""
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}" if name else child_name
        if found.is_head(path) or not any(True for _ in child.parameters()):
            continue
        holds_head = any(head.startswith(f"{path}.") for head in found.head)
        if type(child) in (nn.Sequential, nn.ModuleList) or holds_head or _spans_stages(child, calls[path]):
            yield from _units(path, child, found, calls)
        else:
            yield path


def _spans_stages(module: nn.Module, call: _Call) -> bool:
    shrinks = any(before > _ONE_STAGE * after for before, after in zip(call.before, call.after, strict=False))
    return shrinks and any(True for _ in module.children())
