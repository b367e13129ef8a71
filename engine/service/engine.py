"""The engine along the journal: read, verify, execute, publish.

It replays the journal from the beginning, comparing its own events with those in the store entry by entry, and then goes
on where the events end. Two engines may run at once: `publish` lets one be first, and the other finds that it agrees.

The core knows no clock. The process (`engine.service.process`) appends the ticks and watches the clocks.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from engine.journal import (
    BEGINNING,
    GENESIS_HEAD,
    ChainBroken,
    EntryId,
    JournalEntry,
    PublishedEntry,
    Source,
    Store,
    StoreSource,
    chain_head,
    check_consistent,
    check_follows,
    check_known,
    check_reaches,
    entry_digest,
    event_at,
    publish,
)
from engine.process.watermarks import known_heads
from engine.records import (
    EngineStop,
    MalformedRecord,
    check_version,
    is_sealed,
)
from engine.service.cores import ExchangeCore

ENTRIES_PER_READ = 64
UNRELEASED_VERSION = (1).to_bytes(2, "little")
START_AGAIN = "Format version 1 was never released: start a new venue (`jibek reset`)."
RESTORE = "Bytes have changed since the entry was appended: restore the store from a copy in which it is whole."


def check_whole(entry: JournalEntry) -> None:
    """Checks that the batch of an entry is the one that its producer sealed, in the format of this version.

    What was executed is secured by the chain; what was appended and not yet executed only by this. A bit that turned
    there would be executed and then chained as the truth. The core does not look at the CRC-32: that would cost a
    quarter of what it takes for a full batch, and only the service can say what to do about it.

    Raises:
        EngineStop: it is not; the text says what the operator can do.
    """
    try:
        check_version(entry.batch, "its batch")
        fault = "" if is_sealed(entry.batch) else "the CRC-32 of its batch is not that of its bytes"
    except MalformedRecord as error:
        fault = str(error)
    if fault:
        way_out = START_AGAIN if entry.batch[:2] == UNRELEASED_VERSION else RESTORE
        raise EngineStop(f"entry {entry.id}: {fault}. Nothing of it was executed or published. {way_out}")


class EngineService:
    """Carries the core along the journal.

    `cursor` and `head` are those of the last entry that the core has executed. An entry that was executed but not yet
    confirmed as published waits in `pending`; after a lost connection it is published again, which changes nothing
    if it was published already.
    """

    def __init__(self, client: Store, core: ExchangeCore, data: Path) -> None:
        self.client = client
        self.core = core
        self.data = data
        self.source: Source = StoreSource(client)
        self.cursor: EntryId = BEGINNING
        self.head = GENESIS_HEAD
        self.published: EntryId = BEGINNING
        self.published_head = GENESIS_HEAD
        self.pending: list[PublishedEntry] = []

    def execute(self, entry: JournalEntry) -> PublishedEntry:
        """Executes the next entry and moves cursor and head; returns the event entry to publish.

        Raises:
            ChainBroken: it is not the next entry.
            EngineStop: its bytes are not those that its producer sealed, or the core cannot go past it. An unexpected
                exception of the core is turned into one, with a dump.
        """
        check_whole(entry)
        check_follows(self.cursor, self.head, entry)
        try:
            data = self.core.execute(entry.time_us, entry.batch)
        except EngineStop as stop:
            raise EngineStop(f"entry {entry.id}: {stop}; see {self._dump(entry)}") from stop
        except Exception as error:
            raise EngineStop(f"entry {entry.id}: {error!r}; see {self._dump(entry)}") from error
        digest = entry_digest(entry)
        self.cursor, self.head = entry.id, chain_head(self.head, entry.id, digest, data)
        return PublishedEntry(self.cursor, self.head, digest, data)

    def recover(self) -> int:
        """Replays what has been executed before, comparing every byte of the events; returns the number of entries.

        Raises:
            BadWatermark: a watermark cannot be read.
            ChainBroken: the events differ from what the journal gives, or from what a watermark says.
        """
        known = known_heads(self.data, self.source)
        check_consistent(self.client)
        last = self.source.published()
        count = 0
        while self.cursor < last:
            entries, events = self.source.both(self.cursor, count=ENTRIES_PER_READ)
            if not entries:
                raise ChainBroken(f"journal or events end at {self.cursor}, but {last} was published")
            for entry, event in zip(entries, events, strict=False):
                if self.execute(entry) != event:
                    raise ChainBroken(f"the events of {entry.id} are not those that the journal gives")
                if known:
                    check_known(known, entry.id, self.head)
                count += 1
        self.published, self.published_head = self.cursor, self.head
        return count

    def step(self, block_ms: int | None) -> int:
        """Executes and publishes what the journal has next, and returns how many entries; if there are none, waits up to
        `block_ms` for some (None: not at all).

        Raises:
            redis.ConnectionError, redis.TimeoutError: the store is away; call `reconnected` once it is back.
        """
        if not self.pending:
            for entry in self.source.journal(self.cursor, count=ENTRIES_PER_READ, block_ms=block_ms):
                self.pending.append(self.execute(entry))
        return self._publish_pending()

    def reconnected(self) -> None:
        """Checks that the store still has what was published, that it is the same, and that what the store holds next to the
        streams agrees with them.

        Raises:
            ChainBroken: it does not.
        """
        check_reaches(self.source.published(), self.published)
        last = event_at(self.client, self.published)
        if last is not None:
            check_known({self.published: self.published_head}, last.id, last.head)
        check_consistent(self.client)

    def _publish_pending(self) -> int:
        count = len(self.pending)
        if count:
            publish(self.client, self.published, self.pending)
            self.published, self.published_head = self.pending[-1].id, self.pending[-1].head
            self.pending.clear()
        return count

    def _dump(self, entry: JournalEntry) -> Path:
        """Writes what is known about an entry that stopped the engine, for the person who will look into it."""
        path = self.data / f"engine-stopped-at-{entry.id}.txt"
        path.write_text(
            f"The engine stopped at journal entry {entry.id}, stamped {entry.time_us}.\n\n"
            f"Batch ({len(entry.batch)} bytes):\n{entry.batch.hex()}\n\n{traceback.format_exc()}"
        )
        return path
