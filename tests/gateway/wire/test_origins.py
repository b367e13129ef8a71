"""Which web pages may connect: of the same origin, or allowed by name; and only where the venue is meant to be found."""

from __future__ import annotations

import json
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access import Access
from gateway.wire.origins import Origins, read_origin
from tests.worlds.front import Front, front
from tests.worlds.raw_client import upgrade

PLAIN = Origins("127.0.0.1")
ANYWHERE = Origins("0.0.0.0")
NAMED = Origins(
    "127.0.0.1", allow_hosts=["Venue.example"], allow_origins=["https://trade.example", "http://localhost:3000"]
)
BY_TLS = Origins("192.0.2.1", is_tls=True, allow_hosts=["venue.example"])

ROWS = [
    # origins    Origin                          Host                      allowed
    (PLAIN,     None,                           "evil.example",           True),   # no browser
    (PLAIN,     "http://127.0.0.1:9443",        "127.0.0.1:9443",         True),
    (PLAIN,     "http://localhost:9443",        "localhost:9443",         True),
    (PLAIN,     "http://[::1]:9443",            "[::1]:9443",             True),
    (PLAIN,     "http://127.0.0.2",             "127.0.0.2",              True),
    (PLAIN,     "http://127.0.0.2:80",          "127.0.0.2",              True),
    (PLAIN,     "https://localhost",            "localhost:443",          True),   # a proxy on this machine speaks TLS
    (PLAIN,     "HTTP://LOCALHOST:9443",        "Localhost:9443",         True),
    (PLAIN,     "http://evil.example",          "127.0.0.1:9443",         False),
    (PLAIN,     "http://evil.example:9443",     "evil.example:9443",      False),  # a name that leads to 127.0.0.1
    (PLAIN,     "http://evil.example.:9443",    "evil.example.:9443",     False),
    (PLAIN,     "http://localhost.evil.example", "localhost.evil.example", False),
    (PLAIN,     "http://127.0.0.1.nip.example:9443", "127.0.0.1.nip.example:9443", False),
    (PLAIN,     "http://127.0.0.1:9444",        "127.0.0.1:9443",         False),
    (PLAIN,     "http://127.0.0.1",             "127.0.0.1:9443",         False),
    (PLAIN,     "http://localhost:9443",        "127.0.0.1:9443",         False),
    (PLAIN,     "null",                         "127.0.0.1:9443",         False),
    (PLAIN,     "",                             "127.0.0.1:9443",         False),
    (PLAIN,     "file://",                      "127.0.0.1:9443",         False),
    (PLAIN,     "chrome-extension://abc",       "127.0.0.1:9443",         False),
    (PLAIN,     "http://127.0.0.1:9443/",       "127.0.0.1:9443",         False),
    (PLAIN,     "http://u@127.0.0.1:9443",      "127.0.0.1:9443",         False),
    (PLAIN,     "http://127.0.0.1:port",        "127.0.0.1:9443",         False),
    (PLAIN,     "http://127.0.0.1:9443",        "",                       False),
    (PLAIN,     "http://192.0.2.1",             "192.0.2.1",              False),  # not where it listens
    (ANYWHERE,  "http://192.0.2.1:9443",        "192.0.2.1:9443",         True),
    (ANYWHERE,  "http://evil.example:9443",     "evil.example:9443",      False),
    (NAMED,     "https://venue.example",        "venue.example",          True),
    (NAMED,     "https://venue.example",        "VENUE.example:443",      True),
    (NAMED,     "https://trade.example",        "venue.example",          True),
    (NAMED,     "http://trade.example",         "venue.example",          False),
    (NAMED,     "https://trade.example:8443",   "venue.example",          False),
    (NAMED,     "https://a.trade.example",      "venue.example",          False),
    (NAMED,     "https://trade.example",        "evil.example",           False),
    (NAMED,     "http://localhost:3000",        "127.0.0.1:9443",         True),
    (BY_TLS,    "https://venue.example:9443",   "venue.example:9443",     True),
    (BY_TLS,    "http://venue.example:9443",    "venue.example:9443",     False),  # somebody on the way wrote that page
    (BY_TLS,    "https://192.0.2.1",            "192.0.2.1",              True),
]  # fmt: skip


@pytest.mark.parametrize(("origins", "origin", "host", "allowed"), ROWS, ids=[f"{row[1]} at {row[2]}" for row in ROWS])
def test_a_page_may_connect_or_not(origins: Origins, origin: str | None, host: str, allowed: bool) -> None:
    headers = {b"host": host.encode()} | ({} if origin is None else {b"origin": origin.encode()})
    assert origins.allow(headers) == allowed


@settings(max_examples=50)
@given(origin=st.binary(max_size=40), host=st.binary(max_size=40))
def test_no_bytes_are_an_exception(origin: bytes, host: bytes) -> None:
    assert PLAIN.allow({b"origin": origin, b"host": host}) in (False, True)


@settings(max_examples=50)
@given(text=st.text(max_size=30))
def test_what_is_no_origin_is_refused_by_name(text: str) -> None:
    try:
        origin = read_origin(text)
    except ValueError:
        return
    assert origin.scheme in ("http", "https") and origin.host


# -- over the wire


def answer(served: Front, data: bytes) -> tuple[int, bytes]:
    with socket.create_connection((served.host, served.port), timeout=20) as connection:
        connection.sendall(data)
        head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body


@pytest.mark.parametrize("path", ["/ws-api/v3", "/ws", "/ws/btckzt@trade", "/stream"])
def test_every_websocket_asks_for_the_origin(path: str) -> None:
    with front(Access(allow_origins=("https://trade.example",))) as served:
        place = f"127.0.0.1:{served.port}"
        ours = upgrade(path).replace(b"Host: h", f"Host: {place}".encode())
        for origin, status in ((f"http://{place}", 101), ("https://trade.example", 101), ("http://evil.example", 403)):
            answered, body = answer(served, ours[:-2] + f"Origin: {origin}\r\n\r\n".encode())
            assert answered == status
            assert status == 101 or json.loads(body)["code"] == -1002
        assert answer(served, upgrade(path))[0] == 101, "a client that is no browser"
        assert answer(served, upgrade(path)[:-2] + b"Origin: null\r\n\r\n")[0] == 403


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 403), ("DELETE", 403), ("PUT", 403)])
def test_every_request_that_changes_something_asks_for_the_origin(method: str, status: int) -> None:
    with front() as served:
        head = f"{method} /api/v3/ping HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
        assert answer(served, f"{head}Origin: http://evil.example\r\n\r\n".encode())[0] == status
        same = f"{head}Origin: http://127.0.0.1:{served.port}\r\n\r\n"
        assert answer(served, same.encode())[0] == (200 if method == "GET" else 405)
