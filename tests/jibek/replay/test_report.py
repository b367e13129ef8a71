"""The report of a replay: what counts as a fault, and which fault comes first."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from engine.journal import EntryId
from jibek.replay.check import Totals
from jibek.replay.plan import Plan
from jibek.replay.report import ReplayReport, print_replay_report, print_totals, replay_report_json
from ledger.checks import Check
from ledger.reconciliation import Reconciliation
from tests.worlds.replay import default_market

GOOD = Reconciliation(EntryId(1, 9), [Check("sums", 3), Check("names", 2)])
BAD = Reconciliation(EntryId(1, 9), [Check("sums", 3, "1 is missing"), Check("names", 2)])
TOTALS = Totals(2, 1_500_000, 300_00000000)


def report(
    venue: Totals | None = TOTALS, book: Totals = TOTALS, difference: str = "", reconciliation: Reconciliation = GOOD
) -> ReplayReport:
    plan = Plan(default_market(), first_ms=1_000, last_ms=61_000)
    return ReplayReport(Path("flow.csv"), plan, ["a"], 2.0, Counter(), venue, book, 0, difference, reconciliation)


FAULTS = [
    (report(), ""),
    (report(difference="command 3: …"), "The venue and engine.Book differ: command 3: …."),
    (report(book=Totals(0, 0, 0)), "Nothing was traded, so nothing is proved."),
    (report(reconciliation=BAD), "1 of 2 checks of the ledger failed."),
    (report(difference="x", reconciliation=BAD), "The venue and engine.Book differ: x."),
]


@pytest.mark.parametrize(("found", "fault"), FAULTS)
def test_the_worst_fault_is_named(found: ReplayReport, fault: str) -> None:
    assert found.fault == fault
    assert replay_report_json(found)["passed"] == (not fault)


def test_amounts_are_decimal_strings_in_the_units_of_the_market() -> None:
    found = replay_report_json(report())
    assert found["venue"] == found["book"] == {"trades": 2, "volume": "1.5", "value": "300.00000000"}
    assert (found["recorded_s"], found["times_faster"]) == (60.0, 30.0)


def test_zero_is_left_out_and_one_is_singular(capsys: pytest.CaptureFixture[str]) -> None:
    print_replay_report(report())
    printed = capsys.readouterr().out
    assert "rounded down" not in printed and "rested" not in printed
    one = replace(report(), resting=1, refusals=Counter({"No. (-2010)": 1}))
    one.plan.rounded = 1
    print_replay_report(one)
    printed = capsys.readouterr().out
    assert "         1  of the orders had a volume that was rounded down to the lot\n" in printed
    assert "         1  time the answer was: No. (-2010)\n" in printed
    assert "         1  order rested at the end and was cancelled\n" in printed


def test_trades_that_cannot_be_paired_have_no_totals(capsys: pytest.CaptureFixture[str]) -> None:
    unpaired = report(venue=None, difference="trade 7 lacks a side")
    assert replay_report_json(unpaired)["venue"] is None
    print_totals(unpaired)
    assert capsys.readouterr().out.splitlines()[1].split() == ["the", "venue", "?", "?", "?"]
