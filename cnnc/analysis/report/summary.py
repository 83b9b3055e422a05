"""The head of the page: the totals, and what is said once for the whole model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from cnnc.analysis.report.measured import unread_input, valid_sizes
from cnnc.analysis.report.text import human_float, seconds
from cnnc.analysis.result import Analysis
from cnnc.analysis.units import human

if TYPE_CHECKING:
    from cnnc.analysis.timing.result import Timing

__all__ = ["Fact", "facts", "kind_rows", "tiles"]

_UNITS = {"macs": "MACs", "flops": "FLOPs"}


@dataclasses.dataclass(frozen=True)
class Fact:
    """A figure of the summary: its name, itself, and what there is to add, a line each."""

    label: str
    value: str
    notes: tuple[str, ...] = ()


def tiles(analysis: Analysis) -> tuple[Fact, ...]:
    """The totals, in human units with the exact number below."""
    totals, memory = analysis.totals, analysis.memory
    peak = f"while {memory.peak_layer} runs" if memory.peak_layer else ""
    return (
        Fact("Parameters", human(totals.params), (f"{totals.params:,}",)),
        Fact("MACs", human(totals.macs), (f"{totals.macs:,}",)),
        Fact("FLOPs", human(totals.flops), (f"{totals.flops:,}",)),
        Fact("Weights", human(totals.weight_bytes, "B"), (f"{totals.weight_bytes:,} bytes",)),
        Fact("Peak activations", human(totals.peak_activation_bytes, "B"), (peak,)),
        Fact("Without convolutions", human(totals.fully_connected.params), _without(analysis)),
    )


def _without(analysis: Analysis) -> tuple[str, ...]:
    ratio = analysis.totals.ratio
    return (f"parameters, {human_float(ratio)} times as many",) if ratio else ("parameters",)


def facts(analysis: Analysis) -> tuple[Fact, ...]:
    """What else is known of the model; what it does not have is left out."""
    constants, source = analysis.constants, analysis.source
    found = [
        Fact("Convention", analysis.convention),
        Fact("Layers", f"{len(analysis.layers):,}"),
        *(Fact(f"{_UNITS.get(name, name)} in the open sizes", text) for name, text in analysis.expressions.items()),
        Fact(
            "Constants",
            f"{constants.learned:,} learned; {constants.statistics:,} running statistics; {constants.other:,} others",
        ),
        Fact("Weights and activations", human(analysis.memory.at_batch(analysis.batch), "B"), ("at the peak",)),
    ]
    if valid := valid_sizes(analysis):
        found.append(Fact("Valid input sizes", valid))
    if unread := unread_input(analysis):
        found.append(Fact("Of the input never read", unread))
    if analysis.timing is not None:
        found.append(_latency(analysis.timing))
    if source:
        found.append(
            Fact(
                "Before the rewrites",
                "; ".join(f"{_UNITS.get(k, k.replace('_', ' '))} {v:,}" for k, v in source.items()),
            )
        )
    if analysis.uncounted:
        found.append(Fact("FLOPs not known of", ", ".join(f"{op} ({n})" for op, n in analysis.uncounted.items())))
    return tuple(found)


def _latency(timing: Timing) -> Fact:
    low, high = map(seconds, timing.latency_range)
    notes = (f"median of {timing.runs} runs, {low} to {high};", f"roof from {timing.ceilings.how}")
    return Fact("Latency on this machine", seconds(timing.latency_seconds), notes)


def kind_rows(analysis: Analysis) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Kind, then layers, parameters, MACs, FLOPs, bytes read and written."""
    return tuple(
        (
            kind,
            (
                f"{totals.layers:,}",
                f"{totals.params:,}",
                f"{totals.macs:,}",
                f"{totals.flops:,}",
                human(totals.read_bytes, "B"),
                human(totals.written_bytes, "B"),
            ),
        )
        for kind, totals in analysis.by_kind().items()
    )
