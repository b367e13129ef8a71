from libc.stdint cimport int64_t, uint32_t

from engine.records cimport Event, OrderEvent, TradeEvent


cdef class MarketScale:
    cdef readonly uint32_t number
    cdef readonly str symbol
    cdef int64_t tick_step_e8
    cdef int64_t lot_step_e8


cdef class Balance:
    cdef public int64_t available
    cdef public int64_t held


cdef class Order:
    cdef readonly int64_t order_id
    cdef readonly Account account
    cdef readonly MarketScale market
    cdef readonly int side
    cdef readonly int order_type
    cdef readonly int time_in_force
    cdef readonly int64_t price_ticks
    cdef readonly int64_t quantity_lots
    cdef readonly int64_t quote_asked
    cdef str _client
    cdef readonly int64_t remaining_lots
    cdef readonly int64_t cumulative_lots
    cdef readonly int64_t cumulative_quote
    cdef readonly str status
    cdef readonly int64_t created_us
    cdef readonly int64_t updated_us
    cdef readonly bint rests


cdef class OwnTrade:
    cdef readonly MarketScale market
    cdef readonly int64_t trade_id
    cdef readonly int64_t order_id
    cdef readonly int64_t price_ticks
    cdef readonly int64_t quantity_lots
    cdef readonly int64_t quote_amount
    cdef readonly int64_t fee
    cdef readonly bint is_buyer
    cdef readonly bint is_maker
    cdef readonly int64_t time_us


cdef class Account:
    cdef readonly int64_t number
    cdef public str name
    cdef public bint is_frozen
    cdef readonly dict balances
    cdef readonly dict open
    cdef readonly dict closed
    cdef object _closed_ids
    cdef readonly dict found_by_client
    cdef readonly object trades
    cdef readonly list subscriptions
    cdef readonly dict fees
    cdef public int64_t updated_us
    cpdef Balance balance(self, int64_t asset)
    cpdef closed_now(self, Order order)


cdef class BookLevels:
    cdef dict _bids
    cdef dict _asks
    cdef object _sorted_bids
    cdef object _sorted_asks
    cdef set _moved_bids
    cdef set _moved_asks
    cdef readonly dict depths
    cdef readonly dict snapshots
    cdef public object ticker
    cdef readonly int64_t update_id
    cpdef change(self, int side, int64_t price_ticks, int64_t lots)
    cdef object _sorted(self, int side)


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
    cdef readonly list fills
    cdef readonly list closed
    cdef readonly Order placed
    cdef public object first_fill
    cdef object _feeds
    cdef dict _books
    cdef dict _trade_followers
    cdef Order _resting
    cdef int64_t _execution_id
    cdef readonly dict moved
    cdef _apply(self, const Event *event, entry)
    cdef _accept(self, const OrderEvent *event)
    cdef _trade(self, const TradeEvent *event)
    cdef _close(self, const OrderEvent *event, entry)
    cdef _end_command(self, uint32_t index, entry, answer, const Event *first, const Event *stop)
    cdef _settle(self, Order order, const TradeEvent *event, int64_t hold_change, int64_t fee)
    cdef OwnTrade _fill(self, Order order, const TradeEvent *event, int64_t fee, bint is_buyer, bint is_maker)
    cdef _end(self, Order order, str status)
    cdef _level_changed(self, MarketScale market, int side, int64_t price_ticks, int64_t lots)
