"""What the benchmarks of the engine share: their options, and how they end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.origin import origin
from bench.yardstick import BaselineFailed
from jibek.console import standard_streams

YARDSTICK_FILES = ("yardstick.cpp", "make_workload.py", "reference_book.py")


def run(
    name: str,
    question: str,
    measure: Callable[..., dict[str, Any]],
    render: Callable[[dict[str, Any]], str],
    arguments: list[str] | None,
    *,
    has_baseline: bool = True,
) -> int:
    """Runs the benchmark; the exit code is 1 if the baseline failed or the trades are wrong.

    With --json the report begins with its command, commit and machine.

    Args:
        name: the name of its module, with `_` for the `-` of the command.
        has_baseline: whether it can be compared with the C++ baseline; `measure` then takes its folder.
    """
    given = sys.argv[1:] if arguments is None else arguments
    command = f"jibek bench {name.replace('_', '-')}"
    options = [
        click.Option(
            ["--smoke"], is_flag=True, help="A small size that shows that it works; its figures mean nothing."
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ]
    if has_baseline:
        help_text = "Compare with the C++ baseline in this folder, which is not part of this repository."
        options.append(click.Option(["--yardstick"], metavar="FOLDER", callback=yardstick_folder, help=help_text))

    def measured(as_json: bool, **options: Any) -> int:
        report = measure(**options)
        if as_json:
            print(json.dumps({**origin(name.replace("_", "-"), given), **report}, indent=2))
        else:
            print(render(report))
        return 0

    settings = {"help_option_names": ["-h", "--help"]}
    parser = click.Command(command, context_settings=settings, callback=measured, params=list(options), help=question)
    try:
        return standard_streams.run(lambda: parser.main(given, prog_name=command, standalone_mode=False))
    except BaselineFailed as error:
        print(f"bench {name}: {error}", file=sys.stderr)
        return 1


def yardstick_folder(context: click.Context, parameter: click.Parameter, text: str | None) -> Path | None:
    """The folder of the C++ baseline, if one is given.

    Raises:
        click.BadParameter: one of its files is missing there.
    """
    if text is None:
        return None
    folder = Path(text)
    for name in YARDSTICK_FILES:
        if not (folder / name).is_file():
            raise click.BadParameter(f"there is no {name} in {folder}")
    return folder
