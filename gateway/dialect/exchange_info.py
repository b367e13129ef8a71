"""exchangeInfo: the markets, their filters, and the rate limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from engine.listing import Market
from engine.reasons import Reason
from engine.records import MarketState, OrderType
from gateway.dialect.names import ORDER_TYPE_NAMES
from gateway.dialect.numbers import MarketNumbers
from gateway.dialect.rejects import Rejected
from gateway.dialect.replies import dump_text
from gateway.dialect.requests import flag_of, list_of, symbol_of
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


class MarketFilter(NamedTuple):
    """Which markets exchangeInfo is asked for, and how to show them."""

    symbols: list[str] | None
    """None: all."""
    has_permission: bool
    """Whether the markets of this venue have one of the permissions that are asked for."""
    status: str | None
    shows_permission_sets: bool


def market_filter(params: Mapping[str, Any]) -> MarketFilter:
    """What exchangeInfo is asked for.

    Raises:
        Rejected: a parameter is malformed; INVALID_COMBINATION: two of them exclude each other.
    """
    symbol, symbols, permissions = symbol_of(params), list_of(params, "symbols"), _permissions_of(params)
    if sum(choice is not None for choice in (symbol, symbols, permissions)) > 1:
        raise Rejected(Reason.INVALID_COMBINATION)
    status = symbol_status_of(params)
    if symbol is not None:
        symbols = [symbol]
    if symbols is not None and status is not None:
        raise Rejected(Reason.INVALID_COMBINATION)
    return MarketFilter(
        symbols,
        permissions is None or PERMISSION in permissions,
        status,
        flag_of(params, "showPermissionSets", True),
    )


def _permissions_of(params: Mapping[str, Any]) -> list[str] | None:
    """The parameter `permissions`: a list, its JSON text, or one name."""
    value = params.get("permissions")
    permissions = [value] if type(value) is str and value[:1] != "[" else list_of(params, "permissions")
    if permissions is not None and not all(_PERMISSION_PATTERN.fullmatch(name) for name in permissions):
        raise Rejected(Reason.INVALID_PARAMETER, "permissions")
    return permissions


PERMISSION = "SPOT"
"""What every account may trade, and what every market is for."""
_PERMISSION_PATTERN = re.compile(r"SPOT|MARGIN|LEVERAGED|TRD_GRP_[0-9]{3}")


def symbol_status_of(params: Mapping[str, Any]) -> str | None:
    """The parameter `symbolStatus`; None if it was not sent. Raises Rejected."""
    status = params.get("symbolStatus")
    if status is None:
        return None
    if type(status) is not str or status not in SYMBOL_STATUSES:
        raise Rejected(Reason.INVALID_SYMBOL_STATUS)
    return status


SYMBOL_STATUSES = ("TRADING", "HALT", "BREAK")
"""Of the dialect; a market of this venue is never in a BREAK."""


def symbol_status(market: MarketNumbers, venue_state: MarketState) -> str:
    """Whether you can trade in a market: TRADING, or HALT."""
    is_trading = market.market.state == MarketState.TRADING and venue_state == MarketState.TRADING
    return "TRADING" if is_trading else "HALT"


def symbol_info(market: MarketNumbers, venue_state: MarketState, *, shows_permission_sets: bool) -> dict[str, Any]:
    """One market of exchangeInfo. PRICE_FILTER comes first, because some clients read it there."""
    listed: Market = market.market
    definition = listed.definition
    return {
        "symbol": market.symbol,
        "status": symbol_status(market, venue_state),
        "baseAsset": market.base_name,
        "baseAssetPrecision": listed.base.scale,
        "quoteAsset": market.quote_name,
        "quotePrecision": listed.quote.scale,
        "quoteAssetPrecision": listed.quote.scale,
        "baseCommissionPrecision": listed.base.scale,
        "quoteCommissionPrecision": listed.quote.scale,
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
        "permissionSets": [[PERMISSION]] if shows_permission_sets else [],
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
