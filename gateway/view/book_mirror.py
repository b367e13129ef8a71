"""A mirror of each book, made from the events.

A mirror holds one quantity per price level: a change costs O(1), a snapshot of k levels O(k). Each change of a level takes
the next update id of its market. A snapshot, taken from the mirror itself, is never older than what a stream has sent.
"""

from __future__ import annotations

from gateway.dialect import market_data
from gateway.dialect.numbers import MarketNumbers
from gateway.limits import SNAPSHOTS_CACHED_MAX
from gateway.view.book_levels import BookLevels


class BookMirror(BookLevels):
    """The price levels of one market, made from the events.

    `depths` are the depth streams that have followers, by interval in milliseconds; `ticker` the best levels as last sent
    to the followers of @bookTicker, None if it has none; `snapshots` the texts of this moment, by limit.
    """

    def __init__(self, market: MarketNumbers) -> None:
        super().__init__()
        self.market = market

    def best(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Best bid and best ask, each (price in ticks, lots) or None. Cost: O(1), and O(log n) for each price that came or went
        since the last question."""
        return next(iter(self.bids(1)), None), next(iter(self.asks(1)), None)

    def snapshot(self, limit: int) -> str:
        """The depth snapshot as JSON text, consistent with the depth streams. Cost: O(limit), once until the book changes.

        Args:
            limit: most levels of each side.
        """
        text = self.snapshots.get(limit)
        if text is None:
            text = market_data.depth_snapshot(self.market, self.update_id, self.bids(limit), self.asks(limit))
            if len(self.snapshots) < SNAPSHOTS_CACHED_MAX:
                self.snapshots[limit] = text
        return text
