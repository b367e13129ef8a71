"""Who may send what to the engine: over the whole gateway but its sockets, with the reference engine behind it."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from engine.journal import BEGINNING, Opening
from engine.reasons import Reason
from engine.records import Command, CommandKind, EventEntry, EventKind
from gateway.limits import FILL_OR_KILL_REFUSALS, PipelineLimits, RateLimitSettings
from tests.worlds.accounts import BY_TEST
from tests.worlds.gateway_in_process import GatewayInProcess, InProcessClient

RICH = {"BTC": "1000", "KZT": "100000000000"}
PRICE = "50000000"
BUDGET = 10


@pytest.fixture
def rig() -> GatewayInProcess:
    return GatewayInProcess(RateLimitSettings(refusals_per_10_s=BUDGET, orders_per_10_s=10**6))


def order(client: InProcessClient, quantity: str = "0.01", price: str = PRICE, **changes: Any) -> dict[str, Any]:
    return {**client.limit("BTCKZT", "BUY", quantity, price), **changes}


def frame(id: int, method: str, params: dict[str, Any]) -> bytes:
    return json.dumps({"id": id, "method": method, "params": params}).encode()


def place(id: int, params: dict[str, Any]) -> bytes:
    return frame(id, "order.place", params)


def cancel(client: InProcessClient, id: int, **name: Any) -> bytes:
    return frame(id, "order.cancel", {"symbol": "BTCKZT", "timestamp": client.rig.now_ms, **name})


def send(client: InProcessClient, *messages: bytes) -> None:
    """All messages in one read."""
    client.deliver(*messages)


def journalled_refusals(rig: GatewayInProcess) -> int:
    return sum(event.kind == EventKind.REJECTED for entry in rig.published for event in EventEntry(entry.data))


def outcomes(client: InProcessClient) -> list[tuple[int, int]]:
    """(id, 200 or the code) of what came since the last call."""
    return [(reply["id"], reply.get("error", {}).get("code", 200)) for reply in client.take()]


# -- what is refused here


def test_an_account_without_money_journals_nothing_and_counts_every_order(rig: GatewayInProcess) -> None:
    poor = rig.trader()
    entries = len(rig.published)
    send(poor, *(place(id, order(poor)) for id in range(100)))
    assert rig.turn() == 0
    replies = poor.take()
    assert [reply["id"] for reply in replies] == list(range(100))
    assert {reply["error"]["code"] for reply in replies} == {-2010}
    assert replies[-1]["rateLimits"][0]["count"] == 100
    assert len(rig.published) == entries
    assert rig.refused_here == [(poor.session.key.account.number, Reason.INSUFFICIENT_FUNDS)] * 100  # type: ignore[union-attr]


def test_the_answer_is_the_one_that_the_engine_would_have_caused(rig: GatewayInProcess) -> None:
    """Word for word, with its rate limits: one client is refused by the gateway, the other, with an order on its way, by the engine."""
    here, there = rig.trader(KZT="500000"), rig.trader(KZT="500000")
    send(here, place(1, order(here)))
    rig.turn()
    send(there, place(1, order(there)), place(2, order(there)))
    rig.turn()
    send(here, place(2, order(here)))
    rig.turn()
    by_gateway, by_engine = here.take()[-1], there.take()[-1]
    assert by_gateway["error"]["code"] == -2010
    assert by_gateway["error"] == by_engine["error"]
    assert by_gateway["rateLimits"][:2] == by_engine["rateLimits"][:2]
    assert (len(rig.refused_here), journalled_refusals(rig)) == (1, 1)


def test_what_somebody_has_seen_is_read_before_a_refusal(rig: GatewayInProcess) -> None:
    rig.has_read_all = False
    client = rig.trader()
    send(client, place(1, order(client)), frame(2, "ping", {}))
    assert (rig.turn(), client.take()) == (0, [])
    assert not client.is_reading
    rig.deposit(client.session.key.account.number, "KZT", "500000")  # type: ignore[union-attr]
    rig.catch_up()
    rig.turn()
    assert sorted(outcomes(client)) == [(1, 200), (2, 200)]


def test_while_the_store_is_away_nothing_is_judged(rig: GatewayInProcess) -> None:
    rig.has_read_all = False
    client = rig.trader()
    send(client, place(1, order(client)))
    rig.catch_up(has_caught_up=False)
    rig.commands.on_time()
    assert client.take() == []
    rig.catch_up(has_caught_up=True)
    assert outcomes(client) == [(1, -2010)]


def test_a_request_waits_as_long_as_its_own_window_and_no_longer_than_an_answer_may_take(rig: GatewayInProcess) -> None:
    rig.has_read_all = False
    brief, patient = rig.trader(), rig.trader()
    send(brief, place(1, order(brief, recvWindow=2000)))
    send(patient, place(2, order(patient, recvWindow=60_000)), frame(3, "ping", {}))
    rig.now_ms += 2001
    rig.commands.on_time()
    assert (outcomes(brief), outcomes(patient)) == ([(1, -1021)], [])
    rig.now_ms += int(PipelineLimits().answer_timeout_s * 1000)
    rig.commands.on_time()
    assert outcomes(patient) == [(2, -1008), (3, 200)]
    rig.catch_up()
    assert (outcomes(brief), outcomes(patient)) == ([], [])


def test_who_goes_while_it_waits_is_forgotten(rig: GatewayInProcess) -> None:
    rig.has_read_all = False
    client = rig.trader()
    send(client, place(1, order(client)))
    rig.router.session_ended(client.session)
    rig.catch_up()
    rig.now_ms += 60_000
    rig.commands.on_time()
    assert (client.frames, rig.turn(), rig.refused_here) == ([], 0, [])


def test_a_key_that_is_revoked_while_its_order_waits_places_nothing(rig: GatewayInProcess) -> None:
    rig.has_read_all = False
    client = rig.trader()
    key = client.session.key
    assert key is not None
    send(client, place(1, order(client)))
    rig.deposit(key.account.number, "KZT", "500000")
    rig.command(Command(kind=CommandKind.KEY_REVOKE, account=key.account.number), key.id.encode(), *BY_TEST)
    rig.catch_up()
    assert rig.turn() == 0
    assert (1, -2015) in outcomes(client)


def test_cancels_that_were_too_late_cost_nothing(rig: GatewayInProcess) -> None:
    """Another account fills the orders while their cancels are on their way; the maker goes on as before."""
    maker, other = rig.trader(**RICH), rig.trader(**RICH)
    orders = [maker.place("BTCKZT", "SELL", "0.01", PRICE) for _ in range(5 * BUDGET)]
    send(other, place(1, order(other, quantity="0.5")))
    send(maker, *(cancel(maker, id, orderId=placed["orderId"]) for id, placed in enumerate(orders)))
    rig.turn()
    assert {code for _, code in outcomes(maker)} == {-2011}
    assert maker.session.key.account.on_the_way.refusals_spent == 0  # type: ignore[union-attr]


def test_an_account_owes_no_more_than_its_budget(rig: GatewayInProcess) -> None:
    """Another account's order comes before its makers, and all of them fail."""
    maker, other = rig.trader(**RICH), rig.trader(**RICH)
    send(other, place(1, order(other)))
    fields = {"symbol": "BTCKZT", "side": "SELL", "type": "LIMIT_MAKER", "quantity": "0.01", "price": PRICE}
    make = [frame(id, "order.place", {**fields, "timestamp": rig.now_ms}) for id in range(5 * BUDGET)]
    send(maker, *make)
    rig.turn()
    assert {code for _, code in outcomes(maker)} == {-2010}
    rig.now_ms += 1000 * 10 // BUDGET
    free = {**fields, "price": str(2 * int(PRICE)), "timestamp": rig.now_ms}
    send(maker, frame(1, "order.place", free))
    rig.turn()
    assert outcomes(maker) == [(1, 200)]


