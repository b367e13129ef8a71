"""Requests that a proxy could read in another way than the gateway are refused, and the connection is closed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limits import ConnectionLimits
from gateway.wire.connection import Connection
from gateway.wire.http_side import HttpAnswer, HttpRequest, UpgradeRequest

LIMITS = ConnectionLimits(head_bytes_max=2000, body_bytes_max=100)
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n"
POST = b"POST /form HTTP/1.1\r\nHost: h\r\n"
UPGRADE = (
    GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
END = b"\r\n"


def takes_body(method: str, path: str) -> bool:
    return (method, path) == ("POST", "/form")


REFUSED = [
    # what is wrong                             the request                                                         status
    ("a body on a GET",                         GET + b"Content-Length: 5\r\n\r\nhello",                            400),
    ("a chunked body on a GET",                 GET + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",               400),
    ("a body on a HEAD",                        b"HEAD /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",       400),
    ("a body on an OPTIONS",                    b"OPTIONS /form HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 400),
    ("a body where no route takes one",         b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",       400),
    ("a body with a method without a route",    b"DELETE /form HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",  400),
    ("a body on an upgrade",                    UPGRADE + b"Content-Length: 5\r\n\r\nhello",                        400),
    ("a chunked body on an upgrade",            UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",           400),
    ("a body on an upgrade of a form",          UPGRADE.replace(b"GET /a", b"POST /form") + b"Content-Length: 1\r\n\r\nx", 400),
    ("a body over the limit",                   POST + b"Content-Length: 101\r\n\r\n",                              413),
    ("a length of 20 digits",                   POST + b"Content-Length: 99999999999999999999\r\n\r\n",             413),
    ("a length of 1,500 digits",                POST + b"Content-Length: " + b"9" * 1500 + b"\r\n\r\n",             400),
    ("a length beside a coding",                POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a coding beside a length",                POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    ("a length of 0 beside a coding",           POST + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 400),
    ("two lengths",                             POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",         400),
    ("one length twice",                        POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",          400),
    ("a list of lengths",                       POST + b"Content-Length: 1, 1\r\n\r\nx",                            400),
    ("a length with a sign",                    POST + b"Content-Length: +1\r\n\r\nx",                              400),
    ("a negative length",                       POST + b"Content-Length: -1\r\n\r\nx",                              400),
    ("a length in hex",                         POST + b"Content-Length: 0x1\r\n\r\nx",                             400),
    ("an empty length",                         POST + b"Content-Length:\r\n\r\n",                                  400),
    ("a length with a gap",                     POST + b"Content-Length: 1 1\r\n\r\nx",                             400),
    ("an unknown coding",                       POST + b"Transfer-Encoding: gzip\r\n\r\n",                          501),
    ("a coding that is hidden",                 POST + b"Transfer-Encoding: xchunked\r\n\r\n",                      501),
    ("two codings",                             POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",        501),
    ("a coding twice",                          POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    ("a coding behind a vertical tab",          POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",          400),
    ("a coding in HTTP/1.0",                    POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a trailer",                               POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: x\r\n\r\n",   400),
    ("a chunk size with a sign",                POST + b"Transfer-Encoding: chunked\r\n\r\n+1\r\nx\r\n0\r\n\r\n",   400),
    ("a chunk size in 0x",                      POST + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",  400),
    ("a chunk that is longer than it says",     POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",   400),
    ("a header over two lines",                 GET + b"X: a\r\n b\r\n\r\n",                                        400),
    ("a header over two lines, with a tab",     GET + b"X: a\r\n\tb\r\n\r\n",                                       400),
    ("a folded coding",                         POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",          400),
    ("a folded first header",                   b"GET /a HTTP/1.1\r\n Host: h\r\n\r\n",                             400),
    ("a line that ends with LF",                b"GET /a HTTP/1.1\nHost: h\r\n\r\n",                                400),
    ("a head that ends with LF LF",             b"GET /a HTTP/1.1\nHost: h\n\n",                                    400),
    ("a CR in a value",                         GET + b"X: a\rY: b\r\n\r\n",                                        400),
    ("a CR before the line end",                GET + b"X: a\r\r\n\r\n",                                            400),
    ("a NUL in a value",                        GET + b"X: a\0b\r\n\r\n",                                           400),
    ("a space before a colon",                  GET + b"Content-Length : 0\r\n\r\n",                                400),
    ("a tab before a colon",                    GET + b"Content-Length\t: 0\r\n\r\n",                               400),
    ("a space before a header",                 b"GET /a HTTP/1.1\r\nHost: h\r\n X: 1\r\n\r\n",                     400),
    ("a header without a colon",                GET + b"X\r\n\r\n",                                                 400),
    ("a header without a name",                 GET + b": x\r\n\r\n",                                               400),
    ("an empty line before the request",        b"\r\n" + GET + END,                                                400),
    ("an absolute target",                      b"GET http://h/a HTTP/1.1\r\nHost: h\r\n\r\n",                      400),
    ("an absolute target of another host",      b"GET http://other/a HTTP/1.1\r\nHost: h\r\n\r\n",                  400),
    ("a target of an authority",                b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",                       400),
    ("an asterisk for a target",                b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",                           400),
    ("a target without a slash",                b"GET a HTTP/1.1\r\nHost: h\r\n\r\n",                               400),
    ("a target with a fragment",                b"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",                            400),
    ("a target with a backslash",               b"GET /a\\..\\b HTTP/1.1\r\nHost: h\r\n\r\n",                       400),
    ("a target with a space",                   b"GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",                            400),
    ("a target beyond ASCII",                   b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n",                       400),
    ("two spaces before the target",            b"GET  /a HTTP/1.1\r\nHost: h\r\n\r\n",                             400),
    ("a space behind the version",              b"GET /a HTTP/1.1 \r\nHost: h\r\n\r\n",                             400),
    ("HTTP/0.9",                                b"GET /a\r\n\r\n",                                                  400),
    ("HTTP/1.2",                                b"GET /a HTTP/1.2\r\nHost: h\r\n\r\n",                              505),
    ("HTTP/2.0",                                b"GET /a HTTP/2.0\r\nHost: h\r\n\r\n",                              505),
    ("the preface of HTTP/2",                   b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",                                505),
    ("HTTP/11.1",                               b"GET /a HTTP/11.1\r\nHost: h\r\n\r\n",                             400),
    ("http/1.1 in lower case",                  b"GET /a http/1.1\r\nHost: h\r\n\r\n",                              400),
    ("no Host",                                 b"GET /a HTTP/1.1\r\n\r\n",                                         400),
    ("two Hosts",                               GET + b"Host: h\r\n\r\n",                                           400),
    ("a Host with a user",                      b"GET /a HTTP/1.1\r\nHost: u@h\r\n\r\n",                            400),
    ("a Host with a path",                      b"GET /a HTTP/1.1\r\nHost: h/a\r\n\r\n",                            400),
    ("a list of Hosts",                         b"GET /a HTTP/1.1\r\nHost: h, i\r\n\r\n",                           400),
    ("a key twice",                             GET + b"X-MBX-APIKEY: a\r\nX-MBX-APIKEY: b\r\n\r\n",                400),
    ("an Origin twice",                         UPGRADE + b"Origin: http://h\r\nOrigin: http://i\r\n\r\n",          400),
    ("an upgrade twice",                        UPGRADE + b"Upgrade: h2c\r\n\r\n",                                  400),
    ("a WebSocket key twice",                   UPGRADE + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",   400),
    ("an upgrade by POST",                      UPGRADE.replace(b"GET /a", b"POST /form") + END,                    400),
    ("an upgrade in HTTP/1.0",                  UPGRADE.replace(b"1.1", b"1.0") + END,                              400),
    ("bytes behind an upgrade",                 UPGRADE + END + b"\x81\x80\0\0\0\0",                                400),
    ("a request behind an upgrade",             UPGRADE + END + GET + END,                                          400),
]  # fmt: skip
# fmt: off
TAKEN = [
    # what is fine                              the request                                                         body
    ("an empty body on a GET",                  GET + b"Content-Length: 0\r\n\r\n",                                 b""),
    ("an empty body where none is taken",       b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",        b""),
    ("a form",                                  POST + b"Content-Length: 3\r\n\r\na=1",                             b"a=1"),
    ("a form with a query",                     POST.replace(b"form", b"form?b=2") + b"Content-Length: 3\r\n\r\na=1", b"a=1"),
    ("a form in chunks",                        POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n0\r\n\r\n",  b"a=1"),
    ("Host with a port",                        b"GET /a HTTP/1.1\r\nHost: h.example:9443\r\n\r\n",                 b""),
    ("Host as an IPv6 address",                 b"GET /a HTTP/1.1\r\nHost: [::1]:9443\r\n\r\n",                     b""),
    ("an empty Host",                           b"GET /a HTTP/1.1\r\nHost:\r\n\r\n",                                b""),
    ("a list in the query",                     b'GET /a?symbols=["BTCKZT","ETHKZT"] HTTP/1.1\r\nHost: h\r\n\r\n',  b""),
    ("X-Forwarded-For twice",                   GET + b"X-Forwarded-For: 1\r\nX-Forwarded-For: 2\r\n\r\n",          b""),
    ("another protocol to upgrade to",          GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", b""),
]
# fmt: on


def sent(connection: Connection) -> bytes:
    return b"".join(connection.take_output(connection.output.size_bytes, 0.0))


@pytest.mark.parametrize("row", REFUSED, ids=[row[0] for row in REFUSED])
@pytest.mark.parametrize("in_pieces", [False, True], ids=["at once", "byte by byte"])
def test_what_can_be_read_in_two_ways_is_refused_and_closed(row: tuple[str, bytes, int], in_pieces: bool) -> None:
    _, data, status = row
    if in_pieces and "behind an upgrade" in row[0]:
        pytest.skip("once the upgrade is accepted, more is welcome")
    connection = Connection(0.0, LIMITS, takes_body)
    pieces = [data[at : at + 1] for at in range(len(data))] if in_pieces else [data]
    assert [event for piece in pieces for event in connection.receive_data(piece, 0.0)] == []
    answer = sent(connection)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in answer
    assert connection.finished
    assert connection.receive_data(GET + END, 0.0) == [], "nothing behind it is read"


@pytest.mark.parametrize("row", TAKEN, ids=[row[0] for row in TAKEN])
def test_what_can_be_read_in_one_way_is_taken(row: tuple[str, bytes, bytes]) -> None:
    _, data, body = row
    connection = Connection(0.0, LIMITS, takes_body)
    (request,) = connection.receive_data(data, 0.0)
    assert isinstance(request, HttpRequest)
    assert request.body == body
    connection.respond(HttpAnswer(200, b"{}"), 0.0)
    assert not connection.finished


def test_a_header_that_comes_twice_is_the_list_that_it_is() -> None:
    connection = Connection(0.0, LIMITS, takes_body)
    (request,) = connection.receive_data(GET + b"X-Forwarded-For: 1, 2\r\nX-Forwarded-For: 3\r\n\r\n", 0.0)
    assert isinstance(request, HttpRequest)
    assert request.headers[b"x-forwarded-for"] == b"1, 2, 3"


def test_http_1_0_gets_one_answer() -> None:
    connection = Connection(0.0, LIMITS, takes_body)
    one = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    (request,) = connection.receive_data(one + one, 0.0)
    assert isinstance(request, HttpRequest)
    assert connection.respond(HttpAnswer(200, b"{}"), 0.0) == []
    assert connection.finished
    assert sent(connection).count(b"HTTP/1.1 200") == 1


FRAMING = st.sampled_from(
    [
        b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", b"Content-Length: 5\n", b"content-length : 5\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding:\r\n chunked\r\n", b"Transfer-Encoding: identity\r\n",
        b"X: a\r\n", b"X: a\r\n\tb\r\n", b"Host: h\r\n",
    ]
)  # fmt: skip


@settings(max_examples=50)
@given(lines=st.lists(FRAMING, max_size=4))
def test_no_framing_lets_a_second_request_hide_in_the_first(lines: list[bytes]) -> None:
    """Whatever the framing says: either the request behind the head is seen as one, or the connection ends."""
    connection = Connection(0.0, LIMITS, takes_body)
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    events = connection.receive_data(GET + b"".join(lines) + END + smuggled, 0.0)
    if events:
        (first,) = events
        assert isinstance(first, HttpRequest) and first.body == b""
        (second,) = connection.respond(HttpAnswer(200, b"{}"), 0.0)
        assert isinstance(second, HttpRequest) and second.path == "/smuggled"
    else:
        assert connection.finished


def test_an_upgrade_carries_its_headers() -> None:
    connection = Connection(0.0, LIMITS, takes_body)
    (request,) = connection.receive_data(UPGRADE + b"Origin: http://h\r\n\r\n", 0.0)
    assert isinstance(request, UpgradeRequest)
    assert request.headers[b"origin"] == b"http://h"
