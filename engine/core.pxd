from cpython.object cimport PyObject
from cython cimport final
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine.client_ids cimport ClientIds, ClientIdSlot
from engine.ladder cimport Ladder
from engine.order_ids cimport OrderIds
from engine.records cimport Command, Event, MarketDefinition

cdef enum:
    PREFETCH_COMMANDS = 32
    # With no more markets than this, their records are in the processor's cache anyway.
    MARKETS_IN_CACHE = 16
    # An account's balances and markets are searched by halving until this few are left.
    SEARCH_WALK_MAX = 8

cdef struct OrderInfo:
    # What the core keeps of a resting order beside the ladder's node of the same handle.
    int64_t quantity_lots
    int64_t cumulative_quote
    # Of account and client id; 0 where it has none.
    uint32_t client_hash
    # The account's open orders in this market, oldest first.
    uint32_t next
    uint32_t previous
    uint32_t account
    char client_id[36]
    uint8_t order_type
    uint8_t time_in_force
    uint8_t self_trade_mode

cdef struct Working:
    # An order while a command works on it: the taker, or a resting order that is about to be closed.
    uint64_t order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t quote_amount
    int64_t left_lots
    int64_t cumulative_lots
    int64_t cumulative_quote
    uint32_t account
    uint8_t side
    uint8_t order_type
    uint8_t time_in_force
    uint8_t self_trade_mode
    char client_id[36]

cdef struct MarketRecord:
    uint32_t number
    uint32_t state
    MarketDefinition definition
    int64_t notional_unit
    uint64_t trades
    Ladder ladder
    OrderIds ids
    OrderInfo* infos
    uint32_t info_capacity

cdef struct Holding:
    # What an account has of one asset.
    int64_t available
    int64_t held
    uint32_t asset

cdef struct OpenOrders:
    # An account's open orders in one market.
    uint32_t market
    uint32_t count
    uint32_t head
    uint32_t tail

cdef struct AccountRecord:
    # Both arrays are sorted by number and searched by halving.
    Holding* holdings
    OpenOrders* open_orders
    uint16_t holding_count
    uint16_t holding_capacity
    uint16_t open_count
    uint16_t open_capacity
    bint frozen
    bint has_own_fees


@final
cdef class Core:
    cdef readonly int64_t time_us
    cdef readonly uint64_t rules_version
    cdef readonly uint32_t venue_state
    cdef readonly uint64_t last_order_id
    cdef readonly uint64_t open_order_count
    # The hot state, in C.
    cdef MarketRecord** markets
    cdef uint32_t market_count
    cdef AccountRecord* accounts
    cdef uint32_t account_count
    cdef uint32_t account_capacity
    cdef ClientIds client_ids
    # The cold state: names, keys, own fees, windows, which no order touches.
    cdef list assets
    cdef set asset_names
    cdef list symbols
    cdef list market_definitions
    cdef list account_names
    cdef set account_name_set
    cdef dict account_fees
    cdef dict account_keys
    cdef dict key_owners
    cdef dict windows
    # The event entry in hand: a bytes object that only this core knows, written in place.
    cdef PyObject* entry
    cdef Event* events
    cdef uint64_t event_capacity
    cdef uint64_t event_count
    cdef bytearray blobs
    cdef uint32_t command_index
    cdef uint32_t hashes[PREFETCH_COMMANDS]
    cdef uint8_t command_kind

    cdef int _begin_entry(self, uint64_t capacity) except -1
    cdef int _reserve_events(self, uint64_t capacity) except -1
    cdef bytes _finish_entry(self, uint32_t gateway, uint64_t boot, uint64_t number, int disposition)
    cdef void _prefetch(self, const Command* commands, uint32_t count) noexcept
    cdef int _carry_out(self, const Command* command, const uint8_t* blobs, uint64_t blob_length) except -1
    cdef int _administer(self, const Command* command, bytes blob) except -1
    cdef Event* _emit(self, int kind) except NULL
    cdef int _attach(self, Event* event, bytes blob) except -1
    cdef int _emit_rejected(self, const Command* command, int reason) except -1
    cdef int _emit_order(self, int kind, MarketRecord* market, const Working* order, int64_t hold_change, int reason) except -1

    cdef AccountRecord* _account(self, uint32_t number) noexcept
    cdef Holding* _holding(self, AccountRecord* account, uint32_t asset) except NULL
    cdef OpenOrders* _open_orders(self, AccountRecord* account, uint32_t market) except NULL
    cdef MarketRecord* _market(self, uint32_t number) noexcept

    cdef int _place(self, const Command* command) except -1
    cdef int _check_place(self, const Command* command) noexcept
    cdef int _check_limit(self, const Command* command, MarketRecord* market) noexcept
    cdef int _check_market(self, const Command* command, MarketRecord* market) noexcept
    cdef bint _has_funds(self, const Command* command, MarketRecord* market, int64_t available) noexcept
    cdef bint _can_buy(self, MarketRecord* market, int64_t lots, int64_t available) noexcept
    cdef bint _can_sell_for(self, MarketRecord* market, int64_t quote_amount, int64_t available) noexcept
    cdef bint _fills_whole(self, MarketRecord* market, const Working* order) noexcept
    cdef bint _match(self, MarketRecord* market, Working* taker) except -1
    cdef int _trade(self, MarketRecord* market, Working* taker, uint32_t handle, int64_t lots, int64_t value) except -1
    cdef int64_t _settle_side(
        self, MarketRecord* market, uint32_t account, bint buys, int64_t base, int64_t value, int64_t released, bint is_maker
    ) except -1
    cdef int64_t _fee_ppm(self, MarketRecord* market, uint32_t account, bint is_maker) except -1
    cdef int _rest(
        self, MarketRecord* market, OpenOrders* open_orders, const Working* order, uint32_t hash
    ) except -1
    cdef int _forget(self, MarketRecord* market, uint32_t handle) except -1
    cdef bint _find_client_id(
        self, uint32_t account, const char* client_id, uint32_t hash, ClientIdSlot* found
    ) noexcept
    cdef int _close(self, MarketRecord* market, const Working* order, int reason) except -1
    cdef int _close_resting(self, MarketRecord* market, uint32_t handle, int reason) except -1
    cdef int _cancel(self, const Command* command, bytes blob) except -1
    cdef uint64_t _close_all(self, uint32_t account, uint32_t market, int reason) except? 0
