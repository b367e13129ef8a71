"""The journal on a real store: numbering, epochs, publishing by compare-and-set, the chain, retries."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest
import redis

from engine.journal import (
    BEGINNING,
    EPOCH_KEY,
    EVENTS_KEY,
    GENESIS_HEAD,
    JOURNAL_KEY,
    PRODUCERS_KEY,
    VENUE_PRODUCER,
    ChainBroken,
    ChainReader,
    Diverged,
    EntryId,
    JournalEntry,
    Opening,
    OutcomeUnknown,
    Producer,
    PublishedEntry,
    StaleEpoch,
    Store,
    StoreRefused,
    StoreSource,
    StoreTimeout,
    UnreadableReply,
    advance_epoch_call,
    answered_id,
    append_call,
    appended_id,
    chain_head,
    check_follows,
    check_published,
    check_settings,
    connect,
    entry_digest,
    open_call,
    prepare_store,
    publish,
    publish_call,
    published_id,
    read_events,
    read_journal,
    start_venue,
)
from engine.records import BatchBuilder, Command, CommandKind, EventKind
from engine.reference import Core
from tests.worlds.store import StoreProcess

PRODUCER = 9


@pytest.fixture(scope="module")
def server(each_store: StoreProcess) -> StoreProcess:
    return each_store


def a_batch(number: int = 1, incarnation: int = 2) -> bytes:
    """A tick. The first producer that opens on a new venue has incarnation 2."""
    return a_tick().build(producer=PRODUCER, incarnation=incarnation, number=number)


def a_tick() -> BatchBuilder:
    builder = BatchBuilder()
    builder.add(Command(kind=CommandKind.TIME_TICK))
    return builder


def opened(client: Store) -> int:
    """Opens the producer; its incarnation."""
    return Opening.parse(client.execute_command(*open_call(PRODUCER))).incarnation


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
    assert client.hgetall(PRODUCERS_KEY) == {b"%d" % VENUE_PRODUCER: b"1 1 1-0"}, (
        "it is the first batch of its producer"
    )
    assert Producer(client, VENUE_PRODUCER).incarnation > 1


def test_entries_are_numbered_densely_by_the_store(client: Store) -> None:
    incarnation = opened(client)
    ids = [
        EntryId.parse(client.execute_command(*append_call(1, a_batch(n, incarnation), reducing=n % 2 == 0)))
        for n in range(1, 6)
    ]
    assert ids == [(1, n) for n in range(1, 6)]
    stamps = [entry.time_us for entry in read_journal(client, BEGINNING)]
    assert stamps == sorted(stamps)


def refusal_of(client: Store, batch: bytes, *, reducing: bool = False) -> str:
    """How an append is refused; checks that it wrote nothing."""
    before = client.dump(PRODUCERS_KEY), client.xlen(JOURNAL_KEY)
    with pytest.raises(redis.ResponseError) as refused:
        client.execute_command(*append_call(1, batch, reducing=reducing))
    assert (client.dump(PRODUCERS_KEY), client.xlen(JOURNAL_KEY)) == before
    return str(refused.value)


@pytest.mark.parametrize("reducing", [False, True])
def test_only_the_next_batch_of_the_incarnation_in_force_is_added(client: Store, reducing: bool) -> None:
    assert refusal_of(client, a_batch(), reducing=reducing) == "STALE 0", "it was never opened"
    first = opened(client)
    assert refusal_of(client, a_batch(2, first), reducing=reducing) == "GAP 0"
    assert refusal_of(client, a_batch(0, first), reducing=reducing) == "THERE 0-0"
    for number in (1, 2):
        # Both functions look at the same table.
        client.execute_command(*append_call(1, a_batch(number, first), reducing=number == 1))
    assert refusal_of(client, a_batch(1, first), reducing=reducing) == "THERE 1-2"
    assert refusal_of(client, a_batch(2, first), reducing=reducing) == "THERE 1-2"
    assert refusal_of(client, a_batch(4, first), reducing=reducing) == "GAP 2"
    answer = client.execute_command(*open_call(PRODUCER))
    assert Opening.parse(answer) == (first + 1, first, 2, EntryId(1, 2))
    assert refusal_of(client, a_batch(3, first), reducing=reducing) == f"STALE {first + 1}"
    assert refusal_of(client, a_batch(1, first + 2), reducing=reducing) == f"STALE {first + 1}"
    assert client.execute_command(*append_call(1, a_batch(1, first + 1), reducing=reducing)) == b"1-3"


def test_numbers_are_compared_as_numbers_where_their_texts_differ(client: Store) -> None:
    """Past 10^14 the numbers of Lua print with an exponent, unless they are formatted."""
    for number in (10**14, 2**53 - 2):
        client.hset(PRODUCERS_KEY, str(PRODUCER), f"{number} {number} 1-0")
        assert refusal_of(client, a_batch(number, number)) == "THERE 1-0"
        assert refusal_of(client, a_batch(number + 2, number)) == f"GAP {number}"
        client.execute_command(*append_call(1, a_batch(number + 1, number)))


@pytest.mark.parametrize("number", ["1e0", " 1", "01", "1.0", "0x1", "1 ", "+1"])
def test_a_number_in_another_form_than_its_own_is_refused(client: Store, number: str) -> None:
    """Added, it would stand in the table of producers in a form that no reader knows: the producer could never open again."""
    start_venue(client)
    *call, _, batch = append_call(1, a_batch(incarnation=opened(client)))
    with pytest.raises(redis.ResponseError, match="GAP 0"):
        client.execute_command(*call, number, batch)
    assert client.xlen(JOURNAL_KEY) == 1
    assert client.execute_command(*call, "1", batch) == b"1-1"
    assert Opening.parse(client.execute_command(*open_call(PRODUCER))).last_number == 1


def test_a_full_store_lets_producers_open_and_reduce(client: Store) -> None:
    first = opened(client)
    used = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", "1mb")
    try:
        assert refusal_of(client, a_batch(1, first)).startswith(("OOM", "command not allowed"))
        assert client.execute_command(*append_call(1, a_batch(1, first), reducing=True)) == b"1-1"
        assert opened(client) == first + 1
    finally:
        client.config_set("maxmemory", used)


def test_what_passes_a_full_store_stays_within_the_reserve(client: Store) -> None:
    first = opened(client)
    client.set("ballast", bytes(4 * 1024 * 1024))
    used, before = client.config_get("maxmemory")["maxmemory"], client.xlen(JOURNAL_KEY)
    try:
        for spare, is_taken in ((1024 * 1024 // 2, True), (2 * 1024 * 1024, False)):
            client.config_set("maxmemory", client.info("memory")["used_memory"] - spare)
            if is_taken:
                assert client.execute_command(*append_call(1, a_batch(1, first), reducing=True))
            else:
                assert refusal_of(client, a_batch(2, first), reducing=True) == "the reserve beyond maxmemory is used up"
        assert client.xlen(JOURNAL_KEY) == before + 1
    finally:
        client.config_set("maxmemory", used)


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        (CommandKind.MARKET_STATE_SET, True), (CommandKind.TIME_ACCEPT, True),
        (CommandKind.DEPOSIT, True), (CommandKind.WITHDRAW, True),
        (CommandKind.ACCOUNT_FREEZE, True), (CommandKind.KEY_REVOKE, True), (CommandKind.TIME_TICK, True),
        (CommandKind.ORDER_PLACE, False), (CommandKind.ACCOUNT_ADD, False), (CommandKind.KEY_ADD, False),
    ],
)  # fmt: skip
def test_an_operator_can_halt_pay_and_freeze_though_the_store_is_full(
    client: Store, kind: CommandKind, passes: bool
) -> None:
    producer, builder = Producer(client), BatchBuilder()
    builder.add(Command(kind=kind))
    used = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", client.info("memory")["used_memory"] - 1024)
    try:
        if passes:
            assert producer.append(builder)
        else:
            with pytest.raises(redis.OutOfMemoryError):
                producer.append(builder)
    finally:
        client.config_set("maxmemory", used)


class Breaks:
    """A client that loses the connection at chosen calls, before or after the store has carried them out, or gets an error instead
    of an answer."""

    def __init__(self, client: Store, *faults: str | Exception) -> None:
        self.client = client
        self.faults = list(faults)

    def __getattr__(self, name: str) -> object:
        return getattr(self.client, name)

    def execute_command(self, *call: object) -> object:
        fault = self.faults.pop(0) if self.faults else ""
        if isinstance(fault, Exception):
            raise fault
        if fault == "before":
            raise redis.ConnectionError("lost on the way")
        answer = self.client.execute_command(*call)
        if fault == "after":
            raise redis.ConnectionError("the answer was lost")
        return answer


@pytest.mark.parametrize("faults", list(itertools.product(["", "before", "after"], repeat=3)))
def test_a_producer_adds_a_batch_once_whatever_is_lost(client: Store, faults: tuple[str, ...]) -> None:
    producer = Producer(client)
    producer.append(a_tick())
    producer.client = Breaks(client, *faults)
    id = producer._append_surely(a_tick(), time.monotonic() + 5)
    producer.client = client
    assert producer.append(a_tick()) == (1, 3)
    assert (id, client.xlen(JOURNAL_KEY)) == ((1, 2), 4)


READ_ONLY = redis.ReadOnlyError("You can't write against a read only replica.")
BROKEN = redis.ResponseError("WRONGTYPE of a key")
UNKNOWN = (OutcomeUnknown, "whether it was executed is unknown")
WHAT_FOLLOWS: list[tuple[list[str | Exception], tuple[type[Exception], str] | None, int]] = [
    # What the calls meet (append, then open and on, or the wait for events), what is raised, how many entries were added.
    (["after", READ_ONLY, READ_ONLY], None, 1),
    (["after", "", READ_ONLY, redis.ResponseError("MISCONF the disk is full")], None, 1),
    (["after", BROKEN], UNKNOWN, 1),
    (["after", "", BROKEN], UNKNOWN, 1),
    (["after", "", "", ChainBroken("at 1-1")], UNKNOWN, 1),
    (["after", StaleEpoch("the epoch in force is 2")], UNKNOWN, 1),
    (["after", *[READ_ONLY] * 99], UNKNOWN, 1),
    (["", READ_ONLY, redis.ResponseError("BUSY")], None, 1),
    (["", BROKEN], UNKNOWN, 1),
    ([READ_ONLY], (redis.ReadOnlyError, "read only"), 0),
    ([BROKEN], (redis.ResponseError, "WRONGTYPE"), 0),
    (["before", "", "", BROKEN], (redis.ResponseError, "WRONGTYPE"), 0),
]


@pytest.mark.parametrize(("faults", "raised", "added"), WHAT_FOLLOWS)
def test_what_the_store_says_after_a_batch_was_sent_is_no_refusal(
    client: Store, faults: list[str | Exception], raised: tuple[type[Exception], str] | None, added: int
) -> None:
    publish_next(client, Core(), BEGINNING, GENESIS_HEAD)
    producer, before = Producer(client), client.xlen(JOURNAL_KEY)
    producer.client = Breaks(client, *faults)
    if raised is None:
        with pytest.raises(OutcomeUnknown, match="is the engine running"):
            producer.execute(a_tick(), timeout_s=0.2)
        assert not producer.client.faults, "all of them were outlived"
    else:
        with pytest.raises(raised[0], match=raised[1]):
            producer.execute(a_tick(), timeout_s=0.2)
    assert client.xlen(JOURNAL_KEY) - before == added
    assert producer.is_under_way == bool(added)


def test_where_others_have_spoken_since_the_outcome_is_unknown(client: Store) -> None:
    producer = Producer(client)
    producer.client = Breaks(client, "after")
    with pytest.raises(redis.ConnectionError):
        producer.append(a_tick())
    Producer(client).append(a_tick())
    assert producer._lost is not None
    with pytest.raises(StoreTimeout, match="unknown"):
        producer._find_lost(*producer._lost)


def test_an_earlier_epoch_is_refused(client: Store) -> None:
    client.set(EPOCH_KEY, "2")
    with pytest.raises(redis.ResponseError, match="STALEEPOCH"):
        client.execute_command(*append_call(1, a_batch()))
    producer = Producer(client)
    producer.epoch = 1
    with pytest.raises(StaleEpoch):
        producer.append(a_tick())
    assert client.xlen(JOURNAL_KEY) == 1


def test_an_epoch_starts_only_from_the_end_of_the_last(client: Store) -> None:
    opened(client)
    client.execute_command(*append_call(1, a_batch()))
    last = EntryId(1, 1)
    for old, new, named, batch, refusal in (
        (2, 3, last, a_batch(2), "STALEEPOCH 1"),
        (1, 1, last, a_batch(2), "STALEEPOCH 1"),
        (1, 2, EntryId(1, 0), a_batch(2), "NOTLAST"),
        (1, 2, last, a_batch(1), "THERE 1-1"),
        (1, 2, last, a_batch(3), "GAP 1"),
        (1, 2, last, a_batch(2, incarnation=7), "STALE 2"),
    ):
        before = client.dump(PRODUCERS_KEY), client.xlen(JOURNAL_KEY), client.get(EPOCH_KEY)
        with pytest.raises(redis.ResponseError, match=refusal):
            client.execute_command(*advance_epoch_call(old, new, batch, named))
        assert (client.dump(PRODUCERS_KEY), client.xlen(JOURNAL_KEY), client.get(EPOCH_KEY)) == before
    assert client.execute_command(*advance_epoch_call(1, 2, a_batch(2), last)) == b"2-0"
    assert client.execute_command(*append_call(2, a_batch(3))) == b"2-1"


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
    client.xadd(EVENTS_KEY, {b"b": b"by hand"}, id="7-0")
    assert publish(second, EntryId(1, 2), b"h2") == b"unknown", (
        "nothing can stand behind an entry that no engine published"
    )
    with pytest.raises(Diverged):
        check_published(first, b"diverged")
    with pytest.raises(ChainBroken):
        check_published(first, b"unknown")


@pytest.mark.parametrize(
    "function", ["jibek_append", "jibek_append_reducing", "jibek_open_producer", "jibek_publish", "jibek_advance_epoch"]
)
def test_functions_refuse_a_wrong_number_of_arguments(client: Store, function: str) -> None:
    with pytest.raises(redis.ResponseError, match="ARGUMENTS"):
        client.execute_command("FCALL", function, 1, EPOCH_KEY, "1")


def test_the_chain_shows_what_was_changed(client: Store) -> None:
    core, cursor, head = Core(), BEGINNING, GENESIS_HEAD
    opened(client)
    for number in range(1, 4):
        client.execute_command(*append_call(1, a_batch(number)))
    for _ in range(4):
        cursor, head = publish_next(client, core, cursor, head)
    reader = ChainReader(StoreSource(client))
    assert len(reader.read()) == 4
    assert (reader.cursor, reader.head) == (cursor, head)

    entries = client.xrange(EVENTS_KEY)
    client.delete(EVENTS_KEY)
    for id, fields in entries:
        changed = {**fields, b"b": fields[b"b"][:-1] + b"!"} if id == b"1-2" else fields
        client.xadd(EVENTS_KEY, changed, id=id)
    with pytest.raises(ChainBroken, match="1-2"):
        ChainReader(StoreSource(client)).read()
    client.xdel(EVENTS_KEY, "1-1")
    with pytest.raises(ChainBroken):
        ChainReader(StoreSource(client)).read()


def test_an_entry_out_of_order_is_no_successor() -> None:
    for id in (EntryId(1, 7), EntryId(1, 5), EntryId(2, 0)):
        with pytest.raises(ChainBroken):
            check_follows(EntryId(1, 5), bytes(32), JournalEntry(id, 0, a_batch()))
    check_follows(EntryId(1, 5), bytes(32), JournalEntry(EntryId(1, 6), 0, a_batch()))


def test_a_producer_whose_name_was_taken_opens_again(server: StoreProcess, client: Store) -> None:
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
        builder.add(Command(kind=CommandKind.ACCOUNT_ADD), b"alice", b"me", b"why", b"")
        newer.execute(BatchBuilder())
        _, entry = older.execute(builder)
        assert [event.kind for event in entry] == [EventKind.ACCOUNT_ADDED]
        assert older.incarnation > newer.incarnation
        assert client.xlen(JOURNAL_KEY) == 3
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


@pytest.mark.parametrize("answer", [7, [b"x"], b"", b"1", b"x-y", {}, True])
def test_an_answer_of_no_shape_is_unreadable(answer: Any) -> None:
    """Each place that reads an answer says so; one that took it for a yes would go on with what was never stored."""
    for read in (
        answered_id,
        published_id,
        appended_id,
        Opening.parse,
        lambda answer: check_published(EntryId(1, 1), answer),
    ):
        with pytest.raises(UnreadableReply):
            read(answer)


@pytest.mark.parametrize("refusal", ["BUSY a script runs", "OOM command not allowed"])
def test_a_refusal_to_publish_comes_in_the_words_of_the_store(refusal: str) -> None:
    """The client would put the call before it: a BUSY would not be seen to pass, and events would stand in the log."""

    class Pipeline:
        def execute_command(self, *call: Any) -> None: ...

        def execute(self, *, raise_on_error: bool = True) -> list[Any]:
            error = redis.ResponseError(refusal)
            if raise_on_error:
                raise redis.ResponseError(f"Command # 1 (FCALL) of pipeline caused error: {error}")
            return [error]

    class Refusing:
        def pipeline(self, *, transaction: bool) -> Pipeline:
            return Pipeline()

    with pytest.raises(redis.ResponseError, match=f"^{refusal}"):
        publish(Refusing(), BEGINNING, [PublishedEntry(EntryId(1, 0), bytes(32), bytes(32), b"")])
