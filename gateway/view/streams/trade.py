"""`<symbol>@trade`: every trade of a market."""

from __future__ import annotations

from collections.abc import Callable

from gateway.dialect import market_data
from gateway.dialect.numbers import MarketNumbers
from gateway.view.book_mirror import BookMirror
from gateway.view.streams.followers import Followers, Listener


class TradeStream:
    """The trades of all markets."""

    names = ("trade",)

    def __init__(self, followers: Followers) -> None:
        self._followers = followers
        self._trades: dict[MarketNumbers, list[Callable[[int], str]]] = {}
        """The trades of the entry in hand, each as JSON text for a time unit."""

    def started(self, book: BookMirror, name: str) -> None:
        """The first session follows."""

    def left(self, book: BookMirror, name: str, session: Listener) -> None:
        """A session follows no more."""

    def stopped(self, book: BookMirror, name: str) -> None:
        """The last session has left."""

    def traded(
        self, market: MarketNumbers, trade_id: int, price_ticks: int, lots: int, buyer_is_maker: bool, time_us: int
    ) -> None:
        """Notes a trade, to be sent when the entry ends."""
        self._trades.setdefault(market, []).append(
            lambda unit: market_data.trade_event(market, trade_id, price_ticks, lots, buyer_is_maker, time_us, unit)
        )

    def end_entry(self) -> None:
        """All events of an entry are in: sends its trades. Cost: each text is written once for each form that followers want,
        and each follower is sent all of them at once, so an order with 2,000 fills costs a follower no more than one."""
        for market, trades in self._trades.items():
            self._followers.publish(f"{market.lower_symbol}@trade", *trades)
        self._trades.clear()
