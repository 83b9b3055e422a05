"""`cnnc doctor`: what this machine can do, and what to do about each problem."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cnnc.doctor import Checkup

__all__ = ["command"]

_SIGNS = {"ok": "ok", "missing": "-", "problem": "PROBLEM"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> None:
    """Check versions, devices, CPU, memory and folders; exit code 0 where networks run on the CPU, else 8."""
    from cnnc.cli import console
    from cnnc.doctor import examine
    from cnnc_runtime.errors import DeviceError

    with console.status("examining this machine"):
        checkup = examine()
    if as_json:
        click.echo(json.dumps(checkup.to_dict()))
    else:
        _show(checkup)
    if not checkup.cpu_works:
        raise DeviceError(f"networks do not run on the CPU here: {checkup.of('cpu').value}")


def _show(checkup: Checkup) -> None:
    from cnnc.cli import console

    def say(line: str) -> None:
        console.out.print(line, highlight=False, markup=False)

    width = max(len(finding.name) for finding in checkup.findings)
    for section, findings in itertools.groupby(checkup.findings, key=lambda finding: finding.section):
        say(section)
        for one in findings:
            say(f"  {_SIGNS[one.state]:7}  {one.name:{width}}  {one.value}")
            if one.advice:
                say(f"  {'':7}  {'':{width}}  -> {one.advice}")
    count = len(checkup.problems())
    say(f"{count} problem{'s' * (count != 1)}; networks {'run' if checkup.cpu_works else 'do NOT run'} on the CPU here")
