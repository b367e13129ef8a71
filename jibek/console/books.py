"""The books for people and as JSON: the trial balance, and the result of a reconciliation."""

from __future__ import annotations

from typing import Any

from engine.journal import EntryId
from jibek.console.output import Column, print_line, print_table
from ledger.accounts import AccountKind
from ledger.names import Names
from ledger.reconciliation import Reconciliation
from ledger.reports import TrialRow, trial_totals

KIND_TITLES = {
    AccountKind.CLIENT: "clients: available",
    AccountKind.HOLD: "held for open orders",
    AccountKind.FEE: "house: fees",
    AccountKind.CUSTODY: "custody",
    AccountKind.CLEARING: "clearing",
}


def print_trial_balance(id: EntryId, rows: list[TrialRow], names: Names) -> None:
    """Prints the trial balance with a total and a difference for each asset."""
    lines = []
    for total in trial_totals(rows):
        asset = names.asset(total.asset)
        for row in rows:
            if row.asset == total.asset:
                debit, credit = (asset.format(amount) if amount else "" for amount in (row.debit, row.credit))
                lines.append([asset.name, KIND_TITLES[row.kind], f"{row.accounts:,}", debit, credit])
        lines.append([asset.name, "total", "", asset.format(total.debit), asset.format(total.credit)])
        lines.append([asset.name, "difference", "", "", asset.format(total.debit - total.credit)])
    titles = [
        Column("asset"),
        Column("kind"),
        *(Column(title, right=True) for title in ("accounts", "debit", "credit")),
    ]
    print_table(titles, lines, title="Trial balance", footer=f"after entry {id}")


def trial_balance_json(id: EntryId, rows: list[TrialRow], names: Names, *, is_unused: bool = False) -> dict[str, Any]:
    """The trial balance as JSON. Without rows it is balanced only if the venue is unused."""
    totals = trial_totals(rows)
    return {
        "id": str(id),
        "balanced": (bool(totals) or is_unused) and all(total.is_balanced() for total in totals),
        "unused": is_unused,
        "rows": [
            {
                "asset": names.asset(row.asset).name,
                "kind": row.kind.name.lower(),
                "accounts": row.accounts,
                "debit": names.asset(row.asset).format(row.debit),
                "credit": names.asset(row.asset).format(row.credit),
            }
            for row in rows
        ],
    }


def print_reconciliation(result: Reconciliation) -> None:
    """Prints each check with how many items it looked at. For an unused venue those are left out that had nothing to look at."""
    columns = [Column("check"), Column("looked at", right=True), Column("result"), Column("")]
    rows = [
        [check.name, f"{check.looked_at:,}", "pass" if check.passed else "FAIL", check.detail]
        for check in result.checks
        if check.looked_at or not check.passed or not result.is_unused
    ]
    print_table(columns, rows, title="Reconciliation", footer=f"after entry {result.id}")
    if result.is_unused and result.passed:
        print_line("Nothing has been credited yet, so there is nothing to reconcile.")


def reconciliation_json(result: Reconciliation) -> dict[str, Any]:
    """The reconciliation as JSON."""
    return {
        "id": str(result.id),
        "passed": result.passed,
        "unused": result.is_unused,
        "checks": [
            {"name": check.name, "looked_at": check.looked_at, "passed": check.passed, "detail": check.detail}
            for check in result.checks
        ],
    }
