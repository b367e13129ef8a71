"""The fees of an order are the exact sum, rounded up once: however many fills it has, and whatever the rates do between them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import Core
from engine.records import (
    AMOUNT_MAX,
    ASSET_DEFINITION,
    FEE_PPM_MAX,
    FEES,
    MARKET_DEFINITION,
    PPM,
    AssetDefinition,
    BatchBuilder,
    Command,
    CommandKind,
    EventEntry,
    EventKind,
    Fees,
    MarketDefinition,
    OrderType,
    Side,
    TimeInForce,
    TradeEvent,
)
from engine.reference import Core as ReferenceCore
from engine.reference.money import fee_of
from tests.engine.scenario import NOTE, Engine, Scenario

SEED = int(os.environ.get("JIBEK_SEED", "20261128"))
REPEAT = f"repeat with: JIBEK_SEED={SEED} python -m pytest tests/engine/test_fees.py"

Asked = tuple[Command, *tuple[bytes, ...]]


class Bills:
    """What the orders of a market have received and paid, as their TRADE events say."""

    def __init__(self) -> None:
        self.credit: dict[int, int] = {}
        """By order, in millionths of a smallest unit, as are all amounts that are not whole."""
        self.due: dict[int, int] = {}
        """What all fills of an order make exactly: received × rate."""
        self.paid: dict[int, int] = {}

    def take(self, entry: Iterable[object]) -> None:
        for event in entry:
            if isinstance(event, TradeEvent):
                received = (event.base_amount, event.quote_amount)
                if event.side == Side.SELL:
                    received = received[::-1]
                self.add(event.order_id, received[0], event.fee, event.fee_ppm, event.fee_credit)
                self.add(
                    event.maker_order_id, received[1], event.maker_fee, event.maker_fee_ppm, event.maker_fee_credit
                )

    def add(self, order_id: int, received: int, fee: int, rate_ppm: int, credit: int) -> None:
        before = self.credit.get(order_id, 0)
        assert fee * PPM == received * rate_ppm + credit - before
        assert (fee, credit) == fee_of(received, rate_ppm, before)
        assert 0 <= credit < PPM and 0 <= fee <= received
        self.credit[order_id] = credit
        self.due[order_id] = self.due.get(order_id, 0) + received * rate_ppm
        self.paid[order_id] = self.paid.get(order_id, 0) + fee

    def check(self) -> None:
        """Each order has paid what it owes in all, rounded up once."""
        assert self.paid == {order_id: -(-due // PPM) for order_id, due in self.due.items()}


def place(account: int, side: Side, price_ticks: int, lots: int) -> Asked:
    order = Command(kind=CommandKind.ORDER_PLACE, account=account, market=1, side=side, order_type=OrderType.LIMIT)
    return (order._replace(time_in_force=TimeInForce.GTC, price_ticks=price_ticks, quantity_lots=lots),)


def set_fees(account: int, market: int, maker_ppm: int, taker_ppm: int) -> Asked:
    return (
        Command(kind=CommandKind.FEES_SET, account=account, market=market), FEES.pack(Fees(maker_ppm, taker_ppm)), *NOTE
    )  # fmt: skip


def batch_of(commands: list[Asked]) -> BatchBuilder:
    builder = BatchBuilder()
    for command, *parts in commands:
        builder.add(command, *parts)
    return builder


# -- any fills, any rates, in both engines


rates = st.one_of(st.sampled_from([0, 1, 999, 1_000, 2_500, 99_999, FEE_PPM_MAX]), st.integers(0, FEE_PPM_MAX))
fee_changes = st.builds(set_fees, st.integers(0, 3), st.just(1), rates, rates)
fees_for_all = st.builds(set_fees, st.integers(1, 3), st.just(0), rates, rates)
orders = st.builds(
    place, st.integers(1, 3), st.sampled_from(Side), st.sampled_from([100, 101, 137, 999]), st.integers(1, 40)
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.one_of(orders, orders, orders, fee_changes, fees_for_all), min_size=8, max_size=60))
def test_an_order_pays_what_it_owes_rounded_up_once(commands: list[Asked]) -> None:
    bills = Bills()
    reference, compiled = (Scenario(core, open_orders_max=1_000) for core in (ReferenceCore(), Core()))
    for start in range(0, len(commands), 8):
        events = reference.execute(batch_of(commands[start : start + 8]))
        assert compiled.execute(batch_of(commands[start : start + 8])) == events
        bills.take(events)
    bills.check()


# -- amounts of all sizes, up to the largest


WIDE = MarketDefinition(
    base_asset=2,
    quote_asset=1,
    tick_e8=100_000_000,
    lot_units=1,
    price_min_ticks=1,
    price_max_ticks=AMOUNT_MAX,
    quantity_min_lots=1,
    quantity_max_lots=AMOUNT_MAX,
    notional_min=100,
    notional_max=AMOUNT_MAX,
    open_orders_max=10,
)
SELLER, BUYER = 1, 2


class WideMarket:
    """A market in which a price and a quantity may be all that 2^62 can hold, with a seller and a buyer who begin each
    round with exactly what they need. What the house has taken cannot be paid in again."""

    def __init__(self) -> None:
        self.core = Core()
        self.number = 0
        self.house = {1: 0, 2: 0}
        setup: list[Asked] = [
            (Command(kind=CommandKind.ASSET_ADD), ASSET_DEFINITION.pack(AssetDefinition(0)), name, *NOTE)
            for name in (b"KZT", b"BTC")
        ]
        setup.append((Command(kind=CommandKind.MARKET_ADD), MARKET_DEFINITION.pack(WIDE), b"BTCKZT", *NOTE))
        setup += [(Command(kind=CommandKind.ACCOUNT_ADD), name, *NOTE) for name in (b"seller", b"buyer")]
        self.execute(setup)

    def execute(self, commands: list[Asked]) -> EventEntry:
        self.number += 1
        batch = batch_of(commands).build(producer=1, incarnation=1, number=self.number)
        entry = EventEntry(self.core.execute(self.number, batch))
        assert all(event.kind != EventKind.REJECTED for event in entry), list(entry)
        return entry

    def round(self, pick: random.Random, bills: Bills) -> None:
        """One maker, filled by up to six takers of any size, with other rates before each."""
        room = AMOUNT_MAX - max(self.house.values())
        price = pick.randrange(1, 1 << pick.randrange(1, 61))
        largest = min(room // price, 1 << pick.randrange(8, 63))
        least = -(-WIDE.notional_min // price)
        if largest < 6 * least:
            return
        fills = [pick.randrange(least, largest // 6 + 1) for _ in range(pick.randrange(1, 7))]
        maker, taker = pick.choice(((SELLER, BUYER), (BUYER, SELLER)))
        sides = {SELLER: Side.SELL, BUYER: Side.BUY}
        commands = [
            deposit(SELLER, 2, sum(fills)),
            deposit(BUYER, 1, price * sum(fills)),
            place(maker, sides[maker], price, sum(fills)),
        ]
        for lots in fills:
            account = pick.choice((0, maker, taker))
            commands.append(set_fees(account, 1, pick.randrange(FEE_PPM_MAX + 1), pick.randrange(FEE_PPM_MAX + 1)))
            commands.append(place(taker, sides[taker], price, lots))
        bills.take(self.execute(commands))
        self.house = {1: 0, 2: 0, **{asset: available for asset, available, _ in self.core.account_balances(0)}}
        self.execute(
            [
                (Command(kind=CommandKind.WITHDRAW, account=account, asset=asset, amount=available), *NOTE)
                for account, asset, available, _ in self.core.balances()
                if account
            ]
        )


def deposit(account: int, asset: int, amount: int) -> Asked:
    return (Command(kind=CommandKind.DEPOSIT, account=account, asset=asset, amount=amount), *NOTE)


def test_20_000_orders_of_all_sizes_pay_what_the_reference_says() -> None:
    pick = random.Random(SEED)
    orders, largest = 0, 0
    while orders < 20_000:
        market, bills = WideMarket(), Bills()
        for _ in range(50):
            market.round(pick, bills)
        market.core.check()
        bills.check()
        orders += len(bills.paid)
        largest = max(largest, *bills.due.values())
    assert largest > 2**60 * 50_000, f"no order received a large amount; {REPEAT}"


def test_one_fill_of_the_largest_amount() -> None:
    for rate_ppm in (1, 999, FEE_PPM_MAX):
        market, bills = WideMarket(), Bills()
        entry = market.execute(
            [
                set_fees(0, 1, rate_ppm, rate_ppm),
                deposit(SELLER, 2, AMOUNT_MAX),
                deposit(BUYER, 1, AMOUNT_MAX),
                place(SELLER, Side.SELL, 1, AMOUNT_MAX),
                place(BUYER, Side.BUY, 1, AMOUNT_MAX),
            ]
        )
        bills.take(entry)
        bills.check()
        assert list(bills.paid.values()) == [-(-AMOUNT_MAX * rate_ppm // PPM)] * 2
        market.core.check()


# -- many small fills and one large one


@pytest.mark.parametrize("make_core", [ReferenceCore, Core], ids=["reference", "compiled"])
@pytest.mark.parametrize(("maker_ppm", "taker_ppm"), [(1, 1), (999, 1_001), (1_000, 2_500), (33_333, 100_000)])
@pytest.mark.parametrize("price_ticks", [100, 137, 999])
def test_a_hundred_fills_of_one_lot_cost_what_one_fill_of_a_hundred_costs(
    make_core: type[Engine], maker_ppm: int, taker_ppm: int, price_ticks: int
) -> None:
    def paid(maker_side: Side, makers: list[int], takers: list[int]) -> tuple[int, int]:
        """What all makers and all takers have paid."""
        scenario, bills = Scenario(make_core(), open_orders_max=1_000), Bills()
        taker_side = Side.BUY if maker_side == Side.SELL else Side.SELL
        bills.take(
            scenario.execute(
                batch_of(
                    [
                        set_fees(0, 1, maker_ppm, taker_ppm),
                        *(place(1, maker_side, price_ticks, lots) for lots in makers),
                        *(place(2, taker_side, price_ticks, lots) for lots in takers),
                    ]
                )
            )
        )
        bills.check()
        fees = list(bills.paid.items())
        return tuple(  # type: ignore[return-value]
            sum(fee for order_id, fee in fees if (order_id <= len(makers)) == is_maker) for is_maker in (True, False)
        )

    for maker_side in Side:
        whole = paid(maker_side, [100], [100])
        assert paid(maker_side, [100], [1] * 100)[0] == whole[0], "the maker's hundred fills"
        assert paid(maker_side, [1] * 100, [100])[1] == whole[1], "the taker's hundred fills"
        # A hundred orders are another thing: each is rounded up for itself.
        assert paid(maker_side, [1] * 100, [100])[0] >= whole[0]
