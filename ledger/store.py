"""The ledger in the store: the cursor, the balances, the transfers, and the one call that writes them.

This is the only module of the ledger that calls the store: others read the ledger through `LedgerStore`, and the events
through its `source`. The server-side function of `store.lua` writes everything. Applying a projection exactly once takes
one rule: the cursor moves in the same call that writes the effect, and the call is refused unless the cursor is where the
caller thinks.

One call writes at most 500 fields, lines and blobs, because the journal waits while it runs. Small entries are settled
several at once; a larger one goes in parts, and the cursor then says how many of how many are in. The transfers of an
entry go in with its last part, so a reader who sees them sees all that belongs to them.

The cursor names the state: what the balances are at a cursor follows from the events alone, so it does not matter who
brought the ledger there, nor who moves it on. That is why a call can be sent without waiting for the one before it: it
expects the cursor that the one before leaves, and is right if it is accepted, even if the one before was refused
because another settlement had been first. It takes one thing more: balances that are read must be those at the caller's
cursor, so they are always read in one moment with the cursor of the store, which must not have passed it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Any, NamedTuple

import redis

from engine.journal import (
    BEGINNING,
    GENESIS_HEAD,
    EntryId,
    Source,
    Store,
    StoreSource,
    ensure_functions,
    library_code,
    own_connection,
)
from engine.process.follower import Overtaken
from engine.records import HOUSE_ACCOUNT
from ledger.accounts import field_of, pack_counters, slot_of_field, unpack_counters
from ledger.names import HOUSE_NAME, Names, account_field, asset_field, number_field

CURSOR_KEY = "{jibek}:ledger:cursor"
BALANCES_KEY = "{jibek}:ledger:balances"
TRANSFERS_KEY = "{jibek}:ledger:transfers"
NAMES_KEY = "{jibek}:ledger:names"
INDEX_KEY = b"{jibek}:ledger:index"

LIBRARY_NAME = "jibek_ledger"
LIBRARY_FILE = "store.lua"

WRITES_PER_CALL_MAX = 500
CALLS_IN_FLIGHT_MAX = 8
FIELDS_PER_READ = 500
SLOTS_PER_MOMENT = 2_000
"""Slots that are read in one moment with the cursor, while the store does nothing else."""
ASSETS_PER_READ = 64
INDEX_BLOCK_ENTRIES = 1 << 20
"""Entries whose ids share one string of an owner's index: it ends at 16 MB, far below the 512 MB a string can have."""

INDEX_LINE = struct.Struct("<QQ")
"""The id of an entry in an index: epoch, sequence."""


class CursorMoved(Overtaken):
    """Another settlement was first: nothing was written, and the caller reads the cursor again."""


class LedgerBroken(Exception):
    """What the store holds is not a ledger of these events; the text says what is wrong."""


class Cursor(NamedTuple):
    """How far the ledger has come."""

    id: EntryId = BEGINNING
    """The last entry that is wholly in."""
    head: bytes = GENESIS_HEAD
    """The head of the chain at that entry."""
    part: int = 0
    """How many parts of the entry after it are in."""
    parts: int = 0
    """How many parts that entry has; 0 when none is in."""

    def pack(self) -> bytes:
        """The cursor as it is stored; empty for a ledger that has not begun."""
        if self == Cursor():
            return b""
        return f"{self.id} {self.part} {self.parts} {self.head.hex()}".encode()

    @classmethod
    def parse(cls, text: bytes | None) -> Cursor:
        """The inverse of `pack`.

        Raises:
            LedgerBroken: the text is no cursor.
        """
        if not text:
            return cls()
        try:
            id, part, parts, head = text.decode().split(" ")
            return cls(EntryId.parse(id), bytes.fromhex(head), int(part), int(parts))
        except ValueError:
            raise LedgerBroken(f"the cursor {text!r} cannot be read") from None


class IndexBlock(NamedTuple):
    """The part of an owner's index that is kept in one string."""

    owner: int
    epoch: int
    block: int
    """The sequence of its entries divided by 2^20."""


