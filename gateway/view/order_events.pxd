from libc.stdint cimport int64_t, uint32_t

from engine.records cimport Event, OrderEvent, TradeEvent
from gateway.dialect.market_scale cimport MarketScale
from gateway.view.accounts cimport Account, Order, OwnTrade


cdef class CommandEvents:
    cdef bytes _data
    cdef Py_ssize_t _start
    cdef Py_ssize_t _count
    cdef readonly int first_kind
    cdef readonly int first_reason


cdef class OrderEvents:
    cdef readonly dict accounts
    cdef readonly dict markets
    cdef readonly dict orders
    cdef readonly int64_t time_us
    # Whether the last entry took in as much as it could, so that work of the engine may wait for the next one.
    cdef readonly bint is_entry_full
    cdef readonly list fills
    cdef readonly list closed
    cdef readonly Order placed
    cdef object _reports
    cdef object _first_fill
    cdef object _feeds
    cdef dict _books
    cdef dict _trade_followers
    cdef Order _resting
    cdef int64_t _execution_id
    # The entry that is being taken in, and who is given its answers; None between entries.
    cdef object _entry
    cdef object _answer
    # Its next event, the first one of the command in hand, and what is behind its last one.
    cdef const Event *_next
    cdef const Event *_first
    cdef const Event *_stop
    cdef readonly dict moved
    cpdef Account account(self, int64_t number)
    cdef _apply(self, const Event *event, entry)
    cdef _accept(self, const OrderEvent *event)
    cdef bint _comes_to_rest(self, const OrderEvent *accepted)
    cdef _trade(self, const TradeEvent *event)
    cdef _close(self, const OrderEvent *event, entry)
    cdef _end_command(self, const Event *stop)
    cdef _settle(self, Order order, const TradeEvent *event, int64_t hold_change, int64_t fee)
    cdef OwnTrade _fill(self, Order order, const TradeEvent *event, int64_t fee, bint is_buyer, bint is_maker)
    cdef _end(self, Order order, str status)
    cdef _level_changed(self, MarketScale market, int side, int64_t price_ticks, int64_t lots)
