"""The reconciliation: passes on sound books, and names what is wrong with others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import EVENTS_KEY, Store
from engine.records import (
    EVENT_BYTES,
    EVENT_HEADER,
    BatchBuilder,
    Command,
    CommandKind,
    Event,
    EventEntry,
    EventFlag,
    EventKind,
    OrderEvent,
    Side,
    TradeEvent,
    pack_event,
)
from ledger import reconciliation as reconciliation_module
from ledger.accounts import CREDIT_SHIFT, DEBIT_SHIFT, AccountKind, field_of, pack_counters, slot_of, unpack_counters
from ledger.postings import Transfer, pack_transfers, unpack_transfers
from ledger.reconciliation import FeeCredits, Reconciliation, reconcile
from ledger.store import BALANCES_KEY, TRANSFERS_KEY, LedgerStore
from tests.worlds.ledger import SettlementThread, settle_all
from tests.worlds.processes import wait_until
from tests.worlds.stepped_venue import EngineThread, SteppedVenue
from tests.worlds.store import StoreProcess

CHAIN = "every entry has its event, and the hash chain is intact"
TRANSFERS = "transfers computed from the events equal the stored ones"
SUMS = "stored balances equal the sum of the stored transfers"
DOUBLE_ENTRY = "debits equal credits, per asset"
NEGATIVES = "no balance is negative"
CLEARING = "clearing accounts are zero"
HOLDS = "held balances equal the holds of the open orders"
CUSTODY = "custody is deposits less withdrawals, and what clients, holds and fees own"
FEES = "fee accounts equal the fees in the trades"
FEE_RULE = "fees follow from rates and credits"
INDEX = "index lines equal the entries that touched each account"
ENGINE = "the engine's own balances and open orders are the ledger's"

KZT, BTC = 1, 3


def failed(result: Reconciliation) -> set[str]:
    return {check.name for check in result.checks if not check.passed}


@pytest.fixture
def traded(venue: SteppedVenue, client: Store, server: StoreProcess) -> Iterator[LedgerStore]:
    """A venue that has traded, its engine and its settlement at work."""
    venue.trade_at_random(seed=1, entries=20)
    settlement = settle_all(client)
    with EngineThread(venue, server.url), SettlementThread(settlement):
        yield LedgerStore(server.client())


def test_sound_books_pass_every_check(traded: LedgerStore, venue: SteppedVenue) -> None:
    steps: list[tuple[int, int]] = []
    result = reconcile(traded, progress=lambda done, total: steps.append((done, total)))
    assert result.passed, result
    assert {check.name for check in result.checks} == {
        CHAIN, TRANSFERS, SUMS, DOUBLE_ENTRY, NEGATIVES, CLEARING, HOLDS, CUSTODY, FEES, FEE_RULE, INDEX, ENGINE,
    }  # fmt: skip
    assert all(check.looked_at > 0 and not check.detail for check in result.checks)
    assert steps[-1][0] == result.checks[0].looked_at == result.id.sequence + 1
    assert venue.core.open_order_count, "orders are open"


def test_an_engine_that_gives_no_answer_fails_its_check_alone(
    client: Store, venue: SteppedVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue.trade_at_random(seed=2, entries=5)
    settlement = settle_all(client)
    monkeypatch.setattr(reconciliation_module, "ENGINE_TIMEOUT_S", 0.05)
    result = reconcile(settlement.store)
    assert failed(result) == {ENGINE}
    assert "is the engine running" in result.checks[-1].detail


# -- what is tampered with, and which checks must find it


def change_counters(client: Store, slot: int, change: int) -> None:
    field = field_of(slot)
    value = unpack_counters(client.hget(BALANCES_KEY, field)) + change
    client.hset(BALANCES_KEY, field, pack_counters(slot, value))


def gift(client: Store) -> None:
    change_counters(client, slot_of(1, BTC), 5 << CREDIT_SHIFT[AccountKind.CLIENT])


def transfer_to_another(client: Store) -> None:
    change_counters(client, slot_of(1, BTC), 5 << DEBIT_SHIFT[AccountKind.CLIENT])
    change_counters(client, slot_of(2, BTC), 5 << CREDIT_SHIFT[AccountKind.CLIENT])


def take_from_the_fees(client: Store) -> None:
    change_counters(client, slot_of(0, BTC), 1 << DEBIT_SHIFT[AccountKind.FEE])
    change_counters(client, slot_of(1, BTC), 1 << CREDIT_SHIFT[AccountKind.CLIENT])


def release_a_hold(client: Store) -> None:
    change_counters(
        client, slot_of(1, KZT), (1 << DEBIT_SHIFT[AccountKind.HOLD]) + (1 << CREDIT_SHIFT[AccountKind.CLIENT])
    )


def overdraw(client: Store) -> None:
    change_counters(client, slot_of(1, BTC), 10**15 << DEBIT_SHIFT[AccountKind.CLIENT])
    change_counters(client, slot_of(2, BTC), 10**15 << CREDIT_SHIFT[AccountKind.CLIENT])


def leave_in_clearing(client: Store) -> None:
    change_counters(
        client, slot_of(0, KZT), (1 << DEBIT_SHIFT[AccountKind.CUSTODY]) + (1 << CREDIT_SHIFT[AccountKind.CLEARING])
    )


def lose_a_balance(client: Store) -> None:
    client.hdel(BALANCES_KEY, field_of(slot_of(1, BTC)))


def replace_transfers(client: Store, change: Callable[[list[Transfer]], list[Transfer]]) -> None:
    """Writes the stream of transfers again, the last entry's changed."""
    entries = client.xrange(TRANSFERS_KEY)
    client.delete(TRANSFERS_KEY)
    for position, (id, fields) in enumerate(entries, start=1):
        blob = fields[b"t"]
        if position == len(entries):
            blob = pack_transfers(change(list(unpack_transfers(blob))))
        client.xadd(TRANSFERS_KEY, {"t": blob}, id=id)


