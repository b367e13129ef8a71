"""What people ask of a ledger: balances, the journal of transfers, the trial balance.

Reports are values: integers in smallest units. `jibek.commands.ledger` prints them, with names. A report verifies what it gives:
transfers against the events of their entries, balances by their sums. The whole proof is `ledger.reconciliation`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from operator import attrgetter
from typing import NamedTuple

from engine.journal import ChainBroken, EntryId, EventReader, PublishedEntry, Source
from engine.process.wall_clock import time_text
from engine.records import EVENT_HEADER
from ledger.accounts import (
    Account,
    AccountKind,
    credits,
    debits,
    slot_asset,
    slot_kinds,
    slot_of,
)
from ledger.checks import BalanceRow, balance_row, fault_of_sums
from ledger.names import Names
from ledger.postings import Transfer, TransferCode, post, unpack_transfers
from ledger.snapshot import Snapshot, take_snapshot
from ledger.store import LedgerBroken, LedgerStore

ENTRIES_PER_READ = 64

# -- balances


def all_balances(snapshot: Snapshot) -> list[BalanceRow]:
    """What each owner has, the house first, by owner and asset."""
    return [balance_row(slot, counters) for slot, counters in sorted(snapshot.counters.items())]


def balances_of(store: LedgerStore, owner: int, assets: Iterable[int]) -> tuple[EntryId, list[BalanceRow]]:
    """What one owner has of these assets, and after which entry.

    Cost: all balances are read, because only together they show that none was changed; about 5 µs a balance.

    Raises: as `checked_snapshot`.
    """
    snapshot = checked_snapshot(store)
    slots = [slot_of(owner, asset) for asset in sorted(assets)]
    return snapshot.id, [balance_row(slot, snapshot.counters.get(slot, 0)) for slot in slots]


def checked_snapshot(store: LedgerStore) -> Snapshot:
    """All balances, which add up: a single one that was changed in the store does not get out of here.

    Two that were changed by the same amount against each other do, until settlement starts again or `reconcile` finds them.

    Raises:
        LedgerBroken: they do not add up; the text says where. Or what is stored are no balances.
        NotSettled, ChainBroken: as `take_snapshot`.
    """
    snapshot = take_snapshot(store)
    if fault := fault_of_sums(snapshot.counters):
        raise LedgerBroken(f"the stored balances do not add up after entry {snapshot.id}: {fault}")
    return snapshot


# -- the trial balance


class TrialRow(NamedTuple):
    """All accounts of one kind in one asset, in smallest units."""

    asset: int
    kind: AccountKind
    accounts: int
    debit: int
    """Sum of the debit balances."""
    credit: int
    """Sum of the credit balances."""
    debited: int
    """Everything that was ever debited."""
    credited: int
    """Everything that was ever credited."""


def trial_balance(snapshot: Snapshot) -> list[TrialRow]:
    """One row for each asset and kind of account that was ever touched."""
    rows: dict[tuple[int, AccountKind], TrialRow] = {}
    for slot, counters in snapshot.counters.items():
        for kind in slot_kinds(slot):
            key = slot_asset(slot), kind
            debited, credited = debits(counters, kind), credits(counters, kind)
            row = rows.get(key) or TrialRow(*key, 0, 0, 0, 0, 0)
            rows[key] = row._replace(
                accounts=row.accounts + 1,
                debit=row.debit + max(0, debited - credited),
                credit=row.credit + max(0, credited - debited),
                debited=row.debited + debited,
                credited=row.credited + credited,
            )
    return [rows[key] for key in sorted(rows)]


class TrialTotal(NamedTuple):
    """The sums of an asset's rows; its two differences are 0 in a sound ledger."""

    asset: int
    debit: int
    credit: int
    debited: int
    credited: int

    def is_balanced(self) -> bool:
        return self.debit == self.credit and self.debited == self.credited


def trial_totals(rows: Iterable[TrialRow]) -> list[TrialTotal]:
    """The sums of a trial balance, asset by asset."""
    totals = []
    for asset, group in groupby(rows, key=attrgetter("asset")):
        members = list(group)
        sums = (sum(getattr(row, name) for row in members) for name in ("debit", "credit", "debited", "credited"))
        totals.append(TrialTotal(asset, *sums))
    return totals


# -- the journal


class Transaction(NamedTuple):
    """What one event moved."""

    entry: EntryId
    event_index: int
    time_us: int
    """When, microseconds since 1970 UTC."""
    transfers: list[Transfer]

    def touches(self, owner: int) -> bool:
        return any(owner in (transfer.debit >> 32, transfer.credit >> 32) for transfer in self.transfers)

    def summary(self) -> str:
        """What happened, in one word."""
        return _SUMMARIES[TransferCode(self.transfers[-1].code)]


_SUMMARIES = {
    TransferCode.HOLD: "hold",
    TransferCode.RELEASE: "release",
    TransferCode.IMPROVEMENT: "trade",
    TransferCode.PAYMENT: "trade",
    TransferCode.DELIVERY: "trade",
    TransferCode.BUYER_FEE: "trade",
    TransferCode.SELLER_FEE: "trade",
    TransferCode.DEPOSIT_IN: "deposit",
    TransferCode.DEPOSIT: "deposit",
    TransferCode.WITHDRAWAL: "withdrawal",
    TransferCode.WITHDRAWAL_OUT: "withdrawal",
}


def journal_of_entry(store: LedgerStore, id: EntryId) -> list[Transaction]:
    """Everything that one entry moved; nothing for an entry that is not there.

    Raises: as `journal`.
    """
    stored = dict(store.transfers_of([id]))
    return [each for entry in store.source.events_at([id]) for each in _compared(entry, stored.get(id, b""))]


