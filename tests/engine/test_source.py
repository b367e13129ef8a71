"""The store as a source of entries, and the readers that verify what a source gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.core import Core
from engine.journal import (
    BEGINNING,
    EVENTS_KEY,
    PUBLISHED_KEY,
    ChainBroken,
    ChainReader,
    EntryId,
    EventReader,
    Producer,
    Store,
    StoreSource,
    appended_call,
    appended_id,
    check_reaches,
    published_call,
    published_id,
    read_call,
)
from engine.records import BatchBuilder
from engine.service.engine import EngineService

LAST = EntryId(1, 9)


@pytest.fixture
def source(client: Store, tmp_path: Path) -> StoreSource:
    """Ten published entries, 1-0 to 1-9, and three journal entries that no engine has executed."""
    engine, producer = EngineService(client, Core(), tmp_path), Producer(client)
    for _ in range(9):
        producer.append(BatchBuilder())
    while engine.step(block_ms=None):
        pass
    for _ in range(3):
        producer.append(BatchBuilder())
    return StoreSource(client)


def test_it_reads_on_from_any_entry(source: StoreSource) -> None:
    assert [entry.id.sequence for entry in source.events(EntryId(1, 3), count=3)] == [4, 5, 6]
    assert [entry.id.sequence for entry in source.journal(LAST, count=64)] == [10, 11, 12]
    assert source.events(LAST, count=64, block_ms=1) == []


def test_both_streams_end_where_the_events_end(source: StoreSource) -> None:
    journal, events = source.both(EntryId(1, 6), count=64)
    assert [entry.id for entry in journal] == [entry.id for entry in events] == [EntryId(1, n) for n in (7, 8, 9)]
    assert source.both(LAST, count=64) == ([], [])


def test_it_finds_single_entries(source: StoreSource) -> None:
    ids = [EntryId(1, 2), EntryId(1, 7), EntryId(1, 11), EntryId(2, 0)]
    assert [entry.id for entry in source.events_at(ids)] == ids[:2], "the others have no events"


def test_it_knows_where_the_streams_end_and_how_far_that_is(source: StoreSource, client: Store) -> None:
    assert (source.appended(), source.published()) == (EntryId(1, 12), LAST)
    assert published_id(client.execute_command(*published_call())) == LAST
    assert appended_id(client.execute_command(*appended_call())) == EntryId(1, 12)
    assert source.count_between(EntryId(1, 4), LAST) == 5
    assert source.count_between(LAST, EntryId(1, 4)) == 0
    assert source.count_between(BEGINNING, LAST) == 13, "across epochs it is the most that it can be"
    client.delete(PUBLISHED_KEY)
    assert source.published() == BEGINNING


def test_an_asynchronous_reader_sends_the_call_and_gives_back_the_reply(source: StoreSource, client: Store) -> None:
    reader, found = EventReader(), []
    while entries := reader.take(client.execute_command(*reader.call(count=4))):
        found += entries
    assert [entry.id for entry in found] == [EntryId(1, n) for n in range(10)]
    assert (reader.cursor, reader.head) == (LAST, found[-1].head)
    again = EventReader()
    assert again.read(source, count=64) == found
    assert EventReader(found[4].id, found[4].head).read(source, count=64) == found[5:]


def test_readers_hand_out_nothing_of_a_read_that_is_broken(source: StoreSource, client: Store) -> None:
    client.xdel(EVENTS_KEY, "1-5")
    for read in (
        lambda: EventReader().read(source, count=64),
        lambda: EventReader().take(client.execute_command(*EventReader().call(count=64))),
        lambda: ChainReader(source).read(),
    ):
        with pytest.raises(ChainBroken):
            read()
    with pytest.raises(ChainBroken, match="1-0"):
        EventReader(BEGINNING, b"\x07" * 32).read(source, count=1)


def test_events_that_end_too_early_are_an_old_copy() -> None:
    check_reaches(LAST, LAST)
    check_reaches(EntryId(2, 0), LAST)
    with pytest.raises(ChainBroken, match="ends at 1-8, but 1-9 was published: this is an old copy"):
        check_reaches(EntryId(1, 8), LAST)


def test_a_wait_that_takes_longer_than_asked_for_is_given_up(client: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store measures it by the machine's clock, which may be set back by an hour."""
    monkeypatch.setattr("engine.journal.source.LATE_S", 0.01)
    source = StoreSource(client)
    call = read_call((EVENTS_KEY,), LAST, count=1, block_ms=60_000)
    monkeypatch.setattr("engine.journal.source.read_call", lambda *arguments, **options: call)
    assert source.events(LAST, count=1, block_ms=10) == []
    monkeypatch.undo()
    Producer(client).append(BatchBuilder())
    assert len(source.journal(BEGINNING, count=9)) == 2, "the late answer is not taken for the next one"
