"""Connections on real sockets: who is let in, for whom they count, and that nothing stays of those that are not."""

from __future__ import annotations

import errno
import json
import logging
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any, cast

import pytest

from gateway.access import FORWARDED_FOR, PROXY_PROTOCOL, Access
from gateway.descriptors import fit_descriptors
from gateway.incidents import Incident
from gateway.limits import TURNED_AWAY_MAX, BanSettings, ConnectionLimits, RateLimitSettings
from gateway.wire import listener
from gateway.wire.proxy_protocol import SIGNATURE
from tests.worlds.front import Front, descriptors, front, wait_for_descriptors
from tests.worlds.processes import wait_until
from tests.worlds.raw_client import everything, upgrade

GET = b"GET /api/v3/ping HTTP/1.1\r\nHost: h\r\n\r\n"
PROXIED = Access(trusted_proxies=("127.0.0.1",), proxy_header=PROXY_PROTOCOL)
FORWARDED = Access(trusted_proxies=("127.0.0.0/8",), proxy_header=FORWARDED_FOR)


def connected(served: Front) -> socket.socket:
    connection = socket.create_connection((served.host, served.port))
    connection.settimeout(20)
    return connection


def answer_to(served: Front, data: bytes) -> tuple[int, object]:
    """Status and JSON body of the first answer; (0, None) if the connection ends without one."""
    with connected(served) as connection:
        with suppress(OSError):  # It may have been closed already.
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
        head, _, body = everything(connection).partition(b"\r\n\r\n")
    if not head:
        return 0, None
    return int(head.split(b" ")[1]), json.loads(body) if body else None


def code_of(body: object) -> int:
    assert isinstance(body, dict)
    return int(body["code"])


# -- turned away, and gone


@pytest.mark.parametrize(
    ("connections_max", "per_address_max", "rates", "status"),
    [
        (1, 9, None, 503),
        (9, 1, None, 429),
        (9, 9, RateLimitSettings(connections_per_5_min=1), 429),
    ],
    ids=["all places taken", "one address has too many", "one address opened too many"],
)
def test_a_thousand_that_are_turned_away_and_never_read_leave_no_descriptor(
    connections_max: int,
    per_address_max: int,
    rates: RateLimitSettings | None,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "TURNED_AWAY_S", 0.1)
    assert fit_descriptors(2000, logging.getLogger("test")) == 2000
    with (
        front(connections_max=connections_max, per_address_max=per_address_max, rates=rates) as served,
        ExitStack() as stack,
    ):
        first = stack.enter_context(connected(served))
        wait_until(lambda: served.open_count() == 1, "the first has its place")
        before = descriptors()
        turned_away = [stack.enter_context(connected(served)) for _ in range(1000)]
        for connection in turned_away[::2]:
            connection.send(GET)
        assert len(served.listener._turned_away) <= TURNED_AWAY_MAX
        # Our ends stay open; of the other ends nothing may stay.
        wait_for_descriptors(before, more=1000)
        assert everything(turned_away[-1]).startswith(b"HTTP/1.1 %d " % status)
        assert served.open_count() == 1
        first.sendall(GET)
        assert first.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_the_answer_to_one_that_is_turned_away_says_why() -> None:
    with front(per_address_max=2) as served, connected(served), connected(served):
        wait_until(lambda: served.count_of("127.0.0.1") == 2, "two are counted")
        status, body = answer_to(served, GET)
        assert (status, code_of(body)) == (429, -1034)
        assert "current limit is 2 at a time" in json.dumps(body)
    with front(connections_max=0) as served:
        assert answer_to(served, GET)[0] == 503


LEAVERS = {
    "silent": b"",
    "half a request": b"GET / HT",
    "a request": GET,
    "refused": b"nonsense\r\n\r\n",
    "a WebSocket": upgrade(),
    "refused as a WebSocket": upgrade("/nowhere"),
    "an answer that is large": b"GET /api/v3/exchangeInfo HTTP/1.1\r\nHost: h\r\n\r\n" * 200,
}


