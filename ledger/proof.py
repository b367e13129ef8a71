"""The proof of the stored balances, before settlement adds to them: the engine has the same ones.

The engine reports a digest of its balances when a STATE_REPORT is in the journal. The proof reads the stored balances, adds
in memory what the events up to the report have moved, and compares: what clients have and what is held for them with the
engine's, and everything per asset by double entry. It writes nothing but the STATE_REPORT.

If they differ, or if the engine gives no report for 5 s, the balances are computed from all events and compared counter by
counter. That takes as long as settling everything again, and says which account differs.
"""

from __future__ import annotations

import logging
import time

import redis

from engine.journal import (
    SETTLEMENT_PRODUCER,
    ChainBroken,
    EventReader,
    Producer,
    PublishedEntry,
    Source,
    Store,
    StoreTimeout,
)
from engine.records import BatchBuilder, Command, CommandKind, StateReport
from ledger.accounts import balance, slot_asset, slot_kinds, slot_owner
from ledger.checks import fault_of_balances, fault_of_sums
from ledger.entries import report_in
from ledger.fast_postings import post
from ledger.names import Names
from ledger.postings import net, unpack_transfers
from ledger.snapshot import Snapshot, add_changes, changes_of_parts
from ledger.store import RECONCILE, Cursor, LedgerBroken, LedgerStore

ENTRIES_PER_READ = 64
ENGINE_WAIT_S = 5.0
ASK_AGAIN_S = 1.0
APPEND_TIMEOUT_S = 1.0


class ReportRequest:
    """A STATE_REPORT in the journal. It is appended once; the engine answers it whenever it works."""

    def __init__(self, client: Store) -> None:
        self._client = client
        self._producer: Producer | None = None
        self._is_appended = False
        self._next_s = 0.0
        self.fault = ""
        """Why it is not in the journal."""

    def send(self) -> None:
        """Appends it, unless that is done, or was tried within the last second.

        Raises:
            redis.ConnectionError, redis.TimeoutError: the store is away.
            StaleEpoch, ChainBroken: as `Producer.append`.
        """
        now_s = time.monotonic()
        if self._is_appended or now_s < self._next_s:
            return
        self._next_s = now_s + ASK_AGAIN_S
        builder = BatchBuilder()
        builder.add(Command(kind=CommandKind.STATE_REPORT))
        try:
            if self._producer is None:
                self._producer = Producer(self._client, SETTLEMENT_PRODUCER)
            self._producer.append(builder, timeout_s=APPEND_TIMEOUT_S)
        except redis.OutOfMemoryError:
            self.fault = "the store is full"
        except StoreTimeout as error:
            self.fault = str(error)
        else:
            self._is_appended, self.fault = True, ""


