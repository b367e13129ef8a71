"""What people ask of a ledger: balances, the journal of transfers, the trial balance.

Reports are values: integers in smallest units, with the names that belong to them. `jibek.commands.ledger` prints them. The proof
that they are right is `ledger.reconciliation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from engine.journal import EntryId, Source
from engine.records import EVENT_HEADER, HOUSE_ACCOUNT
from ledger.accounts import (
    Account,
    AccountKind,
    balance,
    credits,
    debits,
    funds_kind,
    slot_asset,
    slot_kinds,
    slot_of,
    slot_owner,
)
from ledger.names import Names
from ledger.postings import Transfer, TransferCode, unpack_transfers
from ledger.snapshot import Snapshot, read_between_entries
from ledger.store import LedgerStore

# -- balances


class BalanceRow(NamedTuple):
    """What an owner has of an asset, in smallest units."""

    owner: int
    asset: int
    available: int
    held: int

    @property
    def total(self) -> int:
        return self.available + self.held


def balance_row(slot: int, counters: int) -> BalanceRow:
    """What the counters of a slot say its owner has."""
    owner = slot_owner(slot)
    return BalanceRow(
        owner, slot_asset(slot), balance(counters, funds_kind(owner)), balance(counters, AccountKind.HOLD)
    )


def all_balances(snapshot: Snapshot) -> list[BalanceRow]:
    """What each owner has, the house first, by owner and asset."""
    return [balance_row(slot, counters) for slot, counters in sorted(snapshot.counters.items())]


def balances_of(store: LedgerStore, owner: int, assets: Iterable[int]) -> tuple[EntryId, list[BalanceRow]]:
    """What one owner has of these assets, and after which entry. Cost: one round trip.

    Raises:
        NotSettled: the ledger is within an entry and does not go on.
    """
    cursor, counters = read_between_entries(store, [slot_of(owner, asset) for asset in sorted(assets)])
    return cursor.id, [balance_row(slot, value) for slot, value in counters.items()]


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
    """Everything that one entry moved."""
    return list(_transactions(store.source, store.transfers_of([id])))


def journal(store: LedgerStore, *, owner: int | None = None, limit: int) -> list[Transaction]:
    """The newest transactions, oldest first, at most `limit`; only those that touched `owner` if one is given.

    Cost: at most `limit` entries are read.
    """
    if owner is None:
        entries = store.last_transfers(count=limit)
    else:
        entries = store.transfers_of(store.last_entries_of(owner, count=limit))
    found = [item for item in _transactions(store.source, entries) if owner is None or item.touches(owner)]
    return found[-limit:]


def _transactions(source: Source, entries: list[tuple[EntryId, bytes]]) -> Iterator[Transaction]:
    times = _entry_times(source, [id for id, _ in entries])
    for id, blob in entries:
        for event_index, transfers in groupby(unpack_transfers(blob), key=attrgetter("event_index")):
            yield Transaction(id, event_index, times.get(id, 0), list(transfers))


def _entry_times(source: Source, ids: list[EntryId]) -> dict[EntryId, int]:
    return {entry.id: EVENT_HEADER.unpack_from(entry.data).time_us for entry in source.events_at(ids)}


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


def time_text(time_us: int) -> str:
    """
    >>> time_text(1_700_000_000_000_001)
    '2023-11-14T22:13:20.000001Z'
    """
    seconds, microseconds = divmod(time_us, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds, tzinfo=None)
    return moment.isoformat(timespec="microseconds") + "Z"


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


def owners_of(transactions: Iterable[Transaction]) -> set[int]:
    """The accounts whose names the transactions need."""
    return {
        number >> 32
        for transaction in transactions
        for transfer in transaction.transfers
        for number in (transfer.debit, transfer.credit)
    } - {HOUSE_ACCOUNT}
