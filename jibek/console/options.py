"""Options that many commands have: `--data`, `--json`, `--who`, `--why`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from jibek.console.operator import OPERATOR_VARIABLE, operator_name
from jibek.console.printable import argument_fault, is_text
from jibek.console.suggestion import DEFAULT_DATA_DIR

TEXT_BYTES_MAX = 500
"""Of a name or a reason: both go into one journal entry, which has room for 48 KB."""

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class TextChoice(click.Choice[str]):
    """A choice whose value may come from the environment, where it need not be text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_text(value):
            self.fail("it is not text in UTF-8", param, ctx)
        return super().convert(value, param, ctx)


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


def who_and_why(*, why_required: bool, record: str = "the journal") -> Callable[[CommandT], CommandT]:
    """Adds `--who` and `--why` to a command that changes something.

    Args:
        record: where both are recorded, for the help.
    """
    when_left_out: dict[str, Any] = {} if why_required else {"default": ""}
    why = click.option(
        "--why", required=why_required, metavar="TEXT", help=f"Reason, recorded in {record}.",
        callback=_reason if why_required else _recorded, **when_left_out,
    )  # fmt: skip
    who = click.option(
        "--who", default=operator_name, metavar="NAME", callback=_name,
        help=f"Operator name, recorded in {record}.  [default: ${OPERATOR_VARIABLE}, else your login name]",
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


def check_reason(why: str, purpose: str) -> None:
    """For a command that needs `--why` only with some of its options.

    Args:
        purpose: what needs it, as the beginning of a sentence.

    Raises:
        click.UsageError: it is empty or blank.
    """
    if not why.strip():
        raise click.UsageError(f"{purpose} needs a reason: say it with --why.")


def _recorded(context: click.Context, parameter: click.Parameter, text: str) -> str:
    """Text that goes into the journal; what is blank becomes empty."""
    if is_text(text) and len(text.encode()) > TEXT_BYTES_MAX:
        raise click.BadParameter(f"it may have at most {TEXT_BYTES_MAX} bytes.")
    if fault := argument_fault(text):
        raise click.BadParameter(f"it {fault}.")
    return text if text.strip() else ""


def _reason(context: click.Context, parameter: click.Parameter, text: str) -> str:
    if not _recorded(context, parameter, text):
        raise click.BadParameter("it is blank: say why.")
    return text


def _name(context: click.Context, parameter: click.Parameter, text: str) -> str:
    if not _recorded(context, parameter, text):
        raise click.BadParameter(f"it is blank: write your name, also in ${OPERATOR_VARIABLE}.")
    return text
