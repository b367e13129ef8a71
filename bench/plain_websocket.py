"""A WebSocket client on a plain blocking socket: frames as bytes, one thread, no event loop.

The fairness benchmark needs both ends of what a client may be: one that measures and must not wait for a loop of its own,
and ones that send what no library would send. A mask of zeros leaves the payload as it is, so frames can be made once and
sent many times.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from jibek.client.frames import frame_head

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
"""First byte of a whole frame of each kind."""
API_PATH = "/ws-api/v3?returnRateLimits=false"
READ_BYTES = 256 * 1024
ANSWER_TIMEOUT_S = 30.0


class ConnectionEnded(Exception):
    """The venue ended the connection or turned it away; the text says how."""


def frame(payload: bytes = b"", first_byte: int = TEXT) -> bytes:
    """A client's frame, masked with zeros."""
    return frame_head(first_byte, len(payload)) + bytes(4) + payload


def request_frame(id: int, method: str, params: dict[str, Any] | None = None) -> bytes:
    """A request as a frame."""
    return frame(json.dumps({"id": id, "method": method, "params": params or {}}, separators=(",", ":")).encode())


def upgrade_head(path: str, port: int) -> bytes:
    """The HTTP request that asks for a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def address(network: int, number: int) -> str:
    """An address of this machine that no other part of a run has, so that what the venue counts by address begins at zero.
    Only Linux lets a client bind any address of 127.0.0.0/8; elsewhere all share 127.0.0.1.

    Args:
        network, number: 0 to 255 each.
    """
    return f"127.1.{network}.{number}" if sys.platform.startswith("linux") else "127.0.0.1"


class PlainWebSocket:
    """An open connection to the WebSocket API.

    Raises:
        ConnectionEnded: the venue turned it away.
        OSError: no process listens there, or no answer came in 30 s.
    """

    def __init__(self, port: int, source: str, path: str = API_PATH) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_S, source_address=(source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._socket.sendall(upgrade_head(path, port))
        while b"\r\n\r\n" not in self._received:
            self._read()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        status_line = head.split(b"\r\n", 1)[0].decode(errors="replace")
        if " 101 " not in f"{status_line} ":
            self.close()
            raise ConnectionEnded(f"turned away: {status_line}")

    def send(self, data: bytes) -> None:
        """Sends bytes. Raises ConnectionEnded where the venue has ended the connection."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise ConnectionEnded(f"{error}") from None

    def messages(self, timeout_s: float) -> Iterator[bytes]:
        """What has come within `timeout_s`: waits for a first read at most, and answers pings meanwhile.

        Raises:
            ConnectionEnded: the venue has ended the connection.
        """
        if not select.select((self._socket,), (), (), max(0.0, timeout_s))[0]:
            return
        self._read()
        data, position = self._received, 0
        while (found := _server_frame(data, position)) is not None:
            first_byte, start, position = found
            payload = data[start:position]
            if first_byte == TEXT:
                yield payload
            elif first_byte == PING:
                self.send(frame(payload, PONG))
            elif first_byte == CLOSE:
                raise ConnectionEnded(f"closed: {int.from_bytes(payload[:2], 'big')} {payload[2:].decode()}")
        self._received = data[position:]

    def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sends one request, and returns its reply. Other messages are passed over.

        Raises:
            ConnectionEnded: the venue ended the connection, or no reply came in 30 s.
        """
        self.send(request_frame(0, method, params))
        deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
        while (left_s := deadline_s - time.monotonic()) > 0:
            for message in self.messages(left_s):
                reply: dict[str, Any] = json.loads(message)
                if reply.get("id") == 0:
                    return reply
        raise ConnectionEnded(f"no reply to {method} in {ANSWER_TIMEOUT_S:g} s")

    def close(self) -> None:
        self._socket.close()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_BYTES)
        except OSError as error:
            raise ConnectionEnded(f"{error}") from None
        if not data:
            raise ConnectionEnded("the connection ended")
        self._received += data


def _server_frame(data: bytes, position: int) -> tuple[int, int, int] | None:
    """First byte, start and end of the payload of the frame at a position; None where it is not whole."""
    if len(data) - position < 2:
        return None
    start, length = position + 2, data[position + 1]
    if length >= 126:
        start += 2 if length == 126 else 8
        if len(data) < start:
            return None
        length = int.from_bytes(data[position + 2 : start], "big")
    stop = start + length
    return (data[position], start, stop) if len(data) >= stop else None
