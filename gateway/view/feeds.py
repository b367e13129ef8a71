"""Market data and user data: a mirror of each book, and who wants to hear what.

A mirror holds one quantity per price level (`accounts.BookLevels`): a change costs O(1), a snapshot of k levels O(k). Each change of a level takes the next update id of its market. A depth stream sends, per interval, the present
quantity of every level that changed, as the ids `U` (last sent + 1) to `u` (now): within a stream there is never a gap,
an interval without a change sends nothing, and a snapshot, taken from the mirror itself, is never older than what a
stream has sent.

A message is encoded once per form (plain or wrapped, milliseconds or microseconds) and the same bytes go to everybody.

A reader that is behind gets no depth until it has caught up, and then one update for all that it missed, of the same
form: each level that changed, with its present quantity, and ids without a gap. All else waits for it in its connection;
when that is full it is closed (code 1008).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Protocol

from engine.reasons import Reason
from engine.records import Side
from gateway.dialect import replies as messages
from gateway.dialect.numbers import MarketNumbers
from gateway.dialect.refusals import Refusal, refuse
from gateway.view.accounts import Account, BookLevels
from gateway.wire.connection import encode_text

STREAMS_PER_SESSION_MAX = 1024
SUBSCRIPTIONS_PER_SESSION_MAX = 1000
SUBSCRIPTION_IDS_MAX = 65535
SNAPSHOTS_CACHED_MAX = 8
LEVELS_MISSED_MAX = 10_000
"""Levels whose changes are kept for a reader that is behind, by stream; with more it is closed."""
CLOSE_POLICY_VIOLATION = 1008

DEPTH_INTERVALS_MS = {"depth": 1000, "depth@1000ms": 1000, "depth@100ms": 100}


class Listener(Protocol):
    """A session as the feeds see it."""

    combined: bool
    unit: int
    streams: dict[str, None]
    subscriptions: dict[int, Subscription]
    next_subscription_id: int
    send: Callable[[bytes], None]
    close: Callable[[int, str], None]
    is_behind: Callable[[], bool]


class Subscription:
    """A connection that follows the events of an account."""

    __slots__ = ("account", "id", "key_id", "session")

    def __init__(self, session: Listener, id: int, account: Account, key_id: str) -> None:
        self.session = session
        self.id = id
        self.account = account
        self.key_id = key_id


class BookMirror(BookLevels):
    """The price levels of one market as the events tell them.

    `depths` are the depth streams that somebody follows, by interval in milliseconds; `ticker` the best levels as last sent
    to the followers of @bookTicker, None where there is none; `snapshots` the texts of this moment, by limit.
    """

    def __init__(self, market: MarketNumbers) -> None:
        super().__init__()
        self.market = market

    def best(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Best bid and best ask, each (price in ticks, lots) or None. Cost: O(1)."""
        return next(iter(self.bids(1)), None), next(iter(self.asks(1)), None)

    def snapshot(self, limit: int) -> str:
        """The depth snapshot, consistent with the depth streams. Unchanged ones are encoded once."""
        text = self.snapshots.get(limit)
        if text is None:
            text = messages.depth_snapshot(self.market, self.update_id, self.bids(limit), self.asks(limit))
            if len(self.snapshots) < SNAPSHOTS_CACHED_MAX:
                self.snapshots[limit] = text
        return text


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
        """What is due; None where nothing changed."""
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
        return lambda unit: messages.depth_update(book.market, changes.first_id, last_id, bids, asks, time_us, unit)


def _once_per_unit(make: Callable[[int], str]) -> Callable[[int], str]:
    """`make`, which is called once for each time unit."""
    texts: dict[int, str] = {}

    def cached(unit: int) -> str:
        return texts[unit] if unit in texts else texts.setdefault(unit, make(unit))

    return cached


