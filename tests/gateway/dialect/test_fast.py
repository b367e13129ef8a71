"""The compiled way of an order against the long way: what it reads and writes is the same, what it cannot read it leaves."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.order_types import OrderType, TimeInForce
from engine.records import COMMAND
from gateway.auth.sessions import Session, Usage, check_window, signature_payload
from gateway.dialect import replies as messages
from gateway.dialect import requests as dialect
from gateway.dialect.fast import ack_frame, read_order, read_signed_order, take_texts
from gateway.dialect.numbers import MarketNumbers
from gateway.dialect.refusals import Refusal
from gateway.view.accounts import Account, BookLevels, Order, format_e8
from gateway.wire.connection import Connection, encode_text
from tests.worlds.gateway_in_process import START_MS, GatewayInProcess

RIG = GatewayInProcess()
MARKETS = RIG.projection.markets_by_symbol
ACCOUNT = Account(7)
SESSION = Session(lambda frame: None, Usage(), shows_rate_limits=False)

PLACE: dict[str, Any] = {
    "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "89000.01", "quantity": "0.5",
    "newOrderRespType": "ACK", "timestamp": START_MS,
}  # fmt: skip
CANCEL: dict[str, Any] = {"symbol": "BTCUSDT", "orderId": 12, "timestamp": START_MS}


def short_way(message: bytes) -> tuple[Any, ...] | None:
    ask = read_order(message, MARKETS, SESSION, ACCOUNT, START_MS)
    if ask is None:
        return None
    assert (ask.session, ask.account, ask.shows_rate_limits, ask.blob) == (SESSION, ACCOUNT, False, b"")
    return ask.id_text, ask.command, ask.context, ask.reduces, ask.expires_ms


def long_way(message: bytes) -> tuple[Any, ...] | None:
    """What the dialect makes of a message; None where it refuses it."""
    request = dialect.read_request(message)
    if not isinstance(request, dialect.Request) or check_window(request, START_MS) is not None:
        return None
    if request.method == "order.place":
        placed = dialect.place_order(request, MARKETS, ACCOUNT.number)
        if isinstance(placed, Refusal):
            return None
        return request.id_text, *placed, False, request.expires_ms
    if request.method == "order.cancel":
        market, name = dialect.market_of(request.params, MARKETS), dialect.order_name(request.params)
        if isinstance(market, Refusal) or isinstance(name, Refusal):
            return None
        cancelled = dialect.cancel_order(request.params, market, ACCOUNT.number, name)
        if isinstance(cancelled, Refusal):
            return None
        command, blob = cancelled
        return request.id_text, command, "CANCEL" if not blob else "with a name", True, request.expires_ms
    return None


def frame(method: str, params: dict[str, Any], id: object = 1) -> bytes:
    return orjson.dumps({"id": id, "method": method, "params": params})


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"side": "SELL"},
        {"timeInForce": "IOC"},
        {"timeInForce": "FOK"},
        {"type": "LIMIT_MAKER", "timeInForce": None},
        {"type": "LIMIT_MAKER", "timeInForce": None, "newOrderRespType": None},
        {"newOrderRespType": "RESULT"},
        {"newOrderRespType": "FULL"},
        {"newOrderRespType": None},
        {"newClientOrderId": "x-1._:/"},
        {"newClientOrderId": "a" * 36},
        {"price": 89000, "quantity": 1},
        {"price": 89000.25, "quantity": 0.001},
        {"price": "0089000.10", "quantity": "1.000000"},
        {"recvWindow": 60000},
        {"recvWindow": "5000"},
        {"timestamp": START_MS - 5000},
        {"timestamp": START_MS + 999},
        {"timestamp": str(START_MS)},
        {"timestamp": START_MS * 1000},
    ],
)
def test_plain_orders_go_the_short_way(change: dict[str, Any]) -> None:
    params = {name: value for name, value in {**PLACE, **change}.items() if value is not None}
    for id in (1, 0, 123456789012345678, "a", "", "6f1d-x"):
        message = frame("order.place", params, id)
        assert short_way(message) == long_way(message) is not None


@pytest.mark.parametrize("order_type", OrderType, ids=lambda order_type: order_type.name)
def test_every_order_type_with_a_limit_goes_the_short_way_and_no_other(order_type: OrderType) -> None:
    for time in order_type.terms.times_in_force:
        params = {**PLACE, "type": order_type.name, "timeInForce": time.name}
        del params["newOrderRespType"]
        if time == TimeInForce.NONE:
            del params["timeInForce"]
        if not order_type.terms.limit:
            del params["price"]
        message = frame("order.place", params)
        assert long_way(message) is not None
        assert short_way(message) == (long_way(message) if order_type.terms.limit else None)


@pytest.mark.parametrize("change", [{}, {"orderId": "12"}, {"orderId": None, "origClientOrderId": "mine"}])
def test_plain_cancels_go_the_short_way(change: dict[str, Any]) -> None:
    params = {name: value for name, value in {**CANCEL, **change}.items() if value is not None}
    message = frame("order.cancel", params)
    assert short_way(message) == long_way(message) is not None
    assert COMMAND.unpack_from(short_way(message)[1]).account == 7  # type: ignore[index]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{",
        b"[]",
        b'{"id":1}',
        frame("order.place", PLACE)[:-1],
        frame("order.place", PLACE) + b"}",
        frame("order.place", PLACE, None),
        frame("order.place", PLACE, -1),
        frame("order.place", PLACE, 1.5),
        frame("order.place", PLACE, "é"),
        frame("order.place", PLACE, '"'),
        frame("order.place", PLACE, [1]),
        frame("order.test", PLACE),
        frame("order.place", {**PLACE, "symbol": "BTCEUR"}),
        frame("order.place", {**PLACE, "symbol": 1}),
        frame("order.place", {**PLACE, "side": "buy"}),
        frame("order.place", {**PLACE, "type": "MARKET"}),
        frame("order.place", {**PLACE, "type": "LIMIT_MAKER"}),
        frame("order.place", {**PLACE, "timeInForce": "GTX"}),
        frame("order.place", {**PLACE, "newOrderRespType": "ack"}),
        frame("order.place", {**PLACE, "price": "0"}),
        frame("order.place", {**PLACE, "price": "-1"}),
        frame("order.place", {**PLACE, "price": "1e3"}),
        frame("order.place", {**PLACE, "price": ".5"}),
        frame("order.place", {**PLACE, "price": "5."}),
        frame("order.place", {**PLACE, "price": "1.2.3"}),
        frame("order.place", {**PLACE, "price": "89000.001"}),
        frame("order.place", {**PLACE, "price": "99999999999"}),
        frame("order.place", {**PLACE, "price": "9" * 40}),
        frame("order.place", {**PLACE, "price": None}),
        frame("order.place", {**PLACE, "quantity": "0.0000001"}),
        frame("order.place", {**PLACE, "quantity": True}),
        frame("order.place", {**PLACE, "newClientOrderId": ""}),
        frame("order.place", {**PLACE, "newClientOrderId": "a" * 37}),
        frame("order.place", {**PLACE, "newClientOrderId": "a b"}),
        frame("order.place", {**PLACE, "newClientOrderId": "jibek-1"}),
        frame("order.place", {**PLACE, "newClientOrderId": 5}),
        frame("order.place", {**PLACE, "icebergQty": "1"}),
        frame("order.place", {**PLACE, "signature": "x", "apiKey": "y"}),
        frame("order.place", {**PLACE, "returnRateLimits": False}),
        frame("order.place", {**PLACE, "timestamp": START_MS + 1000}),
        frame("order.place", {**PLACE, "timestamp": START_MS - 5001}),
        frame("order.place", {**PLACE, "recvWindow": 60001}),
        frame("order.place", {**PLACE, "recvWindow": 1.5}),
        frame("order.place", PLACE).replace(b'"side":', b'"side":"SELL","side":'),
        frame("order.place", PLACE).replace(b'"price":"89000.01"', b'"price":089000.01'),
        frame("order.place", PLACE).replace(b'"method"', b'"id":1,"method"'),
        frame("order.place", PLACE).replace(b'"method"', b'"x":1,"method"'),
        frame("order.place", {**PLACE, "side": {"a": 1}}),
        frame("order.cancel", {**CANCEL, "orderId": 0}),
        frame("order.cancel", {**CANCEL, "orderId": "12", "origClientOrderId": "x"}),
        frame("order.cancel", {**CANCEL, "newClientOrderId": "x"}),
        frame("order.cancel", {**CANCEL, "orderId": None, "origClientOrderId": "jibek-5"}),
        frame("order.cancel", {"symbol": "BTCUSDT", "timestamp": START_MS}),
        frame("order.cancel", {**CANCEL, "price": "1"}),
    ],
)
def test_what_is_not_plain_is_left_to_the_long_way(message: bytes) -> None:
    assert short_way(message) is None


NUMBERS = st.one_of(
    st.decimals(0, 200_000, places=3).map(str),
    st.from_regex(r"[0-9]{0,22}(\.[0-9]{0,12})?", fullmatch=True),
    st.integers(-5, 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
    st.text(max_size=5),
)
PARAMS = st.fixed_dictionaries(
    {"symbol": st.sampled_from(["BTCUSDT", "BTCKZT", "NONE", "", 1]), "timestamp": st.sampled_from([START_MS, 0, "1"])},
    optional={
        "side": st.sampled_from(["BUY", "SELL", "buy", 1]),
        "type": st.sampled_from(["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS"]),
        "timeInForce": st.sampled_from(["GTC", "IOC", "FOK", "X", None]),
        "price": NUMBERS,
        "quantity": NUMBERS,
        "newOrderRespType": st.sampled_from(["ACK", "RESULT", "FULL", "X", 0]),
        "newClientOrderId": st.one_of(st.text(max_size=40), st.from_regex(r"[a-zA-Z0-9._:/-]{1,36}", fullmatch=True)),
        "orderId": st.one_of(st.integers(-1, 2**70), st.text(max_size=3)),
        "origClientOrderId": st.from_regex(r"(jibek-)?[a-z0-9]{1,9}", fullmatch=True),
        "recvWindow": NUMBERS,
        "other": st.integers(),
    },
)
METHODS = st.sampled_from(["order.place", "v3/order.place", "order.cancel", "order.test"])
IDS = st.one_of(st.integers(-10, 10**25), st.text(max_size=10), st.none(), st.floats(allow_nan=False))


@settings(max_examples=600, deadline=None)
@given(METHODS, PARAMS, IDS, st.sampled_from([None, 1]))
def test_whatever_the_short_way_reads_the_long_way_reads_so(
    method: str, params: dict[str, Any], id: object, indent: int | None
) -> None:
    for ascii_only in (True, False):
        text = json.dumps({"params": params, "id": id, "method": method}, indent=indent, ensure_ascii=ascii_only)
        message = text.encode("utf-8", "surrogatepass")
        read = short_way(message)
        assert read is None or read == long_way(message)


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_a_damaged_request_is_read_as_the_long_way_reads_it(data: st.DataObject) -> None:
    message = bytearray(frame(data.draw(METHODS), data.draw(st.sampled_from([PLACE, CANCEL]))))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(message) - 1))
        message[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    read = short_way(bytes(message))
    assert read is None or read == long_way(bytes(message))


# -- signed requests


@settings(max_examples=400, deadline=None)
@given(
    METHODS, PARAMS, IDS, st.fixed_dictionaries({}, optional={"apiKey": st.sampled_from(["k", "", "ü", 1]),
                                                              "signature": st.sampled_from(["5f", "", "AA==", None])})
)  # fmt: skip
@example("order.place", {**PLACE, "price": 89000.25, "recvWindow": 5000}, "x", {"apiKey": "k", "signature": "5F"})
@example("order.cancel", {**CANCEL, "orderId": "12"}, 7, {"apiKey": "k", "signature": "5f"})
def test_what_is_signed_is_what_the_long_way_says_is_signed(
    method: str, params: dict[str, Any], id: object, signature: dict[str, Any]
) -> None:
    params = {**params, **signature}
    message = json.dumps({"id": id, "method": method, "params": params}).encode()
    ask = read_signed_order(message, MARKETS, SESSION, START_MS)
    if ask is None:
        return
    assert short_way(message) is None
    request = dialect.read_request(message)
    assert isinstance(request, dialect.Request)
    assert request.use_exact_params() is None
    assert check_window(request, START_MS) is None
    assert ask.payload == signature_payload(request.params)
    assert (ask.key_id, ask.signature) == (params["apiKey"], params["signature"])
    assert (ask.timestamp_ms, ask.expires_ms) == (request.timestamp_ms, request.expires_ms)
    ask.give_account(ACCOUNT)
    assert ask.account is ACCOUNT
    assert (ask.id_text, ask.command, ask.context, ask.reduces, ask.expires_ms) == long_way(message)


@pytest.mark.parametrize("method", ["order.place", "order.cancel"])
def test_plain_signed_requests_go_the_short_way(method: str) -> None:
    params = {"order.place": PLACE, "order.cancel": CANCEL}[method]
    message = frame(method, {**params, "apiKey": "k", "signature": "5f"})
    assert read_signed_order(message, MARKETS, SESSION, START_MS) is not None
    for name in ("apiKey", "signature"):
        assert read_signed_order(frame(method, {**params, name: "k"}), MARKETS, SESSION, START_MS) is None


# -- frames


def client_frame(payload: bytes, first_byte: int = 0x81) -> bytes:
    mask = b"\x37\xfa\x21\x3d"
    length = len(payload)
    if length < 126:
        head = bytes((first_byte, 0x80 | length))
    elif length < 65536:
        head = bytes((first_byte, 0xFE)) + length.to_bytes(2, "big")
    else:
        head = bytes((first_byte, 0xFF)) + length.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


@given(st.lists(st.text(st.characters(max_codepoint=126), max_size=300), max_size=5), st.integers(0, 40))
def test_plain_frames_are_taken_in_order_and_a_cut_one_is_left(texts: list[str], cut: int) -> None:
    whole = b"".join(client_frame(text.encode()) for text in texts)
    taken: list[Any] = []
    rest = client_frame(b"last one, cut off somewhere")[: min(cut, 32)]
    assert take_texts(whole + rest, 65536, taken) == len(whole)
    assert taken == [text.encode() for text in texts]


@pytest.mark.parametrize(
    "unusual",
    [
        client_frame(b"{}", 0x01),
        client_frame(b"{}", 0x82),
        client_frame(b"{}", 0x89),
        client_frame(b"{}", 0xC1),
        client_frame("é".encode()),
        client_frame(b"\xff"),
        client_frame(b"x" * 501),
        client_frame(b"x" * 70_000),
        b"\x81\x02{}",
    ],
)
def test_an_unusual_frame_is_where_it_stops(unusual: bytes) -> None:
    taken: list[Any] = []
    plain = client_frame(b'{"id":1}')
    assert take_texts(plain + unusual + plain, 500, taken) == len(plain)
    assert taken == [b'{"id":1}']


# -- replies


@given(
    id_text=st.one_of(st.integers(0, 10**30).map(str), st.text(max_size=60).map(json.dumps)),
    order_id=st.integers(0, 2**53),
    client=st.one_of(st.none(), st.from_regex(r"[a-zA-Z0-9._:/-]{1,36}", fullmatch=True)),
    time=st.integers(0, 2**60),
    limits=st.sampled_from(["", ',"rateLimits":[]', ',"rateLimits":"' + "x" * 200 + '"']),
)
@example(id_text='"é"', order_id=1, client=None, time=0, limits="")
def test_an_acknowledgement_is_the_long_ways(
    id_text: str, order_id: int, client: str | None, time: int, limits: str
) -> None:
    market: MarketNumbers = MARKETS["BTCKZT"]
    order = Order(order_id, ACCOUNT, market, 1, 1, 1, 1, 1, 0, client, 0)
    expected = encode_text(messages.success(id_text, messages.order_ack(order, time, 1), limits))
    assert ack_frame(id_text, order, time, limits) == expected


def test_an_acknowledgement_that_is_too_long_is_left_to_the_long_way() -> None:
    order = Order(1, ACCOUNT, MARKETS["BTCKZT"], 1, 1, 1, 1, 1, 0, None, 0)
    assert ack_frame(f'"{"x" * 2000}"', order, 0, "") is None
    assert ack_frame(f'"{"x" * 1000}"', order, 0, "") is not None


# -- numbers and levels


@given(st.integers(-(10**25), 10**25))
def test_numbers_of_any_size_have_eight_decimals(number: int) -> None:
    whole, _, fraction = format_e8(number).partition(".")
    assert len(fraction) == 8
    assert int(whole + fraction) == number


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(1, 9), st.integers(-3, 5), st.booleans()), max_size=80))
def test_levels_are_in_order_whenever_somebody_asks(changes: list[tuple[int, int, int, bool]]) -> None:
    book = BookLevels()
    lots: dict[tuple[int, int], int] = {}
    for side, price, change, asks in changes:
        left = lots.get((side, price), 0) + change
        if left < 0 or (change == 0 and not left):
            continue
        book.change(side, price, change)
        lots[side, price] = left
        if asks:
            bids = sorted(((p, n) for (s, p), n in lots.items() if s == 1 and n), reverse=True)
            offers = sorted((p, n) for (s, p), n in lots.items() if s == 2 and n)
            assert (book.bids(100), book.asks(2)) == (bids, offers[:2])
            assert book.quantity(side, price) == left


def test_many_levels_that_nobody_asks_for_are_kept_in_order() -> None:
    book = BookLevels()
    for price in range(1, 10_001):
        book.change(2, price, 1)
    for price in range(1, 5_001):
        book.change(2, price, -1)
    assert book.asks(2) == [(5001, 1), (5002, 1)]
    assert len(book.asks(20_000)) == 5000


def test_a_connection_takes_plain_and_unusual_frames_in_their_order() -> None:
    connection = Connection(0.0)
    key = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    connection.receive_data(key + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 0.0)
    connection.accept(0.0)
    stream = (
        client_frame(b"1") + client_frame("é".encode()) + client_frame(b"2") + client_frame(b"3a", 0x01)
        + client_frame(b"", 0x89) + client_frame(b"3b", 0x80) + client_frame(b"4")
    )  # fmt: skip
    for size in (len(stream), 1, 3, 7):
        received = [event for start in range(0, len(stream), size) for event in connection.receive_data(stream[start : start + size], 0.0)]  # fmt: skip
        assert received == [b"1", "é".encode(), b"2", b"3a3b", b"4"]