def test_a_key_that_expires_while_its_order_waits_places_nothing(rig: GatewayInProcess) -> None:
    rig.has_read_all = False
    account = rig.account()
    key, client = rig.ed25519_key(account, expiry_us=(rig.now_ms + 1000) * 1000), rig.client()
    client.logon(key)
    send(client, place(1, order(client)))
    rig.deposit(account, "KZT", "500000")
    rig.now_ms += 1000
    rig.catch_up()
    assert (rig.turn(), outcomes(client)) == (0, [(1, -2015)])


# -- what is on its way


def test_a_market_maker_cancels_and_places_in_one_breath(rig: GatewayInProcess) -> None:
    """All its funds are held, so each new order fits only once the cancel before it is executed."""
    maker = rig.trader(KZT="500000")
    send(maker, place(0, order(maker, newClientOrderId="n0")))
    rig.turn()
    messages = []
    for turn in range(1, 20):
        messages += [
            cancel(maker, 2 * turn, origClientOrderId=f"n{turn - 1}"),
            place(2 * turn + 1, order(maker, newClientOrderId=f"n{turn}")),
        ]
    send(maker, *messages)
    rig.turn()
    assert [code for _, code in outcomes(maker)] == [200] * 39
    assert journalled_refusals(rig) == 0
    assert maker.session.key.account.on_the_way.refusals_spent == 0  # type: ignore[union-attr]


