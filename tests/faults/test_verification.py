"""The verification finds what it is for: each honest record that is tampered with is a fault of the right kind."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest

from engine.journal import EntryId, JournalEntry, PublishedEntry
from engine.records import (
    EVENT_BYTES,
    EVENT_HEADER,
    BatchBuilder,
    Command,
    CommandKind,
    EventEntry,
    EventKind,
    OrderType,
    Side,
    TimeInForce,
    client_id,
)
from engine.reference import Core
from engine.venue_file import load_venue
from tests.faults.client_log import ClientLog, LastLook, Outcome, Reply, Request, Stream
from tests.faults.history import History, Pair
from tests.faults.replay_check import ReplayCheck
from tests.faults.verification import FaultKind, Verification

GATEWAY = 16
ANN, BEN = 1, 2
TICKS = 45_000
PRICE = "45000000.00000000"


class SmallVenue:
    """A reference engine with the default markets, two accounts, and the journal of what it was asked."""

    def __init__(self) -> None:
        self.core = Core()
        self.pairs: list[Pair] = []
        self._number = 0
        for builder in load_venue().batches("test"):
            self.append(builder)
        for name in (b"ann", b"ben"):
            self.execute(Command(kind=CommandKind.ACCOUNT_ADD), name, b"test", b"", b"")
        for account in (ANN, BEN):
            for asset in (1, 3):
                deposit = Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=10**12)
                self.execute(deposit, b"test", b"", b"")

    def execute(self, command: Command, *parts: bytes) -> None:
        builder = BatchBuilder()
        builder.add(command, *parts)
        self.append(builder)

    def append(self, builder: BatchBuilder) -> None:
        self._number += 1
        entry = JournalEntry(
            EntryId(1, self._number), self._number, builder.build(producer=GATEWAY, incarnation=1, number=self._number)
        )
        data = self.core.execute(entry.time_us, entry.batch)
        self.pairs.append((entry, PublishedEntry(entry.id, b"", b"", data)))

    def place(self, account: int, id: str, side: Side, lots: int, time_in_force: TimeInForce) -> None:
        self.execute(
            Command(
                kind=CommandKind.ORDER_PLACE,
                side=side,
                order_type=OrderType.LIMIT,
                time_in_force=time_in_force,
                account=account,
                market=1,
                price_ticks=TICKS,
                quantity_lots=lots,
                client_id=client_id(id),
            )
        )


def played() -> list[Pair]:
    """Ann sells 300 lots as order 1; ben takes 100 and 50 of them as orders 2 and 3; a second order of ann's, 4, is cancelled;
    one of ben's, 5, rests, though he never saw a reply."""
    venue = SmallVenue()
    venue.place(ANN, "a-1", Side.SELL, 300, TimeInForce.GTC)
    venue.place(BEN, "b-1", Side.BUY, 100, TimeInForce.IOC)
    venue.place(BEN, "b-2", Side.BUY, 50, TimeInForce.IOC)
    venue.place(ANN, "a-2", Side.SELL, 10, TimeInForce.GTC)
    venue.execute(Command(kind=CommandKind.ORDER_CANCEL, account=ANN, market=1, order_id=4))
    venue.execute(Command(kind=CommandKind.ORDER_CANCEL, account=ANN, market=1, order_id=77))
    venue.execute(
        Command(
            kind=CommandKind.ORDER_PLACE, side=Side.BUY, order_type=OrderType.LIMIT, time_in_force=TimeInForce.GTC,
            account=BEN, market=1, price_ticks=40_000, quantity_lots=20, client_id=client_id("b-3"),
        )
    )  # fmt: skip
    return venue.pairs


def placement(account: int, id: str, side: str, quantity: str, time_in_force: str, price: str = "45000000") -> Request:
    params = {"symbol": "BTCKZT", "side": side, "type": "LIMIT", "timeInForce": time_in_force, "price": price}
    return Request(account, "order.place", params | {"quantity": quantity, "newClientOrderId": id})


def state(order_id: int, status: str, quantity: str, quote: str) -> Reply:
    return {"orderId": order_id, "status": status, "executedQty": quantity, "cummulativeQuoteQty": quote}


def report(execution: str, order_id: int, status: str, done: tuple[str, str]) -> Reply:
    return {"x": execution, "i": order_id, "t": -1, "X": status, "z": done[0], "Z": done[1]}


