"""A WebSocket client that can misbehave: it sends any bytes, and returns exactly what came back."""

from __future__ import annotations

import itertools
import json
import socket
import ssl
from typing import Any, NamedTuple

from websockets.frames import Frame, Opcode

from tests.worlds.accounts import Ed25519Key
from tests.worlds.clients import RequestClient

TIMEOUT_S = 30.0
"""Far longer than any answer takes; a test that waits so long fails."""


class Closed(NamedTuple):
    """The connection was closed with this code; 0: without a close frame."""

    code: int


def upgrade(path: str = "/ws-api/v3") -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    """A client's frame, masked as it must be."""
    return Frame(opcode, data, fin).serialize(mask=True)


def text(message: object) -> bytes:
    """A text message: bytes and str as they are, all else as JSON."""
    if isinstance(message, str):
        message = message.encode()
    return frame(Opcode.TEXT, message if isinstance(message, bytes) else json.dumps(message).encode())


class RawClient(RequestClient):
    """A connection after the upgrade.

    Args:
        receive_buffer_bytes: makes the kernel hold no more than this for a slow reader; 0 leaves it as it is.
    """

    def __init__(self, port: int, path: str = "/ws-api/v3", *, receive_buffer_bytes: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._ids = itertools.count(1)
        self.passed: list[Any] = []
        """Messages that came before a reply that was waited for."""
        self._fragments: list[bytes] = []
        self.send(upgrade(path))
        head = self._read_head()
        assert head.startswith(b"HTTP/1.1 101"), head

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Sends bytes. If the gateway has closed the connection meanwhile, the next `receive` says so."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive(self) -> Any:
        """The next message: a text as the value of its JSON, a close frame as `Closed`, a pong as its bytes."""
        while True:
            head = self._read(2)
            if len(head) < 2:
                return Closed(0)
            length = head[1]
            assert length < 128, "a server's frame is not masked"
            if length >= 126:
                length = int.from_bytes(self._read(2 if length == 126 else 8), "big")
            data = self._read(length)
            if len(data) < length:
                return Closed(0)
            opcode = Opcode(head[0] & 15)
            if opcode is Opcode.CLOSE:
                return Closed(int.from_bytes(data[:2], "big") if data else 1005)
            if opcode is Opcode.PING:
                self.send(frame(Opcode.PONG, data))
            elif opcode is Opcode.PONG:
                return data
            elif opcode is Opcode.TEXT or opcode is Opcode.CONT:
                assert bool(self._fragments) == (opcode is Opcode.CONT), "fragments follow their first"
                self._fragments.append(data)
                if head[0] & 0x80:
                    message, self._fragments = b"".join(self._fragments), []
                    return json.loads(message)

    def ask(self, method: str, **params: Any) -> Any:
        """Sends a request and returns its reply; what comes before it is kept in `passed`."""
        id = f"wire-{next(self._ids)}"
        self.send(text({"id": id, "method": method, "params": params}))
        return self.reply_to(id)

    def reply_to(self, id: object) -> Any:
        """The reply with this id, or `Closed`; what comes before it is kept in `passed`."""
        while True:
            message = self.receive()
            if isinstance(message, Closed) or (isinstance(message, dict) and message.get("id") == id):
                return message
            self.passed.append(message)

    def answers_ping(self) -> bool:
        """Whether a ping frame is answered; for connections on which nothing else is under way."""
        self.send(frame(Opcode.PING, b"answers"))
        while not isinstance(message := self.receive(), Closed):
            if message == b"answers":
                return True
        return False

    def is_alive(self) -> bool:
        """Whether a request is answered, on a connection of the request API."""
        reply = self.ask("ping")
        return isinstance(reply, dict) and reply.get("status") == 200

    def _read_head(self) -> bytes:
        while b"\r\n\r\n" not in self._received and self._read_more():
            pass
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return head

    def _read(self, length: int) -> bytes:
        """That many bytes, or fewer where the connection ends."""
        while len(self._received) < length and self._read_more():
            pass
        data, self._received = self._received[:length], self._received[length:]
        return data

    def _read_more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        self._received += data
        return bool(data)


def logged_on(port: int, key: Ed25519Key, **options: Any) -> RawClient:
    """A raw client whose session is logged on."""
    client = RawClient(port, **options)
    client.logon(key)
    return client


def http(port: int, request: bytes) -> tuple[int, Any]:
    """Sends bytes as an HTTP request; status and JSON body of the answer, or (0, None) if none came."""
    head, _, body = _exchange(port, request).partition(b"\r\n\r\n")
    return (int(head.split(b" ")[1]) if head else 0), (json.loads(body) if body else None)


def http_status(port: int, request: bytes) -> int:
    """Sends bytes as an HTTP request; the status of the answer, whose body need not be JSON."""
    return int(_exchange(port, request).split(b" ")[1])


def _exchange(port: int, request: bytes) -> bytes:
    """Everything that comes back until the gateway closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return everything(connection)


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    data = b""
    try:
        while piece := connection.recv(65536):
            data += piece
    except (ConnectionResetError, ssl.SSLError):
        pass
    return data
