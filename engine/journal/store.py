"""The journal and the events in the store: append, read, publish, and the hash chain over both.

This is the only module of the engine that knows the store. The store is Valkey 9, or Redis 7 or newer; its writes are
the server-side functions of `journal.lua`.

    {jibek}:journal   every batch of commands, in the one total order   1-0, 1-1, 1-2, … 2-0 (a new epoch), 2-1, …
    {jibek}:events    the engine's answer to each, under the same id, with the head of the hash chain

    head(n) = SHA-256(head(n-1) ‖ id(n) ‖ journal entry(n) ‖ event entry(n)),  head(0) = 32 zero bytes

where an id is two little-endian 64-bit numbers and a journal entry its stamp (64 bits) and its batch. Whoever reads,
verifies: ids are dense, and a missing, changed or reordered entry breaks the chain (`ChainBroken`).

With `appendfsync always` the server answers nobody, not even a blocked reader, before its writes are on disk. So
whatever `read` returns is durable.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from engine.definitions import RULES_VERSION
from engine.records import (
    BATCH_BYTES_MAX,
    EPOCH_START,
    BatchBuilder,
    Command,
    CommandKind,
    Disposition,
    EpochStart,
    Event,
    EventEntry,
    parse_batch,
)

Store = Any
"""A `redis.Redis` that answers in bytes. Its stubs name unions that no caller can use, so it is not typed further."""

EPOCH_KEY = "{jibek}:epoch"
JOURNAL_KEY = "{jibek}:journal"
EVENTS_KEY = "{jibek}:events"
PUBLISHED_KEY = "{jibek}:published"
BOOT_KEY = "{jibek}:boot"

LIBRARY_NAME = "jibek_journal"
GENESIS_HEAD = bytes(32)

VENUE_PRODUCER = 1
"""Gateway number of the process that defines a new venue from venue.toml."""
OPERATOR_PRODUCER = 2
"""Gateway number of the command line."""
ENGINE_PRODUCER = 3
"""Gateway number of the engine's own service: time ticks and the clock guard."""
FIRST_GATEWAY = 16
"""The WebSocket gateways are numbered from here."""


class StoreRefused(Exception):
    """The store is not fit to hold a venue; the text names the setting and its value."""


class StaleEpoch(Exception):
    """The epoch has moved on: this process belongs to an earlier life of the venue and must stop."""


class ChainBroken(Exception):
    """An entry is missing, changed or out of order; the text names its id."""


class Diverged(Exception):
    """Two engines gave different events for the same journal entry: everybody stops."""


class StoreTimeout(Exception):
    """No answer in time: whether the commands were carried out is unknown."""


class EntryId(NamedTuple):
    """Id of a journal entry and of its event entry."""

    epoch: int
    sequence: int

    @classmethod
    def parse(cls, text: bytes | str) -> EntryId:
        """
        >>> EntryId.parse(b"1-20")
        EntryId(epoch=1, sequence=20)
        """
        epoch, _, sequence = text.decode().partition("-") if isinstance(text, bytes) else text.partition("-")
        return cls(int(epoch), int(sequence))

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


BEGINNING = EntryId(0, 0)
"""The cursor of a reader that has read nothing."""


class JournalEntry(NamedTuple):
    id: EntryId
    time_us: int
    batch: bytes


class PublishedEntry(NamedTuple):
    id: EntryId
    head: bytes
    data: bytes


def chain_head(previous: bytes, entry: JournalEntry, event_data: bytes) -> bytes:
    """The head of the chain at `entry`, 32 bytes. Cost: one SHA-256 over both entries."""
    digest = hashlib.sha256(previous)
    digest.update(struct.pack("<QQq", entry.id.epoch, entry.id.sequence, entry.time_us))
    digest.update(entry.batch)
    digest.update(event_data)
    return digest.digest()


def check_follows(cursor: EntryId, entry: JournalEntry) -> None:
    """Checks that `entry` is the next one after `cursor` (promise P1).

    Raises:
        ChainBroken: it is neither (e, s+1) nor the epoch-start (e', 0) that names the cursor.
    """
    if entry.id == (cursor.epoch, cursor.sequence + 1) and cursor != BEGINNING:
        return
    if entry.id.epoch > cursor.epoch and entry.id.sequence == 0:
        _, commands, blobs = parse_batch(entry.batch)
        if len(commands) == 1 and commands[0].kind == CommandKind.EPOCH_START:
            start = EPOCH_START.unpack_from(blobs, 2)
            if (start.previous_epoch, start.previous_sequence) == cursor:
                return
    raise ChainBroken(f"journal entry {entry.id} does not follow {cursor}")


