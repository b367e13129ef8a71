from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from engine.journal import EntryId
from engine.records import Command, CommandKind, KeyDefinition, KeyType
from gateway.auth.sessions import (
    Key,
    RateLimits,
    RateLimitSettings,
    ReplayGuard,
    UsageByAddress,
    is_signed_by,
    signature_payload,
)
from gateway.dialect.numbers import NumberToken
from gateway.dialect.requests import Request, read_request
from gateway.view.accounts import Account
from tests.worlds.accounts import BY_TEST, HmacKey
from tests.worlds.gateway_in_process import GatewayInProcess

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SIGNATURE = "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24"
DOCUMENTED = {
    "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
    "price": "52000.00", "recvWindow": 100, "timestamp": 1645423376532, "apiKey": API_KEY, "signature": SIGNATURE,
}  # fmt: skip


def hmac_key(secret: str = SECRET) -> Key:
    key = Key(API_KEY, Account(1), KeyDefinition(KeyType.HMAC_SHA256, 3), b"")
    key.secret = secret.encode()
    return key


def exact_request(frame: str) -> Request:
    request = read_request(frame.encode())
    assert isinstance(request, Request)
    assert request.use_exact_params() is None
    return request


class TestSignature:
    def test_the_documented_vector(self) -> None:
        request = exact_request(json.dumps({"id": 1, "method": "order.place", "params": DOCUMENTED}))
        assert signature_payload(request.params) == (
            f"apiKey={API_KEY}&price=52000.00&quantity=0.01000000&recvWindow=100&side=SELL&symbol=BTCUSDT"
            "&timeInForce=GTC&timestamp=1645423376532&type=LIMIT"
        )
        assert is_signed_by(hmac_key(), request.params)
        assert not is_signed_by(hmac_key("another"), request.params)

    @pytest.mark.parametrize("change", [("price", "52000.01"), ("signature", SIGNATURE.upper()), ("signature", "é"),
                                        ("signature", SIGNATURE[:-1]), ("signature", 5), ("extra", "1"), ("x", [1])])  # fmt: skip
    def test_a_changed_request_does_not_verify(self, change: tuple[str, Any]) -> None:
        params = {**DOCUMENTED, change[0]: change[1]}
        request = exact_request(json.dumps({"id": 1, "method": "order.place", "params": params}))
        assert is_signed_by(hmac_key(), request.params) is (change[1] == SIGNATURE.upper())

    @pytest.mark.parametrize(
        ("sent", "signed"),
        [
            ('"p":0.010', "p=0.010"),
            ('"p":1e-7', "p=1e-7"),
            ('"p":1E5', "p=1E5"),
            ('"p":0.00001', "p=1e-05"),
            ('"p":true', "p=true"),
            ('"p":false', "p=False"),
            ('"p":123456789012345678901234567890', "p=123456789012345678901234567890"),
            ('"p":"a&b=c"', "p=a&b=c"),
            ('"p":"\\u20ac"', "p=€"),
            ('"p":"１２"', "p=１２"),
            ('"b":1,"a":2', "a=2&b=1"),
        ],
    )
    def test_numbers_are_verified_as_they_were_sent(self, sent: str, signed: str) -> None:
        key = HmacKey(API_KEY, SECRET)
        request = exact_request(f'{{"id":1,"method":"m","params":{{{sent},"signature":"{key.sign(signed)}"}}}}')
        assert is_signed_by(hmac_key(), request.params)

    def test_ed25519(self) -> None:
        private_key = Ed25519PrivateKey.generate()
        key = Key("k", Account(1), KeyDefinition(KeyType.ED25519, 3), private_key.public_key().public_bytes_raw())
        good = base64.b64encode(private_key.sign(b"a=1")).decode()
        for signature, verifies in [(good, True), (good[:-4], False), ("!!", False), ("", False), ("é", False)]:
            assert is_signed_by(key, {"a": NumberToken("1"), "signature": signature}) is verifies


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess()


RICH = {"BTC": "10", "KZT": "1000000000"}


