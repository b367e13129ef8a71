"""Every bad input has its named answer, changes nothing, and leaves the connection alive where the dialect says so.

Each table row is sent over a real socket to a running venue. The reply, or the close code, must be that of the row. Then
the reference engine, which reads the same journal, says whether the state has moved (`tests/faults/reference_follower.py`
says what that leaves out, and why). What the gateway judges must not even have reached the journal; what only the
engine can judge must stand there as one REJECTED event of the row's reason and nothing else.

What the gateway refuses in the engine's place is sent straight to the engine, too: both must give the same reason.
"""

from __future__ import annotations

import base64
import importlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from websockets.frames import Frame, Opcode

from engine import Book
from engine.reasons import Reason
from engine.records import (
    ASSET_DEFINITION,
    BATCH_COMMANDS_MAX,
    FEES,
    FILLS_MAX,
    KEY_DEFINITION,
    KEYS_PER_ACCOUNT_MAX,
    MARKET_DEFINITION,
    TIER_LIMITS,
    TIERS_MAX,
    AssetDefinition,
    BatchBuilder,
    Command,
    CommandKind,
    EventEntry,
    EventKind,
    Fees,
    KeyDefinition,
    KeyType,
    MarketState,
    OrderEvent,
    Side,
    TierLimits,
)
from engine.reference import Core
from gateway.dialect.rejects import WORDINGS
from tests.faults.fault_world import (
    HALTED,
    RICH,
    WIDE,
    WIDE_MARKET,
    FaultWorld,
    Send,
    asking,
    order_params,
    placing,
    placing_text,
    request,
    sending,
    signing,
)
from tests.faults.reason_coverage import COVERED, covers
from tests.faults.reference_follower import ReferenceFollower
from tests.worlds.accounts import BY_TEST, MARKETS, TRADER
from tests.worlds.clients import now_ms, signed
from tests.worlds.processes import paused, wait_until
from tests.worlds.raw_client import Closed, RawClient, frame, http, http_status, logged_on, text, upgrade
from tests.worlds.services import ServiceVenue

R = Reason


@pytest.fixture(scope="module")
def world() -> Iterator[FaultWorld]:
    world = FaultWorld()
    yield world
    world.close()


# -- frames: the WebSocket protocol itself ----------------------------------------------------------------------------

PING = b'{"id":1,"method":"ping"}'


def raw(first: int, data: bytes, *, length: int | None = None, masked: bool = True) -> bytes:
    """A frame with this first byte; `length` lies about the length."""
    length = len(data) if length is None else length
    head = bytes([first, (128 if masked else 0) | min(length, 126)]) if length < 65536 else bytes([first, 255])
    if 126 <= length < 65536:
        head += struct.pack("!H", length)
    elif length >= 65536:
        head += struct.pack("!Q", length)
    return head + (bytes(4) if masked else b"") + data


def fragments(*pieces: bytes) -> bytes:
    opcodes = [Opcode.TEXT, *[Opcode.CONT] * (len(pieces) - 1)]
    return b"".join(
        frame(opcode, piece, fin=index == len(pieces) - 1)
        for index, (opcode, piece) in enumerate(zip(opcodes, pieces, strict=True))
    )


FRAMES = [
    # what is sent                          its bytes                                                           close code
    ("a frame that is not masked",          Frame(Opcode.TEXT, PING).serialize(mask=False),                     1002),
    ("a reserved bit",                      raw(0xC1, PING),                                                    1002),
    ("all reserved bits",                   raw(0xF1, PING),                                                    1002),
    ("an unknown opcode",                   raw(0x83, PING),                                                    1002),
    ("an unknown control opcode",           raw(0x8B, b""),                                                     1002),
    ("a ping of 126 bytes",                 raw(0x89, bytes(126)),                                              1002),
    ("a ping in fragments",                 raw(0x09, b"p"),                                                    1002),
    ("a continuation of nothing",           frame(Opcode.CONT, PING),                                           1002),
    ("a new message inside another",        frame(Opcode.TEXT, b"{", fin=False) + text(PING),                   1002),
    ("a close frame of one byte",           frame(Opcode.CLOSE, b"x"),                                          1002),
    ("a close frame with code 999",         frame(Opcode.CLOSE, struct.pack("!H", 999)),                        1002),
    ("a close reason that is not UTF-8",    frame(Opcode.CLOSE, b"\x03\xe8\xff"),                               1007),
    ("a binary message",                    frame(Opcode.BINARY, PING),                                         1003),
    ("bytes that are not UTF-8",            text(b'{"id":"\xff"}'),                                             1007),
    ("half a character",                    text('{"id":"€"}'.encode()[:-3]),                                   1007),
    ("a surrogate in UTF-8",                text(b'{"id":"\xed\xa0\x80"}'),                                     1007),
    ("no UTF-8 across fragments",           fragments(b'{"id":"\xe2', b"\x28\xa1"),                             1007),
    ("a message over the limit",            text(b" " * 65_537),                                                1009),
    ("a message far over the limit",        text(b" " * 3_000_000),                                             1009),
    ("a length over the limit, no content", raw(0x81, b"", length=1 << 20),                                     1009),
    ("a length of 2^63 - 1",                raw(0x81, b"", length=(1 << 63) - 1),                               1009),
    ("fragments over the limit together",   fragments(b" " * 40_000, b" " * 40_000),                            1009),
    ("endless fragments",                   frame(Opcode.TEXT, b"", fin=False) + frame(Opcode.CONT, b"", fin=False) * 1024, 1008),
]  # fmt: skip


@pytest.mark.parametrize("row", FRAMES, ids=[row[0] for row in FRAMES])
@pytest.mark.parametrize("path", ["/ws-api/v3", "/ws"])
def test_a_broken_frame_closes_the_connection_with_its_code(
    world: FaultWorld, path: str, row: tuple[str, bytes, int]
) -> None:
    before = world.follower.state()
    with world.wire(path) as wire:
        wire.send(row[1])
        assert wire.receive() == Closed(row[2])
        assert wire.receive() == Closed(0), "nothing follows a close frame"
    assert world.follower.catch_up() == []
    assert world.follower.state() == before
    with world.wire() as wire:
        assert wire.is_alive()


def test_a_request_in_fragments_with_a_ping_between_them_is_answered(world: FaultWorld) -> None:
    with world.wire() as wire:
        pieces = [PING[:5], PING[5:6], b"", PING[6:]]
        frames = [
            frame(Opcode.TEXT if index == 0 else Opcode.CONT, piece, fin=index == 3)
            for index, piece in enumerate(pieces)
        ]
        wire.send(frame(Opcode.PING, b"p").join(frames))
        assert [wire.receive() for _ in range(3)] == [b"p"] * 3
        assert wire.receive()["status"] == 200


