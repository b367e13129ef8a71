"""The directory of a venue: its markets, tiers, accounts and API keys, as the events define them.

A `Directory` is a projection of the events. Few entries define anything, so those are copied into a file of the data
folder, and a command reads from the store only what is newer than the file:

    directory.cache   records of  id (2 × 64 bits) · head (32 bytes) · length, CRC (32 bits each) · event entry

A record without an event entry says how far the events have been read. The file is only ever appended to. You may delete
it at any time; a command deletes it when it is damaged or when its end is not in the chain of the store.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from engine.journal import (
    BEGINNING,
    EVENTS_KEY,
    GENESIS_HEAD,
    EntryId,
    EventChain,
    PublishedEntry,
    Store,
    parse_events,
    read_events,
)
from engine.listing import Listing, Market
from engine.networks import format_networks
from engine.process import EXIT_REFUSED
from engine.records import (
    DEFAULT_TIER,
    EVENT_BYTES,
    EVENT_HEADER,
    KEY_DEFINITION,
    Event,
    EventEntry,
    EventKind,
    KeyType,
)
from jibek.console.failure import fail, store_errors
from jibek.venue.address import VenueAddress, open_store, running_venue

CACHE_FILE = "directory.cache"
ENTRIES_PER_READ = 256

_RECORD = struct.Struct("<QQ32sII")
_NO_DIGEST = bytes(32)
"""Of an entry from the cache: it was verified when it was read from the store, and the entries before it are left out."""
_DEFINING = frozenset(
    {
        EventKind.ASSET_ADDED,
        EventKind.MARKET_ADDED,
        EventKind.FEES_CHANGED,
        EventKind.MARKET_STATE_CHANGED,
        EventKind.ACCOUNT_ADDED,
        EventKind.ACCOUNT_FROZEN,
        EventKind.ACCOUNT_UNFROZEN,
        EventKind.KEY_ADDED,
        EventKind.KEY_REVOKED,
        EventKind.LIMITS_CHANGED,
        EventKind.ACCOUNT_LIMITS_CHANGED,
    }
)


@dataclass(slots=True)
class KeyRecord:
    """An API key, without anything secret."""

    id: str
    type: KeyType
    permissions: int
    """Permission bits."""
    added_us: int
    expiry_us: int
    """From when on it is refused, microseconds since 1970 UTC; 0: never."""
    networks: list[str]
    """CIDR, from where it may be used; empty: from everywhere."""
    is_revoked: bool = False


@dataclass(slots=True)
class AccountRecord:
    """An account as it was opened, with its keys."""

    number: int
    name: str
    added_us: int
    operator: str
    why: str
    is_frozen: bool = False
    tier: str = DEFAULT_TIER.decode()
    keys: dict[str, KeyRecord] = field(default_factory=dict)


class Directory:
    """Markets, accounts and keys up to `cursor`."""

    def __init__(self) -> None:
        self.cursor: EntryId = BEGINNING
        self.head = GENESIS_HEAD
        self.listing = Listing()
        self.accounts: dict[int, AccountRecord] = {}
        self.account_by_name: dict[str, AccountRecord] = {}

    def apply(self, published: PublishedEntry) -> None:
        """Takes in the next event entry."""
        self.cursor, self.head = published.id, published.head
        if not defines_something(published.data):
            return
        entry = EventEntry(published.data)
        for event in entry:
            if not self.listing.apply(entry, event):
                self._apply_account_event(entry, event)

    def _apply_account_event(self, entry: EventEntry, event: Event) -> None:
        time_us = entry.header.time_us
        if event.kind == EventKind.ACCOUNT_ADDED:
            name, operator, why = (part.decode() for part in entry.parts(event))
            account = AccountRecord(event.account, name, time_us, operator, why)
            self.accounts[account.number] = self.account_by_name[name] = account
        elif event.kind in (EventKind.ACCOUNT_FROZEN, EventKind.ACCOUNT_UNFROZEN):
            self.accounts[event.account].is_frozen = event.kind == EventKind.ACCOUNT_FROZEN
        elif event.kind == EventKind.KEY_ADDED:
            packed, key_id, _, networks, *_ = entry.parts(event)
            definition = KEY_DEFINITION.unpack_from(packed)
            key = KeyRecord(
                key_id.decode(),
                KeyType(definition.key_type),
                definition.permissions,
                time_us,
                definition.expiry_us,
                format_networks(networks),
            )
            self.accounts[event.account].keys[key.id] = key
        elif event.kind == EventKind.ACCOUNT_LIMITS_CHANGED:
            self.accounts[event.account].tier = entry.parts(event)[0].decode()
        elif event.kind == EventKind.KEY_REVOKED:
            self.accounts[event.account].keys[entry.parts(event)[0].decode()].is_revoked = True


def defines_something(data: bytes) -> bool:
    """Whether an event entry may define a market, a tier, an account or a key; a yes may be wrong, a no never is.

    Cost: one slice over the first byte of each event. The slice runs on into the blobs, hence the wrong yes.
    """
    return not _DEFINING.isdisjoint(data[EVENT_HEADER.size :: EVENT_BYTES])


def read_directory(client: Store, data: Path) -> Directory:
    """The directory of the venue as it is now.

    Raises:
        ChainBroken: the events in the store are not an unbroken chain.
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    cache = data / CACHE_FILE
    try:
        directory = _from_cache(client, cache)
    except _CacheUnusable:
        cache.unlink(missing_ok=True)
        directory = Directory()
    chain = EventChain(directory.cursor, directory.head)
    while entries := read_events(client, directory.cursor, count=ENTRIES_PER_READ):
        for published in entries:
            chain.check(published)
            directory.apply(published)
        _append(cache, entries)
    return directory


