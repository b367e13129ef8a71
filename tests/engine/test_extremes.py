"""What the limits of the numbers allow: markets, amounts and ids as large as a definition or an epoch may make them."""

from __future__ import annotations

import pytest

from engine.core import Core
from engine.definitions import RULES_VERSION
from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    ASSET_DEFINITION,
    EPOCH_START,
    ID_MAX,
    MARKET_DEFINITION,
    NO_CLIENT_ID,
    AssetDefinition,
    BatchBuilder,
    Command,
    CommandKind,
    EngineStop,
    EpochStart,
    Event,
    EventEntry,
    EventKind,
    MarketDefinition,
    OrderType,
    Side,
    TimeInForce,
)
from engine.reference import Core as ReferenceCore
from tests.engine.query_parity import check_same_answers
from tests.engine.scenario import NOTE
from tests.engine.test_twin import first_difference

Asked = tuple[Command, *tuple[bytes, ...]]

QUOTE, BASE = 1, 2
UNIT_MARKET = MarketDefinition(BASE, QUOTE, 10**8, 1, 1, AMOUNT_MAX, 1, AMOUNT_MAX, 100, AMOUNT_MAX, 0, 0, 10_000, 0)
"""One lot at one tick is worth one unit, and everything may be as large as there is."""


class Twins:
    """Both engines with one market, two assets without decimals, and clients 1 to 3; each entry is compared."""

    def __init__(
        self, definition: MarketDefinition = UNIT_MARKET, *, quote_scale: int = 0, base_scale: int = 0
    ) -> None:
        self.engines = [ReferenceCore(), Core()]
        self.number = 0
        self.put(
            (Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(quote_scale)), b"Q", *NOTE),
            (Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(base_scale)), b"B", *NOTE),
            (Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(definition), b"BQ", *NOTE),
            *((Command(kind=CommandKind.ACCOUNT_ADD), f"client{account}".encode(), *NOTE) for account in (1, 2, 3)),
        )

    def put(self, *asked: Asked) -> list[Event]:
        """Puts one batch to both engines; the events, after both states were checked."""
        builder = BatchBuilder()
        for command, *parts in asked:
            builder.add(command, *parts)
        self.number += 1
        batch = builder.build(producer=7, incarnation=1, number=self.number)
        expected, actual = (engine.execute(self.number, batch) for engine in self.engines)
        assert actual == expected, first_difference(expected, actual)
        self.check()
        return list(EventEntry(actual))

    def check(self) -> None:
        for engine in self.engines:
            engine.check()
        check_same_answers(*self.engines)
        assert self.engines[0].dump() == self.engines[1].dump()

    def load(self) -> None:
        """Each goes on from what the other has dumped."""
        reference, compiled = self.engines
        self.engines = [ReferenceCore.load(compiled.dump()), Core.load(reference.dump())]
        self.check()


def deposit(account: int, asset: int, amount: int) -> Asked:
    return (Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=amount), *NOTE)


def withdraw(account: int, asset: int, amount: int) -> Asked:
    return (Command(kind=CommandKind.WITHDRAW, account=account, asset=asset, amount=amount), *NOTE)


def limit(account: int, side: Side, price_ticks: int, quantity_lots: int, client_id: bytes = NO_CLIENT_ID) -> Asked:
    order = Command(
        kind=CommandKind.ORDER_PLACE,
        account=account,
        market=1,
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=price_ticks,
        quantity_lots=quantity_lots,
        client_id=client_id,
    )
    return (order,)


def market_by_quote(account: int, side: Side, amount: int) -> Asked:
    order = Command(
        kind=CommandKind.ORDER_PLACE, account=account, market=1, side=side, order_type=OrderType.MARKET, amount=amount
    )
    return (order,)


def cancel(account: int, order_id: int) -> Asked:
    return (Command(kind=CommandKind.ORDER_CANCEL, account=account, market=1, order_id=order_id),)


