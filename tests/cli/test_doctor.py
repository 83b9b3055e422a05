"""`cnnc doctor` as a user types it, and where half of the libraries are missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

WITHOUT = """
import sys
for name in ("torch", "onnx", "onnx_ir", "onnxsim", "onnxscript", "safetensors", "plotly", "jinja2"):
    sys.modules[name] = None
sys.argv[0] = "cnnc"
from cnnc.cli import main
main()
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, encoding="utf-8", env=os.environ | environment
    )
    assert "Traceback" not in done.stderr
    return done


def test_a_page_for_the_reader() -> None:
    done = run("-m", "cnnc", "doctor")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")][:4] == ["software", "devices", "hardware", "storage"]
    assert "runs a network on CPUExecutionProvider" in done.stdout
    assert lines[-1].endswith("networks run on the CPU here")


def test_it_works_where_torch_and_onnx_are_missing() -> None:
    done = run("-c", WITHOUT, "doctor", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    found = {finding["name"]: finding for finding in document["findings"]}
    assert document["cpu_works"] and found["cpu"]["state"] == "ok"
    assert found["torch"]["state"] == "missing" and found["torch"]["advice"] == "pip install 'cnnc[torch]'"
    assert found["onnx"]["state"] == "problem"


def test_an_onnxruntime_that_does_not_load_is_exit_8_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text(
        "raise ImportError('libstdc++.so.6: version GLIBCXX_3.4.32 not found')\n", encoding="utf-8"
    )
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    done = run("-m", "cnnc", "doctor", PYTHONPATH=path)
    assert done.returncode == 8
    assert "PROBLEM  cpu" in done.stdout and "-> pip install --force-reinstall" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "networks do not run on the CPU here: ImportError: libstdc++.so.6: version GLIBCXX_3.4.32" in done.stderr
