"""What the gateway knows is what the engine knows: the projection against the reference core, after every entry."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.definitions import RULES_VERSION
from engine.reasons import Reason
from engine.records import (
    BATCH_COMMANDS_MAX,
    EPOCH_START,
    EVENT_HEADER,
    EVENTS_BEGIN_MAX,
    EVENTS_MAX,
    NO_COMMAND,
    BatchBuilder,
    Command,
    CommandKind,
    EpochStart,
    Event,
    EventEntry,
    EventFlag,
    EventHeader,
    EventKind,
    OrderEvent,
    PreventedEvent,
    Side,
    pack_event,
)
from gateway.auth.rate_limits import RateLimits
from gateway.dialect.numbers import MarketNumbers
from gateway.limits import CLOSED_ORDERS_MAX
from gateway.venue_view import VenueView
from gateway.view.accounts import Account, Order
from gateway.view.order_events import CommandEvents
from tests.worlds.accounts import BY_TEST, MARKETS
from tests.worlds.gateway_in_process import START_MS, GatewayInProcess, InProcessClient

RICH = {"BTC": "5", "KZT": "500000000", "USDT": "10000", "ETH": "50"}
PRICES = {"BTCKZT": (49_995_000, 1000), "ETHKZT": (1_999_500, 100), "USDTKZT": (499, 1)}


def check_against_engine(rig: GatewayInProcess) -> None:
    """Every balance, open order and book level is the engine's."""
    known = {
        (account.number, asset): (balance.available, balance.held)
        for account in rig.projection.accounts.values()
        for asset, balance in account.balances.items()
        if (balance.available, balance.held) != (0, 0)
    }
    engine = {(account, asset): (available, held) for account, asset, available, held in rig.core.balances()}
    assert known == {name: amounts for name, amounts in engine.items() if amounts != (0, 0)}
    open_orders = {order.order_id: order.remaining_lots for order in rig.projection.orders.values()}
    levels: dict[tuple[int, int, int], int] = {}
    for order in rig.projection.orders.values():
        name = (order.market.number, order.side, order.price_ticks)
        levels[name] = levels.get(name, 0) + order.remaining_lots
        assert order.account.open[order.order_id] is order
    assert open_orders == {id: order.remaining_lots for id, order in rig.core.exchange.orders.items()}
    for number, book in rig.projection.feeds.books.items():
        assert book.update_id == rig.core.exchange.markets[number].last_update_id
        for side, shown in ((Side.BUY, list(book.bids(10_000))), (Side.SELL, list(book.asks(10_000)))):
            mine = {name[2]: lots for name, lots in levels.items() if name[:2] == (number, side)}
            assert dict(shown) == mine
            assert [ticks for ticks, _ in shown] == sorted(mine, reverse=side == Side.BUY)


class Flow:
    """Random requests of a few traders, valid and not, drawn from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rig = GatewayInProcess()
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

    def order(self, trader: InProcessClient) -> tuple[str, dict[str, Any]]:
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

    def cancel(self, trader: InProcessClient) -> tuple[str, dict[str, Any]]:
        open_orders = sorted(self.rig.projection.orders)
        order_id = self.random.choice(open_orders) if open_orders else 1
        symbol = self.random.choice(list(PRICES))
        if order_id in self.rig.projection.orders:
            symbol = self.rig.projection.orders[order_id].market.symbol
        return "order.cancel", {"symbol": symbol, "orderId": order_id}

    def cancel_all(self, trader: InProcessClient) -> tuple[str, dict[str, Any]]:
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
    """A client that follows an account's events from the beginning knows its orders and balances without asking."""
    flow = Flow(seed)
    orders: list[dict[int, str]] = [{} for _ in flow.traders]
    balances: list[dict[str, tuple[str, str]]] = [{} for _ in flow.traders]
    executions: set[tuple[int, int]] = set()
    for _ in range(60):
        flow.step()
    flow.rig.turn()
    assert flow.traders, f"seed {seed}"
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
    assert executions, f"seed {seed}: no execution was reported"


@pytest.mark.parametrize("events_max", [EVENTS_MAX, 1, 3], ids=["entry by entry", "event by event", "in threes"])
def test_a_second_gateway_that_reads_the_same_events_knows_the_same(events_max: int) -> None:
    flow = Flow(7)
    for _ in range(150):
        flow.step()
    fresh = VenueView(RateLimits())
    for published in flow.rig.published:
        before = fresh.cursor
        fresh.begin(EventEntry(published.data), published.id)
        while not fresh.go_on(events_max):
            assert fresh.cursor == before, "the cursor moves when the entry is complete"
        assert fresh.cursor == published.id
    for mine, others in zip(
        flow.rig.projection.feeds.books.values(), fresh.projection.feeds.books.values(), strict=True
    ):
        assert mine.snapshot(5000) == others.snapshot(5000)
    assert flow.rig.projection.orders.keys() == fresh.projection.orders.keys()