def fill(order_id: int, trade_id: int, status: str, done: tuple[str, str], last: tuple[str, str, str]) -> Reply:
    """A TRADE report of ann's, the maker. `last` is quantity, value and fee of the fill."""
    filled = {"L": PRICE, "l": last[0], "Y": last[1], "n": last[2], "N": "KZT", "m": True, "t": trade_id}
    return report("TRADE", order_id, status, done) | filled


def honest_log() -> ClientLog:
    """What ann and ben saw of it."""
    log = ClientLog()
    sold = placement(ANN, "a-1", "SELL", "0.003", "GTC")
    sold.answered({"status": 200, "result": state(1, "NEW", "0.00000000", "0.00000000")})
    bought = placement(BEN, "b-1", "BUY", "0.001", "IOC")
    bought_fill = {
        "price": PRICE,
        "qty": "0.00100000",
        "commission": "0.00000100",
        "commissionAsset": "BTC",
        "tradeId": 1,
    }
    bought.answered({"status": 200, "result": state(2, "FILLED", "0.001", "45000") | {"fills": [bought_fill]}})
    cancelled = placement(ANN, "a-2", "SELL", "0.0001", "GTC")
    cancelled.answered({"status": 200, "result": {"orderId": 4}})
    refused = placement(BEN, "b-9", "BUY", "900", "GTC")
    refused.answered({"status": 400, "error": {"code": -2010, "msg": "…"}})
    silent = placement(BEN, "b-2", "BUY", "0.0005", "IOC")
    timed_out = placement(BEN, "b-3", "BUY", "0.0002", "GTC", price="40000000")
    timed_out.answered({"status": 504, "error": {"code": -1007, "msg": "…"}})
    never_came = placement(BEN, "b-4", "BUY", "0.0002", "GTC")
    log.placements = [sold, bought, cancelled, refused, silent, timed_out, never_came]
    cancel = Request(ANN, "order.cancel", {"symbol": "BTCKZT", "orderId": "4"})
    result = state(4, "CANCELED", "0.00000000", "0.00000000") | {"origClientOrderId": "a-2"}
    cancel.answered({"status": 200, "result": result})
    in_vain = Request(ANN, "order.cancel", {"symbol": "BTCKZT", "orderId": "77"})
    in_vain.answered({"status": 400, "error": {"code": -2011, "msg": "…"}})
    log.cancels = [cancel, in_vain]
    reports = [
        report("NEW", 1, "NEW", ("0", "0")),
        fill(1, 1, "PARTIALLY_FILLED", ("0.001", "45000"), ("0.001", "45000", "22.50")),
        fill(1, 2, "PARTIALLY_FILLED", ("0.0015", "67500"), ("0.0005", "22500", "11.25")),
        report("NEW", 4, "NEW", ("0", "0")),
        report("CANCELED", 4, "CANCELED", ("0", "0")),
    ]
    log.streams = [Stream(ANN, "ann", reports[:2]), Stream(ANN, "ann", reports[2:], is_whole=True)]
    log.looks = [(BEN, state(3, "FILLED", "0.0005", "22500"))]
    log.last_looks = [
        LastLook(
            ANN,
            open_orders=[state(1, "PARTIALLY_FILLED", "0.0015", "67500")],
            trades={"BTCKZT": [shown_trade(1, "0.001", "22.50"), shown_trade(2, "0.0005", "11.25")]},
            balances=[{"asset": "BTC", "free": "9999.997", "locked": "0.0015"}],
            orders=[state(4, "CANCELED", "0", "0")],
        )
    ]
    return log


def shown_trade(id: int, quantity: str, fee: str) -> Reply:
    return {"id": id, "orderId": 1, "price": PRICE, "qty": quantity, "commission": fee, "commissionAsset": "KZT"}


def verify(log: ClientLog, pairs: list[Pair]) -> Verification:
    verification = Verification(log, History(pairs))
    verification.verify()
    return verification


def test_an_honest_record_has_no_fault() -> None:
    verification = verify(honest_log(), played())
    assert verification.faults == []
    counts = verification.counts
    assert [counts[f"placements {outcome}"] for outcome in Outcome] == [3, 3, 1]
    assert counts["unknown placements that were executed"] == 2
    assert (counts["fills seen in replies"], counts["fills seen in streams"]) == (1, 2)
    assert (counts["orders confirmed as cancelled"], counts["open orders at the end"]) == (1, 1)


