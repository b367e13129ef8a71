"""Tiers and keys as clients meet them: limits that follow the journal at once, keys with an end and with places."""

from __future__ import annotations

from typing import Any

import pytest

from engine.networks import pack_networks
from engine.records import TIER_LIMITS, Command, CommandKind, TierLimits
from gateway.limits import RateLimitSettings
from tests.worlds.accounts import BY_TEST
from tests.worlds.gateway_in_process import START_MS, GatewayInProcess, InProcessClient

BAD_KEY = (-2015, "Invalid API-key, IP, or permissions for action.")
SECOND_MS = 1_000


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess(RateLimitSettings())


def set_tier(rig: GatewayInProcess, tier: bytes, **numbers: int) -> None:
    rig.command(Command(kind=CommandKind.LIMITS_SET), TIER_LIMITS.pack(TierLimits(**numbers)), tier, *BY_TEST)


def put_into(rig: GatewayInProcess, account: int, tier: bytes) -> None:
    rig.command(Command(kind=CommandKind.ACCOUNT_LIMITS_SET, account=account), tier, *BY_TEST)


def limits_shown(reply: Any) -> dict[tuple[str, str], int]:
    return {(each["rateLimitType"], each["interval"]): each["limit"] for each in reply["rateLimits"]}


SHOWN = {("ORDERS", "SECOND"): 50, ("ORDERS", "DAY"): 160_000, ("REQUEST_WEIGHT", "MINUTE"): 6_000}


def test_replies_and_exchange_info_show_the_limits_of_the_caller(rig: GatewayInProcess) -> None:
    account = rig.account(USDT="1000")
    maker, stranger = rig.trader_of(account), rig.client()
    assert limits_shown(maker.result("exchangeInfo", symbol="BTCUSDT")) == SHOWN
    set_tier(rig, b"maker", weight_per_minute=60_000, orders_per_10_s=900)
    put_into(rig, account, b"maker")
    own = SHOWN | {("ORDERS", "SECOND"): 900, ("REQUEST_WEIGHT", "MINUTE"): 60_000}
    assert limits_shown(maker.result("exchangeInfo", symbol="BTCUSDT")) == own
    assert limits_shown(maker.ask("order.place", **maker.limit("BTCUSDT", "BUY", "0.001", "10000"))) == own
    assert limits_shown(maker.ask("ping")) == {("REQUEST_WEIGHT", "MINUTE"): 60_000}
    assert limits_shown(stranger.result("exchangeInfo", symbol="BTCUSDT")) == SHOWN
    assert limits_shown(stranger.ask("ping")) == {("REQUEST_WEIGHT", "MINUTE"): 6_000}
    set_tier(rig, b"maker", weight_per_minute=61_000)
    assert limits_shown(maker.ask("ping")) == {("REQUEST_WEIGHT", "MINUTE"): 61_000}
    maker.result("session.logout")
    assert limits_shown(maker.ask("ping")) == {("REQUEST_WEIGHT", "MINUTE"): 6_000}


def test_a_change_of_tiers_counts_for_the_next_order(rig: GatewayInProcess) -> None:
    account = rig.account(USDT="1000")
    maker = rig.trader_of(account)
    set_tier(rig, b"slow", orders_per_10_s=2)
    put_into(rig, account, b"slow")
    order = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.001", "price": "10000"}
    assert [maker.ask("order.place", **maker.limit(**order))["status"] for _ in range(3)] == [200, 200, 429]
    code, text = maker.refusal("order.place", **maker.limit(**order))
    assert (code, text) == (-1015, "Too many new orders; current limit is 2 orders per 10 SECOND.")
    put_into(rig, account, b"default")
    assert maker.ask("order.place", **maker.limit(**order))["status"] == 200