def test_orders_and_their_cancels_may_follow_each_other_without_an_answer(rig: GatewayInProcess) -> None:
    client = rig.trader(**RICH)
    messages = []
    for number in range(5 * BUDGET):
        messages += [
            place(2 * number, order(client, newClientOrderId=f"n{number}")),
            cancel(client, 2 * number + 1, origClientOrderId=f"n{number}"),
        ]
    send(client, *messages)
    assert client.session.waiting == len(messages), "none of them waits for another"
    rig.turn()
    assert outcomes(client) == [(id, 200) for id in range(len(messages))]


@pytest.mark.parametrize(
    "attack",
    [
        # An account that can afford one order sends many in one read; one open order is cancelled many times, …
        pytest.param(lambda client, id: place(id, order(client)), id="orders for the same money"),
        pytest.param(lambda client, id: cancel(client, id, orderId=1), id="cancels of the same order"),
        pytest.param(
            lambda client, id: frame(id, "openOrders.cancelAll", {"symbol": "BTCKZT", "timestamp": client.rig.now_ms}),
            id="cancels of all",
        ),
        pytest.param(lambda client, id: cancel(client, id, orderId=10**6 + id), id="cancels of nothing"),
        pytest.param(
            lambda client, id: (
                cancel(client, id, origClientOrderId="new")
                if id % 100
                else place(id, order(client, quantity="0.001", newClientOrderId="new"))
            ),
            id="cancels of an order on its way",
        ),
        pytest.param(
            lambda client, id: (
                cancel(client, id, origClientOrderId=f"n{id - 1}")
                if id % 2
                else place(id, order(client, quantity="0.00001", price="60000000", newClientOrderId=f"n{id}"))
            ),
            id="cancels of orders that are filled at once",
        ),
        pytest.param(
            lambda client, id: place(id, order(client, quantity="0.0001", newClientOrderId="same")), id="one name"
        ),
        pytest.param(
            lambda client, id: frame(
                id, "order.place",
                {"symbol": "BTCKZT", "side": "SELL", "type": "MARKET", "quantity": "2", "timestamp": client.rig.now_ms},
            ),
            id="market orders",
        ),
        pytest.param(
            lambda client, id: frame(
                id, "order.place",
                {"symbol": "BTCKZT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.0001", "price": "60000000",
                 "timestamp": client.rig.now_ms},
            ),
            id="makers that would take",
        ),
    ],
)  # fmt: skip
def test_however_it_is_tried_no_more_is_journalled_than_the_budget(rig: GatewayInProcess, attack: Any) -> None:
    other = rig.trader(**RICH)
    other.place("BTCKZT", "SELL", "1", "60000000")
    other.place("BTCKZT", "BUY", "1", "30000000")
    attacker = rig.trader(KZT="1000000", BTC="1")
    attacker.place("BTCKZT", "BUY", "0.01", "40000000")
    sessions = [attacker, *(rig.trader_of(attacker.session.key.account.number) for _ in range(2))]  # type: ignore[union-attr]
    for round in range(5):
        for number, client in enumerate(sessions):
            if client.is_reading:
                send(client, *(attack(client, 1000 * round + 100 * number + index) for index in range(100)))
        rig.turn()
        rig.commands.on_time()
        assert other.result("ping") == {}, "others are served"
    assert journalled_refusals(rig) <= BUDGET


