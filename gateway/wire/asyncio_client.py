"""The asyncio side of a client connection: drives `protocol.Connection` with a socket and the loop's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol as Interface
from typing import cast

from gateway.auth.sessions import Session
from gateway.dialect import replies as messages
from gateway.dialect.refusals import Refusal
from gateway.wire.connection import Connection, Event, HttpRequest, Limits, UpgradeRequest

WRITE_BUFFER_BYTES = 256 * 1024
"""What the loop may hold for a socket beyond the kernel's buffer; the rest stays in the Connection and is bounded there."""


class Application(Interface):
    """What a client's requests go to."""

    limits: Limits

    def connected(self, client: Client) -> Refusal | None: ...

    def disconnected(self, client: Client) -> None: ...

    def handle_http(self, client: Client, request: HttpRequest) -> tuple[int, bytes, tuple[tuple[str, str], ...]]: ...

    def open_session(self, client: Client, request: UpgradeRequest) -> Session | None: ...

    def handle_messages(self, session: Session, messages: Sequence[bytes]) -> None: ...


class Client(asyncio.Protocol):
    """One client. Messages go to the application, frames come back through `send`.

    `send` only queues; the frames leave at `flush`, which happens after each read and, for what events bring, once per
    turn: the application calls `flush` of all that are in its list `dirty`.
    """

    __slots__ = (
        "_ending_s",
        "_has_ended",
        "_is_dirty",
        "_is_paused",
        "application",
        "connection",
        "dirty",
        "ip",
        "loop",
        "session",
        "transport",
    )

    def __init__(self, application: Application, loop: asyncio.AbstractEventLoop, dirty: list[Client]) -> None:
        self.application = application
        self.loop = loop
        self.dirty = dirty
        self.connection = Connection(loop.time(), application.limits)
        self.session: Session | None = None
        self.transport: asyncio.Transport | None = None
        self.ip = ""
        self._has_ended = False
        self._is_dirty = False
        self._is_paused = False
        self._ending_s: float | None = None
        """When the last frame was handed over, for a peer that never takes it."""

    # -- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.ip = str(peer[0]) if isinstance(peer, tuple) else ""
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        refusal = self.application.connected(self)
        if refusal is not None:
            self.connection.turn_away(*messages.http_error(refusal))
            self.flush()

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
            self.dirty.append(self)

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
            transport.write_eof()

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
        """Handles events of a connection that began as HTTP. Answers may bring further events behind them."""
        while events:
            following: list[Event] = []
            for event in events:
                if isinstance(event, HttpRequest):
                    status, body, headers = self.application.handle_http(self, event)
                    following += self.connection.respond(status, body, self.loop.time(), headers=headers)
                elif isinstance(event, UpgradeRequest):
                    following += self._upgrade(event)
                elif self.session is not None:
                    self.application.handle_messages(self.session, (event,))
            events = following

    def _upgrade(self, request: UpgradeRequest) -> list[Event]:
        session = self.application.open_session(self, request)
        if session is None:
            return self.connection.respond(404, b'{"code":-1000,"msg":"Not found."}', self.loop.time())
        # Also where the handshake fails: then the session ends with the connection.
        self.session = session
        return self.connection.accept(self.loop.time())
