"""`<symbol>@bookTicker`: the best bid and ask, whenever one of them moves."""

from __future__ import annotations

from gateway.dialect import market_data
from gateway.view.book_mirror import BookMirror
from gateway.view.streams.followers import Followers, Listener


class TickerStream:
    """The best prices of all markets. `BookMirror.ticker` is what was sent last; None while no session follows."""

    names = ("bookTicker",)

    def __init__(self, followers: Followers) -> None:
        self._followers = followers
        self._touched: dict[BookMirror, None] = {}

    def started(self, book: BookMirror, name: str) -> None:
        """The first session follows."""
        book.ticker = book.best()

    def left(self, book: BookMirror, name: str, session: Listener) -> None:
        """A session follows no more."""

    def stopped(self, book: BookMirror, name: str) -> None:
        """The last session has left."""
        book.ticker = None

    def touched(self, book: BookMirror) -> None:
        """A level changed in a book whose best levels somebody follows."""
        self._touched[book] = None

    def end_entry(self) -> None:
        """All events of an entry are in: sends the best levels that moved."""
        for book in self._touched:
            best = book.best()
            if best != book.ticker:
                book.ticker = best
                bid, ask = best
                text = market_data.book_ticker(book.market, book.update_id, bid, ask)
                self._followers.publish(f"{book.market.lower_symbol}@bookTicker", lambda unit, text=text: text)  # type: ignore[misc]
        self._touched.clear()
