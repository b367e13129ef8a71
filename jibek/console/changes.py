"""How a command changes the venue: through the journal, with the operator and the reason, and the engine's answer."""

from __future__ import annotations

from engine.journal import EntryId, Producer, Store
from engine.process import EXIT_REFUSED
from engine.reasons import Reason
from engine.records import BatchBuilder, Command, Event, EventKind
from jibek.console.failure import fail, store_errors


def execute(client: Store, command: Command, *parts: bytes, who: str, why: str) -> tuple[EntryId, Event]:
    """Has the engine execute one command; returns its entry in the journal and the event that answers it.

    Raises:
        Failure: exit code 1 if the engine refuses it, 3 if no answer comes.
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
