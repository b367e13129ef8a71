"""The directory of a venue: its markets, tiers, accounts and API keys, as the events define them.

A `Directory` is a projection of the events. Few entries define anything, so those are copied into a file of the data
folder (`jibek.venue.directory_cache`), and a command reads from the store only what is newer than the file.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from engine.journal import (
    BEGINNING,
    GENESIS_HEAD,
    EntryId,
    EventChain,
    PublishedEntry,
    Store,
    StoreSource,
    event_at,
    read_events,
)
from engine.listing import Listing, Market
from engine.networks import format_networks
from engine.process import EXIT_REFUSED
from engine.process.watermarks import check_vouched
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
from jibek.console.printable import excerpt
from jibek.venue.address import VenueAddress, open_store, running_venue
from jibek.venue.directory_cache import CacheUnusable, DirectoryCache
from ledger.names import Names

ENTRIES_PER_READ = 256

_DEFINING = frozenset(
    {
        EventKind.ASSET_ADDED,
        EventKind.MARKET_ADDED,
        EventKind.FEES_CHANGED,
        EventKind.MARKET_STATE_CHANGED,
        EventKind.TIME_ACCEPTED,
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
    system_user: str
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
            name, operator, why, system_user = (text_of(part) for part in entry.parts(event))
            account = AccountRecord(event.account, name, time_us, operator, why, system_user)
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
            self.accounts[event.account].tier = text_of(entry.parts(event)[0])
        elif event.kind == EventKind.KEY_REVOKED:
            self.accounts[event.account].keys[entry.parts(event)[0].decode()].is_revoked = True


def text_of(part: bytes) -> str:
    """A part of a blob as text; bytes that are not UTF-8, which only another program can have written, as escapes."""
    return part.decode(errors="backslashreplace")


def defines_something(data: bytes) -> bool:
    """Whether an event entry may define a market, a tier, an account or a key; a yes may be wrong, a no never is.

    Cost: one slice over the first byte of each event. The slice runs on into the blobs, hence the wrong yes.
    """
    return not _DEFINING.isdisjoint(data[EVENT_HEADER.size :: EVENT_BYTES])


def read_directory(client: Store, data: Path) -> Directory:
    """The directory of the venue as it is now.

    Raises:
        ChainBroken: the events in the store are not an unbroken chain, or not all that the watermarks of the folder name.
        BadWatermark: see `known_heads`.
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    check_store(client, data)
    cache = DirectoryCache(data, defines_something)
    try:
        directory = _from_cache(client, cache)
    except CacheUnusable:
        cache.delete()
        directory = Directory()
    chain = EventChain(directory.cursor, directory.head)
    while entries := read_events(client, directory.cursor, count=ENTRIES_PER_READ):
        for published in entries:
            chain.check(published)
            directory.apply(published)
        with suppress(OSError):  # A full disk, or the folder of another user: the cache only saves time.
            cache.append(entries)
    return directory


def check_store(client: Store, data: Path) -> None:
    """Checks that the store has all that the watermarks of the data folder name.

    Raises: as `check_vouched`.
    """
    source = StoreSource(client)
    try:
        check_vouched(data, source)
    finally:
        source.close()


def _from_cache(client: Store, cache: DirectoryCache) -> Directory:
    """The directory as the cache has it.

    Raises:
        CacheUnusable: the cache is damaged, or its last entry is not in the store.
    """
    directory = Directory()
    for published in cache.read():
        directory.apply(published)
    if directory.cursor != BEGINNING:
        found = event_at(client, directory.cursor)
        if found is None or found.head != directory.head:
            raise CacheUnusable
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


def read_names(client: Store, data_dir: Path) -> Names:
    """The names of all accounts and assets, as the verified events define them.

    Raises: as `read_directory`.
    """
    directory = read_directory(client, data_dir)
    return Names({number: account.name for number, account in directory.accounts.items()}, directory.listing.assets)


def find_account(directory: Directory, name: str) -> AccountRecord:
    """The account of this name.

    Raises:
        Failure: exit code 1 if there is none.
    """
    if name not in directory.account_by_name:
        fail(EXIT_REFUSED, f"No account is named {excerpt(name)}. See `jibek account list`.")
    return directory.account_by_name[name]


def find_market(listing: Listing, symbol: str) -> Market:
    """The market of this symbol.

    Raises:
        Failure: exit code 1 if there is none.
    """
    if symbol not in listing.market_by_symbol:
        fail(
            EXIT_REFUSED,
            f"No market is named {excerpt(symbol)}; there are {', '.join(listing.market_by_symbol) or 'none'}.",
        )
    return listing.market_by_symbol[symbol]