HTTP = [
    # what is sent                      request                                                                 status, code
    ("no HTTP at all",                  b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",                                400, None),
    ("no Host",                         b"GET /api/v3/ping HTTP/1.1\r\n\r\n",                                   400, None),
    ("a head over the limit",           b"GET /api/v3/ping HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431, None),
    ("a body over the limit",           b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000, 413, None),
    ("two lengths",                     b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, None),
    ("an unknown path",                 b"GET /api/v3/nothing HTTP/1.1\r\nHost: h\r\n\r\n",                     404, -1020),
    ("an order over HTTP",              b"POST /api/v3/order HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 404, -1020),
    ("a wrong HTTP method",             b"DELETE /api/v3/ping HTTP/1.1\r\nHost: h\r\n\r\n",                     405, -1020),
    ("a wrong time unit",               b"GET /api/v3/time HTTP/1.1\r\nHost: h\r\nX-MBX-TIME-UNIT: HOUR\r\n\r\n", 400, -1194),
    ("a parameter twice",               b"GET /api/v3/depth?symbol=BTCKZT&symbol=ETHKZT HTTP/1.1\r\nHost: h\r\n\r\n", 400, -1101),
    ("no symbol",                       b"GET /api/v3/depth HTTP/1.1\r\nHost: h\r\n\r\n",                       400, -1102),
    ("an unknown symbol",               b"GET /api/v3/depth?symbol=%00%ff HTTP/1.1\r\nHost: h\r\n\r\n",         400, -1121),
    ("a limit of zero",                 b"GET /api/v3/depth?symbol=BTCKZT&limit=0 HTTP/1.1\r\nHost: h\r\n\r\n", 400, -1130),
    ("a limit below zero",              b"GET /api/v3/depth?symbol=BTCKZT&limit=-1 HTTP/1.1\r\nHost: h\r\n\r\n", 400, -1100),
    ("symbols that are no list",        b"GET /api/v3/exchangeInfo?symbols=[[ HTTP/1.1\r\nHost: h\r\n\r\n",     400, -1100),
    ("an upgrade by a foreign page",    upgrade()[:-2] + b"Origin: https://evil.example\r\n\r\n",            403, -1002),
    ("an order by a foreign page",      b"POST /api/v3/order HTTP/1.1\r\nHost: h\r\nOrigin: null\r\n\r\n",   403, -1002),
    ("a body where none is taken",      b"POST /api/v3/order HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 400, None),
    ("a body on a GET",                 b"GET /api/v3/ping HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", 400, None),
    ("two framings of a body",          b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, None),
    ("an upgrade where nothing is",     upgrade("/nowhere"),                                                    404, -1000),
    ("an upgrade with a wrong unit",    upgrade("/ws-api/v3?timeUnit=HOUR"),                                400, -1194),
    ("an upgrade with a wrong flag",    upgrade("/ws-api/v3?returnRateLimits=1"),                           400, -1130),
    ("an upgrade of a wrong version",   upgrade().replace(b"Version: 13", b"Version: 8"),                       400, None),
    ("an upgrade without a key",        upgrade().replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b""), 400, None),
]  # fmt: skip


@pytest.mark.parametrize("row", HTTP, ids=[row[0] for row in HTTP])
@covers(R.INVALID_TIME_UNIT, R.ORIGIN_REFUSED)
def test_a_bad_http_request_is_answered(world: FaultWorld, row: tuple[str, bytes, int, int | None]) -> None:
    _, data, status, code = row
    if code is None:
        assert http_status(world.venue.port, data) == status
    else:
        answered, body = http(world.venue.port, data)
        assert (answered, body["code"]) == (status, code)
    assert http(world.venue.port, b"GET /api/v3/ping HTTP/1.1\r\nHost: h\r\n\r\n") == (200, {})


# -- requests: what the gateway judges --------------------------------------------------------------------------------


class Row(NamedTuple):
    """What is sent, and how it is refused."""

    title: str
    send: Send
    reason: Reason
    status: int
    code: int
    key: str | None = "key"
    """Whose session it is sent on; None: on one that is not logged on."""


def rows(*table: tuple[object, ...], key: str | None = "key") -> list[Row]:
    """Rows of (title, what is sent, reason, status, code)."""
    return [Row(*row, key=key) for row in table]  # type: ignore[arg-type,misc]


ENVELOPES = rows(
    # what is sent                      how                                                         reason                status code
    ("nothing",                         sending(text(b"")),                                         R.INVALID_JSON,         400, -1135),
    ("no JSON",                         sending(text(b"hello")),                                    R.INVALID_JSON,         400, -1135),
    ("broken JSON",                     sending(text(PING[:-1])),                                   R.INVALID_JSON,         400, -1135),
    ("two values",                      sending(text(PING + PING)),                                 R.INVALID_JSON,         400, -1135),
    ("a NUL",                           sending(text(PING + b"\0")),                                R.INVALID_JSON,         400, -1135),
    ("an array",                        sending(text([1, 2])),                                      R.INVALID_JSON,         400, -1135),
    ("null",                            sending(text(None)),                                        R.INVALID_JSON,         400, -1135),
    ("deep nesting",                    sending(text(b"[" * 60_000)),                               R.INVALID_JSON,         400, -1135),
    ("deep nesting that is closed",     sending(text(b"[" * 30_000 + b"]" * 30_000)),               R.INVALID_JSON,         400, -1135),
    ("deep nesting in a parameter",     placing_text('"0.01"', "[" * 1000 + "]" * 1000),            R.ILLEGAL_CHARACTERS,   400, -1100),
    ("deeper nesting in a parameter",   placing_text('"0.01"', "[" * 1100 + "]" * 1100),            R.INVALID_JSON,         400, -1135),
    ("a lone surrogate",                sending(text(b'{"id":"\\ud800","method":"ping"}')),         R.INVALID_JSON,         400, -1135),
    ("NaN",                             placing_text('"0.01"', "NaN"),                              R.INVALID_JSON,         400, -1135),
    ("Infinity",                        placing_text('"0.01"', "Infinity"),                         R.INVALID_JSON,         400, -1135),
    ("minus Infinity",                  placing_text('"0.01"', "-Infinity"),                        R.INVALID_JSON,         400, -1135),
    ("a number with a plus",            placing_text('"0.01"', "+1"),                               R.INVALID_JSON,         400, -1135),
    ("a number with a leading zero",    placing_text('"0.01"', "01"),                               R.INVALID_JSON,         400, -1135),
    ("no method",                       sending(text({"id": 1})),                                   R.INVALID_JSON,         400, -1135),
    ("a method that is a number",       sending(text({"id": 1, "method": 7})),                      R.INVALID_JSON,         400, -1135),
    ("an id that is a list",            sending(text({"id": [], "method": "ping"})),                R.INVALID_JSON,         400, -1135),
    ("an id with a fraction",           sending(text({"id": 1.5, "method": "ping"})),               R.INVALID_JSON,         400, -1135),
    ("an id of 2^64",                   sending(text({"id": 1 << 64, "method": "ping"})),           R.INVALID_JSON,         400, -1135),
    ("params that are a list",          sending(text({"id": 1, "method": "ping", "params": []})),   R.INVALID_JSON,         400, -1135),
    ("a parameter twice",               placing_text('"side":"BUY"', '"side":"BUY","side":"SELL"'), R.DUPLICATE_PARAMETER,  400, -1101),
    ("a method twice",                  placing_text('"id":1', '"id":1,"method":"ping"'),           R.DUPLICATE_PARAMETER,  400, -1101),
    ("params twice",                    placing_text('"id":1', '"id":1,"params":{}'),               R.DUPLICATE_PARAMETER,  400, -1101),
    ("the same name in other letters",  placing_text('"side":"BUY"', '"side":"BUY","s\\u0069de":"SELL"'), R.DUPLICATE_PARAMETER, 400, -1101),
    ("an unknown method",               asking("order.conjure"),                                    R.UNKNOWN_METHOD,       400, -1020),
    ("an empty method",                 asking(""),                                                 R.UNKNOWN_METHOD,       400, -1020),
    ("a method in capitals",            asking("ORDER.PLACE"),                                      R.UNKNOWN_METHOD,       400, -1020),
    ("a very long method",              asking("x" * 10_000),                                       R.UNKNOWN_METHOD,       400, -1020),
    ("a method that is not offered",    asking("order.amend.keepPriority"),                         R.UNKNOWN_METHOD,       400, -1020),
)  # fmt: skip

PARAMETERS = rows(
    # what is sent                      how                                                         reason                    status code
    ("no symbol",                       placing(symbol=None),                                       R.MISSING_PARAMETER,        400, -1102),
    ("an empty symbol",                 placing(symbol=""),                                         R.MISSING_PARAMETER,        400, -1102),
    ("a symbol that is a list",         placing(symbol=["BTCKZT"]),                                 R.MISSING_PARAMETER,        400, -1102),
    ("an unknown symbol",               placing(symbol="DOGEKZT"),                                  R.UNKNOWN_SYMBOL,           400, -1121),
    ("a symbol in small letters",       placing(symbol="btckzt"),                                   R.UNKNOWN_SYMBOL,           400, -1121),
    ("a symbol with a NUL",             placing(symbol="BTCKZT\0"),                                 R.UNKNOWN_SYMBOL,           400, -1121),
    ("no side",                         placing(side=None),                                         R.MISSING_PARAMETER,        400, -1102),
    ("an unknown side",                 placing(side="HOLD"),                                       R.INVALID_SIDE,             400, -1117),
    ("a side that is a number",         placing(side=1),                                            R.INVALID_SIDE,             400, -1117),
    ("no type",                         placing(type=None),                                         R.MISSING_PARAMETER,        400, -1102),
    ("an unknown type",                 placing(type="LIMITED"),                                    R.INVALID_ORDER_TYPE,       400, -1116),
    ("a type that is not offered",      placing(type="STOP_LOSS"),                                  R.UNSUPPORTED_FEATURE,      400, -1013),
    ("an iceberg",                      placing(icebergQty="0.001"),                                R.UNSUPPORTED_FEATURE,      400, -1013),
    ("no time in force",                placing(timeInForce=None),                                  R.MISSING_PARAMETER,        400, -1102),
    ("an unknown time in force",        placing(timeInForce="GTD"),                                 R.INVALID_TIME_IN_FORCE,    400, -1115),
    ("a self-trade mode",               placing(selfTradePreventionMode="EXPIRE_BOTH"),             R.INVALID_SELF_TRADE_MODE,  400, -1130),
    ("a stop price",                    placing(stopPrice="1"),                                     R.PARAMETER_NOT_REQUIRED,   400, -1106),
    ("a quote amount with LIMIT",       placing(quoteOrderQty="500"),                               R.PARAMETER_NOT_REQUIRED,   400, -1106),
    ("a price with MARKET",             placing(type="MARKET", timeInForce=None),                   R.PARAMETER_NOT_REQUIRED,   400, -1106),
    ("a time in force with MAKER",      placing(type="LIMIT_MAKER"),                                R.PARAMETER_NOT_REQUIRED,   400, -1106),
    ("an unknown response type",        placing(newOrderRespType="SHORT"),                          R.INVALID_PARAMETER,        400, -1130),
    ("an empty client id",              placing(newClientOrderId=""),                               R.EMPTY_PARAMETER,          400, -1105),
    ("a client id with a blank",        placing(newClientOrderId="a b"),                            R.ILLEGAL_CHARACTERS,       400, -1100),
    ("a client id of 37 characters",    placing(newClientOrderId="x" * 37),                         R.ILLEGAL_CHARACTERS,       400, -1100),
    ("a client id of another script",   placing(newClientOrderId="заказ"),                          R.ILLEGAL_CHARACTERS,       400, -1100),
    ("a client id that is a number",    placing(newClientOrderId=5),                                R.ILLEGAL_CHARACTERS,       400, -1100),
    ("a client id of the derived form", placing(newClientOrderId="jibek-1"),                        R.INVALID_PARAMETER,        400, -1130),
    ("no order to cancel",              asking("order.cancel", symbol="BTCKZT"),                    R.MISSING_PARAMETER,        400, -1102),
    ("an order id that is a text",      asking("order.cancel", symbol="BTCKZT", orderId="first"),   R.ILLEGAL_CHARACTERS,       400, -1100),
    ("an order id below zero",          asking("order.cancel", symbol="BTCKZT", orderId=-1),        R.ILLEGAL_CHARACTERS,       400, -1100),
    ("an order id with a fraction",     asking("order.cancel", symbol="BTCKZT", orderId=1.5),       R.ILLEGAL_CHARACTERS,       400, -1100),
    ("an order id of 2^63",             asking("order.cancel", symbol="BTCKZT", orderId=1 << 63),   R.ILLEGAL_CHARACTERS,       400, -1100),
    ("two ids of different orders",     asking("order.cancel", symbol="BTCKZT", orderId=lambda s: s.open_order, origClientOrderId="other"), R.CLIENT_ID_MISMATCH, 400, -2039),
    ("unknown cancel restrictions",     asking("order.cancel", symbol="BTCKZT", orderId=1, cancelRestrictions="NEVER"), R.INVALID_CANCEL_RESTRICTIONS, 400, -1145),
    ("the status of no order",          asking("order.status", symbol="BTCKZT", orderId=999),       R.ORDER_NOT_FOUND,          400, -2013),
    ("the status of a foreign order",   asking("order.status", symbol="BTCKZT", orderId=lambda s: s.foreign_order), R.ORDER_NOT_FOUND, 400, -2013),
    ("the status in another market",    asking("order.status", symbol="ETHKZT", orderId=lambda s: s.open_order), R.ORDER_NOT_FOUND, 400, -2013),
    ("symbols that are numbers",        asking("exchangeInfo", symbols=[1]),                        R.INVALID_PARAMETER,        400, -1130),
    ("a symbol again and again",        asking("exchangeInfo", symbols=["BTCKZT"] * 5000),          R.DUPLICATE_PARAMETER,      400, -1101),
    ("a symbol and symbols",            asking("exchangeInfo", symbol="BTCKZT", symbols=["BTCKZT"]), R.INVALID_COMBINATION,    400, -1128),
    ("an unknown symbol status",        asking("exchangeInfo", symbolStatus="OPEN"),                R.INVALID_SYMBOL_STATUS,    400, -1122),
    ("a depth in another status",       asking("depth", symbol=HALTED, symbolStatus="TRADING"),     R.SYMBOL_STATUS_MISMATCH,   400, -1220),
    ("trades of an order at a time",    asking("myTrades", symbol="BTCKZT", orderId=1, startTime=1), R.INVALID_COMBINATION,     400, -1128),
    ("trades of two days",              asking("myTrades", symbol="BTCKZT", startTime=1, endTime=172_800_001), R.INTERVAL_TOO_LONG, 400, -1127),
    ("trades without a limit",          asking("myTrades", symbol="BTCKZT", limit=0),               R.INVALID_PARAMETER,        400, -1130),
    ("a truth value that is a number",  asking("ping", returnRateLimits=1),                         R.INVALID_PARAMETER,        400, -1130),
    ("an order that only reduces",      placing(reduceOnly=True),                                   R.UNSUPPORTED_FEATURE,      400, -1013),
    ("an order that expires",           placing(goodTillDate=1_900_000_000_000),                    R.UNSUPPORTED_FEATURE,      400, -1013),
    ("a depth of nothing",              asking("depth", symbol="BTCKZT", limit=0),                  R.INVALID_PARAMETER,        400, -1130),
)  # fmt: skip


def _number_rows() -> list[Row]:
    """Every form of a number that is none, as price and as quantity, written as text or as a JSON number."""
    forms = [
        # the number as JSON        reason of both                  code
        ('""',                      R.MISSING_PARAMETER,            -1102),
        ("null",                    R.MISSING_PARAMETER,            -1102),
        ('"-1"',                    R.ILLEGAL_CHARACTERS,           -1100),
        ("-1",                      R.ILLEGAL_CHARACTERS,           -1100),
        ("-0.5",                    R.ILLEGAL_CHARACTERS,           -1100),
        ("-0.0",                    R.ILLEGAL_CHARACTERS,           -1100),
        ('"+1"',                    R.ILLEGAL_CHARACTERS,           -1100),
        ('"NaN"',                   R.ILLEGAL_CHARACTERS,           -1100),
        ('"Infinity"',              R.ILLEGAL_CHARACTERS,           -1100),
        ('"1e5"',                   R.ILLEGAL_CHARACTERS,           -1100),
        ('"1e-5"',                  R.ILLEGAL_CHARACTERS,           -1100),
        ('"0x10"',                  R.ILLEGAL_CHARACTERS,           -1100),
        ('"1_000"',                 R.ILLEGAL_CHARACTERS,           -1100),
        ('"1,5"',                   R.ILLEGAL_CHARACTERS,           -1100),
        ('" 1"',                    R.ILLEGAL_CHARACTERS,           -1100),
        ('"1 "',                    R.ILLEGAL_CHARACTERS,           -1100),
        ('".5"',                    R.ILLEGAL_CHARACTERS,           -1100),
        ('"5."',                    R.ILLEGAL_CHARACTERS,           -1100),
        ('"1.2.3"',                 R.ILLEGAL_CHARACTERS,           -1100),
        ('"１２"',                  R.ILLEGAL_CHARACTERS,           -1100),
        ('"٣"',                     R.ILLEGAL_CHARACTERS,           -1100),
        ("true",                    R.ILLEGAL_CHARACTERS,           -1100),
        ("[1]",                     R.ILLEGAL_CHARACTERS,           -1100),
        ('{"a":1}',                 R.ILLEGAL_CHARACTERS,           -1100),
        ('"' + "9" * 21 + '"',      R.ILLEGAL_CHARACTERS,           -1100),
        ('"1.' + "0" * 21 + '"',    R.ILLEGAL_CHARACTERS,           -1100),
        ('"' + "9" * 10_000 + '"',  R.ILLEGAL_CHARACTERS,           -1100),
        ("1e400",                   None,                           0),
        ("1e300",                   R.ILLEGAL_CHARACTERS,           -1100),
        ("1e-300",                  R.ILLEGAL_CHARACTERS,           -1100),
        ("0.000000001",             R.TOO_PRECISE,                  -1111),
        ('"0.000000001"',           R.TOO_PRECISE,                  -1111),
        ('"1.123456789"',           R.TOO_PRECISE,                  -1111),
        ("1.5e-9",                  R.TOO_PRECISE,                  -1111),
        ('"92233720368.54775808"',  R.NUMBER_TOO_LARGE,             -1108),
        ("99999999999999999999",    R.NUMBER_TOO_LARGE,             -1108),
        ("1e20",                    R.NUMBER_TOO_LARGE,             -1108),
        ('"0"',                     "zero",                         -1013),
        ("0",                       "zero",                         -1013),
        ("0.0",                     "zero",                         -1013),
        ('"0.00000000"',            "zero",                         -1013),
    ]  # fmt: skip
    table = []
    for name, old, off_step in (
        ("price", '"41000000"', R.PRICE_NOT_ON_TICK),
        ("quantity", '"0.01"', R.QUANTITY_NOT_ON_LOT),
    ):
        for number, reason, code in forms:
            if reason is None:
                # A number that no float can hold: JSON readers differ, orjson says infinity is no JSON.
                reason, code = R.INVALID_JSON, -1135
            chosen = off_step if reason == "zero" else reason
            table.append(Row(f"{name} {number[:30]}", placing_text(old, number), chosen, 400, code))  # type: ignore[arg-type]
    return table


NUMBERS = _number_rows() + rows(
    ("a price off the tick",            placing(price="41000001"),                                  R.PRICE_NOT_ON_TICK,        400, -1013),
    ("a price off the tick as number",  placing(price=41000000.5),                                  R.PRICE_NOT_ON_TICK,        400, -1013),
    ("a quantity off the lot",          placing(quantity="0.000001"),                               R.QUANTITY_NOT_ON_LOT,      400, -1013),
    ("a quote amount of zero",          placing(type="MARKET", timeInForce=None, price=None, quantity=None, quoteOrderQty="0"), R.INVALID_QUOTE_AMOUNT, 400, -1013),
    ("a quote amount too precise",      placing(type="MARKET", timeInForce=None, price=None, quantity=None, quoteOrderQty="500.001"), R.TOO_PRECISE, 400, -1111),
)  # fmt: skip

TIMES = rows(
    ("no timestamp",                    placing(timestamp=None),                                    R.MISSING_PARAMETER,        400, -1102),
    ("an empty timestamp",              placing(timestamp=""),                                      R.MISSING_PARAMETER,        400, -1102),
    ("a timestamp that is a word",      placing(timestamp="now"),                                   R.ILLEGAL_CHARACTERS,       400, -1100),
    ("a timestamp below zero",          placing(timestamp=-1),                                      R.ILLEGAL_CHARACTERS,       400, -1100),
    ("a timestamp with a fraction",     placing(timestamp=1.5),                                     R.ILLEGAL_CHARACTERS,       400, -1100),
    ("a timestamp of 2^63",             placing(timestamp=1 << 63),                                 R.ILLEGAL_CHARACTERS,       400, -1100),
    ("a timestamp of 2^63 - 1",         placing(timestamp=(1 << 63) - 1),                           R.AHEAD_OF_TIME,            400, -1021),
    ("an old timestamp",                lambda world: request("order.place", order_params(timestamp=now_ms() - 6000)), R.OUTSIDE_WINDOW, 400, -1021),
    ("an old one in microseconds",      lambda world: request("order.place", order_params(timestamp=(now_ms() - 6000) * 1000)), R.OUTSIDE_WINDOW, 400, -1021),
    ("one older than a small window",   lambda world: request("order.place", order_params(timestamp=now_ms() - 500, recvWindow=10)), R.OUTSIDE_WINDOW, 400, -1021),
    ("a timestamp in the future",       lambda world: request("order.place", order_params(timestamp=now_ms() + 60_000)), R.AHEAD_OF_TIME, 400, -1021),
    ("a window of over a minute",       placing(recvWindow=60_001),                                 R.WINDOW_TOO_LARGE,         400, -1131),
    ("a window below zero",             placing(recvWindow=-1),                                     R.ILLEGAL_CHARACTERS,       400, -1100),
    ("a window that is a word",         placing(recvWindow="long"),                                 R.ILLEGAL_CHARACTERS,       400, -1100),
)  # fmt: skip

SIGNATURES = rows(
    ("nobody",                          placing(),                                                  R.MISSING_PARAMETER,        400, -1102),
    ("no signature",                    signing("hmac_key", after={"signature": None}),             R.MISSING_PARAMETER,        400, -1102),
    ("no key",                          signing("hmac_key", after={"apiKey": None}),                R.MISSING_PARAMETER,        400, -1102),
    ("an empty signature",              signing("hmac_key", after={"signature": ""}),               R.MISSING_PARAMETER,        400, -1102),
    ("a signature that is a number",    signing("hmac_key", after={"signature": 5}),                R.MISSING_PARAMETER,        400, -1102),
    ("a key that is a number",          signing("hmac_key", after={"apiKey": 5}),                   R.MISSING_PARAMETER,        400, -1102),
    ("a wrong signature",               signing("hmac_key", after={"signature": "00" * 32}),        R.INVALID_SIGNATURE,        400, -1022),
    ("a wrong Ed25519 signature",       signing("key", after={"signature": "AA" * 43 + "=="}),      R.INVALID_SIGNATURE,        400, -1022),
    ("a signature in another script",   signing("hmac_key", after={"signature": "подпись"}),        R.INVALID_SIGNATURE,        400, -1022),
    ("a parameter that is not signed",  signing("hmac_key", after={"price": "42000000"}),           R.INVALID_SIGNATURE,        400, -1022),
    ("one parameter more than signed",  signing("hmac_key", after={"newClientOrderId": "x"}),       R.INVALID_SIGNATURE,        400, -1022),
    ("one parameter less than signed",  signing("hmac_key", newClientOrderId="x", after={"newClientOrderId": None}), R.INVALID_SIGNATURE, 400, -1022),
    ("a signature under another key",   lambda world: request("order.place", {**signed(world.hmac_key, **order_params()), "apiKey": world.key.id}), R.INVALID_SIGNATURE, 400, -1022),
    ("a nested parameter",              signing("hmac_key", after={"x": {"a": 1}}),                 R.INVALID_SIGNATURE,        400, -1022),
    ("a key that is unknown",           signing("hmac_key", after={"apiKey": "nobody"}),            R.UNAUTHORIZED,             401, -2015),
    ("a key that is revoked",           signing("revoked_key"),                                     R.UNAUTHORIZED,             401, -2015),
    ("a key that may only read",        signing("reader_key"),                                      R.UNAUTHORIZED,             401, -2015),
    ("a key with a blank",              signing("hmac_key", after={"apiKey": "no key"}),            R.INVALID_API_KEY_FORMAT,   401, -2014),
    ("a key of 65 characters",          signing("hmac_key", after={"apiKey": "x" * 65}),            R.INVALID_API_KEY_FORMAT,   401, -2014),
    ("an old signed order",             signing("hmac_key", timestamp=1_000),                       R.OUTSIDE_WINDOW,           400, -1021),
    ("a logon with HMAC",               signing("hmac_key", "session.logon"),                       R.LOGON_NEEDS_ED25519,      400, -4056),
    ("a logon with a long window",      signing("key", "session.logon", recvWindow=5001),           R.LOGON_WINDOW_TOO_LARGE,   400, -1131),
    ("a logon without a signature",     signing("key", "session.logon", after={"signature": None}), R.MISSING_PARAMETER,        400, -1102),
    ("a logon with a wrong signature",  signing("key", "session.logon", after={"signature": "AA" * 43 + "=="}), R.INVALID_SIGNATURE, 400, -1022),
    ("user data without a logon",       asking("userDataStream.subscribe"),                         R.LOGON_REQUIRED,           400, -1193),
    ("the end of no subscription",      asking("userDataStream.unsubscribe", subscriptionId=3),     R.SUBSCRIPTION_NOT_ACTIVE,  400, -2036),
    key=None,
)  # fmt: skip

# -- requests: what the engine refuses, and the gateway in its place ---------------------------------------------------

JUDGED = rows(
    ("a duplicate client id",           placing(newClientOrderId="mine"),                           R.DUPLICATE_CLIENT_ID,      400, -2010),
    ("a price above the limit",         placing(price="1000001000"),                                R.INVALID_PRICE,            400, -1013),
    ("a quantity above the limit",      placing(quantity="1000.00001"),                             R.INVALID_QUANTITY,         400, -1013),
    ("a value under the minimum",       placing(quantity="0.00001", price="41000000"),              R.NOTIONAL_TOO_SMALL,       400, -1013),
    ("a value over the maximum",        placing(quantity="1000", price="1000000000"),               R.NOTIONAL_TOO_LARGE,       400, -1013),
    ("a value past 2^62",               placing(symbol=WIDE, quantity="40000000000", price="10000000000"), R.NOTIONAL_TOO_LARGE, 400, -1013),
    ("not enough of the quote",         placing(quantity="100"),                                    R.INSUFFICIENT_FUNDS,       400, -2010),
    ("not enough of the base",          placing(side="SELL", quantity="11", price="61000000"),      R.INSUFFICIENT_FUNDS,       400, -2010),
    ("one open order too many",         placing(symbol=WIDE, quantity="1", price="1"),              R.TOO_MANY_OPEN_ORDERS,     400, -1013),
    ("a halted market",                 placing(symbol=HALTED, quantity="10", price="500"),         R.MARKET_HALTED,            400, -2010),
    ("a cancel of an unknown order",    asking("order.cancel", symbol="BTCKZT", orderId=999),       R.UNKNOWN_ORDER,            400, -2011),
    ("a cancel of order 0",             asking("order.cancel", symbol="BTCKZT", orderId=0),         R.UNKNOWN_ORDER,            400, -2011),
    ("a cancel by an unknown name",     asking("order.cancel", symbol="BTCKZT", origClientOrderId="nobody"), R.UNKNOWN_ORDER,   400, -2011),
    ("a cancel of a filled order",      asking("order.cancel", symbol="ETHKZT", origClientOrderId="filled"), R.UNKNOWN_ORDER,   400, -2011),
    ("a cancel of a foreign order",     asking("order.cancel", symbol="BTCKZT", orderId=lambda s: s.foreign_order), R.UNKNOWN_ORDER, 400, -2011),
    ("a cancel in another market",      asking("order.cancel", symbol="ETHKZT", orderId=lambda s: s.open_order), R.UNKNOWN_ORDER, 400, -2011),
    ("a derived name of a named order", asking("order.cancel", symbol="BTCKZT", origClientOrderId=lambda s: f"jibek-{s.open_order}"), R.UNKNOWN_ORDER, 400, -2011),
    ("a cancel of all where none is",   asking("openOrders.cancelAll", symbol="BTCUSDT"),           R.NO_OPEN_ORDERS,           400, -2011),
) + rows(
    ("an order of a frozen account",    placing(),                                                  R.ACCOUNT_FROZEN,           400, -2010),
    key="frozen_key",
) + rows(
    ("an order without any money",      placing(),                                                  R.INSUFFICIENT_FUNDS,       400, -2010),
    ("another's order by its id",       asking("order.cancel", symbol="BTCKZT", orderId=lambda s: s.open_order), R.UNKNOWN_ORDER, 400, -2011),
    ("another's order by its name",     asking("order.cancel", symbol="BTCKZT", origClientOrderId="mine"), R.UNKNOWN_ORDER,     400, -2011),
    key="poor_key",
)  # fmt: skip

# -- requests: what only the engine can judge -------------------------------------------------------------------------

ENGINE = rows(
    ("a cancel of what is not filled",  asking("order.cancel", symbol="BTCKZT", orderId=lambda s: s.open_order, cancelRestrictions="ONLY_PARTIALLY_FILLED"), R.CANCEL_RESTRICTED, 400, -2011),
    ("not enough at the market",        placing(type="MARKET", timeInForce=None, price=None, side="SELL", quantity="11"), R.INSUFFICIENT_FUNDS, 400, -2010),
    ("a maker that would take",         placing(type="LIMIT_MAKER", timeInForce=None, price="60000000"), R.WOULD_TAKE,          400, -2010),
)  # fmt: skip

GATEWAY_ROWS = [*ENVELOPES, *PARAMETERS, *NUMBERS, *TIMES, *SIGNATURES]


@pytest.mark.parametrize("row", GATEWAY_ROWS, ids=[row.title for row in GATEWAY_ROWS])
def test_what_the_gateway_refuses_does_not_reach_the_journal(world: FaultWorld, row: Row) -> None:
    assert_refused(world, row)
    assert world.follower.catch_up() == []


@pytest.mark.parametrize("row", JUDGED, ids=[row.title for row in JUDGED])
def test_what_the_gateway_refuses_in_the_engines_place_does_not_reach_the_journal(world: FaultWorld, row: Row) -> None:
    """Nothing of the account is on its way, so the gateway knows all that the engine would know."""
    assert_refused(world, row)
    assert world.follower.catch_up() == []


@pytest.mark.parametrize("row", [*JUDGED, *ENGINE], ids=[row.title for row in [*JUDGED, *ENGINE]])
def test_the_same_request_straight_to_the_engine_is_refused_for_the_same_reason(world: FaultWorld, row: Row) -> None:
    world.follower.catch_up()
    before = world.follower.state()
    assert row.key is not None
    assert refused_command(world, *world.command_of(row.send(world), row.key)) == row.reason
    assert world.follower.state() == before


@pytest.mark.parametrize("row", ENGINE, ids=[row.title for row in ENGINE])
def test_what_the_engine_refuses_changes_nothing(world: FaultWorld, row: Row) -> None:
    before = world.follower.state()
    assert_refused(world, row)
    (event,) = world.follower.catch_up()
    assert (event.kind, Reason(event.reason)) == (EventKind.REJECTED, row.reason)
    assert world.follower.state() == before


def assert_refused(world: FaultWorld, row: Row) -> None:
    """Sends a row on a connection of its own: the answer is as expected, and the connection lives."""
    with world.logged_on(getattr(world, row.key)) if row.key else world.wire() as wire:
        wire.send(row.send(world))
        reply = wire.receive()
        assert not isinstance(reply, Closed), reply
        seen = (reply["status"], reply["error"]["code"])
        assert seen == (row.status, row.code), reply
        words = WORDINGS[row.reason].message.partition("{}")[0]
        assert reply["error"]["msg"].startswith(words)
        assert wire.is_alive()


STREAM_REQUESTS = [
    # what is sent                      request                                                                 text
    ("no JSON",                         b"{",                                                                   "invalid JSON"),
    ("no object",                       b"[1]",                                                                 "expected an object"),
    ("an id that is a list",            b'{"method":"SUBSCRIBE","params":["btckzt@trade"],"id":[]}',            "id must be"),
    ("a name twice",                    b'{"method":"SUBSCRIBE","params":["btckzt@trade"],"id":1,"id":2}',      "a name stands twice"),
    ("no method",                       b'{"id":1}',                                                            "method must be a string"),
    ("an unknown method",               b'{"method":"CONJURE","id":1}',                                         "method CONJURE"),
    ("a method of the other path",      b'{"method":"order.place","id":1}',                                     "method order.place"),
    ("params that are an object",       b'{"method":"SUBSCRIBE","params":{},"id":1}',                           "params must be an array"),
    ("streams that are numbers",        b'{"method":"SUBSCRIBE","params":[1],"id":1}',                          "params must be stream names"),
    ("an unknown stream",               b'{"method":"SUBSCRIBE","params":["btckzt@secrets"],"id":1}',           "stream 'btckzt@secrets'"),
    ("a good and an unknown stream",    b'{"method":"SUBSCRIBE","params":["btckzt@trade","x@trade"],"id":1}',   "stream 'x@trade'"),
    ("a stream in capitals",            b'{"method":"SUBSCRIBE","params":["BTCKZT@trade"],"id":1}',             "stream 'BTCKZT@trade'"),
    ("a property that is none",         b'{"method":"SET_PROPERTY","params":["combined",1],"id":1}',            "method SET_PROPERTY"),
]  # fmt: skip


@pytest.mark.parametrize("row", STREAM_REQUESTS, ids=[row[0] for row in STREAM_REQUESTS])
@covers(R.UNKNOWN_STREAM, R.INVALID_STREAM_REQUEST)
def test_a_bad_stream_request_subscribes_to_nothing(world: FaultWorld, row: tuple[str, bytes, str]) -> None:
    with world.wire("/ws") as wire:
        wire.send(text(row[1]))
        error = wire.receive()["error"]
        assert error["code"] == 2
        assert row[2] in error["msg"]
        wire.send(text({"method": "LIST_SUBSCRIPTIONS", "id": 9}))
        assert wire.receive() == {"result": [], "id": 9}


@covers(R.SUBSCRIPTION_ACTIVE)
def test_the_same_user_data_cannot_be_subscribed_twice(world: FaultWorld) -> None:
    with world.logged_on(world.key) as wire:
        assert wire.ask("userDataStream.subscribe")["status"] == 200
        assert wire.ask("userDataStream.subscribe")["error"]["code"] == -2035
        assert wire.ask("userDataStream.subscribe.signature", **signed(world.hmac_key))["error"]["code"] == -2035


@covers(R.VENUE_HALTED)
def test_a_halted_venue_takes_no_orders_but_cancels(world: FaultWorld) -> None:
    world.set_state(0, MarketState.HALTED)
    try:
        world.follower.catch_up()
        before = world.follower.state()
        with world.logged_on(world.key) as wire:
            error = wire.ask("order.place", **order_params())["error"]
            assert error == {"code": -2010, "msg": "Market is closed."}
            cancel = wire.ask("order.cancel", symbol="BTCKZT", orderId=999, timestamp=now_ms())
            assert cancel["error"]["msg"] == "Unknown order sent."
        assert world.follower.catch_up() == []
        for send, reason in (
            (placing(), R.VENUE_HALTED),
            (asking("order.cancel", symbol="BTCKZT", orderId=999), R.UNKNOWN_ORDER),
        ):
            assert refused_command(world, *world.command_of(send(world), "key")) == reason
        assert world.follower.state() == before
    finally:
        world.set_state(0, MarketState.TRADING)
        world.follower.catch_up()


# -- signed requests that come again ----------------------------------------------------------------------------------


@covers(R.REPLAYED_REQUEST)
@pytest.mark.parametrize("kind", ["hmac_key", "key"])
def test_a_signed_order_that_comes_again_is_refused_however_it_is_written(world: FaultWorld, kind: str) -> None:
    params = signed(getattr(world, kind), **order_params(quantity="0.0001"))
    signature = params["signature"]
    if kind == "hmac_key":
        written = [signature, signature.upper()]
    else:
        # The last character before the padding has four bits to spare, which a reader of base64 passes over.
        written = [signature, signature[:-3] + chr(ord(signature[-3]) + 1) + "=="]
        assert base64.b64decode(written[0]) == base64.b64decode(written[1])
    with world.wire() as wire:
        assert wire.ask("order.place", **params)["status"] == 200
    world.follower.catch_up()
    before = world.follower.state()
    for other in written:
        copy = {**dict(reversed(params.items())), "signature": other}
        with world.wire() as thief:
            assert thief.ask("order.place", **copy)["error"] == {"code": -2010, "msg": "Duplicate order sent."}
            assert thief.is_alive()
    assert world.follower.catch_up() == []
    assert world.follower.state() == before


@covers(R.SIGNATURE_USED)
def test_a_signed_query_may_come_again_and_opens_nothing_else(world: FaultWorld) -> None:
    params = signed(world.key)
    with world.wire() as wire:
        assert [wire.ask("account.status", **params)["status"] for _ in range(2)] == [200, 200]
    with world.wire() as thief:
        for method in ("session.logon", "openOrders.status", "userDataStream.subscribe.signature"):
            assert thief.ask(method, **params)["error"]["code"] == -1022
        assert thief.ask("session.status")["result"]["apiKey"] is None


# -- commands that no client sends ------------------------------------------------------------------------------------

ACCOUNT_ADD = Command(kind=CommandKind.ACCOUNT_ADD)
PLACE = Command(kind=CommandKind.ORDER_PLACE, side=1, order_type=1, time_in_force=1, account=1, market=1, price_ticks=41_000, quantity_lots=1000)  # fmt: skip
KEY = KeyDefinition(KeyType.HMAC_SHA256, TRADER)

ADMIN: list[tuple[Reason, Command, *tuple[bytes, ...]]] = [
    # reason                        command and the parts of its blob
    (R.MALFORMED_COMMAND,           PLACE._replace(flags=1)),
    (R.UNKNOWN_COMMAND,             Command(kind=99)),
    (R.UNKNOWN_ASSET,               Command(kind=CommandKind.DEPOSIT, account=1, asset=99, amount=1), *BY_TEST),
    (R.UNKNOWN_MARKET,              PLACE._replace(market=99)),
    (R.ASSET_EXISTS,                Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(8)), b"BTC", *BY_TEST),
    (R.MARKET_EXISTS,               Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(WIDE_MARKET), WIDE.encode(), *BY_TEST),
    (R.INVALID_ASSET_DEFINITION,    Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(9)), b"NEW", *BY_TEST),
    (R.INVALID_MARKET_DEFINITION,   Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(WIDE_MARKET._replace(lot_units=0)), b"NEW", *BY_TEST),
    (R.INVALID_FEES,                Command(kind=CommandKind.FEES_SET, market=1), FEES.pack(Fees(100_001, 0)), *BY_TEST),
    (R.INVALID_STATE,               Command(kind=CommandKind.MARKET_STATE_SET, market=1, state=9), *BY_TEST),
    (R.UNKNOWN_ACCOUNT,             PLACE._replace(account=99)),
    (R.ACCOUNT_EXISTS,              ACCOUNT_ADD, b"client1", *BY_TEST),
    (R.INVALID_ACCOUNT_NAME,        ACCOUNT_ADD, b"No Name", *BY_TEST),
    (R.ACCOUNT_FROZEN,              Command(kind=CommandKind.ACCOUNT_FREEZE, account=4), *BY_TEST),
    (R.ACCOUNT_NOT_FROZEN,          Command(kind=CommandKind.ACCOUNT_UNFREEZE, account=1), *BY_TEST),
    (R.UNKNOWN_KEY,                 Command(kind=CommandKind.KEY_REVOKE, account=1), b"nokey", *BY_TEST),
    (R.INVALID_KEY,                 Command(kind=CommandKind.KEY_ADD, account=1), KEY_DEFINITION.pack(KEY), b"", b"", b"", *BY_TEST),
    (R.INVALID_NETWORKS,            Command(kind=CommandKind.KEY_ADD, account=1), KEY_DEFINITION.pack(KEY), b"k", b"", b"?", *BY_TEST),
    (R.INVALID_LIMITS,              Command(kind=CommandKind.LIMITS_SET), TIER_LIMITS.pack(TierLimits()), b"default", *BY_TEST),
    (R.UNKNOWN_TIER,                Command(kind=CommandKind.ACCOUNT_LIMITS_SET, account=1), b"no_tier", *BY_TEST),
    (R.WEAK_PUBLIC_KEY,             Command(kind=CommandKind.KEY_ADD, account=1), KEY_DEFINITION.pack(KeyDefinition(KeyType.ED25519, 3)), b"weak", bytes(32), b"", *BY_TEST),
    (R.INVALID_AMOUNT,              Command(kind=CommandKind.DEPOSIT, account=1, asset=1, amount=0), *BY_TEST),
    (R.INSUFFICIENT_FUNDS,          Command(kind=CommandKind.WITHDRAW, account=3, asset=1, amount=1), *BY_TEST),
    (R.INVALID_CLIENT_ID,           PLACE._replace(client_id=b"a\0b".ljust(36, b"\0"))),
    (R.INVALID_SIDE,                PLACE._replace(side=3)),
    (R.INVALID_ORDER_TYPE,          PLACE._replace(order_type=9)),
    (R.INVALID_TIME_IN_FORCE,       PLACE._replace(time_in_force=0)),
    (R.INVALID_SELF_TRADE_MODE,     PLACE._replace(self_trade_mode=1)),
    (R.INVALID_QUOTE_AMOUNT,        PLACE._replace(amount=1)),
    (R.INVALID_PRICE,               PLACE._replace(price_ticks=-1)),
    (R.INVALID_QUANTITY,            PLACE._replace(quantity_lots=-1)),
]  # fmt: skip


@pytest.mark.parametrize("row", ADMIN, ids=[row[0].name for row in ADMIN])
def test_a_command_that_the_engine_refuses_changes_nothing(
    world: FaultWorld, row: tuple[Reason, Command, *tuple[bytes, ...]]
) -> None:
    reason, command, *parts = row
    world.follower.catch_up()
    before = world.follower.state()
    assert refused_command(world, command, *parts) == reason
    assert world.follower.state() == before


def refused_command(world: FaultWorld, command: Command, *parts: bytes) -> Reason:
    """Sends a command through the journal, as the command line does; why it was refused."""
    builder = BatchBuilder()
    builder.add(command, *parts)
    world.venue.operator.execute(builder)
    (event,) = world.follower.catch_up()
    assert event.kind == EventKind.REJECTED
    return Reason(event.reason)


@covers(R.KEY_EXISTS, R.TOO_MANY_KEYS)
def test_an_account_has_so_many_keys_and_no_two_of_one_id(world: FaultWorld) -> None:
    account = world.venue.account()
    add = Command(kind=CommandKind.KEY_ADD, account=account)
    builder = BatchBuilder()
    for index in range(KEYS_PER_ACCOUNT_MAX):
        builder.add(add, KEY_DEFINITION.pack(KEY), b"many%d" % index, b"", b"", *BY_TEST)
    world.venue.operator.execute(builder)
    world.follower.catch_up()
    assert refused_command(world, add, KEY_DEFINITION.pack(KEY), b"more", b"", b"", *BY_TEST) == R.TOO_MANY_KEYS
    other = Command(kind=CommandKind.KEY_ADD, account=world.poor)
    assert refused_command(world, other, KEY_DEFINITION.pack(KEY), b"many0", b"", b"", *BY_TEST) == R.KEY_EXISTS


@covers(R.TOO_MANY_DEFINITIONS)
def test_a_record_numbers_so_many_assets() -> None:
    """Run on the reference engine alone: 65,535 assets need no store."""
    core = Core()
    names = (f"A{index}".encode() for index in range(1 << 16))
    for number in range(1, (1 << 16) // BATCH_COMMANDS_MAX + 1):
        builder = BatchBuilder()
        for _ in range(BATCH_COMMANDS_MAX):
            builder.add(Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(8)), next(names), *BY_TEST)  # fmt: skip
        data = core.execute(1, builder.build(producer=1, incarnation=1, number=number))
    *_, before_last, last = EventEntry(data)
    assert (before_last.kind, last.kind) == (EventKind.ASSET_ADDED, EventKind.REJECTED)
    assert Reason(last.reason) == R.TOO_MANY_DEFINITIONS


@covers(R.TOO_MANY_TIERS)
def test_a_venue_has_so_many_tiers() -> None:
    """Run on the reference engine alone, so that the tiers of the world stay as they are."""
    builder = BatchBuilder()
    for number in range(TIERS_MAX):
        builder.add(Command(kind=CommandKind.LIMITS_SET), TIER_LIMITS.pack(TierLimits()), b"tier%d" % number, *BY_TEST)
    *_, before_last, last = EventEntry(Core().execute(1, builder.build(producer=1, incarnation=1, number=1)))
    assert isinstance(before_last, OrderEvent)
    assert (before_last.kind, before_last.state) == (EventKind.LIMITS_CHANGED, TIERS_MAX - 1)
    assert Reason(last.reason) == R.TOO_MANY_TIERS


@covers(R.ORDER_ID_IN_USE)
def test_the_book_alone_refuses_an_order_id_in_use() -> None:
    book = Book()
    for _ in range(2):
        book.place(7, Side.BUY, 100, 5)
    assert [event.reason for event in book.events()] == [R.ORDER_ID_IN_USE]


# -- how orders end ---------------------------------------------------------------------------------------------------

LIMIT = {"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.001", "price": "50000"}
ENDS = [
    (R.IOC_REMAINDER_EXPIRED,  {**LIMIT, "timeInForce": "IOC"}),
    (R.FILL_OR_KILL_EXPIRED,    {**LIMIT, "timeInForce": "FOK"}),
    (R.MARKET_REMAINDER_EXPIRED,     {**LIMIT, "type": "MARKET", "timeInForce": None, "price": None}),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "changes"), ENDS, ids=[reason.name for reason, _ in ENDS])
