"""What the store holds next to the streams: it must agree with them (promise P5).

    {jibek}:epoch         is that of the last journal entry
    {jibek}:published     is the last event entry, and the journal reaches it
    {jibek}:producers     names for each producer its last batch; the last of all is the last journal entry
    {jibek}:incarnation   is at least that of every producer

The chain does not cover these keys, but a process that acts on a wrong one sends a batch twice, or waits for one that never was. A
batch has its producer, incarnation and number under its CRC-32, so the journal itself says what is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.journal.chain import ChainBroken
from engine.journal.ids import BEGINNING, EntryId, JournalEntry
from engine.journal.store import (
    EPOCH_KEY,
    EVENTS_KEY,
    INCARNATION_KEY,
    JOURNAL_KEY,
    PRODUCERS_KEY,
    PUBLISHED_KEY,
    ProducerRow,
    Store,
    appended_id,
    published_id,
    stored_number,
)
from engine.journal.streams import parse_journal
from engine.records import BATCH_HEADER, is_sealed


def check_consistent(client: Store) -> None:
    """Checks the keys next to the streams. Cost: two round trips.

    Raises:
        ChainBroken: one of them says something else than the streams; the text names it.
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    pipeline = client.pipeline(transaction=True)
    for key in (EPOCH_KEY, INCARNATION_KEY, PUBLISHED_KEY):
        pipeline.get(key)
    pipeline.hgetall(PRODUCERS_KEY)
    for stream in (JOURNAL_KEY, EVENTS_KEY):
        pipeline.xrevrange(stream, count=1)
    epoch, incarnation, published, rows, *last = pipeline.execute()
    appended_last, published_last = (EntryId.parse(found[0][0]) if found else BEGINNING for found in last)
    _check_equal(EPOCH_KEY, stored_number(epoch), "the epoch of the last journal entry", appended_last.epoch)
    _check_equal(PUBLISHED_KEY, published_id(published), "the last event entry", published_last)
    _check_equal(PRODUCERS_KEY, appended_id(list(rows.values())), "the last journal entry", appended_last)
    if appended_last < published_last:
        raise ChainBroken(f"the journal ends at {appended_last}, before the events, which end at {published_last}")
    _check_producers(client, rows, stored_number(incarnation))


def check_row(row: ProducerRow, found: Sequence[JournalEntry]) -> None:
    """Checks what the table of producers says of one of them.

    Args:
        found: the journal entry that the row names, if the journal has it.

    Raises:
        ChainBroken: the entry is not there, or is not this producer's last batch.
    """
    if row.last_id == BEGINNING and row.number == 0:
        return
    if not found or found[0].id != row.last_id or not is_sealed(found[0].batch):
        raise ChainBroken(
            f"{PRODUCERS_KEY} says that producer {row.producer} has appended {row.last_id}, and the journal has no such entry"
        )
    header = BATCH_HEADER.unpack_from(found[0].batch)
    if row.number:
        agrees = (header.incarnation, header.number) == (row.incarnation, row.number)
    else:
        agrees = header.incarnation < row.incarnation
    if header.producer != row.producer or not agrees:
        raise ChainBroken(
            f"{PRODUCERS_KEY} says that producer {row.producer} has appended batch {row.number} of incarnation "
            f"{row.incarnation} as {row.last_id}, but that is batch {header.number} of incarnation {header.incarnation} of "
            f"producer {header.producer}"
        )


def row_call(row: ProducerRow) -> tuple[Any, ...]:
    """Arguments of `execute_command` that read the journal entry which a row names; the answer is for `parse_journal`."""
    return ("XRANGE", JOURNAL_KEY, str(row.last_id), str(row.last_id))


def _check_producers(client: Store, values: dict[bytes, bytes], incarnation: int) -> None:
    rows = [ProducerRow.parse(name, value) for name, value in values.items()]
    pipeline = client.pipeline(transaction=False)
    for row in rows:
        pipeline.xrange(JOURNAL_KEY, min=str(row.last_id), max=str(row.last_id))
    for row, found in zip(rows, pipeline.execute(), strict=True):
        check_row(row, parse_journal(found))
        if row.incarnation > incarnation:
            raise ChainBroken(
                f"{INCARNATION_KEY} is {incarnation}, but producer {row.producer} has incarnation {row.incarnation}"
            )


def _check_equal(key: str, found: object, what: str, right: object) -> None:
    if found != right:
        raise ChainBroken(f"{key} is {found}, but {what} is {right}: it was changed")
