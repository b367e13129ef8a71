"""What the gateway knows is what the engine knows: the projection against the reference core, after every entry."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.journal import ChainBroken, EntryId, PublishedEntry
from engine.records import Command, CommandKind, Side
from gateway.accounts import CLOSED_ORDERS_MAX, Account, Order
from gateway.numerals import MarketNumbers
from gateway.service import Knowledge
from tests.gateway.house import BY_TEST, MARKETS
from tests.gateway.rig import Rig, RigClient

RICH = {"BTC": "5", "KZT": "500000000", "USDT": "10000", "ETH": "50"}
PRICES = {"BTCKZT": (49_995_000, 1000), "ETHKZT": (1_999_500, 100), "USDTKZT": (499, 1)}


def check_against_engine(rig: Rig) -> None:
    """Every balance, open order and book level is the engine's."""
    known = {
        (account.number, asset): (balance.available, balance.held)
        for account in rig.projection.accounts.values()
        for asset, balance in account.balances.items()
        if (balance.available, balance.held) != (0, 0)
    }
    engine = {(account, asset): (available, held) for account, asset, available, held in rig.core.balances()}
    assert known == {name: amounts for name, amounts in engine.items() if amounts != (0, 0)}
    open_orders = {order.order_id: order.left_lots for order in rig.projection.orders.values()}
    levels: dict[tuple[int, int, int], int] = {}
    for order in rig.projection.orders.values():
        name = (order.market.number, order.side, order.price_ticks)
        levels[name] = levels.get(name, 0) + order.left_lots
        assert order.account.open[order.order_id] is order
    assert open_orders == {id: order.left_lots for id, order in rig.core.orders.items()}
    for number, book in rig.projection.feeds.books.items():
        for side, shown in ((Side.BUY, list(book.bids(10_000))), (Side.SELL, list(book.asks(10_000)))):
            mine = {name[2]: lots for name, lots in levels.items() if name[:2] == (number, side)}
            assert dict(shown) == mine
            assert [ticks for ticks, _ in shown] == sorted(mine, reverse=side == Side.BUY)


class Flow:
    """Random requests of a few traders, valid and not, drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rig = Rig()
        self.traders = [self.rig.trader(**RICH) for _ in range(3)]
        for trader in self.traders:
            trader.send({"id": 0, "method": "userDataStream.subscribe"})
            trader.take()

    def step(self) -> None:
        trader = self.random.choice(self.traders)
        method, params = self.random.choice([self.order] * 6 + [self.cancel] * 2 + [self.cancel_all])(trader)
        trader.send({"id": 1, "method": method, "params": {**params, "timestamp": self.rig.now_ms}})
        if self.random.random() < 0.7:
            self.rig.turn()

    def order(self, trader: RigClient) -> tuple[str, dict[str, Any]]:
        symbol = self.random.choice(list(PRICES))
        base, tick = PRICES[symbol]
        params = {"symbol": symbol, "side": self.random.choice(["BUY", "SELL"])}
        number = self.random.randint(0, 30)
        quantity = str(number + 1) if symbol == "USDTKZT" else f"0.{number:02d}"
        kind = self.random.choice(["LIMIT"] * 5 + ["LIMIT_MAKER", "MARKET", "QUOTE"])
        if kind == "QUOTE":
            return "order.place", {**params, "type": "MARKET", "quoteOrderQty": self.random.randint(1, 9_000_000)}
        params |= {"type": kind, "quantity": quantity}
        if kind != "MARKET":
            params["price"] = str(base + tick * self.random.randint(0, 10))
        if kind == "LIMIT":
            params["timeInForce"] = self.random.choice(["GTC", "GTC", "GTC", "IOC", "FOK"])
        if self.random.random() < 0.2:
            params["newClientOrderId"] = f"c{self.random.randint(1, 9)}"
        return "order.place", params

    def cancel(self, trader: RigClient) -> tuple[str, dict[str, Any]]:
        open_orders = sorted(self.rig.projection.orders)
        order_id = self.random.choice(open_orders) if open_orders else 1
        symbol = self.random.choice(list(PRICES))
        if order_id in self.rig.projection.orders:
            symbol = self.rig.projection.orders[order_id].market.symbol
        return "order.cancel", {"symbol": symbol, "orderId": order_id}

    def cancel_all(self, trader: RigClient) -> tuple[str, dict[str, Any]]:
        return "openOrders.cancelAll", {"symbol": self.random.choice(list(PRICES))}


@pytest.mark.parametrize("seed", range(6))
def test_the_projection_is_the_engines_state(seed: int) -> None:
    flow = Flow(seed)
    for _ in range(250):
        flow.step()
        check_against_engine(flow.rig)
    assert flow.rig.projection.accounts[1].trades, f"seed {seed} traded nothing"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_the_reports_of_an_account_tell_its_whole_story(seed: int) -> None:
    """Whoever follows an account's events from the beginning knows its orders and balances without asking."""
    flow = Flow(seed)
    orders: list[dict[int, str]] = [{} for _ in flow.traders]
    balances: list[dict[str, tuple[str, str]]] = [{} for _ in flow.traders]
    executions: set[tuple[int, int]] = set()
    for _ in range(60):
        flow.step()
    flow.rig.turn()
    for index, trader in enumerate(flow.traders):
        for message in trader.take():
            event = message.get("event", {})
            if event.get("e") == "executionReport":
                orders[index][event["i"]] = event["X"]
                assert (index, event["I"]) not in executions, f"seed {seed}: an execution id twice"
                executions.add((index, event["I"]))
            elif event.get("e") == "outboundAccountPosition":
                balances[index].update({balance["a"]: (balance["f"], balance["l"]) for balance in event["B"]})
        params = {"timestamp": flow.rig.now_ms}
        shown = {order["orderId"]: order["status"] for order in trader.result("openOrders.status", **params)}
        still_open = {id: status for id, status in orders[index].items() if status in ("NEW", "PARTIALLY_FILLED")}
        assert still_open == shown, f"seed {seed}"
        status = trader.result("account.status", **params)["balances"]
        present = {balance["asset"]: (balance["free"], balance["locked"]) for balance in status}
        assert {asset: present[asset] for asset in balances[index]} == balances[index], f"seed {seed}"


