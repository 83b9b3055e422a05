"""The parameters of each module of an exported graph, with their sizes, by the names they have in the module."""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnx_ir as ir

from cnnc.analysis.conventions.origin import Origin
from cnnc_passes.learned import learned_values

__all__ = ["own_parameters"]

_SIGNATURE = "pkg.torch.export.ExportedProgram.graph_signature"
_PARAMETER = re.compile(r"^\w+: PARAMETER target='([^']+)'", re.MULTILINE)
_BY_PLACE = ("weight", "bias")  # the order in which operators and modules have them


def own_parameters(graph: ir.Graph, origins: Mapping[ir.Node, Origin]) -> dict[str, dict[str, int]]:
    """`{"conv1": {"weight": 450, "bias": 6}}`: by the module's path, those of the module itself, not of its parts.

    A parameter that the exporter stored in another form (a transposed weight) has lost its name; it is the constant
    that stands in its place.
    """
    recorded = _PARAMETER.findall(graph.metadata_props.get(_SIGNATURE, ""))
    named = {name: value.const_value.size for name, value in graph.initializers.items() if value.const_value}
    names: dict[str, list[str]] = {}
    for name in recorded:
        path, _, own = name.rpartition(".")
        names.setdefault(path, []).append(own)
    found: dict[str, dict[str, int]] = {}
    for path, unnamed in _unnamed(graph, origins, set(recorded)).items():
        prefix = f"{path}." if path else ""
        own_names = names.get(path, [] if recorded else _BY_PLACE)
        lost = [own for own in own_names if prefix + own not in named]
        kept = {own: named[prefix + own] for own in own_names if prefix + own in named}
        found[path] = kept | dict(zip(lost, unnamed, strict=False))
    return found


def _unnamed(graph: ir.Graph, origins: Mapping[ir.Node, Origin], recorded: set[str]) -> dict[str, list[int]]:
    """The sizes of the learned constants of each module that do not have a parameter's name."""
    values: dict[str, dict[ir.Value, int]] = {origin.path: {} for origin in origins.values()}
    for node in graph:
        for value in learned_values(node):
            if value.name not in recorded and value.const_value is not None:
                values[origins[node].path][value] = value.const_value.size
    return {path: list(sizes.values()) for path, sizes in values.items()}
