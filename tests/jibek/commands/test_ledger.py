"""The `jibek ledger …` commands: what they print, and their exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.journal import EVENTS_KEY, Store
from engine.process import EXIT_GOOD, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from engine.records import EventEntry
from jibek.commands.ledger import ledger
from ledger.accounts import field_of, slot_of
from ledger.store import BALANCES_KEY, LedgerStore
from tests.worlds.ledger import SettlementThread, settle_all
from tests.worlds.processes import process_environment, wait_until
from tests.worlds.stepped_venue import EngineThread, SteppedVenue
from tests.worlds.store import StoreProcess

Run = Callable[..., Result]


@contextmanager
def ledger_runner(venue: SteppedVenue, server: StoreProcess, data_dir: Path) -> Iterator[Run]:
    """Runs `jibek ledger` commands against a venue as it is, its engine and its settlement at work."""
    address = {
        "pid": os.getpid(),
        "store": server.url,
        "host": "127.0.0.1",
        "port": 1,
        "services": {},
        "engine": "reference",
    }
    (data_dir / "venue.json").write_text(json.dumps(address))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(ledger, [*arguments, "--data", str(data_dir)])

    with EngineThread(venue, server.url), SettlementThread(settle_all(venue.client)):
        yield run


@pytest.fixture
def run(venue: SteppedVenue, server: StoreProcess, tmp_path: Path) -> Iterator[Run]:
    """Runs a `jibek ledger` command against a venue where Alice has bought 0.5 BTC of Bob's 1 BTC."""
    venue.trade_once()
    with ledger_runner(venue, server, tmp_path) as run:
        yield run


@pytest.fixture
def run_unused(venue: SteppedVenue, server: StoreProcess, tmp_path: Path) -> Iterator[Run]:
    """Runs a `jibek ledger` command against a venue where nothing was credited yet."""
    with ledger_runner(venue, server, tmp_path) as run:
        yield run


def good(result: Result) -> str:
    assert result.exit_code == EXIT_GOOD, result.output
    return result.stdout


def test_balances(run: Run) -> None:
    table = good(run("balances")).splitlines()
    assert table[:-1] == [
        "account  asset    available        held        total",
        "house    KZT       12500.00        0.00     12500.00",
        "house    BTC     0.00050000  0.00000000   0.00050000",
        "alice    KZT    31000000.00  4000000.00  35000000.00",
        "alice    BTC     0.49950000  0.00000000   0.49950000",
        "bob      KZT    24987500.00        0.00  24987500.00",
        "bob      BTC     0.50000000  0.00000000   0.50000000",
    ]
    assert table[-1].startswith("after entry 1-")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--account", "alice"], [("alice", "KZT"), ("alice", "USDT"), ("alice", "BTC"), ("alice", "ETH")]),
        (["--account", "alice", "--nonzero"], [("alice", "KZT"), ("alice", "BTC")]),
        (["--account", "house", "--asset", "btc"], [("house", "BTC")]),
        (["--asset", "KZT"], [("house", "KZT"), ("alice", "KZT"), ("bob", "KZT")]),
    ],
)
def test_balances_are_filtered(run: Run, options: list[str], expected: list[tuple[str, str]]) -> None:
    document = json.loads(good(run("balances", "--json", *options)))
    assert [(row["account"], row["asset"]) for row in document["balances"]] == expected


def test_amounts_in_json_are_decimal_strings(run: Run) -> None:
    document = json.loads(good(run("balances", "--account", "alice", "--asset", "BTC", "--json")))
    assert document["balances"] == [
        {"account": "alice", "asset": "BTC", "available": "0.49950000", "held": "0.00000000", "total": "0.49950000"}
    ]