@covers(R.IOC_REMAINDER_EXPIRED, R.FILL_OR_KILL_EXPIRED, R.MARKET_REMAINDER_EXPIRED)
def test_an_order_that_cannot_be_filled_at_once_expires(
    world: FaultWorld, reason: Reason, changes: dict[str, str]
) -> None:
    with world.logged_on(world.key) as wire:
        assert wire.ask("order.place", **order_params(**changes))["result"]["status"] == "EXPIRED"
    *_, closed = world.follower.catch_up()
    assert (closed.kind, Reason(closed.reason)) == (EventKind.ORDER_CLOSED, reason)


@covers(R.FILL_LIMIT)
def test_an_order_has_so_many_fills_at_once_and_then_expires(world: FaultWorld) -> None:
    seller = world.venue.account(**RICH)
    sell = PLACE._replace(
        account=seller, market=MARKETS["ETHKZT"], side=Side.SELL, price_ticks=20_000, quantity_lots=100
    )
    left = FILLS_MAX + 1
    while left:
        builder = BatchBuilder()
        for _ in range(min(left, BATCH_COMMANDS_MAX)):
            builder.add(sell)
        world.venue.operator.execute(builder)
        left -= len(builder)
    with world.logged_on(world.key) as wire:
        params = order_params(symbol="ETHKZT", quantity="30", price="2000000", newOrderRespType="FULL")
        result = wire.ask("order.place", **params)["result"]
    assert (result["status"], len(result["fills"])) == ("EXPIRED", FILLS_MAX)
    *_, closed = world.follower.catch_up()
    assert (closed.kind, Reason(closed.reason)) == (EventKind.ORDER_CLOSED, R.FILL_LIMIT)
    world.venue.command(Command(kind=CommandKind.ORDER_CANCEL_ALL, account=seller, market=MARKETS["ETHKZT"]))
    world.follower.catch_up()


