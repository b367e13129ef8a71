"""What the fuzz test throws at a gateway: each case is made from a seed and a number, and from nothing else that matters.

Six kinds of cases, each a way in which a frame can be wrong (or, now and then, right):

    params      a good request with parameters changed, dropped, added or exchanged; some of them signed
    text        the JSON text of a good request with bytes changed, cut or doubled
    structure   JSON values of any shape in the place of a request or of its params
    stream      the same for the requests of a stream connection
    frames      bytes at the level of the WebSocket protocol: heads, lengths, opcodes, fragments
    http        bytes before the upgrade

Keys and timestamps are those of the venue that runs; all choices are the seed's.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from websockets.frames import Frame, Opcode

from tests.worlds.accounts import Ed25519Key, HmacKey
from tests.worlds.clients import json_text, now_ms
from tests.worlds.raw_client import frame, upgrade

Json = Any

SYMBOLS = ("BTCKZT", "ETHKZT", "USDTKZT", "BTCUSDT")
STREAMS = tuple(f"{symbol.lower()}@{kind}" for symbol in SYMBOLS for kind in ("trade", "depth", "depth@100ms", "bookTicker"))  # fmt: skip

NASTY: tuple[Json, ...] = (
    None, True, False, 0, -1, 1, 7, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**40, 0.1, 1e-7, 1.5e-9, -0.0,
    1e22, 1e300, 5e-324, float("inf"), float("nan"), "", " ", "0", "-0", "-1", "00", "01", "1.", ".1", "1e5", "1E-5", "NaN",
    "Infinity", "null", "true", "\0", "\n", "\x7f", "９", "٣", "💥", "\ud800", "é" * 40, "a" * 300, "9" * 400, "0." + "0" * 300,
    "0.000000001", "92233720368.54775807", "92233720368.54775808", "4611686018427387904", [], {}, [[]], [None], {"a": {"a": 1}},
    "BTCKZT", "btckzt", "BTCKZT\0", "BUY", "buy", "LIMIT", "GTC", "jibek-1", "jibek-", "jibek-99999999999999999999", "mine",
    "../..", "%s%n", "{}", "{0}", "'", '"', "\\", "\\u0000", ["BTCKZT"] * 3,
)  # fmt: skip

RARE = (
    "stopPrice", "icebergQty", "trailingDelta", "pegPriceType", "selfTradePreventionMode", "strategyId", "quoteOrderQty",
    "newOrderRespType", "recvWindow", "timestamp", "returnRateLimits", "omitZeroBalances", "cancelRestrictions", "account",
    "signature", "apiKey", "symbols", "limit", "fromId", "subscriptionId", "newClientOrderId", "__proto__", "", "a" * 1000,
)  # fmt: skip


class Keys(NamedTuple):
    hmac: HmacKey
    ed25519: Ed25519Key


class Case(NamedTuple):
    kind: str
    data: bytes
    is_logged_on: bool = False
    """Whether it goes over the connection that is logged on."""


def case(seed: int, number: int, keys: Keys) -> Case:
    """The case of this number."""
    rng = random.Random(f"{seed}/{number}")
    make, *_ = rng.choices([make for make, _ in _KINDS], [weight for _, weight in _KINDS])
    return make(rng, keys)


# -- good requests ----------------------------------------------------------------------------------------------------


def good_request(rng: random.Random) -> tuple[str, dict[str, Json]]:
    """A method and its params, such as a client would send on a session that is logged on."""
    method = rng.choice(
        ("order.place", "order.place", "order.place", "order.place", "order.cancel", "order.cancel", "order.status",
         "openOrders.status", "openOrders.cancelAll", "account.status", "myTrades", "depth", "exchangeInfo", "time", "ping",
         "session.status", "session.subscriptions", "userDataStream.subscribe", "userDataStream.unsubscribe"),
    )  # fmt: skip
    params: dict[str, Json] = {"timestamp": now_ms()}
    if method == "order.place":
        params |= _good_order(rng)
    elif method not in ("exchangeInfo", "time", "ping"):
        params["symbol"] = rng.choice(SYMBOLS)
    if method in ("order.cancel", "order.status"):
        params |= rng.choice(({"orderId": rng.randrange(1, 2000)}, {"origClientOrderId": f"c{rng.randrange(30)}"}))
    if method in ("depth", "myTrades"):
        params["limit"] = rng.choice((1, 5, 100, "20"))
    return method, params


def _good_order(rng: random.Random) -> dict[str, Json]:
    price = str(rng.randrange(49_990, 50_010) * 1000)
    quantity = rng.choice(("0.001", "0.0001", 0.001, "0.00100000", 0.0002, 1e-3))
    order: dict[str, Json] = {"symbol": "BTCKZT", "side": rng.choice(("BUY", "SELL")), "quantity": quantity}
    kind = rng.choice(("LIMIT", "LIMIT", "LIMIT", "MARKET", "LIMIT_MAKER"))
    order["type"] = kind
    if kind != "MARKET":
        order["price"] = price
    if kind == "LIMIT":
        order["timeInForce"] = rng.choice(("GTC", "GTC", "IOC", "FOK"))
    if rng.random() < 0.3:
        order["newClientOrderId"] = f"c{rng.randrange(30)}"
    if rng.random() < 0.5:
        order["newOrderRespType"] = rng.choice(("ACK", "RESULT", "FULL"))
    return order


# -- requests ---------------------------------------------------------------------------------------------------------


def _params(rng: random.Random, keys: Keys) -> Case:
    method, params = good_request(rng)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        rng.choice((_set, _set, _set, _drop, _add, _exchange))(rng, params)
    if rng.random() < 0.05:
        method = str(rng.choice(NASTY))
    if rng.random() < 0.3:
        params = _sign(rng, params, keys)
        if rng.random() < 0.2:
            method = rng.choice(("session.logon", "userDataStream.subscribe.signature"))
        return Case("params", _text(rng, _request(rng, method, params)))
    return Case("params", _text(rng, _request(rng, method, params)), is_logged_on=True)


def _request(rng: random.Random, method: Json, params: Json) -> dict[str, Json]:
    id = rng.choice(NASTY) if rng.random() < 0.1 else rng.randrange(1000)
    return {"id": id, "method": f"v3/{method}" if rng.random() < 0.1 else method, "params": params}


def _set(rng: random.Random, params: dict[str, Json]) -> None:
    params[rng.choice(list(params) or ["x"])] = rng.choice(NASTY)


def _drop(rng: random.Random, params: dict[str, Json]) -> None:
    if params:
        del params[rng.choice(list(params))]


def _add(rng: random.Random, params: dict[str, Json]) -> None:
    params[rng.choice(RARE)] = rng.choice(NASTY)


def _exchange(rng: random.Random, params: dict[str, Json]) -> None:
    if len(params) > 1:
        one, other = rng.sample(list(params), 2)
        params[one], params[other] = params[other], params[one]


def _sign(rng: random.Random, params: dict[str, Json], keys: Keys) -> dict[str, Json]:
    """Signed as it is, wrong as it may be, so that the code behind the check of the signature is reached."""
    key = rng.choice(keys)
    params = {**params, "apiKey": key.id}
    payload = "&".join(f"{name}={json_text(value)}" for name, value in sorted(params.items()) if name != "signature")
    params["signature"] = key.sign(payload.encode("utf-8", "replace").decode())
    if rng.random() < 0.1:
        params[rng.choice(("signature", "apiKey"))] = rng.choice(NASTY)
    return params


def _text(rng: random.Random, value: Json) -> bytes:
    """A text message of a JSON value, with or without escapes and blanks."""
    separators = rng.choice(((",", ":"), (", ", ": "), (" , ", " : ")))
    text = json.dumps(value, ensure_ascii=rng.random() < 0.8, separators=separators)
    if rng.random() < 0.03:
        text = text.replace('"params"', '"params":{},"params"')
    return frame(Opcode.TEXT, text.encode("utf-8", "surrogatepass"))


def _mutated_text(rng: random.Random, keys: Keys) -> Case:
    method, params = good_request(rng)
    data = bytearray(json.dumps({"id": 1, "method": method, "params": params}).encode())
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        _mutate(rng, data)
    return Case("text", frame(Opcode.TEXT, bytes(data)), is_logged_on=True)


def _mutate(rng: random.Random, data: bytearray) -> None:
    """Changes, removes, doubles or adds bytes somewhere."""
    start = rng.randrange(len(data) + 1)
    stop = min(len(data), start + rng.choice((1, 1, 2, 8, 64)))
    way = rng.randrange(6)
    if way == 0:
        del data[start:stop]
    elif way == 1:
        data[start:start] = data[start:stop]
    elif way == 2:
        data[start:stop] = bytes(rng.randrange(256) for _ in range(stop - start))
    elif way == 3:
        data[start:start] = rng.choice(
            (b'"', b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\\u", b"\0", b"e9", b"-", b"\xff")
        )
    elif way == 4:
        data[start:stop] = rng.choice((b"null", b"1e999", b"[" * 500, b"9" * 500, b'{"a":' * 300, "é".encode()))
    elif start < len(data):
        data[start] ^= 1 << rng.randrange(8)


def _structure(rng: random.Random, keys: Keys) -> Case:
    value = _any_value(rng, 5)
    way = rng.randrange(3)
    if way == 0:
        value = {"id": 1, "method": good_request(rng)[0], "params": value}
    elif way == 1:
        method, params = good_request(rng)
        value = {"id": value, "method": method, "params": {**params, rng.choice(RARE): _any_value(rng, 3)}}
    return Case("structure", _text(rng, value), is_logged_on=True)


def _any_value(rng: random.Random, depth: int) -> Json:
    way = rng.randrange(6)
    if depth == 0 or way < 3:
        return rng.choice(NASTY)
    if way == 3:
        return [_any_value(rng, depth - 1) for _ in range(rng.randrange(4))]
    names = (*RARE, "id", "method", "params", "symbol", "price")
    return {rng.choice(names): _any_value(rng, depth - 1) for _ in range(rng.randrange(5))}


def _stream(rng: random.Random, keys: Keys) -> Case:
    method = rng.choice(("SUBSCRIBE", "SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "GET_PROPERTY", "SET_PROPERTY"))
    params: Json = [rng.choice((*STREAMS, *STREAMS, rng.choice(NASTY))) for _ in range(rng.choice((1, 1, 2, 5)))]
    if method.endswith("PROPERTY"):
        params = ["combined", rng.choice((True, False, rng.choice(NASTY)))][: rng.randrange(1, 3)]
    value: dict[str, Json] = {"method": method, "params": params, "id": rng.randrange(100)}
    for _ in range(rng.choice((0, 0, 1, 2))):
        _set(rng, value)
    if rng.random() < 0.3:
        data = bytearray(json.dumps(value).encode())
        _mutate(rng, data)
        return Case("stream", frame(Opcode.TEXT, bytes(data)))
    return Case("stream", _text(rng, value))


# -- bytes ------------------------------------------------------------------------------------------------------------


def _frames(rng: random.Random, keys: Keys) -> Case:
    """Frames of any form, sent on a connection of their own that is not logged on."""
    pieces = [_any_frame(rng) for _ in range(rng.choice((1, 1, 2, 3, 8)))]
    data = bytearray(b"".join(pieces))
    for _ in range(rng.choice((0, 0, 1, 3))):
        _mutate(rng, data)
    return Case("frames", upgrade(rng.choice(("/ws-api/v3", "/ws", "/stream"))) + bytes(data))


def _any_frame(rng: random.Random) -> bytes:
    method, params = good_request(rng)
    payload = json.dumps({"id": 1, "method": method, "params": params}).encode()
    way = rng.randrange(6)
    if way == 0:
        return frame(Opcode.TEXT, payload)
    if way == 1:
        cut = rng.randrange(len(payload))
        between = (
            frame(rng.choice((Opcode.PING, Opcode.PONG)), bytes(rng.randrange(126))) if rng.random() < 0.5 else b""
        )
        return frame(Opcode.TEXT, payload[:cut], fin=False) + between + frame(Opcode.CONT, payload[cut:])
    if way == 2:
        return Frame(rng.choice(list(Opcode)), payload[: rng.randrange(125)]).serialize(mask=rng.random() < 0.8)
    if way == 3:
        return frame(Opcode.CLOSE, struct.pack("!H", rng.randrange(5000)) + payload[: rng.randrange(100)])
    if way == 4:
        length = rng.choice((0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 1 << 20, (1 << 63) - 1))
        head = bytes((rng.randrange(256), 128 | min(length, 127)))
        head += struct.pack("!Q", length) if length >= 127 else b""
        return head + rng.randbytes(4) + rng.randbytes(min(length, 300))
    return rng.randbytes(rng.randrange(1, 200))


def _http(rng: random.Random, keys: Keys) -> Case:
    heads = (
        upgrade(),
        b"GET /api/v3/%s?symbol=BTCKZT&limit=5 HTTP/1.1\r\nHost: h\r\n\r\n"
        % rng.choice((b"ping", b"depth", b"exchangeInfo")),
        b"POST /api/v3/order HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"POST /api/v3/order HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde",
    )
    data = bytearray(rng.choice(heads) * rng.choice((1, 1, 2)))
    for _ in range(rng.choice((1, 1, 2, 6))):
        _mutate(rng, data)
    return Case("http", bytes(data))


_KINDS: tuple[tuple[Callable[[random.Random, Keys], Case], int], ...] = (
    (_params, 50),
    (_mutated_text, 15),
    (_structure, 12),
    (_stream, 10),
    (_frames, 10),
    (_http, 3),
)
