"""The engines of this process: how many there are, and what a fork does to them.

onnxruntime's threads and the GPU's context stay behind in the parent. A child that used an engine of its parent's
would wait for ever; here it gets an error that says what to do instead.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

__all__ = ["FORKED", "add", "count", "remove"]

FORKED = (
    "this process was forked after the engine was loaded, and the engine's threads stayed behind: "
    'load it after the fork, or start processes with multiprocessing.get_context("spawn")'
)

_engines: weakref.WeakSet[Any] = weakref.WeakSet()


def add(engine: Any) -> None:
    """It counts from now on; in a process forked from this one, `engine.retire(FORKED)` is called before all else."""
    _engines.add(engine)


def remove(engine: Any) -> None:
    """It is closed."""
    _engines.discard(engine)


def count() -> int:
    """Engines that are open."""
    return len(_engines)


def _retire_all() -> None:
    for engine in list(_engines):
        # Its destructor would join threads that this process does not have, and never return.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine.session))
        engine.retire(FORKED)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_retire_all)
