"""Balances, trial balance and journal, as values and as text."""

from __future__ import annotations

import re
from collections import Counter
from decimal import Decimal

import pytest

from engine.journal import BEGINNING, EntryId, Store, read_events
from ledger.names import Names
from ledger.reports import (
    all_balances,
    balances_of,
    journal,
    journal_of_entry,
    print_style,
    trial_balance,
    trial_totals,
)
from ledger.snapshot import take_snapshot
from ledger.store import LedgerStore
from tests.worlds.ledger import settle_all
from tests.worlds.stepped_venue import SteppedVenue


@pytest.fixture
def traded(venue: SteppedVenue, client: Store) -> LedgerStore:
    """The ledger after Alice has bought of Bob."""
    venue.trade_once()
    return settle_all(client).store


def names_of(store: LedgerStore) -> Names:
    """All names that the events define."""
    names = Names()
    for entry in read_events(store.client, BEGINNING, count=10_000):
        names.apply(entry.data)
    return names


def test_balances(traded: LedgerStore) -> None:
    rows = {(row.owner, row.asset): (row.available, row.held) for row in all_balances(take_snapshot(traded))}
    assert rows == {
        (0, 1): (12_500_00, 0),
        (0, 3): (50_000, 0),
        (1, 1): (60_000_000_00 - 25_000_000_00 - 4_000_000_00, 4_000_000_00),
        (1, 3): (50_000_000 - 50_000, 0),
        (2, 1): (25_000_000_00 - 12_500_00, 0),
        (2, 3): (50_000_000, 0),
    }


def test_balances_of_one_owner(traded: LedgerStore) -> None:
    id, rows = balances_of(traded, 1, [3, 1, 2])
    assert id == traded.cursor().id
    assert [(row.asset, row.available, row.held, row.total) for row in rows] == [
        (1, 31_000_000_00, 4_000_000_00, 35_000_000_00),
        (2, 0, 0, 0),
        (3, 49_950_000, 0, 49_950_000),
    ]


def test_the_trial_balance(traded: LedgerStore) -> None:
    rows = trial_balance(take_snapshot(traded))
    table = [(row.asset, row.kind.name, row.accounts, row.debit, row.credit) for row in rows if row.asset == 3]
    assert table == [
        (3, "CLIENT", 2, 0, 99_950_000),
        (3, "HOLD", 3, 0, 0),
        (3, "FEE", 1, 0, 50_000),
        (3, "CUSTODY", 1, 100_000_000, 0),
        (3, "CLEARING", 1, 0, 0),
    ]
    assert [(total.asset, total.debit, total.credit) for total in trial_totals(rows)] == [
        (1, 60_000_000_00, 60_000_000_00),
        (3, 100_000_000, 100_000_000),
    ]
    assert [total.is_balanced() for total in trial_totals(rows)] == [True, True]


def test_a_trial_balance_that_does_not_balance_says_so(traded: LedgerStore) -> None:
    snapshot = take_snapshot(traded)
    slot = next(slot for slot in snapshot.counters if slot >> 16 == 1)
    snapshot.counters[slot] += 1 << 128
    assert not all(total.is_balanced() for total in trial_totals(trial_balance(snapshot)))


def test_the_journal_in_the_form_of_hledger(traded: LedgerStore) -> None:
    [transaction] = [item for item in journal(traded, limit=3) if item.summary() == "trade"]
    lines = list(print_style([transaction], names_of(traded)))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \(1-\d+/1\) trade  ; \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", lines[0])
    assert lines[1:] == [
        "    liabilities:clients:alice:held        25000000.00 KZT  ; payment",
        "    liabilities:clients:bob:available    -25000000.00 KZT",
        "    liabilities:clients:bob:held           0.50000000 BTC  ; delivery",
        "    liabilities:clients:alice:available   -0.50000000 BTC",
        "    liabilities:clients:alice:available    0.00050000 BTC  ; buyer fee",
        "    revenues:fees                         -0.00050000 BTC",
        "    liabilities:clients:bob:available        12500.00 KZT  ; seller fee",
        "    revenues:fees                           -12500.00 KZT",
        "",
    ]


def test_every_printed_transaction_sums_to_zero(venue: SteppedVenue, client: Store) -> None:
    venue.trade_at_random(seed=1, entries=15)
    store = settle_all(client).store
    transactions = journal(store, limit=10_000)
    text = "\n".join(print_style(transactions, names_of(store)))
    printed = text.strip().split("\n\n")
    assert len(printed) == len(transactions) > 50
    for block in printed:
        sums: Counter[str] = Counter()
        for line in block.splitlines()[1:]:
            _, amount, commodity = line.split(";")[0].split()
            sums[commodity] += Decimal(amount)  # type: ignore[assignment]
        assert not any(sums.values()), block


def test_the_journal_of_one_account_and_of_one_entry(traded: LedgerStore) -> None:
    everything = journal(traded, limit=100)
    of_bob = journal(traded, owner=2, limit=100)
    assert of_bob == [transaction for transaction in everything if transaction.touches(2)]
    assert [transaction.summary() for transaction in of_bob] == ["deposit", "hold", "trade"]
    assert journal(traded, owner=2, limit=1) == of_bob[-1:]
    assert journal_of_entry(traded, of_bob[-1].entry) == [item for item in everything if item.entry == of_bob[-1].entry]
    assert journal_of_entry(traded, EntryId(7, 7)) == []
