"""An analysis as JSON, CSV, or a pandas DataFrame."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from typing import TYPE_CHECKING, Any

from cnnc.analysis.layer import Layer
from cnnc.analysis.result import Analysis
from cnnc_runtime.errors import UsageError

if TYPE_CHECKING:
    import pandas

    from cnnc.analysis.geometry import ReceptiveField

__all__ = ["SCHEMA_VERSION", "as_csv", "as_dataframe", "as_dict", "as_json"]

SCHEMA_VERSION = 2


def as_dict(analysis: Analysis) -> dict[str, Any]:
    """Plain data, as docs/analysis.md describes it."""
    memory = analysis.memory
    return {
        "schema_version": SCHEMA_VERSION,
        "model": analysis.name,
        "batch": analysis.batch,
        "convention": analysis.convention,
        "totals": dataclasses.asdict(analysis.totals),
        "expressions": analysis.expressions,
        "by_kind": {kind: dataclasses.asdict(totals) for kind, totals in analysis.by_kind().items()},
        "constants": dataclasses.asdict(analysis.constants),
        "memory": {
            "weight_bytes": memory.weight_bytes,
            "peak_bytes": memory.peak_bytes,
            "peak_layer": memory.peak_layer,
            "timeline": [[moment.layer, moment.live_bytes] for moment in memory.timeline],
        },
        "uncounted": analysis.uncounted,
        "valid_sizes": list(analysis.valid_sizes),
        "unread_input": list(analysis.unread_input),
        "source": analysis.source,
        "layout_conversions": None if analysis.barriers is None else list(map(dataclasses.asdict, analysis.barriers)),
        "layers": [_layer(layer) for layer in analysis.layers],
        "timing": analysis.timing.to_dict() if analysis.timing else None,
        "activations": analysis.activations.to_dict() if analysis.activations else None,
    }


def as_json(analysis: Analysis) -> str:
    """One JSON document."""
    return json.dumps(as_dict(analysis))


def _layer(layer: Layer) -> dict[str, Any]:
    field = layer.receptive_field
    plain = {name: value for name, value in vars(layer).items() if not dataclasses.is_dataclass(value)}
    return {
        **plain,
        "ratio": layer.ratio,
        "intensity": layer.intensity,
        "fully_connected": dict(vars(layer.fully_connected)) if layer.fully_connected else None,
        "convolution": dict(vars(layer.convolution)) if layer.convolution else None,
        "receptive_field": _field(field) if field else None,
        "normalization": dict(vars(layer.normalization)) if layer.normalization else None,
    }


def _field(field: ReceptiveField) -> dict[str, Any]:
    """In numbers: fractions, which upsampling makes, as floats."""
    jump, start = (list(map(float, fractions)) for fractions in (field.jump, field.start))
    return {"image": field.image, "size": list(field.size), "local": list(field.local), "jump": jump, "start": start}


def _row(layer: Layer) -> dict[str, Any]:
    """What a table of plain cells can hold."""
    dense, field = layer.fully_connected, layer.receptive_field
    return {
        **{name: getattr(layer, name) for name in ("name", "output", "op", "kind")},
        "input_shapes": " ".join(map(_joined, layer.input_shapes)),
        "output_shape": _joined(layer.output_shape),
        "size_formula": "; ".join(layer.size_formula),
        **{name: getattr(layer, name) for name in ("params", "statistics", "macs", "flops")},
        **{name: getattr(layer, name) for name in ("weight_bytes", "read_bytes", "written_bytes")},
        "intensity": layer.intensity,
        "macs_share": layer.macs_share,
        "fully_connected_params": dense.params if dense else None,
        "fully_connected_macs": dense.macs if dense else None,
        "receptive_field": _joined(field.size) if field else None,
        "unread": "; ".join(filter(None, layer.unread)),
        "normalization": layer.normalization.text if layer.normalization else None,
    }


def as_csv(analysis: Analysis) -> str:
    """A header and one line a layer; what a layer does not have is empty."""
    rows = [_row(layer) for layer in analysis.layers]
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


_COLUMNS = (
    *("name", "output", "op", "kind", "input_shapes", "output_shape", "size_formula", "params", "statistics"),
    *("macs", "flops", "weight_bytes", "read_bytes", "written_bytes", "intensity", "macs_share"),
    *("fully_connected_params", "fully_connected_macs", "receptive_field", "unread", "normalization"),
)


def as_dataframe(analysis: Analysis) -> pandas.DataFrame:
    """A row a layer. Raises UsageError where pandas is not installed."""
    try:
        import pandas
    except ImportError as error:
        raise UsageError("to_dataframe needs pandas: pip install pandas, or use to_csv()") from error
    return pandas.DataFrame([_row(layer) for layer in analysis.layers], columns=list(_COLUMNS))


def _joined(shape: tuple[int, ...] | None) -> str:
    return "?" if shape is None else "x".join(map(str, shape))
