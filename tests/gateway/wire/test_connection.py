from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State as WebSocketState
from websockets.uri import parse_uri

from gateway.incidents import Incident
from gateway.limits import FRAGMENT_BYTES, FRAGMENTS_MAX, PASSED_OVER_BYTES_MAX, ConnectionLimits
from gateway.wire.connection import Conduct, Connection, ConnectionState
from gateway.wire.frames import encode_text
from gateway.wire.http_side import HttpAnswer, HttpRequest, UpgradeRequest
from gateway.wire.output import LongMessage

UPGRADE = (
    b"GET /ws-api/v3?timeUnit=MICROSECOND HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
LIMITS = ConnectionLimits(message_bytes_max=1000, head_bytes_max=2000, body_bytes_max=100, output_bytes_max=5000)


def frame(opcode: Opcode, data: bytes, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def text(data: bytes, *, fin: bool = True) -> bytes:
    return frame(Opcode.TEXT, data, fin=fin)


def opened(limits: ConnectionLimits = LIMITS) -> Connection:
    connection = Connection(0.0, limits)
    assert connection.receive_data(UPGRADE, 0.0) == [UpgradeRequest("/ws-api/v3", "timeUnit=MICROSECOND")]
    assert connection.accept(0.0) == []
    sent(connection)
    return connection


def trusted() -> Connection:
    connection = opened()
    connection.trust()
    return connection


def sent(connection: Connection) -> bytes:
    return b"".join(connection.take_output(1 << 30, 0.0))


def close_code(connection: Connection) -> int:
    """The code of the close frame that the connection sends last."""
    data = sent(connection)
    position = data.index(b"\x88")
    code: int = struct.unpack_from("!H", data, position + 2)[0]
    return code


class TestHttp:
    def test_requests_of_a_kept_alive_connection_come_one_after_the_other(self) -> None:
        connection = Connection(0.0, LIMITS)
        both = b"GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
        (first,) = connection.receive_data(both, 0.0)
        assert isinstance(first, HttpRequest)
        assert (first.method, first.path, first.query, first.body) == ("GET", "/a", "x=1", b"")
        (second,) = connection.respond(HttpAnswer(200, b"{}"), 0.0)
        assert isinstance(second, HttpRequest)
        assert (second.method, second.path, second.body) == ("POST", "/b", b"hi")
        assert connection.respond(HttpAnswer(404, b"[]", (("X-Mark", "1"),)), 0.0) == []
        answer = sent(connection)
        assert answer.count(b"HTTP/1.1 ") == 2
        assert b"application/json" in answer
        assert b"X-Mark: 1" in answer
        assert not connection.finished

    def test_a_request_may_come_byte_by_byte(self) -> None:
        connection = Connection(0.0, LIMITS)
        events = [event for byte in UPGRADE for event in connection.receive_data(bytes([byte]), 0.0)]
        assert events == [UpgradeRequest("/ws-api/v3", "timeUnit=MICROSECOND")]
        connection.accept(0.0)
        assert b"101 Switching Protocols" in sent(connection)

    def test_an_unwanted_connection_is_answered_before_it_asks(self) -> None:
        connection = Connection(0.0, LIMITS)
        connection.turn_away(HttpAnswer(503, b"{}"))
        assert sent(connection).startswith(b"HTTP/1.1 503")
        assert connection.finished

    def test_connection_close_is_honoured(self) -> None:
        connection = Connection(0.0, LIMITS)
        connection.receive_data(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 0.0)
        connection.respond(HttpAnswer(200, b"{}"), 0.0)
        assert connection.finished

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS where none is spoken\r\n\r\n", b"400"),
            (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 3000, b"431"),
            (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 3000 + b"\r\n\r\n", b"431"),
            (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n" + b"a" * 101, b"413"),
            (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        ],
        ids=["no HTTP", "head too large", "whole head too large", "body too large", "no Host"],
    )
    def test_what_cannot_be_read_is_refused_and_closed(self, data: bytes, status: bytes) -> None:
        connection = Connection(0.0, LIMITS)
        assert connection.receive_data(data, 0.0) == []
        assert sent(connection).startswith(b"HTTP/1.1 " + status)
        assert connection.finished
        assert connection.receive_data(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0.0) == []

    def test_a_chunked_body_is_joined(self) -> None:
        connection = Connection(0.0, LIMITS)
        head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        (request,) = connection.receive_data(head + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 0.0)
        assert isinstance(request, HttpRequest)
        assert request.body == b"abc"

    def test_what_surrounds_the_pieces_of_a_body_is_not_kept(self) -> None:
        connection = Connection(0.0, LIMITS)
        connection.receive_data(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 0.0)
        for _ in range(50):
            assert connection.receive_data(b"1;" + b"x" * 1000 + b"\r\na\r\n", 0.0) == []
        assert len(connection._http._raw) == 0
        (request,) = connection.receive_data(b"0\r\n\r\n" + UPGRADE, 0.0)
        assert isinstance(request, HttpRequest)
        assert connection.respond(HttpAnswer(200, b"{}"), 0.0) == [UpgradeRequest("/ws-api/v3", "timeUnit=MICROSECOND")]
        connection.accept(0.0)
        assert b"101 Switching Protocols" in sent(connection)

    @pytest.mark.parametrize(("requests", "limit_s"), [(0, 10.0), (1, 60.0)], ids=["open timeout", "idle timeout"])
    def test_a_silent_connection_ends(self, requests: int, limit_s: float) -> None:
        connection = Connection(0.0, LIMITS)
        for _ in range(requests):
            connection.receive_data(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0.0)
            connection.respond(HttpAnswer(200, b"{}"), 0.0)
        connection.receive_data(b"GET / HTTP", 0.0)
        connection.on_time(limit_s - 0.1)
        assert not connection.finished
        connection.on_time(limit_s)
        assert connection.finished

    def test_a_request_that_waits_because_nothing_is_read_does_not_keep_the_connection(self) -> None:
        connection = Connection(0.0, LIMITS)
        (_,) = connection.receive_data(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 2, 0.0)
        assert len(connection.respond(HttpAnswer(200, b"{}"), 0.0)) == 1
        # The first answer is in the buffers of the network, so nothing waits here; the second request is not handled.
        sent(connection)
        connection.on_time(59.9)
        assert not connection.finished
        connection.on_time(60.0)
        assert connection.finished
        assert connection.respond(HttpAnswer(200, b"{}"), 60.0) == []


class TestUpgrade:
    def test_what_comes_before_the_answer_is_refused(self) -> None:
        connection = Connection(0.0, LIMITS)
        assert connection.receive_data(UPGRADE + text(b"early"), 0.0) == []
        assert sent(connection).startswith(b"HTTP/1.1 400")
        assert connection.finished

    def test_compression_is_not_taken_up(self) -> None:
        connection = Connection(0.0, LIMITS)
        connection.receive_data(UPGRADE, 0.0)
        connection.accept(0.0)
        assert b"permessage-deflate" not in sent(connection)

    def test_an_upgrade_after_plain_requests(self) -> None:
        connection = Connection(0.0, LIMITS)
        connection.receive_data(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n" + UPGRADE, 0.0)
        assert connection.respond(HttpAnswer(200, b"{}"), 0.0) == [UpgradeRequest("/ws-api/v3", "timeUnit=MICROSECOND")]
        connection.accept(0.0)
        assert b"101 Switching Protocols" in sent(connection)

    def test_a_refused_upgrade_closes(self) -> None:
        connection = Connection(0.0, LIMITS)
        connection.receive_data(UPGRADE, 0.0)
        assert connection.respond(HttpAnswer(404, b"{}"), 0.0) == []
        assert sent(connection).startswith(b"HTTP/1.1 404")
        assert connection.finished

    def test_a_wrong_handshake_is_refused(self) -> None:
        connection = Connection(0.0, LIMITS)
        connection.receive_data(UPGRADE.replace(b"Version: 13", b"Version: 8"), 0.0)
        assert connection.accept(0.0) == []
        assert sent(connection).startswith(b"HTTP/1.1 400")
        assert connection.finished

    def test_a_flood_before_the_answer_is_cut(self) -> None:
        connection = Connection(0.0, LIMITS)
        connection.receive_data(UPGRADE, 0.0)
        connection.receive_data(bytes(1001), 0.0)
        assert connection.aborted


class TestMessages:
    def test_fragments_are_joined_around_control_frames(self) -> None:
        connection = opened()
        data = text(b"a", fin=False) + frame(Opcode.PING, b"p") + frame(Opcode.CONT, b"b", fin=False)
        assert connection.receive_data(data, 0.0) == []
        assert connection.receive_data(frame(Opcode.CONT, b"c") + text(b"d"), 0.0) == [b"abc", b"d"]
        assert sent(connection) == b"\x8a\x01p"

    def test_a_character_may_be_split_between_fragments(self) -> None:
        connection = opened()
        euro = "€".encode()
        data = text(euro[:1], fin=False) + frame(Opcode.CONT, euro[1:])
        assert connection.receive_data(data, 0.0) == [euro]

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (text(b"a" * 1001), 1009),
            (text(b"a" * 600, fin=False) + frame(Opcode.CONT, b"a" * 401), 1009),
            (text(b"a" * 1126), 1009),
            (text(b"\xff"), 1007),
            (text(b"\xe2", fin=False) + frame(Opcode.CONT, b"\x28\xa1"), 1007),
            (frame(Opcode.BINARY, b"{}"), 1003),
            (frame(Opcode.CONT, b"x"), 1002),
            (Frame(Opcode.TEXT, b"{}").serialize(mask=False), 1002),
            (b"".join([text(b"", fin=False), *[frame(Opcode.CONT, b"", fin=False)] * 1024]), 1008),
        ],
        ids=[
            "over the limit",
            "over the limit in fragments",
            "far over the limit",
            "invalid UTF-8",
            "invalid UTF-8 across fragments",
            "binary",
            "continuation of nothing",
            "not masked",
            "endless fragments",
        ],
    )
    def test_a_broken_rule_ends_the_connection(self, data: bytes, code: int) -> None:
        connection = opened()
        assert connection.receive_data(data, 0.0, 2000) == []
        assert close_code(connection) == code
        assert connection.finished
        assert connection.receive_data(text(b"later"), 0.0) == []

    def test_a_message_of_the_full_size_passes_with_a_ping_between_its_fragments(self) -> None:
        connection = opened()
        data = text(b"a" * 999, fin=False) + frame(Opcode.PING, b"p" * 125) + frame(Opcode.CONT, b"a")
        assert connection.receive_data(data, 0.0) == [b"a" * 1000]

    @pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
    def test_the_encoding_is_that_of_the_library(self, length: int) -> None:
        payload = b"x" * length
        assert encode_text(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


class TestTime:
    def test_a_connection_that_answers_pings_stays(self) -> None:
        connection = opened()
        pinged_at = []
        for second in range(0, 300, 5):
            connection.on_time(float(second))
            if data := sent(connection):
                assert data[0] == 0x89
                connection.receive_data(frame(Opcode.PONG, data[2:]), float(second))
                pinged_at.append(second)
        assert connection.state is ConnectionState.WEBSOCKET
        assert pinged_at == list(range(20, 300, 20))

    def test_without_a_pong_it_ends_after_60_s(self) -> None:
        connection = opened()
        connection.on_time(20.0)
        connection.receive_data(frame(Opcode.PONG, b"unsolicited"), 21.0)
        connection.on_time(79.9)
        assert connection.state is ConnectionState.WEBSOCKET
        connection.on_time(80.0)
        assert close_code(connection) == 1011
        assert connection.finished

    def test_a_pong_that_is_guessed_keeps_nobody_alive(self) -> None:
        first, second = opened(), opened()
        pings = []
        for connection in (first, second):
            connection.on_time(20.0)
            pings.append(sent(connection)[2:])
        assert len(pings[0]) == 8 and pings[0] != pings[1]
        for guess in (b"", b"0", b"1", bytes(8), pings[1]):
            first.receive_data(frame(Opcode.PONG, guess), 21.0)
        first.on_time(80.0)
        assert close_code(first) == 1011

    def test_after_24_hours_it_is_closed(self) -> None:
        connection = opened(LIMITS._replace(ping_interval_s=1e9))
        connection.on_time(24 * 3600.0 - 1)
        assert connection.state is ConnectionState.WEBSOCKET
        connection.on_time(24 * 3600.0)
        assert close_code(connection) == 1001

    def test_a_close_that_is_not_answered_ends_after_the_timeout(self) -> None:
        connection = opened()
        connection.close(1001, "shutting down", 100.0)
        assert close_code(connection) == 1001
        connection.on_time(104.9)
        assert not connection.finished
        connection.on_time(105.0)
        assert connection.aborted

    def test_the_clients_close_frame_ends_a_connection_that_this_side_closes(self) -> None:
        connection = opened()
        connection.close(1008, "enough", 100.0)
        sent(connection)
        sent_before = text(b"x" * 900) * 3 + frame(Opcode.PING, b"") + text("é".encode()) + text(b"{", fin=False)
        data = sent_before + frame(Opcode.CLOSE, struct.pack("!H", 1008))
        for position in range(0, len(data), 700):
            assert not connection.finished
            assert connection.receive_data(data[position : position + 700], 100.0) == []
        assert connection.finished
        assert not connection.aborted
        assert sent(connection) == b""

    @pytest.mark.parametrize(
        "begins", [b"\x81\xff" + b"\x7f" * 12, text(b"x" * 100)], ids=["a frame without end", "frames"]
    )
    @pytest.mark.parametrize("is_broken", [False, True], ids=["closing", "ended"])
    def test_a_client_that_sends_on_and_on_after_the_end_is_dropped(self, begins: bytes, is_broken: bool) -> None:
        connection = opened()
        if is_broken:
            connection.receive_data(text(b"\xff"), 100.0)
        else:
            connection.close(1008, "enough", 100.0)
        for _ in range(PASSED_OVER_BYTES_MAX // (100 * len(begins))):
            connection.receive_data(begins * 100, 100.0)
            assert not connection.aborted
        for _ in range(2):
            connection.receive_data(begins * 100, 100.0)
        assert connection.aborted

    def test_the_closing_handshake_of_a_client_is_answered(self) -> None:
        connection = opened()
        assert connection.receive_data(text(b"last") + frame(Opcode.CLOSE, struct.pack("!H", 1000)), 0.0) == [b"last"]
        assert close_code(connection) == 1000
        assert connection.finished
        connection.send(encode_text(b"too late"))
        assert sent(connection) == b""


class TestSlowReader:
    """More than the bound may wait for a reader that had no time to take it, but not for long, and never much more."""

    def test_a_burst_that_is_taken_in_time_does_no_harm(self) -> None:
        connection = trusted()
        for second in range(20):
            for _ in range(15):
                connection.send(bytes(1000))
            assert len(b"".join(connection.take_output(4000, second))) == 4000
            connection.on_time(second + 0.5)
            assert len(sent(connection)) >= 11_000
        assert connection.state is ConnectionState.WEBSOCKET

    def test_after_a_while_over_the_bound_what_waits_gives_way_to_a_close_frame(self) -> None:
        connection = trusted()
        for _ in range(6):
            connection.send(bytes(1000))
        connection.take_output(500, 10.0)
        connection.take_output(500, 11.0)
        connection.send(bytes(1000))
        connection.on_time(14.9)
        assert connection.state is ConnectionState.WEBSOCKET
        connection.on_time(15.0)
        assert close_code(connection) == 1008
        assert connection.finished
        connection.send(b"more")
        assert sent(connection) == b""

    def test_a_frame_that_has_left_in_part_cannot_be_followed_by_a_close_frame(self) -> None:
        connection = trusted()
        for _ in range(7):
            connection.send(bytes(1000))
        connection.take_output(100, 10.0)
        connection.on_time(15.0)
        assert connection.aborted

    def test_much_more_than_the_bound_ends_it_at_once(self) -> None:
        connection = trusted()
        for _ in range(20):
            connection.send(bytes(1000))
        assert connection.state is ConnectionState.WEBSOCKET
        connection.send(b"x")
        assert close_code(connection) == 1008

    def test_a_stranger_may_have_less_waiting(self) -> None:
        connection = opened(LIMITS._replace(stranger_output_bytes_max=500))
        for _ in range(2):
            connection.send(bytes(1000))
        assert connection.state is ConnectionState.WEBSOCKET
        connection.send(b"x")
        assert close_code(connection) == 1008

    def test_a_flood_of_pings_is_bounded_as_well(self) -> None:
        connection = opened(LIMITS._replace(stranger_output_bytes_max=500))
        connection.receive_data(frame(Opcode.PING, b"p" * 100) * 64, 0.0)
        assert close_code(connection) == 1008

    def test_an_answer_over_http_that_nobody_reads_ends_the_connection(self) -> None:
        connection = Connection(0.0, LIMITS._replace(stranger_output_bytes_max=5000))
        connection.receive_data(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 0.0)
        connection.respond(HttpAnswer(200, b"x" * 6000), 0.0)
        connection.take_output(100, 1.0)
        connection.on_time(5.9)
        assert not connection.aborted
        connection.on_time(6.0)
        assert connection.aborted

    def test_a_client_that_takes_something_now_and_then_may_answer_a_ping_late(self) -> None:
        connection = opened(LIMITS._replace(stranger_output_bytes_max=1 << 20))
        connection.send(bytes(1000))
        connection.on_time(20.0)
        for second in range(30, 200, 30):
            assert connection.take_output(100, second)
            connection.on_time(second + 29.0)
        assert connection.state is ConnectionState.WEBSOCKET
        sent(connection)
        connection.on_time(300.0)
        assert close_code(connection) == 1011

    def test_a_long_answer_that_is_taken_for_minutes_leaves_time_for_the_pong(self) -> None:
        connection = opened()
        connection.send_long(LongMessage(iter([b"x" * 1000] * 10_000), 80_000))
        second = 0.0
        while connection.output:
            second += 1.0
            connection.on_time(second)
            connection.take_output(100_000, second)
        assert second > 90.0
        connection.on_time(second + 59.0)
        assert connection.state is ConnectionState.WEBSOCKET
        sent(connection)
        connection.on_time(second + 60.0)
        assert close_code(connection) == 1011


class TestTurns:
    def test_so_many_frames_are_taken_and_the_others_wait(self) -> None:
        connection = opened()
        last = text(b"3")
        data = text(b"1") + frame(Opcode.PING, b"") + text("é".encode()) + text(b"2") + last[:-1]
        assert connection.receive_data(data, 0.0, 2) == [b"1"]
        assert connection.has_more
        assert connection.receive_data(b"", 0.0, 2) == ["é".encode(), b"2"]
        assert connection.has_more, "it has not looked"
        assert connection.receive_data(b"", 0.0, 2) == []
        assert not connection.has_more
        assert connection.receive_data(last[-1:], 0.0, 2) == [b"3"]

    def test_a_pipelined_request_is_read_when_the_one_before_is_answered(self) -> None:
        connection = Connection(0.0, LIMITS)
        requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(2000))
        events = connection.receive_data(requests, 0.0)
        paths = []
        while events:
            (event,) = events
            assert isinstance(event, HttpRequest)
            assert connection.is_answering
            assert connection.receive_data(b"", 0.0) == []
            paths.append(event.path)
            events = connection.respond(HttpAnswer(200, b"{}"), 0.0)
            sent(connection)
        assert paths == [f"/{number}" for number in range(2000)]
        assert not connection.is_answering


class TestLongMessage:
    def test_it_is_made_as_it_is_taken(self) -> None:
        connection = opened(LIMITS._replace(stranger_output_bytes_max=1 << 30))
        made = []

        def pieces() -> Iterator[bytes]:
            for number in range(1000):
                made.append(number)
                yield b"%04d" % number * 100

        connection.send(encode_text(b"before"))
        connection.send_long(LongMessage(pieces(), 8000))
        connection.send(encode_text(b"behind"))
        assert not made
        assert connection.output.size_bytes == 8000 + 16
        data = b""
        while connection.output:
            taken = b"".join(connection.take_output(10_000, 0.0))
            assert 0 < len(taken) <= 10_000
            data += taken
            assert len(made) * 400 <= len(data) + 2 * FRAGMENT_BYTES + 800
        assert connection.output.size_bytes == 0
        client = ClientProtocol(parse_uri("ws://h/"), state=WebSocketState.OPEN)
        client.receive_data(data)
        frames = [event for event in client.events_received() if isinstance(event, Frame)]
        assert [frame.opcode for frame in frames[:3]] == [Opcode.TEXT, Opcode.TEXT, Opcode.CONT]
        assert [frame.fin for frame in frames] == [True, *[False] * (len(frames) - 3), True, True]
        assert b"".join(frame.data for frame in frames[1:-1]) == b"".join(b"%04d" % n * 100 for n in range(1000))

    @pytest.mark.parametrize("length", [0, 1, FRAGMENT_BYTES, FRAGMENT_BYTES + 1])
    def test_a_short_one_is_right_as_well(self, length: int) -> None:
        connection = opened(LIMITS._replace(stranger_output_bytes_max=1 << 30))
        connection.send_long(LongMessage(iter([b"x" * length]), 8))
        client = ClientProtocol(parse_uri("ws://h/"), state=WebSocketState.OPEN)
        client.receive_data(sent(connection))
        frames = [event for event in client.events_received() if isinstance(event, Frame)]
        assert [(frame.fin, frame.data) for frame in frames] == [(True, b"x" * length)]
        assert connection.output.size_bytes == 0


class TestConduct:
    """What a client does besides asking is noted, so that it can be counted."""

    def noted(self, connection: Connection, data: bytes) -> tuple[int, int, bool]:
        connection.receive_data(data, 0.0)
        conduct = connection.conduct or Conduct()
        return conduct.control_frames, conduct.fragments, conduct.broke_rule

    @pytest.mark.parametrize(
        ("data", "noted"),
        [
            (text(b"{}") * 3, (0, 0, False)),
            (frame(Opcode.PING, b""), (1, 0, False)),
            (frame(Opcode.PING, b"a") * 3 + text(b"{}") + frame(Opcode.PONG, b""), (4, 0, False)),
            (text(b"{", fin=False) + frame(Opcode.CONT, b"}"), (0, 2, False)),
            (text(b"{", fin=False) + frame(Opcode.PING, b"") + frame(Opcode.CONT, b"", fin=False), (1, 2, False)),
            (frame(Opcode.BINARY, b"x"), (0, 0, True)),
            (text(b"\xff"), (0, 0, True)),
            (text(b"\xff", fin=False) + frame(Opcode.CONT, b""), (0, 2, True)),
            (text(b"x" * 1001), (0, 0, True)),
            (text(b"x" * 550, fin=False) + frame(Opcode.CONT, b"x" * 550), (0, 2, True)),
            (text(b"", fin=False) + frame(Opcode.CONT, b"", fin=False) * FRAGMENTS_MAX, (0, FRAGMENTS_MAX + 1, True)),
            (Frame(Opcode.TEXT, b"{}").serialize(mask=False), (0, 0, True)),
            (frame(Opcode.CONT, b"x"), (0, 0, True)),
            (b"\x83\x80\x00\x00\x00\x00", (0, 0, True)),
            (frame(Opcode.CLOSE, b"\x03\xe8"), (0, 0, False)),
        ],
        ids=[
            "messages", "ping", "pings and a pong", "fragments", "a ping between fragments", "binary", "no UTF-8",
            "no UTF-8 in fragments", "too large", "too large in fragments", "endless fragments", "no mask",
            "continuation of nothing", "unknown opcode", "close",
        ],
    )  # fmt: skip
    def test_frames(self, data: bytes, noted: tuple[int, int, bool]) -> None:
        connection = opened()
        found = self.noted(connection, data)
        while connection.has_more:
            found = self.noted(connection, b"")
        assert found == noted

    @pytest.mark.parametrize(
        ("data", "is_broken"),
        [
            (b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n", False),
            (b"GET /a HTTP/1.1\r\n\r\n", True),
            (b"\x00\x01\x02\r\n\r\n", True),
            (b"GET /a HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 3000, True),
            (b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n" + b"x" * 101, True),
        ],
        ids=["a request", "no Host", "no HTTP", "large head", "large body"],
    )
    def test_http(self, data: bytes, is_broken: bool) -> None:
        assert self.noted(Connection(0.0, LIMITS), data) == (0, 0, is_broken)

    def test_a_handshake_that_is_none(self) -> None:
        connection = Connection(0.0, LIMITS)
        connection.receive_data(UPGRADE.replace(b"Version: 13", b"Version: 12"), 0.0)
        connection.accept(0.0)
        assert connection.conduct is not None and connection.conduct.broke_rule

    def test_what_is_not_the_clients_fault_is_none(self) -> None:
        turned_away, silent, old, slow = Connection(0.0, LIMITS), opened(), opened(), opened()
        turned_away.turn_away(HttpAnswer(503, b"{}"))
        for second in range(200):
            silent.on_time(float(second))
        old.close(1001, "open for too long", 0.0)
        slow.end_slow_reader()
        for connection in (turned_away, silent, old, slow):
            assert connection.finished or connection.state is not ConnectionState.WEBSOCKET
            assert connection.conduct is None
        ended_for = [connection.ended_for for connection in (turned_away, silent, old, slow)]
        assert ended_for == [None, Incident.NO_PONG, None, Incident.SLOW_READER]

    def test_one_that_sends_on_after_its_end_is_named(self) -> None:
        connection = opened()
        connection.close(1008, "enough", 0.0)
        connection.receive_data(bytes(PASSED_OVER_BYTES_MAX + 1), 0.0)
        assert connection.aborted and connection.ended_for is Incident.SENDS_ON
