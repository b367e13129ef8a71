"""The hash chain over journal and events: who reads an entry knows that nothing is missing, changed or out of order.

    head(n) = SHA-256(head(n-1) ‖ id(n) ‖ journal entry(n) ‖ event entry(n)),  head(0) = 32 zero bytes

where an id is two little-endian 64-bit numbers and a journal entry its stamp (64 bits) and its batch.
"""

from __future__ import annotations

import hashlib
import struct

from engine.journal.ids import BEGINNING, EntryId, JournalEntry
from engine.records import EPOCH_START, CommandKind, parse_batch

GENESIS_HEAD = bytes(32)


class ChainBroken(Exception):
    """An entry is missing, changed or out of order; the text names its id."""


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
