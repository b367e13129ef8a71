"""Outgoing half of the dialect: orders, accounts, markets and events as JSON text.

Together with `dialect` (incoming) and `refusals` (errors) this is where the dialect's names stand. Elsewhere are those of a plain
order and of its ACK (`codec`), and the single parameters that `methods` and `sessions` ask for.
Hot texts are built by formatting, not by an encoder: every value in them is a number, a name from a fixed list, a symbol
(A-Z 0-9), or a client id that was checked (`safe_client_id`), so nothing needs escaping.

`unit` is the time unit asked for: what to divide microseconds by, 1000 for milliseconds and 1 for microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from engine.listing import Asset, Listing, Market
from engine.records import CLIENT_ID_BYTES, MarketState, OrderType, Side, TimeInForce
from gateway.dialect.numbers import ONE_E8, ZERO, MarketNumbers, asset_unit_e8, format_e8
from gateway.dialect.refusals import Refusal, wording
from gateway.view.accounts import Account, Order, OwnTrade

if TYPE_CHECKING:
    from gateway.auth.sessions import RateLimitSettings

MILLISECONDS = 1000
MICROSECONDS = 1

SIDES: dict[int, str] = {Side.BUY: "BUY", Side.SELL: "SELL"}
ORDER_TYPES: dict[int, str] = {order_type: order_type.name for order_type in OrderType}
TIMES_IN_FORCE: dict[int, str] = {time: time.name if time else "GTC" for time in TimeInForce}
"""An order type that has no choice is shown as good till cancelled."""

CLIENT_ID_PATTERN = re.compile(rf"[A-Za-z0-9._:/-]{{1,{CLIENT_ID_BYTES}}}")
CLIENT_ID_RANGE = f"^{CLIENT_ID_PATTERN.pattern}$"
DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER_RANGE = "^[0-9]{1,20}$"


# -- envelopes


def success(id_text: str, result: str, rate_limits: str) -> bytes:
    """The reply to a request that was carried out. `rate_limits` is empty where they are not wanted."""
    return f'{{"id":{id_text},"status":200,"result":{result}{rate_limits}}}'.encode()


def failure(
    id_text: str, refusal: Refusal, rate_limits: str, *, cancelling: bool = False, data: dict[str, int] | None = None
) -> bytes:
    """The reply to a request that was refused."""
    status, code, message = wording(refusal, cancelling=cancelling)
    error: dict[str, Any] = {"code": code, "msg": message}
    if data is not None:
        error["data"] = data
    return f'{{"id":{id_text},"status":{status},"error":{_dump(error)}{rate_limits}}}'.encode()


def http_error(refusal: Refusal) -> tuple[int, bytes]:
    """Status and body of a refused HTTP request."""
    status, code, message = wording(refusal)
    return status, orjson.dumps({"code": code, "msg": message})


def stream_result(id_text: str, result: object) -> bytes:
    return f'{{"result":{_dump(result)},"id":{id_text}}}'.encode()


def stream_error(id_text: str, refusal: Refusal) -> bytes:
    _, code, message = wording(refusal)
    return f'{{"error":{_dump({"code": code, "msg": message})},"id":{id_text}}}'.encode()


def rate_limit_settings(settings: RateLimitSettings) -> list[dict[str, Any]]:
    """The limits as exchangeInfo lists them."""
    limits = (
        ("ORDERS", "SECOND", 10, settings.orders_per_10_s),
        ("ORDERS", "DAY", 1, settings.orders_per_day),
        ("REQUEST_WEIGHT", "MINUTE", 1, settings.weight_per_minute),
    )
    return [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
        for kind, interval, number, limit in limits
    ]


def rate_limit_templates(settings: RateLimitSettings) -> tuple[str, str]:
    """The `rateLimits` field of a reply, beginning with its comma, as texts to be filled with the counts by `%`.

    The first is for queries (weight), the second for order methods (orders in 10 s, orders in a day, weight).
    """
    entries = [_dump(limit)[:-1] + ',"count":%d}' for limit in rate_limit_settings(settings)]
    return f',"rateLimits":[{entries[-1]}]', f',"rateLimits":[{",".join(entries)}]'


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
    """session.logon, session.status and session.logout; nulls where nobody is logged on."""
    milliseconds = MILLISECONDS // unit
    return _dump(
        {
            "apiKey": key_id,
            "authorizedSince": None if key_id is None else authorized_ms * milliseconds,
            "connectedSince": connected_ms * milliseconds,
            "returnRateLimits": shows_rate_limits,
            "serverTime": time_us // unit,
            "userDataStream": has_subscriptions,
        }
    )


def _dump(value: object) -> str:
    return orjson.dumps(value).decode()


# -- orders


def order_ack(order: Order, time_us: int, unit: int) -> str:
    """ACK: what a client needs to know that its order is accepted."""
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
        f'"timeInForce":"{TIMES_IN_FORCE[order.time_in_force]}","type":"{ORDER_TYPES[order.order_type]}",'
        f'"side":"{SIDES[order.side]}"'
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
    return f"[{','.join(texts)}]"


# -- accounts


def account_status(
    account: Account, listing: Listing, *, permissions: Sequence[str], omit_zero: bool, unit: int
) -> str:
    """account.status: fees, what may be done, and balances."""
    maker_ppm, taker_ppm = account_fees(account, listing)
    maker, taker = format_e8(maker_ppm * (ONE_E8 // 1_000_000)), format_e8(taker_ppm * (ONE_E8 // 1_000_000))
    can_act = not account.is_frozen
    assets = sorted(listing.assets.values(), key=lambda asset: asset.name)
    return _dump(
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
                for asset, free, locked in _balances(account, assets)
                if not omit_zero or (free, locked) != (ZERO, ZERO)
            ],
            "permissions": list(permissions),
            "uid": account.number,
        }
    )


def _balances(account: Account, assets: Iterable[Asset]) -> Iterable[tuple[Asset, str, str]]:
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


# -- user data events


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
    """An `executionReport`: what happened to the order just now (`execution`), and how it stands."""
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
        f'{{"e":"executionReport","E":{time},"s":"{market.symbol}","c":"{client}","S":"{SIDES[order.side]}",'
        f'"o":"{ORDER_TYPES[order.order_type]}","f":"{TIMES_IN_FORCE[order.time_in_force]}",'
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
        f'{{"a":"{asset.name}","f":"{free}","l":"{locked}"}}' for asset, free, locked in _balances(account, assets)
    )
    time = time_us // unit
    return f'{{"e":"outboundAccountPosition","E":{time},"u":{time},"B":[{balances}]}}'


def balance_update(asset: Asset, change: int, time_us: int, unit: int) -> str:
    """A `balanceUpdate`: a deposit or, negative, a withdrawal."""
    time = time_us // unit
    amount = format_e8(change * asset_unit_e8(asset))
    return f'{{"e":"balanceUpdate","E":{time},"a":"{asset.name}","d":"{amount}","T":{time}}}'


def user_event(subscription_id: int, event: str) -> bytes:
    return f'{{"subscriptionId":{subscription_id},"event":{event}}}'.encode()


def stream_terminated(time_us: int, unit: int) -> str:
    return f'{{"e":"eventStreamTerminated","E":{time_us // unit}}}'


def server_shutdown(time_us: int, unit: int) -> str:
    return f'{{"e":"serverShutdown","E":{time_us // unit}}}'


def shutdown_frame(event: str, is_api: bool, is_combined: bool) -> bytes:
    """A `serverShutdown` in the form of the connection that it goes to."""
    if is_api:
        return f'{{"event":{event}}}'.encode()
    return combined("!serverShutdown", event) if is_combined else event.encode()


# -- market data


def trade_event(
    market: MarketNumbers, trade_id: int, price_ticks: int, lots: int, buyer_is_maker: bool, time_us: int, unit: int
) -> str:
    time = time_us // unit
    return (
        f'{{"e":"trade","E":{time},"s":"{market.symbol}","t":{trade_id},"p":"{market.price(price_ticks)}",'
        f'"q":"{market.quantity(lots)}","T":{time},"m":{"true" if buyer_is_maker else "false"},"M":true}}'
    )


Levels = Iterable[tuple[int, int]]
"""Price in ticks and quantity in lots, best first."""


def levels_text(market: MarketNumbers, levels: Levels) -> str:
    price, quantity = market.price, market.quantity
    return "[" + ",".join([f'["{price(ticks)}","{quantity(lots)}"]' for ticks, lots in levels]) + "]"


def depth_update(
    market: MarketNumbers, first_id: int, last_id: int, bids: Levels, asks: Levels, time_us: int, unit: int
) -> str:
    return (
        f'{{"e":"depthUpdate","E":{time_us // unit},"s":"{market.symbol}","U":{first_id},"u":{last_id},'
        f'"b":{levels_text(market, bids)},"a":{levels_text(market, asks)}}}'
    )


def depth_snapshot(market: MarketNumbers, last_id: int, bids: Levels, asks: Levels) -> str:
    return f'{{"lastUpdateId":{last_id},"bids":{levels_text(market, bids)},"asks":{levels_text(market, asks)}}}'


def book_ticker(market: MarketNumbers, update_id: int, bid: tuple[int, int] | None, ask: tuple[int, int] | None) -> str:
    bid_ticks, bid_lots = bid or (0, 0)
    ask_ticks, ask_lots = ask or (0, 0)
    return (
        f'{{"u":{update_id},"s":"{market.symbol}","b":"{market.price(bid_ticks)}","B":"{market.quantity(bid_lots)}",'
        f'"a":"{market.price(ask_ticks)}","A":"{market.quantity(ask_lots)}"}}'
    )


def combined(stream: str, payload: str) -> bytes:
    return f'{{"stream":"{stream}","data":{payload}}}'.encode()


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


# -- exchangeInfo


def symbol_info(market: MarketNumbers, venue_state: MarketState) -> dict[str, Any]:
    """One market of exchangeInfo. PRICE_FILTER stands first, because some clients read it there."""
    listed: Market = market.market
    definition = listed.definition
    is_trading = listed.state == MarketState.TRADING and venue_state == MarketState.TRADING
    return {
        "symbol": market.symbol,
        "status": "TRADING" if is_trading else "HALT",
        "baseAsset": market.base_name,
        "baseAssetPrecision": 8,
        "quoteAsset": market.quote_name,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": sorted(ORDER_TYPES.values()),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": any(order_type.terms.by_quote for order_type in OrderType),
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": market.price(definition.price_min_ticks),
                "maxPrice": market.price(definition.price_max_ticks),
                "tickSize": market.price(1),
            },
            {
                "filterType": "LOT_SIZE",
                "minQty": market.quantity(definition.quantity_min_lots),
                "maxQty": market.quantity(definition.quantity_max_lots),
                "stepSize": market.quantity(1),
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": market.quote(definition.notional_min),
                "applyMinToMarket": True,
                "maxNotional": market.quote(definition.notional_max),
                "applyMaxToMarket": True,
                "avgPriceMins": 0,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": definition.open_orders_max},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "NONE",
        "allowedSelfTradePreventionModes": ["NONE"],
    }


def exchange_info(time_us: int, unit: int, rate_limits: Sequence[dict[str, Any]], symbols: Iterable[bytes]) -> bytes:
    """exchangeInfo from symbols that are encoded already."""
    head = f'{{"timezone":"UTC","serverTime":{time_us // unit},"rateLimits":{_dump(rate_limits)},"exchangeFilters":[]'
    return head.encode() + b',"symbols":[' + b",".join(symbols) + b"]}"
