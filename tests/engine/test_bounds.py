"""Entries stay small whatever is asked for (promise P9): bursts of orders, sweeps and cancel-alls through both engines."""

from __future__ import annotations

import os
import random

import pytest

from engine.core import Core
from engine.reasons import Reason
from engine.records import (
    BATCH_COMMANDS_MAX,
    EVENT_HEADER,
    EVENTS_BEGIN_MAX,
    EVENTS_MAX,
    NO_COMMAND,
    BatchBuilder,
    Command,
    CommandKind,
    EventEntry,
    EventKind,
    OrderType,
    Side,
    TimeInForce,
)
from engine.reference import Core as ReferenceCore
from tests.engine.scenario import NOTE, Scenario
from tests.engine.test_twin import first_difference

SEED = int(os.environ.get("JIBEK_SEED", "20261126"))
ENTRY_BYTES_MAX = EVENT_HEADER.size + EVENTS_MAX * 256 + 48 * 1024


class Twins:
    """Both engines, put the same entries; each entry's bytes are compared and bounded."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.engines = [ReferenceCore(), Core()]
        self.number = Scenario(self.engines[0], 100_000).number
        Scenario(self.engines[1], 100_000)
        self.seen: dict[str, int] = {}

    @property
    def repeat(self) -> str:
        return f"repeat with: JIBEK_SEED={self.seed} python -m pytest tests/engine/test_bounds.py"

    def put(self, commands: list[tuple[Command, *tuple[bytes, ...]]]) -> EventEntry:
        builder = BatchBuilder()
        for command, *parts in commands:
            builder.add(command, *parts)
        self.number += 1
        batch = builder.build(producer=1, incarnation=1, number=self.number)
        expected, actual = (engine.execute(self.number * 1_000_000, batch) for engine in self.engines)
        assert actual == expected, f"{first_difference(expected, actual)}; {self.repeat}"
        assert len(actual) <= ENTRY_BYTES_MAX, self.repeat
        entry = EventEntry(actual)
        assert len(entry) <= EVENTS_MAX, self.repeat
        for event in entry:
            name = Reason(event.reason).name if event.reason else EventKind(event.kind).name
            name += " of before" if event.command_index == NO_COMMAND else ""
            self.seen[name] = self.seen.get(name, 0) + 1
        return entry

    def put_all(self, commands: list[tuple[Command, *tuple[bytes, ...]]]) -> None:
        for start in range(0, len(commands), BATCH_COMMANDS_MAX):
            self.put(commands[start : start + BATCH_COMMANDS_MAX])

    def check(self) -> None:
        reference, compiled = self.engines
        reference.check()
        compiled.check()
        assert compiled.dump() == reference.dump(), self.repeat
        assert compiled.next_deadline_us == reference.next_deadline_us, self.repeat

    def exchange_dumps(self) -> None:
        """Each engine goes on from what the other has dumped."""
        self.engines = [ReferenceCore.load(self.engines[1].dump()), Core.load(self.engines[0].dump())]

    # -- what happens

    def fund(self) -> None:
        """Gives the clients more than they can spend."""
        for account in (1, 2, 3):
            for asset in (1, 2):
                self.put([(Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=10**9), *NOTE)])

    def order(self, account: int, side: Side, price: int, quantity: int, in_force: TimeInForce) -> tuple[Command]:
        return (
            Command(
                kind=CommandKind.ORDER_PLACE,
                account=account,
                market=1,
                side=side,
                order_type=OrderType.LIMIT,
                time_in_force=in_force,
                price_ticks=price,
                quantity_lots=quantity,
            ),
        )

    def burst(self) -> None:
        """Some thousand small orders of one account at a few prices."""
        pick = self.random
        account, side = pick.randrange(1, 4), pick.choice(list(Side))
        best = 100 if side == Side.BUY else 101
        step = -1 if side == Side.BUY else 1
        count = pick.choice((100, 3_000, 9_000))
        self.put([(Command(kind=CommandKind.ACCOUNT_UNFREEZE, account=account), *NOTE)])
        orders = [
            self.order(account, side, best + step * pick.randrange(1, 4), 1 + pick.randrange(2), TimeInForce.GTC)
            for _ in range(count)
        ]
        # The least value of an order is 100, and prices below 100 need two lots.
        self.put_all([(order._replace(quantity_lots=2 * order.quantity_lots),) for (order,) in orders])

    def storm(self) -> None:
        """One batch of what makes many events, among commands that make one."""
        pick = self.random
        self.put([self.choose() for _ in range(pick.choice((1, 3, 20)))])

    def choose(self) -> tuple[Command, *tuple[bytes, ...]]:
        pick = self.random
        account, side = pick.randrange(1, 4), pick.choice(list(Side))
        price = 110 if side == Side.BUY else 90
        lots = pick.choice((50, 2_000, 5_000, 9_000))
        market = Command(
            kind=CommandKind.ORDER_PLACE, account=account, market=1, side=side, order_type=OrderType.MARKET
        )
        market = market._replace(quantity_lots=lots) if pick.random() < 0.5 else market._replace(amount=100 * lots)
        commands: tuple[tuple[Command, *tuple[bytes, ...]], ...] = (
            self.order(account, side, price, lots, pick.choice((TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK))),
            (market,),
            (Command(kind=CommandKind.ORDER_CANCEL_ALL, account=account, market=pick.randrange(2)),),
            (Command(kind=CommandKind.ORDER_CANCEL, account=account, market=1, order_id=pick.randrange(1, 30_000)),),
            (Command(kind=CommandKind.ACCOUNT_FREEZE, account=account), *NOTE),
            (Command(kind=CommandKind.ACCOUNT_UNFREEZE, account=account), *NOTE),
            (Command(kind=CommandKind.TIME_TICK),),
            (Command(kind=CommandKind.STATE_REPORT),),
            (Command(kind=CommandKind.TIME_ACCEPT, amount=pick.choice((0, -7, 10**10))), *NOTE),
        )
        return pick.choices(commands, (6, 2, 2, 4, 1, 3, 1, 1, 1))[0]

    def leave_work(self) -> None:
        """A cancel-all of more orders than one entry takes."""
        self.settle()
        self.put([(Command(kind=CommandKind.ACCOUNT_UNFREEZE, account=1), *NOTE)])
        self.put_all([self.order(1, Side.BUY, 50, 2, TimeInForce.GTC)] * (EVENTS_BEGIN_MAX + 1))
        entry = self.put([(Command(kind=CommandKind.ORDER_CANCEL_ALL, account=1),)] * 2)
        assert next(reversed(list(entry))).reason == Reason.OVERLOADED, self.repeat
        self.check()

    def tick(self) -> None:
        self.put([(Command(kind=CommandKind.TIME_TICK),)])

    def settle(self) -> None:
        """Ticks until nothing is left to do."""
        ticks = 0
        while self.engines[1].next_deadline_us is not None:
            self.tick()
            ticks += 1
            assert ticks < 1_000, f"the agenda does not end; {self.repeat}"


def run(seed: int, rounds: int) -> dict[str, int]:
    twins = Twins(seed)
    twins.fund()
    for _ in range(rounds):
        twins.burst()
        for _ in range(twins.random.randrange(1, 5)):
            twins.storm()
            twins.check()
            if twins.random.random() < 0.3:
                twins.exchange_dumps()
        if twins.random.random() < 0.5:
            twins.settle()
            twins.check()
    twins.leave_work()
    twins.exchange_dumps()
    twins.settle()
    twins.check()
    return twins.seen


def test_storms_make_small_entries_in_both_engines() -> None:
    seen = run(SEED, 10)
    expected = {"TRADE", "FILL_LIMIT", "OVERLOADED", "CANCELLED_BY_OWNER"}
    assert expected <= seen.keys(), (sorted(expected - seen.keys()), seen)
    assert any(name.endswith(" of before") for name in seen), seen


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_many_storms(seed: int) -> None:
    run(SEED + seed, 150)
