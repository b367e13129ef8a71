"""The largest scene: 212 accounts with 10,000 bids of one lot each, one order that sells against all of them, and one client
who cancels all of its own. Every entry stays small, and the venue goes on (promise P9)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from engine.core import Core
from engine.journal import BEGINNING, Producer, Store, prepare_store, read_events, start_venue
from engine.reasons import Reason
from engine.records import (
    ASSET_DEFINITION,
    BATCH_COMMANDS_MAX,
    COMMAND,
    EVENT_HEADER,
    EVENTS_BEGIN_MAX,
    EVENTS_MAX,
    FILLS_MAX,
    MARKET_DEFINITION,
    NO_COMMAND,
    AssetDefinition,
    BatchBuilder,
    Command,
    CommandKind,
    EventEntry,
    EventFlag,
    EventKind,
    OrderType,
    Side,
    TimeInForce,
)
from engine.reference import Core as ReferenceCore
from engine.service.engine import EngineService
from engine.service.own_producer import OwnProducer
from engine.service.ticker import Ticker
from tests.engine.scenario import MARKET, NOTE
from tests.engine.test_twin import first_difference
from tests.worlds.store import StoreProcess

ACCOUNTS = 212
ORDERS_EACH = 10_000
WORST_TICKS, PRICES = 100, 97
BATCHES_AT_ONCE = 64
SCENE_MARKET = MARKET._replace(quantity_max_lots=10**7, notional_max=10**12, open_orders_max=ORDERS_EACH)
SELLER = 1
FIRST_BUYER = 2

pytestmark = pytest.mark.long


class Scene(Protocol):
    """A venue to which batches are put."""

    def add(self, builder: BatchBuilder) -> None:
        """Puts a batch whose events are not looked at."""

    def ask(self, builder: BatchBuilder) -> EventEntry:
        """Puts a batch; the entry that answers it."""

    def tick(self) -> EventEntry | None:
        """What a tick does; None where there is nothing left to do."""

    def open_orders(self, account: int) -> int: ...

    def open_order_count(self) -> int: ...


# -- the batches


def definitions(accounts: int) -> Iterator[BatchBuilder]:
    """The market, a seller who has enough for all, and that many buyers with enough for their orders."""
    venue = BatchBuilder()
    for name in (b"KZT", b"BTC"):
        venue.add(Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(0)), name, *NOTE)
    venue.add(Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(SCENE_MARKET), b"BTCKZT", *NOTE)
    yield venue
    for account in range(SELLER, FIRST_BUYER + accounts):
        opening = BatchBuilder()
        opening.add(Command(kind=CommandKind.ACCOUNT_ADD), f"client{account}".encode(), *NOTE)
        asset, amount = (2, 10**9) if account == SELLER else (1, 10**7)
        opening.add(Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=amount), *NOTE)
        yield opening


def limit_order(account: int, side: Side, price_ticks: int, lots: int) -> Command:
    return Command(
        kind=CommandKind.ORDER_PLACE,
        account=account,
        market=1,
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=price_ticks,
        quantity_lots=lots,
    )


def bids(account: int) -> Iterator[BatchBuilder]:
    """The 10,000 bids of an account, at 97 prices."""
    packed = [COMMAND.pack(limit_order(account, Side.BUY, WORST_TICKS + step, 1)) for step in range(PRICES)]
    for start in range(0, ORDERS_EACH, BATCH_COMMANDS_MAX):
        builder = BatchBuilder()
        numbers = range(start, min(start + BATCH_COMMANDS_MAX, ORDERS_EACH))
        builder.commands = [packed[number % PRICES] for number in numbers]
        yield builder


def one(command: Command) -> BatchBuilder:
    builder = BatchBuilder()
    builder.add(command)
    return builder


# -- the scene, the same for every way to play it


def fill_book(scene: Scene, accounts: int) -> None:
    for builder in definitions(accounts):
        scene.add(builder)
    for account in range(FIRST_BUYER, FIRST_BUYER + accounts):
        for builder in bids(account):
            scene.add(builder)


def sell_against_all(scene: Scene, accounts: int) -> None:
    """One order for the whole book has as many fills as an order may have, and what is left of it ends."""
    lots = accounts * ORDERS_EACH
    entry = scene.ask(one(limit_order(SELLER, Side.SELL, WORST_TICKS, lots)))
    kinds = Counter(event.kind for event in entry)
    assert kinds == {EventKind.ORDER_ACCEPTED: 1, EventKind.TRADE: FILLS_MAX, EventKind.ORDER_CLOSED: 1}
    *_, closed = entry
    assert (closed.reason, closed.remaining_lots) == (Reason.FILL_LIMIT, lots - FILLS_MAX)
    assert scene.open_order_count() == lots - FILLS_MAX


def sell_a_few(scene: Scene) -> None:
    """The venue goes on: the next order is filled whole."""
    accepted, *trades = scene.ask(one(limit_order(SELLER, Side.SELL, WORST_TICKS, 100)))
    assert accepted.kind == EventKind.ORDER_ACCEPTED
    assert [trade.kind for trade in trades] == [EventKind.TRADE] * 100
    assert trades[-1].flags & EventFlag.TAKER_FILLED
    assert all(trade.flags & EventFlag.MAKER_FILLED for trade in trades)


def cancel_all(scene: Scene, account: int) -> None:
    """The orders of one client end in several entries, of which the first answers the command."""
    left = scene.open_orders(account)
    assert left > 2 * EVENTS_BEGIN_MAX
    entry: EventEntry | None = scene.ask(one(Command(kind=CommandKind.ORDER_CANCEL_ALL, account=account, market=1)))
    entries, answered = 0, 0
    while entry is not None:
        assert {event.reason for event in entry} == {Reason.CANCELLED_BY_OWNER}
        assert {event.command_index for event in entry} == {NO_COMMAND if entries else answered}
        left -= len(entry)
        entries += 1
        assert len(entry) == EVENTS_BEGIN_MAX or left == 0
        entry = scene.tick()
    assert (left, scene.open_orders(account)) == (0, 0)
    assert entries == 3


# -- a tenth of it in both engines


class TwinScene:
    """Both engines without a store; each entry's bytes are compared and bounded."""

    def __init__(self) -> None:
        self.engines = (ReferenceCore(), Core())
        self.number = 0

    def ask(self, builder: BatchBuilder) -> EventEntry:
        self.number += 1
        batch = builder.build(producer=1, incarnation=1, number=self.number)
        expected, actual = (engine.execute(self.number * 1_000, batch) for engine in self.engines)
        assert actual == expected, first_difference(expected, actual)
        entry = EventEntry(actual)
        assert len(entry) <= EVENTS_MAX
        return entry

    add = ask

    def tick(self) -> EventEntry | None:
        due = {engine.next_deadline_us for engine in self.engines}
        assert len(due) == 1
        return None if due == {None} else self.ask(one(Command(kind=CommandKind.TIME_TICK)))

    def open_orders(self, account: int) -> int:
        return len(self.engines[1].open_orders(account))

    def open_order_count(self) -> int:
        return self.engines[1].open_order_count