# -- the store: connecting, settings, functions


def connect(url: str, *, timeout_s: float | None = 15.0) -> Store:
    """A connection to the store at `url` (`unix:///path`, `redis://host:port/0`), bytes in and bytes out.

    `timeout_s` bounds each answer; a blocking read must block for less. A lost connection is told at once: whoever can
    wait for the store has a back-off of its own.
    """
    retry = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=5.0, retry=retry)


def check_settings(client: Store) -> None:
    """Refuses a store that could lose or drop what it was given.

    Raises:
        StoreRefused: one of the settings is unsafe; the text names it, its value, and the value it must have.
    """
    required = {
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "maxmemory-policy": "noeviction",
    }
    for name, wanted in required.items():
        value = client.config_get(name).get(name)
        if value != wanted:
            raise StoreRefused(f"the store has `{name} {value}`, and Jibek needs `{name} {wanted}`")
    if int(client.config_get("maxmemory")["maxmemory"]) == 0:
        raise StoreRefused("the store has no `maxmemory`: set it, so that a full store refuses instead of being killed")


def library_code(package: str, name: str) -> str:
    """The text of a packaged library of server-side functions."""
    return (files(package) / name).read_text()


def ensure_functions(client: Store, name: str, code: str) -> None:
    """Loads the library `name` if the store has none of that name; refuses a store that has another text under it.

    Raises:
        StoreRefused: the loaded text differs from `code`. Functions move money: they are never replaced in silence.
    """
    loaded = client.function_list(library=name, withcode=True)
    if not loaded:
        try:
            client.function_load(code)
            return
        except redis.ResponseError:
            # Another process has loaded them since; whether they are ours is judged as for any that were there.
            loaded = client.function_list(library=name, withcode=True)
            if not loaded:
                raise
    fields = dict(zip(loaded[0][::2], loaded[0][1::2], strict=True)) if isinstance(loaded[0], list) else loaded[0]
    if fields[b"library_code"] != code.encode():
        raise StoreRefused(f"the functions `{name}` in the store are not those of this version")


def prepare_store(client: Store) -> None:
    """What every process does first: checks the settings and the functions.

    Raises:
        StoreRefused: see `check_settings` and `ensure_functions`.
    """
    check_settings(client)
    ensure_functions(client, LIBRARY_NAME, library_code("engine.journal", "journal.lua"))


# -- calls: the arguments of each function, so that blocking and asyncio clients send the same


def append_call(epoch: int, batch: bytes, *, reducing: bool = False) -> tuple[Any, ...]:
    """Arguments of `execute_command` that append a batch; the answer is its id (`EntryId.parse`).

    `reducing` says that no command of the batch makes the venue hold more, so it may pass a full store.
    """
    assert len(batch) <= BATCH_BYTES_MAX
    function = "jibek_append_reducing" if reducing else "jibek_append"
    return ("FCALL", function, 2, EPOCH_KEY, JOURNAL_KEY, str(epoch), batch)


def publish_call(previous: EntryId, entry: EntryId, head: bytes, data: bytes) -> tuple[Any, ...]:
    """Arguments of `execute_command` that publish an event entry (promise P3)."""
    return ("FCALL", "jibek_publish", 2, EVENTS_KEY, PUBLISHED_KEY, str(previous), str(entry), head, data)


def check_published(entry: EntryId, answer: bytes) -> None:
    """Judges the answer of `publish`.

    Raises:
        Diverged: another engine published different bytes.
        ChainBroken: the entry is neither next nor there.
    """
    if answer == b"diverged":
        raise Diverged(f"event entry {entry} was published with another head")
    if answer == b"unknown":
        raise ChainBroken(f"event entry {entry} is neither the next one nor in the store")


def current_epoch(client: Store) -> int:
    """The epoch in force; 0 in a store without a venue."""
    return int(client.get(EPOCH_KEY) or 0)


