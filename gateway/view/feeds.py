"""All books, all streams and their followers.

A stream is named `<symbol>@<kind>`, and each kind has a module in `gateway.view.streams`. To add one, write a class with
`names`, `started`, `left` and `stopped`, and list it in `Feeds`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from engine.reasons import Reason
from gateway.dialect.numbers import MarketNumbers
from gateway.dialect.rejects import Rejected
from gateway.limits import NAME_CHARACTERS_SHOWN_MAX, STREAMS_PER_SESSION_MAX
from gateway.view.book_mirror import BookMirror
from gateway.view.streams.depth import DepthStreams
from gateway.view.streams.followers import Followers, Listener
from gateway.view.streams.ticker import TickerStream
from gateway.view.streams.trade import TradeStream
from gateway.view.streams.user_data import UserData


class StreamKind(Protocol):
    """One kind of stream, of all markets. `name` is what follows the symbol and `@`."""

    @property
    def names(self) -> tuple[str, ...]: ...

    def started(self, book: BookMirror, name: str) -> None:
        """The first session follows."""

    def left(self, book: BookMirror, name: str, session: Listener) -> None:
        """A session follows no more."""

    def stopped(self, book: BookMirror, name: str) -> None:
        """The last session has left."""


class Feeds:
    """The books and the streams of a venue."""

    def __init__(self) -> None:
        self.books: dict[int, BookMirror] = {}
        """By market number."""
        self._books_by_symbol: dict[str, BookMirror] = {}
        self.followers = Followers()
        self.trades = TradeStream(self.followers)
        self.tickers = TickerStream(self.followers)
        self.depths = DepthStreams(self.followers)
        self.user_data = UserData()
        kinds: tuple[StreamKind, ...] = (self.trades, self.tickers, self.depths)
        self._kinds = {name: kind for kind in kinds for name in kind.names}

    def add_market(self, market: MarketNumbers) -> None:
        """Begins an empty book for a market; from now on its streams can be followed."""
        self.books[market.number] = self._books_by_symbol[market.lower_symbol] = BookMirror(market)

    # -- what happens, as `order_events.MarketFeeds`

    def traded(
        self, market: MarketNumbers, trade_id: int, price_ticks: int, lots: int, buyer_is_maker: bool, time_us: int
    ) -> None:
        """Notes a trade for those who follow the trades of its market."""
        self.trades.traded(market, trade_id, price_ticks, lots, buyer_is_maker, time_us)

    def touched(self, book: BookMirror) -> None:
        """A book has changed: its best prices are compared when the entry ends."""
        self.tickers.touched(book)

    # -- who follows what

    def check_follow(self, session: Listener, streams: Collection[str]) -> None:
        """Judges whether a session may follow all of these.

        Raises:
            Rejected: one of them is not offered, or there is no room for them.
        """
        for stream in streams:
            symbol, _, kind = stream.partition("@")
            if symbol not in self._books_by_symbol or kind not in self._kinds:
                raise Rejected(Reason.UNKNOWN_STREAM, stream[:NAME_CHARACTERS_SHOWN_MAX])
        if len(session.streams.keys() | set(streams)) > STREAMS_PER_SESSION_MAX:
            raise Rejected(Reason.INVALID_STREAM_REQUEST, f"over {STREAMS_PER_SESSION_MAX} streams on one connection")

    def follow(self, session: Listener, stream: str) -> None:
        """Subscribes a session to a stream that `check_follow` has allowed; asking again changes nothing."""
        symbol, _, kind = stream.partition("@")
        is_first = stream not in self.followers.by_stream
        self.followers.add(stream, session)
        session.streams[stream] = None
        if is_first:
            self._kinds[kind].started(self._books_by_symbol[symbol], kind)

    def unfollow(self, session: Listener, stream: str) -> None:
        """Ends a subscription; one that is not held is not an error."""
        session.streams.pop(stream, None)
        if session not in self.followers.of(stream):
            return
        symbol, _, kind = stream.partition("@")
        book = self._books_by_symbol[symbol]
        is_last = self.followers.remove(stream, session)
        self._kinds[kind].left(book, kind, session)
        if is_last:
            self._kinds[kind].stopped(book, kind)

    def forget(self, session: Listener) -> None:
        """Ends all that a session follows, because its connection is gone."""
        for stream in list(session.streams):
            self.unfollow(session, stream)
        for subscription in list(session.subscriptions.values()):
            self.user_data.unsubscribe(subscription)

    def end_entry(self) -> None:
        """All events of an entry are in."""
        self.trades.end_entry()
        self.tickers.end_entry()

    def send_depth(self, interval_ms: int, time_us: int) -> None:
        """Sends what is due on the depth streams of this interval."""
        self.depths.send(self.books.values(), interval_ms, time_us)
