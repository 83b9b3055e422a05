"""Transfer learning: a zoo net with a checkpoint's weights, a head for other classes, and its first stages frozen.

Yosinski et al. (How Transferable Are Features in Deep Neural Networks?, 2014) measured how well the layers up to a
depth carry over to another task, frozen and not.
"""

from __future__ import annotations

import difflib
import functools
import logging
import os
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from cnnc.weights import load_state, read_checkpoint, strip_prefixes
from cnnc.zoo import build, on_meta
from cnnc.zoo.anatomy import Parts, parts
from cnnc_runtime.errors import UsageError

__all__ = ["freeze", "load"]

_log = logging.getLogger("cnnc")


def load(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    num_classes: int | None = None,
    new_head: bool = False,
    freeze: int | str | None = None,
    seed: int = 0,
) -> nn.Module:
    """A zoo net in eval mode with the weights of a checkpoint, ready to be trained on.

    The head (the last layer, see `parts`) is drawn anew where the checkpoint's has another number of classes, or has
    none at all; everything else must be there. The logger "cnnc" says what was loaded and what is new.

    Args:
        name: a key of `ZOO`.
        weights: a checkpoint (.pt, .pth, .safetensors), which is never executed; random weights if None.
        num_classes: of the net; None for as many as the checkpoint's head has.
        new_head: draw the head anew though the number of classes is the same: they are other classes.
        freeze: what not to train, see `freeze`.
        seed: of what is drawn.

    Raises:
        UsageError: no net has that name, the number of classes is not positive, or `freeze` does not fit the net.
        InvalidInputError: missing or unreadable file; missing, unexpected, mis-shaped or unusable tensors elsewhere
            than in a head that is new.
        UnsafeInputError: the checkpoint would run code.
        ResourceLimitError: it would unpack to far more than its size.
    """
    found = parts(name)
    if weights is None:
        net = build(name, seed=seed, num_classes=num_classes)
    else:
        net = _from_checkpoint(name, found, Path(weights), num_classes, new_head, seed)
    if freeze is not None:
        _freeze(net, name, freeze)
    return net


def freeze(net: nn.Module, name: str, depth: int | str | None) -> None:
    """Freeze the zoo net `name` from its input to a depth, in place, and nothing beyond it.

    Frozen parameters have `requires_grad` False. Frozen BatchNorms use their running statistics, and keep them, also
    after `net.train()`: otherwise the frozen part would go on changing with every batch.

    Args:
        net: what `load` or `build` gave; what was frozen before is forgotten, so that a net can be thawed in steps.
        name: a key of `ZOO`.
        depth: a number of stages, see `parts`; or the name of a module ("layer2", "features.10"), up to which, and
            with which, everything that runs is frozen; "body" for all but the head; None for nothing.

    Raises:
        UsageError: there is no such depth, or the head would be frozen, and nothing left to train.
    """
    found = parts(name)
    frozen = _frozen(found, name, depth)
    training = net.training
    for path, module in net.named_modules():
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(path not in frozen)
        if isinstance(module, _NormBase):
            module.__dict__.pop("train", None)
            if path in frozen and module.track_running_stats:
                module.train = functools.partial(_stay_in_eval, module)  # type: ignore[assignment, method-assign]
    net.train(training)
    if depth is not None:
        fixed = sum(p.numel() for p in net.parameters() if not p.requires_grad)
        _log.info("%s: %s of %s parameters are frozen", name, f"{fixed:,}", f"{_count(net):,}")


_freeze = freeze  # `load` has an argument of that name


def _from_checkpoint(
    name: str, found: Parts, path: Path, num_classes: int | None, new_head: bool, seed: int
) -> nn.Module:
    wanted = on_meta(name).state_dict()
    state = strip_prefixes(read_checkpoint(path), wanted)
    classes = _classes(found, state, wanted)
    net = build(name, seed=seed, num_classes=classes if num_classes is None else num_classes)
    head = [key for key in state if found.is_head(key)]
    if head and not new_head and (num_classes is None or num_classes == classes):
        load_state(net, state, path)
        _log.info("%s: %s has all %d tensors", name, path, len(state))
        return net
    new = set(found.head_axes)
    body = {key: value for key, value in state.items() if key not in head}
    load_state(net, body, path, new=new)
    shapes = net.state_dict()
    drawn = ", ".join(f"{key} {_shape(shapes[key])} ({_was(state.get(key))})" for key in found.head_axes)
    asked = new_head or num_classes is not None
    say = _log.info if asked else _log.warning
    say("%s: %d tensors are from %s; new, and not trained: %s", name, len(body), path, drawn)
    return net


def _classes(found: Parts, state: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> int | None:
    """How many classes the checkpoint's head has; None where it is not whole, or not this net's."""
    counts = set()
    for key, axis in found.head_axes.items():
        if key not in state or state[key].ndim != wanted[key].ndim:
            return None
        shape, expected = list(state[key].shape), list(wanted[key].shape)
        counts.add(shape.pop(axis))
        if shape != (expected.pop(axis), expected)[1]:
            return None
    return counts.pop() if len(counts) == 1 else None


def _frozen(found: Parts, name: str, depth: int | str | None) -> set[str]:
    """Names of the modules whose own parameters are frozen: those that start no later than what was asked for."""
    if depth is None:
        return set()
    if depth == "body":
        last = len(found.order)
    elif isinstance(depth, str):
        last = _last_inside(found, name, depth)
    elif isinstance(depth, bool) or not 0 <= depth <= len(found.stages):
        raise UsageError(f"{name} has {len(found.stages)} stages before its head: cannot freeze {depth}")
    else:
        units = [f"{unit}." for stage in found.stages[:depth] for unit in stage.modules]
        last = max((place for m, place in found.order.items() if f"{m}.".startswith(tuple(units))), default=-1)
    return {module for module, place in found.order.items() if place <= last and not found.is_head(module)}


def _last_inside(found: Parts, name: str, path: str) -> int:
    """The place of the last module within `path`."""
    inside = [place for module, place in found.order.items() if f"{module}.".startswith(f"{path}.")]
    if not inside:
        close = difflib.get_close_matches(path, [m for m in found.order if not found.is_head(m)], n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"give 'body', or a number of its {len(found.stages)} stages"
        raise UsageError(f"{name} has no module {path!r} to freeze up to; {hint}")
    heads = {module: found.order[module] for module in found.head}
    if max(inside) > max(heads.values()) or any(f"{head}.".startswith(f"{path}.") for head in heads):
        raise UsageError(f"freezing {name} up to {path!r} would freeze its head, {' and '.join(heads)}")
    return max(inside)


def _stay_in_eval(module: nn.Module, mode: bool = True) -> nn.Module:
    """`train` of a frozen BatchNorm, which knows no other mode."""
    return nn.Module.train(module, False)


def _count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _was(tensor: torch.Tensor | None) -> str:
    return "the checkpoint has none" if tensor is None else f"the checkpoint's is {_shape(tensor)}"
