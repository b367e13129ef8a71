"""Requests of one connection take effect in the order in which they were sent, whatever one of them waits for (promise P8)."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from engine.reasons import Reason
from engine.records import Command, CommandKind
from gateway.dialect.rejects import Reject
from gateway.limits import WAITING_FOR_SECRET_MAX, RateLimitSettings
from tests.worlds.accounts import BY_TEST, HmacKey
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient

RICH = {"BTC": "1000", "KZT": "100000000000"}


@pytest.fixture
def rig() -> GatewayInProcess:
    rig = GatewayInProcess()
    rig.answers_secrets = False
    return rig


def trader_and_new_key(rig: GatewayInProcess) -> tuple[InProcessClient, HmacKey]:
    """A session that is logged on, and an HMAC key of the same account whose secret was never needed."""
    account = rig.account(**RICH)
    return rig.trader_of(account), rig.hmac_key(account)


def frame(id: int, method: str, params: dict[str, Any]) -> bytes:
    return json.dumps({"id": id, "method": method, "params": params}).encode()


def signed_order(client: InProcessClient, key: HmacKey, name: str) -> dict[str, Any]:
    return client.signed(key, **client.limit("BTCKZT", "BUY", "0.01", "50000000"), newClientOrderId=name)


def cancel(client: InProcessClient, name: str) -> dict[str, Any]:
    return {"symbol": "BTCKZT", "origClientOrderId": name, "timestamp": client.rig.now_ms}


def outcomes(client: InProcessClient) -> list[tuple[int, int]]:
    return [(reply["id"], reply["status"]) for reply in client.take()]


@pytest.mark.parametrize("in_one_read", [True, False])
def test_a_cancel_does_not_overtake_the_order_that_waits_for_a_secret(rig: GatewayInProcess, in_one_read: bool) -> None:
    client, key = trader_and_new_key(rig)
    messages = [
        frame(1, "order.place", signed_order(client, key, "mine")),
        frame(2, "order.cancel", cancel(client, "mine")),
    ]
    for read in [messages] if in_one_read else [[message] for message in messages]:
        client.deliver(*read)
    assert rig.turn() == 0
    assert client.take() == []
    assert not client.is_reading, "what comes next waits in the network"
    rig.send_secrets()
    rig.turn()
    assert client.is_reading
    assert outcomes(client) == [(1, 200), (2, 200)]
    assert not rig.projection.orders


@pytest.mark.parametrize("waits_for", ["a secret", "events", "a mark"])
@pytest.mark.parametrize("is_heard_of", [True, False])
def test_nothing_of_a_connection_that_ended_while_it_waited_is_carried_out(
    rig: GatewayInProcess, waits_for: str, is_heard_of: bool
) -> None:
    client, key = trader_and_new_key(rig)
    rig.answers_secrets, rig.has_read_all = waits_for != "a secret", waits_for != "events"
    rig.answers_marks = waits_for != "a mark"
    if waits_for == "events":
        key = HmacKey("tooNew", "secret")
    read = frame(0, "account.status", client.signed(key))
    order = frame(1, "order.place", {**client.limit("BTCKZT", "BUY", "0.01", "50000000")})
    first = read if waits_for == "a mark" else frame(0, "order.place", signed_order(client, key, "mine"))
    rig.router.handle_messages(client.session, [first, order])
    assert (client.take(), rig.turn()) == ([], 0)
    if is_heard_of:
        rig.router.session_ended(client.session)
    else:
        client.has_ended = True
    if waits_for == "events":
        rig.add_hmac_key(1, key)
    rig.catch_up()
    rig.send_secrets()
    rig.send_marks()
    assert (client.take(), rig.turn()) == ([], 0)
    assert not rig.projection.orders


def test_a_key_that_the_gateway_has_not_read_yet_is_waited_for(rig: GatewayInProcess) -> None:
    client, _ = trader_and_new_key(rig)
    rig.has_read_all = False
    key = HmacKey("tooNew", "secret")
    client.deliver(
        frame(1, "order.place", signed_order(client, key, "mine")), frame(2, "order.cancel", cancel(client, "mine"))
    )
    assert rig.turn() == 0
    rig.add_hmac_key(client.session.key.account.number, key)  # type: ignore[union-attr]
    rig.catch_up()
    assert (client.take(), rig.turn()) == ([], 0), "now it waits for the secret"
    rig.send_secrets()
    rig.turn()
    assert outcomes(client) == [(1, 200), (2, 200)]


def test_a_key_that_nobody_has_added_is_refused_once_all_is_read(rig: GatewayInProcess) -> None:
    client, _ = trader_and_new_key(rig)
    rig.has_read_all = False
    client.send(json.loads(frame(1, "order.place", signed_order(client, HmacKey("nobody", "x"), "mine"))))
    client.send({"id": 2, "method": "ping"})
    assert client.take() == []
    rig.catch_up()
    assert outcomes(client) == [(1, 401), (2, 200)]


def test_without_a_secret_the_request_is_refused_and_the_next_one_goes_on(rig: GatewayInProcess) -> None:
    client, key = trader_and_new_key(rig)
    del rig.secrets[key.id]
    for id in (1, 2):
        client.send({"id": id, "method": "order.place", "params": signed_order(client, key, f"mine{id}")})
    client.send({"id": 3, "method": "openOrders.status", "params": {"timestamp": rig.now_ms}})
    rig.send_secrets(Reject(Reason.UNAVAILABLE))
    assert outcomes(client) == [(1, 500)]
    rig.send_secrets(Reject(Reason.UNAVAILABLE))
    assert outcomes(client) == [(2, 500), (3, 200)]


def test_a_request_that_waited_is_judged_by_the_time_at_which_it_goes_on(rig: GatewayInProcess) -> None:
    client, key = trader_and_new_key(rig)
    client.send({"id": 1, "method": "order.place", "params": signed_order(client, key, "mine")})
    rig.now_ms += 5001
    rig.send_secrets()
    (reply,) = client.take()
    assert reply["error"]["code"] == -1021


def test_a_key_that_is_revoked_meanwhile_is_refused(rig: GatewayInProcess) -> None:
    client, key = trader_and_new_key(rig)
    client.send({"id": 1, "method": "order.place", "params": signed_order(client, key, "mine")})
    account = client.session.key.account.number  # type: ignore[union-attr]
    rig.command(Command(kind=CommandKind.KEY_REVOKE, account=account), key.id.encode(), *BY_TEST)
    rig.send_secrets()
    (reply,) = client.take()
    assert reply["error"]["code"] == -2015
    assert rig.turn() == 0


def test_a_client_that_goes_while_it_waits_leaves_nothing_behind(rig: GatewayInProcess) -> None:
    client, key = trader_and_new_key(rig)
    client.send({"id": 1, "method": "order.place", "params": signed_order(client, key, "mine")})
    rig.router.session_ended(client.session)
    rig.send_secrets()
    assert (client.frames, rig.turn()) == ([], 0)


def test_a_request_that_waits_is_weighed_once() -> None:
    rig = GatewayInProcess(RateLimitSettings(weight_per_minute=22))
    rig.answers_secrets = False
    client = rig.client()
    key = rig.hmac_key(rig.account(**RICH))
    client.send({"id": 1, "method": "account.status", "params": client.signed(key)})
    rig.send_secrets()
    client.send({"id": 2, "method": "ping"})
    client.send({"id": 3, "method": "session.status"})
    assert outcomes(client) == [(1, 200), (2, 200), (3, 429)]


def test_more_connections_than_may_wait_for_a_secret_are_refused(rig: GatewayInProcess) -> None:
    key = rig.hmac_key(rig.account(**RICH))
    clients = [rig.client() for _ in range(WAITING_FOR_SECRET_MAX + 1)]
    for client in clients:
        client.send({"id": 1, "method": "account.status", "params": client.signed(key)})
    assert [len(client.frames) for client in clients] == [0] * WAITING_FOR_SECRET_MAX + [1]
    (reply,) = clients[-1].take()
    assert reply["error"]["code"] == -1008
    assert len(rig.secrets_asked) == 1
    rig.send_secrets()
    assert {outcomes(client)[0] for client in clients[:-1]} == {(1, 200)}


@pytest.mark.parametrize("seed", range(20))
def test_whatever_waits_for_whatever_commands_keep_their_order(seed: int) -> None:
    """Each order is followed by its cancel, signed by keys at random, over reads of any size, while secrets come at any time."""
    pick = random.Random(seed)
    rig = GatewayInProcess()
    rig.answers_secrets = False
    account = rig.account(**RICH)
    client = rig.trader_of(account)
    keys = [rig.hmac_key(account) for _ in range(6)]
    messages = []
    for index in range(40):
        for number, params in enumerate(
            (
                client.limit("BTCKZT", "BUY", "0.01", "50000000", newClientOrderId=f"x{index}"),
                cancel(client, f"x{index}"),
            )
        ):
            if pick.random() < 0.5:
                params = client.signed(pick.choice(keys), **params)
            messages.append(frame(2 * index + number, ("order.place", "order.cancel")[number], params))
    received: list[tuple[int, int]] = []
    sent = 0
    while len(received) < len(messages):
        if client.is_reading:
            read = messages[sent : sent + pick.randint(1, 7)]
            client.deliver(*read)
            sent += len(read)
        if pick.random() < 0.5 or sent == len(messages):
            rig.send_secrets()
        if pick.random() < 0.5 or sent == len(messages):
            rig.turn()
        received += outcomes(client)
    assert received == [(id, 200) for id in range(len(messages))], f"seed {seed}"
    assert not rig.projection.orders
