"""Every error cnnc raises on purpose, each with the exit code the command line ends with.

CnncError
├── UsageError              2    options or arguments that contradict each other or the model
├── InvalidInputError       3    unreadable or malformed input: model, weights, image, array
├── UnsafeInputError        4    input that would run code or read outside its own folder
├── UnsupportedModelError   5    a valid model that cnnc cannot treat correctly
├── VerificationError       6    the artifact is not shown equal to its original
├── ResourceLimitError      7    too large, or too slow
├── DeviceError             8    the device or provider asked for cannot be used
├── OutputError             9    the result could not be written
└── PartialFailureError    10    finished, but some items failed

Exit code 1 is an internal bug (any other exception), 130 an interruption.
"""

from __future__ import annotations

__all__ = [
    "CnncError",
    "DeviceError",
    "InvalidInputError",
    "OutputError",
    "PartialFailureError",
    "ResourceLimitError",
    "UnsafeInputError",
    "UnsupportedModelError",
    "UsageError",
    "VerificationError",
]


class CnncError(Exception):
    """Base of all errors with a message written for the user: what is wrong, and the way out."""

    exit_code = 1


class UsageError(CnncError):
    """Options or arguments that contradict each other or the model."""

    exit_code = 2


class InvalidInputError(CnncError):
    """A model, checkpoint, image or array that is missing, unreadable or malformed."""

    exit_code = 3


class UnsafeInputError(CnncError):
    """Input that would run code, or read outside its own folder, if it were trusted."""

    exit_code = 4


class UnsupportedModelError(CnncError):
    """A valid model that cnnc cannot export or treat correctly."""

    exit_code = 5


class VerificationError(CnncError):
    """The compiled artifact was not shown equal to the original; nothing was written."""

    exit_code = 6


class ResourceLimitError(CnncError):
    """A limit on memory, size or time was reached."""

    exit_code = 7


class DeviceError(CnncError):
    """The device or execution provider asked for cannot be used; carries the loader's reason."""

    exit_code = 8


class OutputError(CnncError):
    """The result could not be written; an output that existed before is intact."""

    exit_code = 9


class PartialFailureError(CnncError):
    """The work finished, but some items failed and were left out."""

    exit_code = 10
