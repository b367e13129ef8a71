"""What requests are answered with, as JSON text: envelopes, orders, accounts.

Hot texts are built by formatting, not by an encoder: every value in them is a number, a name from a fixed list, a symbol
(A-Z 0-9), or a client id that was checked (`safe_client_id`), so nothing needs escaping.

Clients of the dialect expect fields of features that this venue does not have. They are constants here: `orderListId` -1
(no order lists), `stopPrice` and `icebergQty` zero (no such order types), `isWorking` true (no order waits for a trigger),
`selfTradePreventionMode` NONE, `isBestMatch` true. An order type that brings one of these features has to fill its field.

`unit` is the time unit asked for: what to divide microseconds by, 1000 for milliseconds and 1 for microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from engine.listing import Asset, Listing
from gateway.dialect.constants import MILLISECONDS
from gateway.dialect.names import ORDER_TYPE_NAMES, SIDE_NAMES, TIME_IN_FORCE_NAMES
from gateway.dialect.numbers import ONE_E8, ZERO, asset_unit_e8, format_e8
from gateway.dialect.rejects import Reject, wording
from gateway.view.accounts import Account, Order, OwnTrade

# -- envelopes


def success(id_text: str, result: str, rate_limits: str) -> bytes:
    """The reply to a request that was carried out. `rate_limits` is empty where they are not wanted."""
    return f'{{"id":{id_text},"status":200,"result":{result}{rate_limits}}}'.encode()


def success_pieces(id_text: str, pieces: Iterable[str], rate_limits: str) -> Iterator[bytes]:
    """`success` for a long result, piece by piece."""
    yield f'{{"id":{id_text},"status":200,"result":'.encode()
    for piece in pieces:
        yield piece.encode()
    yield f"{rate_limits}}}".encode()


def failure(
    id_text: str, reject: Reject, rate_limits: str, *, cancelling: bool = False, data: dict[str, int] | None = None
) -> bytes:
    """The reply to a request that was refused."""
    status, code, message = wording(reject, cancelling=cancelling)
    error: dict[str, Any] = {"code": code, "msg": message}
    if data is not None:
        error["data"] = data
    return f'{{"id":{id_text},"status":{status},"error":{dump_text(error)}{rate_limits}}}'.encode()


def http_error(reject: Reject, *, cancelling: bool = False) -> tuple[int, bytes]:
    """Status and body of a refused HTTP request."""
    status, code, message = wording(reject, cancelling=cancelling)
    return status, orjson.dumps({"code": code, "msg": message})


NOT_FOUND = b'{"code":-1000,"msg":"Not found."}'
"""The body of the answer to an upgrade on a path that the gateway does not have."""


def stream_result(id_text: str, result: object) -> bytes:
    """The reply to a stream request that was carried out."""
    return f'{{"result":{dump_text(result)},"id":{id_text}}}'.encode()


def stream_error(id_text: str, reject: Reject) -> bytes:
    """The reply to a stream request that was refused."""
    _, code, message = wording(reject)
    return f'{{"error":{dump_text({"code": code, "msg": message})},"id":{id_text}}}'.encode()


def session_status(
    key_id: str | None,
    authorized_ms: int,
    connected_ms: int,
    shows_rate_limits: bool,
    time_us: int,
    unit: int,
    *,
    has_subscriptions: bool,
) -> str:
    """session.logon, session.status and session.logout; nulls if no key is logged on."""
    milliseconds = MILLISECONDS // unit
    return dump_text(
        {
            "apiKey": key_id,
            "authorizedSince": None if key_id is None else authorized_ms * milliseconds,
            "connectedSince": connected_ms * milliseconds,
            "returnRateLimits": shows_rate_limits,
            "serverTime": time_us // unit,
            "userDataStream": has_subscriptions,
        }
    )


def server_time(time_us: int, unit: int) -> str:
    """The result of `time`."""
    return f'{{"serverTime":{time_us // unit}}}'


def subscription(id: int) -> str:
    """A user data subscription, as the requests that make and list them show it."""
    return f'{{"subscriptionId":{id}}}'


def dump_text(value: object) -> str:
    """A value as JSON text."""
    return orjson.dumps(value).decode()


# -- orders


def order_ack(order: Order, time_us: int, unit: int) -> str:
    """ACK: what a client needs to know that its order is accepted. `gateway.dialect.fast.ack_frame` writes the same bytes on
    the fast path; change both."""
    return (
        f'{{"symbol":"{order.market.symbol}","orderId":{order.order_id},"orderListId":-1,'
        f'"clientOrderId":"{order.client}","transactTime":{time_us // unit}}}'
    )


def order_result(order: Order, time_us: int, unit: int, fills: Sequence[OwnTrade] | None = None) -> str:
    """RESULT, or FULL where `fills` are given."""
    text = (
        f'{{"symbol":"{order.market.symbol}","orderId":{order.order_id},"orderListId":-1,'
        f'"clientOrderId":"{order.client}","transactTime":{time_us // unit},{_order_terms(order)},'
        f'"workingTime":{order.created_us // unit},"selfTradePreventionMode":"NONE"'
    )
    if fills is None:
        return text + "}"
    return f'{text},"fills":[{",".join(map(_fill, fills))}]}}'


def _order_terms(order: Order) -> str:
    """The fields that every full view of an order has in the same form."""
    market = order.market
    return (
        f'"price":"{market.price(order.shown_price_ticks)}","origQty":"{market.quantity(order.shown_quantity_lots)}",'
        f'"executedQty":"{market.quantity(order.cumulative_lots)}",'
        f'"origQuoteOrderQty":"{market.quote(order.quote_asked)}",'
        f'"cummulativeQuoteQty":"{market.quote(order.cumulative_quote)}","status":"{order.status}",'
        f'"timeInForce":"{TIME_IN_FORCE_NAMES[order.time_in_force]}","type":"{ORDER_TYPE_NAMES[order.order_type]}",'
        f'"side":"{SIDE_NAMES[order.side]}"'
    )


def _fill(trade: OwnTrade) -> str:
    market = trade.market
    commission, asset = commission_of(trade)
    return (
        f'{{"price":"{market.price(trade.price_ticks)}","qty":"{market.quantity(trade.quantity_lots)}",'
        f'"commission":"{commission}","commissionAsset":"{asset}","tradeId":{trade.trade_id}}}'
    )


def commission_of(trade: OwnTrade) -> tuple[str, str]:
    """Fee and its asset: the one that this side of the trade receives."""
    market = trade.market
    if trade.is_buyer:
        return market.base(trade.fee), market.base_name
    return market.quote(trade.fee), market.quote_name


def cancel_result(order: Order, cancel_client: str, time_us: int, unit: int) -> str:
    """The report of a cancelled order: `clientOrderId` is the id of the cancel, `origClientOrderId` the order's."""
    return (
        f'{{"symbol":"{order.market.symbol}","origClientOrderId":"{order.client}","orderId":{order.order_id},'
        f'"orderListId":-1,"clientOrderId":"{cancel_client}","transactTime":{time_us // unit},{_order_terms(order)},'
        f'"selfTradePreventionMode":"NONE"}}'
    )