class Writes:
    """What one or several consecutive entries leave in the store."""

    __slots__ = ("changes", "index", "names", "transfers")

    def __init__(self) -> None:
        self.transfers: list[tuple[EntryId, bytes]] = []
        """Entry and its packed transfers, for each that moved something."""
        self.changes: dict[int, int] = {}
        """Slot -> what is added to its counters."""
        self.index: dict[bytes, bytes] = {}
        """Key of an owner's index -> the ids of the entries that touched the owner."""
        self.names: dict[bytes, bytes] = {}

    @classmethod
    def of_entry(cls, id: EntryId, transfers: bytes, changes: dict[int, int], names: dict[bytes, bytes]) -> Writes:
        """The writes of a single entry."""
        writes = cls()
        writes.changes, writes.names = changes, names
        if transfers:
            writes.transfers.append((id, transfers))
            key, line = _index_key(id), INDEX_LINE.pack(*id)
            writes.index = {key % owner: line for owner in {slot >> 16 for slot in changes}}
        return writes

    def __len__(self) -> int:
        """How many fields, lines and blobs are written."""
        return len(self.transfers) + len(self.changes) + len(self.index) + len(self.names)

    def add(self, other: Writes) -> None:
        """Takes in the writes of the entries that follow: balances are netted, index lines strung together."""
        self.transfers += other.transfers
        for slot, change in other.changes.items():
            self.changes[slot] = self.changes.get(slot, 0) + change
        for key, line in other.index.items():
            self.index[key] = self.index.get(key, b"") + line
        self.names.update(other.names)

    def split(self) -> list[Writes]:
        """The writes of one entry in parts of one call each, the same ones every time; the transfers are in the last."""
        assert len(self.transfers) <= 1
        room = WRITES_PER_CALL_MAX - 1
        changes = iter(sorted(self.changes.items()))
        index = iter(sorted(self.index.items()))
        names = iter(sorted(self.names.items()))
        parts = []
        for _ in range(0, max(1, len(self) - len(self.transfers)), room):
            part = Writes()
            part.changes = dict(islice(changes, room))
            part.index = dict(islice(index, room - len(part)))
            part.names = dict(islice(names, room - len(part)))
            parts.append(part)
        parts[-1].transfers = self.transfers
        return parts