def test_expired_fill_or_kill_orders_cost_their_sender(rig: GatewayInProcess) -> None:
    client = rig.trader(**RICH)
    result = client.result("order.place", **order(client, timeInForce="FOK"))
    assert result["status"] == "EXPIRED"
    assert client.session.key.account.on_the_way.refusals_spent == min(BUDGET, FILL_OR_KILL_REFUSALS)  # type: ignore[union-attr]
    send(client, place(1, order(client, timeInForce="FOK")))
    assert (rig.turn(), client.take(), client.is_reading) == (0, [], False)
    rig.now_ms += 10_000
    rig.commands.on_time()
    assert outcomes(client) == [(1, -1021)], "its own window was shorter"


def test_market_orders_in_an_empty_book_cost_even_who_has_nothing(rig: GatewayInProcess) -> None:
    """They cost no money, so the engine accepts them; each leaves three records in the store for ever."""
    poor = rig.trader()
    buy = {"symbol": "BTCKZT", "side": "BUY", "type": "MARKET", "quantity": "1", "timestamp": rig.now_ms}
    send(poor, *(frame(id, "order.place", buy) for id in range(100)))
    entries = len(rig.published)
    rig.turn()
    assert outcomes(poor) == [(id, 200) for id in range(BUDGET)]
    assert len(rig.published) <= entries + BUDGET


def test_a_budget_that_an_order_gives_back_serves_the_next_at_once(rig: GatewayInProcess) -> None:
    rig.trader(**RICH).place("BTCKZT", "SELL", "5", PRICE)
    client = rig.trader(**RICH)
    buy = {"symbol": "BTCKZT", "side": "BUY", "type": "MARKET", "quantity": "0.01", "timestamp": rig.now_ms}
    send(client, *(frame(id, "order.place", buy) for id in range(4 * BUDGET)))
    rig.turn()
    assert outcomes(client) == [(id, 200) for id in range(4 * BUDGET)]


def test_a_filled_one_costs_nothing(rig: GatewayInProcess) -> None:
    other, client = rig.trader(**RICH), rig.trader(**RICH)
    for _ in range(BUDGET):
        other.place("BTCKZT", "SELL", "0.01", PRICE)
        assert client.result("order.place", **order(client, timeInForce="FOK"))["status"] == "FILLED"
    assert client.session.key.account.on_the_way.refusals_spent == 0  # type: ignore[union-attr]


def test_a_budget_comes_back_evenly(rig: GatewayInProcess) -> None:
    client = rig.trader(BTC="1")
    rig.trader(**RICH).place("BTCKZT", "BUY", "5", PRICE)
    sell = {"symbol": "BTCKZT", "side": "SELL", "type": "MARKET", "quantity": "2", "recvWindow": 60_000}
    send(client, *(frame(id, "order.place", {**sell, "timestamp": rig.now_ms}) for id in range(BUDGET + 3)))
    rig.turn()
    assert len(client.take()) == BUDGET
    for _ in range(3):
        rig.now_ms += 1000
        rig.commands.on_time()
        rig.turn()
        assert len(client.take()) == 1
    assert client.is_reading