@covers(R.CANCELLED_BY_OWNER, R.CANCELLED_BY_FREEZE)
def test_orders_end_by_their_owner_and_by_a_freeze(world: FaultWorld) -> None:
    key = world.venue.ed25519_key(account := world.venue.account(**RICH))
    with world.logged_on(key) as wire:
        for name in ("first", "second"):
            assert wire.ask("order.place", **order_params(newClientOrderId=name))["status"] == 200
        cancel = {"symbol": "BTCKZT", "origClientOrderId": "first", "timestamp": now_ms()}
        assert wire.ask("order.cancel", **cancel)["result"]["status"] == "CANCELED"
        world.venue.command(Command(kind=CommandKind.ACCOUNT_FREEZE, account=account), *BY_TEST)
        status = {"symbol": "BTCKZT", "origClientOrderId": "second", "timestamp": now_ms()}
        wait_until(lambda: wire.ask("order.status", **status)["result"]["status"] == "CANCELED", "the freeze")
    closed = [Reason(event.reason) for event in world.follower.catch_up() if event.kind == EventKind.ORDER_CLOSED]
    assert closed == [R.CANCELLED_BY_OWNER, R.CANCELLED_BY_FREEZE]


# -- the store --------------------------------------------------------------------------------------------------------


@pytest.fixture
def short_venue() -> Iterator[ServiceVenue]:
    """A venue of the test's own, whose gateway says after two seconds that it does not know."""
    venue = ServiceVenue("--answer-timeout-s", "2")
    yield venue
    venue.close()