def order_status(order: Order, unit: int) -> str:
    """An order as order.status and openOrders.status show it."""
    return (
        f'{{"symbol":"{order.market.symbol}","orderId":{order.order_id},"orderListId":-1,'
        f'"clientOrderId":"{order.client}",{_order_terms(order)},"stopPrice":"{ZERO}","icebergQty":"{ZERO}",'
        f'"time":{order.created_us // unit},"updateTime":{order.updated_us // unit},"isWorking":true,'
        f'"workingTime":{order.created_us // unit},"selfTradePreventionMode":"NONE"}}'
    )


def json_list(texts: Iterable[str]) -> str:
    """A JSON list of values that are JSON text already."""
    return f"[{','.join(texts)}]"


def json_list_pieces(texts: Iterable[str]) -> Iterator[str]:
    """`json_list` piece by piece; each text is made when it is its turn."""
    separator = "["
    for text in texts:
        yield separator + text
        separator = ","
    yield "[]" if separator == "[" else "]"


# -- accounts


def account_status(
    account: Account, listing: Listing, *, permissions: Sequence[str], omit_zero: bool, unit: int
) -> str:
    """account.status: fees, what may be done, and balances.

    Fees depend on the side that takes, never on who buys, so `buyerCommission` and `sellerCommission` are zero. The venue
    has no brokers, no routing and no choice of self-trade prevention: `brokered`, `preventSor` and
    `requireSelfTradePrevention` are false.
    """
    maker_ppm, taker_ppm = account_fees(account, listing)
    maker, taker = format_e8(maker_ppm * (ONE_E8 // 1_000_000)), format_e8(taker_ppm * (ONE_E8 // 1_000_000))
    can_act = not account.is_frozen
    assets = sorted(listing.assets.values(), key=lambda asset: asset.name)
    return dump_text(
        {
            "makerCommission": maker_ppm // 100,
            "takerCommission": taker_ppm // 100,
            "buyerCommission": 0,
            "sellerCommission": 0,
            "commissionRates": {"maker": maker, "taker": taker, "buyer": ZERO, "seller": ZERO},
            "canTrade": can_act,
            "canWithdraw": can_act,
            "canDeposit": True,
            "brokered": False,
            "requireSelfTradePrevention": False,
            "preventSor": False,
            "updateTime": account.updated_us // unit,
            "accountType": "SPOT",
            "balances": [
                {"asset": asset.name, "free": free, "locked": locked}
                for asset, free, locked in shown_balances(account, assets)
                if not omit_zero or (free, locked) != (ZERO, ZERO)
            ],
            "permissions": list(permissions),
            "uid": account.number,
        }
    )


def shown_balances(account: Account, assets: Iterable[Asset]) -> Iterable[tuple[Asset, str, str]]:
    """Each asset with what is available and what is held, as text; zeros for one that the account never had."""
    for asset in assets:
        balance = account.balances.get(asset.number)
        if balance is None:
            yield asset, ZERO, ZERO
        else:
            unit_e8 = asset_unit_e8(asset)
            yield asset, format_e8(balance.available * unit_e8), format_e8(balance.held * unit_e8)


def account_fees(account: Account, listing: Listing) -> tuple[int, int]:
    """Maker and taker fee in parts per million: the account's own for all markets, else the highest of any market."""
    if own := account.fees.get(0):
        return own
    fees = [
        account.fees.get(market.number, (market.maker_fee_ppm, market.taker_fee_ppm))
        for market in listing.markets.values()
    ]
    return max((maker for maker, _ in fees), default=0), max((taker for _, taker in fees), default=0)


def own_trade(trade: OwnTrade, unit: int) -> str:
    """A trade as myTrades shows it."""
    market = trade.market
    commission, asset = commission_of(trade)
    return (
        f'{{"symbol":"{market.symbol}","id":{trade.trade_id},"orderId":{trade.order_id},"orderListId":-1,'
        f'"price":"{market.price(trade.price_ticks)}","qty":"{market.quantity(trade.quantity_lots)}",'
        f'"quoteQty":"{market.quote(trade.quote_amount)}","commission":"{commission}","commissionAsset":"{asset}",'
        f'"time":{trade.time_us // unit},"isBuyer":{"true" if trade.is_buyer else "false"},'
        f'"isMaker":{"true" if trade.is_maker else "false"},"isBestMatch":true}}'
    )
