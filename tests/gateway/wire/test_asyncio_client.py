"""When a client is read, handled and written to, on a transport that only takes notes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import pytest
from websockets.frames import Frame, Opcode

from gateway.limits import FLUSH_S, SLICE_S, TURN_S, WRITE_BUFFER_BYTES, ConnectionLimits
from gateway.wire.asyncio_client import Client, Outbox
from gateway.wire.connection import Conduct
from gateway.wire.frames import encode_text
from gateway.wire.http_side import HttpAnswer, HttpRequest
from gateway.wire.output import LongMessage
from gateway.wire.places import Place, Places
from gateway.wire.turns import Turns

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Transport:
    """A network that takes as much as its room allows, and then pauses the client."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.took: Callable[[], None] = lambda: None
        """Called with each write."""
        self.high = 0
        self.room = 1 << 40
        """What the kernel takes."""
        self.buffer_bytes = 0
        self.buffer_bytes_largest = 0
        self.written = b""
        self.is_reading = True
        self.is_aborted = False
        self.has_ended = False

    def get_extra_info(self, name: str) -> None:
        return None

    def set_write_buffer_limits(self, high: int) -> None:
        self.high = high

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.took()
        data = b"".join(pieces)
        self.written += data
        taken = min(self.room, len(data))
        self.room -= taken
        self.buffer_bytes += len(data) - taken
        self.buffer_bytes_largest = max(self.buffer_bytes_largest, self.buffer_bytes)
        if self.buffer_bytes > self.high:
            assert self.client is not None
            self.client.pause_writing()

    def drain(self) -> None:
        """The kernel takes all that waits here."""
        assert self.client is not None
        self.buffer_bytes = 0
        self.client.resume_writing()

    def is_closing(self) -> bool:
        return self.is_aborted

    def pause_reading(self) -> None:
        assert self.is_reading
        self.is_reading = False

    def resume_reading(self) -> None:
        assert not self.is_reading
        self.is_reading = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_ended = True

    def abort(self) -> None:
        self.is_aborted = True


class Application:
    """Takes messages; each costs half a slice."""

    limits = ConnectionLimits()

    def __init__(self) -> None:
        self.now_s = 0.0
        self.calls: deque[Callable[[], None]] = deque()
        self.turns = Turns(lambda: self.now_s, self.calls.append)
        self.outbox = Outbox(self.calls.append, clock=lambda: self.now_s, bytes_max=500_000)
        self.handled: list[bytes] = []
        self.answer_bytes = 0

    def time(self) -> float:
        """As the loop."""
        return self.now_s

    def client(self) -> tuple[Client, Transport]:
        client = Client(self, cast(Any, self), self.outbox, self.turns, Place(Places(10, 10)))
        transport = Transport()
        transport.client = client
        client.connection_made(cast(Any, transport))
        client.data_received(UPGRADE)
        transport.written = b""
        return client, transport

    def wait(self, time_s: float) -> None:
        self.now_s += time_s

    def run(self) -> None:
        """One turn of the loop."""
        for _ in range(len(self.calls)):
            self.calls.popleft()()

    def connected(self, client: Client) -> None: ...

    def disconnected(self, client: Client) -> None: ...

    def takes_body(self, method: str, path: str) -> bool:
        return False

    def note_conduct(self, client: Client, conduct: Conduct) -> None: ...

    def open_session(self, client: Client, request: object) -> Client:
        return client

    def handle_http(self, client: Client, request: HttpRequest) -> None:
        client.respond(HttpAnswer(200, b"{}"))

    def handle_messages(self, session: Client, messages: Iterable[bytes]) -> int:
        taken = 0
        for message in messages:
            taken += 1
            self.now_s += SLICE_S / 2
            self.handled.append(message)
            if message == b"wait":
                session.hold()
                break
            if self.answer_bytes:
                session.send(encode_text(b"x" * self.answer_bytes))
            if session.is_slice_over():
                break
        return taken


@pytest.fixture
def application() -> Application:
    return Application()


def texts(*messages: bytes) -> bytes:
    return b"".join(Frame(Opcode.TEXT, message).serialize(mask=True) for message in messages)


def test_the_socket_is_not_read_while_something_waits_to_be_handled(application: Application) -> None:
    client, transport = application.client()
    messages = [b"%d" % number for number in range(300)]
    client.data_received(texts(*messages))
    assert 1 < len(application.handled) < 5
    assert not transport.is_reading
    while application.calls:
        application.run()
        assert transport.is_reading == (not application.calls)
    assert application.handled == messages
    assert transport.is_reading


def test_behind_a_message_that_waits_nothing_is_handled_and_nothing_is_read(application: Application) -> None:
    client, transport = application.client()
    client.data_received(texts(b"1", b"wait", b"2", b"3"))
    application.run()
    assert application.handled == [b"1", b"wait"]
    assert not transport.is_reading
    assert not application.calls, "it costs no turns"
    client.go_on()
    application.run()
    assert application.handled == [b"1", b"wait", b"2", b"3"]
    assert transport.is_reading


def test_a_client_that_is_behind_is_neither_handled_nor_read(application: Application) -> None:
    client, transport = application.client()
    application.answer_bytes, transport.room = 200_000, 500_000
    client.data_received(texts(*[b"%d" % number for number in range(100)]))
    for _ in range(10):
        application.run()
    handled = len(application.handled)
    assert handled < 10
    assert not transport.is_reading
    assert transport.buffer_bytes_largest <= WRITE_BUFFER_BYTES, "the transport is handed no more"
    for _ in range(5):
        transport.drain()
        application.run()
    assert handled < len(application.handled) < 100
    transport.room = 1 << 40
    transport.drain()
    while application.calls:
        application.run()
    assert len(application.handled) == 100
    assert len(transport.written) == 100 * (200_000 + 10)
    assert transport.is_reading


