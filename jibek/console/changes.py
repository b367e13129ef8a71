"""How a command changes the venue: through the journal, with the operator and the reason, and the engine's answer."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click

from engine.journal import EntryId, OutcomeUnknown, Producer, Store, check_settings
from engine.process import EXIT_REFUSED
from engine.reasons import Reason
from engine.records import BatchBuilder, Command, Event, EventEntry, EventKind
from jibek.console.failure import EXECUTED, Failure, store_errors
from jibek.console.operator import system_user

OPERATOR_TEXTS = {
    Reason.ACCOUNT_FROZEN: "The account is frozen. `jibek account unfreeze` lifts it.",
    Reason.INSUFFICIENT_FUNDS: (
        "The account has not enough available funds. See `jibek ledger balances`, and withdraw at most what is available."
    ),
    Reason.UNKNOWN_KEY: "No such API key for this account. Write its whole id, as `jibek account show` prints it.",
    Reason.TOO_MANY_KEYS: "The account has as many API keys as it can have. Revoke one with `jibek account key --revoke`.",
}
"""What an operator can do, where the text of the reason advises a client."""


class Rejected(Failure):
    """The engine itself has refused a command: it changed nothing."""


def execute(client: Store, command: Command, *parts: bytes, who: str, why: str) -> tuple[EntryId, Event]:
    """Has the engine execute one command, which carries the operator, the reason and the system user; returns its entry in the journal and the event that answers it.

    Raises:
        Failure: exit code 1 if the engine refuses it, 3 if no answer comes.
    """
    builder = BatchBuilder()
    builder.add(command, *parts, *signature(who, why))
    id, answer = execute_batch(client, builder)
    return id, next(iter(answer))


def execute_batch(client: Store, builder: BatchBuilder) -> tuple[EntryId, EventEntry]:
    """Has the engine execute a batch, one command after the other; returns its entry in the journal and the event entry.

    Raises:
        Failure: exit code 1 if the engine refuses a command, 3 if no answer comes.
    """
    with store_errors():
        check_settings(client)
        id, answer = send(Producer(client), builder)
    for event in answer:
        if event.kind == EventKind.REJECTED:
            raise Rejected(EXIT_REFUSED, reason_text(event.reason))
    return id, answer


def send(producer: Producer, builder: BatchBuilder) -> tuple[EntryId, EventEntry]:
    """As `Producer.execute`. From the first send on, Ctrl-C, SIGTERM and SIGHUP end it with the word that the outcome is unknown:
    an operator who takes an interruption for a refusal repeats the command, and pays twice.

    Raises:
        OutcomeUnknown: no answer came, or the command was interrupted while it waited for one.
        KeyboardInterrupt: it was interrupted before anything was sent.
    """
    with _ended_by_signals():
        try:
            answered = producer.execute(builder)
            context = click.get_current_context(silent=True)
            if context is not None and "who" in context.params:
                context.meta[EXECUTED] = True
            return answered
        except KeyboardInterrupt:
            if not producer.is_under_way:
                raise
            raise OutcomeUnknown("interrupted: whether it was executed is unknown") from None


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Inside the block SIGTERM and SIGHUP raise what Ctrl-C raises, unless the process handles or ignores them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def signature(who: str, why: str) -> tuple[bytes, bytes, bytes]:
    """The operator's parts of a command."""
    return who.encode(), why.encode(), system_user().encode(errors="backslashreplace")


def reason_text(number: int) -> str:
    """The name of a refusal, what it means, and what the operator can do.

    >>> reason_text(202)
    'UNKNOWN_MARKET: No such market. See `jibek market list`.'
    """
    reason = Reason(number)
    return f"{reason.name}: {OPERATOR_TEXTS.get(reason, reason.text)}"