def journal(store: LedgerStore, *, owner: int | None = None, limit: int) -> list[Transaction]:
    """The newest transactions, oldest first, at most `limit`; only those that touched `owner` if one is given.

    They are computed from the events and compared with what is stored. A stored transfer that was changed or that is missing
    is found, and so is a changed line of an owner's index. A missing line is not: `reconcile` finds it.

    Cost: at most `limit` entries are read; without an owner also those between them that moved nothing.

    Raises:
        LedgerBroken: what is stored differs; the text names the entry.
        ChainBroken: an entry of the events was changed.
    """
    found: deque[Transaction] = deque(maxlen=limit)
    if owner is None:
        last = store.checked_cursor().id
        stored = dict(store.last_transfers(last, count=limit))
        first = min(stored) if len(stored) == limit else None
        for published in _entries_between(store.source, first, last):
            found += _compared(published, stored.pop(published.id, b""))
    else:
        ids = _newest_of(store, owner, limit)
        stored = dict(store.transfers_of(ids))
        for published in store.source.events_at(ids):
            of_owner = [each for each in _compared(published, stored.pop(published.id, b"")) if each.touches(owner)]
            if not of_owner:
                raise LedgerBroken(f"the index of account {owner} names entry {published.id}, which did not touch it")
            ids.remove(published.id)
            found += of_owner
        if ids:
            raise LedgerBroken(f"the index of account {owner} names {ids[0]}, which is no entry")
    if stored:
        raise LedgerBroken(f"the ledger has transfers for {min(stored)}, which is no entry")
    return list(found)


def _newest_of(store: LedgerStore, owner: int, count: int) -> list[EntryId]:
    """The newest entries that touched an owner, by its index, up to the last one that is wholly in."""
    ids = store.last_entries_of(owner, count=count)
    settled = store.checked_cursor()
    if ids and ids[-1] > settled.id and settled.part:
        # A part of the next entry is in, and with it the line of its id.
        del ids[-1]
    if any(later <= earlier for earlier, later in pairwise(ids)) or (ids and ids[-1] > settled.id):
        raise LedgerBroken(
            f"the index of account {owner} is not in the order of the entries: see its last {count} lines"
        )
    return ids


def _entries_between(source: Source, first: EntryId | None, last: EntryId) -> Iterator[PublishedEntry]:
    """The verified entries from `first` to `last`; from the beginning if `first` is None.

    Raises:
        LedgerBroken: there is no entry `first`.
        ChainBroken: they are not an unbroken chain.
    """
    reader = EventReader()
    if first is not None:
        found = source.events_at([first])
        if not found:
            raise LedgerBroken(f"the ledger has transfers for {first}, which is no entry")
        yield found[0]
        reader = EventReader(first, found[0].head)
    while reader.cursor < last:
        page = reader.read(source, count=ENTRIES_PER_READ)
        if not page:
            raise ChainBroken(f"the events end at {reader.cursor}, before {last}")
        yield from (published for published in page if published.id <= last)


def _compared(published: PublishedEntry, stored: bytes) -> Iterator[Transaction]:
    """What an entry moved, by its events.

    Raises:
        LedgerBroken: the stored transfers are others.
    """
    if post(published.data).transfers != stored:
        raise LedgerBroken(f"the stored transfers of entry {published.id} are not those that follow from its events")
    time_us = EVENT_HEADER.unpack_from(published.data).time_us
    for event_index, transfers in groupby(unpack_transfers(stored), key=attrgetter("event_index")):
        yield Transaction(published.id, event_index, time_us, list(transfers))


# -- names of accounts, as hledger knows them


_KIND_PATHS = {
    AccountKind.CLIENT: "liabilities:clients:{}:available",
    AccountKind.HOLD: "liabilities:clients:{}:held",
    AccountKind.FEE: "revenues:fees",
    AccountKind.CUSTODY: "assets:custody",
    AccountKind.CLEARING: "equity:clearing",
}


def account_path(number: int, names: Names) -> str:
    """The account as a path: `liabilities:clients:alice:available`, `assets:custody`, …"""
    account = Account.of(number)
    return _KIND_PATHS[account.kind].format(names.account(account.owner))


def print_style(transactions: Iterable[Transaction], names: Names) -> Iterator[str]:
    """The lines of a journal that hledger reads: debits positive, credits negative, each transaction sums to zero."""
    for transaction in transactions:
        postings = [posting for transfer in transaction.transfers for posting in _postings(transfer, names)]
        path_width = max(len(path) for path, _, _, _ in postings)
        amount_width = max(len(amount) for _, amount, _, _ in postings)
        when = time_text(transaction.time_us)
        yield f"{when[:10]} ({transaction.entry}/{transaction.event_index}) {transaction.summary()}  ; {when}"
        for path, amount, commodity, code in postings:
            yield f"    {path:<{path_width}}  {amount:>{amount_width}} {commodity}" + (f"  ; {code}" if code else "")
        yield ""


def _postings(transfer: Transfer, names: Names) -> Iterator[tuple[str, str, str, str]]:
    asset = names.asset(transfer.asset)
    commodity = asset.name if asset.name.isalpha() else f'"{asset.name}"'
    yield account_path(transfer.debit, names), asset.format(transfer.amount), commodity, code_text(transfer.code)
    yield account_path(transfer.credit, names), asset.format(-transfer.amount), commodity, ""


def code_text(code: int) -> str:
    """
    >>> code_text(TransferCode.BUYER_FEE)
    'buyer fee'
    """
    return TransferCode(code).name.lower().replace("_", " ")
