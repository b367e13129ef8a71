"""The asyncio side of a client connection: drives a `Connection` with a socket and the loop's clock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, cast
from typing import Protocol as Interface

from gateway.limits import WRITE_BUFFER_BYTES, ConnectionLimits
from gateway.wire.connection import Connection, Event, HttpAnswer, HttpRequest, UpgradeRequest
from gateway.wire.places import Place


class Application(Interface):
    """What a client's requests go to. What it knows of a client it keeps in a session, which is opaque here."""

    limits: ConnectionLimits

    def connected(self, client: Client) -> None: ...

    def disconnected(self, client: Client) -> None: ...

    def takes_body(self, method: str, path: str) -> bool:
        """Whether a route takes a body."""

    def handle_http(self, client: Client, request: HttpRequest) -> None:
        """Sees to it that `client.respond` is called, now or later."""

    def open_session(self, client: Client, request: UpgradeRequest) -> Any | HttpAnswer:
        """The session of a WebSocket, or the answer with which it is refused."""

    def handle_messages(self, session: Any, messages: Sequence[bytes]) -> None: ...


class Outbox:
    """The clients for which frames are queued. Code that has queued some calls `flush` once, at the end of its turn."""

    def __init__(self) -> None:
        self._clients: list[Client] = []

    def add(self, client: Client) -> None:
        self._clients.append(client)

    def flush(self) -> None:
        """Writes what is queued."""
        if self._clients:
            for client in self._clients:
                client.flush()
            self._clients.clear()


class Client(asyncio.Protocol):
    """One client. Messages go to the application, frames come back through `send`.

    `send` only queues; the frames leave at `flush`, which happens after each read and, for what events bring, once per
    turn, by the outbox.

    Args:
        place: what it takes among all connections; it says who the client is.
    """

    __slots__ = (
        "_ending_s",
        "_events",
        "_has_ended",
        "_is_dirty",
        "_is_handling",
        "_is_paused",
        "application",
        "connection",
        "ip",
        "loop",
        "outbox",
        "place",
        "session",
        "transport",
    )

    def __init__(self, application: Application, loop: asyncio.AbstractEventLoop, outbox: Outbox, place: Place) -> None:
        self.application = application
        self.loop = loop
        self.outbox = outbox
        self.connection = Connection(loop.time(), application.limits, application.takes_body)
        self.session: Any = None
        """The application's own, once the client has a WebSocket."""
        self.transport: asyncio.Transport | None = None
        self.place = place
        self.ip = place.ip
        """Of the client itself, also behind a trusted proxy."""
        self._events: deque[Event] = deque()
        self._has_ended = False
        self._is_handling = False
        self._is_dirty = False
        self._is_paused = False
        self._ending_s: float | None = None
        """When the last frame was handed over, for a peer that never takes it."""

    # -- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self.application.connected(self)

    def data_received(self, data: bytes) -> None:
        events = self.connection.receive_data(data, self.loop.time())
        session = self.session
        if session is None:
            self._handle(events)
        elif events:
            # Once there is a session, all that comes is messages.
            self.application.handle_messages(session, cast("list[bytes]", events))
        self.flush()

    def eof_received(self) -> bool:
        self.connection.receive_eof()
        self.flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.abort()
        self.transport = None
        self.application.disconnected(self)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.flush()

    # -- what the application calls

    def send(self, frame: bytes) -> None:
        """Queues an encoded message."""
        self.connection.send(frame)
        if not self._is_dirty:
            self._is_dirty = True
            self.outbox.add(self)

    def flush(self) -> None:
        """Writes what is queued, as far as the network takes it."""
        self._is_dirty = False
        connection, transport = self.connection, self.transport
        if transport is None:
            return
        if connection.aborted:
            transport.abort()
            return
        if connection.output and not self._is_paused:
            transport.writelines(connection.data_to_send())
        if connection.finished and not connection.output and not self._has_ended:
            # Only this side ends: with bytes of the client unread, a close would cut off what was just written. What it
            # still sends is passed over until it ends as well, or until the close timeout.
            self._has_ended = True
            if transport.can_write_eof():
                transport.write_eof()
            else:
                # TLS ends as a whole, with words of its own.
                transport.close()

    def on_time(self) -> None:
        """Once a second: pings and timeouts."""
        now_s = self.loop.time()
        self.connection.on_time(now_s)
        self.flush()
        if self.connection.finished and self.transport is not None:
            if self._ending_s is None:
                self._ending_s = now_s
            elif now_s - self._ending_s >= self.connection.limits.close_timeout_s:
                self.transport.abort()

    def respond(self, answer: HttpAnswer) -> None:
        """Answers the HTTP request that the application was given last, and goes on with what came behind it."""
        self._handle(self.connection.respond(answer, self.loop.time()))
        if not self._is_handling:
            self.flush()

    def pause_reading(self) -> None:
        """Takes nothing more from the client until `resume_reading`: the network holds what it sends meanwhile."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def is_behind(self) -> bool:
        """Whether the client takes less than it is sent, so that something waits for it here."""
        return self._is_paused

    def close(self, code: int, reason: str) -> None:
        """Begins to close the connection."""
        self.connection.close(code, reason, self.loop.time())
        self.flush()

    def abort(self) -> None:
        """Ends the connection at once."""
        self.connection.abort()
        self.flush()

    # -- HTTP and upgrades

    def _handle(self, events: list[Event]) -> None:
        """Handles events of a connection that began as HTTP. An answer brings the next of them: they wait in line, so that
        many requests in one read are a loop and not a recursion."""
        self._events += events
        if self._is_handling:
            return
        self._is_handling = True
        try:
            while self._events:
                self._handle_event(self._events.popleft())
        finally:
            self._is_handling = False

    def _handle_event(self, event: Event) -> None:
        if isinstance(event, HttpRequest):
            self.application.handle_http(self, event)
        elif isinstance(event, UpgradeRequest):
            self._upgrade(event)
        elif self.session is not None:
            self.application.handle_messages(self.session, (event,))

    def _upgrade(self, request: UpgradeRequest) -> None:
        opened = self.application.open_session(self, request)
        if isinstance(opened, HttpAnswer):
            self.respond(opened)
            return
        # Also where the handshake fails: then the session ends with the connection.
        self.session = opened
        self._handle(self.connection.accept(self.loop.time()))
