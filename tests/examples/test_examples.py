"""The lecture experiments: each runs, prints its table and writes its plot, and has its place in the docs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"lab", "plain"}  # of the examples, none themselves
TABLES = {  # name -> a header of each table that it prints
    "activations": ["| activation | loss at the end |"],
    "batchnorm": ["|  | learning rate | loss at the end |"],
    "initialization": ["| layer | constant 0.01 |", "| weights of | constant 0.01 |"],
    "kernels": ["| best match in | learned, mean |"],
    "residual": ["| net | loss at the end |"],
    "separability": ["| layer | trained | untrained |"],
    "transfer_learning": ["| images a class | from scratch |"],
}
FAST = {"kernels"}


def test_every_example_is_tested_and_shown() -> None:
    names = {path.stem for path in (ROOT / "examples").glob("*.py")} - PARTS
    assert names == set(TABLES)
    docs = "".join(
        (ROOT / "docs" / "systems" / f"{page}.md").read_text("utf-8") for page in ("lectures", "transfer_learning")
    )
    for name in names:
        assert f"python examples/{name}.py" in docs
        assert f"(pictures/{name}.png)" in docs
        assert (ROOT / "docs" / "systems" / "pictures" / f"{name}.png").stat().st_size < 100_000


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in FAST else pytest.mark.slow) for n in TABLES])
def test_example_writes_its_plot_and_prints_its_table(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / f"{name}.py"), "--quick", "--out", str(tmp_path / "new")],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for header in TABLES[name]:
        start = next(i for i, line in enumerate(lines) if line.startswith(header))
        assert lines[start].count("|") == lines[start + 1].count("|") == lines[start + 2].count("|")
    with Image.open(tmp_path / "new" / f"{name}.png") as picture:
        colors = picture.convert("RGB").getcolors(picture.width * picture.height)
        assert picture.width > 500 and len(colors) > 8  # no empty sheet
    if name == "transfer_learning":
        assert "compiled and verified" in done.stdout
        assert "agrees with PyTorch on 15 of 15" in done.stdout


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path) -> None:
    code = f"import sys; sys.modules['matplotlib'] = None; sys.path.insert(0, {str(ROOT / 'examples')!r}); import lab"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == 1
    assert done.stderr.strip() == "the examples need matplotlib and scikit-learn: pip install '.[examples]'"