def rich_client(venue: ServiceVenue) -> RawClient:
    return logged_on(venue.port, venue.ed25519_key(venue.account(**RICH)))


@covers(R.UNAVAILABLE, R.OVERLOADED, R.OUTCOME_UNKNOWN)
def test_a_store_that_is_gone_is_answered_and_forgotten_when_it_is_back(short_venue: ServiceVenue) -> None:
    venue = short_venue
    key = venue.hmac_key(venue.account(**RICH))
    with rich_client(venue) as wire:
        assert wire.ask("order.place", **order_params())["status"] == 200
        follower = ReferenceFollower(venue.client)
        venue.store.kill()
        for name in ("a", "b"):
            wire.send(text({"id": name, "method": "order.place", "params": order_params(newClientOrderId=name)}))
        with RawClient(venue.port) as other:
            # Its secret cannot be fetched now; nothing was done.
            assert other.ask("order.place", **signed(key, **order_params()))["error"]["code"] == -1001
            assert other.is_alive()
        # What did not leave was not done. What was on its way may have been done or not.
        codes = {reply["id"]: reply["error"]["code"] for reply in (wire.receive() for _ in range(2))}
        assert codes.keys() == {"a", "b"} and set(codes.values()) <= {-1007, -1008}
        assert wire.is_alive()
        assert wire.ask("depth", symbol="BTCKZT")["status"] == 200, "what the gateway knows, it answers"
        venue.store.start()
        wait_until(lambda: wire.ask("order.place", **order_params())["status"] == 200, "orders to be taken again")
        opened = wire.ask("openOrders.status", symbol="BTCKZT", timestamp=now_ms())["result"]
        follower = ReferenceFollower(venue.client)
        follower.catch_up()
        assert len(opened) == follower.core.open_order_count
        not_sent = {name for name, code in codes.items() if code == -1008}
        assert not_sent.isdisjoint(order["clientOrderId"] for order in opened)