def test_the_trial_balance(run: Run) -> None:
    lines = good(run("trial-balance", "--asset", "BTC")).splitlines()
    assert lines[:-1] == [
        "Trial balance",
        "asset  accounts              number       debit      credit",
        "BTC    clients: available         2              0.99950000",
        "BTC    held for open orders       3",
        "BTC    house: fees                1              0.00050000",
        "BTC    custody                    1  1.00000000",
        "BTC    clearing                   1",
        "BTC    total                         1.00000000  1.00000000",
        "BTC    difference                                0.00000000",
    ]
    document = json.loads(good(run("trial-balance", "--json")))
    assert document["balanced"] is True
    assert {"asset": "KZT", "kind": "custody", "accounts": 1, "debit": "60000000.00", "credit": "0.00"} in document[
        "rows"
    ]


def test_a_trial_balance_that_does_not_balance_fails(run: Run, client: Store) -> None:
    client.hdel(BALANCES_KEY, field_of(slot_of(1, 3)))
    result = run("trial-balance")
    assert result.exit_code == EXIT_REFUSED
    assert result.stderr == "Debits and credits differ in BTC: run `jibek ledger reconcile`.\n"


def test_a_trial_balance_without_the_balances_of_its_transfers_fails(run: Run, client: Store) -> None:
    client.delete(BALANCES_KEY)
    result = run("trial-balance")
    assert result.exit_code == EXIT_REFUSED
    assert result.stderr == "The ledger has transfers, but no balances: run `jibek ledger reconcile`.\n"


def test_a_trial_balance_of_an_asset_that_no_account_has_fails(run: Run) -> None:
    result = run("trial-balance", "--asset", "ETH")
    assert result.exit_code == EXIT_REFUSED
    assert result.stderr == "No account was ever credited with ETH: there is nothing to balance.\n"


def test_on_an_unused_venue_there_is_nothing_to_balance_or_reconcile(run_unused: Run) -> None:
    said = "Nothing has been credited yet, so there is nothing to "
    assert good(run_unused("trial-balance")) == f"{said}balance.\n"
    assert json.loads(good(run_unused("trial-balance", "--json")))["unused"] is True
    lines = good(run_unused("reconcile")).splitlines()
    assert lines[2].startswith("every entry has its event, and the hash chain is intact ")
    assert lines[-1] == f"{said}reconcile."
    document = json.loads(good(run_unused("reconcile", "--json")))
    assert document["unused"] is document["passed"] is True


def test_the_journal(run: Run) -> None:
    text = good(run("journal", "--account", "bob", "--limit", "1"))
    assert "    liabilities:clients:alice:held        25000000.00 KZT  ; payment\n" in text
    document = json.loads(good(run("journal", "--account", "bob", "--limit", "1", "--json")))
    [transaction] = document["transactions"]
    assert transaction["what"] == "trade"
    assert transaction["transfers"][0] == {
        "code": "payment",
        "debit": "liabilities:clients:alice:held",
        "credit": "liabilities:clients:bob:available",
        "asset": "KZT",
        "amount": "25000000.00",
    }
    assert (
        json.loads(good(run("journal", "--entry", transaction["entry"], "--json")))["transactions"][-1] == transaction
    )


def test_an_entry_without_transfers_says_so(run: Run) -> None:
    for words, said in (
        (["--entry", "1-0"], "There are no transfers in entry 1-0."),
        (["--entry", "1-0", "--account", "bob"], "There are no transfers of bob in entry 1-0."),
    ):
        result = run("journal", *words)
        assert (good(result), result.stderr) == ("", f"{said}\n")


def test_an_empty_journal_says_so(run_unused: Run) -> None:
    result = run_unused("journal")
    assert (good(result), result.stderr) == ("", "There are no transfers in the ledger.\n")


def test_the_reconciliation(run: Run) -> None:
    lines = good(run("reconcile")).splitlines()
    assert len(lines) == 15
    assert all(line.rstrip().endswith("pass") for line in lines[2:-1])
    document = json.loads(good(run("reconcile", "--json")))
    assert document["passed"] is True
    assert all(check["passed"] and check["looked_at"] > 0 for check in document["checks"])


