"""The columns of the layer table: what a cell says, and the number or text that it sorts by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cnnc.analysis.layer import Layer
from cnnc.analysis.report.measured import layer_times, receptive_size
from cnnc.analysis.report.text import clean, human_float, json_for_script, normalization_text, seconds, shorten, size
from cnnc.analysis.result import Analysis
from cnnc.analysis.units import human

if TYPE_CHECKING:
    from cnnc.analysis.timing.result import LayerTime

__all__ = ["Column", "LayerTable", "layer_table"]

_EXACT = 2**53  # a larger integer is not one to JavaScript


@dataclasses.dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key, title, help: its name in the page, its heading, and what it means in a sentence.
        value: of a layer: what sorting compares; None where the layer has no such thing.
        text: of that value, as the cell shows it.
        total: the foot of the column.
        numeric: right-aligned, largest first.
        exact: a whole number that the page can show in full.
    """

    key: str
    title: str
    help: str
    value: Callable[[Layer], Any]
    text: Callable[[Any], str] = str
    total: Callable[[Analysis], str] = lambda _: ""
    numeric: bool = True
    exact: bool = False


@dataclasses.dataclass(frozen=True)
class LayerTable:
    """Cells by row, and the values behind them by column, as JSON for the page's script."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[str, ...]
    data: str


def layer_table(analysis: Analysis) -> LayerTable:
    """All layers; columns that are empty for every one of them are left out."""
    every = _columns(layer_times(analysis))
    values = {column: [column.value(layer) for layer in analysis.layers] for column in every}
    columns = tuple(column for column in every if any(value not in (None, "") for value in values[column]))
    cells = [[_cell(column, value) for value in values[column]] for column in columns]
    data = {
        "columns": [{"numeric": column.numeric, "exact": column.exact} for column in columns],
        "values": [[_sortable(value) for value in values[column]] for column in columns],
    }
    return LayerTable(
        columns=columns,
        rows=tuple(zip(*cells, strict=True)),
        totals=tuple(column.total(analysis) for column in columns),
        data=json_for_script(data),
    )


def _columns(times: Mapping[str, LayerTime]) -> tuple[Column, ...]:
    return (*_NAMES, *_COSTS, *_DENSE, *_GEOMETRY, *_NORMALIZATION, *(_timing(times) if times else ()))


_NAMES = (
    Column("name", "Layer", "Path of the PyTorch module, or name of the node", lambda layer: layer.name, numeric=False),
    Column("op", "Operator", "ONNX operator", lambda layer: _short(layer.op), numeric=False),
    Column("kind", "Kind", "What kind of layer it is", lambda layer: layer.kind, numeric=False),
    Column(
        "output", "Output", "Output shape, without the batch", lambda layer: size(layer.output_shape), numeric=False
    ),
    Column(
        "formula",
        "Output size",
        "How the output size comes about, per spatial axis",
        lambda layer: "; ".join(dict.fromkeys(layer.size_formula)),
        numeric=False,
    ),
)


def _count(key: str, title: str, help: str, unit: str = "", total: str = "") -> Column:
    """A whole number of `Layer`, with its sum over the model."""
    return Column(
        key,
        title,
        help,
        lambda layer: getattr(layer, key),
        lambda number: human(number, unit) if number else "",
        lambda analysis: human(getattr(analysis.totals, total), unit) if total else "",
        exact=True,
    )


_COSTS = (
    _count("params", "Params", "Learned values", total="params"),
    _count("statistics", "Statistics", "Running means and variances: measured, not learned"),
    _count("macs", "MACs", "Multiply-accumulates of convolution and fully connected layers", total="macs"),
    _count("flops", "FLOPs", "Floating-point operations; 1 MAC is 2", total="flops"),
    Column(
        "share",
        "Share",
        "Share of the model's MACs",
        lambda layer: layer.macs_share if layer.macs else None,
        lambda share: f"{share:.1%}",
    ),
    _count("weight_bytes", "Weights", "Bytes of its constants", "B", total="weight_bytes"),
    _count("read_bytes", "Read", "Bytes read from memory, if not fused with others", "B", total="read_bytes"),
    _count("written_bytes", "Written", "Bytes written to memory, if not fused with others", "B", total="written_bytes"),
    Column(
        "intensity",
        "Intensity",
        "Arithmetic intensity: FLOPs per byte read or written",
        lambda layer: layer.intensity if layer.flops else None,
        human_float,
    ),
)

_DENSE = (
    Column(
        "dense",
        "As FC",
        "Parameters of the fully connected layer from every input value to every output value",
        lambda layer: layer.fully_connected.params if layer.fully_connected else None,
        human,
        lambda analysis: human(analysis.totals.fully_connected.params),
        exact=True,
    ),
    Column(
        "ratio",
        "Ratio",
        "How many times the convolution's parameters that is",
        lambda layer: layer.ratio,
        lambda ratio: f"×{human_float(ratio)}",
        lambda analysis: f"×{human_float(analysis.totals.ratio)}" if analysis.totals.ratio else "",
    ),
)

_GEOMETRY = (
    Column(
        "field",
        "Receptive field",
        "Pixels of the input that one output value sees",
        lambda layer: max((side or 0 for side in receptive_size(layer)), default=None),
        human,
    ),
    Column(
        "unread",
        "Never read",
        "Rows or columns of its input that its window never reads",
        lambda layer: "; ".join(filter(None, layer.unread)),
        numeric=False,
    ),
)

_NORMALIZATION = (
    Column(
        "normalization",
        "Normalization",
        "What a normalization averages over; where it is several operators, at the first",
        lambda layer: normalization_text(layer.normalization) if layer.normalization else None,
        numeric=False,
    ),
    Column(
        "values_per_mean",
        "Values a mean",
        "How many values share one mean",
        lambda layer: layer.normalization.values_per_mean if layer.normalization else None,
        human,
        exact=True,
    ),
)


def _timing(times: Mapping[str, LayerTime]) -> tuple[Column, ...]:
    def measured(field: str) -> Callable[[Layer], Any]:
        return lambda layer: getattr(times.get(layer.output), field, None) or None  # 0 of what another kernel computes

    def percent(share: float) -> str:
        return f"{share:.1%}"

    return (
        Column("time", "Time", "Of one inference, measured on this machine", measured("seconds"), seconds),
        Column("time_share", "Time share", "Share of the time of all kernels", measured("share"), percent),
        Column("speed", "FLOP/s", "Attained, with what is fused into it", measured("flops_per_second"), human_float),
        Column("of_roof", "Of roof", "Attained share of what the roofline allows", measured("of_roof"), percent),
        Column("bound", "Bound", "What limits a layer of this intensity", measured("bound"), numeric=False),
        Column("fused", "Fused into", "The layer whose kernel computes it too", measured("fused_into"), numeric=False),
        Column("hint", "Hint", "Why it may be far from the roof", measured("hint"), numeric=False),
    )


def _cell(column: Column, value: Any) -> str:
    return "" if value is None else shorten(column.text(value))


def _sortable(value: Any) -> Any:
    """Integers beyond JavaScript's go as text."""
    if isinstance(value, int):
        return str(value) if abs(value) > _EXACT else value
    return clean(value) if isinstance(value, str) else value


def _short(op: str) -> str:
    return op.removeprefix("com.microsoft::")
