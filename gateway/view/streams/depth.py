"""`<symbol>@depth` and `@depth@100ms`: the levels that changed in each interval.

A stream sends, per interval, the present quantity of every level that changed, as the ids `U` (last sent + 1) to `u` (now):
there is never a gap, and an interval without a change sends nothing.

A reader that is behind gets no depth until it has caught up, and then one update for all that it missed, of the same
form: each level that changed, with its present quantity, and ids without a gap. All else waits for it in its connection;
when that is full it is closed (code 1008).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from engine.records import Side
from gateway.dialect import market_data
from gateway.dialect.constants import CLOSE_POLICY_VIOLATION
from gateway.limits import LEVELS_MISSED_MAX
from gateway.view.book_mirror import BookMirror
from gateway.view.streams.followers import Followers, Listener

INTERVALS_MS = {"depth": 1000, "depth@1000ms": 1000, "depth@100ms": 100}


class Changes(NamedTuple):
    """The levels (side, price in ticks) that changed with the updates `first_id` and later."""

    first_id: int
    levels: set[tuple[int, int]]


class DepthStream:
    """One interval of one market's depth: what changed since it last sent, and what readers that are behind missed."""

    __slots__ = ("book", "changed", "missed", "sent_id")

    def __init__(self, book: BookMirror) -> None:
        self.book = book
        self.changed: set[tuple[int, int]] = set()
        self.sent_id = book.update_id
        self.missed: dict[tuple[str, Listener], Changes] = {}
        """Changes that were not sent, by stream name and session."""

    def take(self) -> Changes | None:
        """What is due; None if nothing changed."""
        if not self.changed:
            return None
        changes = Changes(self.sent_id + 1, self.changed)
        self.changed = set()
        self.sent_id = self.book.update_id
        return changes

    def miss(self, stream: str, session: Listener, changes: Changes) -> None:
        """Keeps changes for a session that is behind; closes one that has missed too many levels."""
        missed = self.missed.setdefault((stream, session), Changes(changes.first_id, set()))
        missed.levels.update(changes.levels)
        if len(missed.levels) > LEVELS_MISSED_MAX:
            del self.missed[stream, session]
            session.close(CLOSE_POLICY_VIOLATION, "reading too slowly")

    def update(self, changes: Changes, time_us: int) -> Callable[[int], str]:
        """The message of these changes, with present quantities, as a function of the time unit."""
        book, last_id = self.book, self.sent_id
        bids = [(ticks, book.quantity(side, ticks)) for side, ticks in changes.levels if side == Side.BUY]
        asks = [(ticks, book.quantity(side, ticks)) for side, ticks in changes.levels if side == Side.SELL]
        bids.sort(reverse=True)
        asks.sort()
        return lambda unit: market_data.depth_update(book.market, changes.first_id, last_id, bids, asks, time_us, unit)


def _once_per_unit(make: Callable[[int], str]) -> Callable[[int], str]:
    """`make`, which is called once for each time unit."""
    texts: dict[int, str] = {}

    def cached(unit: int) -> str:
        return texts[unit] if unit in texts else texts.setdefault(unit, make(unit))

    return cached


class DepthStreams:
    """The depth of all markets. `BookMirror.depths` has a DepthStream for each interval that a session follows."""

    names = tuple(INTERVALS_MS)

    def __init__(self, followers: Followers) -> None:
        self._followers = followers

    def started(self, book: BookMirror, name: str) -> None:
        """The first session follows."""
        book.depths.setdefault(INTERVALS_MS[name], DepthStream(book))

    def left(self, book: BookMirror, name: str, session: Listener) -> None:
        """A session follows no more."""
        book.depths[INTERVALS_MS[name]].missed.pop((f"{book.market.lower_symbol}@{name}", session), None)

    def stopped(self, book: BookMirror, name: str) -> None:
        """The last session has left; two names may mean one interval."""
        interval_ms = INTERVALS_MS[name]
        names = [other for other, other_ms in INTERVALS_MS.items() if other_ms == interval_ms]
        if not any(f"{book.market.lower_symbol}@{other}" in self._followers.by_stream for other in names):
            del book.depths[interval_ms]

    def send(self, books: Iterable[BookMirror], interval_ms: int, time_us: int) -> None:
        """Sends what is due on the streams of this interval."""
        for book in books:
            depth = book.depths.get(interval_ms)
            if depth is None or not (depth.changed or depth.missed):
                continue
            changes = depth.take()
            make = _once_per_unit(depth.update(changes, time_us)) if changes is not None else None
            for name, other_ms in INTERVALS_MS.items():
                stream = f"{book.market.lower_symbol}@{name}"
                if other_ms != interval_ms or stream not in self._followers.by_stream:
                    continue
                prompt = self._send_missed(stream, depth, changes, time_us)
                if make is not None:
                    self._followers.publish(stream, make, sessions=prompt)

    def _send_missed(self, stream: str, depth: DepthStream, changes: Changes | None, time_us: int) -> list[Listener]:
        """Keeps the changes for followers that are behind, and sends what was missed to those that have caught up; the
        followers that are to get the changes as usual."""
        prompt = []
        for session in list(self._followers.of(stream)):
            if session.is_behind():
                if changes is not None:
                    depth.miss(stream, session, changes)
                continue
            missed = depth.missed.pop((stream, session), None)
            if missed is None:
                prompt.append(session)
                continue
            if changes is not None:
                missed.levels.update(changes.levels)
            self._followers.publish(stream, depth.update(missed, time_us), sessions=(session,))
        return prompt
