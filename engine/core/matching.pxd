# cython: cdivision=True
# Divisors are never zero and dividends never negative, so C's division is exact here and needs no checks.
"""What a fill does, in C, and the questions that follow the same walk; the twin of `engine/reference/matching.py`.

The walk itself is `engine/book/walk.pxd`, the same for this core and for the book as a library. This file has the functions
that it calls for each fill and each price, with a PlacedOrder as their owner.

    plan_fills            walk_look, which reports the fills one by one
    makers, crosses       may_trade in walk.pxd
    match_order, fill     walk_take with `fill`
    cost_of, …            walk_look with a function that adds up
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from engine.book.ladder cimport Node, ladder_crosses
from engine.book.memory cimport jibek_assert, jibek_likely, jibek_unlikely
from engine.book.walk cimport (
    WALK_NO_MAKER,
    WALK_SATISFIED,
    Taker,
    WalkEnd,
    walk_fills,
    walk_look,
    walk_take,
    wanted_lots,
)
from engine.core.accounts cimport unlist_order
from engine.core.events cimport emit_trade
from engine.core.money cimport fee_of, fee_rate_ppm, hold_of, settle_side, value_of
from engine.core.state cimport (
    AccountMarket,
    Exchange,
    MarketRecord,
    OrderInfo,
    PlacedOrder,
    order_credit,
    with_credit,
)
from engine.order_types cimport ORDER_FLAG_HAS_LIMIT
from engine.records cimport AMOUNT_MAX, EVENT_FLAG_MAKER_FILLED, RECORD_FILLS_MAX, TradeEvent


cdef inline void begin_walk(PlacedOrder* order) noexcept nogil:
    """Makes the order ready for a walk: it wants everything that it asks for."""
    order.budget = order.quote_amount
    order.taker.key = order.key
    order.taker.is_ask = order.is_ask
    order.taker.fills_left = RECORD_FILLS_MAX
    # An order by quote amount knows what it wants only price by price.
    order.taker.remaining_lots = AMOUNT_MAX if order.quote_amount else order.quantity_lots


cdef inline int64_t affordable_lots(void* owner, Taker* taker, int64_t price_ticks) noexcept nogil:
    """How many lots the remainder of a quote amount buys, or is brought by, at a price."""
    cdef const PlacedOrder* order = <const PlacedOrder*>owner
    return order.budget // value_of(order.market, price_ticks, 1)


cdef inline bint would_take(const MarketRecord* market, bint is_ask, int64_t key) noexcept nogil:
    """Whether an order of that side and key would trade at once."""
    return ladder_crosses(&market.ladder, is_ask, key)


# -- what a walk would do: no order is changed


cdef inline bint spend_cost(void* owner, Taker* taker, uint32_t handle, int64_t price_ticks, int64_t lots) noexcept nogil:
    """Takes the cost of a fill off the budget; ends the walk where it does not suffice."""
    cdef PlacedOrder* order = <PlacedOrder*>owner
    order.budget -= value_of(order.market, price_ticks, lots)
    return order.budget >= 0


cdef inline bint count_sold(void* owner, Taker* taker, uint32_t handle, int64_t price_ticks, int64_t lots) noexcept nogil:
    """Counts the lots that a sell needs, and takes what they bring off the budget."""
    cdef PlacedOrder* order = <PlacedOrder*>owner
    order.budget -= value_of(order.market, price_ticks, lots)
    order.cumulative_lots += lots
    return True


cdef inline int64_t cost_of(PlacedOrder* order, int64_t most) noexcept nogil:
    """What buying the quantity without a limit costs now; something above `most` where it costs more than that."""
    begin_walk(order)
    order.budget = most
    walk_look(&order.market.ladder, &order.exchange.arena, &order.taker, order, wanted_lots, spend_cost)
    return most - order.budget


cdef inline int64_t lots_sold_for(PlacedOrder* order) noexcept nogil:
    """How many lots a sell without a limit needs now for its quote amount."""
    cdef int64_t lots
    # Counted where the order's own fills are counted later: it has had none yet.
    begin_walk(order)
    walk_look(&order.market.ladder, &order.exchange.arena, &order.taker, order, affordable_lots, count_sold)
    lots, order.cumulative_lots = order.cumulative_lots, 0
    return lots


cdef inline bint fills_whole(PlacedOrder* order) noexcept nogil:
    """Whether an order by quantity can be filled entirely at once."""
    return walk_fills(
        &order.market.ladder, &order.exchange.arena, order.is_ask, order.key, order.quantity_lots, RECORD_FILLS_MAX
    )


# -- what it does


cdef inline bint fill(void* owner, Taker* taker, uint32_t handle, int64_t price_ticks, int64_t lots) noexcept nogil:
    """One fill at the maker's price: quantities, money, fees, event. The walk then takes the lots off the maker."""
    cdef PlacedOrder* order = <PlacedOrder*>owner
    cdef Exchange* exchange = order.exchange
    cdef MarketRecord* market = order.market
    cdef const Node* node = &exchange.arena.nodes[handle]
    cdef OrderInfo* maker = &exchange.infos[handle]
    cdef AccountMarket* maker_account_market = &exchange.account_markets[maker.account_market]
    cdef int64_t base = lots * market.definition.lot_units
    cdef int64_t value = value_of(market, price_ticks, lots)
    cdef int64_t maker_remaining_lots = node.remaining_lots - lots
    cdef int64_t maker_released = value if order.is_ask else base
    cdef int64_t released = 0
    cdef uint32_t maker_ppm = fee_rate_ppm(market, maker_account_market, True)
    cdef uint32_t maker_credit = order_credit(maker.packed)
    cdef int64_t fee = fee_of(value if order.is_ask else base, order.fee_ppm, &order.fee_credit)
    cdef int64_t maker_fee = fee_of(base if order.is_ask else value, maker_ppm, &maker_credit)
    cdef TradeEvent* event
    if order.flags & ORDER_FLAG_HAS_LIMIT:
        released = hold_of(market, order.is_ask, order.price_ticks, lots)
    order.cumulative_lots += lots
    order.cumulative_quote += value
    maker.cumulative_quote += value
    market.last_trade_id += 1
    market.last_update_id += 1
    market.last_price_ticks = price_ticks
    event = emit_trade(exchange, order, node, maker, maker_account_market.account)
    if jibek_unlikely(event == NULL):
        return False
    event.trade_id = market.last_trade_id
    event.price_ticks = price_ticks
    event.quantity_lots = lots
    event.base_amount = base
    event.quote_amount = value
    event.cumulative_lots = order.cumulative_lots
    event.cumulative_quote = order.cumulative_quote
    event.remaining_lots = 0 if order.quote_amount else taker.remaining_lots - lots
    event.hold_change = -released
    event.maker_cumulative_lots = maker.quantity_lots - maker_remaining_lots
    event.maker_cumulative_quote = maker.cumulative_quote
    event.maker_remaining_lots = maker_remaining_lots
    event.maker_hold_change = -maker_released
    event.fee = fee
    event.maker_fee = maker_fee
    event.fee_ppm = order.fee_ppm
    event.maker_fee_ppm = maker_ppm
    event.fee_credit = order.fee_credit
    event.maker_fee_credit = maker_credit
    if jibek_unlikely(
        not settle_side(exchange, market, order.account_market, order.is_ask, base, value, released, fee)
        or not settle_side(exchange, market, maker_account_market, not order.is_ask, base, value, maker_released, maker_fee)
    ):
        return False
    if maker_remaining_lots == 0:
        event.flags = EVENT_FLAG_MAKER_FILLED
        unlist_order(exchange, maker_account_market, handle)
    else:
        maker.packed = with_credit(maker.packed, maker_credit)
        exchange.times[handle].updated_us = exchange.time_us
    return True


cdef inline bint fill_by_quote(
    void* owner, Taker* taker, uint32_t handle, int64_t price_ticks, int64_t lots
) noexcept nogil:
    """A fill of an order by quote amount: what it costs, or brings, is taken off the amount."""
    cdef PlacedOrder* order = <PlacedOrder*>owner
    order.budget -= value_of(order.market, price_ticks, lots)
    jibek_assert(order.budget >= 0)
    return fill(owner, taker, handle, price_ticks, lots)


cdef inline WalkEnd match_order(PlacedOrder* order) noexcept nogil:
    """Fills an order against the book as far as it goes. SATISFIED: it wants nothing more."""
    cdef Exchange* exchange = order.exchange
    cdef WalkEnd end
    begin_walk(order)
    order.fee_ppm = fee_rate_ppm(order.market, order.account_market, False)
    if jibek_likely(order.quote_amount == 0):
        return walk_take(
            &order.market.ladder, &exchange.arena, &exchange.ids, &order.taker, order, wanted_lots, fill
        )
    end = walk_take(
        &order.market.ladder, &exchange.arena, &exchange.ids, &order.taker, order, affordable_lots, fill_by_quote
    )
    return WALK_SATISFIED if end == WALK_NO_MAKER and order.budget == 0 else end
