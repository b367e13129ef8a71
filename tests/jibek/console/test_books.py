"""The books for people: what fails is seen, and an empty ledger balances nothing."""

from __future__ import annotations

import pytest

from engine.journal import EntryId
from engine.listing import Asset
from jibek.console.books import (
    KIND_TITLES,
    print_reconciliation,
    print_trial_balance,
    reconciliation_json,
    trial_balance_json,
)
from ledger.accounts import AccountKind
from ledger.checks import Check
from ledger.names import Names
from ledger.reconciliation import Reconciliation
from ledger.reports import TrialRow

ID = EntryId(1, 20)
NAMES = Names(assets={1: Asset(1, "KZT", 2)})


def test_each_kind_of_account_has_a_title() -> None:
    assert KIND_TITLES.keys() == set(AccountKind)


def test_a_difference_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [TrialRow(1, AccountKind.CLIENT, 3, 0, 500, 0, 500), TrialRow(1, AccountKind.CUSTODY, 1, 400, 0, 400, 0)]
    print_trial_balance(ID, rows, NAMES)
    assert capsys.readouterr().out.splitlines() == [
        "Trial balance",
        "asset  kind                accounts  debit  credit",
        "KZT    clients: available         3           5.00",
        "KZT    custody                    1   4.00",
        "KZT    total                          4.00    5.00",
        "KZT    difference                            -1.00",
        "after entry 1-20",
    ]
    assert trial_balance_json(ID, rows, NAMES)["balanced"] is False


def test_an_empty_ledger_does_not_balance() -> None:
    assert trial_balance_json(ID, [], NAMES) == {"id": "1-20", "balanced": False, "unused": False, "rows": []}


def test_an_unused_venue_balances_without_a_row() -> None:
    assert trial_balance_json(ID, [], NAMES, is_unused=True) == {
        "id": "1-20", "balanced": True, "unused": True, "rows": [],
    }  # fmt: skip


def test_of_an_unused_venue_the_checks_that_looked_at_something_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    result = Reconciliation(ID, [Check("chain", 9), Check("sums", 0, may_be_empty=True)], is_unused=True)
    print_reconciliation(result)
    assert capsys.readouterr().out.splitlines()[2:] == [
        "chain          9  pass",
        "after entry 1-20",
        "Nothing has been credited yet, so there is nothing to reconcile.",
    ]
    found = reconciliation_json(result)
    assert (found["passed"], found["unused"], len(found["checks"])) == (True, True, 2)


def test_a_failed_check_names_its_fault(capsys: pytest.CaptureFixture[str]) -> None:
    result = Reconciliation(ID, [Check("sums", 7), Check("names", 3, "account:1 is mallory"), Check("holds", 0)])
    print_reconciliation(result)
    assert capsys.readouterr().out.splitlines()[2:5] == [
        "sums           7  pass",
        "names          3  FAIL    account:1 is mallory",
        "holds          0  FAIL    there was nothing to look at",
    ]
    found = reconciliation_json(result)
    assert found["passed"] is False
    assert [check["passed"] for check in found["checks"]] == [True, False, False]
