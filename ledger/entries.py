"""What an event entry says to the ledger: what it leaves there by the rules of posting, and what the engine reports in it."""

from __future__ import annotations

from collections.abc import Callable

from engine.journal import EntryId, PublishedEntry
from engine.records import EVENT_BYTES, EVENT_HEADER, STATE_REPORT, EventEntry, EventKind, MalformedRecord, StateReport
from ledger.postings import Posted, PostingError
from ledger.store import Cursor, LedgerBroken, Writes


def writes_of(entry: PublishedEntry, post: Callable[[bytes], Posted]) -> Writes:
    """What an event entry leaves in the ledger.

    Args:
        post: `ledger.postings.post`, or its compiled twin.

    Raises:
        PostingError, MalformedRecord: the entry cannot be settled; the text names it.
    """
    try:
        posted = post(entry.data)
        return Writes.of_entry(entry.id, posted.transfers, posted.changes)
    except (PostingError, MalformedRecord) as error:
        raise type(error)(f"entry {entry.id}: {error}") from None


def split_at(cursor: Cursor, writes: Writes, id: EntryId) -> list[Writes]:
    """The parts of the writes of entry `id`, which follows `cursor`.

    Raises:
        LedgerBroken: the ledger has some of them, and they were another number.
    """
    parts = writes.split()
    if cursor.part and cursor.parts != len(parts):
        raise LedgerBroken(
            f"the ledger is at part {cursor.part} of {cursor.parts} after {cursor.id}, "
            f"but entry {id} has {len(parts)} parts: it was begun by another version"
        )
    return parts


def report_in(published: PublishedEntry) -> tuple[int, StateReport] | None:
    """The engine's report in an event entry, and its place among the events; None for nearly all entries.

    Cost: one slice of the bytes for an entry without one.
    """
    if EventKind.STATE_REPORTED not in published.data[EVENT_HEADER.size :: EVENT_BYTES]:
        return None
    entry = EventEntry(published.data)
    for position, event in enumerate(entry):
        if event.kind == EventKind.STATE_REPORTED:
            return position, STATE_REPORT.unpack_from(entry.parts(event)[0])
    return None
