"""The agenda: work that goes on until the entry is full, and then in the next one (promise P9).

It is a first-in, first-out queue and part of the state. The core works on it at the beginning of each entry and after each
command, so no command overtakes the work that waits. An item may take several entries, but each of its steps, such as closing
one order, is whole: it is done in one entry or not begun.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.records import EVENTS_BEGIN_MAX, EVENTS_MAX, CommandKind
from engine.reference.state import AgendaItem, Exchange

Worker = Callable[[Exchange, AgendaItem], bool]
"""Works on an item while the entry has room; whether the item is done. If not, it is called again in the next entry."""

NEVER_OVERLOADED = frozenset(
    {
        CommandKind.EPOCH_START,
        CommandKind.TIME_TICK,
        CommandKind.ORDER_CANCEL,
        CommandKind.MARKET_STATE_SET,
        CommandKind.TIME_ACCEPT,
        CommandKind.ACCOUNT_FREEZE,
        CommandKind.KEY_REVOKE,
        CommandKind.STATE_REPORT,
    }
)
"""Commands that need room for one event at most and must not wait. An operator must be able to halt the venue, accept
its time, freeze an account or revoke a key, above all while a client keeps the venue busy."""


def has_room(exchange: Exchange) -> bool:
    """Whether the entry may take more work in."""
    return len(exchange.entry.events) < EVENTS_BEGIN_MAX


def may_begin(exchange: Exchange, kind: int) -> bool:
    """Whether a command may begin. While the agenda holds work there is no room, or it would have been done."""
    return has_room(exchange) or (kind in NEVER_OVERLOADED and len(exchange.entry.events) < EVENTS_MAX)


def add_to_agenda(exchange: Exchange, item: AgendaItem) -> None:
    """Puts an item at the end of the queue."""
    exchange.agenda.append(item)


def work_agenda(exchange: Exchange, workers: Mapping[int, Worker]) -> None:
    """Does what is waiting, first in, first out, until nothing is left or the entry has no room.

    Args:
        workers: what works on the items of each AgendaKind.
    """
    agenda = exchange.agenda
    while agenda and has_room(exchange):
        if not workers[agenda[0].kind](exchange, agenda[0]):
            return
        agenda.popleft()
