"""The page of the systems: what is kept of each, what its row says, and that all it names is there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cnnc.cli.analyze import command as analyze
from cnnc.cli.compile import command as compile_
from cnnc.cli.zoo import ZOO
from cnnc_runtime.errors import UnsupportedModelError
from tools import systems
from tools.peers_page.results import read
from tools.systems_page.known import SUBJECTS, SYSTEMS, System
from tools.systems_page.page import page

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "systems"
MACHINE = {"cpu": "a CPU", "usable_cores": 2, "python": "3.11", "versions": {"torch": "2.13"}}


def figures(artifact: float, **latency: float) -> dict[str, Any]:
    """What a measurement returns: 1,234,567 parameters, 2.5 G MACs of which 2.0 G are left."""
    cost = {"params": 1_234_567, "macs": 2_500_000_000}
    return {
        "costs": {"before": cost, "after": cost | {"macs": 2_000_000_000}},
        "error": 4.2e-7,
        "rounds": 5,
        "seconds": 1.0,
        "latency": {name: {"median": value} for name, value in {"artifact": artifact, **latency}.items()},
    }


def run(monkeypatch: pytest.MonkeyPatch, out: Path, *arguments: str, found: Any = None) -> tuple[int, list[tuple]]:
    """The tool with its measurements replaced; its exit code and what it would have measured."""
    asked: list[tuple] = []

    def measure(system: System, rounds: int, seconds: float, say: object) -> dict[str, Any]:
        asked.append((system.name, rounds, seconds))
        if isinstance(found, Exception):
            raise found
        return figures(0.010, eager=0.025) if found is None else found

    monkeypatch.setattr(systems, "measure", measure)
    monkeypatch.setattr(systems, "describe_machine", lambda: MACHINE)
    monkeypatch.setattr(sys, "argv", ["systems.py", "--out", str(out), *arguments])
    return systems.main(), asked


def row(out: Path, what: str) -> list[str]:
    (line,) = (one for one in (out / "README.md").read_text("utf-8").splitlines() if one.startswith(f"| {what} |"))
    return line.strip("| ").split(" | ")


def kept(out: Path) -> dict[str, Any]:
    nets: dict[str, Any] = json.loads((out / "systems.json").read_text("utf-8"))["nets"]
    return nets


def test_results_of_others_are_kept_in_the_order_of_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, tmp_path, "--nets", "unet,vgg16") == (0, [("vgg16", 5, 1.0), ("unet", 5, 1.0)])
    assert run(monkeypatch, tmp_path, "--nets", "lenet5", "--quick") == (0, [("lenet5", 1, 0.1)])
    assert list(kept(tmp_path)) == ["lenet5", "vgg16", "unet"]
    again = figures(0.005, eager=0.025)
    run(monkeypatch, tmp_path, "--nets", "vgg16", found=again)
    assert kept(tmp_path)["vgg16"]["latency"]["artifact"]["median"] == 0.005
    assert kept(tmp_path)["unet"]["latency"]["artifact"]["median"] == 0.010
    assert kept(tmp_path)["unet"]["machine"] == MACHINE


def test_a_row_says_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, tmp_path, "--nets", "vgg16")
    cells = row(tmp_path, "VGG-16")
    assert cells[2:9] == [
        "`cnnc compile vgg16 -o vgg16.onnx`",
        *("1,234,567", "2.50 G → 2.00 G", "4.2e-07", "10", "25", "2.50x"),
    ]
    assert '`pytest tests/systems -k "[vgg16]"`' in cells[9]
    assert row(tmp_path, "ResNet-34")[3:9] == [""] * 6  # a row all the same
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "a CPU, 2 usable cores; Python 3.11, torch 2.13; rounds: 5 of 1 s" in text


def test_what_a_heat_map_costs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, tmp_path, "--nets", "resnet18_gradcam", found=figures(0.012, plain=0.010, eager=0.030))
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "the plain artifact takes 10 ms: 1.20 times as long as it" in text


def test_a_system_that_fails_says_why_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, tmp_path, "--nets", "unet")
    error = UnsupportedModelError("c3d: it is too large")
    code, asked = run(monkeypatch, tmp_path, "--nets", "c3d,r3d_18", found=error)
    assert code == 10 and len(asked) == 2
    assert "failed" in row(tmp_path, "3-D CNN: C3D")
    assert "- `c3d`: failed: c3d: it is too large." in (tmp_path / "README.md").read_text("utf-8")
    assert row(tmp_path, "segmentation: U-Net")[6] == "10"


def test_an_unknown_name_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, tmp_path / "new", "--nets", "vgg16,resnet") == (2, [])
    assert "--nets: 'resnet' is none of lenet5, alexnet," in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_file_of_another_tool_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "systems.json").write_text("[1]")
    assert run(monkeypatch, tmp_path, "--nets", "vgg16") == (3, [])
    assert "holds no results of tools/systems.py" in capsys.readouterr().err
    assert (tmp_path / "systems.json").read_text() == "[1]"


def test_the_page_in_the_docs_is_that_of_its_results() -> None:
    assert (DOCS / "README.md").read_text("utf-8") == page(read(DOCS / "systems.json"))


def test_names_are_each_once_and_networks_are_the_zoos() -> None:
    names = [system.name for system in SYSTEMS]
    assert len(set(names)) == len(names)
    assert {system.net for system in SYSTEMS} <= set(ZOO)


def test_commands_are_understood() -> None:
    commands = [one.command for one in (*SYSTEMS, *SUBJECTS)]
    for line in commands:
        program, name, *arguments = shlex.split(line)
        if program == "python":
            assert (ROOT / name).is_file(), line
        else:
            {"compile": compile_, "analyze": analyze}[name].make_context(name, arguments)


@pytest.mark.parametrize("target", sorted({one.page for one in (*SYSTEMS, *SUBJECTS)}))
def test_pages_and_their_sections_exist(target: str) -> None:
    name, _, anchor = target.partition("#")
    headings = re.findall(r"^#+ (.+)$", (DOCS / name).read_text("utf-8"), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert not anchor or anchor in slugs


def test_every_test_exists() -> None:
    """Each `-k` selects one at least, as pytest itself collects them."""
    tests = sorted(
        {test for one in SYSTEMS for test in one.every_test} | {test for one in SUBJECTS for test in one.tests}
    )
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts="]
    paths = sorted({path for path, _ in tests})
    done = subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, text=True, check=True)
    found = done.stdout.splitlines()
    for path, word in tests:
        assert any(line.startswith(path) and word in line.removeprefix(path) for line in found), (path, word)
