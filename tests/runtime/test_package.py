"""What importing the runtime costs, and what it exports."""

import subprocess
import sys

import pytest

import cnnc_runtime


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `code`."""
    code += "; import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_is_free():
    loaded = loaded_after("import cnnc_runtime")
    assert not loaded & {"torch", "onnx", "onnx_ir", "onnxruntime", "numpy", "PIL", "rich", "cnnc"}


def test_using_everything_loads_no_compiler():
    loaded = loaded_after("from cnnc_runtime import *; from cnnc_runtime import writers, results")
    assert "numpy" in loaded
    assert not loaded & {"torch", "onnx", "onnx_ir", "cnnc", "cnnc_passes"}


def test_every_public_name_resolves():
    assert set(cnnc_runtime.__all__) == {*cnnc_runtime._HOME, "errors"}
    for name in cnnc_runtime.__all__:
        assert getattr(cnnc_runtime, name) is not None
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = cnnc_runtime.nothing_such
