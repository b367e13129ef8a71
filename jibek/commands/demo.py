"""`jibek demo`: a venue with traders on it, a live view, and at the end the proof that its books balance."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from jibek.console.options import json_option
from jibek.demo.run import run_demo
from jibek.venue.launch import VenueOptions
from jibek.venue.temporary_venue import free_port, temporary_folder


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="Stop after so many seconds.  [default: at Ctrl-C]")
@click.option(
    "--data",
    "data_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the venue's data in this folder.  [default: a temporary one]",
)
@click.option("--port", type=click.IntRange(1, 65535), help="The port to listen on.  [default: a free one]")
@click.option(
    "--engine", type=click.Choice(["compiled", "reference"]), default="compiled", show_default=True,
    help="The Cython engine, or its specification in Python.",
)  # fmt: skip
@json_option
def demo(seconds: float | None, data_dir: Path | None, port: int | None, engine: str, as_json: bool) -> None:
    """Run a whole venue with traders on it, then prove that its books balance.

    Market makers and takers trade four markets over WebSockets, each with an account and a key of its own. At the end,
    or on Ctrl-C, the ledger catches up, and the demo prints the trial balance and each check of the reconciliation.

    Exit codes: 0 every check passed and something was traded, 1 otherwise.

    \b
      jibek demo
      jibek demo --seconds 20
      jibek demo --data ./demo-data --port 9443
    """
    with temporary_folder("demo") if data_dir is None else contextlib.nullcontext(data_dir) as folder:
        run_demo(VenueOptions(folder, port=port or free_port(), engine=engine), seconds, as_json=as_json)
