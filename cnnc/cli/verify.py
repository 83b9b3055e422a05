"""`cnnc verify`: is an artifact the one that was proved, and does it compute the same here?"""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["command"]


@click.command("verify")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--reference", metavar="SOURCE", help="What it was compiled from: makes the whole proof again.")
@click.option("--weights", type=click.Path(path_type=Path), help="Checkpoint of the reference.")
@click.option("--arg", "arguments", multiple=True, metavar="K=V", help="Keyword argument of its factory.")
@click.option("--verify-data", multiple=True, type=click.Path(path_type=Path), help="Data to prove it on as well.")
@click.option("--device", default="auto", show_default=True, help="Where to run it: auto, cpu, cuda.")
@click.option("--json", "as_json", is_flag=True, help="Print the new certificate as JSON.")
def command(
    model: Path,
    reference: str | None,
    weights: Path | None,
    arguments: tuple[str, ...],
    verify_data: tuple[Path, ...],
    device: str,
    as_json: bool,
) -> None:
    """Check MODEL against the certificate in it, and run its proof again on this machine.

    A changed weight or operator is found by its hash. That is integrity, not authenticity: who can edit the file
    can edit its certificate.
    """
    from cnnc.cli import console
    from cnnc.recheck import verify_artifact

    if reference is None and (weights is not None or arguments):
        raise click.UsageError("--weights and --arg are of the reference: give --reference too")
    with console.status(f"verifying {model}"):
        certificate = verify_artifact(
            model,
            reference,
            weights=weights,
            arguments=console.pairs(arguments),
            data=verify_data,
            device=device,
        )
    if as_json:
        click.echo(json.dumps(certificate.to_dict()))
        return
    console.out.print(f"{model} is the file that was proved: graph and weights have their hashes", markup=False)
    console.proof(certificate)