def test_an_epoch_that_skips_ids_skips_those_that_the_gateway_counts() -> None:
    """After a restore the depth streams and the execution reports go on behind what the lost tail may have sent."""
    rig = GatewayInProcess()
    trader = rig.trader(**RICH)
    trader.result("userDataStream.subscribe")
    trader.place("BTCKZT", "BUY", "0.01000", "50000000")
    builder = BatchBuilder()
    start = EpochStart(previous_epoch=1, previous_sequence=1, rules_version=RULES_VERSION, ids_skip=1_000_000)
    builder.add(Command(kind=CommandKind.EPOCH_START), EPOCH_START.pack(start))
    rig.operate(builder)
    trader.place("BTCKZT", "BUY", "0.01000", "50000000")
    check_against_engine(rig)
    assert trader.result("depth", symbol="BTCKZT")["lastUpdateId"] == 1_000_002
    reports = [message for frame in trader.take() if (message := frame.get("event", {})).get("e") == "executionReport"]
    assert [report["I"] for report in reports] == [1, 1_000_002]


def test_closed_orders_are_remembered_up_to_the_bound() -> None:
    rig = GatewayInProcess()
    account = Account(1)
    market: MarketNumbers = rig.projection.markets[1]
    for id in range(1, CLOSED_ORDERS_MAX + 6):
        order = Order(id, account, market, 1, 1, 1, 1, 1, 0, f"c{id % 3}", 0)
        account.found_by_client[order.client] = order
        account.opened_now(order)
        account.closed_now(order)
    assert len(account.closed) == CLOSED_ORDERS_MAX
    assert account.find(5, None) is None
    assert account.find(6, None) is not None
    assert account.find(None, "c0") is not None


def test_client_ids_of_other_producers_cannot_break_a_reply() -> None:
    rig = GatewayInProcess()
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
    rig = GatewayInProcess()
    trader = rig.trader(KZT="5")
    trader.result("userDataStream.subscribe")
    rig.deposit(1, "KZT", "1.25")
    rig.command(Command(kind=CommandKind.WITHDRAW, account=1, asset=1, amount=25), *BY_TEST)
    changes = [message["event"] for message in trader.take()]
    assert [event["e"] for event in changes] == ["balanceUpdate", "outboundAccountPosition"] * 2
    assert [event["d"] for event in changes[::2]] == ["1.25000000", "-0.25000000"]
    assert changes[-1]["B"] == [{"a": "KZT", "f": "6.00000000", "l": "0.00000000"}]


# -- events made by hand


def entry_of(*events: Event) -> EventEntry:
    """An event entry of these events, without blobs."""
    header = EventHeader(event_count=len(events), time_us=START_MS * 1000 + 1)
    return EventEntry(EVENT_HEADER.pack(header) + b"".join(map(pack_event, events)))


def closing(order: Order, command_index: int) -> OrderEvent:
    """The end of a resting buy order of BTCKZT, cancelled by its owner."""
    return OrderEvent(
        kind=EventKind.ORDER_CLOSED, reason=Reason.CANCELLED_BY_OWNER, command_index=command_index, side=order.side,
        market=order.market.number, account=order.account.number, base_asset=3, quote_asset=1,
        order_id=order.order_id, price_ticks=order.price_ticks, quantity_lots=order.quantity_lots,
        remaining_lots=order.remaining_lots, hold_change=-order.price_ticks * order.remaining_lots,
    )  # fmt: skip


class Answers(list[tuple[int, list[int]]]):
    """Which commands were answered, and with which kinds of events."""

    def take(self, index: int, events: CommandEvents, entry: EventEntry) -> None:
        self.append((index, [event.kind for event in events]))


@pytest.fixture
def three_buys() -> InProcessClient:
    """A trader who follows its events and has three buy orders of BTCKZT."""
    trader = GatewayInProcess().trader(**RICH)
    for price in ("49000000", "49001000", "49002000"):
        trader.place("BTCKZT", "BUY", "0.01", price)
    trader.result("userDataStream.subscribe")
    trader.take()
    return trader


def test_events_that_answer_no_command_are_applied_and_answered_to_nobody(three_buys: InProcessClient) -> None:
    projection, answers = three_buys.rig.projection, Answers()
    first, second, third = projection.orders.values()
    projection.apply(
        entry_of(
            closing(first, NO_COMMAND),
            closing(second, NO_COMMAND),
            OrderEvent(kind=EventKind.REJECTED, command_index=0, account=1, market=1),
            closing(third, 1),
        ),
        answers.take,
    )
    assert answers == [(0, [EventKind.REJECTED]), (1, [EventKind.ORDER_CLOSED])]
    assert not projection.orders and not projection.accounts[1].open
    assert (projection.accounts[1].balance(1).held, projection.feeds.books[1].bids(5)) == (0, [])
    told = [message["event"] for message in three_buys.take()]
    assert [event["e"] for event in told] == [
        "executionReport", "executionReport", "outboundAccountPosition", "executionReport", "outboundAccountPosition",
    ]  # fmt: skip
    reports = [event for event in told if event["e"] == "executionReport"]
    assert [(event["i"], event["X"]) for event in reports] == [(1, "CANCELED"), (2, "CANCELED"), (3, "CANCELED")]
    assert len({event["I"] for event in reports}) == 3


