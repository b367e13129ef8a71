"""What an exchange is, as C structs; the twin of `engine/reference/state.py`.

    Exchange       everything below, and the event entry in hand
    MarketRecord   definition, ladder (prices and their queues)
    Arena          the orders of all markets by handle; each node has an OrderInfo and an OrderTimes of the same handle
    OrderIds       order id -> handle, over the whole venue, whose order ids are dense
    HandleTable    (account, client id) -> handle; (account, market) -> AccountMarket
    AccountRecord  holdings by asset
    AccountMarket  an account's open orders in one market, oldest first, as a list that keeps orders that have gone until it
                   is full: an order that ends touches no other order of its account; and the account's fees there

What no order touches (names, keys, producers) is in Python dicts of `Core`.

**Cost.** Placing or cancelling an order: O(1), and O(1) a fill; closing all: O(1) an order. Memory: 120 to 200 bytes a
resting order with both indexes. Nothing is allocated once the arrays have grown to the size of the venue.

Amounts are below 2^62, and so is every product that is kept; a product that would pass that is seen, not wrapped. No function
of the package touches Python, but for those of `administration.pxi` and `report.pxi`: where memory is out they say so by
False, NULL or NO_MEMORY, and `Core.execute` raises.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from engine.book.handle_table cimport HandleTable, table_free, table_init
from engine.book.ladder cimport Arena, Ladder, arena_free, arena_init, ladder_free, side_number
from engine.book.memory cimport Room, room_free, room_grow
from engine.book.order_ids cimport OrderIds, ids_free, ids_init
from engine.book.walk cimport Taker
from engine.records cimport MARKET_STATE_TRADING, RECORD_CLIENT_ID_BYTES, Event, MarketDefinition

cdef enum:
    # Commands whose memory is asked for together, so that the waits overlap.
    BLOCK_COMMANDS = 4
    # The hashes of the client ids of the commands of four blocks.
    CLIENT_HASHES = 16
    # An account has this many balances in its record before they move elsewhere; the first room for accounts and the like.
    HOLDINGS_FEW = 2
    RECORDS_MIN = 64
    # The room of a list of open orders: at first, when it moves elsewhere, and from where on it is not short any more.
    OPEN_ORDERS_FEW = 3
    OPEN_ORDERS_MANY = 8
    SHORT_LIST_MAX = 64
    # In the place of a reason: memory is out.
    NO_MEMORY = -1

cdef extern from * nogil:
    """
    /* In the place of a rate of fees: the account has none of its own. */
    #define JIBEK_NO_RATE UINT32_MAX
    """
    const uint32_t NO_RATE "JIBEK_NO_RATE"

cdef struct Exchange
cdef struct MarketRecord
cdef struct AccountMarket

cdef struct OrderInfo:
    # What the core keeps of a resting order, besides the ladder's node of the same handle: one cache line.
    int64_t quantity_lots
    int64_t cumulative_quote
    # Of account and client id; 0 where it has none.
    uint32_t client_hash
    # The handle of the AccountMarket of its account and its market.
    uint32_t account_market
    char client_id[RECORD_CLIENT_ID_BYTES]
    # Order type, time in force and self-trade mode in four bits each, and above them the fee credit.
    uint32_t packed

cdef struct OrderTimes:
    # When an order was accepted, and when it was last filled. Written, and read only by a dump.
    int64_t created_us
    int64_t updated_us

cdef struct PlacedOrder:
    # An order from its check until it rests or is closed. Its traits are side, type, time in force and self-trade mode as an
    # event has them.
    Taker taker
    uint64_t traits
    uint64_t order_id
    int64_t price_ticks
    int64_t quantity_lots
    int64_t quote_amount
    # What remains of the quote amount.
    int64_t budget
    int64_t hold
    int64_t cumulative_lots
    int64_t cumulative_quote
    const char* client_id
    # The key of its price; of an order without a price the one that crosses all.
    int64_t key
    uint32_t client_hash
    uint32_t account
    uint32_t fee_ppm
    uint32_t fee_credit
    # OrderFlag bits.
    uint8_t flags
    bint is_ask
    Exchange* exchange
    MarketRecord* market
    AccountMarket* account_market

cdef struct MarketRecord:
    uint32_t number
    uint32_t state
    # Its assets as the third and fourth word of an event have them.
    uint64_t event_base
    uint64_t event_quote
    Ladder ladder
    int64_t lot_value_units
    uint64_t last_trade_id
    # One more with each change of a level of the book: the update id of the depth streams.
    uint64_t last_update_id
    # The price of the last trade; 0 before the first.
    int64_t last_price_ticks
    MarketDefinition definition
    # The places of the house's balances of the market's assets, if they have not moved.
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

cdef union OpenOrders:
    # Here while there is room for few, else elsewhere.
    OpenOrder few[OPEN_ORDERS_FEW]
    OpenOrder* many

cdef struct AccountMarket:
    # An account in one market: its open orders, oldest first, among them some that are open no more, and the
    # account's fees, NO_RATE if it has none. One cache line. Market 0 means all markets, and has only fees.
    OpenOrders orders
    uint32_t account
    uint32_t market
    uint32_t open_count
    uint32_t listed_count
    uint32_t capacity
    # The account's next one, by handle; 0 if this is the last.
    uint32_t next
    uint32_t maker_fee_ppm
    uint32_t taker_fee_ppm
    # The places of the account's balances of the market's assets, if they have not moved.
    uint16_t base
    uint16_t quote
    # Whether the fees were set for this market, and are not those for all markets.
    uint8_t fees_are_set

cdef union Holdings:
    # What an account has, sorted by asset: here while it is of few assets, else elsewhere.
    Holding few[HOLDINGS_FEW]
    Holding* many

cdef struct AccountRecord:
    # One cache line. The handles of its first AccountMarket, and of the one looked up last with its market; 0 if there is
    # none. Whether it has fees for all markets.
    uint32_t markets
    uint32_t recent
    uint32_t recent_market
    uint16_t holding_count
    uint8_t frozen
    uint8_t has_account_fees
    Holdings holdings

cdef struct AgendaItem:
    # Work that one command, or one entry, could not finish.
    uint32_t kind
    uint32_t account
    uint32_t market
    uint32_t reason

cdef struct Entry:
    # The event entry in hand: a bytes object that only the core knows, written in place. `grow` makes room for more events.
    PyObject* data
    Event* events
    uint64_t event_capacity
    uint64_t event_count
    bint (*grow)(Exchange* exchange) noexcept nogil
    # What is emitted answers the command with this index and kind.
    uint32_t command_index
    uint8_t command

cdef struct Exchange:
    int64_t time_us
    uint64_t rules_version
    uint64_t last_order_id
    uint32_t venue_state
    uint32_t market_count
    # All markets share one arena, one map of ids and one table of client ids.
    MarketRecord** markets
    AccountRecord* accounts
    Room account_room
    uint32_t account_count
    uint32_t account_market_count
    Arena arena
    OrderInfo* infos
    OrderTimes* times
    Room info_room
    Room time_room
    uint64_t info_capacity
    # With no more open orders than this, one more needs no more memory.
    uint64_t room
    # By handle; and the handle of each (account, market).
    AccountMarket* account_markets
    Room account_market_room
    HandleTable account_market_handles
    OrderIds ids
    HandleTable client_ids
    uint64_t client_id_seed
    # First in line first.
    AgendaItem* agenda
    uint32_t agenda_count
    uint32_t agenda_capacity
    Entry entry
    # What an operator has accepted last: the store's clock minus the machine's, the time then, and what the store's clock
    # showed. Only clock guards look.
    int64_t accepted_difference_us
    int64_t accepted_time_us
    int64_t accepted_store_us
    # The hash of the client id of each command of the blocks in hand.
    uint32_t client_hashes[CLIENT_HASHES]


cdef inline bint exchange_init(Exchange* exchange, uint64_t client_id_seed) noexcept nogil:
    """An exchange with nothing in it, not even the house; False where memory is out.

    Args:
        client_id_seed: random, so that no client can choose ids whose hashes collide. It never shows.
    """
    memset(exchange, 0, sizeof(Exchange))
    arena_init(&exchange.arena)
    ids_init(&exchange.ids)
    table_init(&exchange.client_ids)
    table_init(&exchange.account_market_handles)
    exchange.client_id_seed = client_id_seed
    exchange.venue_state = MARKET_STATE_TRADING
    if not room_grow(&exchange.account_market_room, 0, RECORDS_MIN * sizeof(AccountMarket)):
        return False
    # Handle 0 is not a record: it means every account in no market.
    exchange.account_markets = <AccountMarket*>exchange.account_market_room.memory
    memset(exchange.account_markets, 0, sizeof(AccountMarket))
    exchange.account_market_count = 1
    return True


cdef inline void exchange_free(Exchange* exchange) noexcept nogil:
    """Frees all memory but that of the entry in hand."""
    cdef uint32_t index
    for index in range(exchange.market_count):
        ladder_free(&exchange.arena, &exchange.markets[index].ladder)
        free(exchange.markets[index])
    free(exchange.markets)
    for index in range(exchange.account_market_count):
        if exchange.account_markets[index].capacity > OPEN_ORDERS_FEW:
            free(exchange.account_markets[index].orders.many)
    room_free(&exchange.account_market_room)
    table_free(&exchange.account_market_handles)
    for index in range(exchange.account_count):
        if exchange.accounts[index].holding_count > HOLDINGS_FEW:
            free(exchange.accounts[index].holdings.many)
    room_free(&exchange.account_room)
    arena_free(&exchange.arena)
    room_free(&exchange.info_room)
    room_free(&exchange.time_room)
    ids_free(&exchange.ids)
    table_free(&exchange.client_ids)
    free(exchange.agenda)


# -- the type, modes and fee credit of a resting order in one word, and the traits of an event


cdef inline uint32_t pack_order(uint64_t traits, uint32_t fee_credit) noexcept nogil:
    """The word of an order with the traits of its events."""
    return <uint32_t>(traits >> 16 & 15 | traits >> 20 & 0xF0 | traits >> 24 & 0xF00) | fee_credit << 12


cdef inline uint64_t order_traits(uint32_t packed, bint is_ask) noexcept nogil:
    """The traits that the events of a resting order have."""
    return (
        <uint64_t>side_number(is_ask) << 8
        | <uint64_t>(packed & 15) << 16
        | <uint64_t>(packed >> 4 & 15) << 24
        | <uint64_t>(packed >> 8 & 15) << 32
    )


cdef inline uint32_t order_credit(uint32_t packed) noexcept nogil:
    """The fee credit of a resting order, in millionths of a smallest unit."""
    return packed >> 12


cdef inline uint32_t with_credit(uint32_t packed, uint32_t fee_credit) noexcept nogil:
    """The same word with another fee credit."""
    return packed & 0xFFF | fee_credit << 12