@pytest.mark.parametrize("way", ["gone", "half closed", "reset", "stays"])
def test_however_a_client_leaves_its_place_and_its_descriptor_are_free(way: str) -> None:
    limits = ConnectionLimits(
        open_timeout_s=0.2, idle_timeout_s=0.2, ping_interval_s=0.1, pong_timeout_s=0.2, close_timeout_s=0.1
    )
    with front(limits=limits) as served, ExitStack() as stack:
        before = descriptors()
        for data in LEAVERS.values():
            connection = connected(served)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(data)
            if way == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if way in ("gone", "reset"):
                connection.close()
            else:
                stack.enter_context(connection)
                if way == "half closed":
                    connection.shutdown(socket.SHUT_WR)
        kept = len(LEAVERS) if way in ("half closed", "stays") else 0
        wait_for_descriptors(before, more=kept)
        wait_until(lambda: served.open_count() == 0, "all places are free")
        assert served.count_of("127.0.0.1") == 0


class OutOfDescriptors:
    """A listening socket at the system's limit."""

    def __init__(self) -> None:
        self.asked = 0

    def accept(self) -> None:
        self.asked += 1
        raise OSError(errno.EMFILE, "Too many open files")


class Readers:
    """As much of a loop as `Listener._accept` needs."""

    def __init__(self) -> None:
        self.read: list[object] = []
        self.later: list[Callable[[], None]] = []

    def add_reader(self, source: object, *call: object) -> None:
        self.read.append(source)

    def remove_reader(self, source: object) -> None:
        self.read.remove(source)

    def call_later(self, delay_s: float, call: Callable[..., None], *arguments: object) -> None:
        self.later.append(lambda: call(*arguments))


def test_a_gateway_without_descriptors_waits_before_it_accepts_again(caplog: pytest.LogCaptureFixture) -> None:
    loop, source = Readers(), OutOfDescriptors()
    listening = listener.Listener(cast(Any, None), cast(Any, loop), logging.getLogger("front"))
    loop.add_reader(source)
    listening._accept(cast(Any, source))
    assert (source.asked, loop.read) == (1, [])
    assert "no connection is accepted for 1 s: Too many open files" in caplog.text
    loop.later.pop()()
    assert loop.read == [source]


# -- behind a proxy that speaks the PROXY protocol


def version_2(client: str, *, command: int = 0x21, family: int = 0x11, rest: bytes = b"") -> bytes:
    kind = socket.AF_INET if family == 0x11 else socket.AF_INET6
    addresses = socket.inet_pton(kind, client) * 2 + struct.pack("!HH", 1, 2) + rest
    return SIGNATURE + struct.pack("!BBH", command, family, len(addresses)) + addresses


PROXY_HEADERS = {
    "version 1": (b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 443\r\n", "192.0.2.7"),
    "version 1, IPv6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", "2001:db8::7"),
    "version 1, unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "version 2": (version_2("192.0.2.7"), "192.0.2.7"),
    "version 2, IPv6": (version_2("2001:db8::7", family=0x21), "2001:db8::7"),
    "version 2, IPv4 in IPv6": (version_2("::ffff:192.0.2.7", family=0x21), "192.0.2.7"),
    "version 2 with more": (version_2("192.0.2.7", rest=b"x" * 500), "192.0.2.7"),
    "version 2, a health check": (version_2("192.0.2.7", command=0x20), "127.0.0.1"),
}


@pytest.mark.parametrize("header", PROXY_HEADERS.values(), ids=PROXY_HEADERS)
def test_a_connection_counts_for_the_client_that_the_proxy_names(header: tuple[bytes, str]) -> None:
    data, ip = header
    with front(PROXIED) as served, connected(served) as connection:
        connection.sendall(data + GET)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert served.count_of(ip) == 1
        assert [client.ip for client in served.clients._clients] == [ip]
        (usage,) = served.rig.state.rate_limits._weights._usages.values()
        assert usage.count == 1
        assert (served.count_of("127.0.0.1") == 1) == (ip == "127.0.0.1")


def test_a_header_may_come_byte_by_byte() -> None:
    with front(PROXIED) as served, connected(served) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in version_2("192.0.2.7"):
            connection.sendall(bytes([byte]))
        connection.sendall(GET)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert served.count_of("192.0.2.7") == 1