def test_a_reconciliation_that_fails_names_the_check(run: Run, client: Store) -> None:
    client.setrange("{jibek}:ledger:index:1:1.0", 0, b"\x03")
    result = run("reconcile")
    assert result.exit_code == EXIT_REFUSED
    assert "the index of account 1 is not the list of the entries that touched it" in result.stdout
    assert result.stderr == "1 of 12 checks failed.\n"


def test_money_in_and_out_is_in_the_journal_with_who_and_why(run: Run, client: Store) -> None:
    text = good(run("deposit", "alice", "1.5", "btc", "--why", "wire 77", "--who", "aigerim"))
    assert text.startswith("Deposited 1.50000000 BTC to alice in entry 1-")
    [(_, fields)] = client.xrevrange(EVENTS_KEY, count=1)
    entry = EventEntry(fields[b"b"])
    assert entry.parts(next(iter(entry))) == [b"aigerim", b"wire 77"]

    document = json.loads(good(run("withdraw", "alice", "0.25", "BTC", "--why", "wire 78", "--json")))
    assert (document["account"], document["asset"], document["amount"]) == ("alice", "BTC", "0.25000000")
    wait_until(lambda: str(LedgerStore(client).cursor().id) == document["id"], "the withdrawal is settled")
    [row] = json.loads(good(run("balances", "--account", "alice", "--asset", "BTC", "--json")))["balances"]
    assert row["available"] == "1.74950000"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["balances", "--account", "nobody"], EXIT_REFUSED, "No account is called 'nobody'"),
        (["balances", "--asset", "XXX"], EXIT_REFUSED, "No asset is called 'XXX': there are BTC, ETH, KZT, USDT."),
        (["journal", "--entry", "one"], EXIT_USAGE, "'one' is not an entry"),
        (["journal", "--entry", "9999999-1"], EXIT_REFUSED, "The ledger has no entry 9999999-1: its last one is 1-"),
        (["journal", "--entry", "0-1"], EXIT_REFUSED, "The venue has no entry 0-1."),
        (["journal", "--limit", "0"], EXIT_USAGE, "--limit"),
        (["deposit", "alice", "1", "BTC"], EXIT_USAGE, "--why"),
        (["deposit", "alice", "1e3", "BTC", "--why", "x"], EXIT_USAGE, "not a plain decimal number"),
        (["deposit", "alice", "0.001", "KZT", "--why", "x"], EXIT_USAGE, "more than 2 decimals"),
        (["deposit", "alice", "0", "KZT", "--why", "x"], EXIT_USAGE, "above 0"),
        (["deposit", "alice", "99999999999999999999", "KZT", "--why", "x"], EXIT_USAGE, "at most"),
        (["deposit", "alice", "1", "KZT", "--why", "x" * 70_000], EXIT_USAGE, "at most 500 bytes"),
        (["deposit", "nobody", "1", "KZT", "--why", "x"], EXIT_REFUSED, "No account is called 'nobody'"),
        (["deposit", "house", "1", "KZT", "--why", "x"], EXIT_REFUSED, "No such account."),
        (["withdraw", "alice", "1000", "BTC", "--why", "x"], EXIT_REFUSED, "has not enough available funds"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(run: Run, arguments: list[str], exit_code: int, says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == exit_code, result.output
    assert says in result.stderr
    assert result.stdout == ""


def test_a_folder_without_a_venue_cannot_be_reached(tmp_path: Path) -> None:
    for arguments in (
        ["balances"],
        ["trial-balance"],
        ["journal"],
        ["reconcile"],
        ["deposit", "a", "1", "B", "--why", "x"],
    ):
        result = CliRunner().invoke(ledger, [*arguments, "--data", str(tmp_path)])
        assert result.exit_code == EXIT_UNREACHABLE, arguments
        assert result.stderr.startswith("No venue runs on ")


def test_rich_is_not_imported_where_nothing_is_drawn() -> None:
    code = "import jibek.commands.ledger, sys; print('rich' in sys.modules)"
    environment: dict[str, Any] = process_environment()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "False\n"
