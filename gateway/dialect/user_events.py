"""User data events: execution reports, positions, balance updates; and the messages that end a stream."""

from __future__ import annotations

from collections.abc import Iterable

from engine.listing import Asset
from gateway.dialect.market_data import combined
from gateway.dialect.names import ORDER_TYPE_NAMES, SIDE_NAMES, TIME_IN_FORCE_NAMES
from gateway.dialect.numbers import ZERO, asset_unit_e8, format_e8
from gateway.dialect.replies import commission_of, shown_balances
from gateway.view.accounts import Account, Order, OwnTrade


def execution_report(
    order: Order,
    time_us: int,
    unit: int,
    *,
    execution: str,
    execution_id: int,
    client: str,
    original_client: str,
    trade: OwnTrade | None,
) -> str:
    """An `executionReport`: what happened to the order just now, and its state.

    Fields of features that the venue does not have are constants: `P` and `F` (stop price, iceberg quantity) zero, `g` (order
    list) -1, `r` (reason of a reject) NONE, `V` (self-trade prevention) NONE.

    Args:
        time_us: when the event happened; `unit` is what its times are divided by.
        execution: what happened: NEW, TRADE, CANCELED or EXPIRED.
        execution_id: unique among the reports of all orders.
        client: client id of the request that caused the report.
        original_client: client id of the order, if the request is a cancel with an id of its own; else empty.
        trade: the fill, for TRADE.
    """
    market = order.market
    if trade is None:
        last_quantity = last_price = last_quote = commission = ZERO
        asset, trade_id, is_maker = "null", -1, "false"
    else:
        last_quantity, last_price = market.quantity(trade.quantity_lots), market.price(trade.price_ticks)
        last_quote = market.quote(trade.quote_amount)
        commission, name = commission_of(trade)
        asset, trade_id, is_maker = f'"{name}"', trade.trade_id, "true" if trade.is_maker else "false"
    time = time_us // unit
    created = order.created_us // unit
    return (
        f'{{"e":"executionReport","E":{time},"s":"{market.symbol}","c":"{client}","S":"{SIDE_NAMES[order.side]}",'
        f'"o":"{ORDER_TYPE_NAMES[order.order_type]}","f":"{TIME_IN_FORCE_NAMES[order.time_in_force]}",'
        f'"q":"{market.quantity(order.shown_quantity_lots)}","p":"{market.price(order.shown_price_ticks)}",'
        f'"P":"{ZERO}","F":"{ZERO}","g":-1,"C":"{original_client}","x":"{execution}","X":"{order.status}","r":"NONE",'
        f'"i":{order.order_id},"l":"{last_quantity}","z":"{market.quantity(order.cumulative_lots)}",'
        f'"L":"{last_price}","n":"{commission}","N":{asset},"T":{time},"t":{trade_id},"I":{execution_id},'
        f'"w":{"true" if order.rests else "false"},"m":{is_maker},"M":false,"O":{created},'
        f'"Z":"{market.quote(order.cumulative_quote)}","Y":"{last_quote}","Q":"{market.quote(order.quote_asked)}",'
        f'"W":{created},"V":"NONE"}}'
    )


def account_position(account: Account, assets: Iterable[Asset], time_us: int, unit: int) -> str:
    """An `outboundAccountPosition` with the assets that may have changed."""
    balances = ",".join(
        f'{{"a":"{asset.name}","f":"{free}","l":"{locked}"}}' for asset, free, locked in shown_balances(account, assets)
    )
    time = time_us // unit
    return f'{{"e":"outboundAccountPosition","E":{time},"u":{time},"B":[{balances}]}}'


def balance_update(asset: Asset, change: int, time_us: int, unit: int) -> str:
    """A `balanceUpdate`: a deposit or, negative, a withdrawal."""
    time = time_us // unit
    amount = format_e8(change * asset_unit_e8(asset))
    return f'{{"e":"balanceUpdate","E":{time},"a":"{asset.name}","d":"{amount}","T":{time}}}'


def user_event(subscription_id: int, event: str) -> bytes:
    """An event in the frame of a subscription on the request path."""
    return f'{{"subscriptionId":{subscription_id},"event":{event}}}'.encode()


def stream_terminated(time_us: int, unit: int) -> str:
    """The last event of a subscription that was ended."""
    return f'{{"e":"eventStreamTerminated","E":{time_us // unit}}}'


def server_shutdown(time_us: int, unit: int) -> str:
    """The event before a planned end of the gateway."""
    return f'{{"e":"serverShutdown","E":{time_us // unit}}}'


def shutdown_frame(event: str, is_api: bool, is_combined: bool) -> bytes:
    """A `serverShutdown` in the form of the connection that it goes to."""
    if is_api:
        return f'{{"event":{event}}}'.encode()
    return combined("!serverShutdown", event) if is_combined else event.encode()
