"""What the contract suite knows of each law: a module a law, named as its file in `cnnc_passes`.

A module gives SAMPLES, graphs on which the law applies exactly once; DECLINES, graphs in which one condition
alone is violated, by the reason that the law must give (or a part of it); and LEAVES, look-alikes of which the
law says nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from cnnc_passes.rewrite import Rewrite
from tests.contract.blocks import Sample

__all__ = ["DECLINES", "LAWS", "LEAVES", "SAMPLES"]


def _modules() -> dict[str, ModuleType]:
    names = sorted(info.name for info in pkgutil.iter_modules(__path__))
    return {name.replace("_", "-"): importlib.import_module(f"{__name__}.{name}") for name in names}


def _law(name: str) -> Rewrite:
    """The one Rewrite that the law's file defines."""
    module = importlib.import_module(f"cnnc_passes.laws.{name}")
    (law,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Rewrite) and value.__module__ == module.__name__
    )
    made: Rewrite = law()
    return made


def _tables(kind: str) -> dict[str, dict[str, Sample]]:
    return {law: getattr(module, kind, {}) for law, module in _modules().items()}


SAMPLES, DECLINES, LEAVES = _tables("SAMPLES"), _tables("DECLINES"), _tables("LEAVES")
LAWS = {law: _law(law.replace("-", "_")) for law in SAMPLES}
