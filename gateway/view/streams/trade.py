"""`<symbol>@trade`: every trade of a market."""

from __future__ import annotations

from gateway.dialect import market_data
from gateway.dialect.numbers import MarketNumbers
from gateway.view.book_mirror import BookMirror
from gateway.view.streams.followers import Followers, Listener


class TradeStream:
    """The trades of all markets."""

    names = ("trade",)

    def __init__(self, followers: Followers) -> None:
        self._followers = followers

    def started(self, book: BookMirror, name: str) -> None:
        """The first session follows."""

    def left(self, book: BookMirror, name: str, session: Listener) -> None:
        """A session follows no more."""

    def stopped(self, book: BookMirror, name: str) -> None:
        """The last session has left."""

    def traded(
        self, market: MarketNumbers, trade_id: int, price_ticks: int, lots: int, buyer_is_maker: bool, time_us: int
    ) -> None:
        """Sends a trade. Cost: its text is written once for each time unit among the followers."""
        self._followers.publish(
            f"{market.lower_symbol}@trade",
            lambda unit: market_data.trade_event(market, trade_id, price_ticks, lots, buyer_is_maker, time_us, unit),
        )