def test_weight_is_counted_by_address_and_tier() -> None:
    rig = GatewayInProcess(RateLimitSettings(weight_per_minute=20))
    account = rig.account(USDT="1000")
    key = rig.hmac_key(account)
    set_tier(rig, b"maker", weight_per_minute=1_000)
    put_into(rig, account, b"maker")
    stranger, maker = rig.client(), rig.client()
    while stranger.ask("ping")["status"] == 200:
        pass
    # The address has used up what strangers may, so this one has to wait before it has signed anything.
    assert maker.ask("account.status", **maker.signed(key))["status"] == 429
    rig.now_ms += 60 * SECOND_MS
    assert maker.ask("account.status", **maker.signed(key))["status"] == 200
    while stranger.ask("ping")["status"] == 200:
        pass
    assert maker.ask("account.status", **maker.signed(key))["status"] == 200, "a session that has signed a request"
    assert maker.ask("ping")["status"] == 200
    for _ in range(40):
        assert maker.ask("account.status", **maker.signed(key))["status"] == 200
    rig.now_ms += 60 * SECOND_MS
    for _ in range(40):
        assert maker.ask("account.status", **maker.signed(key))["status"] == 200
    assert rig.client().ask("ping")["status"] == 200, "what its tier allows is not taken from strangers"
    while stranger.ask("ping")["status"] == 200:
        pass
    code, text = stranger.refusal("ping")
    assert code == -1003 and "current limit is 20 request weight" in text


def test_a_signed_order_is_weighed_by_the_tier_of_its_key() -> None:
    """The fast path verifies before it weighs."""
    rig = GatewayInProcess(RateLimitSettings(weight_per_minute=20))
    account = rig.account(USDT="1000")
    key = rig.hmac_key(account)
    set_tier(rig, b"maker", weight_per_minute=1_000)
    put_into(rig, account, b"maker")
    order = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.001", "price": "10000"}
    first, stranger, maker = rig.client(), rig.client(), rig.client()
    # So that the secret is here.
    assert first.ask("order.place", **first.signed(key, **first.limit(**order)))["status"] == 200
    while stranger.ask("ping")["status"] == 200:
        pass
    assert maker.ask("order.place", **maker.signed(key, **maker.limit(**order, newClientOrderId="o")))["status"] == 200
    assert maker.ask("ping")["status"] == 200, "the session has signed a request"


def test_an_account_has_so_many_subscriptions_over_all_connections(rig: GatewayInProcess) -> None:
    account, other = rig.account(), rig.account()
    clients = [rig.trader_of(account) for _ in range(11)]
    for client in clients[:10]:
        client.result("userDataStream.subscribe")
    refusal = (-2042, "Too many subscriptions of this account; current limit is 10 over all connections.")
    assert clients[10].refusal("userDataStream.subscribe") == refusal
    key = rig.hmac_key(account)
    assert clients[10].refusal("userDataStream.subscribe.signature", **clients[10].signed(key)) == refusal
    assert clients[0].refusal("userDataStream.subscribe")[0] == -2035, "it has one already"
    rig.trader_of(other).result("userDataStream.subscribe")
    clients[3].result("userDataStream.unsubscribe")
    clients[10].result("userDataStream.subscribe")
    set_tier(rig, b"wide", subscriptions_max=11)
    put_into(rig, account, b"wide")
    clients[3].result("userDataStream.subscribe")


# -- keys


ORDER = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.001", "price": "10000"}


def uses_of(client: InProcessClient, key: Any) -> list[Any]:
    """What every way to use a key on a fresh connection is answered."""
    return [
        client.ask("account.status", **client.signed(key)),
        client.ask("order.place", **client.signed(key, **client.limit(**ORDER))),
        client.ask("openOrders.cancelAll", **client.signed(key, symbol="BTCUSDT")),
        client.ask("userDataStream.subscribe.signature", **client.signed(key)),
    ]


def errors_of(replies: list[Any]) -> set[tuple[int, str]]:
    return {(reply["error"]["code"], reply["error"]["msg"]) if "error" in reply else (0, "") for reply in replies}


@pytest.mark.parametrize("kind", ["hmac_key", "ed25519_key"])
def test_a_key_that_has_expired_opens_nothing(rig: GatewayInProcess, kind: str) -> None:
    account = rig.account(USDT="1000")
    key = getattr(rig, kind)(account, expiry_us=(START_MS + 5 * SECOND_MS) * 1000)
    rig.now_ms = START_MS + 5 * SECOND_MS - 1
    assert errors_of(uses_of(rig.client(), key)) == {(0, "")}
    rig.now_ms += 1
    late = rig.client()
    assert errors_of(uses_of(late, key)) == {BAD_KEY}
    if kind == "ed25519_key":
        assert late.refusal("session.logon", **late.signed(key)) == BAD_KEY


