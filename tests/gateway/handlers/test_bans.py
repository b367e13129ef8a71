"""What counts as a failure, and what a banned address gets: over WebSockets and over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.limits import BAN_S_MIN, BanSettings, RateLimitSettings
from gateway.wire.http_side import HttpRequest
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient

RICH = {"BTC": "1000", "KZT": "100000000000"}
SETTINGS = BanSettings()
MANY = SETTINGS.failures_max
BAN_MS = BAN_S_MIN * 1000
GET_PING = HttpRequest("GET", "/api/v3/ping", "", {}, b"")


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess(bans=SETTINGS)


def is_banned(rig: GatewayInProcess) -> bool:
    return rig.state.bans.until_ms("ip", rig.now_ms) > 0


# -- what is a failure

Failing = Callable[[InProcessClient], Any]


def wrong_ed25519(client: InProcessClient) -> Any:
    key = client.rig.ed25519_key(client.rig.account())
    client.send({"id": 1, "method": "account.status", "params": {**client.signed(key), "signature": "A" * 86 + "=="}})


def wrong_hmac(client: InProcessClient) -> Any:
    key = client.rig.hmac_key(client.rig.account())
    client.send({"id": 1, "method": "account.status", "params": {**client.signed(key), "signature": "0" * 64}})
    client.rig.send_secrets()


def unknown_key(client: InProcessClient) -> Any:
    params = {"apiKey": "f" * 64, "signature": "0" * 64, "timestamp": client.time_ms()}
    client.ask("account.status", **params)


def malformed_key(client: InProcessClient) -> Any:
    params = {"apiKey": "not a key", "signature": "0" * 64, "timestamp": client.time_ms()}
    client.ask("account.status", **params)


FAILURES: dict[str, Failing] = {
    "wrong-ed25519": wrong_ed25519,
    "wrong-hmac": wrong_hmac,
    "unknown-key": unknown_key,
    "malformed-key": malformed_key,
    "junk": lambda client: client.send(b"{"),
    "no-object": lambda client: client.send(b"[]"),
    "name-twice": lambda client: client.send(b'{"id":1,"method":"ping","method":"time"}'),
    "logon-with-wrong-signature": lambda client: client.ask(
        "session.logon", apiKey="f" * 64, signature="A" * 86 + "==", timestamp=client.time_ms()
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_it_is_a_failure(rig: GatewayInProcess, name: str) -> None:
    client = rig.client()
    FAILURES[name](client)
    rig.state.bans.failed("ip", rig.now_ms, MANY - 2)
    assert not is_banned(rig)
    rig.state.bans.failed("ip", rig.now_ms)
    assert is_banned(rig), "it counted"


HONEST: dict[str, tuple[str, dict[str, Any]]] = {
    "ping": ("ping", {}),
    "unknown method": ("nonsense", {}),
    "missing parameter": ("depth", {}),
    "unknown symbol": ("depth", {"symbol": "NONE"}),
    "unknown order": ("order.cancel", {"symbol": "BTCKZT", "orderId": 99}),
    "unknown order asked for": ("order.status", {"symbol": "BTCKZT", "orderId": 99}),
    "no money": (
        "order.place",
        {
            "symbol": "BTCKZT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1000",
            "price": "900000000",
        },
    ),
    "price off the tick": (
        "order.place",
        {
            "symbol": "BTCKZT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1",
            "price": "50000000.5",
        },
    ),
    "late": ("account.status", {"timestamp": 1_800_000_000_000 - 60_000}),
    "not logged on": ("session.logon", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", HONEST)
def test_what_an_honest_client_meets_is_no_failure(rig: GatewayInProcess, name: str) -> None:
    trader = rig.trader(**RICH)
    method, params = HONEST[name]
    for _ in range(2 * MANY):
        trader.ask(method, **{"timestamp": trader.time_ms(), **params})
    assert not is_banned(rig) and trader.closed == []


def test_requests_beyond_the_weight_limit_are_failures() -> None:
    rig = GatewayInProcess(RateLimitSettings(weight_per_minute=10), bans=SETTINGS)
    client = rig.client()
    statuses = [client.ask("ping")["status"] for _ in range(10 + MANY + 1)]
    assert statuses == [200] * 10 + [429] * MANY + [418]
    [answer] = rig.http(GET_PING)
    assert answer.status == 418


def test_requests_over_http_beyond_the_weight_limit_are_failures() -> None:
    rig = GatewayInProcess(RateLimitSettings(weight_per_minute=10), bans=SETTINGS)
    statuses = [rig.get("/api/v3/ping")[0] for _ in range(10 + MANY + 1)]
    assert statuses == [200] * 10 + [429] * MANY + [418]


# -- pings and pongs


def test_many_pings_use_up_the_weight_and_then_ban() -> None:
    rig = GatewayInProcess(RateLimitSettings(weight_per_minute=100), bans=SETTINGS)
    client, honest = rig.client(), rig.client()
    rig.router.count_frames(honest.session, 5, 0)
    rig.router.count_frames(client.session, 5 + 99, 0)
    assert client.session.usage.count == 99
    rig.router.count_frames(client.session, 2, 0)
    assert not is_banned(rig) and client.closed == []
    rig.router.count_frames(client.session, MANY, 0)
    assert is_banned(rig) and [code for code, _ in client.closed] == [1008]
    [reply] = client.take()
    assert (reply["id"], reply["status"]) == (None, 418)


def test_fragments_weigh_like_pings() -> None:
    rig = GatewayInProcess(RateLimitSettings(weight_per_minute=100), bans=SETTINGS)
    client, listener = rig.client(), rig.client(is_api=False)
    rig.router.count_frames(client.session, 2, 4)
    assert client.session.usage.count == 1
    rig.router.count_frames(listener.session, 0, 9)
    assert listener.session.usage.count == 10 and listener.closed == []
    rig.router.count_frames(listener.session, 0, 100)
    assert is_banned(rig) and [code for code, _ in listener.closed] == [1008]


def test_requests_on_a_stream_connection_in_one_packet_are_one_failure() -> None:
    rig = GatewayInProcess(RateLimitSettings(stream_messages_per_s=5), bans=SETTINGS)
    subscribe = b'{"id":1,"method":"SUBSCRIBE","params":["btckzt@trade"]}'
    for failures in range(1, MANY + 1):
        assert not is_banned(rig)
        client = rig.client(is_api=False)
        client.deliver(*[subscribe] * 2 * MANY)
        assert client.closed[0] == (1008, "too many requests in a second"), failures
    assert is_banned(rig)


def test_pings_of_a_stream_connection_count_like_its_requests() -> None:
    rig = GatewayInProcess(RateLimitSettings(stream_messages_per_s=5), bans=SETTINGS)
    client = rig.client(is_api=False)
    rig.router.count_frames(client.session, 4, 0)
    client.ask_frame({"id": 5, "method": "LIST_SUBSCRIPTIONS"})
    rig.now_ms += 1000
    rig.router.count_frames(client.session, 5, 0)
    assert client.closed == []
    rig.router.count_frames(client.session, 1, 0)
    assert [code for code, _ in client.closed] == [1008]
    assert client.session.usage.count == 0


# -- what a banned address gets


def ban(rig: GatewayInProcess) -> None:
    rig.state.bans.failed("ip", rig.now_ms, MANY)


def test_the_next_request_of_an_open_websocket_is_refused_and_the_connection_closed(rig: GatewayInProcess) -> None:
    trader = rig.trader(**RICH)
    ban(rig)
    until_ms = rig.now_ms + BAN_MS
    rig.now_ms += 1000
    reply = trader.ask("order.place", **trader.limit("BTCKZT", "BUY", "0.01", "40000000"))
    assert reply["status"] == 418
    assert reply["error"] == {
        "code": -1003,
        "msg": f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans.",
        "data": {"serverTime": rig.now_ms, "retryAfter": until_ms},
    }
    assert [code for code, _ in trader.closed] == [1008]
    assert rig.turn() == 0, "nothing is executed"


def test_what_comes_behind_the_failure_that_bans_is_not_done(rig: GatewayInProcess) -> None:
    """A thousand wrong messages in one read: as many are judged as make the ban, one gets 418, and the rest is passed over."""
    client = rig.client()
    rig.router.handle_messages(client.session, [b"{"] * 1000)
    replies = client.take()
    assert [reply["status"] for reply in replies] == [400] * MANY + [418]
    assert [code for code, _ in client.closed] == [1008]
    assert client.session.usage.count == MANY


@pytest.mark.parametrize("frame", [b"{", b"", b'{"id":7,"method":"ping"}', b'{"id":"x"}'])
def test_any_message_is_answered_under_its_id(rig: GatewayInProcess, frame: bytes) -> None:
    client = rig.client()
    ban(rig)
    reply = client.ask_frame(frame)
    assert (reply["status"], reply["id"]) == (418, 7 if b"ping" in frame else "x" if b"x" in frame else None)


def test_a_stream_connection_is_refused_in_its_own_form(rig: GatewayInProcess) -> None:
    client = rig.client(is_api=False)
    ban(rig)
    reply = client.ask_frame({"id": 5, "method": "LIST_SUBSCRIPTIONS"})
    assert (reply["id"], reply["error"]["code"]) == (5, -1003)
    assert [code for code, _ in client.closed] == [1008]


def test_over_http_the_answer_says_when_to_come_again_and_ends_the_connection(rig: GatewayInProcess) -> None:
    ban(rig)
    rig.now_ms += 20_000
    [answer] = rig.http(GET_PING)
    headers = dict(answer.headers)
    assert (answer.status, headers["Connection"]) == (418, "close")
    assert 100 <= int(headers["Retry-After"]) <= 101


def test_other_addresses_notice_nothing(rig: GatewayInProcess) -> None:
    client = rig.client()
    client.session.address = "elsewhere"
    ban(rig)
    assert client.result("ping") == {}


def test_after_its_end_all_is_as_before(rig: GatewayInProcess) -> None:
    client = rig.client()
    ban(rig)
    rig.now_ms += BAN_MS
    assert client.result("ping") == {}
    assert rig.get("/api/v3/ping")[0] == 200