class TestSignedRequests:
    def test_hmac_and_ed25519_keys_sign_single_requests(self, rig: GatewayInProcess) -> None:
        account = rig.account(**RICH)
        for key in (rig.hmac_key(account), rig.ed25519_key(account)):
            client = rig.client()
            params = client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "50000000"))
            assert client.result("order.place", **params)["status"] == "NEW"

    def test_a_secret_is_fetched_once_and_requests_wait_for_it(self, rig: GatewayInProcess) -> None:
        rig.answers_secrets = False
        key = rig.hmac_key(rig.account(**RICH))
        client = rig.client()
        for id in (1, 2):
            client.send({"id": id, "method": "account.status", "params": client.signed(key)})
        assert client.take() == []
        (asked,) = rig.secrets_asked
        rig.methods.secret_arrived(asked, rig.secrets[key.id])
        assert [(reply["id"], reply["status"]) for reply in client.take()] == [(1, 200), (2, 200)]

    def test_without_a_secret_a_key_is_refused_and_asked_for_again(self, rig: GatewayInProcess) -> None:
        key = rig.hmac_key(rig.account())
        secret = rig.secrets.pop(key.id)
        client = rig.client()
        assert client.refusal("account.status", **client.signed(key))[0] == -2015
        rig.secrets[key.id] = secret
        assert client.ask("account.status", **client.signed(key))["status"] == 200

    @pytest.mark.parametrize(
        ("change", "status", "code"),
        [
            ({"apiKey": None}, 400, -1102),
            ({"apiKey": ""}, 400, -1102),
            ({"apiKey": "unknown"}, 401, -2015),
            ({"apiKey": "not a key!"}, 401, -2014),
            ({"apiKey": "x" * 65}, 401, -2014),
            ({"signature": None}, 400, -1102),
            ({"signature": "00"}, 400, -1022),
            ({"timestamp": 1}, 400, -1021),
        ],
        ids=repr,
    )
    def test_what_is_refused(self, rig: GatewayInProcess, change: dict[str, Any], status: int, code: int) -> None:
        client = rig.client()
        params = {**client.signed(rig.hmac_key(rig.account())), **change}
        reply = client.ask("account.status", **{name: value for name, value in params.items() if value is not None})
        assert (reply["status"], reply["error"]["code"]) == (status, code)

    def test_a_name_twice_is_refused(self, rig: GatewayInProcess) -> None:
        client = rig.client()
        params = client.signed(rig.hmac_key(rig.account()))
        text = json.dumps({"id": 1, "method": "account.status", "params": params})
        reply = client.ask_frame(text.replace('"apiKey"', '"x":1,"x":2,"apiKey"').encode())
        assert reply["error"]["code"] == -1101

    def test_an_own_signature_overrides_the_session(self, rig: GatewayInProcess) -> None:
        client = rig.trader(**RICH)
        other = rig.account()
        result = client.result("account.status", **client.signed(rig.hmac_key(other)))
        assert result["uid"] == other
        assert client.refusal("account.status", **{**client.signed(rig.hmac_key(other)), "signature": "00"})[0] == -1022

    def test_a_copy_whose_signature_is_written_otherwise_is_still_a_copy(self, rig: GatewayInProcess) -> None:
        client, key = rig.client(), rig.ed25519_key(rig.account(**RICH))
        params = client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "50000000"))
        client.result("order.place", **params)
        signature = params["signature"]
        # The last character before the padding has four bits to spare.
        other = signature[:-3] + chr(ord(signature[-3]) + 1) + "=="
        assert base64.b64decode(other) == base64.b64decode(signature)
        refusal = client.refusal("order.place", **{**params, "signature": other})
        assert refusal == (-2010, "Duplicate order sent.")

    def test_an_order_that_was_not_taken_may_be_sent_again_as_it_is(self, rig: GatewayInProcess) -> None:
        client, key = rig.client(), rig.hmac_key(rig.account(**RICH))
        params = client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "50000000"), recvWindow=60_000)
        # Refused at once, because the engine is silent; then taken back, because it did not leave in time.
        rig.pipeline._is_stalled = True
        assert client.refusal("order.place", **params)[0] == -1008
        rig.pipeline._is_stalled = False
        client.send({"id": 1, "method": "order.place", "params": params})
        rig.now_ms += 10_000
        rig.pipeline.expire(rig.now_ms / 1000)
        (reply,) = client.take()
        assert reply["error"]["code"] == -1008
        assert client.result("order.place", **params)["status"] == "NEW"
        assert client.refusal("order.place", **params) == (-2010, "Duplicate order sent.")

    def test_an_order_whose_outcome_is_unknown_may_not(self, rig: GatewayInProcess) -> None:
        client, key = rig.client(), rig.hmac_key(rig.account(**RICH))
        params = client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "50000000"), recvWindow=60_000)
        client.send({"id": 1, "method": "order.place", "params": params})
        assert rig.pipeline.next_batch(rig.now_ms / 1000, rig.now_ms) is not None
        rig.now_ms += 10_000
        rig.pipeline.expire(rig.now_ms / 1000)
        (reply,) = client.take()
        assert reply["error"]["code"] == -1007
        rig.pipeline.confirmed(EntryId(1, rig.sequence))
        assert client.refusal("order.place", **params)[0] == -2010

    @pytest.mark.parametrize(("offset_ms", "code"), [(-1, -1021), (999, -1021), (1000, None)])
    def test_an_order_that_an_earlier_process_may_have_taken_is_refused(
        self, rig: GatewayInProcess, offset_ms: int, code: int | None
    ) -> None:
        client, key = rig.client(), rig.hmac_key(rig.account(**RICH))
        ended_ms = rig.now_ms
        rig.methods.replays.seen_by_another(ended_ms * 1000)
        rig.now_ms += 1500
        params = client.limit("BTCKZT", "BUY", "0.01", "50000000", timestamp=ended_ms + offset_ms)
        reply = client.ask("order.place", **client.signed(key, **params))
        assert reply.get("error", {}).get("code") == code

    def test_a_copied_order_is_not_carried_out_twice(self, rig: GatewayInProcess) -> None:
        key = rig.hmac_key(rig.account(**RICH))
        client = rig.client()
        params = client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "50000000"), recvWindow=10000)
        assert client.result("order.place", **params)["orderId"] == 1
        copies = [{}, {"signature": params["signature"].upper()}]
        rig.now_ms += 9000
        for change in copies:
            thief = rig.client()
            assert thief.refusal("order.place", **{**params, **change}) == (-2010, "Duplicate order sent.")
        rig.now_ms += 1001
        assert client.refusal("order.place", **params)[0] == -1021
        assert len(rig.projection.orders) == 1


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
        rig.methods.session_ended(client.session)
        rig.turn()
        assert client.frames == []
        assert len(rig.projection.orders) == 1
        assert rig.projection.accounts[1].subscriptions == []


