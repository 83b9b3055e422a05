"""A question to a Python process of its own, and its answer: where it crashes or hangs, nobody else does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from cnnc_runtime import errors
from cnnc_runtime.errors import InvalidInputError, ResourceLimitError

__all__ = ["ask"]


def ask(module: str, question: Any, *, about: str, timeout: float, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Run `python -m module`, give it the question on standard input, and read the last line it prints; both JSON.

    Args:
        module: answers with an object; one with `error` and `message` stands for an error of ours.
        question: plain data.
        about: the model, as messages call it.
        timeout: seconds.
        arguments: of the command line.

    Raises:
        CnncError: what the child answered with.
        InvalidInputError: the model crashes the child.
        ResourceLimitError: it takes too long.
    """
    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(
            command, input=json.dumps(question), capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise ResourceLimitError(f"{about}: measuring it takes more than {timeout:g} s: stopped") from None
    if done.returncode < 0:
        raise InvalidInputError(f"{about}: crashes what runs it (in a process of its own; nothing else was harmed)")
    if done.returncode:
        raise RuntimeError(f"the measurement of {about} failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return answer