def test_a_store_that_is_slow_is_waited_for_and_then_the_outcome_is_unknown(short_venue: ServiceVenue) -> None:
    venue = short_venue
    with rich_client(venue) as wire:
        with paused(venue.store.process):
            wire.send(text({"id": "slow", "method": "order.place", "params": order_params(newClientOrderId="slow")}))
            assert wire.is_alive(), "others are answered meanwhile"
            error = wire.reply_to("slow")["error"]
            assert error["code"] == -1007
            assert "execution status unknown" in error["msg"]
        status = {"symbol": "BTCKZT", "origClientOrderId": "slow"}
        wait_until(
            lambda: wire.ask("order.status", timestamp=now_ms(), **status).get("status") == 200, "the order is known"
        )
        assert wire.ask("order.status", timestamp=now_ms(), **status)["result"]["status"] == "NEW"


def test_a_copied_order_is_refused_after_the_gateway_was_started_again(short_venue: ServiceVenue) -> None:
    venue = short_venue
    key = venue.hmac_key(venue.account(**RICH))
    params = signed(key, **order_params(recvWindow=60_000))
    with RawClient(venue.port) as wire:
        assert wire.ask("order.place", **params)["status"] == 200
    venue.processes["gateway"].kill()
    venue.start_gateway()
    follower = ReferenceFollower(venue.client)
    follower.catch_up()
    before = follower.state()
    with RawClient(venue.port) as thief:
        assert thief.ask("order.place", **params)["error"] == {"code": -2010, "msg": "Duplicate order sent."}
        assert thief.is_alive()
    assert follower.catch_up() == []
    assert follower.state() == before
    with RawClient(venue.port) as wire:
        # Its owner signs again, and is served at once.
        assert wire.ask("order.place", **signed(key, **order_params()))["status"] == 200


# -- the whole --------------------------------------------------------------------------------------------------------


def test_in_the_end_both_engines_have_the_same_state(world: FaultWorld) -> None:
    """Runs behind the tables: the running engine's own state hash is that of the reference at the same entry."""
    world.follower.check_against_engine(world.venue.operator)
    gateway = world.venue.processes["gateway"]
    assert gateway.process.poll() is None
    assert "Traceback" not in gateway.log.read_text()


def test_every_reason_is_covered() -> None:
    importlib.import_module("tests.faults.test_overload")
    covered = {row.reason for row in [*GATEWAY_ROWS, *JUDGED, *ENGINE]} | {row[0] for row in ADMIN} | COVERED.keys()
    assert [reason.name for reason in Reason if reason and reason not in covered] == []
