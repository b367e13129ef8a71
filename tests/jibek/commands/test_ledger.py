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

from engine.journal import EVENTS_KEY, EntryId, Store, StoreSource
from engine.process import EXIT_GOOD, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from engine.process.watermarks import write_watermark
from engine.records import BatchBuilder, EventEntry, Side
from jibek.commands import ledger as ledger_commands
from jibek.commands.ledger import ledger
from jibek.console.operator import system_user
from jibek.venue.folder import DataFolder
from ledger.accounts import field_of, slot_of
from ledger.rebuild import is_asked_for
from ledger.settlement import Settlement, open_ledger
from ledger.store import BALANCES_KEY, TRANSFERS_KEY, LedgerStore
from tests.worlds.ledger import SettlementThread, settle
from tests.worlds.processes import process_environment, wait_until
from tests.worlds.stepped_venue import EngineThread, SteppedVenue
from tests.worlds.store import StoreProcess
from tests.worlds.venue import without_folder

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

    lock = lock_and_mark(data_dir)
    settlement = Settlement(open_ledger(venue.client), data=data_dir, engine_wait_s=0)
    settle(settlement)
    with EngineThread(venue, server.url), SettlementThread(settlement):
        yield run
    os.close(lock)


def lock_and_mark(data_dir: Path) -> int:
    """Makes it the data folder of a venue that this process holds, until the descriptor is closed."""
    folder = DataFolder(data_dir)
    folder.create()
    lock = folder.lock()
    folder.mark()
    return lock


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
        "asset  kind                  accounts       debit      credit",
        "BTC    clients: available           2              0.99950000",
        "BTC    held for open orders         3",
        "BTC    house: fees                  1              0.00050000",
        "BTC    custody                      1  1.00000000",
        "BTC    clearing                     1",
        "BTC    total                           1.00000000  1.00000000",
        "BTC    difference                                  0.00000000",
    ]
    document = json.loads(good(run("trial-balance", "--json")))
    assert document["balanced"] is True
    assert {"asset": "KZT", "kind": "custody", "accounts": 1, "debit": "60000000.00", "credit": "0.00"} in document[
        "rows"
    ]


@pytest.mark.parametrize("words", [["balances"], ["balances", "--account", "bob"]])
def test_balances_that_do_not_add_up_are_not_shown(run: Run, client: Store, words: list[str]) -> None:
    client.hdel(BALANCES_KEY, field_of(slot_of(1, 3)))
    result = run(*words)
    assert (result.exit_code, result.stdout) == (EXIT_REFUSED, "")
    assert result.stderr.startswith("The ledger is broken: the stored balances do not add up after entry 1-")
    assert without_folder(result.stderr).endswith(
        ": asset 3 differs by 49950000. `jibek ledger rebuild` computes the ledger again from the events.\n"
    )


def test_balances_of_an_asset_that_is_not_listed_are_named(run: Run, client: Store) -> None:
    for field in client.hkeys(BALANCES_KEY):
        if field.endswith(b"\x03"):
            client.hset(BALANCES_KEY, field[:-1] + b"\x43", client.hget(BALANCES_KEY, field))
            client.hdel(BALANCES_KEY, field)
    for words in (["balances"], ["trial-balance"]):
        result = run(*words)
        assert (result.exit_code, result.stdout) == (EXIT_REFUSED, "")
        assert without_folder(result.stderr) == (
            "The ledger has balances of asset 67, which is not listed: run `jibek ledger reconcile`.\n"
        )


def spoil_transfers(client: Store) -> str:
    """Turns one bit of the stored transfers of the newest entry; returns its id."""
    [(id, fields)] = client.xrevrange(TRANSFERS_KEY, count=1)
    blob = bytearray(fields[b"t"])
    blob[16] ^= 1
    client.xdel(TRANSFERS_KEY, id)
    entries = client.xrange(TRANSFERS_KEY)
    client.delete(TRANSFERS_KEY)
    for each, kept in [*entries, (id, {b"t": bytes(blob)})]:
        client.xadd(TRANSFERS_KEY, kept, id=each)
    return str(id.decode())


def test_transfers_that_do_not_follow_from_the_events_are_not_shown(run: Run, client: Store) -> None:
    id = spoil_transfers(client)
    for words in ([], ["--account", "alice"], ["--entry", id], ["--json"]):
        result = run("journal", *words)
        assert (result.exit_code, result.stdout) == (EXIT_REFUSED, "")
        assert without_folder(result.stderr) == (
            f"The ledger is broken: the stored transfers of entry {id} are not those that follow from its events."
            " `jibek ledger rebuild` computes the ledger again from the events.\n"
        )


