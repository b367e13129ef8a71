"""How a command changes the venue: through the journal, with the operator and the reason, and the engine's answer."""

from __future__ import annotations

from engine.journal import EntryId, Producer, Store, StoreTimeout
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.reasons import Reason
from engine.records import BatchBuilder, Command, Event, EventEntry, EventKind
from jibek.console.failure import fail, store_errors
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
        try:
            id, answer = Producer(client).execute(builder)
        except StoreTimeout as timeout:
            fail(EXIT_UNREACHABLE, unknown_outcome(timeout))
    for event in answer:
        if event.kind == EventKind.REJECTED:
            fail(EXIT_REFUSED, reason_text(event.reason))
    return id, answer


def unknown_outcome(timeout: StoreTimeout) -> str:
    """What to do about a command without an answer. What is in the journal will be executed, so that repeating it would do it twice.

    >>> unknown_outcome(StoreTimeout("no answer to 1-23", EntryId(1, 23)))
    'Do not repeat the command: no answer to 1-23. See `jibek status`; then `jibek audit`, and for money `jibek ledger journal --entry 1-23`, show whether it was done.'
    """
    if not timeout.is_unknown:
        return str(timeout)
    money = "" if timeout.id is None else f", and for money `jibek ledger journal --entry {timeout.id}`,"
    shows = "show" if money else "shows"
    return f"Do not repeat the command: {timeout}. See `jibek status`; then `jibek audit`{money} {shows} whether it was done."


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