class Feeds:
    """All books, all streams and their followers."""

    def __init__(self) -> None:
        self.books: dict[int, BookMirror] = {}
        self._books_by_symbol: dict[str, BookMirror] = {}
        self._followers: dict[str, dict[Listener, None]] = {}
        self._touched: set[BookMirror] = set()
        self._queued: list[tuple[Listener, bytes]] = []

    def add_market(self, market: MarketNumbers) -> None:
        self.books[market.number] = self._books_by_symbol[market.lower_symbol] = BookMirror(market)

    # -- who follows what

    @property
    def followers(self) -> dict[str, dict[Listener, None]]:
        """Stream name -> those who follow it."""
        return self._followers

    def check_follow(self, session: Listener, streams: Collection[str]) -> Refusal | None:
        """Whether a session may follow all of these: each is offered, and there is room for them."""
        for stream in streams:
            symbol, _, kind = stream.partition("@")
            if symbol not in self._books_by_symbol or not (
                kind in DEPTH_INTERVALS_MS or kind in ("trade", "bookTicker")
            ):
                return refuse(Reason.UNKNOWN_STREAM, stream[:100])
        if len(session.streams.keys() | set(streams)) > STREAMS_PER_SESSION_MAX:
            return refuse(Reason.INVALID_STREAM_REQUEST, f"over {STREAMS_PER_SESSION_MAX} streams on one connection")
        return None

    def follow(self, session: Listener, stream: str) -> None:
        """Subscribes a session to a stream that `check_follow` has allowed; asking again changes nothing."""
        symbol, _, kind = stream.partition("@")
        book = self._books_by_symbol[symbol]
        self._followers.setdefault(stream, {})[session] = None
        session.streams[stream] = None
        if kind in DEPTH_INTERVALS_MS:
            book.depths.setdefault(DEPTH_INTERVALS_MS[kind], DepthStream(book))
        elif kind == "bookTicker" and book.ticker is None:
            book.ticker = book.best()

    def unfollow(self, session: Listener, stream: str) -> None:
        """Ends a subscription; one that is not held is no error."""
        session.streams.pop(stream, None)
        followers = self._followers.get(stream)
        if followers is None:
            return
        followers.pop(session, None)
        symbol, _, kind = stream.partition("@")
        book = self._books_by_symbol[symbol]
        if kind in DEPTH_INTERVALS_MS:
            book.depths[DEPTH_INTERVALS_MS[kind]].missed.pop((stream, session), None)
        if followers:
            return
        del self._followers[stream]
        if kind == "bookTicker":
            book.ticker = None
        elif kind in DEPTH_INTERVALS_MS:
            interval_ms = DEPTH_INTERVALS_MS[kind]
            names = [name for name, other_ms in DEPTH_INTERVALS_MS.items() if other_ms == interval_ms]
            if not any(f"{symbol}@{name}" in self._followers for name in names):
                del book.depths[interval_ms]

    def forget(self, session: Listener) -> None:
        """Ends all that a session follows, because its connection is gone."""
        for stream in list(session.streams):
            self.unfollow(session, stream)
        for subscription in list(session.subscriptions.values()):
            self.unsubscribe(subscription)

    # -- what happens in the markets

    def traded(
        self, market: MarketNumbers, trade_id: int, price_ticks: int, lots: int, buyer_is_maker: bool, time_us: int
    ) -> None:
        stream = f"{market.lower_symbol}@trade"
        if stream in self._followers:
            self._publish(
                stream,
                lambda unit: messages.trade_event(market, trade_id, price_ticks, lots, buyer_is_maker, time_us, unit),
            )

    def touched(self, book: BookMirror) -> None:
        """A level of a book changed whose best levels somebody follows."""
        self._touched.add(book)

    def end_entry(self) -> None:
        """All events of an entry are in: tells the followers of @bookTicker where a best level moved."""
        for book in self._touched:
            best = book.best()
            if best != book.ticker:
                book.ticker = best
                bid, ask = best
                text = messages.book_ticker(book.market, book.update_id, bid, ask)
                self._publish(f"{book.market.lower_symbol}@bookTicker", lambda unit, text=text: text)  # type: ignore[misc]
        self._touched.clear()

    def send_depth(self, interval_ms: int, time_us: int) -> None:
        """Sends what is due on the depth streams of this interval."""
        for book in self.books.values():
            depth = book.depths.get(interval_ms)
            if depth is None or not (depth.changed or depth.missed):
                continue
            changes = depth.take()
            make = _once_per_unit(depth.update(changes, time_us)) if changes is not None else None
            for name, other_ms in DEPTH_INTERVALS_MS.items():
                stream = f"{book.market.lower_symbol}@{name}"
                if other_ms != interval_ms or stream not in self._followers:
                    continue
                prompt = self._serve_those_behind(stream, depth, changes, time_us)
                if make is not None:
                    self._publish(stream, make, prompt)

    def _serve_those_behind(
        self, stream: str, depth: DepthStream, changes: Changes | None, time_us: int
    ) -> list[Listener]:
        """Keeps the changes for followers that are behind, sends to those that have caught up; who gets them as usual."""
        prompt = []
        for session in list(self._followers[stream]):
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
            self._publish(stream, depth.update(missed, time_us), (session,))
        return prompt

    def _publish(self, stream: str, make: Callable[[int], str], sessions: Iterable[Listener] | None = None) -> None:
        """Sends one message to all followers of a stream, or to some, encoded once per form that is wanted."""
        frames: dict[tuple[bool, int], bytes] = {}
        for session in self._followers[stream] if sessions is None else sessions:
            form = (session.combined, session.unit)
            frame = frames.get(form)
            if frame is None:
                text = make(session.unit)
                payload = messages.combined(stream, text) if session.combined else text.encode()
                frame = frames[form] = encode_text(payload)
            session.send(frame)

    # -- user data

    def subscribe(self, session: Listener, account: Account, key_id: str) -> int | Refusal:
        """Follows an account's events on a session; the new subscription's id."""
        if any(other.account is account for other in session.subscriptions.values()):
            return refuse(Reason.SUBSCRIPTION_ACTIVE)
        id = session.next_subscription_id
        if id >= SUBSCRIPTION_IDS_MAX or len(session.subscriptions) >= SUBSCRIPTIONS_PER_SESSION_MAX:
            return refuse(Reason.TOO_MANY_SUBSCRIPTIONS)
        session.next_subscription_id += 1
        subscription = session.subscriptions[id] = Subscription(session, id, account, key_id)
        account.subscriptions.append(subscription)
        return id

    def unsubscribe(self, subscription: Subscription) -> None:
        del subscription.session.subscriptions[subscription.id]
        subscription.account.subscriptions.remove(subscription)

    def terminate(self, subscription: Subscription, time_us: int) -> None:
        """Ends a subscription from this side and says so."""
        session = subscription.session
        text = messages.stream_terminated(time_us, session.unit)
        self.unsubscribe(subscription)
        session.send(encode_text(messages.user_event(subscription.id, text)))

    def queue_user_event(self, account: Account, make: Callable[[int], str]) -> None:
        """Encodes an event of an account now and sends it at `send_user_events`, behind the reply to its cause."""
        texts: dict[int, str] = {}
        for subscription in account.subscriptions:
            unit = subscription.session.unit
            text = texts.get(unit)
            if text is None:
                text = texts[unit] = make(unit)
            self._queued.append((subscription.session, encode_text(messages.user_event(subscription.id, text))))

    def send_user_events(self) -> None:
        if self._queued:
            for session, frame in self._queued:
                session.send(frame)
            self._queued.clear()