def test_a_trial_balance_that_does_not_balance_fails(run: Run, client: Store) -> None:
    client.hdel(BALANCES_KEY, field_of(slot_of(1, 3)))
    result = run("trial-balance")
    assert result.exit_code == EXIT_REFUSED
    assert without_folder(result.stderr) == "Debits and credits differ in BTC: run `jibek ledger reconcile`.\n"


def test_a_trial_balance_without_the_balances_of_its_transfers_fails(run: Run, client: Store) -> None:
    client.delete(BALANCES_KEY)
    result = run("trial-balance")
    assert result.exit_code == EXIT_REFUSED
    assert without_folder(result.stderr) == "The ledger has transfers, but no balances: run `jibek ledger reconcile`.\n"


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


# -- venues without money


def new(venue: SteppedVenue) -> None:
    """A venue that has just started: markets, and no accounts."""


def accounts(venue: SteppedVenue) -> None:
    venue.add_account("alice")
    venue.add_account("bob")


def refused(venue: SteppedVenue) -> None:
    """Alice has tried to buy, and to take out what she does not have."""
    builder = BatchBuilder()
    builder.add(venue.order(venue.add_account("alice"), Side.BUY, 50_000, 1_000))
    venue.execute(builder)
    venue.withdraw(1, "KZT", 5)


def withdrawn(venue: SteppedVenue) -> None:
    """All money has gone again."""
    venue.withdraw(venue.add_account("alice", KZT=500), "KZT", 500)


@pytest.mark.parametrize(("prepare", "is_unused"), [(new, True), (accounts, True), (refused, True), (withdrawn, False)])
def test_the_books_of_a_venue_without_money_pass(
    venue: SteppedVenue,
    server: StoreProcess,
    tmp_path: Path,
    prepare: Callable[[SteppedVenue], None],
    is_unused: bool,
) -> None:
    prepare(venue)
    with ledger_runner(venue, server, tmp_path) as run:
        lines = good(run("reconcile")).splitlines()
        document = json.loads(good(run("reconcile", "--json")))
        balance = json.loads(good(run("trial-balance", "--json")))
    assert document["passed"] is balance["balanced"] is True
    assert document["unused"] is balance["unused"] is is_unused
    said = "Nothing has been credited yet, so there is nothing to reconcile."
    assert (lines[-1] == said) is is_unused
    assert all(line.endswith("  pass") for line in map(str.rstrip, lines[2 : -2 if is_unused else -1]))
    assert {check["name"] for check in document["checks"] if check["looked_at"] == 0} == (
        {check["name"] for check in document["checks"][1:]} if is_unused else {"fees follow from rates and credits"}
    )


def test_a_fault_is_shown_on_a_venue_without_money(venue: SteppedVenue, server: StoreProcess, tmp_path: Path) -> None:
    """A check that has looked at nothing is left out there, unless it fails."""
    with ledger_runner(venue, server, tmp_path) as run:
        venue.client.xadd(TRANSFERS_KEY, {"t": b""}, id="1-1")
        result = run("reconcile")
    assert result.exit_code == EXIT_REFUSED
    assert "the stored transfers of 1-1 are not those that follow from its events" in result.stdout
    assert "nothing to reconcile" not in result.stdout
    assert result.stderr == "1 of 12 checks failed.\n"


# -- the rebuild


def test_a_rebuild_of_a_running_venue(run: Run, client: Store) -> None:
    before = good(run("balances", "--json"))
    spoil_transfers(client)
    client.hdel(BALANCES_KEY, field_of(slot_of(1, 3)))
    assert run("reconcile").exit_code == EXIT_REFUSED
    assert good(run("rebuild", "--why", "bits turned")).startswith(
        "The ledger was computed again from the events, up to entry 1-"
    )
    good(run("reconcile"))
    assert json.loads(good(run("balances", "--json")))["balances"] == json.loads(before)["balances"]


def test_a_rebuild_of_a_venue_that_does_not_run_waits_for_its_start(tmp_path: Path) -> None:
    os.close(lock_and_mark(tmp_path))
    result = CliRunner().invoke(ledger, ["rebuild", "--why", "bits turned", "--data", str(tmp_path)])
    assert good(result) == (
        f"No venue runs on {tmp_path}: its ledger is computed again when `jibek up --data {tmp_path}` starts it.\n"
    )
    assert is_asked_for(tmp_path)


