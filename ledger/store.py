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
from ledger.accounts import (
    FIELD_BYTES,
    field_of,
    pack_counters,
    slot_asset,
    slot_bytes,
    slot_of_field,
    slot_owner,
    unpack_counters,
)

CURSOR_KEY = "{jibek}:ledger:cursor"
BALANCES_KEY = "{jibek}:ledger:balances"
TRANSFERS_KEY = "{jibek}:ledger:transfers"
INDEX_KEY = b"{jibek}:ledger:index"

LIBRARY_NAME = "jibek_ledger"
LIBRARY_FILE = "store.lua"

WRITES_PER_CALL_MAX = 500
CALLS_IN_FLIGHT_MAX = 8
FIELDS_PER_READ = 500
SLOTS_PER_MOMENT = 2_000
"""Slots that are read in one moment with the cursor, while the store does nothing else."""
INDEX_BLOCK_ENTRIES = 1 << 20
"""Entries whose ids share one string of an owner's index: it ends at 16 MB, far below the 512 MB a string can have."""
KEYS_PER_DROP = 500
DROP_ATTEMPTS_MAX = 100
HEAD_BYTES = len(GENESIS_HEAD)

INDEX_LINE = struct.Struct("<QQ")
"""The id of an entry in an index: epoch, sequence."""


class CursorMoved(Overtaken):
    """Another settlement was first: nothing was written, and the caller reads the cursor again."""


REBUILD = "`jibek ledger rebuild` computes the ledger again from the events"
RECONCILE = "`jibek ledger reconcile` says what the events contradict"


class LedgerBroken(Exception):
    """What the store holds is not a ledger of these events; the text says what is wrong, and names the cure.

    Args:
        fault: what is wrong.
        cure: what an operator can do.
    """

    def __init__(self, fault: str, cure: str = REBUILD) -> None:
        super().__init__(f"{fault}. {cure}")


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

    @property
    def place(self) -> tuple[EntryId, int]:
        """By which cursors are ordered."""
        return self.id, self.part

    def whole(self) -> Cursor:
        """The cursor after the last whole entry, without the parts of the next one."""
        return Cursor(self.id, self.head)

    def pack(self) -> bytes:
        """The cursor as it is stored; empty for a ledger that has not begun."""
        if self == Cursor():
            return b""
        if self == DROPPING:
            return DROPPING_TEXT
        return f"{self.id} {self.part} {self.parts} {self.head.hex()}".encode()

    @classmethod
    def parse(cls, text: bytes | None) -> Cursor:
        """The inverse of `pack`.

        Raises:
            LedgerBroken: the text is no cursor, or not as `pack` writes it.
        """
        if not text:
            return cls()
        if text == DROPPING_TEXT:
            return DROPPING
        try:
            id, part, parts, head = text.decode().split(" ")
            cursor = cls(EntryId.parse(id), bytes.fromhex(head), int(part), int(parts))
        except ValueError:
            raise LedgerBroken(f"the cursor {text!r} cannot be read") from None
        is_between = cursor.part == cursor.parts == 0
        if (
            cursor.pack() != text
            or len(cursor.head) != HEAD_BYTES
            or not (is_between or 0 < cursor.part < cursor.parts)
        ):
            raise LedgerBroken(f"the cursor {text!r} cannot be read")
        return cursor


DROPPING = Cursor(part=-1, parts=-1)
"""Where a ledger is while it is taken out of the store: before all entries, and nothing is settled."""
DROPPING_TEXT = b"dropping"


class IndexBlock(NamedTuple):
    """The part of an owner's index that is kept in one string."""

    owner: int
    epoch: int
    block: int
    """The sequence of its entries divided by 2^20."""


