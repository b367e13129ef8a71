"""A signature opens one door, once, however often and wherever its frame is sent (promise P14)."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from engine.journal import EntryId, Mark
from engine.reasons import Reason
from engine.records import Command, CommandKind
from gateway.auth.replay_guard import ReplayGuard
from gateway.dialect.rejects import Reject, Rejected
from gateway.handlers.call import Route
from gateway.handlers.routes import ROUTES
from tests.worlds.accounts import BY_TEST, Ed25519Key, HmacKey
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


# -- one door, once

ASKS = {
    "account.status": "reads",
    "openOrders.status": "reads",
    "myTrades": "reads",
    "order.status": "reads",
    "session.logon": "opens",
    "userDataStream.subscribe.signature": "opens",
    "order.place": "commands",
    "order.cancel": "commands",
    "openOrders.cancelAll": "commands",
}
"""What each signed method does. The rows of `ROUTES` are compared with it."""

USED = (-1022, "Signature for this request is not valid: it was used before. Sign each request with a timestamp of its own.")  # fmt: skip


def test_every_method_that_takes_a_signature_is_in_the_table() -> None:
    def does(route: Route) -> str:
        return "commands" if route.counts_orders or route.cancels else "opens" if route.opens else "reads"

    assert {name: does(route) for name, route in ROUTES.items() if route.needs is not None} == ASKS


def everything(rig: GatewayInProcess, key: Ed25519Key | HmacKey) -> dict[str, Any]:
    """Signed parameters that every method takes. An order 1 is open, which they name."""
    client = rig.client()
    maker = client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "40000000"))
    assert client.result("order.place", **maker)["orderId"] == 1
    return client.signed(key, **client.limit("BTCKZT", "BUY", "0.02", "50000000"), orderId=1)


@pytest.mark.parametrize("is_other_gateway", [False, True], ids=["here", "elsewhere"])
@pytest.mark.parametrize("second", ASKS)
@pytest.mark.parametrize("first", ASKS)
def test_a_signature_that_was_accepted_for_a_method_opens_nothing_else(
    rig: GatewayInProcess, first: str, second: str, is_other_gateway: bool
) -> None:
    key = rig.ed25519_key(rig.account(**RICH))
    params = everything(rig, key)
    assert rig.client().ask(first, **params)["status"] == 200
    if is_other_gateway:
        # Another gateway, or this one after it was started again, knows only what is in the store.
        rig.state.replays = ReplayGuard()
    before = rig.core.state_hash()
    thief = rig.client()
    if ASKS[first] == "reads" and first == second:
        thief.result(second, **params)
    else:
        refusal = thief.refusal(second, **params)
        if is_other_gateway and {ROUTES[first].cancels, ROUTES[second].cancels} == {True}:
            # The first has left nothing to cancel, so the second gateway refuses it before the store sees its mark.
            assert refusal == (-2011, "Unknown order sent.")
        else:
            assert refusal == ((-2010, "Duplicate order sent.") if second == "order.place" else USED)
    assert rig.core.state_hash() == before
    assert thief.session.key is None
    assert thief.session.subscriptions == {}


def test_the_same_frame_to_two_gateways_at_once_is_carried_out_once() -> None:
    marks: dict[str, str] = {}
    rigs = [GatewayInProcess(marks=marks) for _ in range(2)]
    key = HmacKey("theKey", "secret")
    for rig in rigs:
        rig.add_hmac_key(rig.account(**RICH), key)
    clients = [rig.client() for rig in rigs]
    params = clients[0].signed(key, **clients[0].limit("BTCKZT", "BUY", "0.01", "50000000"))
    for client in clients:
        client.send({"id": 1, "method": "order.place", "params": params})
    for rig in rigs:
        rig.turn()
    replies = [client.take()[0] for client in clients]
    assert [reply["status"] for reply in replies] == [200, 400]
    assert replies[1]["error"] == {"code": -2010, "msg": "Duplicate order sent."}
    assert [len(rig.projection.orders) for rig in rigs] == [1, 0]


def test_a_copy_is_taken_out_of_its_batch_and_the_rest_goes_on(rig: GatewayInProcess) -> None:
    key = rig.hmac_key(rig.account(**RICH))
    trader, client = rig.trader(**RICH), rig.client()
    copies = [client.signed(key, **client.limit("BTCKZT", "BUY", f"0.0{n}", "50000000")) for n in range(1, 4)]
    client.result("order.place", **copies[0])
    client.result("order.place", **copies[2])
    rig.state.replays = ReplayGuard()
    for id, params in enumerate(copies):
        client.send({"id": id, "method": "order.place", "params": params})
        trader.send({"id": id, "method": "order.place", "params": trader.limit("BTCKZT", "BUY", "0.01", "49999000")})
    assert rig.turn() == 1
    assert {reply["id"]: reply["status"] for reply in client.take()} == {0: 400, 1: 200, 2: 400}
    assert [reply["status"] for reply in trader.take()] == [200, 200, 200]


def test_two_sessions_that_bring_one_logon_in_one_turn_are_not_both_logged_on(rig: GatewayInProcess) -> None:
    rig.answers_marks = False
    key = rig.ed25519_key(rig.account())
    clients = [rig.client(), rig.client()]
    params = clients[0].signed(key)
    for client in clients:
        client.send({"id": 1, "method": "session.logon", "params": params})
        client.send({"id": 2, "method": "session.status"})
        assert client.take() == [], "what is behind it waits as well"
    rig.send_marks()
    assert [[reply["status"] for reply in client.take()] for client in clients] == [[200, 200], [400, 200]]
    assert [client.session.key is None for client in clients] == [False, True]


@pytest.mark.parametrize("method", [name for name, does in ASKS.items() if does != "commands"])
def test_without_the_store_nothing_is_let_through(rig: GatewayInProcess, method: str) -> None:
    rig.answers_marks = False
    params = everything(rig, rig.ed25519_key(rig.account(**RICH)))
    client = rig.client()
    client.send({"id": 1, "method": method, "params": params})
    rig.send_marks(Reject(Reason.UNAVAILABLE))
    (reply,) = client.take()
    assert (reply["status"], reply["error"]["code"]) == (500, -1001)
    assert client.session.key is None


def test_a_key_that_is_revoked_while_its_request_waits_opens_nothing(rig: GatewayInProcess) -> None:
    rig.answers_marks = False
    account = rig.account()
    key, client = rig.ed25519_key(account), rig.client()
    client.send({"id": 1, "method": "session.logon", "params": client.signed(key)})
    rig.command(Command(kind=CommandKind.KEY_REVOKE, account=account), key.id.encode(), *BY_TEST)
    rig.send_marks()
    (reply,) = client.take()
    assert (reply["status"], reply["error"]["code"]) == (401, -2015)
    assert client.session.key is None


def test_a_request_of_a_connection_that_has_ended_meanwhile_is_not_carried_out(rig: GatewayInProcess) -> None:
    rig.answers_marks = False
    key, client = rig.ed25519_key(rig.account()), rig.client()
    client.send({"id": 1, "method": "userDataStream.subscribe.signature", "params": client.signed(key)})
    rig.router.session_ended(client.session)
    rig.send_marks()
    assert client.take() == []
    assert client.session.subscriptions == {}


def test_an_order_that_was_refused_before_the_journal_may_be_sent_again_elsewhere(rig: GatewayInProcess) -> None:
    client, key = rig.client(), rig.hmac_key(rig.account(**RICH))
    params = client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "50000000"))
    rig.state.is_store_full = True
    assert client.refusal("order.place", **params)[0] == -1008
    assert rig.marks == {}
    rig.state.is_store_full = False
    assert client.result("order.place", **params)["status"] == "NEW"
    assert list(rig.marks.values()) == ["order.place"]


def test_a_logged_on_session_leaves_no_marks(rig: GatewayInProcess) -> None:
    trader = rig.trader(**RICH)
    rig.marks.clear()
    trader.place("BTCKZT", "BUY", "0.01", "50000000")
    trader.result("account.status", timestamp=rig.now_ms)
    assert rig.marks == {}


# -- what the gateway keeps itself


def a_mark(name: str, *, key: str = "key") -> Mark:
    return Mark(key, name, "order.place", 1)


def is_admitted(guard: ReplayGuard, mark: Mark) -> bool:
    try:
        guard.admit(mark)
    except Rejected:
        return False
    return True


def test_a_key_pushes_out_its_own_and_no_others() -> None:
    guard = ReplayGuard(size_max=100, share_max=3)
    assert is_admitted(guard, a_mark("quiet", key="other"))
    for number in range(1000):
        assert is_admitted(guard, a_mark(f"n{number}")), "nothing is refused for want of room"
    assert not is_admitted(guard, a_mark("quiet", key="other"))
    assert [is_admitted(guard, a_mark(f"n{number}")) for number in (999, 998, 997, 996)] == [False, False, False, True]


def test_with_too_many_keys_the_quietest_loses_first() -> None:
    guard = ReplayGuard(size_max=3, share_max=2)
    for key in ("a", "b", "c", "a", "d"):
        assert is_admitted(guard, a_mark(f"{key}{guard._size}", key=key))
    assert {key: list(kept) for key, kept in guard._kept.items()} == {"a": ["a0", "a3"], "d": ["d3"]}
    assert guard._size == 3


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    guard = ReplayGuard()
    assert is_admitted(guard, a_mark("n"))
    for _ in range(2):
        guard.forget(a_mark("n"))
    assert (guard._size, dict(guard._kept)) == (0, {})
    assert is_admitted(guard, a_mark("n"))