def skip_ids(count: int) -> Asked:
    start = EpochStart(previous_epoch=1, previous_sequence=1, rules_version=RULES_VERSION, ids_skip=count)
    return (Command(kind=CommandKind.EPOCH_START), EPOCH_START.pack(start))


def test_a_sell_by_quote_amount_needs_what_passes_64_bits() -> None:
    """Four bids of the largest quantity together ask for more base units than 64 bits hold: no account can sell that."""
    lot_units, largest = 10**14, AMOUNT_MAX // 10**14
    definition = UNIT_MARKET._replace(
        tick_e8=1, lot_units=lot_units, price_max_ticks=10**6, quantity_max_lots=largest, notional_min=100
    )
    twins = Twins(definition, base_scale=6)
    twins.put(deposit(1, QUOTE, 10**6), *(limit(1, Side.BUY, 1, largest) for _ in range(10)))
    for bids in range(1, 11):
        (event,) = twins.put(market_by_quote(2, Side.SELL, largest * bids))
        assert (event.kind, event.reason) == (EventKind.REJECTED, Reason.INSUFFICIENT_FUNDS)


def test_an_order_that_was_paid_more_than_the_venue_ever_has_at_once_is_loaded() -> None:
    """Its first fill brings all there is of the quote asset, which is paid out, paid in again, and paid to it again."""
    twins = Twins()
    twins.put(deposit(1, QUOTE, AMOUNT_MAX), deposit(2, BASE, 3), limit(1, Side.BUY, AMOUNT_MAX, 1))
    twins.put(limit(2, Side.SELL, 10**18, 3), withdraw(2, QUOTE, AMOUNT_MAX), deposit(1, QUOTE, AMOUNT_MAX))
    _, trade = twins.put(limit(1, Side.BUY, 10**18, 1))
    assert trade.maker_cumulative_quote == AMOUNT_MAX + 10**18
    twins.load()


def test_ids_that_differ_by_a_multiple_of_2_32_are_not_taken_for_each_other() -> None:
    """The list of an account's open orders keeps those that have gone for a while, with the lower half of their ids."""
    twins = Twins()
    twins.put(deposit(1, QUOTE, 10**6), limit(1, Side.BUY, 100, 1), limit(1, Side.BUY, 101, 1))
    twins.put(cancel(1, 1), skip_ids((1 << 32) - 2))
    (accepted,) = twins.put(limit(1, Side.BUY, 102, 1))
    assert accepted.order_id == (1 << 32) + 1
    closed = twins.put((Command(kind=CommandKind.ORDER_CANCEL_ALL, account=1),))
    assert [event.order_id for event in closed] == [2, (1 << 32) + 1]


def test_an_order_that_ends_after_the_ids_have_jumped_is_not_taken_for_a_new_one() -> None:
    twins = Twins()
    twins.put(deposit(1, QUOTE, 10**6), limit(1, Side.BUY, 100, 1), limit(1, Side.BUY, 101, 1))
    twins.put(skip_ids((1 << 32) - 2), cancel(1, 1))
    twins.put(limit(1, Side.BUY, 102, 1))
    closed = twins.put((Command(kind=CommandKind.ORDER_CANCEL_ALL, account=1),))
    assert [event.order_id for event in closed] == [2, (1 << 32) + 1]


def test_an_epoch_leaves_ids_for_the_orders_to_come() -> None:
    """Ids stay below 2^53; a state that has passed that is one that no engine loads."""
    twins = Twins()
    twins.put(deposit(1, QUOTE, 10**6), limit(1, Side.BUY, 100, 1), skip_ids(ID_MAX // 2 - 1))
    twins.put(limit(1, Side.BUY, 100, 1))
    twins.load()
    builder = BatchBuilder()
    command, part = skip_ids(1)
    builder.add(command, part)
    batch = builder.build(producer=7, incarnation=1, number=twins.number + 1)
    for engine in twins.engines:
        with pytest.raises(EngineStop, match="too few would be left"):
            engine.execute(twins.number + 1, batch)