class Writes:
    """What one or several consecutive entries leave in the store."""

    __slots__ = ("changes", "index", "transfers")

    def __init__(self) -> None:
        self.transfers: list[tuple[EntryId, bytes]] = []
        """Entry and its packed transfers, for each that moved something."""
        self.changes: dict[int, int] = {}
        """Slot -> what is added to its counters."""
        self.index: dict[bytes, bytes] = {}
        """Key of an owner's index -> the ids of the entries that touched the owner."""

    @classmethod
    def of_entry(cls, id: EntryId, transfers: bytes, changes: dict[int, int]) -> Writes:
        """The writes of a single entry."""
        writes = cls()
        writes.changes = changes
        if transfers:
            writes.transfers.append((id, transfers))
            key, line = _index_key(id), INDEX_LINE.pack(*id)
            writes.index = {key % owner: line for owner in {slot >> 16 for slot in changes}}
        return writes

    def __len__(self) -> int:
        """How many fields, lines and blobs are written."""
        return len(self.transfers) + len(self.changes) + len(self.index)

    def add(self, other: Writes) -> None:
        """Takes in the writes of the entries that follow: balances are netted, index lines strung together."""
        self.transfers += other.transfers
        for slot, change in other.changes.items():
            self.changes[slot] = self.changes.get(slot, 0) + change
        for key, line in other.index.items():
            self.index[key] = self.index.get(key, b"") + line

    def split(self) -> list[Writes]:
        """The writes of one entry in parts of one call each, the same ones every time; the transfers are in the last."""
        assert len(self.transfers) <= 1
        room = WRITES_PER_CALL_MAX - 1
        changes = iter(sorted(self.changes.items()))
        index = iter(sorted(self.index.items()))
        parts = []
        for _ in range(0, max(1, len(self) - len(self.transfers)), room):
            part = Writes()
            part.changes = dict(islice(changes, room))
            part.index = dict(islice(index, room - len(part)))
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
    arguments: list[Any] = ["FCALL", "jibek_settle", 3 + len(writes.index)]
    arguments += (CURSOR_KEY, BALANCES_KEY, TRANSFERS_KEY, *writes.index)
    arguments += (before.pack(), after.pack(), len(writes.transfers), len(writes.changes))
    for id, transfers in writes.transfers:
        arguments += (str(id), transfers)
    for slot in writes.changes:
        arguments += (field_of(slot), pack_counters(slot, counters[slot]))
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

    # -- taking the ledger out of the store

    def begin_drop(self) -> None:
        """Puts the ledger to `DROPPING`, wherever it is and even if its cursor cannot be read: from then on every call in
        flight is refused.

        Raises:
            CursorMoved: another settlement moves it all the time.
        """
        for attempt in range(DROP_ATTEMPTS_MAX):
            try:
                self._compare_and_set(self.client.get(CURSOR_KEY) or b"", DROPPING_TEXT)
                return
            except CursorMoved:
                if attempt == DROP_ATTEMPTS_MAX - 1:
                    raise

    def drop(self) -> None:
        """Takes a ledger that is at `DROPPING` out of the store, in steps, and leaves one that has not begun. It may be killed
        at any time and called again, and two may be at it.

        Raises:
            CursorMoved: another process has finished it.
        """
        keys: list[str | bytes] = [BALANCES_KEY, TRANSFERS_KEY]
        for index in self.client.scan_iter(INDEX_KEY + b":*", count=FIELDS_PER_READ):
            keys.append(index)
            if len(keys) == KEYS_PER_DROP:
                self._unlink(keys)
                keys.clear()
        self._unlink(keys)
        self._compare_and_set(DROPPING_TEXT, Cursor().pack())

    def _unlink(self, keys: list[str | bytes]) -> None:
        """Deletes these keys in one step with the look at the cursor: a ledger that has begun again loses nothing."""
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.watch(CURSOR_KEY)
            if Cursor.parse(pipeline.get(CURSOR_KEY)) != DROPPING:
                raise CursorMoved("another process has taken the ledger out of the store")
            pipeline.multi()
            pipeline.unlink(*keys)
            try:
                pipeline.execute()
            except redis.WatchError:
                raise CursorMoved("another process has taken the ledger out of the store") from None

    def _compare_and_set(self, before: bytes, after: bytes) -> None:
        """Moves the cursor and writes nothing else."""
        keys = (CURSOR_KEY, BALANCES_KEY, TRANSFERS_KEY)
        try:
            self.client.execute_command("FCALL", "jibek_settle", len(keys), *keys, before, after, 0, 0)
        except redis.ResponseError as error:
            if str(error).startswith("CURSORMOVED"):
                raise CursorMoved(str(error)) from None
            raise

    # -- reading

    def cursor(self) -> Cursor:
        """How far the ledger has come, as the store says.

        Raises:
            LedgerBroken: what is stored is no cursor.
        """
        return Cursor.parse(self.client.get(CURSOR_KEY))

    def checked_cursor(self) -> Cursor:
        """How far the ledger has come, compared with the events: who starts from here starts in their chain. Cost: two
        round trips.

        Raises:
            LedgerBroken: the cursor names no entry of the events, or another head of the chain than it has.
        """
        cursor = self.cursor()
        if cursor.id == BEGINNING:
            is_right = cursor.head == GENESIS_HEAD
        else:
            is_right = [entry.head for entry in self.source.events_at([cursor.id])] == [cursor.head]
        if not is_right:
            raise LedgerBroken(
                f"its cursor names entry {cursor.id} and a head of the chain that the events do not have there"
            )
        return cursor

    def is_empty(self) -> bool:
        """Whether no balances and no transfers are stored."""
        return not self.client.exists(BALANCES_KEY, TRANSFERS_KEY)

    def load(self, slots: Iterable[int]) -> tuple[Cursor, dict[int, int]]:
        """The cursor and the counters of these slots at one moment.

        Cost: one round trip; the store does nothing else for about a millisecond per 2,000 slots.

        Raises:
            LedgerBroken: what is stored is no cursor, or are no counters.
        """
        wanted = list(slots)
        pipeline = self.client.pipeline(transaction=True)
        pipeline.get(CURSOR_KEY)
        for start in range(0, len(wanted), FIELDS_PER_READ):
            pipeline.hmget(BALANCES_KEY, [field_of(slot) for slot in wanted[start : start + FIELDS_PER_READ]])
        cursor, *values = pipeline.execute()
        counters = zip(wanted, chain.from_iterable(values), strict=True)
        return Cursor.parse(cursor), {slot: _counters(slot, value) for slot, value in counters}

    def scan(self) -> Iterator[tuple[int, int]]:
        """All slots with their counters, in no order, in steps; what is written meanwhile may be seen or not.

        Raises:
            LedgerBroken: a field is no slot, or its value are no counters.
        """
        for field, value in self.client.hscan_iter(BALANCES_KEY, count=FIELDS_PER_READ):
            if len(field) != FIELD_BYTES:
                raise LedgerBroken(f"it has a balance under {field!r}, which names no account")
            slot = slot_of_field(field)
            yield slot, _counters(slot, value)

    def transfers(self, first: EntryId, last: EntryId, *, count: int) -> list[tuple[EntryId, bytes]]:
        """Entries with their packed transfers from `first` to `last`, oldest first, at most `count`."""
        return _parse_transfers(self.client.xrange(TRANSFERS_KEY, min=str(first), max=str(last), count=count))

    def last_transfers(self, last: EntryId | None = None, *, count: int) -> list[tuple[EntryId, bytes]]:
        """The newest `count` entries with their packed transfers, oldest first; up to `last` if one is given."""
        end = "+" if last is None else str(last)
        return _parse_transfers(self.client.xrevrange(TRANSFERS_KEY, max=end, count=count))[::-1]

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
            if len(lines) % INDEX_LINE.size:
                raise LedgerBroken(f"the index of account {owner} does not consist of whole lines")
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


def _counters(slot: int, value: bytes | None) -> int:
    """The counters of a slot; 0 where it is not stored.

    Raises:
        LedgerBroken: they have another length than the counters of this slot.
    """
    if value is not None and len(value) != slot_bytes(slot):
        raise LedgerBroken(
            f"the balance of account {slot_owner(slot)} in asset {slot_asset(slot)} has {len(value)} bytes"
            f" instead of {slot_bytes(slot)}"
        )
    return unpack_counters(value)


def _parse_transfers(reply: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> list[tuple[EntryId, bytes]]:
    entries = []
    for id, fields in reply:
        if list(fields) != [b"t"]:
            raise LedgerBroken(f"the transfers of entry {id.decode()} have the fields {list(fields)}")
        entries.append((EntryId.parse(id), fields[b"t"]))
    return entries
