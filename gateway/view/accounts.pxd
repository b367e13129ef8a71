from libc.stdint cimport int64_t, uint8_t

from gateway.dialect.market_scale cimport MarketScale


cdef class Balance:
    cdef public int64_t available
    cdef public int64_t held
    # What orders on their way may take of it, and how many of them may take all that is available.
    cdef public int64_t sought
    cdef public int64_t unbounded


cdef class OpenCount:
    cdef readonly int64_t count


cdef class OnTheWay:
    cdef public int64_t commands
    cdef public int64_t orders
    cdef public int64_t cancels
    cdef public int64_t cancels_of_all
    cdef public dict named
    cdef public int64_t refusals_spent
    cdef public int64_t refusals_largest
    cdef public int64_t refilled_ms
    cdef public list freed


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
    # As in the records, 36 bytes; None where the client gave none.
    cdef readonly bytes client_key
    # Cancels of it that are on their way.
    cdef public int64_t cancels
    cdef OpenCount open_count
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
    cdef public uint8_t tier
    cdef readonly dict balances
    cdef readonly dict open
    cdef readonly dict open_by_client
    cdef readonly dict open_counts
    cdef readonly dict closed
    cdef object _closed_ids
    cdef readonly dict found_by_client
    cdef readonly object trades
    cdef readonly list subscriptions
    cdef readonly dict fees
    cdef public int64_t updated_us
    cdef readonly OnTheWay on_the_way
    cpdef Balance balance(self, int64_t asset)
    cpdef opened_now(self, Order order)
    cpdef closed_now(self, Order order)
