"""How a connection comes from the listening socket to a `Client`, and out again if it is not wanted.

    accept ─▶ a place? ─▶ PROXY header (a trusted proxy) ─▶ is this address welcome? ─▶ first bytes of TLS ─▶ Client
                │                     │                             │
             503, close             close                   429 and so on, close

Each step has a bound in time and number, and whatever it leaves behind is closed here: until a `Client` has its transport,
the socket is this module's own. Two things follow that asyncio's own servers do not give. A connection counts from the
moment that it takes a descriptor, also while its TLS handshake is under way. And TLS handshakes, each of which costs a
millisecond, begin and go on a few each turn, however many clients bring a part of one at the same time
(`gateway.wire.handshakes`).

A connection that is turned away gets its answer before it asks, and may take a second to read it; its descriptor is closed
then, or as soon as too many wait. By TLS it is closed without an answer, because an answer would cost the handshake.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol as Interface

from gateway.limits import (
    ACCEPT_PAUSE_S,
    ACCEPTED_PER_TURN_MAX,
    CONNECTIONS_PENDING_MAX,
    PROXY_HEADER_BYTES_MAX,
    PROXY_LOG_INTERVAL_S,
    TLS_SHUTDOWN_TIMEOUT_S,
    TURNED_AWAY_MAX,
    TURNED_AWAY_S,
    ConnectionLimits,
)
from gateway.wire.addresses import TrustedProxies, canonical
from gateway.wire.asyncio_client import Client
from gateway.wire.connection import Connection
from gateway.wire.handshakes import Handshake, Handshakes
from gateway.wire.http_side import HttpAnswer
from gateway.wire.places import Place
from gateway.wire.proxy_protocol import ProxyHeaderRefused, read_header


class Door(Interface):
    """Who may come in."""

    limits: ConnectionLimits

    def take_place(self) -> Place | HttpAnswer:
        """A place for a connection that came, or the answer with which it is turned away."""

    def admit(self, place: Place, ip: str) -> HttpAnswer | None:
        """Whether the client of this address is welcome: None, or the answer with which it is turned away."""

    def failed(self, place: Place) -> None:
        """The client in this place has made the gateway begin a handshake that came to nothing."""

    def make(self, place: Place) -> Client:
        """The client in this place."""


class Arrival:
    """A connection that is not yet a client's."""

    __slots__ = ("deadline_s", "header", "place", "socket")

    def __init__(self, connection: socket.socket, place: Place, deadline_s: float) -> None:
        self.socket = connection
        self.place = place
        self.deadline_s = deadline_s
        self.header = b""
        """What has come of the PROXY header."""