def open_directory(data_dir: Path) -> tuple[VenueAddress, Store, Directory]:
    """The venue that runs on a data folder, a connection to its store, and its directory: how most commands begin.

    Raises:
        Failure: exit code 3 if no venue runs there or its store is away, 1 if the events are not an unbroken chain.
    """
    address = running_venue(data_dir)
    client = open_store(address)
    with store_errors():
        return address, client, read_directory(client, data_dir)


def find_account(directory: Directory, name: str) -> AccountRecord:
    """The account of this name.

    Raises:
        Failure: exit code 1 if there is none.
    """
    if name not in directory.account_by_name:
        fail(EXIT_REFUSED, f"No account is named {name}. See `jibek account list`.")
    return directory.account_by_name[name]


def find_market(listing: Listing, symbol: str) -> Market:
    """The market of this symbol.

    Raises:
        Failure: exit code 1 if there is none.
    """
    if symbol not in listing.market_by_symbol:
        fail(EXIT_REFUSED, f"No market is named {symbol}; there are {', '.join(listing.market_by_symbol) or 'none'}.")
    return listing.market_by_symbol[symbol]


# -- the cache


class _CacheUnusable(Exception):
    """The cache is damaged, or belongs to another store."""


def _from_cache(client: Store, cache: Path) -> Directory:
    directory = Directory()
    for published in _read_cache(cache):
        directory.apply(published)
    if directory.cursor != BEGINNING:
        cursor = str(directory.cursor)
        found = parse_events(client.xrange(EVENTS_KEY, min=cursor, max=cursor))
        if not found or found[0].head != directory.head:
            raise _CacheUnusable
    return directory


def _read_cache(cache: Path) -> Iterator[PublishedEntry]:
    """The records in ascending order of ids. It leaves out a record that repeats an id or comes late: two commands at once
    add the same entries."""
    try:
        data = cache.read_bytes()
    except FileNotFoundError:
        return
    position = 0
    last: EntryId = BEGINNING
    while position < len(data):
        try:
            epoch, sequence, head, length, checksum = _RECORD.unpack_from(data, position)
        except struct.error:
            raise _CacheUnusable from None
        position += _RECORD.size
        content = data[position : position + length]
        position += length
        if crc32(content) != checksum:
            raise _CacheUnusable
        id = EntryId(epoch, sequence)
        if id > last:
            yield PublishedEntry(id, head, _NO_DIGEST, content)
            last = id


def _append(cache: Path, entries: list[PublishedEntry]) -> None:
    """Adds the entries that define something, and how far the entries reach, in one write."""
    records = [_record(published) for published in entries if defines_something(published.data)]
    if not defines_something(entries[-1].data):
        records.append(_record(entries[-1]._replace(data=b"")))
    fd = os.open(cache, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, b"".join(records))
    finally:
        os.close(fd)


def _record(published: PublishedEntry) -> bytes:
    data = published.data
    return _RECORD.pack(*published.id, published.head, len(data), crc32(data)) + data
