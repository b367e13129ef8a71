"""The hash chain over journal and events: it shows an entry that is missing, changed or out of order.

    head(n) = SHA-256(head(n-1) ‖ id ‖ SHA-256(stamp ‖ batch) ‖ SHA-256(event entry)),  head(0) = 32 zero bytes

The id is two little-endian 64-bit numbers, the stamp is one. Stamp and batch are the journal entry, and the event entry
holds the digest over them next to the head. So a reader of the events alone verifies them too (`EventChain`), at the cost
of one SHA-256 over their bytes; a reader of both also compares the digest with the journal.

The chain has no key: anyone who can write the store can compute it again, from the last head that was copied elsewhere.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

from engine.definitions import Rejected, read_epoch_start
from engine.journal.ids import BEGINNING, EntryId, JournalEntry, PublishedEntry
from engine.records import (
    CommandKind,
    EngineStop,
    EpochStart,
    EventEntry,
    EventKind,
    MalformedRecord,
    pack_parts,
    parse_batch,
)

GENESIS_HEAD = bytes(32)
NOTHING_KNOWN: Mapping[EntryId, bytes] = {}
NEVER = EntryId(2**64, 0)
"""An entry that no chain reaches."""

_ID = struct.Struct("<QQ")
_STAMP = struct.Struct("<q")


EXCERPT_MAX = 200
"""Characters of an unreadable reply that its error quotes."""


RESTORE_STORE = "restore the store from a copy in which it is whole"
"""What an operator does about bytes that have changed."""


class ChainBroken(Exception):
    """An entry is missing, changed or out of order; the text names its id."""


class EndsBefore(ChainBroken):
    """The store ends before what it has confirmed: it lost its tail, or it is an old copy. A process that runs waits until an
    operator has put the right one back."""


class UnreadableReply(ChainBroken):
    """The store answered a call with something that is no reply to it."""


def excerpt(reply: object) -> str:
    """The beginning of a reply, as an error quotes it."""
    text = repr(reply)
    return text if len(text) <= EXCERPT_MAX else f"{text[:EXCERPT_MAX]}…"


def entry_digest(entry: JournalEntry) -> bytes:
    """SHA-256 over the stamp and the batch of a journal entry, 32 bytes."""
    digest = hashlib.sha256(_STAMP.pack(entry.time_us))
    digest.update(entry.batch)
    return digest.digest()


def chain_head(previous: bytes, id: EntryId, digest: bytes, event_data: bytes) -> bytes:
    """The head of the chain at entry `id`, 32 bytes. Cost: one SHA-256 over the event entry, and a short one.

    Args:
        previous: the head before.
        digest: of the journal entry (`entry_digest`).
        event_data: the bytes of the event entry.
    """
    return hashlib.sha256(previous + _ID.pack(*id) + digest + hashlib.sha256(event_data).digest()).digest()


def check_follows(cursor: EntryId, head: bytes, entry: JournalEntry) -> None:
    """Checks that journal entry `entry` is the next one after `cursor`, at which the chain has `head` (promise P1).

    Raises:
        ChainBroken: it is neither (e, s+1) nor an epoch-start (e', 0) that continues this chain under our rules.
    """
    if _is_next(cursor, entry.id):
        return
    _check_epoch_start(cursor, head, entry.id, _epoch_start_of_batch(entry.batch))


def check_reaches(end: EntryId, reached: EntryId) -> None:
    """Checks that events that end at `end` still have the entry `reached`, which was published or read earlier.

    Raises:
        EndsBefore: they do not: the store lost its tail, or was restored from an old copy.
    """
    if end < reached:
        raise EndsBefore(f"the store ends at {end}, but {reached} was published: this is an old copy of the store")


class KnownHeads:
    """Heads that the chain must have, as watermarks name them. Cost for an entry that none of them names: 0.1 µs.

        if id >= known.next:
            known.check(id, head)

    Args:
        heads: the heads by entry.
        after: what comes up to here was compared before.
    """

    __slots__ = ("_heads", "next")

    def __init__(self, heads: Mapping[EntryId, bytes], after: EntryId = BEGINNING) -> None:
        self._heads = sorted(((id, head) for id, head in heads.items() if id > after), reverse=True)
        self.next = self._heads[-1][0] if self._heads else NEVER
        """The next entry that is named."""

    def check(self, id: EntryId, head: bytes) -> None:
        """Checks that the chain, which has reached entry `id`, has the heads that are named up to there.

        Raises:
            ChainBroken: it has another one, or has left a named entry out.
        """
        while self.next <= id:
            if self._heads[-1] != (id, head):
                raise ChainBroken(
                    f"the chain at {self.next} is not the one that was verified there before: the store is another one, or was "
                    "rewritten"
                )
            self._heads.pop()
            self.next = self._heads[-1][0] if self._heads else NEVER


class EventChain:
    """Verifies event entries that are read without their journal entries (promise P5).

    Args:
        cursor: the last entry that was verified; BEGINNING for none.
        head: the head of the chain at `cursor`; GENESIS_HEAD at the beginning.
        known: heads that the chain must have, by entry, as watermarks name them.
    """

    __slots__ = ("cursor", "head", "known")

    def __init__(
        self,
        cursor: EntryId = BEGINNING,
        head: bytes = GENESIS_HEAD,
        known: Mapping[EntryId, bytes] = NOTHING_KNOWN,
    ) -> None:
        self.cursor = cursor
        self.head = head
        self.known = KnownHeads(known, cursor)

    def check(self, published: PublishedEntry) -> None:
        """Verifies the next event entry and moves on to it. Cost: one SHA-256 over its bytes, 0.5 ns a byte.

        Raises:
            ChainBroken: it does not follow the last one, or it was changed; cursor and head stay where they were.
        """
        id = published.id
        if not _is_next(self.cursor, id):
            _check_epoch_start(self.cursor, self.head, id, _epoch_start_of_events(published.data))
        head = chain_head(self.head, id, published.digest, published.data)
        if head != published.head:
            raise ChainBroken(f"the hash chain breaks at {id}: {RESTORE_STORE}")
        if id >= self.known.next:
            self.known.check(id, head)
        self.cursor, self.head = id, head


def _is_next(cursor: EntryId, id: EntryId) -> bool:
    return id == (cursor.epoch, cursor.sequence + 1) and cursor != BEGINNING


def _epoch_start_of_batch(batch: bytes) -> bytes | None:
    """The blob of the command, if the batch is an epoch-start and nothing else."""
    try:
        _, commands, blobs = parse_batch(batch)
    except MalformedRecord:
        return None
    return blobs if len(commands) == 1 and commands[0].kind == CommandKind.EPOCH_START else None


def _epoch_start_of_events(data: bytes) -> bytes | None:
    """The blob of the event that says that an epoch has begun. Events of what was due by then may come before it."""
    try:
        entry = EventEntry(data)
        for event in entry:
            if event.kind == EventKind.EPOCH_STARTED:
                return pack_parts(*entry.parts(event))
    except MalformedRecord:
        pass
    return None


def _check_epoch_start(cursor: EntryId, head: bytes, id: EntryId, blob: bytes | None) -> None:
    """Checks that `blob`, of the entry `id`, begins an epoch that continues the chain at `cursor` and `head`.

    Raises:
        ChainBroken: it does not; the text says why not.
    """
    if id.epoch <= cursor.epoch or id.sequence != 0 or blob is None:
        raise ChainBroken(f"entry {id} does not follow {cursor}")
    try:
        start: EpochStart = read_epoch_start(blob)
    except (Rejected, EngineStop) as error:
        raise ChainBroken(f"entry {id} begins no epoch after {cursor}: {error}") from None
    previous = EntryId(start.previous_epoch, start.previous_sequence)
    if previous != cursor:
        raise ChainBroken(f"entry {id} does not follow {cursor}: it names {previous}")
    if start.previous_head != head:
        raise ChainBroken(f"entry {id} does not follow {cursor}: it names another head of the chain")