class Listener:
    """
    Args:
        door: who may come in, and what becomes of them.
        loop: the loop of all connections.
        proxies: whose PROXY header is read; none if the protocol is not spoken.
        log: of the process.
    """

    def __init__(
        self, door: Door, loop: asyncio.AbstractEventLoop, log: logging.Logger, *, proxies: TrustedProxies | None = None
    ) -> None:
        self.tls: ssl.SSLContext | None = None
        """What new connections are answered with; without it TLS is not spoken."""
        self._door = door
        self._loop = loop
        self._log = log
        self._proxies = proxies or TrustedProxies()
        self._sockets: list[socket.socket] = []
        self._arrivals: dict[Arrival, None] = {}
        """Connections whose first bytes have not come, in the order in which they came."""
        self._handshakes = Handshakes(loop)
        self._starting: set[asyncio.Task[None]] = set()
        self._turned_away: deque[tuple[float, socket.socket]] = deque()
        self._proxy_logged_s = -PROXY_LOG_INTERVAL_S
        self._is_closed = False

    def listen(self, host: str, port: int) -> int:
        """Opens the port on all addresses of the host, on every address if it is empty; the number of the port.

        Raises:
            OSError: the host has no address here, or the port is taken.
        """
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            listening = socket.socket(family, kind, protocol)
            self._sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.setblocking(False)
            listening.bind(address)
            listening.listen(CONNECTIONS_PENDING_MAX)
        for listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)
        return int(self._sockets[0].getsockname()[1])

    def close(self) -> None:
        """Accepts nothing more, and closes what is not yet a client's."""
        self._is_closed = True
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        for arrival in list(self._arrivals):
            self._drop(arrival)
        while self._turned_away:
            self._turned_away.popleft()[1].close()

    def on_time(self) -> None:
        """Once a second: closes what has waited too long."""
        now_s = self._loop.time()
        for arrival in [arrival for arrival in self._arrivals if arrival.deadline_s <= now_s]:
            self._drop(arrival)
        while self._turned_away and self._turned_away[0][0] <= now_s:
            self._turned_away.popleft()[1].close()

    # -- accepting

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTED_PER_TURN_MAX):
            try:
                connection, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors or memory: to be asked again at once would only burn the processor.
                self._log.error("no connection is accepted for %.0f s: %s", ACCEPT_PAUSE_S, error.strerror)
                self._loop.remove_reader(listening)
                self._loop.call_later(ACCEPT_PAUSE_S, self._accept_again, listening)
                return
            connection.setblocking(False)
            self._arrived(connection, canonical(address[0]))

    def _accept_again(self, listening: socket.socket) -> None:
        if not self._is_closed:
            self._loop.add_reader(listening, self._accept, listening)

    def _arrived(self, connection: socket.socket, ip: str) -> None:
        place = self._door.take_place()
        if isinstance(place, HttpAnswer):
            self._turn_away(connection, place)
            return
        arrival = Arrival(connection, place, self._loop.time() + self._door.limits.open_timeout_s)
        if self._proxies.trust(ip):
            place.ip = ip
            self._wait_for_bytes(arrival, self._read_proxy_header)
        else:
            self._admit(arrival, ip)

    def _admit(self, arrival: Arrival, ip: str) -> None:
        answer = self._door.admit(arrival.place, ip)
        if answer is not None:
            arrival.place.leave()
            self._turn_away(arrival.socket, answer)
        elif self.tls is None:
            self._start(arrival)
        else:
            self._wait_for_bytes(arrival, self._hello_came)

    def _wait_for_bytes(self, arrival: Arrival, came: Callable[[Arrival], None]) -> None:
        self._arrivals[arrival] = None
        self._loop.add_reader(arrival.socket, came, arrival)

    # -- the PROXY header

    def _read_proxy_header(self, arrival: Arrival) -> None:
        """Takes the header, and not one byte of what follows it: that is for TLS or HTTP."""
        try:
            seen = arrival.socket.recv(PROXY_HEADER_BYTES_MAX - len(arrival.header), socket.MSG_PEEK)
            header = read_header(arrival.header + seen)
            if not seen or (header is None and len(arrival.header) + len(seen) >= PROXY_HEADER_BYTES_MAX):
                raise ProxyHeaderRefused("it ended inside the header")
            size_bytes = len(seen) if header is None else header.size_bytes - len(arrival.header)
            arrival.header += arrival.socket.recv(size_bytes)
        except BlockingIOError:
            return
        except (OSError, ProxyHeaderRefused) as error:
            self._note_proxy_fault(arrival.place.ip, error)
            self._drop(arrival)
            return
        if header is not None:
            self._loop.remove_reader(arrival.socket)
            del self._arrivals[arrival]
            self._admit(arrival, header.client or arrival.place.ip)

    def _note_proxy_fault(self, ip: str, error: Exception) -> None:
        if isinstance(error, ProxyHeaderRefused) and self._loop.time() - self._proxy_logged_s >= PROXY_LOG_INTERVAL_S:
            self._proxy_logged_s = self._loop.time()
            self._log.warning("the trusted proxy %s is refused: %s. Let it send the PROXY protocol", ip, error)

    # -- TLS, and the start of a client

    def _hello_came(self, arrival: Arrival) -> None:
        self._loop.remove_reader(arrival.socket)
        del self._arrivals[arrival]
        self._start(arrival)

    def _start(self, arrival: Arrival) -> None:
        task = self._loop.create_task(self._serve(arrival.socket, arrival.place))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _serve(self, connection: socket.socket, place: Place) -> None:
        """Hands the socket to a client. A client that got a transport leaves its place itself."""
        tls = self.tls
        try:
            if tls is None:
                await self._loop.connect_accepted_socket(lambda: self._door.make(place), connection)
            else:
                await self._serve_tls(connection, place, tls)
        except OSError:
            # The client has gone, or speaks no TLS that we do.
            if tls is not None:
                self._door.failed(place)
            place.leave()
            connection.close()

    async def _serve_tls(self, connection: socket.socket, place: Place, tls: ssl.SSLContext) -> None:
        plain, handshake = await self._loop.connect_accepted_socket(lambda: Handshake(self._handshakes), connection)
        client = self._door.make(place)
        # This runs as soon as `start_tls` has set its own protocol, and before that is given anything.
        self._loop.call_soon(handshake.begin)
        try:
            encrypted = await self._loop.start_tls(
                plain,
                client,
                tls,
                server_side=True,
                ssl_handshake_timeout=self._door.limits.open_timeout_s,
                ssl_shutdown_timeout=TLS_SHUTDOWN_TIMEOUT_S,
            )
        except BaseException:
            plain.abort()
            raise
        assert encrypted is not None
        handshake.end()
        client.connection_made(encrypted)

    # -- the way out

    def _turn_away(self, connection: socket.socket, answer: HttpAnswer) -> None:
        if self.tls is not None:
            connection.close()
            return
        with suppress(OSError):
            # The buffer of a new connection takes it whole.
            connection.send(answer_unasked(answer, self._door.limits))
            connection.shutdown(socket.SHUT_WR)
        # To close it now would cut off the answer: the client's request is on its way, and would be met by a reset.
        self._turned_away.append((self._loop.time() + TURNED_AWAY_S, connection))
        if len(self._turned_away) > TURNED_AWAY_MAX:
            self._turned_away.popleft()[1].close()

    def _drop(self, arrival: Arrival) -> None:
        if arrival in self._arrivals:
            self._loop.remove_reader(arrival.socket)
            del self._arrivals[arrival]
        arrival.place.leave()
        arrival.socket.close()


def answer_unasked(answer: HttpAnswer, limits: ConnectionLimits) -> bytes:
    """The bytes of an HTTP answer to a connection that has not asked for anything, and that ends with it."""
    connection = Connection(0.0, limits)
    connection.turn_away(answer)
    return b"".join(connection.take_output(connection.output.size_bytes, 0.0))