class Proof:
    """Proves the balances of a snapshot, step by step.

    `snapshot` stays where it was taken. `is_done` says that its balances are right; until then `text` says why that is not
    known.

    Args:
        engine_wait_s: how long the engine may be silent before the balances are computed from the events instead; 0: it is not
            even asked.
    """

    def __init__(self, store: LedgerStore, snapshot: Snapshot, log: logging.Logger, engine_wait_s: float) -> None:
        self.snapshot = snapshot
        self._engine_wait_s = engine_wait_s
        self.is_done = False
        self._source = store.source
        self._log = log
        self._began_s = time.monotonic()
        self._request = ReportRequest(store.client)
        self._reader = EventReader(snapshot.cursor.id, snapshot.cursor.head)
        parts = changes_of_parts(self._source, snapshot.cursor, post)
        self._ahead = {slot: -change for slot, change in parts.items()}
        """What to add to the snapshot's counters to get those after the entry at which `_reader` is."""
        self._difference = ""
        """How the balances differ from the engine's."""
        self._walk: Walk | None = None

    @property
    def text(self) -> str:
        """Why the balances are not proved; empty if they are."""
        if self.is_done:
            return ""
        if self._difference:
            return f"{self._difference}: the events are read from the first one, to find which account differs"
        if self._walk is not None:
            return "the engine gives no report: the stored balances are compared with those that follow from the events"
        why = self._request.fault or "the engine has given no report yet"
        return f"the stored balances are not yet compared with the engine's: {why}"

    def step(self, block_ms: int | None) -> int:
        """Reads and compares on, and returns how many entries it has read; if there are none, waits up to `block_ms` for some
        (None: not at all).

        Raises:
            LedgerBroken: the balances are wrong; the text says which and what to do.
            ChainBroken, MalformedRecord, PostingError, StaleEpoch: what is there are no events of a sound venue.
            redis.ConnectionError, redis.TimeoutError: the store is away.
        """
        read = 0
        if not self._difference and self._engine_wait_s:
            self._request.send()
            read = self._read_ahead(None if self._walk is not None else block_ms)
        if not self.is_done and (self._difference or time.monotonic() - self._began_s >= self._engine_wait_s):
            read += self._walk_on()
        return read

    def _read_ahead(self, block_ms: int | None) -> int:
        page = self._reader.read(self._source, count=ENTRIES_PER_READ, block_ms=block_ms)
        for published in page:
            posted = post(published.data)
            if (found := report_in(published)) is not None:
                position, report = found
                before = net(each for each in unpack_transfers(posted.transfers) if each.event_index < position)
                self._compare(before, report, published)
                break
            add_changes(self._ahead, posted.changes)
        return len(page)

    def _compare(self, before: dict[int, int], report: StateReport, published: PublishedEntry) -> None:
        """Compares the balances as they are before the report; `before` is what its entry has moved until then."""
        counters = self.snapshot.counters
        ahead = dict(self._ahead)
        add_changes(ahead, before)
        add_changes(counters, ahead)
        fault = fault_of_sums(counters) or fault_of_balances(counters, report)
        add_changes(counters, {slot: -change for slot, change in ahead.items()})
        if fault:
            self._difference = f"the stored balances are wrong at entry {published.id} ({fault})"
        else:
            self._finish(f"the engine has the same at entry {published.id}")

    def _walk_on(self) -> int:
        if self._walk is None:
            self._walk = Walk(self.snapshot.cursor)
            self._log.warning("%s", self.text)
        read = self._walk.step(self._source)
        if self._walk.is_done:
            wrong = self._walk.differences(self.snapshot.counters)
            if wrong:
                raise LedgerBroken(f"the stored balances are not those of the events: {wrong}")
            if self._difference:
                raise LedgerBroken(f"{self._difference}, but they follow from the events", RECONCILE)
            self._finish("they follow from the events")
        return read

    def _finish(self, how: str) -> None:
        self.is_done = True
        self._walk = None
        seconds = time.monotonic() - self._began_s
        self._log.info("%d balances proved in %.1f s: %s", len(self.snapshot.counters), seconds, how)


class Walk:
    """The counters at a cursor, computed from all events."""

    def __init__(self, until: Cursor) -> None:
        self.is_done = False
        self._until = until
        self._reader = EventReader()
        self._counters: dict[int, int] = {}
        self._names = Names()

    def step(self, source: Source) -> int:
        """Reads on, and returns how many entries it has read.

        Raises:
            ChainBroken, MalformedRecord, PostingError: what is there are no events of a sound venue.
            LedgerBroken: the cursor is not in their chain.
        """
        left = source.count_between(self._reader.cursor, self._until.id)
        page = self._reader.read(source, count=min(ENTRIES_PER_READ, left)) if left else []
        for published in page:
            if published.id <= self._until.id:
                add_changes(self._counters, post(published.data).changes)
                self._names.apply(published.data)
        if left and not page:
            raise ChainBroken(f"the events end at {self._reader.cursor}, before {self._until.id}")
        if self._reader.cursor >= self._until.id:
            add_changes(self._counters, changes_of_parts(source, self._until, post))
            self.is_done = True
        return len(page)

    def differences(self, stored: dict[int, int]) -> str:
        """The first account whose stored counters are others, and how many more there are; empty for none."""
        computed = self._counters
        slots = sorted(slot for slot in stored.keys() | computed.keys() if stored.get(slot, 0) != computed.get(slot, 0))
        if not slots:
            return ""
        text = self._difference(slots[0], stored.get(slots[0], 0), computed.get(slots[0], 0))
        return text + (f", and {len(slots) - 1} more" if len(slots) > 1 else "")

    def _difference(self, slot: int, stored: int, computed: int) -> str:
        names = self._names
        asset = names.assets.get(slot_asset(slot))
        of = f"account {slot_owner(slot)} ({names.account(slot_owner(slot))}), "
        of += f"asset {slot_asset(slot)}" if asset is None else asset.name
        for kind in slot_kinds(slot):
            has, should_have = balance(stored, kind), balance(computed, kind)
            if has != should_have:
                amounts = (has, should_have) if asset is None else (asset.format(has), asset.format(should_have))
                return "{}: {} is stored as {}, and is {} by the events".format(of, kind.name.lower(), *amounts)
        return f"{of}: the balances are right, but not the sums of what came in and went out"