def test_a_session_ends_with_its_key(rig: GatewayInProcess) -> None:
    key = rig.ed25519_key(rig.account(USDT="1000"), expiry_us=(START_MS + 5 * SECOND_MS) * 1000)
    client = rig.client()
    client.logon(key)
    client.result("userDataStream.subscribe")
    other = rig.client()
    other.logon(key)
    other.result("userDataStream.subscribe")
    rig.now_ms = START_MS + 5 * SECOND_MS
    # The moment it has expired, before anybody has looked for it.
    assert client.refusal("order.place", **client.limit(**ORDER)) == BAD_KEY
    assert client.refusal("account.status", timestamp=rig.now_ms) == BAD_KEY
    assert client.refusal("openOrders.cancelAll", symbol="BTCUSDT", timestamp=rig.now_ms) == BAD_KEY
    client.result("userDataStream.unsubscribe")
    assert client.refusal("userDataStream.subscribe") == BAD_KEY
    client.take()
    rig.view.keys.end_expired(rig.now_ms * 1000 - 1)
    assert other.result("session.status")["apiKey"] == key.id
    rig.view.keys.end_expired(rig.now_ms * 1000)
    ended, logged_off = other.take()
    assert ended["event"]["e"] == "eventStreamTerminated"
    assert (logged_off["id"], logged_off["status"], logged_off["error"]["code"]) == (None, 401, -2015)
    for session in (client, other):
        assert session.result("session.status")["apiKey"] is None
        assert session.result("session.subscriptions") == []


def test_a_key_ends_on_time_although_a_clock_stood_ahead_before(rig: GatewayInProcess) -> None:
    key = rig.ed25519_key(rig.account(), expiry_us=(START_MS + 60 * SECOND_MS) * 1000)
    rig.view.keys.end_expired((START_MS + 3_600 * SECOND_MS) * 1000)
    rig.view.keys.end_expired(START_MS * 1000)
    client = rig.client()
    client.logon(key)
    client.result("userDataStream.subscribe")
    rig.now_ms = START_MS + 60 * SECOND_MS
    rig.view.keys.end_expired(rig.now_ms * 1000)
    assert [message.get("status") for message in client.take()] == [None, 401]


def test_a_key_that_was_revoked_does_not_end_another_of_its_id(rig: GatewayInProcess) -> None:
    account = rig.account()
    key = rig.ed25519_key(account, expiry_us=(START_MS + 5 * SECOND_MS) * 1000)
    rig.command(Command(kind=CommandKind.KEY_REVOKE, account=account), key.id.encode(), *BY_TEST)
    rig.add_ed25519_key(account, key)
    client = rig.client()
    client.logon(key)
    rig.now_ms = START_MS + 60 * SECOND_MS
    rig.view.keys.end_expired(rig.now_ms * 1000)
    assert client.result("session.status")["apiKey"] == key.id


@pytest.mark.parametrize(
    ("networks", "ip", "allowed"),
    [
        ([], "198.51.100.1", True),
        (["203.0.113.0/24", "2001:db8::/32"], "203.0.113.77", True),
        (["203.0.113.0/24", "2001:db8::/32"], "::ffff:203.0.113.77", True),
        (["203.0.113.0/24", "2001:db8::/32"], "2001:db8::77", True),
        (["203.0.113.0/24", "2001:db8::/32"], "198.51.100.1", False),
        (["203.0.113.0/24", "2001:db8::/32"], "2001:db9::77", False),
        (["203.0.113.0/24"], "", False),
    ],
)
@pytest.mark.parametrize("kind", ["hmac_key", "ed25519_key"])
def test_a_key_is_used_from_its_networks_only(
    rig: GatewayInProcess, kind: str, networks: list[str], ip: str, allowed: bool
) -> None:
    key = getattr(rig, kind)(rig.account(USDT="1000"), networks=pack_networks(networks))
    client = rig.client(ip=ip)
    replies = uses_of(client, key)
    if kind == "ed25519_key":
        replies.append(client.ask("session.logon", **client.signed(key)))
    assert errors_of(replies) == ({(0, "")} if allowed else {BAD_KEY})