def test_the_replay_guard_is_bounded() -> None:
    guard = ReplayGuard(size_max=3)
    key = hmac_key()

    def admit(signature: str, expires_ms: int, now_ms: int) -> object:
        request = Request(b"", "1", "order.place", {"signature": signature})
        request.expires_ms = expires_ms
        return guard.admit(key, request, now_ms)

    for name in ("aa", "bb", "cc"):
        assert admit(name, 100, 50) is None
    assert admit("dd", 100, 50) is not None
    assert admit("aa", 100, 100) is not None
    assert admit("dd", 200, 101) is None
    assert admit("aa", 200, 101) is None


def test_addresses_that_are_too_many_share_one_count() -> None:
    usages = UsageByAddress(1000, addresses_max=2)
    for ip in "ab":
        usages.of(ip, 0).add(1, 0, 10)
    assert usages.of("c", 0) is usages.of("d", 0) is not usages.of("a", 0)
    assert usages.of("a", 999).count == 1
    usages.of("a", 1000).add(1, 1, 10)
    later = usages.of("c", 1000)
    assert later is usages.of("c", 1000) is not usages.of("d", 1000)
    assert usages.of("a", 1000).count == 1


def test_connections_are_limited_by_address() -> None:
    limits = RateLimits(RateLimitSettings(connections_per_5_min=1))
    outcomes = [
        limits.add_connection(ip, now_ms) is None for ip, now_ms in [("a", 0), ("a", 1), ("b", 1), ("a", 300_000)]
    ]
    assert outcomes == [True, False, True, True]


def test_limits_begin_anew_with_each_interval() -> None:
    limits = RateLimits(RateLimitSettings(weight_per_minute=5, orders_per_10_s=1, orders_per_day=2))
    usage = limits.weight_of("a", 0)
    assert limits.add_weight(usage, 5, 59_999) is None
    assert limits.add_weight(usage, 1, 59_999) is not None
    assert limits.add_weight(usage, 1, 60_000) is None
    account = Account(1)
    orders = limits.orders_of(account)
    outcomes = [limits.add_order(orders, now_ms) is None for now_ms in (0, 1, 10_000, 20_000)]
    assert outcomes == [True, False, True, False]
    limits.first_fill(account)
    assert limits.add_order(orders, 30_000) is None
