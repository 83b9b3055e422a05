"""What an artifact says of itself, in ONNX `metadata_props`: the compiler writes it, the engine reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cnnc_runtime.errors import InvalidInputError
from cnnc_runtime.maps.explanation import Explanation
from cnnc_runtime.preprocessing import Preprocessing

__all__ = ["Metadata"]

_PREFIX = "cnnc."


@dataclass(frozen=True)
class Metadata:
    """An artifact's description of itself.

    Attributes:
        version: the cnnc that compiled it.
        source: what was compiled, as the user named it.
        target: `onnxruntime`, `cpu` or `portable`.
        preprocessing: how an image becomes the input, or None where nobody said.
        labels: class names by index, or empty.
        input_ranges: the values that inputs may take, (lowest, highest) by name, where that was declared:
            rewrites and the proof rely on it.
        states: of a step function, the inputs that are states, each with the output that is its next value.
        explanation: of the heat map among its outputs, if there is one.
        report: what each pass changed, with the costs before and after.
        certificate: what was proved and how; None for an artifact that was not verified.
    """

    version: str
    source: str
    target: str
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()
    input_ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    explanation: Explanation | None = None
    report: dict[str, Any] | None = None
    certificate: dict[str, Any] | None = None

    def to_props(self) -> dict[str, str]:
        """As ONNX metadata: each key prefixed `cnnc.`, each value JSON. What is empty is left out."""
        values = {
            "version": self.version,
            "source": self.source,
            "target": self.target,
            "preprocessing": self.preprocessing and self.preprocessing.to_json(),
            "labels": list(self.labels) or None,
            "input_ranges": self.input_ranges or None,
            "states": self.states or None,
            "explain": self.explanation and self.explanation.to_json(),
            "report": self.report,
            "certificate": self.certificate,
        }
        return {_PREFIX + key: json.dumps(value) for key, value in values.items() if value is not None}

    @classmethod
    def from_props(cls, props: Mapping[str, str]) -> Metadata | None:
        """Read back what `to_props` wrote; None where no key is cnnc's (an ONNX file of another tool).

        Raises:
            InvalidInputError: a value is missing or malformed; the message names its key.
        """
        if not any(key.startswith(_PREFIX) for key in props):
            return None
        preprocessing = _read(props, "preprocessing", dict, None)
        labels = _read(props, "labels", list, [])
        if not all(isinstance(label, str) for label in labels):
            raise _malformed("labels", "expected a list of strings")
        states = _read(props, "states", dict, {})
        if not all(isinstance(output, str) for output in states.values()):
            raise _malformed("states", "expected an output's name for each")
        try:
            prepare = None if preprocessing is None else Preprocessing.from_json(preprocessing)
        except InvalidInputError as error:
            raise _malformed("preprocessing", str(error)) from error
        return cls(
            version=_read(props, "version", str),
            source=_read(props, "source", str),
            target=_read(props, "target", str),
            preprocessing=prepare,
            labels=tuple(labels),
            input_ranges=_ranges(_read(props, "input_ranges", dict, {})),
            states=states,
            explanation=_explanation(_read(props, "explain", dict, None)),
            report=_read(props, "report", dict, None),
            certificate=_read(props, "certificate", dict, None),
        )


def _explanation(plain: dict[str, Any] | None) -> Explanation | None:
    try:
        return None if plain is None else Explanation.from_json(plain)
    except InvalidInputError as error:
        raise _malformed("explain", str(error)) from error


def _ranges(plain: dict[str, Any]) -> dict[str, tuple[float, float]]:
    try:
        return {name: (float(low), float(high)) for name, (low, high) in plain.items()}
    except (TypeError, ValueError) as error:
        raise _malformed("input_ranges", "expected two numbers by name") from error


_REQUIRED: Any = object()


def _read(props: Mapping[str, str], key: str, kind: type, default: Any = _REQUIRED) -> Any:
    text = props.get(_PREFIX + key)
    if text is None:
        if default is _REQUIRED:
            raise _malformed(key, "it is missing")
        return default
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _malformed(key, "it is not JSON") from error
    if not isinstance(value, kind):
        raise _malformed(key, f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def _malformed(key: str, why: str) -> InvalidInputError:
    return InvalidInputError(f"the artifact's metadata {_PREFIX + key!r} is malformed: {why}")
