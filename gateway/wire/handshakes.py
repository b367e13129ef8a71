"""TLS handshakes in turns: what clients bring while theirs is under way is handed on to TLS a few pieces each turn of the loop.

A piece may cost a millisecond of the only thread: a signature, or a key exchange. Without this, clients that hold back any part
of the handshake and then send it at once, a hundred of them, would take a tenth of a second from everyone else.

    socket ─▶ plain transport ─▶ Handshake ─▶ protocol of TLS ─▶ Client
                                 until it is done; then the transport speaks to the protocol of TLS itself
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

from gateway.limits import TLS_HANDSHAKES_PER_TURN_MAX


class Handshakes:
    """Those that have brought something, in line."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Handshake] = deque()
        self._is_called = False

    def add(self, handshake: Handshake) -> None:
        """Something has come for a handshake that is not in line."""
        self._waiting.append(handshake)
        self._call()

    def _go_on(self) -> None:
        self._is_called = False
        turn = [self._waiting.popleft() for _ in range(min(TLS_HANDSHAKES_PER_TURN_MAX, len(self._waiting)))]
        self._call()
        for handshake in turn:
            handshake.go_on()

    def _call(self) -> None:
        if self._waiting and not self._is_called:
            self._is_called = True
            self._loop.call_soon(self._go_on)


class Handshake(asyncio.Protocol):
    """Passes on what comes from a socket to TLS. While something waits here, the socket is not read."""

    def __init__(self, line: Handshakes) -> None:
        self._line = line
        self._transport: asyncio.Transport | None = None
        self._tls: asyncio.BufferedProtocol | None = None
        self._data = b""
        """What waits for its turn."""
        self._is_in_line = False
        self._has_ended = False
        """Whether the client has ended its side behind that."""
        self._is_lost = False
        """Whether TLS is yet to hear that the connection is gone."""
        self._why_lost: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def begin(self) -> None:
        """TLS has the transport; from now on what comes for it goes through here."""
        transport = self._transport
        assert transport is not None
        self._tls = cast(asyncio.BufferedProtocol, transport.get_protocol())
        transport.set_protocol(self)
        self._wait()

    def end(self) -> None:
        """The handshake is done: what comes from now on costs little."""
        if self._transport is not None and self._tls is not None:
            self._transport.set_protocol(self._tls)
            self.go_on()

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._wait()

    def eof_received(self) -> bool:
        self._has_ended = True
        self._wait()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost, self._why_lost = True, exc
        self._wait()

    def _wait(self) -> None:
        """Gets in line if there is something to hand on."""
        if self._transport is not None and not self._is_lost:
            self._transport.pause_reading()
        if self._tls is not None and not self._is_in_line and (self._data or self._has_ended or self._is_lost):
            self._is_in_line = True
            self._line.add(self)

    def go_on(self) -> None:
        """Hands on what waits, and reads again."""
        self._is_in_line = False
        tls, transport = self._tls, self._transport
        if tls is None or transport is None:
            return
        data, self._data = self._data, b""
        while data and not self._is_lost and not transport.is_closing():
            buffer = cast(memoryview, tls.get_buffer(len(data)))
            size_bytes = min(len(buffer), len(data))
            buffer[:size_bytes] = data[:size_bytes]
            tls.buffer_updated(size_bytes)
            data = data[size_bytes:]
        if self._has_ended and not self._is_lost:
            self._has_ended = False
            if not tls.eof_received():
                transport.close()
        if self._is_lost:
            self._is_lost, self._tls = False, None
            tls.connection_lost(self._why_lost)
        elif not transport.is_closing():
            transport.resume_reading()

    def pause_writing(self) -> None:
        if self._tls is not None:
            self._tls.pause_writing()

    def resume_writing(self) -> None:
        if self._tls is not None:
            self._tls.resume_writing()
