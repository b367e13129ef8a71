"""Market data as JSON text: trades, depth, best prices; for queries and for streams."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.dialect.numbers import MarketNumbers


def trade_event(
    market: MarketNumbers, trade_id: int, price_ticks: int, lots: int, buyer_is_maker: bool, time_us: int, unit: int
) -> str:
    """One `trade` event of a market, in ticks and lots; `m` says whether the buyer was the maker."""
    time = time_us // unit
    return (
        f'{{"e":"trade","E":{time},"s":"{market.symbol}","t":{trade_id},"p":"{market.price(price_ticks)}",'
        f'"q":"{market.quantity(lots)}","T":{time},"m":{"true" if buyer_is_maker else "false"},"M":true}}'
    )


Levels = Iterable[tuple[int, int]]
"""Price in ticks and quantity in lots, best first."""


def levels_text(market: MarketNumbers, levels: Levels) -> str:
    """Levels as JSON pairs of price and quantity."""
    price, quantity = market.price, market.quantity
    return "[" + ",".join([f'["{price(ticks)}","{quantity(lots)}"]' for ticks, lots in levels]) + "]"


def depth_update(
    market: MarketNumbers, first_id: int, last_id: int, bids: Levels, asks: Levels, time_us: int, unit: int
) -> str:
    """A `depthUpdate` with the levels that changed; a quantity of zero means that the level is gone."""
    return (
        f'{{"e":"depthUpdate","E":{time_us // unit},"s":"{market.symbol}","U":{first_id},"u":{last_id},'
        f'"b":{levels_text(market, bids)},"a":{levels_text(market, asks)}}}'
    )


def depth_snapshot(market: MarketNumbers, last_id: int, bids: Levels, asks: Levels) -> str:
    """The answer to `depth`: the last update id that it includes, and the best levels of both sides."""
    return f'{{"lastUpdateId":{last_id},"bids":{levels_text(market, bids)},"asks":{levels_text(market, asks)}}}'


def book_ticker(market: MarketNumbers, update_id: int, bid: tuple[int, int] | None, ask: tuple[int, int] | None) -> str:
    """The best price and its quantity on both sides; zeros for an empty side."""
    bid_ticks, bid_lots = bid or (0, 0)
    ask_ticks, ask_lots = ask or (0, 0)
    return (
        f'{{"u":{update_id},"s":"{market.symbol}","b":"{market.price(bid_ticks)}","B":"{market.quantity(bid_lots)}",'
        f'"a":"{market.price(ask_ticks)}","A":"{market.quantity(ask_lots)}"}}'
    )


def combined(stream: str, payload: str) -> bytes:
    """An event wrapped with the name of its stream, for connections to `/stream`."""
    return f'{{"stream":"{stream}","data":{payload}}}'.encode()
