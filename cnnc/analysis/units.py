"""Numbers and operators as people read them: `61.7 k`, `FusedConv`."""

from __future__ import annotations

__all__ = ["human", "short_op"]

_PREFIXES = ("", "k", "M", "G", "T", "P")


def human(number: int, unit: str = "") -> str:
    """Three digits and the unit: 456, 61.7 k, 15.5 G; exact below 1000."""
    if number < 1000:
        return f"{number} {unit}".rstrip()
    scale = min((len(str(number)) - 1) // 3, len(_PREFIXES) - 1)
    value = number / 1000**scale
    if value >= 999.5 and scale < len(_PREFIXES) - 1:  # 999,600 is 1.00 M, not 1000 k
        scale, value = scale + 1, value / 1000
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f} {_PREFIXES[scale]}{unit}"


def short_op(op: str) -> str:
    """Without its domain, and abbreviated as PyTorch's modules are: `FusedConv`, `BatchNorm`, `AvgPool`."""
    name = op.rpartition("::")[2]
    return name.replace("Normalization", "Norm").replace("AveragePool", "AvgPool")
