"""The event entry in hand, in C; the twin of `engine/reference/events.py`.

Events are written where they will be read: into the bytes object that `Core.execute` returns. The prefix of an event is
written in four words, fewer stores than fields.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from engine.book.ladder cimport Node
from engine.book.memory cimport jibek_unlikely
from engine.core.state cimport Entry, Exchange, MarketRecord, OrderInfo, PlacedOrder
from engine.order_types cimport ORDER_FLAG_MAY_REST
from engine.records cimport (
    RECORD_CLIENT_ID_BYTES,
    EVENT_FLAG_MAY_REST,
    EVENT_FLAG_TAKER_FILLED,
    EVENT_FLAG_WORKING,
    EVENT_KIND_REJECTED,
    EVENT_KIND_TRADE,
    Command,
    Event,
    OrderEvent,
    TradeEvent,
)

cdef extern from * nogil:
    """
    #define JIBEK_TRAITS 0x000000ffffffff00ull
    """
    # The bytes of the first word of a command or an event that say side, type, time in force and self-trade mode.
    const uint64_t TRAITS "JIBEK_TRAITS"


cdef inline uint64_t command_traits(const Command* command) noexcept nogil:
    """A command begins with kind, side, type, time in force and self-trade mode, as an event does."""
    return (<const uint64_t*>command)[0] & TRAITS


cdef inline Event* next_event(Exchange* exchange) noexcept nogil:
    """Where the next event goes, which the caller fills; NULL where memory is out."""
    cdef Entry* entry = &exchange.entry
    if jibek_unlikely(entry.event_count == entry.event_capacity) and not entry.grow(exchange):
        return NULL
    entry.event_count += 1
    return &entry.events[entry.event_count - 1]


cdef inline OrderEvent* emit(Exchange* exchange, int kind) noexcept nogil:
    """The next event, all zero but for its kind and the command it answers; NULL where memory is out."""
    cdef Event* event = next_event(exchange)
    if event == NULL:
        return NULL
    memset(event, 0, sizeof(Event))
    event.order.kind = <uint8_t>kind
    event.order.command = exchange.entry.command
    event.order.command_index = exchange.entry.command_index
    return &event.order


cdef inline bint emit_rejected(Exchange* exchange, const Command* command, int reason) noexcept nogil:
    """REJECTED repeats what was asked for; False where memory is out."""
    cdef OrderEvent* event = emit(exchange, EVENT_KIND_REJECTED)
    if event == NULL:
        return False
    event.reason = <uint16_t>reason
    event.side = command.side
    event.order_type = command.order_type
    event.time_in_force = command.time_in_force
    event.self_trade_mode = command.self_trade_mode
    event.market = command.market
    event.account = command.account
    event.asset = command.asset
    event.order_id = command.order_id
    event.price_ticks = command.price_ticks
    event.quantity_lots = command.quantity_lots
    event.amount = command.amount
    memcpy(event.client_id, command.client_id, RECORD_CLIENT_ID_BYTES)
    return True


cdef inline void write_prefix(
    const Exchange* exchange,
    const MarketRecord* market,
    Event* event,
    uint64_t first_word,
    uint32_t account,
    uint64_t flags,
    uint32_t maker_account,
) noexcept nogil:
    """The first 32 bytes of an event of an order. The first word has its kind, traits and reason."""
    cdef uint64_t* words = <uint64_t*>event
    words[0] = first_word | <uint64_t>exchange.entry.command << 40
    words[1] = exchange.entry.command_index | <uint64_t>market.number << 32
    words[2] = account | flags << 32 | market.event_base
    words[3] = market.event_quote | <uint64_t>maker_account << 32


cdef inline void clear_terms(OrderEvent* event) noexcept nogil:
    """Clears the rare terms, which these orders do not have."""
    event.blob_offset = 0
    event.blob_length = 0
    event.trail_bps = 0
    event.trigger_ticks = 0
    event.activation_ticks = 0
    event.trailing_since_us = 0
    event.display_lots = 0
    event.visible_lots = 0
    event.expiry_us = 0
    event.minimum_lots = 0
    event.list_id = 0
    event.peg_limit_ticks = 0
    event.strategy_id = 0
    event.prevented_lots = 0
    event.peg_offset = 0
    event.strategy_type = 0
    event.self_trade_group = 0
    event.peg_type = 0
    event.reserved = 0
    event.reserved_2 = 0


cdef inline OrderEvent* emit_order(
    Exchange* exchange,
    const MarketRecord* market,
    uint64_t first_word,
    uint64_t order_id,
    uint32_t account,
    uint8_t order_flags,
    const char* client_id,
) noexcept nogil:
    """The prefix and the terms of ORDER_ACCEPTED or ORDER_CLOSED; the caller fills the numbers. NULL where memory is out."""
    cdef Event* event = next_event(exchange)
    cdef uint64_t flags = EVENT_FLAG_WORKING | (EVENT_FLAG_MAY_REST if order_flags & ORDER_FLAG_MAY_REST else 0)
    if jibek_unlikely(event == NULL):
        return NULL
    write_prefix(exchange, market, event, first_word, account, flags, 0)
    event.order.order_id = order_id
    memcpy(event.order.client_id, client_id, RECORD_CLIENT_ID_BYTES)
    clear_terms(&event.order)
    return &event.order


cdef inline TradeEvent* emit_trade(
    Exchange* exchange, const PlacedOrder* taker, const Node* maker, const OrderInfo* maker_info, uint32_t maker_account
) noexcept nogil:
    """The prefix and the names of a TRADE; the caller fills the numbers. NULL where memory is out."""
    cdef Event* event = next_event(exchange)
    if jibek_unlikely(event == NULL):
        return NULL
    write_prefix(exchange, taker.market, event, taker.traits | EVENT_KIND_TRADE, taker.account, 0, maker_account)
    event.trade.order_id = taker.order_id
    event.trade.maker_order_id = maker.order_id
    memcpy(event.trade.client_id, taker.client_id, RECORD_CLIENT_ID_BYTES)
    memcpy(event.trade.maker_client_id, maker_info.client_id, RECORD_CLIENT_ID_BYTES)
    return &event.trade


cdef inline void mark_taker_filled(Exchange* exchange) noexcept nogil:
    """Says in the last TRADE that its taker has nothing left to do."""
    exchange.entry.events[exchange.entry.event_count - 1].trade.flags |= EVENT_FLAG_TAKER_FILLED