# -- the log is tampered with


def invent_an_acknowledgement(log: ClientLog) -> None:
    log.placements[-1].answered({"status": 200, "result": {"orderId": 6}})


def swap_the_order_ids_of_two_acknowledgements(log: ClientLog) -> None:
    log.placements[0].result["orderId"], log.placements[1].result["orderId"] = 2, 1


def invent_a_fill(log: ClientLog) -> None:
    log.streams[1].reports.append(fill(1, 3, "FILLED", ("0.003", "135000"), ("0.0015", "67500", "33.75")))


def double_a_fill_of_a_stream(log: ClientLog) -> None:
    log.streams[1].reports.insert(0, log.streams[0].reports[1])


def lose_a_fill_of_a_stream(log: ClientLog) -> None:
    log.streams[0].reports += log.streams[1].reports[1:]
    log.streams[1].reports = []


def lose_the_end_of_a_stream(log: ClientLog) -> None:
    log.streams[1].reports.pop()


def change_the_price_of_a_fill(log: ClientLog) -> None:
    log.streams[0].reports[1]["L"] = "45001000.00000000"


def change_the_fee_of_a_fill(log: ClientLog) -> None:
    log.placements[1].result["fills"][0]["commission"] = "0.00000099"


def take_a_fill_out_of_a_reply(log: ClientLog) -> None:
    log.placements[1].result["fills"].clear()


def say_that_an_order_was_filled_further(log: ClientLog) -> None:
    log.placements[0].result["executedQty"] = "0.001"


def refuse_what_was_executed(log: ClientLog) -> None:
    log.placements[0].answered({"status": 400, "error": {"code": -2010, "msg": "…"}})


def ask_for_something_else(log: ClientLog) -> None:
    log.placements[4].params["quantity"] = "0.0006"


def confirm_the_cancel_of_an_open_order(log: ClientLog) -> None:
    log.cancels[0].result |= {"orderId": 1, "origClientOrderId": "a-1"}


def deny_the_cancel_of_an_open_order(log: ClientLog) -> None:
    log.cancels[1].params["orderId"] = "1"


def show_an_order_that_is_not_there(log: ClientLog) -> None:
    log.looks.append((BEN, state(9, "NEW", "0", "0")))


def hide_an_open_order_at_the_end(log: ClientLog) -> None:
    log.last_looks[0].open_orders.clear()


def hide_a_trade_at_the_end(log: ClientLog) -> None:
    del log.last_looks[0].trades["BTCKZT"][1]


def show_another_balance_at_the_end(log: ClientLog) -> None:
    log.last_looks[0].balances[0]["free"] = "9999.99700001"


def fall_silent(log: ClientLog) -> None:
    log.silences.append("ann had no answer")


LOST, DUPLICATED, WRONG = FaultKind.LOST, FaultKind.DUPLICATED, FaultKind.WRONG

TAMPERED_LOGS = [
    (invent_an_acknowledgement, LOST, "b-4 was acknowledged as order 6"),
    (swap_the_order_ids_of_two_acknowledgements, LOST, "a-1 was acknowledged as order 2; in the events it is [1]"),
    (invent_a_fill, LOST, "TRADE of order 1, trade 3, which is not in the events"),
    (double_a_fill_of_a_stream, DUPLICATED, "ann got ('TRADE', 1, 1) 2 times"),
    (lose_a_fill_of_a_stream, LOST, "without ('TRADE', 1, 2) before it"),
    (lose_the_end_of_a_stream, LOST, "ann did not get the last 1 reports"),
    (change_the_price_of_a_fill, WRONG, "trade 1 of order 1: the client saw"),
    (change_the_fee_of_a_fill, WRONG, "trade 1 of order 2: the client saw"),
    (take_a_fill_out_of_a_reply, WRONG, "its reply has 0 fills of 1"),
    (say_that_an_order_was_filled_further, WRONG, "the reply to order 1: the client saw"),
    (refuse_what_was_executed, WRONG, "a-1 was refused (-2010) and is order 1"),
    (ask_for_something_else, WRONG, "order 3, quantity: the client saw 0.0006"),
    (confirm_the_cancel_of_an_open_order, LOST, "order 1 was confirmed as cancelled and is PARTIALLY_FILLED"),
    (deny_the_cancel_of_an_open_order, WRONG, "order 1 is open; its cancel found no such order"),
    (show_an_order_that_is_not_there, LOST, "order 9 was shown to account 2 and is not in the events"),
    (hide_an_open_order_at_the_end, WRONG, "open orders of account 1: the client saw [], the events say [1]"),
    (hide_a_trade_at_the_end, WRONG, "trades of account 1 in BTCKZT: the client saw [(1, 1)]"),
    (show_another_balance_at_the_end, WRONG, "BTC of account 1: the client saw"),
    (fall_silent, WRONG, "ann had no answer"),
]


