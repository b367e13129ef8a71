"""The journal on a real store: numbering, epochs, publishing by compare-and-set, the chain, retries."""

from __future__ import annotations

import threading

import pytest
import redis

from engine.journal import (
    BEGINNING,
    EPOCH_KEY,
    EVENTS_KEY,
    GENESIS_HEAD,
    JOURNAL_KEY,
    ChainBroken,
    ChainReader,
    Diverged,
    EntryId,
    JournalEntry,
    Producer,
    PublishedEntry,
    StaleEpoch,
    Store,
    StoreRefused,
    append_call,
    chain_head,
    check_follows,
    check_published,
    check_settings,
    connect,
    entry_digest,
    prepare_store,
    publish_call,
    read_events,
    read_journal,
    start_venue,
)
from engine.records import BatchBuilder, Command, CommandKind
from engine.reference import Core
from tests.store_process import StoreProcess


def a_batch(number: int = 1) -> bytes:
    builder = BatchBuilder()
    builder.add(Command(kind=CommandKind.TIME_TICK))
    return builder.build(producer=9, incarnation=1, number=number)


def publish_next(client: Store, core: Core, cursor: EntryId, head: bytes) -> tuple[EntryId, bytes]:
    """Executes and publishes one entry as the engine does."""
    [entry] = read_journal(client, cursor, count=1)
    data = core.execute(entry.time_us, entry.batch)
    digest = entry_digest(entry)
    head = chain_head(head, entry.id, digest, data)
    published = PublishedEntry(entry.id, head, digest, data)
    check_published(entry.id, client.execute_command(*publish_call(cursor, published)))
    return entry.id, head


def test_a_venue_begins_once_with_an_epoch_start(client: Store) -> None:
    start_venue(client)
    [entry] = read_journal(client, BEGINNING)
    assert entry.id == (1, 0)
    check_follows(BEGINNING, GENESIS_HEAD, entry)


def test_entries_are_numbered_densely_by_the_store(client: Store) -> None:
    ids = [EntryId.parse(client.execute_command(*append_call(1, a_batch(n), reducing=n % 2 == 0))) for n in range(1, 6)]
    assert ids == [(1, n) for n in range(1, 6)]
    stamps = [entry.time_us for entry in read_journal(client, BEGINNING)]
    assert stamps == sorted(stamps)


def test_an_earlier_epoch_is_refused(client: Store) -> None:
    client.set(EPOCH_KEY, "2")
    with pytest.raises(redis.ResponseError, match="STALEEPOCH"):
        client.execute_command(*append_call(1, a_batch()))
    producer = Producer(client)
    producer.epoch = 1
    with pytest.raises(StaleEpoch):
        producer.append(a_batch())
    assert client.xlen(JOURNAL_KEY) == 1


def test_an_epoch_starts_only_from_the_end_of_the_last(client: Store) -> None:
    arguments = ("FCALL", "jibek_advance_epoch", 2, EPOCH_KEY, JOURNAL_KEY)
    client.execute_command(*append_call(1, a_batch()))
    for old, new, last, refusal in (
        ("2", "3", "1-1", "STALEEPOCH"),
        ("1", "1", "1-1", "STALEEPOCH"),
        ("1", "2", "1-0", "NOTLAST"),
    ):
        with pytest.raises(redis.ResponseError, match=refusal):
            client.execute_command(*arguments, old, new, b"record", last)
    assert client.execute_command(*arguments, "1", "2", b"record", "1-1") == b"2-0"
    assert client.execute_command(*append_call(2, a_batch())) == b"2-1"


def test_publishing_is_a_compare_and_set(client: Store) -> None:
    def publish(previous: EntryId, id: EntryId, head: bytes) -> bytes:
        return client.execute_command(*publish_call(previous, PublishedEntry(id, head, b"digest", b"events")))

    first, second = EntryId(1, 0), EntryId(1, 1)
    assert publish(BEGINNING, second, b"h") == b"published", "the first entry may have any id"
    client.delete(EVENTS_KEY, "{jibek}:published")
    assert publish(BEGINNING, first, b"h0") == b"published"
    assert publish(BEGINNING, first, b"h0") == b"exists"
    assert publish(BEGINNING, first, b"other") == b"diverged"
    assert publish(second, EntryId(1, 2), b"h2") == b"unknown", "an entry was left out"
    assert publish(first, second, b"h1") == b"published"
    assert client.xlen(EVENTS_KEY) == 2
    with pytest.raises(Diverged):
        check_published(first, b"diverged")
    with pytest.raises(ChainBroken):
        check_published(first, b"unknown")


