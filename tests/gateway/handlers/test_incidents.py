"""What is counted of whom: every failed authentication, by address and key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.networks import pack_networks
from engine.records import Permission
from gateway.incidents import Incident
from gateway.limits import BanSettings, RateLimitSettings
from gateway.wire.http_side import HttpRequest
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient

MANY = BanSettings().failures_max


def signed(client: InProcessClient, method: str = "account.status", **changes: Any) -> str:
    """Sends what a known Ed25519 key has signed, with these parameters changed afterwards; the key's id."""
    key = client.rig.ed25519_key(client.rig.account())
    client.send({"id": 1, "method": method, "params": {**client.signed(key), **changes}})
    return key.id


def with_wrong_hmac(client: InProcessClient) -> str:
    key = client.rig.hmac_key(client.rig.account())
    client.send({"id": 1, "method": "account.status", "params": {**client.signed(key), "signature": "0" * 64}})
    client.rig.send_secrets()
    return key.id


def with_limited_key(client: InProcessClient, method: str = "account.status", **limits: Any) -> str:
    key = client.rig.ed25519_key(client.rig.account(), **limits)
    client.rig.now_ms += 2
    client.ask(method, **client.signed(key))
    return key.id


def used_twice(client: InProcessClient) -> str:
    key = client.rig.ed25519_key(client.rig.account())
    params = client.signed(key)
    for _ in range(2):
        client.send({"id": 1, "method": "session.logon", "params": params})
        client.rig.send_marks()
    return key.id


def unknown(client: InProcessClient) -> str:
    client.ask("account.status", apiKey="f" * 64, signature="0" * 64, timestamp=client.time_ms())
    return ""


def no_key(client: InProcessClient) -> str:
    client.ask("account.status", apiKey="not a\nkey", signature="0" * 64, timestamp=client.time_ms())
    return ""


def junk(client: InProcessClient) -> str:
    client.send(b"{")
    return ""


FAILED: dict[Incident, Callable[[InProcessClient], str]] = {
    Incident.WRONG_SIGNATURE: lambda client: signed(client, signature="A" * 86 + "=="),
    Incident.UNKNOWN_KEY: unknown,
    Incident.MALFORMED_KEY: no_key,
    Incident.KEY_EXPIRED: lambda client: with_limited_key(client, expiry_us=client.rig.now_ms * 1000 + 1000),
    Incident.WRONG_NETWORK: lambda client: with_limited_key(client, networks=pack_networks(["192.0.2.0/24"])),
    Incident.NO_PERMISSION: lambda client: with_limited_key(client, "order.place", permissions=Permission.READ),
    Incident.TOO_OLD: lambda client: signed(client, timestamp=client.time_ms() - 60_000),
    Incident.AHEAD_OF_TIME: lambda client: signed(client, timestamp=client.time_ms() + 60_000),
    Incident.SIGNATURE_USED: used_twice,
    Incident.UNREADABLE: junk,
}


@pytest.mark.parametrize("incident", FAILED, ids=lambda incident: incident.name)
def test_it_is_counted_once_for_its_address_and_key(incident: Incident) -> None:
    rig = GatewayInProcess()
    key_id = FAILED[incident](rig.client())
    found = {each: rig.state.incidents.total(each, "ip", key_id) for each in Incident}
    assert {each: total for each, total in found.items() if total} == {incident: 1}


def test_a_wrong_hmac_signature_is_counted_when_the_secret_has_come() -> None:
    rig = GatewayInProcess()
    key_id = with_wrong_hmac(rig.client())
    assert rig.state.incidents.total(Incident.WRONG_SIGNATURE, "ip", key_id) == 1


def test_an_order_that_is_sent_twice_is_counted_for_its_key() -> None:
    rig = GatewayInProcess()
    client, key = rig.client(), rig.hmac_key(rig.account(BTC="1", KZT="100000000"))
    order = client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "40000000"))
    for _ in range(3):
        client.send({"id": 1, "method": "order.place", "params": order})
        rig.send_secrets()
        rig.turn()
    assert rig.state.incidents.total(Incident.SIGNATURE_USED, "ip", key.id) == 2


def test_ordinary_trading_is_no_incident() -> None:
    rig = GatewayInProcess()
    trader = rig.trader(BTC="1", KZT="100000000")
    trader.ask("order.place", **trader.limit("BTCKZT", "BUY", "0.01", "40000000"))
    trader.ask("order.cancel", symbol="BTCKZT", orderId=99, timestamp=trader.time_ms())
    assert len(rig.state.incidents) == 0


def test_what_a_banned_address_sends_is_counted_over_both_ways() -> None:
    rig = GatewayInProcess(RateLimitSettings(weight_per_minute=1), bans=BanSettings())
    client, stream = rig.client(), rig.client(is_api=False)
    client.ask("ping")
    for _ in range(MANY):
        client.ask("ping")
    for asked in (client, stream):
        asked.send(b'{"id":1,"method":"ping"}')
    rig.http(HttpRequest("GET", "/api/v3/ping", "", {}, b""))
    incidents = rig.state.incidents
    assert incidents.total(Incident.OVER_WEIGHT, "ip") == MANY
    assert incidents.total(Incident.BANNED_ADDRESS, "ip") == 3
