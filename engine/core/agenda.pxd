"""Work that goes on until the entry is full, and then in the next one, in C; the twin of `engine/reference/agenda.py`."""

from libc.stdint cimport uint32_t
from libc.stdlib cimport realloc
from libc.string cimport memmove

from engine.book.memory cimport jibek_assert
from engine.core.state cimport AgendaItem, Exchange
from engine.records cimport (
    COMMAND_KIND_ACCOUNT_FREEZE,
    COMMAND_KIND_EPOCH_START,
    COMMAND_KIND_KEY_REVOKE,
    COMMAND_KIND_MARKET_STATE_SET,
    COMMAND_KIND_ORDER_CANCEL,
    COMMAND_KIND_STATE_REPORT,
    COMMAND_KIND_TIME_ACCEPT,
    COMMAND_KIND_TIME_TICK,
    RECORD_EVENTS_BEGIN_MAX,
    RECORD_EVENTS_MAX,
)

cdef enum:
    AGENDA_MIN = 8

ctypedef int (*Worker)(Exchange* exchange, const AgendaItem* item, bint* is_done) noexcept nogil
# Works on an item while the entry has room, and notes whether the item is done. NO_MEMORY where memory is out.


cdef inline bint has_room(const Exchange* exchange) noexcept nogil:
    """Whether the entry may take more work in."""
    return exchange.entry.event_count < RECORD_EVENTS_BEGIN_MAX


cdef inline bint is_never_overloaded(int kind) noexcept nogil:
    """Whether a command needs room for one event at most, and must not wait."""
    return (
        kind == COMMAND_KIND_EPOCH_START
        or kind == COMMAND_KIND_TIME_TICK
        or kind == COMMAND_KIND_ORDER_CANCEL
        or kind == COMMAND_KIND_MARKET_STATE_SET
        or kind == COMMAND_KIND_TIME_ACCEPT
        or kind == COMMAND_KIND_ACCOUNT_FREEZE
        or kind == COMMAND_KIND_KEY_REVOKE
        or kind == COMMAND_KIND_STATE_REPORT
    )


cdef inline bint may_begin(const Exchange* exchange, int kind) noexcept nogil:
    """Whether a command may begin. While the agenda holds work there is no room, or it would have been done."""
    return has_room(exchange) or (is_never_overloaded(kind) and exchange.entry.event_count < RECORD_EVENTS_MAX)


cdef inline bint add_to_agenda(
    Exchange* exchange, uint32_t kind, uint32_t account, uint32_t market, uint32_t reason
) noexcept nogil:
    """Puts an item at the end of the queue; False where memory is out."""
    cdef uint32_t capacity = 2 * exchange.agenda_capacity if exchange.agenda_capacity else AGENDA_MIN
    cdef AgendaItem* agenda
    cdef AgendaItem* item
    if exchange.agenda_count == exchange.agenda_capacity:
        agenda = <AgendaItem*>realloc(exchange.agenda, capacity * sizeof(AgendaItem))
        if agenda == NULL:
            return False
        exchange.agenda = agenda
        exchange.agenda_capacity = capacity
    item = &exchange.agenda[exchange.agenda_count]
    item.kind = kind
    item.account = account
    item.market = market
    item.reason = reason
    exchange.agenda_count += 1
    jibek_assert(exchange.agenda_count <= exchange.agenda_capacity)
    return True


cdef inline int work_agenda(Exchange* exchange, const Worker* workers) noexcept nogil:
    """Does what is waiting, first in, first out, until nothing is left or the entry has no room.

    Args:
        workers: what works on the items of each AgendaKind, by its number.
    """
    cdef AgendaItem item
    cdef bint is_done = True
    cdef int failure
    while exchange.agenda_count and has_room(exchange):
        item = exchange.agenda[0]
        failure = workers[item.kind](exchange, &item, &is_done)
        if failure or not is_done:
            return failure
        exchange.agenda_count -= 1
        memmove(&exchange.agenda[0], &exchange.agenda[1], exchange.agenda_count * sizeof(AgendaItem))
    return 0
