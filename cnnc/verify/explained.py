"""The truth of a heat map of a PyTorch module: torch.autograd on the module itself, no rule of ours.

The layer is found in the module's own forward, as the result of the first function of PyTorch's that has the values
of the graph's layer; of a module that the user named, that it is also what this module returns is checked. The class
score is differentiated with respect to it, and the maps are summed up here, from the definitions of Zhou et al.
(2016) and Selvaraju et al. (2017).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from cnnc.export import evaluating
from cnnc.verify.float64 import Float64Mode
from cnnc.verify.oracle import TorchOracle, buffers_kept
from cnnc.verify.tolerance import relative_error
from cnnc_passes.explain import HeatMap
from cnnc_runtime.errors import UnsupportedModelError

__all__ = ["AutogradOracle"]

Feed = Mapping[str, np.ndarray]
_NEAR = 1e-3  # of an item's magnitude: the engine's value in float32 beside PyTorch's in float64


class AutogradOracle:
    """A module's outputs, and after them the heat map of `heat_map` by torch.autograd.

    Args:
        network: the module's oracle.
        heat_map: what the graph computes.
        named: the layer as the user named it, if a name was given.
        outputs: the names of the graph's outputs that are the module's, in order.
        probes: feeds to find the layer on, each with the graph's own values of the layer and the logits on it.

    Raises:
        UnsupportedModelError: no function of PyTorch's in the module's forward gives the layer, or the logits.
    """

    def __init__(
        self,
        network: TorchOracle,
        heat_map: HeatMap,
        named: str | None,
        outputs: Sequence[str],
        probes: Sequence[tuple[Feed, Mapping[str, np.ndarray]]],
    ) -> None:
        self._module, self._constants = network.module, network.constants
        self._heat_map, self._score = heat_map, outputs.index(heat_map.score)
        self._calls: dict[str, int] = {}
        for name in {heat_map.layer, heat_map.logits}:
            self._calls[name] = self._locate(name, named if name == heat_map.layer else None, probes)
        self.description = f"{network.description}, its heat map by torch.autograd"

    def exact(self, feed: Feed) -> list[np.ndarray]:
        """Every output, then the heat map, in float64."""
        try:
            with buffers_kept(self._module), Float64Mode():
                return self._explained(_widen(feed))
        except RuntimeError as error:
            raise UnsupportedModelError(
                f"the network cannot be run in float64 to be proved: {str(error).splitlines()[0]}"
            ) from error

    def original(self, feed: Feed) -> list[np.ndarray]:
        """Every output in the module's own precision, then the heat map, computed in it and given as float32."""
        with buffers_kept(self._module):
            *outputs, heat = self._explained(feed)
        return [*outputs, heat.astype(np.float32)]

    def _explained(self, feed: Feed) -> list[np.ndarray]:
        asked = feed.get(self._heat_map.class_input or "")
        watch = _Watch(self._calls[self._heat_map.layer], self._calls[self._heat_map.logits])
        with watch:
            outputs = self._run(feed)
            layer, logits = watch.layer, watch.logits
            if layer is None or logits is None:
                raise UnsupportedModelError("the network computes less on this input than on the one it was traced on")
            classes = outputs[self._score].detach().argmax(1)
            if asked is not None:
                given = torch.from_numpy(asked.copy())
                classes = torch.where(given < 0, classes, given)
        with torch.enable_grad():
            picked = logits.gather(1, classes[:, None]).sum()
            (gradient,) = torch.autograd.grad(picked, layer, allow_unused=True) if picked.requires_grad else (None,)
        if gradient is None:
            raise UnsupportedModelError(
                f"the module's forward cuts the gradient between {self._heat_map.layer!r} and the score (no_grad or "
                "detach): choose a layer after that"
            )
        heat = _heat(self._heat_map.method, layer.detach(), gradient)
        return [*(x.detach().numpy() for x in outputs), heat.numpy()]

    def _run(self, feed: Feed) -> list[torch.Tensor]:
        inputs = {name: torch.from_numpy(x.copy()) for name, x in feed.items() if name != self._heat_map.class_input}
        with evaluating(self._module), torch.no_grad():
            out = self._module(**inputs, **self._constants)
        return [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]

    def _locate(self, name: str, named: str | None, probes: Sequence[tuple[Feed, Mapping[str, np.ndarray]]]) -> int:
        candidates: set[int] | None = None
        for feed, values in probes:
            finder = _Finder(values[name])
            with buffers_kept(self._module), _returned(self._module, named) as returned, Float64Mode(), finder:
                self._run(_widen(feed))
            if returned and not any(_is_near(x, values[name]) for x in returned):
                raise UnsupportedModelError(
                    f"value {name!r} of the exported graph is not what module {named!r} returns"
                )
            candidates = finder.found if candidates is None else candidates & finder.found
        if not candidates:
            raise UnsupportedModelError(
                f"value {name!r} of the graph is the result of no function of PyTorch's in the module's forward, so "
                "torch.autograd cannot check its heat map: name a module, --explain gradcam:MODULE (or --no-verify)"
            )
        return min(candidates)  # an alias that follows is a way from it to the score


def _heat(method: str, layer: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The definitions, of a layer (N, K, ...): CAM sums W[c, k] A_k, and W[c, k] is the sum of d score_c / d A_k."""
    places = list(range(2, layer.ndim))
    if method == "cam":
        return (gradient.sum(places, keepdim=True) * layer).sum(1)
    return torch.relu((gradient.mean(places, keepdim=True) * layer).sum(1))


class _Watch(TorchFunctionMode):
    """Counts the functions of PyTorch's as they are called; from the layer on, gradients are kept."""

    def __init__(self, layer: int, logits: int) -> None:
        super().__init__()
        self._layer_call, self._logits_call, self._count = layer, logits, 0
        self.layer: torch.Tensor | None = None
        self.logits: torch.Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call one function."""
        out = func(*args, **(kwargs or {}))
        if not isinstance(out, torch.Tensor):
            return out
        call, self._count = self._count, self._count + 1
        if call == self._layer_call:
            self.layer = out.detach().requires_grad_()
            torch.set_grad_enabled(True)  # ends with the forward's own no_grad
            out = self.layer.clone()  # what changes it in place, as many a ReLU does, must not reach the layer
        if call == self._logits_call:
            self.logits = out
        return out


class _Finder(TorchFunctionMode):
    """Counts as `_Watch`, and notes the calls whose result is near `values`."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        self._values, self._count = values, 0
        self.found: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call one function."""
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            if _is_near(out, self._values):
                self.found.add(self._count)
            self._count += 1
        return out


def _widen(feed: Feed) -> Feed:
    return {name: x.astype(np.float64) if x.dtype.kind == "f" else x for name, x in feed.items()}


def _is_near(x: Any, values: np.ndarray) -> bool:
    if not isinstance(x, torch.Tensor) or tuple(x.shape) != values.shape or not x.is_floating_point():
        return False
    return relative_error(x.detach().double().numpy(), values.astype(np.float64)) < _NEAR


@contextlib.contextmanager
def _returned(module: nn.Module, name: str | None) -> Any:
    """What the submodule `name` returns on each call; nothing where there is none of that name."""
    found: list[torch.Tensor] = []
    submodule = dict(module.named_modules()).get(name or "?")
    if submodule is None:
        yield found
        return

    def keep(_: nn.Module, __: Any, out: Any) -> None:
        found.extend(x.detach().clone() for x in tree_leaves(out) if isinstance(x, torch.Tensor))

    handle = submodule.register_forward_hook(keep)
    try:
        yield found
    finally:
        handle.remove()
