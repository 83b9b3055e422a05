"""Build the wheel, install it in a clean environment without PyTorch, and use it there.

    python tools/check_wheel.py

The environment (.venv-wheel) is kept, so that a second run only replaces the wheel.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-wheel"
PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet"]


def main() -> None:
    """Exit 0 if the wheel works, with one line; a failing command's own message otherwise."""
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        wheel = build(scratch)
        binaries = install(wheel)
        help_text = run(binaries / "cnnc", "--help", cwd=scratch)
        assert "compile" in help_text, help_text
        assert run(binaries / "python", "-c", "import importlib.util as u; print(u.find_spec('torch'))") == "None\n"
        artifact = compile_artifact(scratch)
        result = json.loads(run(binaries / "cnnc", "run", artifact, "x.npy", "--json", cwd=scratch))
        assert result["results"], result
        analysis = json.loads(run(binaries / "cnnc", "analyze", artifact, "--json", cwd=scratch))
        assert analysis["totals"]["macs"] > 0, analysis
        refusal = subprocess.run(
            [binaries / "cnnc", "compile", "lenet5", "-o", "y.onnx"],
            cwd=scratch,
            capture_output=True,
            text=True,
        )
        assert refusal.returncode == 2 and "cnnc[torch]" in refusal.stderr, refusal
    print(f"{wheel.name}: installs without PyTorch; `cnnc --help`, run and analyze work there")


def build(scratch: Path) -> Path:
    """The wheel, built from the working tree."""
    run(sys.executable, *PIP, "wheel", ROOT, "--no-deps", "-w", scratch / "dist")
    shutil.rmtree(ROOT / "build", ignore_errors=True)
    return next((scratch / "dist").glob("cnnc-*.whl"))


def install(wheel: Path) -> Path:
    """The clean environment's folder of programs."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    run(python, *PIP, "install", "-c", ROOT / "constraints.txt", wheel)
    run(python, *PIP, "install", "--force-reinstall", "--no-deps", wheel)
    return python.parent


def compile_artifact(scratch: Path) -> Path:
    """LeNet-5, compiled where PyTorch is (this interpreter), and an input for it."""
    artifact = scratch / "lenet5.onnx"
    run(sys.executable, "-m", "cnnc", "compile", "lenet5", "-o", artifact)
    run(
        sys.executable,
        "-c",
        "import numpy as np; np.save('x.npy', np.ones((1, 32, 32), np.float32))",
        cwd=scratch,
    )
    return artifact


def run(*command: object, cwd: Path | None = None) -> str:
    """What the command prints; its stderr and a failure of ours if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
