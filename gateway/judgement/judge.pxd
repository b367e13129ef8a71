from libc.stdint cimport int64_t

from engine.records cimport Command
from gateway.journal.pending cimport PendingCommand
from gateway.view.accounts cimport Account
from gateway.view.order_events cimport OrderEvents


cdef class MarketRules:
    cdef int64_t number
    cdef int64_t base_asset
    cdef int64_t quote_asset
    cdef int64_t lot_units
    cdef int64_t lot_value_units
    cdef int64_t price_min_ticks
    cdef int64_t price_max_ticks
    cdef int64_t quantity_min_lots
    cdef int64_t quantity_max_lots
    cdef int64_t notional_min
    cdef int64_t notional_max
    cdef int64_t open_orders_max
    cdef public bint is_trading


cdef class Judge:
    cdef OrderEvents _events
    cdef dict _books
    cdef readonly dict markets
    cdef public bint is_venue_trading
    cdef int _judge(self, const Command *command, PendingCommand pending) except -2
    cdef int _judge_order(self, const Command *command, Account account, MarketRules market, PendingCommand pending) except -2
    cdef int _judge_limit(self, const Command *command, Account account, MarketRules market, int flags, PendingCommand pending) except -2
    cdef bint _meets(self, const Command *command, MarketRules market) except -1
    cdef int _judge_no_limit(self, const Command *command, Account account, MarketRules market, int flags, PendingCommand pending) except -2
    cdef int _judge_cancel(self, const Command *command, Account account, PendingCommand pending) except -2
    cdef bint _is_sure_of(self, int verdict, const Command *command, PendingCommand pending) except -1
    cdef bint _is_sure(self, const Command *command, PendingCommand pending) except -1
    cpdef bint let_pass(self, PendingCommand pending) except -1
