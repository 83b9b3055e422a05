"""Who may import whom, as docs/design.md has it; and what must stay lazy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cnnc

ROOT = Path(__file__).resolve().parent.parent
OURS = {"cnnc", "cnnc_passes", "cnnc_runtime"}


def imports(folder: str) -> set[tuple[str, str]]:
    """(file, module) for every import statement in `folder`, those inside functions included."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {(path.name, alias.name) for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                found.add((path.name, str(node.module)))
    return found


def packages(folder: str) -> set[str]:
    return {module.partition(".")[0] for _, module in imports(folder)} - set(sys.stdlib_module_names)


def test_runtime_imports_neither_torch_nor_onnx_nor_the_compiler() -> None:
    assert packages("runtime") <= {"cnnc_runtime", "numpy", "onnxruntime", "PIL", "rich", "cv2", "pyarrow"}


def test_passes_know_neither_torch_nor_the_engine() -> None:
    assert packages("passes") <= {"cnnc_passes", "cnnc_runtime", "numpy", "onnx", "onnx_ir", "onnxsim"}
    ours = {module for _, module in imports("passes") if module.startswith("cnnc_runtime")}
    assert ours == {"cnnc_runtime.errors"}


@pytest.mark.parametrize("module", ["cnnc", "cnnc_runtime", "cnnc.cli", "cnnc.zoo"])
def test_import_is_lazy(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "onnx", "onnx_ir", "onnxruntime", "onnxsim"} & set(done.stdout.split())


def test_public_names_resolve() -> None:
    for name in cnnc.__all__:
        assert getattr(cnnc, name) is not None
    with pytest.raises(AttributeError):
        cnnc.no_such_name  # noqa: B018
