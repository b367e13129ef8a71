"""How a command changes something: as a command in the journal, with who and why, and the engine's answer to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from engine.journal import EntryId, Producer, Store
from engine.process import EXIT_REFUSED
from engine.reasons import Reason
from engine.records import BatchBuilder, Command, Event, EventKind
from jibek.console.output import CommandT, fail, operator_name, store_errors

TEXT_BYTES_MAX = 500
"""Of who and of why: an entry of the journal has room for 48 KB."""


def who_and_why(*, why_required: bool) -> Callable[[CommandT], CommandT]:
    """Adds `--who` and `--why` to a command that changes something; both go into the journal."""
    when_left_out: dict[str, Any] = {} if why_required else {"default": ""}
    why = click.option(
        "--why", required=why_required, metavar="TEXT", help="The reason.", callback=_bounded, **when_left_out
    )
    who = click.option(
        "--who", default=operator_name, metavar="NAME", help="Who does it.  [default: $JIBEK_OPERATOR, or you]",
        callback=_bounded,
    )  # fmt: skip

    def add(command: CommandT) -> CommandT:
        return who(why(command))

    return add


def _bounded(context: click.Context, parameter: click.Parameter, text: str) -> str:
    if len(text.encode()) > TEXT_BYTES_MAX:
        raise click.BadParameter(f"it may have at most {TEXT_BYTES_MAX} bytes.")
    return text


def execute(client: Store, command: Command, *parts: bytes, who: str, why: str) -> tuple[EntryId, Event]:
    """Has the engine carry out one command; returns its entry in the journal and the event that answers it.

    Fails with exit code 1 where it is refused, 3 where no answer comes.
    """
    builder = BatchBuilder()
    builder.add(command, *parts, who.encode(), why.encode())
    with store_errors():
        id, answer = Producer(client).execute(builder)
    event = next(iter(answer))
    if event.kind == EventKind.REJECTED:
        fail(EXIT_REFUSED, reason_text(event.reason))
    return id, event


def reason_text(number: int) -> str:
    """The sentence for people of a refusal.

    >>> reason_text(202)
    'No such market. See `jibek market list`.'
    """
    return next(reason.text for reason in Reason if reason == number)
