"""A signed order is executed once, however often its frame is sent."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from engine.journal import EntryId
from gateway.auth.replay_guard import ReplayGuard
from gateway.dialect.rejects import Rejected
from tests.worlds.gateway_in_process import GatewayInProcess

RICH = {"BTC": "10", "KZT": "1000000000"}


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess()


def test_a_copy_whose_signature_is_written_otherwise_is_still_a_copy(rig: GatewayInProcess) -> None:
    client, key = rig.client(), rig.ed25519_key(rig.account(**RICH))
    params = client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "50000000"))
    client.result("order.place", **params)
    signature = params["signature"]
    # The last character before the padding has four bits to spare.
    other = signature[:-3] + chr(ord(signature[-3]) + 1) + "=="
    assert base64.b64decode(other) == base64.b64decode(signature)
    refusal = client.refusal("order.place", **{**params, "signature": other})
    assert refusal == (-2010, "Duplicate order sent.")


def test_an_order_that_was_not_taken_may_be_sent_again_as_it_is(rig: GatewayInProcess) -> None:
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


def test_an_order_whose_outcome_is_unknown_may_not(rig: GatewayInProcess) -> None:
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
    rig: GatewayInProcess, offset_ms: int, code: int | None
) -> None:
    client, key = rig.client(), rig.hmac_key(rig.account(**RICH))
    ended_ms = rig.now_ms
    rig.state.replays.seen_by_another(ended_ms * 1000)
    rig.now_ms += 1500
    params = client.limit("BTCKZT", "BUY", "0.01", "50000000", timestamp=ended_ms + offset_ms)
    reply = client.ask("order.place", **client.signed(key, **params))
    assert reply.get("error", {}).get("code") == code


def test_a_copied_order_is_not_carried_out_twice(rig: GatewayInProcess) -> None:
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


def is_taken(judge: Callable[[], None]) -> bool:
    """Whether a judge lets something pass."""
    try:
        judge()
    except Rejected:
        return False
    return True


def test_the_replay_guard_is_bounded() -> None:
    guard = ReplayGuard(size_max=3)

    def admits(name: bytes, expires_ms: int, now_ms: int) -> bool:
        return is_taken(lambda: guard.admit(("key", name), 0, expires_ms, now_ms))

    for name in (b"a", b"b", b"c"):
        assert admits(name, 100, 50)
    assert not admits(b"d", 100, 50)
    assert not admits(b"a", 100, 100)
    assert admits(b"d", 200, 101)
    assert admits(b"a", 200, 101)
