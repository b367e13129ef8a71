"""Why an order is refused, in C, in order of precedence; the twin of `engine/reference/checks.py`.

Each function returns the reason, or REASON_NONE. Nothing changes that a dump shows; a record of the account in the market
may be made.
"""

from libc.stdint cimport int64_t, uint64_t

from engine.book.ladder cimport NO_ASK, ladder_best_ask, ladder_best_bid, ladder_key, side_is_ask
from engine.book.memory cimport jibek_likely, jibek_unlikely
from engine.core.accounts cimport (
    find_account_market,
    add_account_market,
    find_client,
    find_client_id,
    find_market,
    paying_holding,
)
from engine.core.client_ids cimport client_id_is_padded, client_id_read
from engine.core.matching cimport cost_of, lots_sold_for, would_take
from engine.core.money cimport jibek_multiply, value_of
from engine.core.state cimport NO_MEMORY, AccountRecord, Exchange, Holding, MarketRecord, PlacedOrder
from engine.order_types cimport (
    ORDER_FLAG_BY_QUOTE,
    ORDER_FLAG_HAS_LIMIT,
    ORDER_FLAG_MAY_REST,
    ORDER_FLAG_MAY_TAKE,
    ORDER_FLAGS,
    ORDER_TYPE_MAX,
    TIME_IN_FORCE_MAX,
)
from engine.records cimport (
    AMOUNT_MAX,
    MARKET_STATE_TRADING,
    REASON_ACCOUNT_FROZEN,
    REASON_DUPLICATE_CLIENT_ID,
    REASON_INSUFFICIENT_FUNDS,
    REASON_INVALID_CLIENT_ID,
    REASON_INVALID_ORDER_TYPE,
    REASON_INVALID_PRICE,
    REASON_INVALID_QUANTITY,
    REASON_INVALID_QUOTE_AMOUNT,
    REASON_INVALID_SELF_TRADE_MODE,
    REASON_INVALID_SIDE,
    REASON_INVALID_TIME_IN_FORCE,
    REASON_MALFORMED_COMMAND,
    REASON_MARKET_HALTED,
    REASON_NONE,
    REASON_NOTIONAL_TOO_LARGE,
    REASON_NOTIONAL_TOO_SMALL,
    REASON_TOO_MANY_OPEN_ORDERS,
    REASON_UNKNOWN_ACCOUNT,
    REASON_UNKNOWN_MARKET,
    REASON_VENUE_HALTED,
    REASON_WOULD_TAKE,
    SELF_TRADE_MODE_NONE,
    SIDE_BUY,
    SIDE_SELL,
    Command,
)


cdef inline int check_record(const Command* command) noexcept nogil:
    """Fields in use that no order type has, and a client id in another form than its own."""
    # Or-ed, so that one question does for what no order uses.
    if jibek_unlikely(
        (
            command.flags | command.asset | command.order_id | <uint64_t>command.trigger_ticks
            | <uint64_t>command.display_lots | <uint64_t>command.expiry_us | command.group
            | command.blob_length | command.state
        ) != 0
    ):
        return REASON_MALFORMED_COMMAND
    if jibek_unlikely(not client_id_is_padded(client_id_read(command.client_id))):
        return REASON_INVALID_CLIENT_ID
    return REASON_NONE


cdef inline int check_open_for(
    const Exchange* exchange, const MarketRecord* market, const AccountRecord* account
) noexcept nogil:
    """A market or an account that does not exist or may not trade now."""
    if jibek_unlikely(market == NULL):
        return REASON_UNKNOWN_MARKET
    if jibek_unlikely(account == NULL):
        return REASON_UNKNOWN_ACCOUNT
    if jibek_unlikely(account.frozen):
        return REASON_ACCOUNT_FROZEN
    if jibek_unlikely(exchange.venue_state != MARKET_STATE_TRADING):
        return REASON_VENUE_HALTED
    if jibek_unlikely(market.state != MARKET_STATE_TRADING):
        return REASON_MARKET_HALTED
    return REASON_NONE


cdef inline int check_terms(const Command* command, PlacedOrder* order) noexcept nogil:
    """An order of no known type or time in force; notes what an order of those may do."""
    # As unsigned numbers what is too small is large, so one comparison does for both ends.
    if jibek_unlikely(command.side - SIDE_BUY > <unsigned int>(SIDE_SELL - SIDE_BUY)):
        return REASON_INVALID_SIDE
    if jibek_unlikely(command.order_type - 1 > <unsigned int>(ORDER_TYPE_MAX - 1)):
        return REASON_INVALID_ORDER_TYPE
    if jibek_unlikely(command.time_in_force > TIME_IN_FORCE_MAX):
        return REASON_INVALID_TIME_IN_FORCE
    order.flags = ORDER_FLAGS[command.order_type][command.time_in_force]
    if jibek_unlikely(order.flags == 0):
        return REASON_INVALID_TIME_IN_FORCE
    if jibek_unlikely(command.self_trade_mode != SELF_TRADE_MODE_NONE):
        return REASON_INVALID_SELF_TRADE_MODE
    return REASON_NONE


cdef inline int check_quantity(const MarketRecord* market, int64_t quantity_lots) noexcept nogil:
    """A quantity outside the market's limits."""
    if market.definition.quantity_min_lots <= quantity_lots <= market.definition.quantity_max_lots:
        return REASON_NONE
    return REASON_INVALID_QUANTITY


cdef inline int check_value(const MarketRecord* market, int64_t value) noexcept nogil:
    """A value outside the market's limits."""
    if jibek_unlikely(value < market.definition.notional_min):
        return REASON_NOTIONAL_TOO_SMALL
    if jibek_unlikely(value > market.definition.notional_max):
        return REASON_NOTIONAL_TOO_LARGE
    return REASON_NONE


cdef inline int check_limit(const MarketRecord* market, const Command* command, PlacedOrder* order) noexcept nogil:
    """The numbers of an order with a limit; notes what it holds."""
    cdef int reason
    cdef int64_t value
    if jibek_unlikely(command.amount != 0):
        return REASON_INVALID_QUOTE_AMOUNT
    if not market.definition.price_min_ticks <= command.price_ticks <= market.definition.price_max_ticks:
        return REASON_INVALID_PRICE
    reason = check_quantity(market, command.quantity_lots)
    if jibek_unlikely(reason != REASON_NONE):
        return reason
    value = value_of(market, command.price_ticks, command.quantity_lots)
    order.hold = command.quantity_lots * market.definition.lot_units if side_is_ask(command.side) else value
    return check_value(market, value)


cdef inline int check_no_limit(const MarketRecord* market, const Command* command, int flags) noexcept nogil:
    """The numbers of an order without a limit, by quantity or by quote amount."""
    cdef int reason
    cdef int64_t best_ticks
    if command.price_ticks != 0:
        return REASON_INVALID_PRICE
    if command.amount != 0:
        if not flags & ORDER_FLAG_BY_QUOTE or command.amount < 0 or command.quantity_lots != 0:
            return REASON_INVALID_QUOTE_AMOUNT
        return check_value(market, command.amount)
    reason = check_quantity(market, command.quantity_lots)
    if reason != REASON_NONE:
        return reason
    # The value of an order without a price is taken at the best price it meets; in an empty book it has none.
    if side_is_ask(command.side):
        best_ticks = ladder_best_bid(&market.ladder)
        if best_ticks == 0:
            return REASON_NONE
    else:
        best_ticks = ladder_best_ask(&market.ladder)
        if best_ticks == NO_ASK:
            return REASON_NONE
    return check_value(market, value_of(market, best_ticks, command.quantity_lots))


cdef inline bint can_pay(PlacedOrder* order, int64_t available) noexcept nogil:
    """Whether `available` is enough: for what is then held, or without a limit for what the fills can cost."""
    if jibek_likely(order.flags & ORDER_FLAG_HAS_LIMIT):
        return available >= order.hold
    if not order.is_ask:
        if order.quote_amount:
            return available >= order.quote_amount
        return available >= cost_of(order, available)
    if order.quote_amount:
        # Many bids together may want more than a quantity may be: that times the lot can pass 64 bits.
        return available >= jibek_multiply(lots_sold_for(order), order.market.definition.lot_units)
    return available >= order.quantity_lots * order.market.definition.lot_units


cdef inline int check_state(const Command* command, PlacedOrder* order, Holding** holding) noexcept nogil:
    """What depends on the state: the account's open orders and funds, and the book; notes the balance that pays."""
    cdef Exchange* exchange = order.exchange
    cdef MarketRecord* market = order.market
    if command.client_id[0]:
        if jibek_unlikely(find_client_id(exchange, order.account, command.client_id, order.client_hash)):
            return REASON_DUPLICATE_CLIENT_ID
    order.account_market = find_account_market(exchange, order.account, market.number)
    if jibek_unlikely(order.account_market == NULL):
        order.account_market = add_account_market(exchange, order.account, market.number)
        if order.account_market == NULL:
            return NO_MEMORY
    if order.flags & ORDER_FLAG_MAY_REST:
        if jibek_unlikely(order.account_market.open_count >= market.definition.open_orders_max):
            return REASON_TOO_MANY_OPEN_ORDERS
    if jibek_unlikely(not order.flags & ORDER_FLAG_MAY_TAKE) and would_take(market, order.is_ask, order.key):
        return REASON_WOULD_TAKE
    holding[0] = paying_holding(market, &exchange.accounts[order.account], order.account_market, order.is_ask)
    if jibek_unlikely(holding[0] == NULL):
        return NO_MEMORY
    if jibek_unlikely(not can_pay(order, holding[0].available)):
        return REASON_INSUFFICIENT_FUNDS
    return REASON_NONE


cdef inline int check_order(const Command* command, PlacedOrder* order, Holding** holding) noexcept nogil:
    """Why an order may not be placed; else fills in what the command says, what the order may do, and what it pays from."""
    cdef Exchange* exchange = order.exchange
    cdef int reason = check_record(command)
    if jibek_unlikely(reason != REASON_NONE):
        return reason
    order.market = find_market(exchange, command.market)
    reason = check_open_for(exchange, order.market, find_client(exchange, command.account))
    if jibek_unlikely(reason != REASON_NONE):
        return reason
    reason = check_terms(command, order)
    if jibek_unlikely(reason != REASON_NONE):
        return reason
    order.hold = 0
    if jibek_likely(order.flags & ORDER_FLAG_HAS_LIMIT):
        reason = check_limit(order.market, command, order)
    else:
        reason = check_no_limit(order.market, command, order.flags)
    if jibek_unlikely(reason != REASON_NONE):
        return reason
    order.is_ask = side_is_ask(command.side)
    # Without a limit: the key that crosses every order and no empty side.
    order.key = ladder_key(order.is_ask, command.price_ticks) if order.flags & ORDER_FLAG_HAS_LIMIT else AMOUNT_MAX
    order.account = command.account
    order.price_ticks = command.price_ticks
    order.quantity_lots = command.quantity_lots
    order.quote_amount = command.amount
    order.cumulative_lots = 0
    order.cumulative_quote = 0
    order.fee_credit = 0
    order.client_id = &command.client_id[0]
    return check_state(command, order, holding)