NO_HEADERS = {
    "a request": GET,
    "an end": b"",
    "half a header": b"PROXY TCP4 192.0.2.7",
    "a line without an end": b"PROXY TCP4 " + b"1" * 200,
    "a wrong family": b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n" + GET,
    "a port that is none": b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n" + GET,
    "a name": b"PROXY TCP4 localhost 192.0.2.1 1 2\r\n" + GET,
    "two spaces": b"PROXY TCP4  192.0.2.7 192.0.2.1 1 2\r\n" + GET,
    "LF alone": b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n" + GET,
    "lower case": b"proxy TCP4 192.0.2.7 192.0.2.1 1 2\r\n" + GET,
    "version 3": version_2("192.0.2.7", command=0x31) + GET,
    "an unknown command": version_2("192.0.2.7", command=0x22) + GET,
    "UDP": SIGNATURE + struct.pack("!BBH", 0x21, 0x12, 12) + bytes(12) + GET,
    "no room for the addresses": SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 4) + bytes(4) + GET,
    "a length over the limit": SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 65535) + bytes(3000),
    "half a signature": SIGNATURE[:8] + b"xxxx" + GET,
}


@pytest.mark.parametrize("data", NO_HEADERS.values(), ids=NO_HEADERS)
def test_a_trusted_proxy_without_a_valid_header_is_refused(data: bytes) -> None:
    with front(PROXIED) as served:
        before = descriptors()
        assert answer_to(served, data) == (0, None)
        wait_until(lambda: served.open_count() == 0, "its place is free")
        wait_for_descriptors(before)


def test_a_trusted_proxy_that_sends_nothing_is_closed_in_time() -> None:
    with front(PROXIED, limits=ConnectionLimits(open_timeout_s=0.1)) as served, connected(served) as connection:
        assert everything(connection) == b""


def test_a_stranger_with_a_header_is_not_believed() -> None:
    strangers = Access(trusted_proxies=("192.0.2.0/24",), proxy_header=PROXY_PROTOCOL)
    with front(strangers) as served:
        assert answer_to(served, b"PROXY TCP4 198.51.100.1 192.0.2.1 1 2\r\n" + GET)[0] == 400
        assert answer_to(served, version_2("198.51.100.1") + GET)[0] == 400
        assert answer_to(served, GET)[0] == 200


def test_the_bound_of_an_address_holds_for_the_client_and_not_for_the_proxy() -> None:
    with front(PROXIED, per_address_max=1) as served, ExitStack() as stack:
        for number in range(3):
            connection = stack.enter_context(connected(served))
            connection.sendall(b"PROXY TCP4 192.0.2.%d 192.0.2.1 1 2\r\n" % number + GET)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        status, body = answer_to(served, b"PROXY TCP4 192.0.2.0 192.0.2.1 1 2\r\n" + GET)
        assert (status, code_of(body)) == (429, -1034)
        # IPv6 counts by its /64 network.
        connection = stack.enter_context(connected(served))
        connection.sendall(version_2("2001:db8:0:1::1", family=0x21) + GET)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert answer_to(served, version_2("2001:db8:0:1::2", family=0x21) + GET)[0] == 429
        assert answer_to(served, version_2("2001:db8:0:2::1", family=0x21) + GET)[0] == 200


# -- behind a proxy that adds X-Forwarded-For


def get(forwarded_for: str) -> bytes:
    return GET[:-2] + f"X-Forwarded-For: {forwarded_for}\r\n\r\n".encode()


def test_each_request_counts_for_the_client_that_the_proxy_names() -> None:
    limits = RateLimitSettings(weight_per_minute=2)
    with front(FORWARDED, rates=limits) as served, connected(served) as proxy:
        statuses = []
        for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1", "10.9.9.9, 192.0.2.1", "192.0.2.2"):
            proxy.sendall(get(ip))
            statuses.append(int(proxy.recv(65536).split(b" ")[1]))
        assert statuses == [200, 200, 200, 429, 429, 200]


def test_a_websocket_counts_for_the_client_that_the_proxy_names() -> None:
    with front(FORWARDED, per_address_max=1) as served, ExitStack() as stack:
        statuses = []
        for ip in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "203.0.113.9, 192.0.2.3"):
            connection = stack.enter_context(connected(served))
            connection.sendall(upgrade()[:-2] + f"X-Forwarded-For: {ip}\r\n\r\n".encode())
            statuses.append(int(connection.recv(65536).split(b" ")[1]))
        assert statuses == [101, 101, 429, 101]
        assert [served.count_of(f"192.0.2.{number}") for number in (1, 2, 3)] == [1, 1, 1]
    wait_until(lambda: served.open_count() == 0, "all places are free")


