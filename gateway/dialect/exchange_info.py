"""exchangeInfo: the markets, their filters, and the rate limits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.listing import Market
from engine.records import MarketState, OrderType
from gateway.dialect.names import ORDER_TYPE_NAMES
from gateway.dialect.numbers import MarketNumbers
from gateway.dialect.replies import dump_text
from gateway.limits import RateLimitSettings


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
    entries = [dump_text(limit)[:-1] + ',"count":%d}' for limit in rate_limit_settings(settings)]
    return f',"rateLimits":[{entries[-1]}]', f',"rateLimits":[{",".join(entries)}]'


def symbol_info(market: MarketNumbers, venue_state: MarketState) -> dict[str, Any]:
    """One market of exchangeInfo. PRICE_FILTER comes first, because some clients read it there."""
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
        "orderTypes": sorted(ORDER_TYPE_NAMES.values()),
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


def exchange_info(time_us: int, unit: int, settings: RateLimitSettings, symbols: Iterable[str]) -> str:
    """exchangeInfo from symbols that are encoded already."""
    limits = dump_text(rate_limit_settings(settings))
    return (
        f'{{"timezone":"UTC","serverTime":{time_us // unit},"rateLimits":{limits},"exchangeFilters":[],'
        f'"symbols":[{",".join(symbols)}]}}'
    )
