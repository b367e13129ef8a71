"""Who follows which stream, and one message to all of them.

A message is encoded once per form (bare or wrapped, milliseconds or microseconds) and the same bytes go to everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from gateway.dialect import market_data
from gateway.wire.frames import encode_text


class Listener(Protocol):
    """A session as the streams see it."""

    combined: bool
    unit: int
    streams: dict[str, None]
    subscriptions: dict[int, Any]
    """User data subscriptions by id."""
    next_subscription_id: int

    def send(self, frame: bytes, /) -> None: ...

    def is_behind(self) -> bool: ...

    def close(self, code: int, reason: str) -> None: ...


class Followers:
    """Stream name → sessions that follow it, in the order in which they came."""

    def __init__(self) -> None:
        self.by_stream: dict[str, dict[Listener, None]] = {}

    def of(self, stream: str) -> Iterable[Listener]:
        """The sessions that follow a stream."""
        return self.by_stream.get(stream, ())

    def add(self, stream: str, session: Listener) -> None:
        """Adds a follower; one that follows already changes nothing."""
        self.by_stream.setdefault(stream, {})[session] = None

    def remove(self, stream: str, session: Listener) -> bool:
        """Removes a follower. True if it was the last one."""
        followers = self.by_stream.get(stream, {})
        if followers.pop(session, self) is self or followers:
            return False
        del self.by_stream[stream]
        return True

    def publish(self, stream: str, *makes: Callable[[int], str], sessions: Iterable[Listener] | None = None) -> None:
        """Sends messages to all followers of a stream, or to some of them.

        Args:
            makes: each message as JSON text, for a time unit.
        """
        frames: dict[tuple[bool, int], bytes] = {}
        for session in self.of(stream) if sessions is None else sessions:
            form = (session.combined, session.unit)
            frame = frames.get(form)
            if frame is None:
                texts = (make(session.unit) for make in makes)
                payloads = (market_data.combined(stream, text) if session.combined else text.encode() for text in texts)
                frame = frames[form] = b"".join(map(encode_text, payloads))
            session.send(frame)
