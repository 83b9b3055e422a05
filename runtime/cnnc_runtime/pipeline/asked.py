"""The class that a run asks of an artifact's heat map: the same for every item, and in no file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnnc_runtime.engine import Engine
from cnnc_runtime.pipeline.items import Failure, Item
from cnnc_runtime.tensors import TensorSpec

__all__ = ["item_inputs", "with_class"]


def item_inputs(engine: Engine) -> tuple[TensorSpec, ...]:
    """The inputs that items are read for: all but the one that asks for a class."""
    name = _class_input(engine)
    return tuple(spec for spec in engine.inputs if spec.name != name)


def with_class(items: Iterator[Item | Failure], engine: Engine, asked: int | None) -> Iterator[Item | Failure]:
    """The items, each with the class where the artifact takes one: -1, the top class, if `asked` is None."""
    name = _class_input(engine)
    if name is None:
        return items
    feed = {name: np.array(-1 if asked is None else asked, np.int64)}
    return (item if isinstance(item, Failure) else Item(item.name, {**item.feed, **feed}) for item in items)


def _class_input(engine: Engine) -> str | None:
    said = engine.metadata.explanation if engine.metadata is not None else None
    return said.class_input if said is not None else None
