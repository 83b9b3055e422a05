"""Opens and runs a model nobody vouches for in a process of its own first, with limits on time and memory.

onnxruntime cannot be interrupted: a Loop of 2^62 turns never returns, and an Expand takes all memory there is.
What a child survives, this process may open.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from cnnc_runtime import errors
from cnnc_runtime.errors import CnncError, InvalidInputError, ResourceLimitError

__all__ = ["MEMORY", "TIMEOUT", "is_certified", "probe"]

TIMEOUT = 120.0
"""Seconds to load a model and run it once, at batch 1."""
MEMORY = 6 * 2**30
"""Bytes beyond eight times the model's files."""
_TAIL = 2**20  # bytes; metadata is smaller
_OPEN = 32  # stands for an open axis behind the first


def is_certified(path: str | os.PathLike[str]) -> bool:
    """True if a certificate of cnnc's is at the end of the file, where the compiler puts it: it was run before."""
    with Path(path).open("rb") as file:
        file.seek(-min(_TAIL, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return b"cnnc.certificate" in file.read()


def probe(path: str | os.PathLike[str], *, timeout: float = TIMEOUT, memory: int = MEMORY) -> None:
    """Load `path` on the CPU and run it once on zeros, in a child process.

    That the model refuses zeros, or sizes we made up, is no fault of it.

    Raises:
        ResourceLimitError: it takes longer, or more memory.
        InvalidInputError: it crashes onnxruntime, or cannot be loaded; as other errors of `Engine`.
    """
    command = [sys.executable, "-m", "cnnc_runtime.probe", os.fspath(path), str(memory)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise ResourceLimitError(
            f"{path}: loading it and running it once takes more than {timeout:g} s: stopped"
        ) from None
    if done.returncode < 0 or not done.stdout.strip():
        raise InvalidInputError(f"{path}: crashes onnxruntime (in a process of its own; nothing else was harmed)")
    answer = json.loads(done.stdout.splitlines()[-1])
    if answer["error"] is not None:
        raise getattr(errors, answer["error"])(answer["message"])


def _main(path: str, memory: int) -> dict[str, Any]:
    _limit_memory(8 * _size_beside(path) + memory)
    from cnnc_runtime.engine import Engine

    try:
        engine = Engine(path, device="cpu")
    except CnncError as error:
        return {"error": type(error).__name__, "message": str(error)}
    try:
        engine.run({spec.name: _zeros(spec.shape, spec.dtype) for spec in engine.inputs})
    except ResourceLimitError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except CnncError:
        pass  # zeros, or the sizes, are not for this model
    return {"error": None}


def _zeros(shape: tuple[int | str, ...], dtype: Any) -> Any:
    import numpy as np

    sizes = [n if isinstance(n, int) else 1 if axis == 0 else _OPEN for axis, n in enumerate(shape)]
    return np.zeros(sizes, dtype)


def _size_beside(path: str) -> int:
    """Bytes of the model and of what may be its weights: the other files of its folder that begin like it."""
    model = Path(path).resolve()
    beside = (file for file in model.parent.iterdir() if file.name.startswith(model.name))
    return sum(file.stat().st_size for file in beside if file.is_file())


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows: there the time limit alone holds
        return
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


if __name__ == "__main__":
    print(json.dumps(_main(sys.argv[1], int(sys.argv[2]))))