def test_a_second_gateway_that_reads_the_same_events_knows_the_same() -> None:
    flow = Flow(7)
    for _ in range(150):
        flow.step()
    fresh = Knowledge()
    for published in flow.rig.published:
        fresh.take(published, None, None)
    for mine, others in zip(
        flow.rig.projection.feeds.books.values(), fresh.projection.feeds.books.values(), strict=True
    ):
        assert mine.snapshot(5000) == others.snapshot(5000)
    assert flow.rig.projection.orders.keys() == fresh.projection.orders.keys()


@pytest.mark.parametrize("id", [EntryId(1, 7), EntryId(1, 9), EntryId(2, 0), EntryId(0, 8)])
def test_an_entry_that_does_not_follow_stops_the_reader(id: EntryId) -> None:
    rig = Rig()
    data = rig.core.execute(rig.now_ms * 1000, b"")
    rig.knowledge.chain.cursor = EntryId(1, 7)
    with pytest.raises(ChainBroken, match=str(id)):
        rig.knowledge.take(PublishedEntry(id, bytes(32), bytes(32), data), None, None)


def test_the_beginning_is_an_epoch_start() -> None:
    rig = Rig()
    data = rig.core.execute(rig.now_ms * 1000, b"")
    with pytest.raises(ChainBroken):
        Knowledge().take(PublishedEntry(EntryId(1, 1), bytes(32), bytes(32), data), None, None)


def test_closed_orders_are_remembered_up_to_the_bound() -> None:
    rig = Rig()
    account = Account(1)
    market: MarketNumbers = rig.projection.markets[1]
    for id in range(1, CLOSED_ORDERS_MAX + 6):
        order = Order(id, account, market, 1, 1, 1, 1, 1, 0, f"c{id % 3}", 0)
        account.open[id] = account.found_by_client[order.client] = order
        account.closed_now(order)
    assert len(account.closed) == CLOSED_ORDERS_MAX
    assert account.find(5, None) is None
    assert account.find(6, None) is not None
    assert account.find(None, "c0") is not None


def test_client_ids_of_other_producers_cannot_break_a_reply() -> None:
    rig = Rig()
    trader = rig.trader(**RICH)
    place = Command(
        kind=CommandKind.ORDER_PLACE, account=1, market=MARKETS["BTCKZT"], side=1, order_type=1, time_in_force=1,
        price_ticks=50_000, quantity_lots=1000, client_id=b'"},\xff',
    )  # fmt: skip
    rig.command(place)
    (order,) = trader.result("openOrders.status", timestamp=rig.now_ms)
    assert order["clientOrderId"] == "_____"[: len(order["clientOrderId"])]
    trader.result("userDataStream.subscribe")
    cancel = Command(kind=CommandKind.ORDER_CANCEL, account=1, market=MARKETS["BTCKZT"], order_id=1)
    rig.command(cancel, b'bad"id')
    report, _ = trader.take()
    assert (report["event"]["c"], report["event"]["X"]) == ("bad_id", "CANCELED")


def test_a_deposit_is_reported() -> None:
    rig = Rig()
    trader = rig.trader(KZT="5")
    trader.result("userDataStream.subscribe")
    rig.deposit(1, "KZT", "1.25")
    rig.command(Command(kind=CommandKind.WITHDRAW, account=1, asset=1, amount=25), *BY_TEST)
    changes = [message["event"] for message in trader.take()]
    assert [event["e"] for event in changes] == ["balanceUpdate", "outboundAccountPosition"] * 2
    assert [event["d"] for event in changes[::2]] == ["1.25000000", "-0.25000000"]
    assert changes[-1]["B"] == [{"a": "KZT", "f": "6.00000000", "l": "0.00000000"}]
