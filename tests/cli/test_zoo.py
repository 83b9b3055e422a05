"""`cnnc zoo`: instant, without PyTorch, complete."""

from __future__ import annotations

import json
import subprocess
import sys

from click.testing import CliRunner

from cnnc.cli.zoo import command
from cnnc.zoo import ZOO


def test_json_is_the_registry() -> None:
    result = CliRunner().invoke(command, ["--json"])
    assert result.exit_code == 0
    entries = json.loads(result.stdout)
    assert [entry["name"] for entry in entries] == list(ZOO)
    assert entries[0]["params"] == 61_706
    assert entries[0]["input_shape"] == [1, 32, 32]


def test_table_has_a_row_per_net_in_full_when_piped() -> None:
    code = "import sys, cnnc.cli.zoo as zoo; zoo.command(standalone_mode=False); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + len(ZOO)
    for line, entry in zip(lines[1:], ZOO.values(), strict=True):
        assert line.startswith(entry.name)
        assert f"{entry.params:,}" in line and entry.paper in line
