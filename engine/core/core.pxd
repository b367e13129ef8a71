from cpython.object cimport PyObject
from cython cimport final
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from engine.book.handle_table cimport HandleTable
from engine.book.ladder cimport Arena, Ladder
from engine.book.memory cimport Room
from engine.book.order_ids cimport OrderIds
from engine.records cimport Command, Event, MarketDefinition

cdef enum:
    # Commands whose memory is asked for together, so that the waits overlap.
    BLOCK_COMMANDS = 4
    # The hashes of the client ids of the commands of four blocks.
    CLIENT_HASHES = 16
    # With no more markets than this, their records are in the processor's cache anyway.
    MARKETS_IN_CACHE = 16
    # An account's balances are searched by halving until this few are left.
    SEARCH_WALK_MAX = 8
    # The assets of which an account has something before they stand elsewhere, and the room for accounts and the like at first.
    HOLDINGS_FEW = 2
    RECORDS_MIN = 64
    # The room of a list of open orders: at first, when it stands elsewhere, and where it is no longer called short.
    OPEN_ORDERS_FEW = 3
    OPEN_ORDERS_MANY = 8
    SHORT_LIST_MAX = 64

cdef struct OrderInfo:
    # What the core keeps of a resting order beside the ladder's node of the same handle: one cache line.
    int64_t quantity_lots
    int64_t cumulative_quote
    # Of account and client id; 0 where it has none.
    uint32_t client_hash
    uint32_t account
    char client_id[36]
    uint16_t market
    uint8_t order_type
    # The time in force, and above four bits the self-trade mode.
    uint8_t modes

cdef struct Taker:
    # An order while it is matched. Its traits are side, type, time in force and self-trade mode as an event has them.
    uint64_t traits
    uint64_t order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t quote_amount
    int64_t left_lots
    int64_t cumulative_lots
    int64_t cumulative_quote
    # The key of its price; of an order without a price the one that crosses all.
    int64_t key
    const char* client_id
    uint32_t account
    bint sells
    bint has_price

cdef struct MarketRecord:
    uint32_t number
    uint32_t state
    # Its assets as an event has them.
    uint64_t event_assets
    Ladder ladder
    int64_t notional_unit
    uint64_t trades
    MarketDefinition definition
    # Where the house has its balances of the market's assets, if they have not moved.
    uint16_t house_base
    uint16_t house_quote

cdef struct Holding:
    # What an account has of one asset.
    int64_t available
    int64_t held
    uint32_t asset

cdef struct OpenOrder:
    # An order that was open when it was listed, and still is if its node has this id.
    uint32_t handle
    uint32_t id_low

cdef struct AccountMarket:
    # What an account has to do with one market: its open orders, oldest first, among them some that are open no more. One
    # cache line: few orders stand in it, more elsewhere.
    OpenOrder* many
    OpenOrder few[OPEN_ORDERS_FEW]
    uint32_t account
    uint32_t market
    uint32_t open_count
    uint32_t listed_count
    uint32_t capacity
    # The account's next one, by handle; 0 where there is none.
    uint32_t next
    # Where the account has its balances of the market's assets, if they have not moved.
    uint16_t base
    uint16_t quote

cdef union Holdings:
    # What an account has, sorted by asset: here while it is of few assets, else elsewhere.
    Holding few[HOLDINGS_FEW]
    Holding* many

cdef struct AccountRecord:
    # One cache line. The first of what it has to do with markets, and what was asked for last with its market; 0 where there
    # is none.
    uint32_t markets
    uint32_t recent
    uint32_t recent_market
    uint16_t holding_count
    uint8_t frozen
    uint8_t has_own_fees
    Holdings holdings


