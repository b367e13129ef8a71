"""The result of a replay, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from jibek.console.books import print_reconciliation, reconciliation_json
from jibek.console.output import Column, print_line, print_table
from jibek.console.text import counted, quantity_text
from jibek.replay.check import Totals
from jibek.replay.plan import Plan, RowDisposition
from ledger.reconciliation import Reconciliation


@dataclass(frozen=True)
class ReplayReport:
    """The result of a replay."""

    file: Path
    plan: Plan
    accounts: list[str]
    seconds: float
    """From the first command to the last reply."""
    refusals: Counter[str]
    """The venue's error -> how often it came."""
    venue: Totals | None
    """None if the venue's trades could not be paired; `difference` then says why."""
    book: Totals
    resting: int
    """Orders that were open after the last command."""
    difference: str
    """The first difference between the venue and `engine.Book`; empty if there is none."""
    reconciliation: Reconciliation

    @property
    def commands_per_s(self) -> float:
        return len(self.plan.commands) / self.seconds

    @property
    def times_faster(self) -> float:
        return self.plan.recorded_s / self.seconds

    @property
    def fault(self) -> str:
        """What is wrong, in one sentence; empty if nothing is."""
        if self.difference:
            return f"The venue and engine.Book differ: {self.difference}."
        if not self.book.trades:
            return "Nothing was traded, so nothing is proved."
        if not self.reconciliation.passed:
            failed = sum(not check.passed for check in self.reconciliation.checks)
            return f"{failed} of {len(self.reconciliation.checks)} checks of the ledger failed."
        return ""


def replay_report_json(report: ReplayReport) -> dict[str, Any]:
    """The report as JSON; amounts are decimal strings."""
    plan = report.plan
    return {
        "file": str(report.file),
        "market": plan.market.symbol,
        "accounts": report.accounts,
        "passed": not report.fault,
        "rows": plan.rows,
        "became": {disposition.name.lower(): plan.dispositions[disposition] for disposition in RowDisposition},
        "rounded": plan.rounded,
        "recorded_s": plan.recorded_s,
        "seconds": round(report.seconds, 3),
        "times_faster": round(report.times_faster, 1),
        "commands_per_second": round(report.commands_per_s, 1),
        "orders": plan.orders,
        "cancels": plan.cancels,
        "refusals": dict(report.refusals.most_common()),
        "resting": report.resting,
        "venue": None if report.venue is None else totals_json(report.venue, plan),
        "book": totals_json(report.book, plan),
        "difference": report.difference or None,
        "reconciliation": reconciliation_json(report.reconciliation),
    }


def totals_json(totals: Totals, plan: Plan) -> dict[str, Any]:
    return {
        "trades": totals.trades,
        "volume": quantity_text(plan.market, totals.volume_lots),
        "value": plan.market.quote.format(totals.value_units),
    }


def print_replay_report(report: ReplayReport) -> None:
    """Prints everything but the fault."""
    plan = report.plan
    recorded = timedelta(seconds=round(plan.recorded_s))
    print_line(f"{report.file}: {counted(plan.rows, 'row')}, recorded in {recorded}")
    for disposition in RowDisposition:
        if plan.dispositions[disposition]:
            print_line(f"{plan.dispositions[disposition]:10,}  {disposition.value}")
    if plan.rounded:
        print_line(f"{plan.rounded:10,}  of the orders had a volume that was rounded down to the lot")
    print_line()
    print_line(
        f"{counted(plan.orders, 'order')} and {counted(plan.cancels, 'cancel')} of {counted(len(report.accounts), 'account')} in "
        f"{report.seconds:.2f} s: {report.commands_per_s:,.0f} a second, {report.times_faster:,.0f} times as fast as "
        "recorded"
    )
    for answer, count in report.refusals.most_common():
        print_line(f"{count:10,}  {'time' if count == 1 else 'times'} the answer was: {answer}")
    if report.resting:
        rested = "order rested at the end and was" if report.resting == 1 else "orders rested at the end and were"
        print_line(f"{report.resting:10,}  {rested} cancelled")
    print_line()
    print_totals(report)
    print_line()
    print_reconciliation(report.reconciliation)
    if not report.fault:
        print_line()
        print_line(f"The venue made the same {report.book.trades:,} trades as engine.Book; every check passed.")


def print_totals(report: ReplayReport) -> None:
    market = report.plan.market
    columns = [
        Column("made by"), Column("trades", right=True), Column(f"volume in {market.base.name}", right=True),
        Column(f"value in {market.quote.name}", right=True),
    ]  # fmt: skip
    rows = []
    for name, totals in (("the venue", report.venue), ("engine.Book", report.book)):
        if totals is None:
            rows.append([name, "?", "?", "?"])
        else:
            volume, value = quantity_text(market, totals.volume_lots), market.quote.format(totals.value_units)
            rows.append([name, f"{totals.trades:,}", volume, value])
    print_table(columns, rows)
