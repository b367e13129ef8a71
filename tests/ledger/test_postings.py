"""The rules of double entry, event by event, and what holds for all of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import Event, EventKind, MalformedRecord, OrderEvent, PreventedEvent, Side, TradeEvent
from ledger.accounts import Account, AccountKind, credits, debits, slot_asset, slot_kinds
from ledger.postings import TRANSFER_BYTES, PostingError, TransferCode, net, pack_transfers, post, unpack_transfers
from tests.worlds.ledger import event_entry

KZT, BTC = 1, 3
ALICE, BOB = 11, 12

NAMES = {
    (ALICE, AccountKind.CLIENT): "alice",
    (ALICE, AccountKind.HOLD): "alice's hold",
    (BOB, AccountKind.CLIENT): "bob",
    (BOB, AccountKind.HOLD): "bob's hold",
    (0, AccountKind.FEE): "fees",
    (0, AccountKind.HOLD): "house's hold",
    (0, AccountKind.CUSTODY): "custody",
    (0, AccountKind.CLEARING): "clearing",
}


def rows(*events: Event) -> list[tuple[str, str, str, str, int]]:
    """The transfers of these events as readable rows."""
    found = []
    for transfer in unpack_transfers(post(event_entry(*events)).transfers):
        debit, credit = Account.of(transfer.debit), Account.of(transfer.credit)
        assert debit.asset == credit.asset == transfer.asset
        asset = {KZT: "KZT", BTC: "BTC"}[transfer.asset]
        debited, credited = (NAMES[account.owner, account.kind] for account in (debit, credit))
        found.append((TransferCode(transfer.code).name, debited, credited, asset, transfer.amount))
    return found


def order(kind: EventKind, side: Side, hold_change: int, account: int = ALICE) -> OrderEvent:
    return OrderEvent(kind=kind, side=side, account=account, base_asset=BTC, quote_asset=KZT, hold_change=hold_change)


def trade(side: Side, **changes: Any) -> TradeEvent:
    """Alice takes from Bob: 10 BTC units for 500 KZT units, both limit orders, fees 1 and 2."""
    buyer, seller = ({"hold_change": -500}, {"hold_change": -10})
    taker, maker = (buyer, seller) if side == Side.BUY else (seller, buyer)
    values: dict[str, Any] = {
        "hold_change": taker["hold_change"],
        "maker_hold_change": maker["hold_change"],
        "base_amount": 10,
        "quote_amount": 500,
        "fee": 1,
        "maker_fee": 2,
    } | changes
    return TradeEvent(
        kind=EventKind.TRADE, side=side, account=ALICE, maker_account=BOB, base_asset=BTC, quote_asset=KZT, **values
    )


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (order(EventKind.ORDER_ACCEPTED, Side.BUY, 500), [("HOLD", "alice", "alice's hold", "KZT", 500)]),
        (order(EventKind.ORDER_ACCEPTED, Side.SELL, 10), [("HOLD", "alice", "alice's hold", "BTC", 10)]),
        (order(EventKind.ORDER_ACCEPTED, Side.BUY, 0), []),
        (order(EventKind.ORDER_CLOSED, Side.BUY, -300), [("RELEASE", "alice's hold", "alice", "KZT", 300)]),
        (order(EventKind.ORDER_CLOSED, Side.SELL, -10), [("RELEASE", "alice's hold", "alice", "BTC", 10)]),
        (order(EventKind.ORDER_CLOSED, Side.SELL, 0), []),
        (
            OrderEvent(kind=EventKind.DEPOSITED, account=ALICE, asset=BTC, amount=7),
            [("DEPOSIT_IN", "custody", "clearing", "BTC", 7), ("DEPOSIT", "clearing", "alice", "BTC", 7)],
        ),
        (
            OrderEvent(kind=EventKind.WITHDRAWN, account=ALICE, asset=KZT, amount=7),
            [("WITHDRAWAL", "alice", "clearing", "KZT", 7), ("WITHDRAWAL_OUT", "clearing", "custody", "KZT", 7)],
        ),
        (OrderEvent(kind=EventKind.REJECTED, account=ALICE, amount=7, asset=BTC), []),
        (OrderEvent(kind=EventKind.ACCOUNT_ADDED, account=ALICE), []),
        (OrderEvent(kind=EventKind.STATE_REPORTED), []),
    ],
)
def test_events_that_move_one_thing(event: Event, expected: list[tuple[str, str, str, str, int]]) -> None:
    assert rows(event) == expected


def test_a_buyer_who_takes_a_resting_sell() -> None:
    assert rows(trade(Side.BUY)) == [
        ("PAYMENT", "alice's hold", "bob", "KZT", 500),
        ("DELIVERY", "bob's hold", "alice", "BTC", 10),
        ("BUYER_FEE", "alice", "fees", "BTC", 1),
        ("SELLER_FEE", "bob", "fees", "KZT", 2),
    ]


def test_a_seller_who_takes_a_resting_buy() -> None:
    assert rows(trade(Side.SELL)) == [
        ("PAYMENT", "bob's hold", "alice", "KZT", 500),
        ("DELIVERY", "alice's hold", "bob", "BTC", 10),
        ("BUYER_FEE", "bob", "fees", "BTC", 2),
        ("SELLER_FEE", "alice", "fees", "KZT", 1),
    ]


def test_a_better_price_gives_the_rest_of_the_hold_back() -> None:
    assert rows(trade(Side.BUY, hold_change=-530))[:2] == [
        ("PAYMENT", "alice's hold", "bob", "KZT", 500),
        ("IMPROVEMENT", "alice's hold", "alice", "KZT", 30),
    ]


@pytest.mark.parametrize(
    ("side", "first", "second"),
    [
        (Side.BUY, ("PAYMENT", "alice", "bob", "KZT", 500), ("DELIVERY", "bob's hold", "alice", "BTC", 10)),
        (Side.SELL, ("PAYMENT", "bob's hold", "alice", "KZT", 500), ("DELIVERY", "alice", "bob", "BTC", 10)),
    ],
)
def test_a_market_order_pays_from_what_is_available(
    side: Side, first: tuple[str, str, str, str, int], second: tuple[str, str, str, str, int]
) -> None:
    assert rows(trade(side, hold_change=0))[:2] == [first, second]


def test_an_order_event_of_another_kind_moves_what_it_says_about_the_hold() -> None:
    assert rows(order(EventKind.ICEBERG_REFILLED, Side.BUY, -3)) == [("RELEASE", "alice's hold", "alice", "KZT", 3)]
    assert rows(order(EventKind.ICEBERG_REFILLED, Side.BUY, 0)) == []
    assert rows(OrderEvent(kind=250, side=Side.SELL, account=BOB, base_asset=BTC, quote_asset=KZT, hold_change=2)) == [
        ("HOLD", "bob", "bob's hold", "BTC", 2)
    ]


def test_a_prevented_trade_moves_the_holds_of_both() -> None:
    prevented = PreventedEvent(
        kind=EventKind.TRADE_PREVENTED, side=Side.BUY, account=ALICE, maker_account=BOB, base_asset=BTC,
        quote_asset=KZT, base_amount=10, quote_amount=500, hold_change=-500, maker_hold_change=-10,
    )  # fmt: skip
    assert rows(prevented) == [
        ("RELEASE", "alice's hold", "alice", "KZT", 500),
        ("RELEASE", "bob's hold", "bob", "BTC", 10),
    ]
    assert rows(prevented._replace(hold_change=0, maker_hold_change=0)) == []


def test_no_fee_is_no_transfer() -> None:
    codes = [row[0] for row in rows(trade(Side.BUY, fee=0, maker_fee=0))]
    assert codes == ["PAYMENT", "DELIVERY"]


def test_trading_with_oneself_moves_money_between_hold_and_funds() -> None:
    assert rows(trade(Side.BUY)._replace(maker_account=ALICE))[:2] == [
        ("PAYMENT", "alice's hold", "alice", "KZT", 500),
        ("DELIVERY", "alice's hold", "alice", "BTC", 10),
    ]


def test_the_house_pays_from_and_receives_on_its_fee_account() -> None:
    assert rows(OrderEvent(kind=EventKind.WITHDRAWN, account=0, asset=KZT, amount=7))[0] == (
        "WITHDRAWAL", "fees", "clearing", "KZT", 7,
    )  # fmt: skip


@pytest.mark.parametrize(
    "event",
    [
        trade(Side.BUY, hold_change=-499),
        trade(Side.BUY, maker_hold_change=-9),
        trade(Side.BUY, maker_hold_change=-11),
        trade(Side.SELL, maker_hold_change=-499),
        trade(Side.BUY, base_amount=0),
        trade(Side.BUY, quote_amount=-1),
        trade(Side.BUY, fee=-1),
        OrderEvent(kind=EventKind.DEPOSITED, account=ALICE, asset=BTC, amount=0),
        OrderEvent(kind=EventKind.WITHDRAWN, account=ALICE, asset=BTC, amount=-1),
    ],
)
def test_an_event_that_contradicts_itself_is_refused_with_its_place(event: Event) -> None:
    with pytest.raises(PostingError, match="event 1:"):
        post(event_entry(OrderEvent(kind=EventKind.REJECTED), event))


def test_bytes_that_are_no_event_entry_are_refused() -> None:
    with pytest.raises(MalformedRecord):
        post(event_entry(trade(Side.BUY))[:-1])


amounts = st.integers(1, 2**62 - 1)
accounts = st.integers(0, 5)
asset_pairs = st.lists(st.integers(1, 4), min_size=2, max_size=2, unique=True)


@st.composite
def any_event(draw: st.DrawFn) -> Event:
    """An event such as an engine could emit, with amounts up to the largest."""
    kind = draw(st.sampled_from([EventKind.TRADE, EventKind.ORDER_ACCEPTED, EventKind.ORDER_CLOSED, EventKind.DEPOSITED,
                                 EventKind.WITHDRAWN, EventKind.REJECTED, EventKind.TRADE_PREVENTED,
                                 EventKind.ICEBERG_REFILLED]))  # fmt: skip
    side, (base, quote) = draw(st.sampled_from(Side)), draw(asset_pairs)
    account, maker = draw(accounts), draw(accounts)
    amount = draw(amounts)
    if kind == EventKind.TRADE:
        value, improvement = draw(amounts), draw(st.sampled_from([0, 0, 1, 1000]))
        buyer = -min(2**62 - 1, value + improvement) if draw(st.booleans()) else 0
        seller = -amount if draw(st.booleans()) else 0
        return TradeEvent(
            kind=kind, side=side, account=account, maker_account=maker, base_asset=base, quote_asset=quote,
            base_amount=amount, quote_amount=value, fee=draw(st.integers(0, 10)), maker_fee=draw(st.integers(0, 10)),
            hold_change=buyer if side == Side.BUY else seller,
            maker_hold_change=seller if side == Side.BUY else buyer,
        )  # fmt: skip
    if kind == EventKind.TRADE_PREVENTED:
        return PreventedEvent(
            kind=kind, side=side, account=account, maker_account=maker, base_asset=base, quote_asset=quote,
            hold_change=-amount, maker_hold_change=draw(st.sampled_from([0, -1, amount])),
        )  # fmt: skip
    change = -amount if kind == EventKind.ORDER_CLOSED else amount
    return OrderEvent(
        kind=kind, side=side, account=account, base_asset=base, quote_asset=quote, hold_change=change,
        asset=base, amount=amount,
    )  # fmt: skip


@given(st.lists(any_event(), max_size=12))
def test_whatever_happens_every_asset_balances(events: list[Event]) -> None:
    posted = post(event_entry(*events))
    transfers = list(unpack_transfers(posted.transfers))
    assert len(posted.transfers) == len(transfers) * TRANSFER_BYTES
    assert pack_transfers(transfers) == posted.transfers
    assert all(transfer.amount > 0 for transfer in transfers)
    assert [transfer.event_index for transfer in transfers] == sorted(transfer.event_index for transfer in transfers)

    difference: Counter[int] = Counter()
    for slot, change in posted.changes.items():
        for kind in slot_kinds(slot):
            difference[slot_asset(slot)] += debits(change, kind) - credits(change, kind)
    assert not any(difference.values())


@given(st.lists(any_event(), max_size=8))
def test_the_changes_are_the_transfers_account_by_account(events: list[Event]) -> None:
    posted = post(event_entry(*events))
    debited: Counter[int] = Counter()
    credited: Counter[int] = Counter()
    for transfer in unpack_transfers(posted.transfers):
        debited[transfer.debit] += transfer.amount
        credited[transfer.credit] += transfer.amount
    assert net(unpack_transfers(posted.transfers)) == posted.changes
    for number in debited.keys() | credited.keys():
        account = Account.of(number)
        change = posted.changes[number >> 16]
        assert debits(change, account.kind) == debited[number]
        assert credits(change, account.kind) == credited[number]
