"""Both engines side by side under Hypothesis, which looks for a short history that breaks an invariant or parts them."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.core import Core
from engine.records import (
    FEES,
    TIER_LIMITS,
    BatchBuilder,
    Command,
    CommandKind,
    EventEntry,
    EventKind,
    Fees,
    OrderType,
    Side,
    TierLimits,
    TimeInForce,
    client_id,
)
from engine.reference import Core as ReferenceCore
from tests.engine.query_parity import check_same_answers
from tests.engine.scenario import NOTE, Scenario

accounts = st.integers(1, 3)
sides = st.sampled_from(Side)
prices = st.integers(1, 12).map(lambda step: step * 100)
quantities = st.integers(1, 30)
tiers = st.sampled_from([b"default", b"maker", b"no tier", *(b"tier%d" % number for number in range(70))])
client_ids = st.sampled_from(["", "a", "b"]).map(client_id)


class TwinMachine(RuleBasedStateMachine):
    """Three clients in one market; every rule is one command, put to both engines."""

    def __init__(self) -> None:
        super().__init__()
        self.engines = (ReferenceCore(), Core())
        for engine in self.engines:
            Scenario(engine)
        self.number = 1
        self.order_ids: list[int] = []

    def put(self, command: Command, *parts: bytes) -> None:
        self.number += 1
        builder = BatchBuilder()
        builder.add(command, *parts)
        batch = builder.build(producer=1, incarnation=1, number=self.number)
        expected, actual = (engine.execute(self.number, batch) for engine in self.engines)
        assert actual == expected, (list(EventEntry(expected)), list(EventEntry(actual)))
        for event in EventEntry(expected):
            if event.kind == EventKind.ORDER_ACCEPTED:
                self.order_ids.append(event.order_id)

    @rule(
        account=accounts,
        side=sides,
        price=prices,
        quantity=quantities,
        kind=st.sampled_from(
            [
                (OrderType.LIMIT, TimeInForce.GTC),
                (OrderType.LIMIT, TimeInForce.IOC),
                (OrderType.LIMIT, TimeInForce.FOK),
                (OrderType.LIMIT_MAKER, TimeInForce.NONE),
            ]
        ),
        own_id=client_ids,
    )
    def place(
        self, account: int, side: Side, price: int, quantity: int, kind: tuple[OrderType, TimeInForce], own_id: bytes
    ) -> None:
        order = Command(kind=CommandKind.ORDER_PLACE, account=account, market=1, side=side, client_id=own_id)
        self.put(order._replace(order_type=kind[0], time_in_force=kind[1], price_ticks=price, quantity_lots=quantity))

    @rule(account=accounts, side=sides, quantity=quantities)
    def place_market(self, account: int, side: Side, quantity: int) -> None:
        order = Command(kind=CommandKind.ORDER_PLACE, account=account, market=1, side=side)
        self.put(order._replace(order_type=OrderType.MARKET, quantity_lots=quantity))

    @rule(account=accounts, side=sides, amount=st.integers(100, 20_000))
    def place_market_for(self, account: int, side: Side, amount: int) -> None:
        order = Command(kind=CommandKind.ORDER_PLACE, account=account, market=1, side=side)
        self.put(order._replace(order_type=OrderType.MARKET, amount=amount))

    @rule(account=accounts, pick=st.integers(0, 50))
    def cancel(self, account: int, pick: int) -> None:
        order_id = self.order_ids[-1 - pick % len(self.order_ids)] if self.order_ids else 1
        self.put(Command(kind=CommandKind.ORDER_CANCEL, account=account, market=1, order_id=order_id))

    @rule(account=accounts, own_id=client_ids)
    def cancel_by_client_id(self, account: int, own_id: bytes) -> None:
        self.put(Command(kind=CommandKind.ORDER_CANCEL, account=account, market=1, client_id=own_id))

    @rule(account=accounts)
    def cancel_all(self, account: int) -> None:
        self.put(Command(kind=CommandKind.ORDER_CANCEL_ALL, account=account))

    @rule(account=accounts, frozen=st.booleans())
    def freeze(self, account: int, frozen: bool) -> None:
        self.put(
            Command(kind=CommandKind.ACCOUNT_FREEZE if frozen else CommandKind.ACCOUNT_UNFREEZE, account=account), *NOTE
        )

    @rule(account=accounts, asset=st.integers(1, 2), amount=st.integers(0, 5_000))
    def withdraw(self, account: int, asset: int, amount: int) -> None:
        self.put(Command(kind=CommandKind.WITHDRAW, account=account, asset=asset, amount=amount), *NOTE)

    @rule(account=st.integers(0, 3), maker=st.sampled_from([0, 1, 100_000]), taker=st.sampled_from([0, 999, 100_000]))
    def set_fees(self, account: int, maker: int, taker: int) -> None:
        fees = FEES.pack(Fees(maker, taker))
        self.put(Command(kind=CommandKind.FEES_SET, account=account, market=1), fees, *NOTE)

    @rule(tier=tiers, orders=st.sampled_from([0, 1, 10**9, 10**9 + 1]), connections=st.sampled_from([0, 7]))
    def set_limits(self, tier: bytes, orders: int, connections: int) -> None:
        numbers = [connections or 1] * 7 if tier == b"default" else [0] * 7
        limits = TierLimits(*numbers)._replace(orders_per_10_s=orders, connections_per_5_min=connections)
        self.put(Command(kind=CommandKind.LIMITS_SET), TIER_LIMITS.pack(limits), tier, *NOTE)

    @rule(account=st.integers(0, 4), tier=tiers)
    def set_account_limits(self, account: int, tier: bytes) -> None:
        self.put(Command(kind=CommandKind.ACCOUNT_LIMITS_SET, account=account), tier, *NOTE)

    @invariant()
    def sound_and_alike(self) -> None:
        reference, compiled = self.engines
        reference.check()
        compiled.check()
        assert compiled.dump() == reference.dump()
        check_same_answers(reference, compiled)


TwinMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTwinMachine = TwinMachine.TestCase
