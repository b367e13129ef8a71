"""Logging on and off, and user data subscriptions, over a whole gateway without sockets."""

from __future__ import annotations

from typing import Any

import pytest

from engine.records import Command, CommandKind
from tests.worlds.accounts import BY_TEST
from tests.worlds.gateway_in_process import GatewayInProcess

RICH = {"BTC": "10", "KZT": "1000000000"}


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess()


class TestLogon:
    def test_a_session_begins_and_ends(self, rig: GatewayInProcess) -> None:
        client = rig.client()
        key = rig.ed25519_key(rig.account(**RICH))
        assert client.result("session.status")["apiKey"] is None
        logged_on = client.result("session.logon", **client.signed(key))
        assert (logged_on["apiKey"], logged_on["authorizedSince"]) == (key.id, rig.now_ms)
        assert client.place("BTCKZT", "BUY", "0.01", "50000000")["orderId"] == 1
        ended = client.result("session.logout")
        assert (ended["apiKey"], ended["authorizedSince"]) == (None, None)
        assert client.refusal("account.status", timestamp=rig.now_ms)[0] == -1102

    def test_only_ed25519_keys_log_on(self, rig: GatewayInProcess) -> None:
        client = rig.client()
        refusal = client.refusal("session.logon", **client.signed(rig.hmac_key(rig.account())))
        assert refusal == (-4056, "HMAC_SHA256 API key is not supported.")

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"apiKey": ""}, -1102),
            ({"apiKey": None}, -1102),
            ({"apiKey": "not a key!"}, -2014),
            ({"apiKey": "unknown"}, -2015),
            ({"apiKey": "unknown", "signature": ""}, -1102),
            ({"signature": ""}, -1102),
            ({"signature": "AA=="}, -1022),
        ],
        ids=repr,
    )
    def test_what_is_refused(self, rig: GatewayInProcess, change: dict[str, Any], code: int) -> None:
        client = rig.client()
        params = {**client.signed(rig.ed25519_key(rig.account())), **change}
        assert client.refusal("session.logon", **params)[0] == code

    @pytest.mark.parametrize("is_same_account", [True, False])
    def test_a_logon_with_another_key_ends_what_was_subscribed_under_the_first(
        self, rig: GatewayInProcess, is_same_account: bool
    ) -> None:
        client = rig.trader(**RICH)
        first = client.session.key
        assert first is not None
        client.result("userDataStream.subscribe")
        signed = rig.hmac_key(rig.account())
        client.result("userDataStream.subscribe.signature", **client.signed(signed))
        rig.now_ms += 1
        client.logon(client.key)
        assert client.take() == [], "the same key again changes nothing"
        other = rig.ed25519_key(first.account.number if is_same_account else rig.account())
        client.send({"id": 1, "method": "session.logon", "params": client.signed(other)})
        ended, reply = client.take()
        assert (ended["subscriptionId"], ended["event"]["e"]) == (0, "eventStreamTerminated")
        assert (reply["status"], reply["result"]["apiKey"]) == (200, other.id)
        assert client.result("session.subscriptions") == [{"subscriptionId": 1}], "it has a signature of its own"
        assert first.account.subscriptions == []
        assert not first.sessions

    def test_a_revoked_key_ends_its_sessions(self, rig: GatewayInProcess) -> None:
        client = rig.trader(**RICH)
        client.result("userDataStream.subscribe")
        rig.command(Command(kind=CommandKind.KEY_REVOKE, account=1), client.key.id.encode(), *BY_TEST)
        ended, refused = client.take()
        assert ended["event"]["e"] == "eventStreamTerminated"
        assert (refused["id"], refused["status"], refused["error"]["code"]) == (None, 401, -2015)
        assert client.refusal("account.status", timestamp=rig.now_ms)[0] == -1102
        assert client.refusal("account.status", **client.signed(client.key))[0] == -2015
        rig.deposit(1, "BTC", "1")
        assert client.take() == []


class TestUserDataStream:
    def test_subscriptions_are_numbered_and_end_one_by_one(self, rig: GatewayInProcess) -> None:
        client = rig.trader(**RICH)
        other = rig.hmac_key(rig.account())
        assert client.result("userDataStream.subscribe") == {"subscriptionId": 0}
        assert client.refusal("userDataStream.subscribe")[0] == -2035
        assert client.result("userDataStream.subscribe.signature", **client.signed(other)) == {"subscriptionId": 1}
        assert client.result("session.subscriptions") == [{"subscriptionId": 0}, {"subscriptionId": 1}]
        assert client.refusal("userDataStream.unsubscribe", subscriptionId=7)[0] == -2036
        assert client.result("userDataStream.unsubscribe", subscriptionId=0) == {}
        (ended,) = client.take()
        assert (ended["subscriptionId"], ended["event"]["e"]) == (0, "eventStreamTerminated")
        assert client.result("userDataStream.subscribe") == {"subscriptionId": 2}
        assert client.result("userDataStream.unsubscribe") == {}
        assert client.result("session.subscriptions") == []

    def test_without_a_session_it_is_refused_but_unsubscribing_is_not(self, rig: GatewayInProcess) -> None:
        client = rig.client()
        assert client.refusal("userDataStream.subscribe")[0] == -1193
        assert client.result("userDataStream.unsubscribe") == {}

    def test_a_connection_that_is_gone_hears_nothing(self, rig: GatewayInProcess) -> None:
        client = rig.trader(**RICH)
        client.result("userDataStream.subscribe")
        client.send({"id": 9, "method": "order.place", "params": client.limit("BTCKZT", "BUY", "0.01", "50000000")})
        rig.router.session_ended(client.session)
        rig.turn()
        assert client.frames == []
        assert len(rig.projection.orders) == 1
        assert rig.projection.accounts[1].subscriptions == []