def _index_key(id: EntryId) -> bytes:
    """The keys of all owners' indexes for an entry: a pattern with `%d` for the owner."""
    return b"%s:%%d:%d.%d" % (INDEX_KEY, id.epoch, id.sequence // INDEX_BLOCK_ENTRIES)


def settle_call(before: Cursor, after: Cursor, writes: Writes, counters: dict[int, int]) -> tuple[Any, ...]:
    """Arguments of the command that moves the cursor and writes what belongs to the move.

    `counters` gives each slot of `writes.changes` its new counters, and may give others.
    """
    assert len(writes) <= WRITES_PER_CALL_MAX
    arguments: list[Any] = ["FCALL", "jibek_settle", 4 + len(writes.index)]
    arguments += (CURSOR_KEY, BALANCES_KEY, TRANSFERS_KEY, NAMES_KEY, *writes.index)
    arguments += (before.pack(), after.pack(), len(writes.transfers), len(writes.changes), len(writes.names))
    for id, transfers in writes.transfers:
        arguments += (str(id), transfers)
    for slot in writes.changes:
        arguments += (field_of(slot), pack_counters(slot, counters[slot]))
    for field, name in writes.names.items():
        arguments += (field, name)
    arguments += writes.index.values()
    return tuple(arguments)


class LedgerStore:
    """The ledger's keys, read through one connection and written through another.

    Calls are sent on a connection of their own, at most 8 ahead of their answers: `send`, `confirm`. Reading uses
    `client` and sees what was confirmed, and perhaps more.
    """

    def __init__(self, client: Store) -> None:
        self.client = client
        self.source: Source = StoreSource(client)
        """The events that the ledger follows."""
        self._connection: Any = None
        self._in_flight: deque[bytes] = deque()
        """The cursor that each unanswered call leaves, oldest first."""

    def prepare(self) -> None:
        """Loads the ledger's function if the store has none.

        Raises:
            StoreRefused: the store has another text under its name.
        """
        ensure_functions(self.client, LIBRARY_NAME, library_code("ledger", LIBRARY_FILE))

    # -- settling

    def send(self, before: Cursor, after: Cursor, writes: Writes, counters: dict[int, int]) -> None:
        """Sends one call; waits for the oldest one if 8 are in flight.

        Raises:
            CursorMoved: as `confirm`.
            redis.ConnectionError, redis.TimeoutError: the store is away; which calls it executed is unknown.
        """
        if len(self._in_flight) == CALLS_IN_FLIGHT_MAX:
            self.confirm()
        if self._connection is None:
            self._connection = own_connection(self.client)
        self._in_flight.append(after.pack())
        self._connection.send_command(*settle_call(before, after, writes, counters))

    def confirm(self) -> None:
        """Waits for the answer to the oldest call in flight.

        Raises:
            CursorMoved: it was refused because the cursor is elsewhere; no call is in flight any more.
            redis.ConnectionError, redis.TimeoutError: the store is away; which calls it executed is unknown.
        """
        expected = self._in_flight.popleft()
        try:
            answer = self._connection.read_response()
        except redis.ResponseError as error:
            self._discard_answers()
            if str(error).startswith("CURSORMOVED"):
                raise CursorMoved(str(error)) from None
            raise
        assert answer == expected

    def confirm_all(self) -> None:
        """Waits until no call is in flight. Raises as `confirm`."""
        while self._in_flight:
            self.confirm()

    def disconnect(self) -> None:
        """Gives up the calls in flight and their connection; the store may still execute some of them."""
        self._in_flight.clear()
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _discard_answers(self) -> None:
        """Reads the answers of the calls that followed a refused one: they may have been refused, or right."""
        while self._in_flight:
            self._in_flight.popleft()
            with suppress(redis.ResponseError):
                self._connection.read_response()

    # -- reading

    def cursor(self) -> Cursor:
        """How far the ledger has come."""
        return Cursor.parse(self.client.get(CURSOR_KEY))

    def load(self, slots: Iterable[int]) -> tuple[Cursor, dict[int, int]]:
        """The cursor and the counters of these slots at one moment.

        Cost: one round trip; the store does nothing else for about a millisecond per 2,000 slots.
        """
        wanted = list(slots)
        pipeline = self.client.pipeline(transaction=True)
        pipeline.get(CURSOR_KEY)
        for start in range(0, len(wanted), FIELDS_PER_READ):
            pipeline.hmget(BALANCES_KEY, [field_of(slot) for slot in wanted[start : start + FIELDS_PER_READ]])
        cursor, *values = pipeline.execute()
        counters = zip(wanted, chain.from_iterable(values), strict=True)
        return Cursor.parse(cursor), {slot: unpack_counters(value) for slot, value in counters}

    def scan(self) -> Iterator[tuple[int, int]]:
        """All slots with their counters, in no order, in steps; what is written meanwhile may be seen or not."""
        for field, value in self.client.hscan_iter(BALANCES_KEY, count=FIELDS_PER_READ):
            yield slot_of_field(field), unpack_counters(value)

    def transfers(self, first: EntryId, last: EntryId, *, count: int) -> list[tuple[EntryId, bytes]]:
        """Entries with their packed transfers from `first` to `last`, oldest first, at most `count`."""
        return _parse_transfers(self.client.xrange(TRANSFERS_KEY, min=str(first), max=str(last), count=count))

    def last_transfers(self, *, count: int) -> list[tuple[EntryId, bytes]]:
        """The newest `count` entries with their packed transfers, oldest first."""
        return _parse_transfers(self.client.xrevrange(TRANSFERS_KEY, count=count))[::-1]

    def transfers_of(self, ids: Iterable[EntryId]) -> list[tuple[EntryId, bytes]]:
        """These entries with their packed transfers; those that moved nothing are left out. Cost: one round trip."""
        pipeline = self.client.pipeline(transaction=False)
        for id in ids:
            pipeline.xrange(TRANSFERS_KEY, min=str(id), max=str(id))
        return [found for reply in pipeline.execute() for found in _parse_transfers(reply)]

    def last_entries_of(self, owner: int, *, count: int) -> list[EntryId]:
        """The newest `count` entries that touched an owner, oldest first, from its index.

        Cost: two commands for each block of a million entries that is looked into.
        """
        found: list[EntryId] = []
        newest = self.client.xrevrange(TRANSFERS_KEY, count=1)
        while newest and len(found) < count:
            id = EntryId.parse(newest[0][0])
            lines = self.client.getrange(_index_key(id) % owner, -INDEX_LINE.size * (count - len(found)), -1)
            found[:0] = [EntryId._make(fields) for fields in INDEX_LINE.iter_unpack(lines)]
            block_start = EntryId(id.epoch, id.sequence - id.sequence % INDEX_BLOCK_ENTRIES)
            newest = self.client.xrevrange(TRANSFERS_KEY, max=f"({block_start}", count=1)
        return found

    def index_blocks(self, blocks: Iterable[IndexBlock]) -> list[bytes]:
        """The lines of these blocks of owners' indexes. Cost: one command for 500 blocks."""
        keys = [_index_key(EntryId(epoch, block * INDEX_BLOCK_ENTRIES)) % owner for owner, epoch, block in blocks]
        lines: list[bytes] = []
        for start in range(0, len(keys), FIELDS_PER_READ):
            lines += [line or b"" for line in self.client.mget(keys[start : start + FIELDS_PER_READ])]
        return lines

    def scan_names(self) -> Iterator[tuple[bytes, bytes]]:
        """All fields of the hash of names, in no order, in steps."""
        yield from self.client.hscan_iter(NAMES_KEY, count=FIELDS_PER_READ)

    def names(self, owners: Iterable[int]) -> Names:
        """The names of these owners and of all assets."""
        fields = [account_field(owner) for owner in owners]
        found: dict[bytes, bytes] = {}
        for start in range(0, len(fields), FIELDS_PER_READ):
            found |= self._named(fields[start : start + FIELDS_PER_READ])
        first = 1
        while assets := self._named([asset_field(number) for number in range(first, first + ASSETS_PER_READ)]):
            found |= assets
            first += ASSETS_PER_READ
        return Names(found)

    def number_of(self, name: str) -> int | None:
        """The number of the account of this name; None if the ledger has none."""
        if name == HOUSE_NAME:
            return HOUSE_ACCOUNT
        number = self.client.hget(NAMES_KEY, number_field(name.encode()))
        return None if number is None else int(number)

    def _named(self, fields: list[bytes]) -> dict[bytes, bytes]:
        values = self.client.hmget(NAMES_KEY, fields)
        return {field: value for field, value in zip(fields, values, strict=True) if value is not None}


def _parse_transfers(reply: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[tuple[EntryId, bytes]]:
    return [(EntryId.parse(id), fields[b"t"]) for id, fields in reply]
