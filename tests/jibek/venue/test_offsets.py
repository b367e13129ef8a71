"""How far each part has come, and waiting until all of them have caught up."""

from __future__ import annotations

import pytest

from engine.journal import EntryId, Store
from engine.records import BatchBuilder, Command, CommandKind
from jibek.venue.offsets import NotCaughtUp, entries_between, read_offsets, wait_until_settled
from tests.worlds.ledger import SettlementThread, settle_all
from tests.worlds.stepped_venue import EngineThread, SteppedVenue
from tests.worlds.store import StoreProcess


def lags(client: Store) -> list[tuple[str, int]]:
    return [(offset.name, offset.lag_entries) for offset in read_offsets(client)]


def append(venue: SteppedVenue, name: str) -> None:
    builder = BatchBuilder()
    builder.add(Command(kind=CommandKind.ACCOUNT_ADD), name.encode(), b"", b"", b"")
    venue.append(builder)


def test_each_part_lags_by_what_it_has_not_processed(venue: SteppedVenue, client: Store) -> None:
    settle_all(client)
    assert lags(client) == [("journal", 0), ("events", 0), ("ledger", 0)]
    venue.add_account("alice")
    assert lags(client) == [("journal", 0), ("events", 0), ("ledger", 1)]
    append(venue, "bob")
    append(venue, "carol")
    assert lags(client) == [("journal", 0), ("events", 2), ("ledger", 3)]
    assert len({offset.id for offset in read_offsets(client)}) == 3


def test_waiting_ends_at_the_last_entry(venue: SteppedVenue, client: Store, server: StoreProcess) -> None:
    append(venue, "alice")
    with EngineThread(venue, server.url), SettlementThread(settle_all(client)):
        settled = wait_until_settled(client)
    assert {offset.id for offset in read_offsets(client)} == {settled}


def test_waiting_for_a_settlement_that_is_down_ends_too(venue: SteppedVenue, client: Store) -> None:
    venue.add_account("alice")
    with pytest.raises(NotCaughtUp, match=r"within 0\.05 s"):
        wait_until_settled(client, timeout_s=0.05)


def test_across_epochs_the_length_of_the_journal_is_the_bound(venue: SteppedVenue, client: Store) -> None:
    end = read_offsets(client)[0].id
    assert entries_between(client, EntryId(0, 0), end) == client.xlen("{jibek}:journal")
    assert entries_between(client, end, EntryId(end.epoch, end.sequence + 4)) == 4
    assert entries_between(client, EntryId(end.epoch, end.sequence + 4), end) == 0
