"""The options that describe an input of optical flow."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cnnc.cli.preprocess_options import preprocessing_from, preprocessing_options
from cnnc_runtime.flow import FlowInput


def parsed(*arguments: str) -> Any:
    found = []

    @click.command()
    @preprocessing_options
    def command(**options: Any) -> None:
        found.append(preprocessing_from(options))
        assert not options

    result = CliRunner().invoke(command, arguments)
    return found[0] if found else (result.exit_code, result.output)


def test_flow_beside_a_preset_and_alone() -> None:
    assert parsed() is None
    prepare = parsed("--preprocess", "imagenet", "--flow-input", "flow")
    assert prepare.resize == 256 and prepare.flow == FlowInput("flow", "dis", 20.0, "pixels", False)
    options = "--flow-method farneback --flow-bound 15 --flow-values unit --flow-subtract-mean --flow-input v"
    assert parsed(*options.split()).flow == FlowInput("v", "farneback", 15.0, "unit", True)
    assert parsed("--size", "8").flow is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--flow-method dis", "--flow-input"),
        ("--flow-bound 8", "--flow-input"),
        ("--flow-input x --flow-method lucas", "'lucas' is not one of 'dis', 'farneback', 'tvl1'"),
        ("--flow-input x --flow-values bytes", "'bytes' is not one of"),
        ("--flow-input x --flow-bound 0", "more than 0"),
        ("--flow-input x --flow-bound nan", "more than 0"),
    ],
)
def test_options_that_do_not_go_together(arguments: str, message: str) -> None:
    code, output = parsed(*arguments.split())
    assert code == 2 and message in output


def test_help_loads_no_numpy() -> None:
    code = "import sys, cnnc.cli.compile, cnnc.cli.run; assert 'numpy' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
