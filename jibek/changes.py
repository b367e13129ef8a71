"""How the command line changes something: a command in the journal, with who and why, and the engine's answer to it."""

from __future__ import annotations

import click

from engine.journal import Producer, Store
from engine.process import EXIT_REFUSED
from engine.reasons import Reason
from engine.records import BatchBuilder, Command, Event, EventKind
from ledger.console import CommandT, fail, operator_name, store_errors

WHY_LENGTH_MAX = 500


def change_options(command: CommandT) -> CommandT:
    """Adds `--who` and `--why` to a command that changes something; both go into the journal."""
    why = click.option("--why", default="", metavar="TEXT", help="The reason, as it will stand in the journal.")
    who = click.option(
        "--who", default=operator_name, metavar="NAME", help="Who gives the order.  [default: $JIBEK_OPERATOR, or you]"
    )
    return who(why(command))


def execute(client: Store, command: Command, *parts: bytes, who: str, why: str) -> Event:
    """Has the engine carry out one command and returns the event that answers it.

    Fails with exit code 1 where it is refused, 3 where no answer comes.
    """
    builder = BatchBuilder()
    builder.add(command, *parts, who.encode(), why[:WHY_LENGTH_MAX].encode())
    with store_errors():
        _, answer = Producer(client).execute(builder)
    event = next(iter(answer))
    if event.kind == EventKind.REJECTED:
        fail(EXIT_REFUSED, reason_text(event.reason))
    return event


def reason_text(number: int) -> str:
    """The sentence for people of a refusal.

    >>> reason_text(202)
    'No such market. See `jibek market list`.'
    """
    return next(reason.text for reason in Reason if reason == number)