def change_an_amount(client: Store) -> None:
    replace_transfers(client, lambda transfers: [transfers[0]._replace(amount=transfers[0].amount + 1), *transfers[1:]])


def drop_a_transfer(client: Store) -> None:
    replace_transfers(client, lambda transfers: transfers[:-1])


def invent_an_entry(client: Store) -> None:
    """Transfers under an id that no entry has, between two that entries have."""
    [(id, fields)] = client.xrevrange(TRANSFERS_KEY, count=1)
    client.xdel(TRANSFERS_KEY, id)
    client.xadd(TRANSFERS_KEY, fields, id=b"1-9999999")


def delete_an_event(client: Store) -> None:
    client.xdel(EVENTS_KEY, "1-12")


def delete_the_first_event(client: Store) -> None:
    [(id, _)] = client.xrange(EVENTS_KEY, count=1)
    client.xdel(EVENTS_KEY, id)


def forget_a_line(client: Store) -> None:
    client.setrange("{jibek}:ledger:index:1:1.0", 16, bytes(16))


def forget_all_lines(client: Store) -> None:
    client.delete("{jibek}:ledger:index:2:1.0")


@pytest.mark.parametrize(
    ("tamper", "must_fail"),
    [
        (gift, {SUMS, DOUBLE_ENTRY, CUSTODY, ENGINE}),
        (transfer_to_another, {SUMS, ENGINE}),
        (take_from_the_fees, {SUMS, FEES, ENGINE}),
        (release_a_hold, {SUMS, HOLDS, ENGINE}),
        (overdraw, {SUMS, NEGATIVES, ENGINE}),
        (leave_in_clearing, {SUMS, CLEARING, CUSTODY}),
        (lose_a_balance, {SUMS, DOUBLE_ENTRY, HOLDS, CUSTODY, ENGINE}),
        (change_an_amount, {TRANSFERS, SUMS}),
        (drop_a_transfer, {TRANSFERS, SUMS}),
        (invent_an_entry, {TRANSFERS, SUMS}),
        (forget_a_line, {INDEX}),
        (forget_all_lines, {INDEX}),
    ],
)
def test_what_was_tampered_with_is_found(
    traded: LedgerStore, tamper: Callable[[Store], None], must_fail: set[str]
) -> None:
    tamper(traded.client)
    result = reconcile(traded)
    assert failed(result) == must_fail, result
    assert all(check.detail for check in result.checks if not check.passed)


# -- a venue where nothing was credited yet