@pytest.mark.parametrize("function", ["jibek_append", "jibek_publish", "jibek_advance_epoch"])
def test_functions_refuse_a_wrong_number_of_arguments(client: Store, function: str) -> None:
    with pytest.raises(redis.ResponseError, match="ARGUMENTS"):
        client.execute_command("FCALL", function, 1, EPOCH_KEY, "1")


def test_the_chain_shows_what_was_changed(client: Store) -> None:
    core, cursor, head = Core(), BEGINNING, GENESIS_HEAD
    for number in range(1, 4):
        client.execute_command(*append_call(1, a_batch(number)))
    for _ in range(4):
        cursor, head = publish_next(client, core, cursor, head)
    reader = ChainReader(client)
    assert len(reader.read()) == 4
    assert (reader.cursor, reader.head) == (cursor, head)

    entries = client.xrange(EVENTS_KEY)
    client.delete(EVENTS_KEY)
    for id, fields in entries:
        changed = {**fields, b"b": fields[b"b"][:-1] + b"!"} if id == b"1-2" else fields
        client.xadd(EVENTS_KEY, changed, id=id)
    with pytest.raises(ChainBroken, match="1-2"):
        ChainReader(client).read()
    client.xdel(EVENTS_KEY, "1-1")
    with pytest.raises(ChainBroken):
        ChainReader(client).read()


def test_an_entry_out_of_order_is_no_successor() -> None:
    for id in (EntryId(1, 7), EntryId(1, 5), EntryId(2, 0)):
        with pytest.raises(ChainBroken):
            check_follows(EntryId(1, 5), bytes(32), JournalEntry(id, 0, a_batch()))
    check_follows(EntryId(1, 5), bytes(32), JournalEntry(EntryId(1, 6), 0, a_batch()))


def test_a_newer_boot_makes_a_producer_draw_another(server: StoreProcess, client: Store) -> None:
    core, stop = Core(), threading.Event()

    def engine() -> None:
        own, cursor, head = connect(server.url), BEGINNING, GENESIS_HEAD
        while not stop.is_set():
            if read_journal(own, cursor, count=1, block_ms=20):
                cursor, head = publish_next(own, core, cursor, head)

    thread = threading.Thread(target=engine)
    thread.start()
    try:
        older, newer = Producer(client), Producer(client)
        builder = BatchBuilder()
        builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"alice", b"me", b"why")
        newer.execute(BatchBuilder())
        _, entry = older.execute(builder)
        assert len(entry) == 1, "the second attempt, with a new boot, was executed"
        assert older.boot > newer.boot
        assert len(core.accounts) == 2
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("appendfsync", "everysec"),
        ("maxmemory-policy", "allkeys-lru"),
        ("maxmemory", "0"),
        ("no-appendfsync-on-rewrite", "yes"),
    ],
)
def test_an_unsafe_store_is_refused_by_the_setting(client: Store, name: str, value: str) -> None:
    before = client.config_get(name)[name]
    client.config_set(name, value)
    try:
        with pytest.raises(StoreRefused, match=name):
            check_settings(client)
    finally:
        client.config_set(name, before)
    check_settings(client)


def test_foreign_functions_are_refused(client: Store) -> None:
    client.function_load(
        "#!lua name=jibek_journal\nredis.register_function('jibek_append', function() return 1 end)", replace=True
    )
    with pytest.raises(StoreRefused, match="jibek_journal"):
        prepare_store(client)


def test_reading_waits_no_longer_than_asked(client: Store) -> None:
    assert read_events(client, BEGINNING, block_ms=5) == []
    assert read_journal(client, EntryId(1, 0), block_ms=5) == []


def test_processes_that_start_together_load_the_functions_once(server: StoreProcess, client: Store) -> None:
    client.function_flush()
    failures: list[Exception] = []

    def start() -> None:
        try:
            prepare_store(connect(server.url))
        except Exception as failure:
            failures.append(failure)

    for _ in range(5):
        client.function_flush()
        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