def test_what_was_told_unknown_is_on_its_way_until_its_event_comes(rig: GatewayInProcess) -> None:
    client = rig.trader(KZT="500000")
    send(client, place(1, order(client, newClientOrderId="mine")))
    batch = rig.pipeline.next_batch(rig.now_ms / 1000, rig.now_ms)
    assert batch is not None
    rig.now_ms += 11_000
    rig.pipeline.expire(rig.now_ms / 1000)
    assert outcomes(client) == [(1, -1007)]
    # The order may yet be executed, so its cancel is not refused here.
    send(client, cancel(client, 2, origClientOrderId="mine"))
    assert client.take() == []
    assert client.session.key.account.on_the_way.commands == 2  # type: ignore[union-attr]
    data = batch.data
    rig.pipeline.confirmed(rig.next_id())
    rig.execute(data)
    rig.turn()
    assert outcomes(client) == [(2, 200)]
    assert client.session.key.account.on_the_way.commands == 0  # type: ignore[union-attr]
    assert client.session.waiting == 0


def test_what_the_store_never_added_is_not_on_its_way_any_more(rig: GatewayInProcess) -> None:
    client = rig.trader(KZT="500000")
    send(client, place(1, order(client, newClientOrderId="mine")))
    assert rig.pipeline.next_batch(rig.now_ms / 1000, rig.now_ms) is not None
    rig.now_ms += 11_000
    rig.pipeline.expire(rig.now_ms / 1000)
    assert outcomes(client) == [(1, -1007)]
    rig.pipeline.lost()
    rig.pipeline.opened(Opening(2, 1, 0, BEGINNING))
    send(client, cancel(client, 2, origClientOrderId="mine"))
    assert (rig.turn(), outcomes(client)) == (0, [(2, -2011)])


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_sent_everything_is_counted_out_again(seed: int) -> None:
    """Random orders and cancels of accounts that are short of money, over reads of any size: each is answered once, in the
    order of its connection where it is refused or executed in one place, and nothing stays on its way."""
    pick = random.Random(seed)
    rig = GatewayInProcess(RateLimitSettings(refusals_per_10_s=30, orders_per_10_s=10**6))
    clients = [rig.trader(KZT="2000000", BTC="0.05") for _ in range(3)]
    sent = [0] * len(clients)
    answered: list[list[int]] = [[] for _ in clients]
    for _ in range(60):
        number = pick.randrange(len(clients))
        client = clients[number]
        if client.is_reading:
            messages = []
            for _ in range(pick.randint(1, 8)):
                sent[number] += 1
                kind = pick.choice(("GTC", "GTC", "IOC", "FOK", "cancel", "all", "name"))
                side = pick.choice(("BUY", "SELL"))
                terms = {"side": side, "timeInForce": kind, "newClientOrderId": f"c{pick.randrange(5)}"}
                if kind == "all":
                    messages.append(
                        frame(sent[number], "openOrders.cancelAll", {"symbol": "BTCKZT", "timestamp": rig.now_ms})
                    )
                elif kind in ("cancel", "name"):
                    name = (
                        {"orderId": pick.randrange(1, 60)}
                        if kind == "cancel"
                        else {"origClientOrderId": f"c{pick.randrange(5)}"}
                    )
                    messages.append(cancel(client, sent[number], **name))
                else:
                    messages.append(
                        place(sent[number], order(client, price=str(49_990_000 + 1000 * pick.randrange(20)), **terms))
                    )
            send(client, *messages)
        if pick.random() < 0.5:
            rig.turn()
        rig.now_ms += pick.randrange(300)
        rig.commands.on_time()
    for _ in range(200):
        rig.turn()
        rig.now_ms += 100
        rig.commands.on_time()
    for number, client in enumerate(clients):
        answered[number] += [id for id, _ in outcomes(client)]
        way = client.session.key.account.on_the_way  # type: ignore[union-attr]
        assert sorted(answered[number]) == list(range(1, sent[number] + 1)), f"seed {seed}"
        assert (way.commands, way.orders, way.cancels, way.cancels_of_all) == (0, 0, 0, 0), f"seed {seed}"
        assert not way.named and way.freed is None
        assert all(balance.sought == balance.unbounded == 0 for balance in client.session.key.account.balances.values())  # type: ignore[union-attr]
        assert all(open_order.cancels == 0 for open_order in client.session.key.account.open.values())  # type: ignore[union-attr]
        assert client.session.waiting == 0
