"""The memory of orders that have gone is freed, and nothing else changes: not the queues, not the ids, not the balances."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from engine.book import Book, BookEventKind, OperationKind, operation_dtype
from engine.core import Core
from engine.reasons import Reason
from engine.records import (
    ASSET_DEFINITION,
    MARKET_DEFINITION,
    AssetDefinition,
    BatchBuilder,
    Command,
    CommandKind,
    EventEntry,
    EventFlag,
    EventKind,
    MarketDefinition,
    OrderType,
    Side,
    TimeInForce,
)
from engine.reference import Core as ReferenceCore
from tests.engine.query_parity import check_same_answers
from tests.engine.resident import resident_bytes
from tests.engine.test_twin import first_difference

numpy = pytest.importorskip("numpy")

SEED = int(os.environ.get("JIBEK_SEED", "20261125"))
REPEAT = f"repeat with: JIBEK_SEED={SEED} python -m pytest tests/engine/test_memory.py"


# -- the book


def places(ids: object, sides: object, prices: object) -> object:
    operations = numpy.zeros(len(ids), operation_dtype())  # type: ignore[arg-type]
    operations["kind"], operations["time_in_force"] = OperationKind.PLACE, TimeInForce.GTC
    operations["order_id"], operations["side"] = ids, sides
    operations["price_ticks"], operations["quantity_lots"] = prices, 5
    return operations


def cancels(ids: object) -> object:
    operations = numpy.zeros(len(ids), operation_dtype())  # type: ignore[arg-type]
    operations["kind"], operations["order_id"] = OperationKind.CANCEL, ids
    return operations


@pytest.mark.parametrize("orders", [5_000, 300_000])
@pytest.mark.parametrize("left", [0, 1, 100])
def test_a_book_that_was_large_is_small_again(orders: int, left: int) -> None:
    rng = numpy.random.default_rng(SEED)
    ids = numpy.arange(1, orders + 1)
    sides = rng.integers(Side.BUY, Side.SELL + 1, orders)
    prices = 10_000 + numpy.where(sides == Side.SELL, 1, -1) * rng.integers(1, 500, orders)
    book = Book()
    book.place(0, Side.BUY, 1, 1)
    stays = numpy.sort(rng.permutation(ids)[:left])
    kept = numpy.isin(ids, stays)
    go = cancels(rng.permutation(ids[~kept]))
    book.apply(places(ids, sides, prices))
    full = resident_bytes()
    for start in range(0, len(go), 10_000):  # type: ignore[arg-type]
        book.apply(go[start : start + 10_000])  # type: ignore[index]
    given_back = full - resident_bytes()
    # The orders that are left are in their queues as if nothing else had ever been there.
    expected = Book()
    expected.place(0, Side.BUY, 1, 1)
    expected.apply(places(ids[kept], sides[kept], prices[kept]))
    assert book == expected, REPEAT
    book.check()
    assert all(book.order(int(order_id)) == expected.order(int(order_id)) for order_id in stays), REPEAT
    # An order took 32 bytes, and the place of its id.
    assert given_back > (orders * 32 if orders > 100_000 else -1_000_000)
    for each in (book, expected):
        each.market(orders + 1, Side.BUY, 5 * (left // 2))
    assert book == expected and book.events() == expected.events(), REPEAT
    book.check()


def test_the_last_fill_of_a_sweep_gives_the_memory_back() -> None:
    """The taker rests in a book whose memory its own trades have given back."""
    book = Book()
    book.apply(places(numpy.arange(1, 20_001), Side.SELL, 100 + numpy.arange(20_000) % 300))
    assert book.place(20_001, Side.BUY, 1_000, 100_001) == 20_001
    assert book.events()[-1].remaining_lots == 0
    assert [order.remaining_lots for order in book] == [1]
    assert book.cancel(20_001) == 1
    book.check()


def test_a_market_that_crashes_and_comes_back() -> None:
    """Bids at prices far apart are swept and placed again: leaves stay, go and come without harm."""
    rng = random.Random(SEED)
    prices = sorted({int(2 ** rng.uniform(0, 61)) for _ in range(3_000)})
    book, order_id = Book(), 0
    for turn in range(6):
        for price_ticks in rng.sample(prices, len(prices)):
            order_id += 1
            book.place(order_id, Side.BUY, price_ticks, 1)
        assert [level.price_ticks for level in book.depth(Side.BUY)] == prices[::-1], REPEAT
        book.check()
        order_id += 1
        book.market(order_id, Side.SELL, len(prices) - turn)
        sold = [event.price_ticks for event in book.events() if event.kind == BookEventKind.TRADE]
        assert sold == prices[::-1][: len(prices) - turn], REPEAT
        for order in book.orders(Side.BUY):
            book.cancel(order.order_id)
        assert len(book) == 0
        book.check()


def test_batches_give_what_calls_give_in_a_large_and_wide_book() -> None:
    """What is asked for ahead in large books and in wide ones changes nothing."""
    rng = numpy.random.default_rng(SEED)
    orders, count = 20_000, 30_000
    sides = rng.integers(Side.BUY, Side.SELL + 1, orders + count)
    away = numpy.where(sides == Side.SELL, 1, -1) * rng.integers(-2_000, 500_000, orders + count)
    operations = places(numpy.arange(1, orders + count + 1), sides, 1_000_000 + away)
    kinds = rng.choice([OperationKind.PLACE, OperationKind.CANCEL, OperationKind.REPLACE, OperationKind.AMEND], count)
    operations["kind"][orders:] = kinds  # type: ignore[index]
    operations["new_order_id"] = operations["order_id"]  # type: ignore[index]
    named = kinds != OperationKind.PLACE
    operations["order_id"][orders:][named] = rng.integers(1, orders, int(named.sum()))  # type: ignore[index]
    operations["quantity_lots"] = rng.integers(1, 10, orders + count)  # type: ignore[index]
    by_batch, by_call = Book(), Book()
    events = by_batch.apply(operations)
    expected = []
    for operation in operations:  # type: ignore[attr-defined]
        kind = operation["kind"]
        order_id, price_ticks, lots = (int(operation[name]) for name in ("order_id", "price_ticks", "quantity_lots"))
        if kind == OperationKind.PLACE:
            by_call.place(order_id, int(operation["side"]), price_ticks, lots)
        elif kind == OperationKind.CANCEL:
            by_call.cancel(order_id)
        elif kind == OperationKind.REPLACE:
            by_call.replace(order_id, int(operation["new_order_id"]), price_ticks, lots)
        else:
            by_call.amend(order_id, lots)
        expected += [tuple(event)[4:] for event in by_call.events()]
    fields = ["order_id", "maker_order_id", "price_ticks", "quantity_lots", "remaining_lots"]
    assert [tuple(event) for event in events[fields].tolist()] == expected, REPEAT
    assert by_batch == by_call
    by_batch.check()


def test_numbers_that_are_refused_in_a_large_and_wide_book() -> None:
    """The leaves of prices are asked for ahead, before anybody has looked whether such a price can be."""
    orders = 20_000
    ids = numpy.arange(1, orders + 1)
    book = Book()
    # As many prices as orders, and more leaves than where asking for them begins.
    book.apply(places(ids, Side.BUY, ids * 40))
    before = book.to_bytes()
    extremes = numpy.array([-(2**63), -(2**63) + 1, -1, 0, 2**62, 2**63 - 1])
    for side in (Side.BUY, Side.SELL, 0, 255):
        for kind in (OperationKind.PLACE, OperationKind.REPLACE, OperationKind.AMEND):
            refused = places(numpy.full(600, 1), side, numpy.resize(extremes, 600))
            refused["kind"] = kind  # type: ignore[index]
            refused["order_id"] = numpy.where(kind == OperationKind.PLACE, orders + 1, 7)  # type: ignore[index]
            refused["quantity_lots"] = numpy.resize(extremes, 600)  # type: ignore[index]
            events = book.apply(refused)
            assert len(events) == 600 and set(events["kind"]) == {BookEventKind.REJECTED}
    assert book.to_bytes() == before


# -- the core

MARKETS, ASSETS, ACCOUNTS = 40, 6, 30
NOTE = (b"operator", b"size", b"")


class Flow:
    """Commands of a venue with more markets, assets, accounts and orders than the engine keeps in its first arrays."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.reference, self.compiled = ReferenceCore(), Core()
        self.number = 0
        self.open: dict[int, tuple[int, int]] = {}
        """Open orders: id -> (account, market)."""
        builder = BatchBuilder()
        for index in range(ASSETS):
            builder.add(
                Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(0)), b"A%d" % index, *NOTE
            )
        for index in range(MARKETS):
            base, quote = self.random.sample(range(1, ASSETS + 1), 2)
            market = MarketDefinition(base, quote, 10**8, 1, 1, 10**6, 1, 10**6, 100, 10**12, 500, 1000, 10**6, 0)
            builder.add(Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(market), b"M%d" % index, *NOTE)
        self.execute(builder)
        for account in range(1, ACCOUNTS + 1):
            builder = BatchBuilder()
            builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"account%d" % account, *NOTE)
            for asset in range(1, ASSETS + 1):
                deposit = Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=10**15)
                builder.add(deposit, *NOTE)
            self.execute(builder)

    def execute(self, builder: BatchBuilder) -> None:
        self.number += 1
        batch = builder.build(producer=1, incarnation=1, number=self.number)
        expected, actual = self.reference.execute(self.number, batch), self.compiled.execute(self.number, batch)
        assert actual == expected, f"entry {self.number}: {first_difference(expected, actual)}; {REPEAT}"
        for event in EventEntry(expected):
            if event.kind == EventKind.REJECTED:
                assert Reason(event.reason) in (Reason.UNKNOWN_ORDER, Reason.NO_OPEN_ORDERS), (event, REPEAT)
            elif event.kind == EventKind.ORDER_ACCEPTED:
                self.open[event.order_id] = (event.account, event.market)
            elif event.kind == EventKind.ORDER_CLOSED:
                del self.open[event.order_id]
            elif event.kind == EventKind.TRADE:
                if event.flags & EventFlag.TAKER_FILLED:
                    del self.open[event.order_id]
                if event.flags & EventFlag.MAKER_FILLED:
                    del self.open[event.maker_order_id]

    def trade(self, commands: int, cancels: float, account: int | None = None) -> None:
        """Random orders, and cancels of orders that are or were open."""
        for _ in range(commands // 250):
            builder = BatchBuilder()
            known = list(self.open)
            for _ in range(250):
                if known and self.random.random() < cancels:
                    order_id = self.random.choice(known)
                    owner, market = self.open[order_id]
                    command = Command(kind=CommandKind.ORDER_CANCEL, account=owner, market=market, order_id=order_id)
                else:
                    command = self.order(account or self.random.randint(1, ACCOUNTS))
                builder.add(command)
            self.execute(builder)

    def order(self, account: int) -> Command:
        side = self.random.choice((Side.BUY, Side.SELL))
        away = self.random.randint(-3, 60) if self.random.random() < 0.9 else self.random.randint(60, 90_000)
        return Command(
            kind=CommandKind.ORDER_PLACE,
            account=account,
            market=self.random.randint(1, MARKETS),
            side=side,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            price_ticks=100_000 + (away if side == Side.SELL else -away),
            quantity_lots=self.random.randint(1, 20),
            client_id=b"" if self.random.random() < 0.5 else b"order-%d" % self.random.randrange(10**9),
        )

    def one(self, kind: CommandKind, account: int, market: int = 0) -> None:
        builder = BatchBuilder()
        builder.add(
            Command(kind=kind, account=account, market=market), *(NOTE if kind != CommandKind.ORDER_CANCEL_ALL else ())
        )
        self.execute(builder)

    def compare(self) -> None:
        self.compiled.check()
        assert self.compiled.dump() == self.reference.dump(), f"after entry {self.number}; {REPEAT}"
        check_same_answers(self.reference, self.compiled)


def test_many_markets_and_orders_that_come_and_go() -> None:
    flow = Flow(SEED)
    flow.trade(8_000, cancels=0.1)
    # One account has most of the orders, in one list a market.
    flow.trade(4_000, cancels=0.0, account=7)
    flow.compare()
    flow.trade(4_000, cancels=0.5)
    flow.one(CommandKind.ORDER_CANCEL_ALL, 7, market=3)
    flow.one(CommandKind.ORDER_CANCEL_ALL, 7)
    flow.compare()
    # Nearly all orders go, by one command an account: the few that are left move to new memory while this goes on.
    for account in range(2, ACCOUNTS + 1):
        flow.one(CommandKind.ACCOUNT_FREEZE if account % 2 else CommandKind.ORDER_CANCEL_ALL, account)
    flow.compare()
    assert flow.compiled.open_order_count == len(flow.open) < 1_000
    for account in range(3, ACCOUNTS + 1, 2):
        flow.one(CommandKind.ACCOUNT_UNFREEZE, account)
    flow.trade(3_000, cancels=0.4)
    flow.compare()


# -- memory that the system does not give

SCARCE = """
import resource, sys
from engine.book import Book
from engine.records import Side
used = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]) * 2**20,) * 2)
book, order_id = Book(), 0
try:
    while order_id < 400_000:
        order_id += 1
        book.place(order_id, Side.BUY, 100 + order_id % 1_000, 1)
except MemoryError as error:
    print(error)
for each in range(1, order_id - 1):
    assert book.cancel(each) == 1 and each not in book
book.place(order_id + 1, Side.SELL, 1, 10)
book.check()
print(order_id)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux limits the addresses of a process so")
@pytest.mark.parametrize(
    ("megabytes", "everything_fits"),
    [
        # Too few addresses to reserve sixteen times what is needed: the arrays are as large as they must be, and copied.
        (150, True),
        # Too few for the orders themselves: the one that has no room is a MemoryError, and the others are still there.
        (12, False),
    ],
)
def test_a_book_where_memory_is_scarce(megabytes: int, everything_fits: bool) -> None:
    command = [sys.executable, "-c", SCARCE, str(megabytes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    *errors, orders = done.stdout.splitlines()
    assert (orders == "400000") == everything_fits, done.stdout
    assert errors == ([] if everything_fits else ["the book cannot hold one more order or event"])
