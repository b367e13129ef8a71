"""The asyncio side of a client connection: drives a `Connection` with a socket and the loop's clock."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, cast
from typing import Protocol as Interface

from gateway.limits import (
    FLUSH_S,
    FRAGMENT_BYTES,
    OUTPUT_BYTES_TOTAL_MAX,
    SEND_BUFFER_BYTES,
    SMALL_FRAME_BYTES_MAX,
    WRITE_BUFFER_BYTES,
    ConnectionLimits,
)
from gateway.wire.connection import Conduct, Connection, Event
from gateway.wire.http_side import HttpAnswer, HttpRequest, UpgradeRequest
from gateway.wire.output import LongMessage
from gateway.wire.places import Place
from gateway.wire.turns import Turns

_ENDED = getattr(select, "POLLRDHUP", 0)
"""What poll is asked for. A system that does not have it reports a connection that was reset all the same."""


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

    def note_conduct(self, client: Client, conduct: Conduct) -> None:
        """Takes note of what a client did besides asking."""

    def handle_messages(self, session: Any, messages: Iterable[bytes]) -> int:
        """Handles messages in their order, until the client's slice is over or one of them has to wait; how many it took."""


class Outbox:
    """The clients for which frames are queued, and the bound on what waits for all of them together.

    Code that has queued some calls `flush` once, at the end of its turn. Clients that have shown a key are written to at
    once, strangers in turns of the loop: a market may have thousands of followers, and each costs a system call.

    Args:
        call_soon: calls a function in the loop's next turn.
    """

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        *,
        clock: Callable[[], float] = time.perf_counter,
        bytes_max: int = OUTPUT_BYTES_TOTAL_MAX,
    ) -> None:
        self._call_soon = call_soon
        self._clock = clock
        self._bytes_max = bytes_max
        self._trusted: list[Client] = []
        self._strangers: deque[Client] = deque()
        self._is_waiting = False
        """Whether the loop will call for strangers that are yet to be written to."""
        self._behind: dict[Client, int] = {}
        """The clients that take less than they are sent, and the bytes that wait for each."""
        self._waiting_bytes = 0

    def add(self, client: Client) -> None:
        """Frames are queued for a client."""
        (self._trusted if client.is_trusted else self._strangers).append(client)

    def flush(self) -> None:
        """Writes what is queued."""
        if self._trusted:
            for client in self._trusted:
                client.flush()
            self._trusted.clear()
        if self._strangers and not self._is_waiting:
            self._flush_strangers()

    def _flush_strangers(self) -> None:
        self._is_waiting = False
        ends_s = self._clock() + FLUSH_S
        while self._strangers:
            self._strangers.popleft().flush()
            if self._clock() >= ends_s:
                break
        if self._strangers:
            self._is_waiting = True
            self._call_soon(self._flush_strangers)

    def note(self, client: Client, waiting_bytes: int) -> None:
        """So much is left for a client after all was written that the network takes. Where that is too much for all clients
        together, the one for which most waits is closed. Cost: O(clients that are behind) only then."""
        if not waiting_bytes and client not in self._behind:
            return
        self._waiting_bytes += waiting_bytes - self._behind.pop(client, 0)
        if waiting_bytes:
            self._behind[client] = waiting_bytes
        while self._waiting_bytes > self._bytes_max:
            slowest = max(self._behind, key=self._behind.__getitem__)
            self._waiting_bytes -= self._behind.pop(slowest)
            slowest.end_slow_reader()


