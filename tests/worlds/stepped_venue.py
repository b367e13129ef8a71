"""A venue that goes on when the test says so: a real store, the reference engine in this process, orders on demand."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from engine.journal import EVENTS_KEY, Producer, Store, connect, prepare_store, start_venue
from engine.process import StopRequest
from engine.records import (
    BatchBuilder,
    Command,
    CommandKind,
    Event,
    EventEntry,
    OrderType,
    Side,
    TimeInForce,
)
from engine.reference import Core
from engine.service.engine import EngineService
from tests.worlds.accounts import ASSETS, MARKETS
from tests.worlds.definition import world_venue


class SteppedVenue:
    """A venue on a real store. Its engine runs in this process, and works off the journal when `execute` is called."""

    def __init__(self, client: Store, data_dir: Path) -> None:
        prepare_store(client)
        start_venue(client)
        self.client = client
        self.core = Core()
        self.engine = EngineService(client, self.core, data_dir)
        self.producer = Producer(client)
        for builder in world_venue().batches("test"):
            self.execute(builder)
        self.assets = ASSETS
        self.markets = MARKETS

    def append(self, builder: BatchBuilder) -> None:
        """Appends a batch, for an `EngineThread` to answer."""
        self.producer.append(builder)

    def execute(self, builder: BatchBuilder) -> EventEntry:
        """Appends a batch and lets the engine answer it."""
        self.append(builder)
        while self.step():
            pass
        [(_, fields)] = self.client.xrevrange(EVENTS_KEY, count=1)
        return EventEntry(fields[b"b"])

    def step(self) -> int:
        """Lets the engine answer the next entries of the journal; how many it answered."""
        return self.engine.step(block_ms=None)

    def command(self, kind: CommandKind, *parts: bytes, **fields: int) -> Event:
        """Executes one command in an entry of its own; the event that answers it."""
        builder = BatchBuilder()
        builder.add(Command(kind=kind, **fields), *parts)  # type: ignore[arg-type]
        return next(iter(self.execute(builder)))

    def add_account(self, name: str, **deposits: int) -> int:
        """A new account with so many smallest units of each asset; its number."""
        account = self.command(CommandKind.ACCOUNT_ADD, name.encode(), b"test", b"", b"").account
        for asset, amount in deposits.items():
            self.deposit(account, asset, amount)
        return account

    def deposit(self, account: int, asset: str, amount: int) -> Event:
        return self.command(
            CommandKind.DEPOSIT, b"test", b"", b"", account=account, asset=self.assets[asset], amount=amount
        )

    def withdraw(self, account: int, asset: str, amount: int) -> Event:
        return self.command(
            CommandKind.WITHDRAW, b"test", b"", b"", account=account, asset=self.assets[asset], amount=amount
        )

    def order(self, account: int, side: Side, price_ticks: int, quantity_lots: int, market: str = "BTCKZT") -> Command:
        """A LIMIT order, good till cancelled."""
        return Command(
            kind=CommandKind.ORDER_PLACE,
            account=account,
            market=self.markets[market],
            side=side,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            price_ticks=price_ticks,
            quantity_lots=quantity_lots,
        )

    def trade_once(self) -> None:
        """Opens account 1, alice, with 60,000,000 KZT and account 2, bob, with 1 BTC. She buys 0.5 BTC of him for
        25,000,000 KZT, and her order for 0.1 BTC at a lower price rests."""
        alice = self.add_account("alice", KZT=60_000_000_00)
        bob = self.add_account("bob", BTC=100_000_000)
        for command in (
            self.order(bob, Side.SELL, 50_000, 50_000),
            self.order(alice, Side.BUY, 50_000, 50_000),
            self.order(alice, Side.BUY, 40_000, 10_000),
        ):
            builder = BatchBuilder()
            builder.add(command)
            self.execute(builder)

    def trade_at_random(self, seed: int, entries: int, commands_per_entry: int = 20, accounts: int = 6) -> None:
        """Opens accounts with money, and sends so many entries of a mixed flow of orders."""
        source = random.Random(seed)
        numbers = [
            self.add_account(f"trader-{seed}-{i}", KZT=10**13, USDT=10**15, BTC=10**11, ETH=10**12)
            for i in range(accounts)
        ]
        for _ in range(entries):
            builder = BatchBuilder()
            for _ in range(source.randint(1, commands_per_entry)):
                builder.add(*random_command(source, self, numbers))
            self.execute(builder)


def random_command(
    source: random.Random, venue: SteppedVenue, accounts: list[int]
) -> tuple[Command, bytes, bytes, bytes] | tuple[Command]:
    """One command of a mixed flow: mostly orders around one price, some cancels, some money in and out."""
    account, market = source.choice(accounts), source.choice(list(venue.markets.values()))
    choice = source.random()
    if choice < 0.06:
        kind = source.choice((CommandKind.DEPOSIT, CommandKind.WITHDRAW))
        asset = source.choice(list(venue.assets.values()))
        return Command(kind=kind, account=account, asset=asset, amount=source.randint(1, 10**9)), b"test", b"why", b""
    if choice < 0.12:
        return (Command(kind=CommandKind.ORDER_CANCEL_ALL, account=account, market=market),)
    side = source.choice(list(Side))
    lots = source.randint(100, 2_000)
    if choice < 0.22:
        return (
            Command(
                kind=CommandKind.ORDER_PLACE, account=account, market=market, side=side,
                order_type=OrderType.MARKET, quantity_lots=lots,
            ),
        )  # fmt: skip
    order_type, time_in_force = source.choice(
        (
            (OrderType.LIMIT, TimeInForce.GTC),
            (OrderType.LIMIT, TimeInForce.GTC),
            (OrderType.LIMIT, TimeInForce.IOC),
            (OrderType.LIMIT, TimeInForce.FOK),
            (OrderType.LIMIT_MAKER, TimeInForce.NONE),
        )
    )
    price = {1: 50_000, 2: 20_000, 3: 47_000, 4: 9_000_000}[market]
    return (
        Command(
            kind=CommandKind.ORDER_PLACE, account=account, market=market, side=side, order_type=order_type,
            time_in_force=time_in_force, price_ticks=price + source.randint(-20, 20), quantity_lots=lots,
        ),
    )  # fmt: skip


class BackgroundThread:
    """Work that goes on in a thread inside a `with`. It ends soon after the `StopRequest` that it gets is set."""

    def __init__(self, work: Callable[[StopRequest], object]) -> None:
        self._stop = StopRequest()
        self._thread = threading.Thread(target=work, args=(self._stop,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


class EngineThread(BackgroundThread):
    """The engine of a venue, at work over a connection of its own."""

    def __init__(self, venue: SteppedVenue, url: str) -> None:
        super().__init__(self._work)
        self.venue = venue
        self.url = url

    def _work(self, stop: StopRequest) -> None:
        client, self.venue.engine.client = self.venue.engine.client, connect(self.url)
        while not stop:
            if not self.venue.step():
                stop.wait(0.002)
        self.venue.engine.client.close()
        self.venue.engine.client = client