@final
cdef class Core:
    cdef readonly int64_t time_us
    cdef readonly uint64_t rules_version
    cdef readonly uint32_t venue_state
    cdef readonly uint64_t last_order_id
    # The hot state, in C. All markets share one arena, one map of ids and one table of client ids.
    cdef MarketRecord** markets
    cdef uint32_t market_count
    cdef AccountRecord* accounts
    cdef Room account_room
    cdef uint32_t account_count
    cdef Arena arena
    cdef OrderInfo* infos
    cdef Room info_room
    cdef uint64_t info_capacity
    # What accounts have to do with markets, by handle, and the handle of (account, market).
    cdef AccountMarket* account_markets
    cdef Room account_market_room
    cdef uint32_t account_market_count
    cdef HandleTable account_market_handles
    cdef OrderIds ids
    cdef HandleTable client_ids
    cdef uint64_t client_id_seed
    # With no more open orders than this, one more needs no more memory.
    cdef uint64_t room
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
    cdef uint8_t command_kind
    cdef uint32_t client_hashes[CLIENT_HASHES]

    cdef int _begin_entry(self, uint64_t capacity) except -1
    cdef int _reserve_events(self, uint64_t capacity) except -1
    cdef bytes _finish_entry(self, uint32_t gateway, uint64_t boot, uint64_t number, int disposition)
    cdef void _prefetch(self, const Command* commands, uint32_t index, uint32_t count) noexcept
    cdef void _prefetch_places(self, const Command* commands, uint32_t index, uint32_t count) noexcept
    cdef void _prefetch_records(self, const Command* commands, uint32_t index, uint32_t count) noexcept
    cdef void _prefetch_neighbours(self, const Command* commands, uint32_t index, uint32_t count) noexcept
    cdef void _prefetch_makers(self, MarketRecord* market) noexcept
    cdef uint32_t _known(self, uint32_t account) noexcept
    cdef int _carry_out(self, const Command* command, const uint8_t* blobs, uint64_t blob_length) except -1
    cdef int _carry_out_other(self, const Command* command, const uint8_t* blobs, uint64_t blob_length) except -1
    cdef int _administer(self, const Command* command, bytes blob) except -1
    cdef Event* _next_event(self) except NULL
    cdef Event* _emit(self, int kind) except NULL
    cdef int _attach(self, Event* event, bytes blob) except -1
    cdef int _emit_rejected(self, const Command* command, int reason) except -1

    cdef AccountRecord* _account(self, uint32_t number) noexcept
    cdef Holding* _find_holding(self, AccountRecord* account, uint32_t asset) except NULL
    cdef AccountMarket* _find_market(self, uint32_t account, uint32_t market) except NULL
    cdef uint32_t _known_market(self, uint32_t account, uint32_t market) noexcept
    cdef AccountMarket* _add_market(self, uint32_t account, uint32_t market) except NULL
    cdef list _markets_of(self, uint32_t account, uint32_t market)
    cdef MarketRecord* _market(self, uint32_t number) noexcept

    cdef int _place(self, const Command* command) except -1
    cdef int _take(
        self, MarketRecord* market, AccountMarket* own, const Command* command, int64_t key, uint32_t hash
    ) except -1
    cdef int _check_place(self, const Command* command, int64_t* hold) noexcept
    cdef bint _has_funds_at_market(self, const Command* command, MarketRecord* market, int64_t available) noexcept
    cdef bint _can_buy(self, MarketRecord* market, int64_t lots, int64_t available) noexcept
    cdef bint _can_sell_for(self, MarketRecord* market, int64_t quote_amount, int64_t available) noexcept
    cdef bint _match(self, MarketRecord* market, AccountMarket* own, Taker* taker) except -1
    cdef int _trade(
        self, MarketRecord* market, AccountMarket* own, Taker* taker, uint32_t handle, int64_t lots, int64_t value
    ) except -1
    cdef int64_t _settle_side(
        self,
        MarketRecord* market,
        AccountMarket* own,
        uint32_t account,
        bint buys,
        int64_t base,
        int64_t value,
        int64_t released,
        bint is_maker,
    ) except -1
    cdef int64_t _fee_ppm(self, MarketRecord* market, uint32_t account, bint is_maker) except -1
    cdef int _reserve_orders(self) except -1
    cdef void _set_room(self) noexcept
    cdef void _shrink(self) noexcept
    cdef void _make_anew(self) noexcept
    cdef int _rest(
        self,
        MarketRecord* market,
        AccountMarket* own,
        const Command* command,
        int64_t key,
        int64_t left_lots,
        int64_t cumulative_quote,
        uint32_t hash,
    ) except -1
    cdef int _forget(self, MarketRecord* market, AccountMarket* own, uint32_t handle) except -1
    cdef uint32_t _find_client_id(self, uint32_t account, const char* client_id, uint32_t hash) noexcept
    cdef int _close(self, MarketRecord* market, AccountMarket* own, const Taker* taker, int reason) except -1
    cdef int _close_resting(self, MarketRecord* market, uint32_t handle, int reason) except -1
    cdef bint _may_be_open(self, const OpenOrder* order) noexcept
    cdef bint _is_open(self, const AccountMarket* own, const OpenOrder* order) noexcept
    cdef int _tidy(self, AccountMarket* own) except -1
    cdef void _drop_ended(self, AccountMarket* own) noexcept
    cdef int _resize(self, AccountMarket* own, uint32_t capacity) except -1
    cdef int _cancel(self, const Command* command) except -1
    cdef uint64_t _close_all(self, uint32_t account, uint32_t market, int reason) except? 0
    cdef _open_order(self, uint32_t handle)