def test_an_entry_may_answer_nobody_at_all(three_buys: InProcessClient) -> None:
    projection, answers = three_buys.rig.projection, Answers()
    projection.apply(entry_of(*(closing(order, NO_COMMAND) for order in projection.orders.values())), answers.take)
    assert (answers, projection.orders) == ([], {})


def test_a_cancel_of_more_orders_than_an_entry_takes_goes_on_in_the_next() -> None:
    rig = GatewayInProcess()
    trader = rig.trader(**RICH)
    place = Command(
        kind=CommandKind.ORDER_PLACE, account=1, market=1, side=Side.BUY, order_type=1, time_in_force=1,
        price_ticks=50_000, quantity_lots=100,
    )  # fmt: skip
    for _ in range(EVENTS_BEGIN_MAX // BATCH_COMMANDS_MAX + 1):
        builder = BatchBuilder()
        for _ in range(BATCH_COMMANDS_MAX):
            builder.add(place)
        rig.operate(builder)
    placed = len(rig.projection.orders)
    assert placed == EVENTS_BEGIN_MAX + BATCH_COMMANDS_MAX
    trader.result("userDataStream.subscribe")
    cancelled = trader.result("openOrders.cancelAll", symbol="BTCKZT", timestamp=rig.now_ms)
    assert len(cancelled) == EVENTS_BEGIN_MAX
    assert len(rig.projection.orders) == placed - EVENTS_BEGIN_MAX > 0
    check_against_engine(rig)
    rig.command(Command(kind=CommandKind.TIME_TICK))
    assert not rig.projection.orders
    check_against_engine(rig)
    reports = [message["event"] for message in trader.take() if message["event"]["e"] == "executionReport"]
    assert [report["i"] for report in reports] == list(range(1, placed + 1))


def test_what_an_unknown_event_of_an_order_does_to_its_hold_is_known(three_buys: InProcessClient) -> None:
    projection, answers = three_buys.rig.projection, Answers()
    order = projection.orders[1]
    before = projection.accounts[1].balance(1).available, projection.accounts[1].balance(1).held
    refilled = closing(order, 0)._replace(kind=EventKind.ICEBERG_REFILLED, hold_change=-7)
    projection.apply(entry_of(refilled, refilled._replace(kind=250, hold_change=-3, command_index=1)), answers.take)
    quote = projection.accounts[1].balance(1)
    assert (quote.available, quote.held) == (before[0] + 10, before[1] - 10)
    assert (len(projection.orders), order.status) == (3, "NEW")
    assert answers == [(0, [EventKind.ICEBERG_REFILLED]), (1, [250])]


def test_a_prevented_trade_moves_the_holds_of_both_and_nothing_else(three_buys: InProcessClient) -> None:
    projection = three_buys.rig.projection
    quote, base = projection.accounts[1].balance(1), projection.accounts[1].balance(3)
    before = (quote.available, quote.held, base.available, base.held)
    prevented = PreventedEvent(
        kind=EventKind.TRADE_PREVENTED, side=Side.SELL, account=1, maker_account=1, base_asset=3, quote_asset=1, market=1,
        order_id=9, maker_order_id=1, quantity_lots=5, hold_change=4, maker_hold_change=-6,
    )  # fmt: skip
    projection.apply(entry_of(prevented))
    assert (quote.available, quote.held) == (before[0] + 6, before[1] - 6)
    assert (base.available, base.held) == (before[2] - 4, before[3] + 4)
    assert len(projection.orders) == 3


def test_whether_an_order_rests_is_what_the_event_says() -> None:
    """Not what its type and time in force would make a reader think."""
    projection = GatewayInProcess().projection
    projection.account(1)
    accepted = OrderEvent(
        kind=EventKind.ORDER_ACCEPTED, side=Side.BUY, order_type=1, time_in_force=1, market=1, account=1, base_asset=3,
        quote_asset=1, price_ticks=50_000, quantity_lots=100, remaining_lots=100,
    )  # fmt: skip
    for order_id, flags in enumerate(
        (0, EventFlag.MAY_REST, EventFlag.WORKING, EventFlag.MAY_REST | EventFlag.WORKING), 1
    ):
        projection.apply(entry_of(accepted._replace(order_id=order_id, flags=flags)))
    assert [order.rests for order in projection.orders.values()] == [False, False, False, True]
    assert projection.feeds.books[1].bids(5) == [(50_000, 100)]
