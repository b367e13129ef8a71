"""The engine's process: journal → core → events.

    python -m engine.service --store unix:///run/jibek/store.sock --data jibek-data --engine compiled

It replays the journal from the beginning, comparing its own events with those in the store entry by entry, and then goes
on where the events end. Two engines may run at once: `publish` lets one be first, and the other finds that it agrees.

The core knows no clock. This process appends a tick when the core waits for a time and the journal is silent
(`engine.service.ticker`), and halts the venue where the clocks part (`engine.service.clock_guard`).
"""

from __future__ import annotations

import argparse
import time
import traceback
from pathlib import Path

import redis

from engine.journal import (
    BEGINNING,
    GENESIS_HEAD,
    PUBLISHED_KEY,
    ChainBroken,
    Diverged,
    EntryId,
    JournalEntry,
    PublishedEntry,
    StaleEpoch,
    Store,
    StoreRefused,
    StoreTimeout,
    StreamReader,
    chain_head,
    check_follows,
    check_published,
    connect,
    entry_digest,
    prepare_store,
    publish_call,
    read_events,
    read_journal,
)
from engine.process import (
    EXIT_GOOD,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    StopRequest,
    add_store_argument,
    report_ready,
    set_up,
    stop_on_signals,
)
from engine.records import (
    EngineStop,
    MalformedRecord,
    check_version,
    is_sealed,
)
from engine.service.clock_guard import ClockGuard
from engine.service.cores import ExchangeCore, make_core
from engine.service.own_producer import OwnProducer
from engine.service.ticker import BLOCK_MS, Ticker
from engine.service.watermark import WatermarkWriter, read_watermark

ENTRIES_PER_READ = 64
RETRY_S_MAX = 1.0
UNRELEASED_VERSION = (1).to_bytes(2, "little")
START_ANEW = "Format version 1 was never released: start a new venue (`jibek reset`)."
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
        way_out = START_ANEW if entry.batch[:2] == UNRELEASED_VERSION else RESTORE
        raise EngineStop(f"entry {entry.id}: {fault}. Nothing of it was executed or published. {way_out}")


class EngineService:
    """Carries the core along the journal.

    `cursor` and `head` are those of the last entry that the core has executed. An entry that was executed but not yet
    confirmed as published waits in `pending`; after a lost connection it is published again, which changes nothing
    where it was published already.
    """

    def __init__(self, client: Store, core: ExchangeCore, data: Path) -> None:
        self.client = client
        self.core = core
        self.data = data
        self._reader = StreamReader(client)
        self.cursor: EntryId = BEGINNING
        self.head = GENESIS_HEAD
        self.published: EntryId = BEGINNING
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
            ChainBroken: the events differ from what the journal gives, or the store ends before its watermark.
        """
        mark, mark_head = read_watermark(self.data)
        last = EntryId.parse(self.client.get(PUBLISHED_KEY) or b"0-0")
        if last < mark:
            raise ChainBroken(f"the store ends at {last}, but {mark} was published: this is an old copy of the store")
        count = 0
        while self.cursor < last:
            entries = read_journal(self.client, self.cursor, count=ENTRIES_PER_READ)
            events = read_events(self.client, self.cursor, count=ENTRIES_PER_READ)
            if not entries or not events:
                raise ChainBroken(f"journal or events end at {self.cursor}, but {last} was published")
            for entry, event in zip(entries, events, strict=False):
                if self.execute(entry) != event:
                    raise ChainBroken(f"the events of {entry.id} are not those that the journal gives")
                if entry.id == mark and self.head != mark_head:
                    raise ChainBroken(f"the chain at {mark} is not the one that was published")
                count += 1
        self.published = self.cursor
        return count

    def step(self, block_ms: int | None) -> bool:
        """Executes and publishes what the journal has next; True where there was something. Waits up to `block_ms` for it,
        None not at all.

        Raises:
            redis.ConnectionError, redis.TimeoutError: the store is away; call `reconnected` once it is back.
        """
        if not self.pending:
            for entry in self._reader.journal(self.cursor, count=ENTRIES_PER_READ, block_ms=block_ms):
                self.pending.append(self.execute(entry))
        return self._publish_pending()

    def reconnected(self) -> None:
        """Checks that the store still has what it had.

        Raises:
            ChainBroken: it has lost entries that were published.
        """
        last = EntryId.parse(self.client.get(PUBLISHED_KEY) or b"0-0")
        if last < self.published:
            raise ChainBroken(f"the store came back at {last}, but {self.published} was published")

    def _publish_pending(self) -> bool:
        if not self.pending:
            return False
        pipeline = self.client.pipeline(transaction=False)
        previous = self.published
        for entry in self.pending:
            pipeline.execute_command(*publish_call(previous, entry))
            previous = entry.id
        for entry, answer in zip(self.pending, pipeline.execute(), strict=True):
            check_published(entry.id, answer)
            self.published = entry.id
        self.pending.clear()
        return True

    def _dump(self, entry: JournalEntry) -> Path:
        """Writes what is known about an entry that stopped the engine, for the person who will look into it."""
        path = self.data / f"engine-stopped-at-{entry.id}.txt"
        path.write_text(
            f"The engine stopped at journal entry {entry.id}, stamped {entry.time_us}.\n\n"
            f"Batch ({len(entry.batch)} bytes):\n{entry.batch.hex()}\n\n{traceback.format_exc()}"
        )
        return path


def serve(service: EngineService, stop: StopRequest) -> None:
    """Runs until the stop is requested; outlives the store."""
    producer = OwnProducer(service.client)
    guard = ClockGuard(service.client, service.core, producer)
    ticker = Ticker(service.client, service.core, producer)
    watermark = WatermarkWriter(service.data)
    retry_s = 0.0
    wait_ms: int | None = BLOCK_MS
    try:
        while not stop:
            try:
                if retry_s:
                    service.reconnected()
                    retry_s = 0.0
                if service.step(wait_ms):
                    watermark.note(service.published, service.head)
                    wait_ms = ticker.wait_ms()
                else:
                    wait_ms = ticker.tick_if_due()
                guard.check(time.monotonic(), time.time())
            except (redis.ConnectionError, redis.TimeoutError, StoreTimeout):
                retry_s = min(RETRY_S_MAX, 2 * retry_s or 0.02)
                stop.wait(retry_s)
    finally:
        watermark.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="engine.service", description="The matching engine of a Jibek venue.")
    add_store_argument(parser)
    parser.add_argument("--data", required=True, type=Path, help="data folder of the venue")
    parser.add_argument("--engine", choices=("compiled", "reference"), default="compiled")
    options = parser.parse_args(arguments)
    log = set_up("engine")
    stop = stop_on_signals()
    client = connect(options.store)
    try:
        prepare_store(client)
        core = make_core(options.engine)
        service = EngineService(client, core, options.data)
        began_s = time.monotonic()
        count = service.recover()
        log.info("replayed %d entries in %.3f s to %s", count, time.monotonic() - began_s, service.cursor)
        report_ready(cursor=str(service.cursor), state_hash=core.state_hash().hex())
        serve(service, stop)
    except (StoreRefused, ChainBroken, Diverged, StaleEpoch, EngineStop, ValueError) as error:
        log.error("%s: %s", type(error).__name__, error)
        return EXIT_REFUSED
    except (redis.ConnectionError, redis.TimeoutError) as error:
        log.error("the store cannot be reached: %s", error)
        return EXIT_UNREACHABLE
    log.info("stopped at %s", service.cursor)
    return EXIT_GOOD
