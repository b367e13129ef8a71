"""The phases of an order, in C: check, hold, work, rest or close; and cancels; twin of `engine/reference/orders.py`."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from engine.book.ladder cimport Node, ladder_is_ask, ladder_price, ladder_remove, ladder_rest
from engine.book.memory cimport jibek_assert, jibek_likely, jibek_unlikely
from engine.book.order_ids cimport ids_insert, ids_remove
from engine.book.walk cimport WALK_FILL_LIMIT, WALK_SATISFIED, WALK_STOPPED, WalkEnd
from engine.core.accounts cimport (
    find_client,
    find_market,
    find_order,
    is_open,
    list_order,
    listed_orders,
    next_market_of,
    reserve_orders,
    shrink_orders,
    unlist_order,
)
from engine.core.agenda cimport add_to_agenda, has_room
from engine.core.checks cimport check_order
from engine.core.events cimport command_traits, emit_order, mark_taker_filled
from engine.core.matching cimport fills_whole, match_order, would_take
from engine.core.money cimport hold_funds, hold_of, release_funds
from engine.core.state cimport (
    NO_MEMORY,
    AccountMarket,
    AccountRecord,
    AgendaItem,
    Exchange,
    Holding,
    MarketRecord,
    OrderInfo,
    PlacedOrder,
    pack_order,
    order_traits,
)
from engine.order_types cimport ORDER_FLAG_ALL_OR_NONE, ORDER_FLAG_HAS_LIMIT, ORDER_FLAG_MAY_REST
from engine.records cimport (
    RECORD_CLIENT_ID_BYTES,
    AGENDA_KIND_CLOSE_ORDERS,
    COMMAND_FLAG_NAMELESS_ONLY,
    COMMAND_FLAG_PARTLY_FILLED_ONLY,
    COMMAND_FLAG_UNFILLED_ONLY,
    EVENT_KIND_ORDER_ACCEPTED,
    EVENT_KIND_ORDER_CLOSED,
    REASON_CANCELLED_BY_OWNER,
    REASON_CANCEL_RESTRICTED,
    REASON_FILL_LIMIT,
    REASON_FILL_OR_KILL_EXPIRED,
    REASON_IOC_REMAINDER_EXPIRED,
    REASON_MARKET_REMAINDER_EXPIRED,
    REASON_NO_OPEN_ORDERS,
    REASON_NONE,
    REASON_UNKNOWN_ACCOUNT,
    REASON_UNKNOWN_MARKET,
    REASON_UNKNOWN_ORDER,
    Command,
    OrderEvent,
)


cdef inline int place_order(Exchange* exchange, const Command* command, uint32_t client_hash) noexcept nogil:
    """Checks, accepts and holds for an order, works it, and rests or closes its remainder; the reason if it is refused.

    Args:
        client_hash: of the account and the client id (`client_id_hash`); looked at where it has one.
    """
    cdef PlacedOrder order
    cdef Holding* holding = NULL
    cdef int reason
    order.exchange = exchange
    order.client_hash = client_hash if command.client_id[0] else 0
    reason = check_order(command, &order, &holding)
    if jibek_unlikely(reason != REASON_NONE):
        return reason
    order.traits = command_traits(command)
    if jibek_unlikely(not accept_order(&order, holding)):
        return NO_MEMORY
    return work_order(&order)


cdef inline bint accept_order(PlacedOrder* order, Holding* holding) noexcept nogil:
    """Gives the order its id and holds its funds; False where memory is out."""
    cdef Exchange* exchange = order.exchange
    cdef OrderEvent* event
    hold_funds(holding, order.hold)
    exchange.last_order_id += 1
    order.order_id = exchange.last_order_id
    event = emit_order(
        exchange,
        order.market,
        order.traits | EVENT_KIND_ORDER_ACCEPTED,
        order.order_id,
        order.account,
        order.flags,
        order.client_id,
    )
    if jibek_unlikely(event == NULL):
        return False
    event.price_ticks = order.price_ticks
    event.quantity_lots = order.quantity_lots
    event.amount = order.quote_amount
    event.cumulative_lots = 0
    event.cumulative_quote = 0
    event.remaining_lots = order.quantity_lots
    event.hold_change = order.hold
    event.working_us = exchange.time_us
    return True


cdef inline int work_order(PlacedOrder* order) noexcept nogil:
    """Lets an order trade, and rests or closes its remainder."""
    cdef WalkEnd end
    # Most orders meet no maker and rest. An all-or-none order never rests, so this may come first.
    if not would_take(order.market, order.is_ask, order.key):
        if jibek_likely(order.flags & ORDER_FLAG_MAY_REST):
            return rest_order(order, order.quantity_lots)
    if jibek_unlikely(order.flags & ORDER_FLAG_ALL_OR_NONE) and not fills_whole(order):
        return close_placed(order, order.quantity_lots, REASON_FILL_OR_KILL_EXPIRED)
    end = match_order(order)
    if jibek_unlikely(end == WALK_STOPPED):
        return NO_MEMORY
    shrink_orders(order.exchange)
    if end == WALK_SATISFIED and order.cumulative_lots:
        mark_taker_filled(order.exchange)
        return REASON_NONE
    if jibek_unlikely(order.quote_amount):
        order.taker.remaining_lots = 0
    if jibek_unlikely(end == WALK_FILL_LIMIT):
        return close_placed(order, order.taker.remaining_lots, REASON_FILL_LIMIT)
    if order.flags & ORDER_FLAG_MAY_REST:
        return rest_order(order, order.taker.remaining_lots)
    if order.flags & ORDER_FLAG_HAS_LIMIT:
        return close_placed(order, order.taker.remaining_lots, REASON_IOC_REMAINDER_EXPIRED)
    return close_placed(order, order.taker.remaining_lots, REASON_MARKET_REMAINDER_EXPIRED)


cdef inline int rest_order(PlacedOrder* order, int64_t remaining_lots) noexcept nogil:
    """Puts the remainder of an order into the book and into every index."""
    cdef Exchange* exchange = order.exchange
    cdef uint32_t handle
    cdef OrderInfo* info
    jibek_assert(remaining_lots > 0)
    jibek_assert(not would_take(order.market, order.is_ask, order.key))
    handle = ladder_rest(&exchange.arena, &order.market.ladder, order.key, remaining_lots, order.order_id)
    if jibek_unlikely(handle == 0):
        return NO_MEMORY
    if jibek_unlikely(exchange.arena.live > exchange.room) and not reserve_orders(exchange):
        return NO_MEMORY
    if jibek_unlikely(not ids_insert(&exchange.ids, exchange.arena.nodes, order.order_id, handle)):
        return NO_MEMORY
    info = &exchange.infos[handle]
    info.quantity_lots = order.quantity_lots
    info.cumulative_quote = order.cumulative_quote
    info.client_hash = order.client_hash
    info.account_market = <uint32_t>(order.account_market - exchange.account_markets)
    memcpy(info.client_id, order.client_id, RECORD_CLIENT_ID_BYTES)
    info.packed = pack_order(order.traits, order.fee_credit)
    exchange.times[handle].created_us = exchange.time_us
    exchange.times[handle].updated_us = exchange.time_us
    order.market.last_update_id += 1
    return REASON_NONE if list_order(exchange, order.account_market, handle, order.order_id) else NO_MEMORY


cdef inline int close_placed(PlacedOrder* order, int64_t remaining_lots, int reason) noexcept nogil:
    """Ends an order that never rested with something left, and releases what it still holds."""
    cdef Exchange* exchange = order.exchange
    cdef MarketRecord* market = order.market
    cdef int64_t released = 0
    cdef OrderEvent* event
    if order.flags & ORDER_FLAG_HAS_LIMIT:
        released = hold_of(market, order.is_ask, order.price_ticks, remaining_lots)
        if not release_funds(market, &exchange.accounts[order.account], order.account_market, order.is_ask, released):
            return NO_MEMORY
    event = emit_order(
        exchange,
        market,
        order.traits | EVENT_KIND_ORDER_CLOSED | <uint64_t>reason << 48,
        order.order_id,
        order.account,
        order.flags,
        order.client_id,
    )
    if event == NULL:
        return NO_MEMORY
    event.price_ticks = order.price_ticks
    event.quantity_lots = order.quantity_lots
    event.amount = order.quote_amount
    event.cumulative_lots = order.cumulative_lots
    event.cumulative_quote = order.cumulative_quote
    event.remaining_lots = remaining_lots
    event.hold_change = -released
    event.working_us = 0
    return REASON_NONE


cdef inline int close_order(Exchange* exchange, uint32_t handle, int reason) noexcept nogil:
    """Ends an order that rests, and releases what it still holds. Handles may change."""
    cdef OrderInfo* info = &exchange.infos[handle]
    cdef const Node* node = &exchange.arena.nodes[handle]
    cdef AccountMarket* account_market = &exchange.account_markets[info.account_market]
    cdef MarketRecord* market = exchange.markets[account_market.market - 1]
    cdef bint is_ask = ladder_is_ask(node)
    cdef int64_t price_ticks = ladder_price(node)
    cdef int64_t released = hold_of(market, is_ask, price_ticks, node.remaining_lots)
    cdef AccountRecord* account = &exchange.accounts[account_market.account]
    cdef OrderEvent* event
    if jibek_unlikely(not release_funds(market, account, account_market, is_ask, released)):
        return NO_MEMORY
    event = emit_order(
        exchange,
        market,
        order_traits(info.packed, is_ask) | EVENT_KIND_ORDER_CLOSED | <uint64_t>reason << 48,
        node.order_id,
        account_market.account,
        ORDER_FLAG_MAY_REST,
        info.client_id,
    )
    if jibek_unlikely(event == NULL):
        return NO_MEMORY
    event.price_ticks = price_ticks
    event.quantity_lots = info.quantity_lots
    event.amount = 0
    event.cumulative_lots = info.quantity_lots - node.remaining_lots
    event.cumulative_quote = info.cumulative_quote
    event.remaining_lots = node.remaining_lots
    event.hold_change = -released
    event.working_us = 0
    market.last_update_id += 1
    unlist_order(exchange, account_market, handle)
    ids_remove(&exchange.ids, exchange.arena.nodes, handle)
    ladder_remove(&exchange.arena, &market.ladder, handle)
    shrink_orders(exchange)
    return REASON_NONE


cdef inline int cancel_order(Exchange* exchange, const Command* command, uint32_t client_hash) noexcept nogil:
    """Cancels one open order, named by its id or its client id; the reason where it is refused."""
    cdef uint32_t handle
    cdef int reason
    if jibek_unlikely(find_market(exchange, command.market) == NULL):
        return REASON_UNKNOWN_MARKET
    if jibek_unlikely(find_client(exchange, command.account) == NULL):
        return REASON_UNKNOWN_ACCOUNT
    handle = find_order(
        exchange, command.account, command.market, command.order_id, command.client_id, client_hash
    )
    if jibek_unlikely(handle == 0):
        return REASON_UNKNOWN_ORDER
    if jibek_unlikely(command.flags):
        reason = check_restrictions(exchange, handle, command.flags)
        if reason != REASON_NONE:
            return reason
    return close_order(exchange, handle, REASON_CANCELLED_BY_OWNER)


cdef inline int check_restrictions(const Exchange* exchange, uint32_t handle, uint32_t flags) noexcept nogil:
    """The reason where an order is not as the flags of a cancel ask for."""
    cdef int64_t filled_lots = exchange.infos[handle].quantity_lots - exchange.arena.nodes[handle].remaining_lots
    if flags & COMMAND_FLAG_NAMELESS_ONLY and exchange.infos[handle].client_id[0]:
        return REASON_UNKNOWN_ORDER
    if flags & COMMAND_FLAG_UNFILLED_ONLY and filled_lots:
        return REASON_CANCEL_RESTRICTED
    if flags & COMMAND_FLAG_PARTLY_FILLED_ONLY and filled_lots == 0:
        return REASON_CANCEL_RESTRICTED
    return REASON_NONE


cdef inline int cancel_all_orders(Exchange* exchange, uint32_t account, uint32_t market) noexcept nogil:
    """Cancels the open orders of an account, in one market or (0) in all; the reason where it is refused."""
    if market > exchange.market_count:
        return REASON_UNKNOWN_MARKET
    if find_client(exchange, account) == NULL:
        return REASON_UNKNOWN_ACCOUNT
    if next_market_of(exchange, account, market) == 0:
        return REASON_NO_OPEN_ORDERS
    if not add_to_agenda(exchange, AGENDA_KIND_CLOSE_ORDERS, account, market, REASON_CANCELLED_BY_OWNER):
        return NO_MEMORY
    return REASON_NONE


cdef inline int close_orders(Exchange* exchange, const AgendaItem* item, bint* is_done) noexcept nogil:
    """Closes the open orders of the item's account, by market number, then by id; notes whether all of them are closed.

    A step of the agenda. What was cancelled since the item was added is not open any more.
    """
    cdef AccountMarket* account_market
    cdef uint32_t handle, place, listed_count
    cdef int reason
    handle = next_market_of(exchange, item.account, item.market)
    while handle:
        account_market = &exchange.account_markets[handle]
        place = 0
        while account_market.open_count:
            if not has_room(exchange):
                is_done[0] = False
                return REASON_NONE
            listed_count = account_market.listed_count
            if is_open(exchange, account_market, &listed_orders(account_market)[place]):
                reason = close_order(exchange, listed_orders(account_market)[place].handle, <int>item.reason)
                if jibek_unlikely(reason != REASON_NONE):
                    return reason
            place += 1
            # Where few orders are left they move to new memory, and the list is rid of those that have gone.
            if account_market.listed_count != listed_count:
                place = 0
        handle = next_market_of(exchange, item.account, item.market)
    is_done[0] = True
    return REASON_NONE
