"""What hostile clients send, each kind as an endless row of blocks: `FLOODS` has them all by name.

A flood is data: on which path, over how many connections, whether it reads its answers, and a generator that makes the
blocks of one connection. `bench.flooding` sends them as fast as the venue takes them.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bench.plain_websocket import API_PATH, PING, frame, request_frame
from jibek.client.trading import WINDOW_MS_MAX, Credentials

STREAMS_PATH = "/ws"
LARGE_BYTES = 60 * 1024
"""Nearly the largest message that the venue takes."""
BLOCK_MESSAGES = 200
LARGE_BLOCK_MESSAGES = 8
STAMPED_S = 10.0
"""How long requests with a time are sent again before they are made again; the venue takes them for 60 s."""
BURST_BYTES = 7_000_000
BURST_EVERY_S = 1.0
LEVELS = 5_000


class Target(NamedTuple):
    """What a flood knows of the venue."""

    port: int
    source: str
    """The address from which it comes."""
    symbol: str
    price: str
    """In the middle of the book: no one else has orders at it."""
    quantity: str
    """Of the smallest order that the venue takes."""
    too_much: str
    """A quantity that the account without money cannot pay."""
    rich: Credentials
    """An Ed25519 key of an account with money."""
    poor: Credentials
    """An Ed25519 key of an account without any."""
    hmac: Credentials


class Block(NamedTuple):
    """Bytes that are sent in one go."""

    data: bytes
    messages: int = 1
    """How many requests, frames or connections that is."""
    pause_s: float = 0.0
    """How long the connection is silent after it."""


class Flood(NamedTuple):
    """One kind of hostile client."""

    says: str
    """What it sends, in a few words."""
    blocks: Callable[[Target], Iterator[Block]]
    """What one connection sends, without an end."""
    path: str = API_PATH
    """Where it asks for a WebSocket; empty: it sends its blocks without one."""
    connections: int = 1
    reads: bool = True
    churns: bool = False
    """Whether it opens connections without an end, and drops the oldest of those that it has."""


def again(data: bytes, messages: int) -> Iterator[Block]:
    """The same bytes without an end."""
    block = Block(data, messages)
    while True:
        yield block


def stamped(make: Callable[[int, int], bytes], block_messages: int = BLOCK_MESSAGES) -> Iterator[Block]:
    """Frames that hold a time, made again from time to time.

    Args:
        make: the frame of a number, from 1, at a time in milliseconds.
        block_messages: how many frames are sent in one go.
    """
    number = 0
    while True:
        made_s, time_ms = time.monotonic(), time.time_ns() // 1_000_000
        data = b"".join(make(number + index, time_ms) for index in range(1, block_messages + 1))
        number += block_messages
        while time.monotonic() - made_s < STAMPED_S:
            yield Block(data, block_messages)


def logged_on(credentials: Credentials, blocks: Iterator[Block]) -> Iterator[Block]:
    """A logon, then the blocks."""
    yield Block(request_frame(1, "session.logon", credentials.signed({})))
    yield from blocks


# -- frames that ask nothing


def empty_pings(target: Target) -> Iterator[Block]:
    return again(frame(b"", PING) * 10_000, 10_000)


def burst_of_pings(target: Target) -> Iterator[Block]:
    """7 MB of pings in one go, once a second."""
    ping = frame(b"", PING)
    while True:
        yield Block(ping * (BURST_BYTES // len(ping)), BURST_BYTES // len(ping), BURST_EVERY_S)


def fragments(target: Target) -> Iterator[Block]:
    """A request in fragments of one byte."""
    text = b'{"id":1,"method":"ping"}'.ljust(500)
    pieces = [frame(text[:1], 0x01), *(frame(text[at : at + 1], 0x00) for at in range(1, len(text) - 1))]
    return again(b"".join(pieces) + frame(text[-1:], 0x80), len(text))


def invalid_utf8(target: Target) -> Iterator[Block]:
    """Text that is not UTF-8: each closes the connection, which is opened again."""
    return again(frame(b'{"id":"\xff' + b"x" * LARGE_BYTES), 1)


def junk(target: Target) -> Iterator[Block]:
    """JSON that breaks off after 60 KB."""
    many = ",".join(f'"name{number}":[{number},"value"]' for number in range(LARGE_BYTES // 24))
    return again(frame(f'{{"id":1,"method":"ping","params":{{{many}'.encode()[:LARGE_BYTES]), 1)


def deep_nesting(target: Target) -> Iterator[Block]:
    return again(frame(b'{"id":1,"method":"ping","params":' + b"[" * LARGE_BYTES), 1)


# -- HTTP


def pipelined_gets(target: Target) -> Iterator[Block]:
    head = f"GET /api/v3/ping HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n\r\n".encode()
    return again(head * BLOCK_MESSAGES, BLOCK_MESSAGES)


def nothing(target: Target) -> Iterator[Block]:
    """A connection that is opened and never asks."""
    while True:
        yield Block(b"", 1, pause_s=60.0)


def slow_heads(target: Target) -> Iterator[Block]:
    """The head of a request, one byte a second."""
    head = f"GET /api/v3/ping HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\nX-Long: ".encode()
    for byte in head:
        yield Block(bytes((byte,)), 1, pause_s=1.0)
    while True:
        yield Block(b"a", 1, pause_s=1.0)


# -- requests that cost much and pay nothing


def wrong_ed25519(target: Target) -> Iterator[Block]:
    """A key that exists, and signatures of somebody else."""
    return _wrongly_signed(target.rich.key, lambda: base64.b64encode(secrets.token_bytes(64)).decode())


def wrong_hmac(target: Target) -> Iterator[Block]:
    """Orders that look right, signed with another secret."""
    return _wrongly_signed(target.hmac.key, lambda: secrets.token_hex(32))


def _wrongly_signed(key: str, signature: Callable[[], str]) -> Iterator[Block]:
    def make(number: int, time_ms: int) -> bytes:
        params = {"apiKey": key, "timestamp": time_ms, "recvWindow": WINDOW_MS_MAX, "signature": signature()}
        return request_frame(number, "account.status", params)

    return stamped(make)


def unknown_key(target: Target) -> Iterator[Block]:
    """60 KB of parameters under a key that the venue does not know."""
    many = {f"parameter{number}": "value" for number in range(LARGE_BYTES // 24)}

    def make(number: int, time_ms: int) -> bytes:
        params = {"apiKey": secrets.token_hex(32), "timestamp": time_ms, "signature": secrets.token_hex(32)}
        return request_frame(number, "account.status", many | params)

    return stamped(make, block_messages=LARGE_BLOCK_MESSAGES)


def depth(target: Target) -> Iterator[Block]:
    """The whole book, asked for again and again, and never read."""
    request = request_frame(1, "depth", {"symbol": target.symbol, "limit": LEVELS})
    return again(request * BLOCK_MESSAGES, BLOCK_MESSAGES)


def subscriptions(target: Target) -> Iterator[Block]:
    """SUBSCRIBE and UNSUBSCRIBE in turn."""
    streams = [f"{target.symbol.lower()}@{name}" for name in ("trade", "bookTicker", "depth@100ms", "depth20@100ms")]
    both = b"".join(
        frame(json.dumps({"id": 1, "method": method, "params": streams}).encode())
        for method in ("SUBSCRIBE", "UNSUBSCRIBE")
    )
    return again(both * BLOCK_MESSAGES, 2 * BLOCK_MESSAGES)


# -- with an account


def plain_orders(target: Target) -> Iterator[Block]:
    """Orders that fill each other, on a session that is logged on."""
    return logged_on(target.rich, stamped(lambda number, time_ms: _order(target, number, target.quantity, time_ms)))


def refused_orders(target: Target) -> Iterator[Block]:
    """Orders of an account without money."""
    return logged_on(target.poor, stamped(lambda number, time_ms: _order(target, number, target.too_much, time_ms)))


def unknown_cancels(target: Target) -> Iterator[Block]:
    """Cancels of orders that do not exist."""

    def make(number: int, time_ms: int) -> bytes:
        params = {"symbol": target.symbol, "orderId": 2**52 + number}
        return request_frame(number, "order.cancel", params | {"timestamp": time_ms, "recvWindow": WINDOW_MS_MAX})

    return logged_on(target.rich, stamped(make))


def user_data(target: Target) -> Iterator[Block]:
    """Subscribes to the account and unsubscribes, in turn."""
    both = request_frame(1, "userDataStream.subscribe") + request_frame(2, "userDataStream.unsubscribe")
    return logged_on(target.rich, again(both * BLOCK_MESSAGES, 2 * BLOCK_MESSAGES))


def _order(target: Target, number: int, quantity: str, time_ms: int) -> bytes:
    params: dict[str, Any] = {
        "symbol": target.symbol, "side": "SELL" if number % 2 else "BUY", "type": "LIMIT", "timeInForce": "GTC",
        "price": target.price, "quantity": quantity, "newOrderRespType": "ACK", "timestamp": time_ms,
        "recvWindow": WINDOW_MS_MAX,
    }  # fmt: skip
    return request_frame(number, "order.place", params)


FLOODS = {
    "pings-burst": Flood("7 MB of empty pings, once a second", burst_of_pings),
    "pings": Flood("empty pings", empty_pings),
    "pings-100": Flood("empty pings on 100 connections", empty_pings, connections=100),
    "gets": Flood("pipelined GETs", pipelined_gets, path=""),
    "ed25519": Flood("wrong Ed25519 signatures, known key", wrong_ed25519),
    "hmac": Flood("wrong HMAC signatures, known key", wrong_hmac),
    "unknown-key": Flood("60 KB of parameters, unknown key", unknown_key),
    "depth": Flood("depth of 5,000 levels, never read", depth, reads=False),
    "junk": Flood("60 KB of JSON that breaks off", junk),
    "nesting": Flood("60 KB of deep nesting", deep_nesting),
    "utf8": Flood("60 KB that are not UTF-8", invalid_utf8),
    "fragments": Flood("fragments of one byte", fragments),
    "orders": Flood("orders of a logged-on session", plain_orders),
    "refused-orders": Flood("orders without money", refused_orders),
    "unknown-cancels": Flood("cancels of unknown orders", unknown_cancels),
    "connects": Flood("connects that never ask", nothing, path="", connections=500, churns=True),
    "slow-heads": Flood("200 heads, one byte a second", slow_heads, path="", connections=200),
    "subscriptions": Flood("SUBSCRIBE and UNSUBSCRIBE in turn", subscriptions, path=STREAMS_PATH),
    "user-data": Flood("user data subscribe and unsubscribe", user_data),
}  # fmt: skip