class Client(asyncio.Protocol):
    """One client. Messages go to the application, frames come back through `send`.

    `send` only queues; the frames leave at `flush`, which happens after each turn and, for what events bring, once per
    turn of the loop, by the outbox. A long message is made in turns, too, and what is behind it waits for that.

    What came is handled in turns (`gateway.wire.turns`). The socket is read only while nothing waits to be handled, so what
    a client can pile up here is one read of the socket. Nothing is handled while the client is behind with its reading, or
    while one of its requests waits.

    Args:
        turns: the line in which it waits.
        place: what it takes among all connections; it says who the client is.
    """

    __slots__ = (
        "_ending_s",
        "_events",
        "_frames",
        "_has_ended",
        "_is_closing",
        "_is_dirty",
        "_is_handling",
        "_is_held",
        "_is_paused",
        "_is_reading",
        "application",
        "connection",
        "ip",
        "is_in_line",
        "is_trusted",
        "loop",
        "outbox",
        "place",
        "session",
        "transport",
        "turns",
    )

    def __init__(
        self, application: Application, loop: asyncio.AbstractEventLoop, outbox: Outbox, turns: Turns, place: Place
    ) -> None:
        self.application = application
        self.loop = loop
        self.outbox = outbox
        self.turns = turns
        self.connection = Connection(loop.time(), application.limits, application.takes_body)
        self.session: Any = None
        """The application's own, once the client has a WebSocket."""
        self.transport: asyncio.Transport | None = None
        self.place = place
        self.ip = place.ip
        """Of the client itself, also behind a trusted proxy."""
        self.is_in_line = False
        self.is_trusted = False
        self._frames: list[bytes] = []
        """Small frames of this turn, which the connection is yet to be given."""
        self._events: deque[Event] = deque()
        """What came and is yet to be handled."""
        self._is_held = False
        """Whether a request of the client waits, and what follows with it."""
        self._is_closing = False
        """Whether this side has ended the connection: what the client has sent before is not handled any more."""
        self._has_ended = False
        self._is_handling = False
        self._is_dirty = False
        self._is_paused = False
        """Whether the network takes nothing more for now."""
        self._is_reading = True
        self._ending_s: float | None = None
        """When the last frame was handed over, for a peer that never takes it."""

    # -- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        if (connection_socket := transport.get_extra_info("socket")) is not None:
            connection_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        # The loop pauses this client above half the buffer and is handed half of it at a time.
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES // 2)
        self.application.connected(self)
        # By TLS the first request may come together with the end of the handshake.
        self.flush()
        self._go_on()

    def data_received(self, data: bytes) -> None:
        connection = self.connection
        self._events += connection.receive_data(data, self.loop.time())
        if connection.conduct is not None:
            self._note_conduct()
        if self._events or connection.has_more:
            self.turns.arrived(self)
            self._read_if_idle()
        else:
            self.flush()

    def eof_received(self) -> bool:
        self.connection.receive_eof()
        self.flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.abort()
        self._events.clear()
        self.transport = None
        self.outbox.note(self, 0)
        self.application.disconnected(self)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.flush()
        self._go_on()

    def _note_conduct(self) -> None:
        """Hands on what the client did besides asking; that may end the connection."""
        conduct, self.connection.conduct = self.connection.conduct, None
        if conduct is not None:
            self.application.note_conduct(self, conduct)

    # -- turns

    def take_turn(self) -> bool:
        """Handles what has come, until the slice is over; whether there is more that could be handled now."""
        self._is_handling = True
        try:
            while self._may_handle():
                if not self._events:
                    self._events += self.connection.receive_data(b"", self.loop.time())
                    if self.connection.conduct is not None:
                        self._note_conduct()
                    if not self._events and not self.connection.has_more:
                        break
                self._handle_some()
                if self.turns.is_slice_over():
                    break
            self.flush()
        finally:
            self._is_handling = False
        self._read_if_idle()
        return self._may_write() or (self._may_handle() and self._has_work())

    def is_slice_over(self) -> bool:
        """Whether what follows has to wait: the client has had its time, or is sent more than it takes."""
        return self._is_sent_too_much() or self.turns.is_slice_over()

    def _is_sent_too_much(self) -> bool:
        output = self.connection.output
        return output.has_long or output.size_bytes > WRITE_BUFFER_BYTES

    def _handle_some(self) -> None:
        """Handles the next request over HTTP, or as many messages as the application takes."""
        events, session = self._events, self.session
        if session is not None:
            taken = self.application.handle_messages(session, cast("Iterable[bytes]", events))
            if taken == len(events):
                events.clear()
            else:
                for _ in range(taken):
                    events.popleft()
        elif events:
            event = events.popleft()
            if isinstance(event, HttpRequest):
                self.application.handle_http(self, event)
            else:
                self._upgrade(cast(UpgradeRequest, event))

    def _has_work(self) -> bool:
        return not self._is_closing and (bool(self._events) or self.connection.has_more)

    def _may_handle(self) -> bool:
        """Whether the client's requests may be handled: none of them waits, and it takes what it is sent."""
        is_open = self.transport is not None and not self._is_closing
        return is_open and not self._is_paused and not self._is_sent_too_much() and not self._is_held

    def _may_write(self) -> bool:
        """Whether something waits that the network would take."""
        connection = self.connection
        return bool(connection.output) and not self._is_paused and not connection.aborted and self.transport is not None

    def _read_if_idle(self) -> None:
        """Reads the socket exactly while nothing waits to be handled."""
        transport = self.transport
        wants = not self._is_held and not self._has_work() and not self.connection.is_answering
        if transport is not None and wants != self._is_reading and not transport.is_closing():
            self._is_reading = wants
            if wants:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def _go_on(self) -> None:
        """Something that held the client up has passed."""
        if not self._is_handling:
            if self._may_handle() and self._has_work():
                self.turns.arrived(self)
            self._read_if_idle()

    def hold(self) -> None:
        """Handles nothing more of the client until `go_on`, and reads nothing: the network holds what it sends meanwhile."""
        self._is_held = True
        self._read_if_idle()

    def go_on(self) -> None:
        """Goes on behind the request that had to wait."""
        self._is_held = False
        self._go_on()

    # -- what the application calls

    def send(self, frame: bytes) -> None:
        """Queues an encoded message, or several of them in one piece."""
        self._frames.append(frame)
        if not self._is_dirty:
            self._is_dirty = True
            self.outbox.add(self)
        if len(frame) > SMALL_FRAME_BYTES_MAX:
            self._hand_over()

    def send_long(self, message: LongMessage) -> None:
        """Queues a message that is made as the client takes it."""
        self._hand_over()
        self.connection.send_long(message)
        if not self._is_dirty:
            self._is_dirty = True
            self.outbox.add(self)

    def _hand_over(self) -> None:
        """Hands the frames of this turn to the connection in one piece, which costs a tenth of one at a time."""
        if self._frames:
            self.connection.send(b"".join(self._frames))
            self._frames.clear()

    def trust(self) -> None:
        """The client has shown a key: more may wait for it than for a stranger."""
        self.is_trusted = True
        self.connection.trust()

    def flush(self) -> None:
        """Writes what is queued, as far as the network takes it; where a long message is to be made, in turns."""
        self._is_dirty = False
        connection, transport = self.connection, self.transport
        if transport is None:
            return
        self._hand_over()
        output = connection.output
        if output:
            now_s = self.loop.time()
            while self._may_write():
                if output.has_long:
                    if not self._is_handling:
                        self.turns.goes_on(self)
                        break
                    transport.writelines(connection.take_output(FRAGMENT_BYTES, now_s))
                    if self.turns.is_slice_over():
                        break
                else:
                    transport.writelines(connection.take_output(WRITE_BUFFER_BYTES // 2, now_s))
        self.outbox.note(self, output.size_bytes)
        if connection.aborted:
            transport.abort()
        elif connection.finished and not output and not self._has_ended:
            # Only this side ends: with bytes of the client unread, a close would cut off what was just written. What it
            # still sends is passed over until it ends as well, or until the close timeout.
            self._has_ended = True
            if transport.can_write_eof():
                transport.write_eof()
            else:
                # TLS ends as a whole, with words of its own.
                transport.close()

    def end_slow_reader(self) -> None:
        """Ends the connection because too much waits for its reader."""
        self._is_closing = True
        self.connection.end_slow_reader()
        self.flush()

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
        self._events += self.connection.respond(answer, self.loop.time())
        self._note_conduct()
        if not self._is_handling:
            self.flush()
            self._go_on()

    def has_ended(self) -> bool:
        """Whether the client has ended the connection. The loop hears of that only while it reads, so the socket is asked."""
        if self.transport is None or self.transport.is_closing():
            return True
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), _ENDED)
        return bool(poll.poll(0))

    def is_behind(self) -> bool:
        """Whether the client takes less than it is sent, so that something waits for it here."""
        return self._is_paused

    def close(self, code: int, reason: str) -> None:
        """Begins to close the connection."""
        self._is_closing = True
        self._hand_over()
        self.connection.close(code, reason, self.loop.time())
        self.flush()
        # The client's own close frame is yet to come.
        self._read_if_idle()

    def abort(self) -> None:
        """Ends the connection at once."""
        self._is_closing = True
        self.connection.abort()
        self.flush()

    # -- upgrades

    def _upgrade(self, request: UpgradeRequest) -> None:
        opened = self.application.open_session(self, request)
        if isinstance(opened, HttpAnswer):
            self.respond(opened)
            return
        # Also where the handshake fails: then the session ends with the connection.
        self.session = opened
        self._events += self.connection.accept(self.loop.time())
        self._note_conduct()