@pytest.fixture
def unused(venue: SteppedVenue, client: Store, server: StoreProcess) -> Iterator[LedgerStore]:
    """A venue with an account that was never credited, its engine and its settlement at work."""
    venue.add_account("alice")
    with EngineThread(venue, server.url), SettlementThread(settle_all(client)):
        yield LedgerStore(server.client())


def test_an_unused_venue_passes_with_its_chain_walked(unused: LedgerStore) -> None:
    result = reconcile(unused)
    assert result.passed and result.is_unused, result
    assert {check.name for check in result.checks if check.looked_at} == {CHAIN}
    assert not any(check.may_be_empty for check in result.checks if check.name == CHAIN)


def invent_transfers(client: Store) -> None:
    client.xadd(TRANSFERS_KEY, {"t": pack_transfers([])}, id=b"1-0")


@pytest.mark.parametrize("tamper", [gift, invent_transfers, delete_the_first_event])
def test_an_unused_venue_that_was_tampered_with_fails(unused: LedgerStore, tamper: Callable[[Store], None]) -> None:
    tamper(unused.client)
    result = reconcile(unused)
    assert not result.passed, result


def test_a_check_that_looked_at_nothing_fails_on_a_venue_that_was_used(traded: LedgerStore) -> None:
    traded.client.delete(BALANCES_KEY, TRANSFERS_KEY)
    result = reconcile(traded)
    assert not result.is_unused
    details = {check.name: check.detail for check in result.checks if not check.passed}
    assert details[DOUBLE_ENTRY] == details[NEGATIVES] == details[CLEARING] == "there was nothing to look at"


# -- an engine that does wrong: the chain is whole, and the ledger has what the events say


def trade_with(venue: SteppedVenue, client: Store, lie: Callable[[Event], Event]) -> Reconciliation:
    """The reconciliation of a venue whose engine publishes `lie(event)` instead of each event."""
    execute = venue.core.execute

    def lying(time_us: int, batch: bytes) -> bytes:
        entry = EventEntry(execute(time_us, batch))
        lies = [pack_event(lie(event)) for event in entry]
        return (
            entry.data[: EVENT_HEADER.size]
            + b"".join(lies)
            + entry.data[EVENT_HEADER.size + len(entry) * EVENT_BYTES :]
        )

    venue.core.execute = lying  # type: ignore[method-assign]
    venue.trade_at_random(seed=4, entries=15)
    return reconcile(settle_all(client).store)


@pytest.mark.parametrize(
    "change",
    [
        {"fee_credit": 1},
        {"fee_ppm": 1},
        {"maker_fee_credit": -1},
        {"maker_fee_ppm": -1},
        {"fee": 1},
    ],
    ids=str,
)
def test_a_fee_that_does_not_follow_is_named(
    venue: SteppedVenue, client: Store, monkeypatch: pytest.MonkeyPatch, change: dict[str, int]
) -> None:
    monkeypatch.setattr(reconciliation_module, "ENGINE_TIMEOUT_S", 0.05)

    def lie(event: Event) -> Event:
        if isinstance(event, TradeEvent) and event.trade_id == 2:
            [(name, difference)] = change.items()
            return event._replace(**{name: max(0, getattr(event, name) + difference)})
        return event

    result = trade_with(venue, client, lie)
    assert failed(result) - {ENGINE} == {FEE_RULE}, result
    [fault] = [check.fault for check in result.checks if check.name == FEE_RULE]
    assert fault.startswith("trade 2 of market ")


def test_a_hold_that_is_left_of_a_done_order_is_named(
    venue: SteppedVenue, client: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation_module, "ENGINE_TIMEOUT_S", 0.05)
    closed: list[int] = []

    def lie(event: Event) -> Event:
        if event.kind == EventKind.ORDER_CLOSED and event.hold_change < -1 and not closed:
            closed.append(event.order_id)
            return event._replace(hold_change=event.hold_change + 1)
        return event

    result = trade_with(venue, client, lie)
    assert failed(result) - {ENGINE} == {HOLDS}
    [fault] = [check.fault for check in result.checks if check.name == HOLDS]
    assert fault.startswith(f"order {closed[0]} is done and has 1 held for it")


# -- the rule of fees, fill by fill