def test_a_tenth_of_the_scene_in_both_engines() -> None:
    scene, accounts = TwinScene(), ACCOUNTS // 10
    fill_book(scene, accounts)
    sell_against_all(scene, accounts)
    sell_a_few(scene)
    cancel_all(scene, FIRST_BUYER + accounts - 1)
    reference, compiled = scene.engines
    reference.check()
    compiled.check()
    assert compiled.dump() == reference.dump()


# -- all of it, on a store


class StoreScene:
    """The compiled engine's service on a real store. A second one follows it from the sweep on."""

    def __init__(self, client: Store, data: Path) -> None:
        self.client = client
        self.data = data
        self.services = [EngineService(client, Core(), data)]
        self.producer = Producer(client)
        self.ticker = Ticker(client, self.services[0].core, OwnProducer(client))
        self.waiting = 0

    def add(self, builder: BatchBuilder) -> None:
        self.producer.append(builder)
        self.waiting += 1
        if self.waiting == BATCHES_AT_ONCE:
            self.work_off()

    def ask(self, builder: BatchBuilder) -> EventEntry:
        id = self.producer.append(builder)
        self.work_off()
        return self.producer.wait_for(id)

    def tick(self) -> EventEntry | None:
        if self.ticker.wait_ms() is not None:
            return None
        before = self.services[0].cursor
        assert self.ticker.tick_if_due() is None
        self.work_off()
        [published] = read_events(self.client, before)
        return EventEntry(published.data)

    def work_off(self) -> None:
        self.waiting = 0
        for service in self.services:
            while service.step(block_ms=None):
                pass

    def follow(self) -> int:
        """A second engine replays what there is, and goes on next to the first; the number of entries."""
        second = EngineService(self.client, Core(), self.data)
        count = second.recover()
        self.services.append(second)
        self.check_alike()
        return count

    def check_alike(self) -> None:
        assert len({(service.cursor, service.head, service.core.state_hash()) for service in self.services}) == 1

    def open_orders(self, account: int) -> int:
        return len(self.services[0].core.open_orders(account))

    def open_order_count(self) -> int:
        return self.services[0].core.open_order_count


def check_entries(client: Store) -> int:
    """Every entry that was published is bounded; how many there are."""
    cursor, count = BEGINNING, 0
    while entries := read_events(client, cursor):
        for entry in entries:
            header = EVENT_HEADER.unpack_from(entry.data)
            assert header.event_count <= EVENTS_MAX, entry.id
            count += 1
        cursor = entries[-1].id
    return count


def test_the_whole_scene_on_a_store(tmp_path: Path) -> None:
    server, began_s = StoreProcess(maxmemory="8gb"), time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began_s:7.1f} s: {what}")

    try:
        client = server.client()
        prepare_store(client)
        start_venue(client)
        scene = StoreScene(client, tmp_path)
        fill_book(scene, ACCOUNTS)
        scene.work_off()
        assert scene.open_order_count() == ACCOUNTS * ORDERS_EACH
        say(f"{scene.open_order_count():,} orders rest")
        sell_against_all(scene, ACCOUNTS)
        sell_a_few(scene)
        say("one order has sold against them, and another one after it")
        say(f"a second engine has replayed {scene.follow():,} entries to the same state")
        cancel_all(scene, FIRST_BUYER + ACCOUNTS - 1)
        scene.check_alike()
        say("one client has cancelled all of its orders, in both engines alike")
        say(f"{check_entries(client):,} entries were published, each of at most {EVENTS_MAX:,} events")
        scene.services[0].core.check()
        say("the state is sound")
        client.close()
    finally:
        server.remove()
