"""A change goes through the journal: the operator and the reason with it, a refusal back as one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from engine.journal import EVENTS_KEY, JOURNAL_KEY, EntryId, OutcomeUnknown, Producer, Store
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.reasons import Reason
from engine.records import Command, CommandKind, EventEntry, EventKind
from jibek.console.changes import OPERATOR_TEXTS, execute, reason_text
from jibek.console.failure import Failure, unknown_outcome
from jibek.console.operator import system_user
from jibek.main import main
from jibek.venue.directory import read_directory
from tests.worlds.processes import wait_until
from tests.worlds.stepped_venue import EngineThread, SteppedVenue
from tests.worlds.store import StoreProcess
from tests.worlds.venue import VenueProcess

ADD = Command(kind=CommandKind.ACCOUNT_ADD)


def test_it_returns_the_entry_and_the_event(venue: SteppedVenue, server: StoreProcess, client: Store) -> None:
    with EngineThread(venue, server.url):
        id, event = execute(client, ADD, b"alice", who="aigerim", why="first client")
    [(last, fields)] = client.xrevrange(EVENTS_KEY, count=1)
    assert (last.decode(), event.kind) == (str(id), EventKind.ACCOUNT_ADDED)
    entry = EventEntry(fields[b"b"])
    assert entry.parts(next(iter(entry))) == [b"alice", b"aigerim", b"first client", system_user().encode()]


def test_a_refusal_is_a_failure_with_its_sentence(venue: SteppedVenue, server: StoreProcess, client: Store) -> None:
    with EngineThread(venue, server.url):
        execute(client, ADD, b"alice", who="", why="")
        with pytest.raises(Failure, match=r"^ACCOUNT_EXISTS: .* exists already") as failure:
            execute(client, ADD, b"alice", who="", why="")
    assert failure.value.exit_code == EXIT_REFUSED


@pytest.mark.parametrize("reason", OPERATOR_TEXTS)
def test_an_operator_is_not_advised_like_a_client(reason: Reason) -> None:
    text = reason_text(reason)
    assert text.startswith(f"{reason.name}: ") and "jibek " in text
    assert "Ask the operator" not in text and "Deposit" not in text


def test_a_store_that_is_away_is_a_failure() -> None:
    store = StoreProcess()
    client = store.client()
    store.remove()
    with pytest.raises(Failure, match="see `jibek status`") as failure:
        execute(client, ADD, b"alice", who="", why="")
    assert failure.value.exit_code == EXIT_UNREACHABLE


# -- interruptions


def test_an_interruption_after_the_send_is_no_refusal(running_venue: VenueProcess, tmp_path: Path) -> None:
    running_venue.json("account", "create", "interrupted")
    running_venue.wait_until_settled()
    client, engine, file = running_venue.store(), running_venue.pids()["engine"], tmp_path / "key"
    words = [
        (signal.SIGINT, ["ledger", "deposit", "interrupted", "2", "BTC", "--why", "test"]),
        (signal.SIGTERM, ["account", "freeze", "interrupted"]),
        (signal.SIGHUP, ["account", "key", "interrupted", "--type", "hmac", "--output", str(file)]),
    ]
    os.kill(engine, signal.SIGSTOP)
    try:
        said = [_interrupted(client, running_venue, number, command) for number, command in words]
    finally:
        os.kill(engine, signal.SIGCONT)
    for code, text in said:
        assert (code, "interrupted: whether it was executed is unknown" in text) == (EXIT_UNREACHABLE, True), text
        assert "Do not repeat the command" in text and "`jibek audit" in text and "Aborted" not in text
    assert "The key that was given out may count: see `jibek account show" in said[-1][1]
    running_venue.wait_until_settled()
    record = read_directory(client, running_venue.data).account_by_name["interrupted"]
    balances = running_venue.json("account", "show", "interrupted")["balances"]
    client.close()
    assert [row["available"] for row in balances if row["asset"] == "BTC"] == ["2.00000000"], "it was executed once"
    assert (record.is_frozen, list(record.keys)) == (True, [json.loads(file.read_text())["key"]])


def _interrupted(client: Store, venue: VenueProcess, number: int, words: list[str]) -> tuple[int, str]:
    """The exit code and the sentence of a command that gets a signal once its batch is in the journal."""
    before = client.xlen(JOURNAL_KEY)
    command = [sys.executable, "-m", "jibek", *words, "--data", str(venue.data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: client.xlen(JOURNAL_KEY) > before, "the batch is in the journal")
        process.send_signal(number)
        _, text = process.communicate(timeout=60)
    return process.returncode, text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("is_sent", "code", "says"),
    [(False, 1, "Aborted!"), (True, EXIT_UNREACHABLE, "whether it was executed is unknown")],
)
def test_what_an_interruption_says(
    running_venue: VenueProcess, monkeypatch: pytest.MonkeyPatch, number: int, is_sent: bool, code: int, says: str
) -> None:
    def interrupt(producer: Producer, *_: Any, **__: Any) -> Any:
        producer.is_under_way = is_sent
        signal.raise_signal(number)

    monkeypatch.setattr(Producer, "execute", interrupt)
    result = _invoke(running_venue, "limits", "set", "interrupted", "--orders-per-day", "5", "--json")
    assert (result.exit_code, says in result.stderr) == (code, True), result.stderr
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)] == [signal.SIG_DFL] * 2


def test_an_interruption_after_the_answer_says_that_the_change_was_made(
    running_venue: VenueProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jibek.commands.account.print_json", lambda _: signal.raise_signal(signal.SIGINT))
    result = _invoke(running_venue, "account", "create", "interrupted-late", "--json")
    assert result.exit_code == EXIT_UNREACHABLE
    assert result.stderr == "Interrupted, but the change was executed: `jibek audit` shows it.\n"


def _invoke(venue: VenueProcess, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--data", str(venue.data)], prog_name="jibek")


def test_a_command_that_is_asked_for_no_change_is_aborted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command does for itself, as the demo opens accounts on a venue of its own, needs no look at the audit."""

    @click.command()
    def looks() -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("jibek.main.LazyGroup.get_command", lambda *_: looks)
    result = CliRunner().invoke(main, ["market"], prog_name="jibek")
    assert (result.exit_code, "Aborted!" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OutcomeUnknown("no answer to 1-23", EntryId(1, 23)), "`jibek ledger journal --entry 1-23`"),
        (OutcomeUnknown("the connection was lost"), "`jibek audit` shows"),
    ],
)
def test_a_command_of_unknown_outcome_is_not_to_be_repeated(error: OutcomeUnknown, words: str) -> None:
    text = unknown_outcome(error)
    assert words in text and text.startswith("Do not repeat")
