"""The segmentation example, from its training to its masks, by the commands of docs/systems/segmentation.md."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "systems" / "segment_digits.py"


@pytest.mark.slow
def test_the_example_ends_in_masks(tmp_path: Path) -> None:
    def run(*command: str) -> str:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "are told right" in run(str(EXAMPLE), "--steps", "60")
    options = "--weights segment/segment.pt --labels segment/labels.txt --input-shape 1,1,64,96 --preprocess unit"
    run(*f"-m cnnc compile {EXAMPLE}:Segment {options} --color gray -o segment.onnx".split())
    printed = run(*["-m", "cnnc", "run", "segment.onnx", "segment/pages", "--mask-out", "masks", "--device", "cpu"])
    assert "share of the picture" in printed and "paper" in printed
    for number in range(3):
        page, mask = (Image.open(tmp_path / folder / f"{number}.png") for folder in ("segment/pages", "masks"))
        assert page.size == mask.size == (288, 192) and mask.mode == "P"
        is_ink = np.asarray(page) > 127
        assert (np.asarray(mask)[is_ink] > 0).mean() > 0.5 > (np.asarray(mask)[~is_ink] > 0).mean()
