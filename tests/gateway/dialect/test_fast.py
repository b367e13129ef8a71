"""The compiled fast path against the slow path: what it reads and writes is the same, what it cannot read it leaves."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.journal import Mark
from engine.order_types import OrderType, TimeInForce
from engine.records import COMMAND
from gateway.auth.authentication import check_window
from gateway.auth.signatures import signature_payload
from gateway.dialect import replies
from gateway.dialect.fast import CountedText, SignedCommand, ack_frame, read_order, read_signed_order
from gateway.dialect.numbers import MarketNumbers
from gateway.dialect.order_names import order_name
from gateway.dialect.orders import UNSUPPORTED_FLAGS, UNSUPPORTED_PARAMETERS, cancel_order, place_order
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import Request, Unreadable, market_of, read_request
from gateway.view.accounts import Account, Order
from gateway.wire.frames import encode_text
from tests.worlds.gateway_in_process import START_MS, GatewayInProcess
from tests.worlds.sessions import silent_session

GATEWAY = GatewayInProcess()
MARKETS = GATEWAY.projection.markets_by_symbol
ACCOUNT = Account(7)
SESSION = silent_session(shows_rate_limits=False)

PLACE: dict[str, Any] = {
    "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "89000.01", "quantity": "0.5",
    "newOrderRespType": "ACK", "timestamp": START_MS,
}  # fmt: skip
CANCEL: dict[str, Any] = {"symbol": "BTCUSDT", "orderId": 12, "timestamp": START_MS}


def fast_path(message: bytes) -> tuple[Any, ...] | None:
    command = read_order(message, MARKETS, SESSION, ACCOUNT, START_MS, 0)
    if command is None:
        return None
    assert (command.caller, command.account, command.shows_rate_limits) == (SESSION, ACCOUNT, False)
    assert (command.blob, command.mark) == (b"", None)
    return command.id_text, command.command, command.response, command.reduces, command.expires_ms


def slow_path(message: bytes) -> tuple[Any, ...] | None:
    """What the dialect makes of a message; None where it refuses it."""
    try:
        request = read_request(message)
        check_window(request, START_MS, 0)
        return _slow_command(request)
    except (Unreadable, Rejected):
        return None


def _slow_command(request: Request) -> tuple[Any, ...] | None:
    if request.method == "order.place":
        command, response = place_order(request, MARKETS, ACCOUNT.number)
        return request.id_text, command, response, False, request.expires_ms
    if request.method == "order.cancel":
        market, name = market_of(request.params, MARKETS), order_name(request.params)
        command, blob = cancel_order(request.params, market, ACCOUNT.number, name)
        response = "with a name" if blob else "CANCEL"
        return request.id_text, command, response, True, request.expires_ms
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
def test_ordinary_orders_take_the_fast_path(change: dict[str, Any]) -> None:
    params = {name: value for name, value in {**PLACE, **change}.items() if value is not None}
    for id in (1, 0, 123456789012345678, "a", "", "6f1d-x"):
        message = frame("order.place", params, id)
        assert fast_path(message) == slow_path(message) is not None


@pytest.mark.parametrize("order_type", OrderType, ids=lambda order_type: order_type.name)
def test_every_order_type_with_a_limit_takes_the_fast_path_and_no_other(order_type: OrderType) -> None:
    for time in order_type.terms.times_in_force:
        params = {**PLACE, "type": order_type.name, "timeInForce": time.name}
        del params["newOrderRespType"]
        if time == TimeInForce.NONE:
            del params["timeInForce"]
        if not order_type.terms.limit:
            del params["price"]
        message = frame("order.place", params)
        assert slow_path(message) is not None
        assert fast_path(message) == (slow_path(message) if order_type.terms.limit else None)


@pytest.mark.parametrize("change", [{}, {"orderId": "12"}, {"orderId": None, "origClientOrderId": "mine"}])
def test_ordinary_cancels_take_the_fast_path(change: dict[str, Any]) -> None:
    params = {name: value for name, value in {**CANCEL, **change}.items() if value is not None}
    message = frame("order.cancel", params)
    assert fast_path(message) == slow_path(message) is not None
    assert COMMAND.unpack_from(fast_path(message)[1]).account == 7  # type: ignore[index]


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
        frame("order.cancel", {**CANCEL, "origClientOrderId": "mine"}),
        frame("order.cancel", {**CANCEL, "cancelRestrictions": "ONLY_NEW"}),
        *(frame("order.place", {**PLACE, name: False}) for name in (*UNSUPPORTED_PARAMETERS, *UNSUPPORTED_FLAGS)),
        frame("order.cancel", {"symbol": "BTCUSDT", "timestamp": START_MS}),
        frame("order.cancel", {**CANCEL, "price": "1"}),
    ],
)
def test_what_is_unusual_is_left_to_the_slow_path(message: bytes) -> None:
    assert fast_path(message) is None


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

ORDINARY = st.one_of(
    st.fixed_dictionaries(
        {
            "side": st.sampled_from(["BUY", "SELL"]),
            "price": st.decimals("0.01", 200_000, places=2).map(str),
            "quantity": st.integers(1, 10**6).map(lambda lots: str(Decimal(lots).scaleb(-6))),
        },
        optional={
            "timeInForce": st.sampled_from(["GTC", "IOC", "FOK"]),
            "newOrderRespType": st.sampled_from(["ACK", "RESULT", "FULL"]),
            "newClientOrderId": st.from_regex(r"[a-zA-Z0-9._:/-]{1,36}", fullmatch=True),
            "recvWindow": st.integers(1, 60_000),
        },
    ).map(lambda changes: ("order.place", {**PLACE, **changes})),
    st.integers(1, 2**53).map(lambda order_id: ("order.cancel", {**CANCEL, "orderId": order_id})),
)
"""Method and parameters that the fast path is for."""


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any], object]:
    """Method, parameters and id: an ordinary request, one with up to two parameters changed, or anything."""
    if draw(st.integers(0, 3)) == 0:
        return draw(METHODS), draw(PARAMS), draw(IDS)
    method, params = draw(ORDINARY)
    others = draw(PARAMS)
    for name in draw(st.lists(st.sampled_from(sorted(others)), max_size=2)):
        params = {**params, name: others[name]}
    return method, params, draw(st.integers(0, 10**17) | IDS)


def check_share_read(cases: list[bool]) -> None:
    """A test that compares what the fast path reads proves nothing where it reads too little."""
    assert len(cases) >= 400
    share = sum(cases) / len(cases)
    assert share > 0.08, f"the fast path read {share:.0%} of {len(cases)} requests"


def test_whatever_the_fast_path_reads_the_slow_path_reads_so() -> None:
    was_read: list[bool] = []

    @settings(max_examples=600, deadline=None)
    @given(requests(), st.sampled_from([None, 1]))
    def check(request: tuple[str, dict[str, Any], object], indent: int | None) -> None:
        method, params, id = request
        for ascii_only in (True, False):
            text = json.dumps({"params": params, "id": id, "method": method}, indent=indent, ensure_ascii=ascii_only)
            message = text.encode("utf-8", "surrogatepass")
            read = fast_path(message)
            was_read.append(read is not None)
            assert read is None or read == slow_path(message)

    check()
    check_share_read(was_read)


def test_a_damaged_request_is_read_as_the_slow_path_reads_it() -> None:
    was_read: list[bool] = []

    @settings(max_examples=600, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        message = bytearray(frame(*data.draw(st.sampled_from([("order.place", PLACE), ("order.cancel", CANCEL)]))))
        for _ in range(data.draw(st.integers(1, 2))):
            place = data.draw(st.integers(0, len(message) - 1))
            length = data.draw(st.integers(0, 2))
            letter = data.draw(st.sampled_from([b"1", b"a", b'"', b" ", b"."]))
            message[place : place + length] = data.draw(st.one_of(st.just(letter * length), st.binary(max_size=2)))
        read = fast_path(bytes(message))
        was_read.append(read is not None)
        assert read is None or read == slow_path(bytes(message))

    check()
    check_share_read(was_read)


# -- signed requests


SIGNATURES = st.one_of(
    st.just({"apiKey": "k", "signature": "5f"}),
    st.fixed_dictionaries(
        {},
        optional={"apiKey": st.sampled_from(["k", "", "ü", 1]), "signature": st.sampled_from(["5f", "", "AA==", None])},
    ),
)


def test_what_is_signed_is_what_the_slow_path_says_is_signed() -> None:
    was_read: list[bool] = []

    @settings(max_examples=600, deadline=None)
    @given(requests(), SIGNATURES)
    @example(("order.place", {**PLACE, "price": 89000.25, "recvWindow": 5000}, "x"), {"apiKey": "k", "signature": "5F"})
    @example(("order.cancel", {**CANCEL, "orderId": "12"}, 7), {"apiKey": "k", "signature": "5f"})
    def check(request: tuple[str, dict[str, Any], object], signature: dict[str, Any]) -> None:
        method, params, id = request
        message = json.dumps({"id": id, "method": method, "params": {**params, **signature}}).encode()
        command = read_signed_order(message, MARKETS, SESSION, START_MS, 0)
        was_read.append(command is not None)
        if command is not None:
            check_signed(message, command, {**params, **signature})

    check()
    check_share_read(was_read)


def check_signed(message: bytes, command: SignedCommand, params: dict[str, Any]) -> None:
    """The fast path reads the order, and what its signature is over, as the slow path does."""
    assert fast_path(message) is None
    request = read_request(message)
    request.use_exact_params()
    check_window(request, START_MS, 0)
    assert command.payload == signature_payload(request.params)
    assert (command.key_id, command.signature) == (params["apiKey"], params["signature"])
    assert command.expires_ms == request.expires_ms
    mark = Mark("k", "name", "order.place", 1)
    command.accept(ACCOUNT, mark)
    assert (command.account, command.mark) == (ACCOUNT, mark)
    read = command.id_text, command.command, command.response, command.reduces, command.expires_ms
    assert read == slow_path(message)


@pytest.mark.parametrize("method", ["order.place", "order.cancel"])
def test_ordinary_signed_requests_take_the_fast_path(method: str) -> None:
    params = {"order.place": PLACE, "order.cancel": CANCEL}[method]
    message = frame(method, {**params, "apiKey": "k", "signature": "5f"})
    assert read_signed_order(message, MARKETS, SESSION, START_MS, 0) is not None
    for name in ("apiKey", "signature"):
        assert read_signed_order(frame(method, {**params, name: "k"}), MARKETS, SESSION, START_MS, 0) is None


# -- replies


@given(
    id_text=st.one_of(st.integers(0, 10**30).map(str), st.text(max_size=60).map(json.dumps)),
    order_id=st.integers(0, 2**53),
    client=st.one_of(st.none(), st.from_regex(r"[a-zA-Z0-9._:/-]{1,36}", fullmatch=True)),
    time=st.integers(0, 2**60),
    limits=st.sampled_from(["", ',"rateLimits":[]', ',"rateLimits":"' + "x" * 200 + '"']),
)
@example(id_text='"é"', order_id=1, client=None, time=0, limits="")
def test_an_acknowledgement_is_the_slow_paths(
    id_text: str, order_id: int, client: str | None, time: int, limits: str
) -> None:
    market: MarketNumbers = MARKETS["BTCKZT"]
    order = Order(order_id, ACCOUNT, market, 1, 1, 1, 1, 1, 0, client, 0)
    expected = encode_text(replies.success(id_text, replies.order_ack(order, time, 1), limits))
    assert ack_frame(id_text, order, time, limits) == expected


@given(st.integers(0, 2**53), st.integers(0, 2**53), st.integers(0, 2**53))
def test_a_counted_text_is_filled_as_by_percent(first: int, second: int, third: int) -> None:
    for template in ("%d", "a%d", "a%db%dc", ',"x":[%d,"y",%d,%d]'):
        numbers = (first, second, third)[: template.count("%d")]
        assert CountedText(template).fill(first, second, third) == template % numbers


def test_an_acknowledgement_that_is_too_long_is_left_to_the_slow_path() -> None:
    order = Order(1, ACCOUNT, MARKETS["BTCKZT"], 1, 1, 1, 1, 1, 0, None, 0)
    assert ack_frame(f'"{"x" * 2000}"', order, 0, "") is None
    assert ack_frame(f'"{"x" * 1000}"', order, 0, "") is not None
