"""The image sizes that a graph takes, found by inferring its shapes for each size in a range."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from cnnc.analysis.geometry.images import image_inputs, spatial_axes
from cnnc.analysis.geometry.trial import Trial
from cnnc_passes.dims import Dim, dims_of
from cnnc_runtime.errors import InvalidInputError

__all__ = ["ValidSizes", "valid_sizes"]

_SMALLEST_RANGE, _BEYOND = 256, 64  # sizes up to 256 are tried, or up to 64 above the one that the graph declares
_MOST_VISITS = 200_000  # of nodes: less than a second; 1,000 convolutions with shortcuts use it up at 70 sizes an axis
_MOST_NODES = 5_000  # beyond, even the preparation takes longer than the rest of an analysis
_USUAL = (224, 256, 64, 32, 128, 512, 299, 96, 16, 8)  # tried first where the graph leaves its sizes open


@dataclasses.dataclass(frozen=True)
class ValidSizes:
    """The sizes of one spatial axis of the image that the graph takes, the other axes at their own size.

    Attributes:
        axis: of the graph's input.
        text: `only 224`, `any from 29`, `multiples of 16 from 32`, `193 to 224`.
        minimum: the smallest found; None if there is none.
        multiple: sizes from the minimum on are the minimum plus multiples of this; None where they follow no such law.
        sizes: all that were found valid.
        tested: all sizes from 1 to this one were tried; where that is less than planned, `text` says so.
        below: why the size just below the minimum is not valid.
        unknown: a node whose shapes cannot be inferred, after which contradictions go unseen.
    """

    axis: int
    text: str
    minimum: int | None
    multiple: int | None
    sizes: tuple[int, ...]
    tested: int
    below: str | None = None
    unknown: str | None = None


def valid_sizes(model: ir.Model, sizes: Mapping[str, int] | None = None) -> tuple[ValidSizes, ...]:
    """Of each spatial axis of the first image-like input: which sizes give a graph without contradictions.

    Valid: every size of every value is at least 1, branches that meet agree, and the outputs keep the batch. Branches
    that agree in size at the graph's own are not broadcast at another, though ONNX would.
    What is reported is the graph's: a Reshape to constants pins a size that the module it came from left free.
    Other image-like inputs with the same spatial sizes vary with the first.

    Args:
        model: with inferred shapes, functions inlined and constants as initializers; it stays as it is.
        sizes: values of open sizes; an open batch counts as 1, other open sizes are chosen if not given.

    Returns:
        nothing where there is no such input, or more than 5,000 nodes. At most 200,000 nodes are visited: of a very
        large net `tested` is smaller than it would be, and says so.

    Raises:
        InvalidInputError: the graph contradicts itself at the sizes that it declares.
    """
    images = image_inputs(model.graph)
    if not images or model.graph.num_nodes() > _MOST_NODES:
        return ()
    search = _Search(Trial(model), model.graph, dict(sizes or {}))
    if not search.settle():
        none = f"none of {len(_USUAL)} usual sizes"
        return tuple(ValidSizes(axis, none, None, None, (), 0) for axis in search.axes)
    return tuple(search.along(position) for position in range(len(search.axes)))


class _Search:
    """One model's trials: its inputs' shapes with the spatial sizes of the images as variables."""

    def __init__(self, trial: Trial, graph: ir.Graph, sizes: Mapping[str, int]) -> None:
        images = image_inputs(graph)
        self.axes = spatial_axes(images[0])
        self._trial = trial
        self._shapes = [_numbers(value, sizes) for value in graph.inputs]
        of = [
            [shape[axis] for axis in self.axes] if value in images and len(shape) > max(self.axes) else None
            for value, shape in zip(graph.inputs, self._shapes, strict=True)
        ]
        declared = next(spatial for spatial, value in zip(of, graph.inputs, strict=True) if value is images[0])
        assert declared is not None
        self._varied = [spatial == declared for spatial in of]
        self._declared = declared
        self._leading: list[object] = []

    def settle(self) -> bool:
        """Choose the open sizes, so that the graph is valid; False if none of the usual sizes does."""
        open_axes = [size for size in self._declared if size is None]
        for usual in _USUAL if open_axes else (0,):
            base = [usual if size is None else size for size in self._declared]
            try:
                outputs = self._run(base)
            except InvalidInputError:
                if not open_axes:
                    raise
                continue
            self._base, self._leading = base, [dims[0] if dims else None for dims in outputs]
            return True
        return False

    def _run(self, spatial: Sequence[int]) -> list[tuple[Dim, ...] | None]:
        inputs: dict[ir.Value, tuple[Dim, ...]] = {}
        for value, shape, varied in zip(self._trial.inputs, self._shapes, self._varied, strict=True):
            replaced = dict(zip(self.axes, spatial, strict=True)) if varied else {}
            sizes = (replaced.get(axis, 1 if size is None else size) for axis, size in enumerate(shape))
            inputs[value] = tuple(sizes)
        return self._trial.run(inputs)

    def along(self, position: int) -> ValidSizes:
        """Vary one axis."""
        limit = max(_SMALLEST_RANGE, self._base[position] + _BEYOND)
        allowance = (_MOST_VISITS - self._trial.visits) // (len(self.axes) - position)
        end, valid, reasons, tested = self._trial.visits + allowance, [], {}, 0
        for size in range(1, limit + 1):
            if self._trial.visits > end:
                break
            tested, reason = size, self._objection(position, size)
            if reason is None:
                valid.append(size)
            else:
                reasons[size] = reason
        multiple, text = _step(valid, tested), _text(valid, _step(valid, tested), tested)
        if tested < limit:  # out of visits: what is known still holds
            own = self._base[position]
            text = f"{text if valid else own} (tried: up to {tested}, and {own})"
            valid += [own] if own > tested else []
        minimum = valid[0] if valid else None
        below = None if minimum is None else reasons.get(minimum - 1)
        return ValidSizes(
            self.axes[position], text, minimum, multiple, tuple(valid), tested, below, self._trial.unknown
        )

    def _objection(self, position: int, size: int) -> str | None:
        spatial = [*self._base[:position], size, *self._base[position + 1 :]]
        try:
            outputs = self._run(spatial)
        except InvalidInputError as error:
            return str(error)
        for dims, leading in zip(outputs, self._leading, strict=True):
            if dims and dims[0] != leading == 1:
                return f"a batch of 1 becomes {dims[0]}"
        return None


def _numbers(value: ir.Value, sizes: Mapping[str, int]) -> list[int | None]:
    """A declared shape; None for sizes that nobody gave, 1 for such a batch."""
    dims = dims_of(value.shape or ())
    known = [size if isinstance(size, int) else sizes.get(str(size.value)) for size in dims]
    return [1 if size is None and axis == 0 else size for axis, size in enumerate(known)]


def _step(valid: Sequence[int], tested: int) -> int | None:
    """The k of minimum, minimum + k, ... up to the end of the range."""
    if len(valid) < 2:
        return None
    step = valid[1] - valid[0]
    return step if list(range(valid[0], tested + 1, step)) == list(valid) else None


def _text(valid: Sequence[int], step: int | None, tested: int) -> str:
    if not valid:
        return f"none up to {tested}"
    first, last = valid[0], valid[-1]
    if len(valid) == 1:
        return f"only {first}"
    if step == 1:
        return "any" if first == 1 else f"any from {first}"
    if step is not None:
        return f"multiples of {step} from {first}" if first % step == 0 else f"{first} and every {step} further"
    if last - first + 1 == len(valid):
        return f"{first} to {last}"
    some = ", ".join(map(str, valid[:4])) + (", ..." if len(valid) > 4 else "")
    return f"{len(valid)} of the sizes up to {tested}: {some}"
