"""The reconciliation: passes on sound books, and names what is wrong with others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from engine.journal import EVENTS_KEY, Store
from engine.records import BatchBuilder, Command, CommandKind
from ledger import reconciliation as reconciliation_module
from ledger.accounts import CREDIT_SHIFT, DEBIT_SHIFT, AccountKind, field_of, pack_counters, slot_of, unpack_counters
from ledger.postings import Transfer, pack_transfers, unpack_transfers
from ledger.reconciliation import Reconciliation, reconcile
from ledger.store import BALANCES_KEY, NAMES_KEY, TRANSFERS_KEY, LedgerStore
from tests.ledger.support import (
    EngineThread,
    SettlementThread,
    TestVenue,
    process_environment,
    settle_all,
)
from tests.store_process import StoreProcess
from tests.venue_process import wait_until

CHAIN = "every entry has its event, and the hash chain is intact"
TRANSFERS = "transfers computed from the events equal the stored ones"
SUMS = "stored balances equal the sum of the stored transfers"
DOUBLE_ENTRY = "debits equal credits, per asset"
NEGATIVES = "no balance is negative"
CLEARING = "clearing accounts are zero"
HOLDS = "holds are what the open orders have set aside"
CUSTODY = "custody is deposits less withdrawals, and what clients, holds and fees own"
FEES = "fee accounts equal the fees in the trades"
NAMES = "names are those of the events"
INDEX = "index lines equal the entries that touched each account"
ENGINE = "the engine's own balances and open orders are the ledger's"

KZT, BTC = 1, 3


def failed(result: Reconciliation) -> set[str]:
    return {check.name for check in result.checks if not check.passed}


@pytest.fixture
def traded(venue: TestVenue, client: Store, server: StoreProcess) -> Iterator[LedgerStore]:
    """A venue that has traded, its engine and its settlement at work."""
    venue.trade_at_random(seed=1, entries=20)
    settlement = settle_all(client)
    with EngineThread(venue, server.url), SettlementThread(settlement):
        yield LedgerStore(server.client())


def test_sound_books_pass_every_check(traded: LedgerStore, venue: TestVenue) -> None:
    steps: list[tuple[int, int]] = []
    result = reconcile(traded, progress=lambda done, total: steps.append((done, total)))
    assert result.passed, result
    assert {check.name for check in result.checks} == {
        CHAIN, TRANSFERS, SUMS, DOUBLE_ENTRY, NEGATIVES, CLEARING, HOLDS, CUSTODY, FEES, NAMES, INDEX, ENGINE,
    }  # fmt: skip
    assert all(check.looked_at > 0 and not check.detail for check in result.checks)
    assert steps[-1][0] == result.checks[0].looked_at == result.id.sequence + 1
    assert venue.core.orders, "orders are open"


def test_an_empty_venue_has_nothing_to_look_at(client: Store, venue: TestVenue, server: StoreProcess) -> None:
    with EngineThread(venue, server.url), SettlementThread(settle_all(client)):
        result = reconcile(LedgerStore(server.client()))
    assert not result.passed
    assert {check.detail for check in result.checks if not check.passed} == {"there was nothing to look at"}


def test_an_engine_that_gives_no_answer_fails_its_check_alone(
    client: Store, venue: TestVenue, monkeypatch: pytest.MonkeyPatch
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


def rename_somebody(client: Store) -> None:
    client.hset(NAMES_KEY, "account:1", "mallory")


def forget_an_asset(client: Store) -> None:
    client.hdel(NAMES_KEY, "asset:3")


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
        (rename_somebody, {NAMES}),
        (forget_an_asset, {NAMES}),
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


def test_a_missing_event_breaks_the_chain_and_is_named(traded: LedgerStore) -> None:
    delete_an_event(traded.client)
    result = reconcile(traded)
    assert CHAIN in failed(result)
    assert "do not hold the same ids" in result.checks[0].detail


def test_it_is_right_while_the_venue_goes_on_trading(client: Store, venue: TestVenue, server: StoreProcess) -> None:
    """Entries are executed and settled between and during the steps of the reconciliation."""
    venue.trade_at_random(seed=3, entries=5)
    settlement = settle_all(client)
    deposit = BatchBuilder()
    deposit.add(Command(kind=CommandKind.DEPOSIT, account=1, asset=KZT, amount=1), b"test", b"")

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


def test_the_proof_does_not_import_the_compiled_core() -> None:
    code = "import ledger.admin, ledger.settlement, sys; print([m for m in sys.modules if m in ('engine.core.core', 'engine.book.book')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=process_environment(), check=True
    )
    assert done.stdout.strip() == "[]"