def start_venue(client: Store) -> None:
    """Writes the first epoch-start entry into a store without a venue; does nothing where there is one."""
    if current_epoch(client) != 0:
        return
    builder = BatchBuilder()
    start = EpochStart(previous_head=GENESIS_HEAD, rules_version=RULES_VERSION)
    builder.add(Command(kind=CommandKind.EPOCH_START), EPOCH_START.pack(start))
    record = builder.build(producer=VENUE_PRODUCER, incarnation=1, number=1)
    client.execute_command("FCALL", "jibek_advance_epoch", 2, EPOCH_KEY, JOURNAL_KEY, "0", "1", record, str(BEGINNING))


def new_boot(client: Store) -> int:
    """A boot number larger than any given before."""
    return int(client.incr(BOOT_KEY))


# -- reading


def parse_journal(reply: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[JournalEntry]:
    """The journal entries of one stream in a reply of XREAD or XRANGE."""
    return [JournalEntry(EntryId.parse(id), int(fields[b"t"]), fields[b"b"]) for id, fields in reply]


def parse_events(reply: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[PublishedEntry]:
    """The event entries of one stream in a reply of XREAD or XRANGE."""
    return [PublishedEntry(EntryId.parse(id), fields[b"h"], fields[b"b"]) for id, fields in reply]


def read_journal(client: Store, cursor: EntryId, *, count: int = 64, block_ms: int | None = None) -> list[JournalEntry]:
    """Journal entries after `cursor`, at most `count`; waits up to `block_ms` where there is none (None: not at all)."""
    streams = _streams(client.xread({JOURNAL_KEY: str(cursor)}, count=count, block=block_ms))
    return parse_journal(streams.get(JOURNAL_KEY.encode(), ()))


def read_events(
    client: Store, cursor: EntryId, *, count: int = 64, block_ms: int | None = None
) -> list[PublishedEntry]:
    """Event entries after `cursor`, at most `count`; waits up to `block_ms` where there is none (None: not at all)."""
    streams = _streams(client.xread({EVENTS_KEY: str(cursor)}, count=count, block=block_ms))
    return parse_events(streams.get(EVENTS_KEY.encode(), ()))


def _streams(reply: Any) -> dict[bytes, Any]:
    """An XREAD reply as stream name -> entries, whether the connection speaks RESP2 (a list) or RESP3 (a dict)."""
    if isinstance(reply, dict):
        return {name: entries[0] for name, entries in reply.items()}
    return dict(reply or ())


class StreamReader:
    """Reads journal and events over a connection of its own.

    It does what `read_journal` and `read_events` do at a quarter of their CPU (15 instead of 58 µs a read), which counts where
    a read brings a single order. After a lost connection the next read makes a new one.
    """

    def __init__(self, client: Store) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None

    def read(self, keys: tuple[str, ...], cursor: EntryId, *, count: int, block_ms: int | None = None) -> list[Any]:
        """What each of these streams has after `cursor`, in one moment: a list of (id, fields) for each key.

        Raises:
            redis.ConnectionError, redis.TimeoutError: the store is away.
        """
        wait = () if block_ms is None else ("BLOCK", block_ms)
        call = ("XREAD", "COUNT", count, *wait, "STREAMS", *keys, *([str(cursor)] * len(keys)))
        is_new = self._connection is None
        try:
            reply = self._ask(call)
        except redis.ConnectionError:
            # A store that was started again has closed the connection long ago. Reading twice does no harm.
            if is_new:
                raise
            reply = self._ask(call)
        streams = reply if isinstance(reply, dict) else dict(reply or ())
        return [streams.get(key.encode(), ()) for key in keys]

    def journal(self, cursor: EntryId, *, count: int, block_ms: int | None = None) -> list[JournalEntry]:
        """As `read_journal`."""
        (entries,) = self.read((JOURNAL_KEY,), cursor, count=count, block_ms=block_ms)
        return _journal_entries(entries)

    def events(self, cursor: EntryId, *, count: int, block_ms: int | None = None) -> list[PublishedEntry]:
        """As `read_events`."""
        (entries,) = self.read((EVENTS_KEY,), cursor, count=count, block_ms=block_ms)
        return _event_entries(entries)

    def both(self, cursor: EntryId, *, count: int) -> tuple[list[JournalEntry], list[PublishedEntry]]:
        """The events after `cursor`, and as many journal entries."""
        published, journal = self.read((EVENTS_KEY, JOURNAL_KEY), cursor, count=count)
        return _journal_entries(journal[: len(published)]), _event_entries(published)

    def _ask(self, call: tuple[Any, ...]) -> Any:
        try:
            if self._connection is None:
                self._connection = self._pool.make_connection()
                self._connection.connect()
            self._connection.send_command(*call)
            return self._connection.read_response()
        except (redis.ConnectionError, redis.TimeoutError):
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None


def _journal_entries(entries: Any) -> list[JournalEntry]:
    """Entries as they come from the store: the names and values of their fields in the order in which they were added."""
    return [JournalEntry(EntryId.parse(id), int(fields[1]), fields[3]) for id, fields in entries]


def _event_entries(entries: Any) -> list[PublishedEntry]:
    return [PublishedEntry(EntryId.parse(id), fields[1], fields[3]) for id, fields in entries]


class ChainReader:
    """Reads event entries together with their journal entries and verifies each (promise P5).

    Args:
        cursor: the last entry that the caller has applied; BEGINNING for none.
        head: the head of the chain at `cursor`; GENESIS_HEAD at the beginning.
    """

    def __init__(self, client: Store, cursor: EntryId = BEGINNING, head: bytes = GENESIS_HEAD) -> None:
        self.client = client
        self.cursor = cursor
        self.head = head
        self._reader = StreamReader(client)

    def read(self, *, count: int = 64, block_ms: int | None = None) -> list[tuple[JournalEntry, PublishedEntry]]:
        """The next verified entries, at most `count`; an empty list where none came within `block_ms`.

        Raises:
            ChainBroken: an entry is missing, changed or out of order.
        """
        if block_ms is not None and not self._reader.events(self.cursor, count=1, block_ms=block_ms):
            return []
        journal, published = self._reader.both(self.cursor, count=count)
        if not published:
            return []
        if [entry.id for entry in journal] != [entry.id for entry in published]:
            first, last = published[0].id, published[-1].id
            raise ChainBroken(f"journal and events do not hold the same ids from {first} to {last}")
        pairs = list(zip(journal, published, strict=True))
        for entry, event_entry in pairs:
            check_follows(self.cursor, entry)
            head = chain_head(self.head, entry, event_entry.data)
            if head != event_entry.head:
                raise ChainBroken(f"the hash chain breaks at {entry.id}")
            self.cursor, self.head = entry.id, head
        return pairs


# -- producing


class Producer:
    """Appends batches and waits for their events: how the command line changes anything.

    A second producer of the same gateway number with a newer boot makes this one stale; `execute` then draws a new boot
    and sends again, which is safe because a stale batch is not executed.
    """

    def __init__(self, client: Store, gateway: int = OPERATOR_PRODUCER, *, boot: int | None = None) -> None:
        self.client = client
        self.gateway = gateway
        self.epoch = current_epoch(client)
        self.boot = new_boot(client) if boot is None else boot
        self.number = 0

    def execute(self, builder: BatchBuilder, *, timeout_s: float = 10.0) -> tuple[EntryId, EventEntry]:
        """Appends the batch and returns the id and the event entry that answers it.

        Raises:
            StoreTimeout: no event within `timeout_s`; whether it was carried out is unknown.
            StaleEpoch: the venue has begun a new epoch.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.number += 1
            batch = builder.build(producer=self.gateway, incarnation=self.boot, number=self.number)
            id = self.append(batch)
            entry = self._await_event(id, deadline)
            if entry.header.disposition != Disposition.STALE:
                return id, entry
            self.boot, self.number = new_boot(self.client), 0

    def append(self, batch: bytes) -> EntryId:
        """Appends a finished batch without waiting for its events.

        Raises:
            StaleEpoch: the venue has begun a new epoch.
        """
        try:
            return EntryId.parse(self.client.execute_command(*append_call(self.epoch, batch, reducing=True)))
        except redis.ResponseError as error:
            if str(error).startswith("STALEEPOCH"):
                raise StaleEpoch(str(error)) from None
            raise

    def _await_event(self, id: EntryId, deadline: float) -> EventEntry:
        previous = EntryId(id.epoch, id.sequence - 1)
        while (left_s := deadline - time.monotonic()) > 0:
            found = read_events(self.client, previous, count=1, block_ms=max(1, int(min(left_s, 1.0) * 1000)))
            if found:
                return EventEntry(found[0].data)
        raise StoreTimeout(f"no answer to {id}: whether it was carried out is unknown; is the engine running?")


def first_event(entry: EventEntry, index: int = 0) -> Event:
    """The event that answers command `index` of the batch."""
    return next(event for event in entry if event.command_index == index)
