"""Options that many commands have: `--data`, `--json`, `--who`, `--why`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from jibek.console.encoding import is_text
from jibek.console.operator import OPERATOR_VARIABLE, operator_name

DEFAULT_DATA_DIR = Path("jibek-data")
TEXT_BYTES_MAX = 500
"""Of a name or a reason: both go into one journal entry, which has room for 48 KB."""

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def data_option(command: CommandT) -> CommandT:
    """Adds `--data DIR`; the command receives it as `data_dir`, a Path."""
    return click.option(
        "--data",
        "data_dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=DEFAULT_DATA_DIR,
        metavar="DIR",
        show_default=True,
        help="The venue's data folder.",
    )(command)


def json_option(command: CommandT) -> CommandT:
    """Adds `--json`; the command receives it as `as_json`, a bool."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON; amounts are decimal strings.")(command)


def who_and_why(*, why_required: bool) -> Callable[[CommandT], CommandT]:
    """Adds `--who` and `--why` to a command that changes something; both go into the journal."""
    when_left_out: dict[str, Any] = {} if why_required else {"default": ""}
    why = click.option(
        "--why", required=why_required, metavar="TEXT", help="Reason, recorded in the journal.", callback=_bounded,
        **when_left_out,
    )  # fmt: skip
    who = click.option(
        "--who", default=operator_name, metavar="NAME", callback=_bounded,
        help=f"Operator name, recorded in the journal.  [default: ${OPERATOR_VARIABLE}, else your login name]",
    )  # fmt: skip

    def add(command: CommandT) -> CommandT:
        return who(why(command))

    return add


def combined(*options: Callable[[Any], Any]) -> Callable[[CommandT], CommandT]:
    """One decorator for several options and arguments, as if they were above the command in this order."""

    def add(command: CommandT) -> CommandT:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _bounded(context: click.Context, parameter: click.Parameter, text: str) -> str:
    if not is_text(text):
        raise click.BadParameter("it is not text in UTF-8.")
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise click.BadParameter(f"it may have at most {TEXT_BYTES_MAX} bytes.")
    return text