def test_what_came_before_this_side_has_closed_is_not_handled(application: Application) -> None:
    client, transport = application.client()
    client.data_received(texts(*[b"%d" % number for number in range(100)]))
    handled = len(application.handled)
    client.close(1008, "enough")
    while application.calls:
        application.run()
    assert len(application.handled) == handled < 100
    assert transport.is_reading, "for the client's close frame"
    client.data_received(texts(b"late") + Frame(Opcode.CLOSE, b"\x03\xf0").serialize(mask=True))
    assert transport.has_ended


def test_what_waits_for_all_readers_together_is_bounded(application: Application) -> None:
    """The reader for which most waits is closed, and the others stay."""
    clients = [application.client() for _ in range(3)]
    for (client, transport), size in zip(clients, (300_000, 700_000, 400_000), strict=True):
        transport.room = 0
        client.send(encode_text(b"x" * size))
        application.outbox.flush()
    assert [transport.is_aborted for _, transport in clients] == [False, True, False]
    client, transport = clients[0]
    transport.room = 1 << 40
    transport.drain()
    assert len(transport.written) == 300_010
    client.send(encode_text(b"y" * 500_000))
    application.outbox.flush()
    assert [transport.is_aborted for _, transport in clients] == [False, True, False], "what was taken does not count"


def test_thousands_of_followers_are_written_to_in_turns_and_who_has_a_key_first(application: Application) -> None:
    followers = [application.client() for _ in range(100)]
    trader, wire = application.client()
    trader.trust()
    for _, transport in followers:
        transport.took = lambda: application.wait(FLUSH_S / 10)
    for round in range(3):
        for client, _ in followers:
            client.send(encode_text(b"trade %d" % round))
        trader.send(encode_text(b"answer %d" % round))
        application.outbox.flush()
        assert wire.written.endswith(b"answer %d" % round), "at once"
    assert 0 < sum(bool(transport.written) for _, transport in followers) < 100
    while application.calls:
        begun_s = application.now_s
        application.run()
        assert application.now_s - begun_s <= 1.2 * FLUSH_S
    expected = b"".join(encode_text(b"trade %d" % round) for round in range(3))
    assert [transport.written for _, transport in followers] == [expected] * 100


def test_pipelined_requests_are_answered_in_turns(application: Application) -> None:
    client = Client(application, cast(Any, application), application.outbox, application.turns, Place(Places(10, 10)))
    transport = Transport()
    transport.client = client
    client.connection_made(cast(Any, transport))
    client.data_received(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 500)
    while application.calls:
        application.run()
    assert transport.written.count(b"HTTP/1.1 200") == 500
    assert transport.is_reading


class TestLongMessages:
    """A long message costs time when it is made, so it is made in turns; each of its pieces costs a tenth of a slice here."""

    PIECES = 1_000

    def pieces(self, application: Application) -> Iterator[bytes]:
        for _ in range(self.PIECES):
            application.now_s += SLICE_S / 10
            yield b"x" * 2_000

    def long_message(self, application: Application) -> LongMessage:
        return LongMessage(self.pieces(application), 8 * self.PIECES)

    @pytest.mark.parametrize("clients", [1, 40])
    @pytest.mark.parametrize("drains", [False, True], ids=["queued by an event", "the network takes more"])
    def test_no_call_of_the_loop_makes_more_than_a_slice_or_two(
        self, application: Application, clients: int, drains: bool
    ) -> None:
        application.outbox = Outbox(application.calls.append, clock=lambda: application.now_s)
        pairs = [application.client() for _ in range(clients)]
        for client, transport in pairs:
            transport.room = 0 if drains else transport.room
            client.send(encode_text(b"before") if not drains else encode_text(b"y" * 3 * WRITE_BUFFER_BYTES))
            client.send_long(self.long_message(application))
            client.send(encode_text(b"behind"))
        begun_s = application.now_s
        application.outbox.flush()
        assert application.now_s - begun_s <= 2 * SLICE_S, "flushing made them"
        if drains:
            for _, transport in pairs:
                transport.room = 1 << 40
                while transport.buffer_bytes:
                    transport.drain()
            assert application.now_s - begun_s <= 2 * SLICE_S, "the network made them"
        while application.calls:
            begun_s = application.now_s
            application.run()
            assert application.now_s - begun_s <= TURN_S + 3 * SLICE_S
        for _, transport in pairs:
            assert len(transport.written) > 2_000 * self.PIECES
            assert transport.written.endswith(encode_text(b"behind"))

    def test_what_is_asked_behind_it_waits_until_it_is_made(self, application: Application) -> None:
        client, transport = application.client()
        client.send_long(self.long_message(application))
        application.outbox.flush()
        client.data_received(texts(b"1", b"2"))
        assert application.handled == []
        while application.calls:
            application.run()
        assert application.handled == [b"1", b"2"]
        assert transport.is_reading
        assert len(transport.written) > 2_000 * self.PIECES

    def test_it_leaves_whole_where_the_client_has_begun_to_close(self, application: Application) -> None:
        client, transport = application.client()
        client.send_long(self.long_message(application))
        application.outbox.flush()
        client.data_received(Frame(Opcode.CLOSE, b"").serialize(mask=True))
        while application.calls:
            application.run()
        assert len(transport.written) > 2_000 * self.PIECES
        assert client.connection.finished and not client.connection.output

    def test_a_client_that_leaves_meanwhile_is_forgotten(self, application: Application) -> None:
        client, transport = application.client()
        client.send_long(self.long_message(application))
        application.outbox.flush()
        application.run()
        client.connection_lost(None)
        while application.calls:
            application.run()
        assert not client.is_in_line
        assert len(transport.written) < 2_000 * self.PIECES
