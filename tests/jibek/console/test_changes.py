"""A change goes through the journal: the operator and the reason with it, a refusal back as one sentence."""

from __future__ import annotations

import pytest

from engine.journal import EVENTS_KEY, EntryId, Store, StoreTimeout
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.reasons import Reason
from engine.records import Command, CommandKind, EventEntry, EventKind
from jibek.console.changes import OPERATOR_TEXTS, execute, reason_text, unknown_outcome
from jibek.console.failure import Failure
from jibek.console.operator import system_user
from tests.worlds.stepped_venue import EngineThread, SteppedVenue
from tests.worlds.store import StoreProcess

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


@pytest.mark.parametrize(
    ("timeout", "is_repeatable", "words"),
    [
        (StoreTimeout("no answer to 1-23", EntryId(1, 23)), False, "`jibek ledger journal --entry 1-23`"),
        (StoreTimeout("the connection was lost"), False, "`jibek audit` shows"),
        (StoreTimeout("nothing was executed", is_unknown=False), True, "nothing was executed"),
    ],
)
def test_a_command_of_unknown_outcome_is_not_to_be_repeated(
    timeout: StoreTimeout, is_repeatable: bool, words: str
) -> None:
    text = unknown_outcome(timeout)
    assert words in text and text.startswith("Do not repeat") != is_repeatable
