"""What `cnnc analyze` shows beyond the layers where it is asked: each part as JSON data, and as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from cnnc.analysis import Analysis

__all__ = ["Section", "optional_sections"]


@dataclasses.dataclass(frozen=True)
class Section:
    """One part: its key in the JSON document, what stands there, and how it is printed."""

    key: str
    data: Any
    print: Callable[[Console], None]


def optional_sections(
    analysis: Analysis, other: Analysis | None, conventions: Sequence[str], *, prove: bool, fit: int | None
) -> list[Section]:
    """The parts that were asked for, in the order in which they are shown."""
    found = []
    if analysis.timing is not None:
        found.append(_timing(analysis))
    if analysis.activations is not None:
        found.append(_activations(analysis))
    if conventions:
        found.append(_conventions(analysis, conventions))
    if prove:
        found.append(_proofs(analysis))
    if fit is not None:
        found.append(_fit(analysis, fit))
    if other is not None:
        found.append(_comparison(analysis, other))
    return found


def _lines(key: str, data: Any, lines: Sequence[str]) -> Section:
    def show(console: Console) -> None:
        for line in lines:
            console.print(line, highlight=False, markup=False)

    return Section(key, data, show)


def _timing(analysis: Analysis) -> Section:
    from cnnc.analysis.timing import print_timing

    timing = analysis.timing
    assert timing is not None
    return Section("timing", timing.to_dict(), lambda console: print_timing(timing, console))


def _activations(analysis: Analysis) -> Section:
    from cnnc.analysis.activations import print_activations

    health = analysis.activations
    assert health is not None
    return Section("activations", health.to_dict(), lambda console: print_activations(health, console))


def _conventions(analysis: Analysis, names: Sequence[str]) -> Section:
    from cnnc.analysis.conventions import count

    counts = [count(analysis.model, name, analysis.sizes) for name in names]
    lines = [f"{found.convention}: {found.total:,} {found.unit}; {found.note}" for found in counts]
    return _lines("conventions", [dataclasses.asdict(found) for found in counts], lines)


def _proofs(analysis: Analysis) -> Section:
    from cnnc.analysis.toeplitz import prove_dense

    proofs = prove_dense(analysis)
    lines = [str(proof) for proof in proofs] or ["there is no convolution to be proved"]
    return _lines("dense_proofs", [dataclasses.asdict(proof) for proof in proofs], lines)


def _fit(analysis: Analysis, limit: int) -> Section:
    batch = analysis.memory.largest_batch(limit)
    needs = {number: analysis.memory.at_batch(number) for number in sorted({1, batch or 1, batch + 1})}
    data = {"limit_bytes": limit, "largest_batch": batch, "bytes": needs}
    sizes = "; ".join(f"batch {n} needs {needed:,} bytes" for n, needed in needs.items())
    fits = f"a batch of {batch:,} fits in {limit:,} bytes" if batch else f"not even one input fits in {limit:,} bytes"
    return _lines("fit", data, [f"{fits}: weights and live activations; {sizes}"])


def _comparison(analysis: Analysis, other: Analysis) -> Section:
    from cnnc.analysis.compare import compare
    from cnnc.analysis.compare_table import print_comparison

    comparison = compare(analysis, other)
    return Section("comparison", comparison.to_dict(), lambda console: print_comparison(comparison, console))
