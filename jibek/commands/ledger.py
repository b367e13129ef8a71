"""`jibek ledger …`: balances and transfers, the proof that they are right, deposits and withdrawals.

Reports read the ledger in the store of a running venue and change nothing. `deposit` and `withdraw` are commands in the
journal, which records the operator and the reason.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from engine.decimals import DecimalError
from engine.journal import BEGINNING, EntryId
from engine.listing import Asset
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from engine.process.wall_clock import time_text
from engine.records import Command, CommandKind
from jibek.console.books import (
    print_reconciliation,
    print_trial_balance,
    reconciliation_json,
    trial_balance_json,
)
from jibek.console.changes import execute
from jibek.console.failure import fail, store_errors
from jibek.console.live import Progress, progress_shown
from jibek.console.operator import system_user
from jibek.console.options import combined, data_option, json_option, who_and_why
from jibek.console.output import Column, print_json, print_line, print_table
from jibek.console.printable import excerpt
from jibek.console.suggestion import with_folder
from jibek.console.text import parse_amount
from jibek.venue.address import check_is_there, find_venue, open_store
from jibek.venue.directory import check_store, read_names
from jibek.venue.folder import VENUE_FILE, DataFolder
from jibek.venue.unsettled import warn_of_settlement
from ledger.checks import BalanceRow, fault_of_sums
from ledger.names import Names
from ledger.rebuild import ask_for_rebuild, is_asked_for
from ledger.reconciliation import reconcile
from ledger.reports import (
    Transaction,
    TrialRow,
    account_path,
    all_balances,
    balances_of,
    checked_snapshot,
    code_text,
    journal,
    journal_of_entry,
    print_style,
    trial_balance,
    trial_totals,
)
from ledger.snapshot import NotSettled, take_snapshot
from ledger.store import LedgerBroken, LedgerStore

JOURNAL_LIMIT = 20
JOURNAL_LIMIT_MAX = 100_000
REBUILD_WAIT_S = 10.0
REBUILD_STALL_S = 60.0
REBUILD_POLL_S = 0.05
NUMBER = re.compile(r"[0-9.,]+")
RowT = TypeVar("RowT", BalanceRow, TrialRow)


@click.group()
def ledger() -> None:
    """Inspect the ledger, reconcile or rebuild it, deposit and withdraw.

    \b
      jibek ledger balances --nonzero
      jibek ledger deposit alice 10 BTC --why "transfer 4711"
    """


@contextmanager
def opened(data_dir: Path) -> Iterator[LedgerStore]:
    """The ledger of a venue whose store has all that its watermarks name. Errors of the store and of the ledger inside the block end the command with one sentence."""
    client = open_store(find_venue(data_dir))
    try:
        with store_errors():
            check_store(client, data_dir)
            yield LedgerStore(client)
    except NotSettled as error:
        fail(EXIT_UNREACHABLE, f"The ledger is behind: {error}")
    except LedgerBroken as error:
        fail(EXIT_REFUSED, f"The ledger is broken: {error}.")
    finally:
        client.close()


@contextmanager
def reported(data_dir: Path) -> Iterator[LedgerStore]:
    """`opened`, for a report. It says first if no settlement vouches for what is shown."""
    with opened(data_dir) as store:
        warn_of_settlement(find_venue(data_dir))
        yield store


@ledger.command()
@click.option("--account", metavar="NAME", help="Only this account. The venue's own is `house`.")
@click.option("--asset", "asset_name", metavar="ASSET", help="Only this asset.")
@click.option("--nonzero", is_flag=True, help="Leave out balances of zero.")
@json_option
@data_option
def balances(data_dir: Path, account: str | None, asset_name: str | None, nonzero: bool, as_json: bool) -> None:
    """Show the balances of all accounts, or of one.

    Available is what the account can use, held is what its open orders hold. Before it prints, it adds up all balances, also for
    one account: a balance that was changed in the store makes its asset differ, and the exit code is 1. Changes that cancel out are
    found when the settlement starts, and by `jibek ledger reconcile`, which computes every balance again.

    \b
      jibek ledger balances --nonzero
      jibek ledger balances --account alice --asset BTC --json
    """
    with reported(data_dir) as store:
        names = read_names(store.client, data_dir)
        id, rows = _balance_rows(store, names, account)
    rows = [row for row in _of_asset(rows, names, asset_name) if row.total or not nonzero]
    if as_json:
        print_json({"id": str(id), "balances": [_balance_json(row, names) for row in rows]})
        return
    columns = [
        Column("account"),
        Column("asset"),
        *(Column(title, right=True) for title in ("available", "held", "total")),
    ]
    print_table(columns, [list(_balance_json(row, names).values()) for row in rows], footer=f"after entry {id}")


def _balance_rows(store: LedgerStore, names: Names, account: str | None) -> tuple[EntryId, list[BalanceRow]]:
    if account is not None:
        return balances_of(store, _account(names, account), names.assets)
    snapshot = checked_snapshot(store)
    rows = all_balances(snapshot)
    check_listed(rows, names)
    return snapshot.id, rows


def check_listed(rows: Sequence[BalanceRow | TrialRow], names: Names) -> None:
    """
    Raises:
        Failure: exit code 1 if the ledger has balances of an asset that the venue does not have.
    """
    if unknown := {row.asset for row in rows} - names.assets.keys():
        fail(
            EXIT_REFUSED,
            f"The ledger has balances of asset {min(unknown)}, which is not listed: run `jibek ledger reconcile`.",
        )


def _balance_json(row: BalanceRow, names: Names) -> dict[str, str]:
    asset = names.asset(row.asset)
    return {
        "account": names.account(row.owner),
        "asset": asset.name,
        "available": asset.format(row.available),
        "held": asset.format(row.held),
        "total": asset.format(row.total),
    }


@ledger.command("trial-balance")
@click.option("--asset", "asset_name", metavar="ASSET", help="Only this asset.")
@json_option
@data_option
def trial_balance_command(data_dir: Path, asset_name: str | None, as_json: bool) -> None:
    """Check that debits equal credits in every asset.

    It prints the sums over all accounts of each kind. The exit code is 1 if debits and credits differ, if a balance is negative,
    or if the ledger has transfers and no balances. A venue where nothing was credited yet has nothing to balance, and passes.

    \b
      jibek ledger trial-balance
      jibek ledger trial-balance --asset KZT --json
    """
    with reported(data_dir) as store:
        snapshot = take_snapshot(store)
        is_unused = not snapshot.counters and not store.last_transfers(count=1)
        names = read_names(store.client, data_dir)
    check_listed(all_rows := trial_balance(snapshot), names)
    rows = _of_asset(all_rows, names, asset_name)
    if as_json:
        print_json(trial_balance_json(snapshot.id, rows, names, is_unused=is_unused))
    elif is_unused:
        print_line("Nothing has been credited yet, so there is nothing to balance.")
    elif rows:
        print_trial_balance(snapshot.id, rows, names)
    if not snapshot.counters and not is_unused:
        fail(EXIT_REFUSED, "The ledger has transfers, but no balances: run `jibek ledger reconcile`.")
    if not rows and not is_unused:
        fail(EXIT_REFUSED, f"No account was ever credited with {asset_name}: there is nothing to balance.")
    if unbalanced := [names.asset(total.asset).name for total in trial_totals(rows) if not total.is_balanced()]:
        fail(EXIT_REFUSED, f"Debits and credits differ in {', '.join(unbalanced)}: run `jibek ledger reconcile`.")
    if fault := fault_of_sums(snapshot.counters):
        fail(EXIT_REFUSED, f"The balances contradict each other ({fault}): run `jibek ledger reconcile`.")


@ledger.command("journal")
@click.option("--account", metavar="NAME", help="Only transactions that touched this account.")
@click.option("--entry", "entry_text", metavar="ID", help="Only this entry, such as 1-20.")
@click.option(
    "--limit", type=click.IntRange(1, JOURNAL_LIMIT_MAX), default=JOURNAL_LIMIT, show_default=True,
    help="Number of transactions, the newest.",
)  # fmt: skip
@json_option
@data_option
def journal_command(data_dir: Path, account: str | None, entry_text: str | None, limit: int, as_json: bool) -> None:
    """Print the newest transfers, in the format of hledger.

    The oldest of them comes first; debits are positive, credits negative. Transfers are computed from the events and compared with
    the stored ones; if an entry has others, the exit code is 1. Names come from the events, too.

    \b
      jibek ledger journal --account alice --limit 5
      jibek ledger journal --entry 1-20
    """
    entry = None if entry_text is None else _entry_id(entry_text)
    with reported(data_dir) as store:
        names = read_names(store.client, data_dir)
        owner = None if account is None else _account(names, account)
        if entry is None:
            transactions = journal(store, owner=owner, limit=limit)
        else:
            _check_entry(store, entry)
            transactions = [
                transaction
                for transaction in journal_of_entry(store, entry)
                if owner is None or transaction.touches(owner)
            ]
    if as_json:
        print_json({"transactions": [_transaction_json(transaction, names) for transaction in transactions]})
        return
    for line in print_style(transactions, names):
        print_line(line)
    if not transactions:
        of_account = "" if account is None else f" of {account}"
        place = "the ledger" if entry is None else f"entry {entry}"
        print_line(f"There are no transfers{of_account} in {place}.", err=True)


def _transaction_json(transaction: Transaction, names: Names) -> dict[str, Any]:
    return {
        "entry": str(transaction.entry),
        "event": transaction.event_index,
        "time": time_text(transaction.time_us),
        "what": transaction.summary(),
        "transfers": [
            {
                "code": code_text(transfer.code),
                "debit": account_path(transfer.debit, names),
                "credit": account_path(transfer.credit, names),
                "asset": names.asset(transfer.asset).name,
                "amount": names.asset(transfer.asset).format(transfer.amount),
            }
            for transfer in transaction.transfers
        ],
    }


@ledger.command("reconcile")
@json_option
@data_option
def reconcile_command(data_dir: Path, as_json: bool) -> None:
    """Compute the ledger again from the events, and compare.

    It prints each check with the number of items it looked at. The exit code is 1 if one fails. A check that looked at
    nothing fails too, unless there need be nothing, as with fees. To learn what the engine holds, it adds one entry to the
    journal. On a venue where nothing was ever credited there is nothing to look at: it says so, and passes if ledger and
    engine have nothing either.

    \b
      jibek ledger reconcile
      jibek ledger reconcile --json
    """
    with opened(data_dir) as store, progress_shown("reading the events") as progress:
        result = reconcile(store, progress=progress)
    if as_json:
        print_json(reconciliation_json(result))
    else:
        print_reconciliation(result)
    if not result.passed:
        failed = sum(not check.passed for check in result.checks)
        fail(EXIT_REFUSED, f"{failed} of {len(result.checks)} checks failed.")


@ledger.command("rebuild")
@who_and_why(why_required=True, record="the log of the settlement")
@data_option
def rebuild_command(data_dir: Path, who: str, why: str) -> None:
    """Compute the ledger again from the events.

    For a ledger of which `jibek ledger reconcile`, or the settlement at its start, says that it is wrong. Settlement takes all of
    it out of the store and begins at the first entry, at about 50,000 orders a second. Trading goes on meanwhile, and the ledger
    is behind. If the venue does not run, that happens at its next start. Journal and events are not touched, so `jibek audit` does
    not have it: who asked and why is in `jibek logs settlement`.

    \b
      jibek ledger rebuild --why "account 7 differs after the disk fault"
    """
    check_is_there(data_dir)
    try:
        if not DataFolder(data_dir).is_marked():
            fail(EXIT_UNREACHABLE, f"{data_dir} is not the data folder of a venue: name it with --data.")
        ask_for_rebuild(data_dir, who=who, why=why, system_user=system_user())
    except OSError as error:
        fail(EXIT_REFUSED, f"The request cannot be written into {data_dir}: {error}")
    if not ((data_dir / VENUE_FILE).exists() and find_venue(data_dir).is_running):
        print_line(with_folder(f"No venue runs on {data_dir}: its ledger is computed again when `jibek up` starts it."))
        return
    with opened(data_dir) as store, progress_shown("settling the events again") as progress:
        id = _wait_for_rebuild(store, data_dir, progress)
    print_line(f"The ledger was computed again from the events, up to entry {id}.")


def _wait_for_rebuild(store: LedgerStore, data_dir: Path, progress: Progress) -> EntryId:
    """Waits until the settlement has obeyed and has come to where the events end now; returns the id of that entry.

    Raises:
        Failure: exit code 3 if the settlement does not run, 1 if it does not get on.
    """
    deadline_s = time.monotonic() + REBUILD_WAIT_S
    while is_asked_for(data_dir):
        if time.monotonic() > deadline_s:
            fail(
                EXIT_UNREACHABLE,
                "The settlement does not run. It computes the ledger again when it starts: see `jibek status`.",
            )
        time.sleep(REBUILD_POLL_S)
    last = store.source.published()
    total = store.source.count_between(BEGINNING, last)
    reached = BEGINNING
    deadline_s = time.monotonic() + REBUILD_STALL_S
    while (cursor := store.cursor().id) < last:
        if cursor != reached:
            reached, deadline_s = cursor, time.monotonic() + REBUILD_STALL_S
        elif time.monotonic() > deadline_s:
            fail(EXIT_REFUSED, f"The settlement does not get beyond {cursor}: see `jibek logs settlement`.")
        progress(total - min(total, store.source.count_between(cursor, last)), total)
        time.sleep(REBUILD_POLL_S)
    return last


money_options = combined(
    click.argument("account"),
    click.argument("amount"),
    click.argument("asset"),
    who_and_why(why_required=True),
    json_option,
    data_option,
)


@ledger.command()
@money_options
def deposit(**given: Any) -> None:
    """Credit AMOUNT of ASSET to ACCOUNT.

    \b
      jibek ledger deposit alice 10 BTC --why "transfer 4711"
    """
    _move_money(CommandKind.DEPOSIT, **given)


@ledger.command()
@money_options
def withdraw(**given: Any) -> None:
    """Debit AMOUNT of ASSET from ACCOUNT.

    It is refused if the account has less available.

    \b
      jibek ledger withdraw alice 2.5 BTC --why "asked for by letter"
    """
    _move_money(CommandKind.WITHDRAW, **given)


def _move_money(
    kind: CommandKind, account: str, amount: str, asset: str, who: str, why: str, data_dir: Path, as_json: bool
) -> None:
    """Sends the command, waits for its event, and prints the result."""
    if NUMBER.fullmatch(asset) and not NUMBER.fullmatch(amount):
        raise click.UsageError("write ACCOUNT AMOUNT ASSET, such as alice 10 BTC.")
    with opened(data_dir) as store:
        names = read_names(store.client, data_dir)
        number = _account(names, account)
        listed = _asset(names, asset)
        units = _amount(listed, amount)
        command = Command(kind=kind, account=number, asset=listed.number, amount=units)
        id, _ = execute(store.client, command, who=who, why=why)
    text = listed.format(units)
    if as_json:
        print_json({"id": str(id), "account": account, "asset": listed.name, "amount": text})
        return
    what = "Deposited {} {} to {}" if kind == CommandKind.DEPOSIT else "Withdrew {} {} from {}"
    print_line(f"{what.format(text, listed.name, account)} in entry {id}.")


# -- what the options name


def _account(names: Names, name: str) -> int:
    number = names.number_of(name)
    if number is None:
        fail(EXIT_REFUSED, f"No account is named {excerpt(name)}. See `jibek account list`.")
    return number


def _asset(names: Names, name: str) -> Asset:
    asset = names.asset_by_name.get(name.upper())
    if asset is None:
        fail(
            EXIT_REFUSED,
            f"No asset is named {excerpt(name)}; there are {', '.join(sorted(names.asset_by_name)) or 'none'}.",
        )
    return asset


def _of_asset(rows: list[RowT], names: Names, name: str | None) -> list[RowT]:
    """The rows of one asset, or all rows if none is named."""
    if name is None:
        return rows
    number = _asset(names, name).number
    return [row for row in rows if row.asset == number]


def _amount(asset: Asset, text: str) -> int:
    try:
        return parse_amount(asset, text)
    except DecimalError as error:
        fail(EXIT_USAGE, f"The amount {excerpt(text)} cannot be used: {error}.")


def _entry_id(text: str) -> EntryId:
    try:
        return EntryId.parse(text)
    except ValueError:
        fail(EXIT_USAGE, f"{text!r} is not an entry: an id has the form 1-20.")


def _check_entry(store: LedgerStore, id: EntryId) -> None:
    """
    Raises:
        Failure: exit code 1 if the venue has no such entry, or the ledger has not reached it.
    """
    if id > (last := store.cursor().id):
        fail(EXIT_REFUSED, f"The ledger has no entry {id}: its last one is {last}.")
    if not store.source.events_at([id]):
        fail(EXIT_REFUSED, f"The venue has no entry {id}.")
