"""What an examination gives: findings in sections, each with its state and the way out."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

__all__ = ["SCHEMA", "Checkup", "Finding", "State"]

SCHEMA = 1
"""Of `Checkup.to_dict`: raised when a field changes its meaning or goes."""

State = Literal["ok", "missing", "problem"]
"""`missing` is optional, and not there; `problem` is in the way of something."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        section, name: where it stands, and what it is.
        state: whether it is as it should be.
        value: what was found, in words.
        advice: what to do; empty where there is nothing to do.
        data: the same for machines.
    """

    section: str
    name: str
    state: State
    value: str
    advice: str = ""
    data: Any = None


@dataclasses.dataclass(frozen=True)
class Checkup:
    """All findings, and whether a network can run on the CPU here."""

    findings: tuple[Finding, ...]
    cpu_works: bool

    def of(self, name: str) -> Finding:
        """The finding of a name; KeyError if there is none."""
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(name)

    def problems(self) -> list[Finding]:
        """What is in the way of something."""
        return [finding for finding in self.findings if finding.state == "problem"]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "schema": SCHEMA,
            "cpu_works": self.cpu_works,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }
