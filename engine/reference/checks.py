"""Why an order is refused, in order of precedence. Nothing here changes anything."""

from __future__ import annotations

from engine.definitions import reject_unless
from engine.order_types import OrderFlag, OrderType, order_flags
from engine.reasons import Reason
from engine.records import Command, MarketDefinition, MarketState, SelfTradeMode, Side
from engine.reference.accounts import find_client
from engine.reference.matching import cost_of, lots_sold_for, would_take
from engine.reference.state import Account, Exchange, Market


def check_order(exchange: Exchange, command: Command) -> tuple[Market, OrderFlag]:
    """Refuses an order that may not be placed; else its market and what it may do."""
    check_record(command)
    market, account = check_open_for(exchange, command)
    flags = check_terms(command)
    if flags & OrderFlag.HAS_LIMIT:
        check_limit(command, market)
    else:
        check_no_limit(command, market, flags)
    check_state(command, market, account, flags)
    return market, flags


def check_record(command: Command) -> None:
    """Refuses a command with fields in use that no order type has, and a client id in another form than its own."""
    unused = (
        command.flags,
        command.asset,
        command.order_id,
        command.trigger_ticks,
        command.display_lots,
        command.expiry_us,
        command.group,
        command.blob_length,
        command.state,
    )
    reject_unless(not any(unused), Reason.MALFORMED_COMMAND)
    # Zero bytes only pad: the same text must not have two forms.
    reject_unless(b"\0" not in command.client_id.rstrip(b"\0"), Reason.INVALID_CLIENT_ID)


def check_open_for(exchange: Exchange, command: Command) -> tuple[Market, Account]:
    """Refuses an order for a market or an account that does not exist or may not trade now."""
    reject_unless(command.market in exchange.markets, Reason.UNKNOWN_MARKET)
    market, account = exchange.markets[command.market], find_client(exchange, command.account)
    reject_unless(not account.frozen, Reason.ACCOUNT_FROZEN)
    reject_unless(exchange.venue_state == MarketState.TRADING, Reason.VENUE_HALTED)
    reject_unless(market.state == MarketState.TRADING, Reason.MARKET_HALTED)
    return market, account


def check_terms(command: Command) -> OrderFlag:
    """What an order of this type and time in force may do; refuses a combination that does not exist."""
    reject_unless(command.side in (Side.BUY, Side.SELL), Reason.INVALID_SIDE)
    reject_unless(0 < command.order_type <= len(OrderType), Reason.INVALID_ORDER_TYPE)
    flags = order_flags(command.order_type, command.time_in_force)
    reject_unless(flags, Reason.INVALID_TIME_IN_FORCE)
    reject_unless(command.self_trade_mode == SelfTradeMode.NONE, Reason.INVALID_SELF_TRADE_MODE)
    return flags


def check_limit(command: Command, market: Market) -> None:
    """The numbers of an order with a limit."""
    limits = market.definition
    reject_unless(command.amount == 0, Reason.INVALID_QUOTE_AMOUNT)
    in_range = limits.price_min_ticks <= command.price_ticks <= limits.price_max_ticks
    reject_unless(in_range, Reason.INVALID_PRICE)
    check_quantity(command, limits)
    check_value(market.value(command.price_ticks, command.quantity_lots), limits)


def check_no_limit(command: Command, market: Market, flags: OrderFlag) -> None:
    """The numbers of an order without a limit, by quantity or by quote amount."""
    limits = market.definition
    reject_unless(command.price_ticks == 0, Reason.INVALID_PRICE)
    if command.amount != 0:
        by_quote = flags & OrderFlag.BY_QUOTE and command.amount > 0 and command.quantity_lots == 0
        reject_unless(by_quote, Reason.INVALID_QUOTE_AMOUNT)
        check_value(command.amount, limits)
        return
    check_quantity(command, limits)
    # The value of an order without a price is taken at the best price it meets; in an empty book it has none.
    best = market.best(Side.SELL if command.side == Side.BUY else Side.BUY)
    if best is not None:
        check_value(market.value(best, command.quantity_lots), limits)


def check_quantity(command: Command, limits: MarketDefinition) -> None:
    """The quantity is within the market's limits."""
    in_range = limits.quantity_min_lots <= command.quantity_lots <= limits.quantity_max_lots
    reject_unless(in_range, Reason.INVALID_QUANTITY)


def check_value(value: int, limits: MarketDefinition) -> None:
    """The value is within the market's limits."""
    reject_unless(value >= limits.notional_min, Reason.NOTIONAL_TOO_SMALL)
    reject_unless(value <= limits.notional_max, Reason.NOTIONAL_TOO_LARGE)


def check_state(command: Command, market: Market, account: Account, flags: OrderFlag) -> None:
    """What depends on the state: the account's open orders and funds, and the book."""
    reject_unless(command.client_id not in account.order_by_client_id, Reason.DUPLICATE_CLIENT_ID)
    if flags & OrderFlag.MAY_REST:
        below_maximum = account.open_orders.get(market.number, 0) < market.definition.open_orders_max
        reject_unless(below_maximum, Reason.TOO_MANY_OPEN_ORDERS)
    if not flags & OrderFlag.MAY_TAKE:
        reject_unless(not would_take(market, command.side, command.price_ticks), Reason.WOULD_TAKE)
    definition = market.definition
    asset = definition.quote_asset if command.side == Side.BUY else definition.base_asset
    available = account.available(asset)
    reject_unless(available >= funds_needed(command, market, flags), Reason.INSUFFICIENT_FUNDS)


def funds_needed(command: Command, market: Market, flags: OrderFlag) -> int:
    """What must be available: exactly what is then held, or without a limit what the fills can cost."""
    lot_units = market.definition.lot_units
    if flags & OrderFlag.HAS_LIMIT:
        if command.side == Side.BUY:
            return market.value(command.price_ticks, command.quantity_lots)
        return command.quantity_lots * lot_units
    if command.side == Side.BUY:
        return command.amount or cost_of(market, command.quantity_lots)
    return (command.quantity_lots or lots_sold_for(market, command.amount)) * lot_units