@pytest.mark.parametrize(("tamper", "kind", "text"), TAMPERED_LOGS, ids=lambda value: getattr(value, "__name__", None))
def test_a_tampered_record_is_found(tamper: Callable[[ClientLog], None], kind: FaultKind, text: str) -> None:
    record = deepcopy(honest_log())
    tamper(record)
    faults = verify(record, played()).faults
    assert any(fault.kind == kind and text in fault.text for fault in faults), faults


# -- the events are tampered with


def entry_of(pairs: list[Pair], id: str) -> int:
    """The place of the entry that accepted the order with this client id."""
    for place, (_, published) in enumerate(pairs):
        for event in EventEntry(published.data):
            if event.kind == EventKind.ORDER_ACCEPTED and event.client_id == client_id(id):
                return place
    raise AssertionError(id)


def with_events(pairs: list[Pair], place: int, edit: Callable[[list[bytes]], list[bytes]]) -> list[Pair]:
    """The same journal, with other events in one entry."""
    entry, published = pairs[place]
    header = EVENT_HEADER.unpack_from(published.data)
    starts = range(EVENT_HEADER.size, EVENT_HEADER.size + header.event_count * EVENT_BYTES, EVENT_BYTES)
    events = edit([published.data[start : start + EVENT_BYTES] for start in starts])
    data = EVENT_HEADER.pack(header._replace(event_count=len(events))) + b"".join(events)
    return [*pairs[:place], (entry, published._replace(data=data)), *pairs[place + 1 :]]


def lose_an_order(pairs: list[Pair]) -> list[Pair]:
    return with_events(pairs, entry_of(pairs, "a-2"), lambda events: [])[: entry_of(pairs, "a-2") + 1]


def lose_a_trade(pairs: list[Pair]) -> list[Pair]:
    return with_events(pairs, entry_of(pairs, "b-1"), lambda events: [event for event in events if event[0] != 41])


def double_a_trade(pairs: list[Pair]) -> list[Pair]:
    return with_events(pairs, entry_of(pairs, "b-1"), lambda events: [*events, events[-1]])


def execute_a_batch_twice(pairs: list[Pair]) -> list[Pair]:
    return [*pairs, pairs[entry_of(pairs, "b-3")]]


TAMPERED_EVENTS = [
    (lose_an_order, LOST, "a-2 was acknowledged as order 4; in the events it is nothing"),
    (lose_a_trade, LOST, "trade 1 of order 2 was reported and is not in the events"),
    (double_a_trade, WRONG, "trade 1 of market 1 comes after trade 1"),
    (execute_a_batch_twice, DUPLICATED, "b-3 of account 2 was executed 2 times"),
    (execute_a_batch_twice, DUPLICATED, "b-3 of account 2 became the orders [5, 5]"),
]


@pytest.mark.parametrize(("tamper", "kind", "text"), TAMPERED_EVENTS)
def test_tampered_events_are_found(tamper: Callable[[list[Pair]], list[Pair]], kind: FaultKind, text: str) -> None:
    faults = verify(honest_log(), tamper(played())).faults
    assert any(fault.kind == kind and text in fault.text for fault in faults), faults


def test_the_replay_finds_other_events_and_other_states() -> None:
    pairs = played()
    core = Core()
    for entry, _ in pairs[:-1]:
        core.execute(entry.time_us, entry.batch)
    state_before_last = {pairs[-2][0].id: core.state_hash().hex()}
    replay = ReplayCheck(pairs, state_before_last)
    replay.compare_with(History(pairs))
    assert (replay.faults, replay.states_compared) == ([], 1)

    assert ReplayCheck(pairs, {pairs[-1][0].id: core.state_hash().hex()}).faults
    assert ReplayCheck(lose_a_trade(pairs), {}).faults
    replay.compare_with(History(lose_a_trade(pairs)))
    assert len(replay.faults) >= 2