def fill(received: int, fee: int, rate_ppm: int, credit: int, **fields: Any) -> TradeEvent:
    """A fill in which order 7 buys, and the maker of order 8 pays nothing."""
    return TradeEvent(
        kind=EventKind.TRADE, side=Side.BUY, order_id=7, maker_order_id=8, base_amount=received, quote_amount=10,
        fee=fee, fee_ppm=rate_ppm, fee_credit=credit, **fields,
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 10**15), st.integers(0, 100_000)), min_size=1, max_size=20), st.booleans())
def test_the_fees_of_an_order_are_its_exact_fee_rounded_up_once(fills: list[tuple[int, int]], constant: bool) -> None:
    credits_, paid, exact, credit = FeeCredits(), 0, 0, 0
    for received, rate_ppm in fills:
        rate_ppm = fills[0][1] if constant else rate_ppm
        fee = max(0, -(-(received * rate_ppm - credit) // 10**6))
        credit += fee * 10**6 - received * rate_ppm
        credits_.apply(fill(received, fee, rate_ppm, credit))
        paid, exact = paid + fee, exact + received * rate_ppm
        assert paid == -(-exact // 10**6)
    assert (credits_.fills, credits_.faults) == (2 * len(fills), [])


@pytest.mark.parametrize(
    "fills",
    [
        [fill(1, 1, 1_000, 999_000), fill(1, 1, 1_000, 998_000)],
        [fill(1, 0, 1_000, 999_000)],
        [fill(1, 2, 1_000, 1_999_000)],
        [fill(1, 2, 1_000_000, 1_000_000)],
        [fill(1_000, 1, 1_000, 1)],
        [fill(1, 1, 1_000, 999_000, flags=EventFlag.TAKER_FILLED), fill(1, 0, 1_000, 998_000)],
        [fill(1, 1, 1_000, 999_000), OrderEvent(kind=EventKind.ORDER_CLOSED, order_id=7), fill(1, 0, 1_000, 998_000)],
    ],
    ids=["rounded up twice", "no fee", "credit above one", "more than received", "credit from nowhere",
         "credit of a filled order", "credit of a closed order"],
)  # fmt: skip
def test_fees_that_break_the_rule(fills: list[Event]) -> None:
    credits_ = FeeCredits()
    for event in fills[:-1]:
        credits_.apply(event)
    assert not credits_.faults
    credits_.apply(fills[-1])
    assert len(credits_.faults) == 1 and "order 7 received" in credits_.faults[0]


def test_each_side_and_each_order_has_a_credit_of_its_own() -> None:
    credits_ = FeeCredits()
    selling = fill(500, 1, 1_000, 990_000, maker_fee=1, maker_fee_ppm=1_000, maker_fee_credit=500_000)
    credits_.apply(selling._replace(side=Side.SELL))
    credits_.apply(fill(1, 0, 1_000, 989_000)._replace(maker_order_id=10))
    credits_.apply(fill(1, 1, 1_000, 999_000)._replace(order_id=9, maker_order_id=10))
    credits_.apply(fill(1, 0, 1_000, 499_000)._replace(order_id=8, maker_order_id=10))
    assert (credits_.fills, credits_.faults) == (8, [])


def test_a_missing_event_breaks_the_chain_and_is_named(traded: LedgerStore) -> None:
    delete_an_event(traded.client)
    result = reconcile(traded)
    assert CHAIN in failed(result)
    assert "do not hold the same ids" in result.checks[0].detail


def test_it_is_right_while_the_venue_goes_on_trading(client: Store, venue: SteppedVenue, server: StoreProcess) -> None:
    """Entries are executed and settled between and during the steps of the reconciliation."""
    venue.trade_at_random(seed=3, entries=5)
    settlement = settle_all(client)
    deposit = BatchBuilder()
    deposit.add(Command(kind=CommandKind.DEPOSIT, account=1, asset=KZT, amount=1), b"test", b"", b"")

    class BusyStore(LedgerStore):
        def scan(self) -> Iterator[tuple[int, int]]:
            for item in super().scan():
                venue.append(deposit)
                yield item

    with SettlementThread(settlement), EngineThread(venue, server.url):
        store = BusyStore(server.client())
        result = reconcile(store)
        assert result.passed, result
        wait_until(lambda: store.cursor().id > result.id, "the venue goes on")