def test_a_rebuild_without_a_settlement_says_so(
    venue: SteppedVenue, server: StoreProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_commands, "REBUILD_WAIT_S", 0.05)
    lock = lock_and_mark(tmp_path)
    (tmp_path / "venue.json").write_text(json.dumps({"pid": os.getpid(), "store": server.url}))
    result = CliRunner().invoke(ledger, ["rebuild", "--why", "bits turned", "--data", str(tmp_path)])
    os.close(lock)
    assert result.exit_code == EXIT_UNREACHABLE
    assert result.stderr.startswith("The settlement does not run. It computes the ledger again when it starts")


def test_a_rebuild_of_a_folder_that_is_no_venue_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(ledger, ["rebuild", "--why", "x", "--data", str(tmp_path)])
    assert result.exit_code == EXIT_UNREACHABLE
    assert result.stderr == f"{tmp_path} is not the data folder of a venue: name it with --data.\n"
    assert not list(tmp_path.iterdir())


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
    assert entry.parts(next(iter(entry))) == [b"aigerim", b"wire 77", system_user().encode()]

    document = json.loads(good(run("withdraw", "alice", "0.25", "BTC", "--why", "wire 78", "--json")))
    assert (document["account"], document["asset"], document["amount"]) == ("alice", "BTC", "0.25000000")
    wait_until(lambda: str(LedgerStore(client).cursor().id) == document["id"], "the withdrawal is settled")
    [row] = json.loads(good(run("balances", "--account", "alice", "--asset", "BTC", "--json")))["balances"]
    assert row["available"] == "1.74950000"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["balances", "--account", "nobody"], EXIT_REFUSED, "No account is named nobody"),
        (["balances", "--asset", "XXX"], EXIT_REFUSED, "No asset is named XXX; there are BTC, ETH, KZT, USDT."),
        (["journal", "--entry", "one"], EXIT_USAGE, "'one' is not an entry"),
        (["journal", "--entry", "9999999-1"], EXIT_REFUSED, "The ledger has no entry 9999999-1: its last one is 1-"),
        (["journal", "--entry", "0-1"], EXIT_REFUSED, "The venue has no entry 0-1."),
        (["journal", "--limit", "0"], EXIT_USAGE, "--limit"),
        (["rebuild"], EXIT_USAGE, "--why"),
        (["deposit", "alice", "1", "BTC"], EXIT_USAGE, "--why"),
        (["deposit", "alice", "1e3", "BTC", "--why", "x"], EXIT_USAGE, "not a plain decimal number"),
        (["deposit", "alice", "0.001", "KZT", "--why", "x"], EXIT_USAGE, "more than 2 decimals"),
        (["deposit", "alice", "0", "KZT", "--why", "x"], EXIT_USAGE, "above 0"),
        (["deposit", "alice", "99999999999999999999", "KZT", "--why", "x"], EXIT_USAGE, "at most"),
        (["deposit", "alice", "1", "KZT", "--why", "x" * 70_000], EXIT_USAGE, "at most 500 bytes"),
        (["deposit", "nobody", "1", "KZT", "--why", "x"], EXIT_REFUSED, "No account is named nobody"),
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


@pytest.mark.parametrize(
    "arguments",
    [["balances"], ["trial-balance"], ["journal"], ["reconcile"], ["deposit", "alice", "1", "BTC", "--why", "x"]],
)
def test_of_a_store_that_has_lost_its_tail_nothing_is_shown_or_changed(
    run: Run, venue: SteppedVenue, tmp_path: Path, arguments: list[str]
) -> None:
    last = StoreSource(venue.client).appended()
    write_watermark(tmp_path, "engine", EntryId(1, 1_000), bytes(32))
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (EXIT_REFUSED, "")
    assert "it has lost its tail, or this is an old copy of the store" in result.stderr
    assert StoreSource(venue.client).appended() == last


def test_reports_say_that_no_settlement_vouches_for_them(run: Run, tmp_path: Path) -> None:
    assert run("balances").stderr == ""
    path = tmp_path / "venue.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"states": {"settlement": "down: it ended"}}))
    for report in ("balances", "trial-balance", "journal"):
        result = run(report)
        assert result.exit_code == EXIT_GOOD
        assert "the settlement is not ready (down: it ended)" in result.stderr