def test_what_comes_through_a_proxy_bans_the_client_and_not_the_proxy() -> None:
    failures_max = 5
    with front(FORWARDED, bans=BanSettings(failures_max)) as served:
        for _ in range(failures_max + 1):
            assert answer_to(served, b"nonsense\r\n\r\n")[0] == 400
        assert answer_to(served, get("192.0.2.1"))[0] == 200, "the proxy is not banned"
        for _ in range(failures_max):
            served.rig.state.bans.failed("192.0.2.1", served.rig.now_ms)
        assert answer_to(served, get("192.0.2.1"))[0] == 418
        assert answer_to(served, upgrade()[:-2] + b"X-Forwarded-For: 192.0.2.1\r\n\r\n")[0] == 418
        assert answer_to(served, get("192.0.2.2"))[0] == 200
    with front(PROXIED, bans=BanSettings(failures_max)) as served:
        named = b"PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n"
        for _ in range(failures_max):
            assert answer_to(served, named + b"nonsense\r\n\r\n")[0] == 400
        assert answer_to(served, named + GET)[0] == 418
        assert answer_to(served, named.replace(b"2.1", b"2.2") + GET)[0] == 200


def test_a_network_of_ipv6_is_one_address_over_http_too() -> None:
    with front(FORWARDED, rates=RateLimitSettings(weight_per_minute=1), bans=BanSettings(2)) as served:
        statuses = [answer_to(served, get(f"2001:db8::{number}"))[0] for number in range(1, 5)]
        assert statuses == [200, 429, 429, 418]
        assert served.rig.state.incidents.total(Incident.OVER_WEIGHT, "2001:db8::/64") == 2


def test_connections_that_are_turned_away_or_ended_are_counted() -> None:
    limits = ConnectionLimits(open_timeout_s=0.05, idle_timeout_s=0.05)
    with front(limits=limits, per_address_max=2) as served, connected(served) as silent, connected(served) as idle:
        idle.sendall(GET)
        assert answer_to(served, GET)[0] == 429
        assert everything(silent) == b""
        assert everything(idle).startswith(b"HTTP/1.1 200 ")
        foreign = upgrade()[:-2] + b"Origin: https://foreign.example\r\n\r\n"
        wait_until(lambda: served.open_count() == 0, "all places are free")
        assert answer_to(served, foreign)[0] == 403
        total = served.rig.state.incidents.total
        counted = (Incident.TOO_MANY_OPEN, Incident.NO_REQUEST, Incident.IDLE, Incident.FOREIGN_PAGE)
        assert [total(incident, "127.0.0.1") for incident in counted] == [1, 1, 1, 1]
    with front(connections_max=1) as served, connected(served) as only:
        only.sendall(GET)
        only.recv(1)
        assert answer_to(served, GET)[0] == 503
        assert served.rig.state.incidents.total(Incident.NO_PLACE, "") == 1


def test_a_stranger_that_forwards_is_judged_as_itself() -> None:
    access = FORWARDED._replace(trusted_proxies=("192.0.2.0/24",))
    with front(access, rates=RateLimitSettings(weight_per_minute=1)) as served:
        assert [answer_to(served, get(f"192.0.2.{number}"))[0] for number in range(2)] == [200, 429]


# -- HTTP that could be read in another way, over the wire


@pytest.mark.parametrize(
    "data",
    [
        GET[:-2] + b"Content-Length: 36\r\n\r\nGET /api/v3/time HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /api/v3/ping HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET,
        b"POST /api/v3/order HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx" + GET,
        b"POST /nowhere HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n" + GET,
        upgrade()[:-2] + b"Content-Length: 5\r\n\r\nhello" + GET,
        upgrade() + GET,
        GET.replace(b"\r\n", b"\n") + GET,
        b"GET http://h/api/v3/ping HTTP/1.1\r\nHost: h\r\n\r\n" + GET,
    ],
    ids=["a hidden GET", "two framings", "a body on a path", "a body in chunks", "a body of an upgrade",
         "behind an upgrade", "LF", "an absolute target"],
)  # fmt: skip
def test_what_may_hide_a_request_is_refused_and_closed(data: bytes) -> None:
    with front() as served, connected(served) as connection:
        connection.sendall(data)
        answer = everything(connection)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 ") == 1, "nothing behind it is answered"
