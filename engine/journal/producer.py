"""Appending batches to the journal, each once, and waiting for the events that answer them.

The store has one table of producers: under which incarnation each speaks, and the number of its last batch. It refuses
anything but the next batch of the incarnation in force, so a batch that was sent twice, late, or by a process that has
a successor never gets into the journal again (promises P1 and P8).
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from engine.journal.chain import ChainBroken, UnreadableReply, excerpt
from engine.journal.consistency import check_row, row_call
from engine.journal.ids import BEGINNING, EntryId
from engine.journal.marks import Mark
from engine.journal.passing import passes, reason_of
from engine.journal.source import event_at, read_events, read_journal
from engine.journal.store import (
    EPOCH_KEY,
    INCARNATION_KEY,
    JOURNAL_KEY,
    PRODUCERS_KEY,
    ProducerRow,
    Store,
    answered_id,
    current_epoch,
)
from engine.journal.streams import parse_journal
from engine.producers import OPERATOR_PRODUCER
from engine.records import (
    BATCH_BYTES_MAX,
    BATCH_HEADER,
    BatchBuilder,
    CommandKind,
    Disposition,
    Event,
    EventEntry,
)

RETRY_S = 0.02
"""How long to wait before the store is tried again."""
PASSES_FULL_STORE = frozenset(
    {
        CommandKind.TIME_TICK,
        CommandKind.MARKET_STATE_SET,
        CommandKind.TIME_ACCEPT,
        CommandKind.ACCOUNT_FREEZE,
        CommandKind.ACCOUNT_UNFREEZE,
        CommandKind.KEY_REVOKE,
        CommandKind.DEPOSIT,
        CommandKind.WITHDRAW,
        CommandKind.ORDER_CANCEL,
        CommandKind.ORDER_CANCEL_ALL,
        CommandKind.STATE_REPORT,
    }
)
"""What the venue's own processes and its operators may do though the store is full. It adds no name, no key and no order."""
CONTENTION_S_MAX = 0.01
"""Two producers of one name that take it from each other in step would go on for ever; so each waits a random time."""


class StaleEpoch(Exception):
    """The epoch has moved on: this process belongs to an earlier life of the venue and must stop."""


class StoreTimeout(Exception):
    """No answer in time. Unless the text says that nothing was sent, whether the commands were executed is unknown."""


class OutcomeUnknown(StoreTimeout):
    """A batch was sent, and whether it was or will be executed cannot be found out: it must not be sent again by itself."""

    def __init__(self, text: str, id: EntryId | None = None) -> None:
        """
        Args:
            id: the entry that has it in the journal; None if that is unknown, too.
        """
        super().__init__(text)
        self.id = id


def append_call(epoch: int, batch: bytes, *, reducing: bool = False, marks: Sequence[Mark] = ()) -> tuple[Any, ...]:
    """Arguments of `execute_command` that append a batch; the answer is its id (`answered_id`), or one of

        STALEEPOCH epoch    another epoch is in force
        STALE incarnation   its producer was opened again, under that incarnation
        THERE last-id       this number or a later one is in the journal; the id is that of the producer's last batch
        GAP last-number     the number is not the next one
        USED place …        these of the `marks` were set already, or come twice; the first is 0
        OOM ...             the store is at its memory limit; if the batch is `reducing`, the reserve is used up, too

    and then nothing was written. `reducing` says that the batch may pass a full store, into the reserve beyond the limit. It
    costs the store more, so it is for a batch that was refused without it. `marks` are those of the signatures by which
    commands of the batch were accepted.
    """
    assert len(batch) <= BATCH_BYTES_MAX
    header = BATCH_HEADER.unpack_from(batch)
    function = "jibek_append_reducing" if reducing else "jibek_append"
    sender = (str(header.producer), str(header.incarnation), str(header.number))
    if not marks:
        return ("FCALL", function, 3, EPOCH_KEY, JOURNAL_KEY, PRODUCERS_KEY, str(epoch), *sender, batch)
    keys = (EPOCH_KEY, JOURNAL_KEY, PRODUCERS_KEY, *(mark.name for mark in marks))
    lifetimes = (part for mark in marks for part in (mark.method, str(mark.lifetime_ms)))
    return ("FCALL", function, len(keys), *keys, str(epoch), *sender, batch, *lifetimes)


def check_takes_writes(client: Store) -> None:
    """Calls a function of the venue that may write, and writes nothing, because it names no epoch. A store refuses such a call
    before it begins: as a replica, for want of replicas, or because its disk or its reserve is full. Cost: one round trip.

    Raises:
        redis.ResponseError: the store refuses it, in its own words.
        UnreadableReply: it was carried out.
    """
    keys = (EPOCH_KEY, JOURNAL_KEY, PRODUCERS_KEY)
    try:
        answer = client.execute_command("FCALL", "jibek_append_reducing", len(keys), *keys, "none", "0", "0", "0", b"")
    except redis.ResponseError as error:
        if not str(error).startswith("STALEEPOCH "):
            raise
    else:
        raise UnreadableReply(f"the store answered {excerpt(answer)} to a batch of no epoch")


def open_call(producer: int) -> tuple[Any, ...]:
    """Arguments of `execute_command` that open a producer; the answer is an `Opening`."""
    return ("FCALL", "jibek_open_producer", 2, PRODUCERS_KEY, INCARNATION_KEY, str(producer))


class Opening(NamedTuple):
    """What the store answers to a producer that opens: from then on it refuses every copy of an older batch."""

    incarnation: int
    """Under which the producer speaks from now on, with batches from number 1."""
    old_incarnation: int
    """Under which it, or another process in its name, was open before; 0 for none."""
    last_number: int
    """The last batch of the old incarnation in the journal; 0 for none."""
    last_id: EntryId
    """The id of the producer's last batch, of any incarnation; 0-0 for none."""

    @classmethod
    def parse(cls, answer: Any) -> Opening:
        """What is said of the old incarnation is believed once `check_row` has compared it with the journal.

        >>> Opening.parse([b"8", b"7", b"2", b"1-20"]).last_id
        EntryId(epoch=1, sequence=20)

        Raises:
            UnreadableReply: it is no answer to `open_call`.
        """
        try:
            incarnation, old_incarnation, last_number, last_id = answer
            return cls(int(incarnation), int(old_incarnation), int(last_number), EntryId.parse(last_id))
        except (TypeError, ValueError, AttributeError):
            raise UnreadableReply(f"the store answered a producer that opens with {excerpt(answer)}") from None

    def row(self, producer: int) -> ProducerRow:
        """What it says of the old incarnation of the producer."""
        return ProducerRow(producer, self.old_incarnation, self.last_number, self.last_id)


class Producer:
    """Appends batches and waits for their events: how every process but a gateway changes anything.

    It opens at once, and again after each lost connection and whenever another process has opened in its name: several
    command lines may run at the same time. Every batch is added once or not at all, and `execute` finds out which.

    Args:
        producer: in whose name; VENUE_PRODUCER, OPERATOR_PRODUCER or ENGINE_PRODUCER.

    Raises:
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """

    def __init__(self, client: Store, producer: int = OPERATOR_PRODUCER) -> None:
        self.client = client
        self.producer = producer
        self.epoch = current_epoch(client)
        self.incarnation = 0
        self.number = 0
        """Of the last batch that was added under this incarnation."""
        self.last_id: EntryId = BEGINNING
        """The id of the producer's last batch, as far as is known here."""
        self.is_under_way = False
        """Whether the last batch was sent, and it is not known that it was refused or lost on the way."""
        self._is_open = False
        self._lost: tuple[bytes, EntryId] | None = None
        """The batch that was on its way when the connection was lost, and the producer's last batch before it."""
        self._open()

    def execute(self, builder: BatchBuilder, *, timeout_s: float = 10.0) -> tuple[EntryId, EventEntry]:
        """Appends a batch and returns the id and the event entry that answers it. Outlives a lost connection, and once the
        batch is under way also a store that cannot serve for a while.

        Raises:
            OutcomeUnknown: the batch was sent, and then no event came within `timeout_s`, or the store failed.
            StoreTimeout: nothing of it was sent, or it was not added.
            StaleEpoch, ChainBroken, redis.ResponseError: the store refused it, or has lost an earlier batch. It was not added.
        """
        deadline_s = time.monotonic() + timeout_s
        self.is_under_way = False
        while True:
            try:
                id = self._append_surely(builder, deadline_s)
                entry = self._await_event(id, deadline_s)
            except (ChainBroken, StaleEpoch, redis.ResponseError) as error:
                if not self.is_under_way:
                    raise
                raise OutcomeUnknown(f"whether it was executed is unknown: {reason_of(error)}") from error
            if entry.header.disposition != Disposition.STALE:
                return id, entry
            self._is_open = self.is_under_way = False

    def append(self, builder: BatchBuilder, *, timeout_s: float = 10.0) -> EntryId:
        """Appends a batch without waiting for its events.

        Raises:
            redis.ConnectionError, redis.TimeoutError: the connection was lost. Whether the batch was added is unknown; it
                never will be once the producer has opened again, which the next call does.
            StoreTimeout: others opened in the producer's name again and again for `timeout_s`. It was not added.
            StaleEpoch: the venue has begun a new epoch.
            ChainBroken: the store has lost a batch that it had confirmed.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            if not self._is_open:
                self._open()
            id = self._send(builder)
            if id is not None:
                return id
            if time.monotonic() > deadline_s:
                raise StoreTimeout(f"others speak as producer {self.producer} all the time: nothing was executed")
            time.sleep(random.uniform(0.0, CONTENTION_S_MAX))

    def wait_for(self, id: EntryId, *, timeout_s: float = 10.0) -> EventEntry:
        """The event entry that answers journal entry `id`.

        Raises:
            StoreTimeout: it did not come.
        """
        return self._await_event(id, time.monotonic() + timeout_s)

    def _open(self) -> None:
        opening = Opening.parse(self.client.execute_command(*open_call(self.producer)))
        row = opening.row(self.producer)
        check_row(row, parse_journal(self.client.execute_command(*row_call(row))))
        if opening.last_id < self.last_id:
            raise ChainBroken(
                f"the store ends before {self.last_id}, which it had confirmed: this is an old copy of it"
            )
        self.incarnation, self.number, self.last_id = opening.incarnation, 0, opening.last_id
        self._is_open = True

    def _send(self, builder: BatchBuilder) -> EntryId | None:
        """Sends a batch under the next number; None if it was refused because the producer must open again."""
        batch = builder.build(producer=self.producer, incarnation=self.incarnation, number=self.number + 1)
        self.is_under_way = True
        try:
            answer = self._append(builder, batch)
        except (redis.ConnectionError, redis.TimeoutError):
            self._is_open, self._lost = False, (batch, self.last_id)
            raise
        except redis.ResponseError as error:
            code, _, detail = str(error).partition(" ")
            # A refusal says that nothing was written.
            self.is_under_way = code == "THERE"
            if code == "STALEEPOCH":
                raise StaleEpoch(f"the epoch in force is {detail}, and this process belongs to {self.epoch}") from None
            if code in ("STALE", "GAP"):
                self._is_open = False
                return None
            if code != "THERE":
                raise
            # Only this batch has this number, so the producer's last batch is this one.
            answer = detail
        self.number += 1
        self.last_id = answered_id(answer)
        return self.last_id

    def _append(self, builder: BatchBuilder, batch: bytes) -> Any:
        """Appends a batch; one that a full store refuses goes into the reserve, if its commands may."""
        try:
            return self.client.execute_command(*append_call(self.epoch, batch))
        except redis.OutOfMemoryError:
            if not all(command[0] in PASSES_FULL_STORE for command in builder.commands):
                raise
            return self.client.execute_command(*append_call(self.epoch, batch, reducing=True))

    def _append_surely(self, builder: BatchBuilder, deadline_s: float) -> EntryId:
        """Appends a batch; if the connection is lost, finds out whether it is in, and sends it again if not."""
        self._lost = None
        while True:
            try:
                if self._lost is not None and (id := self._find_lost(*self._lost)) is not None:
                    return id
                return self.append(builder, timeout_s=deadline_s - time.monotonic())
            except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
                is_away = isinstance(error, redis.ConnectionError | redis.TimeoutError)
                if not is_away and not (self.is_under_way and passes(error)):
                    raise
                if time.monotonic() > deadline_s:
                    if not self.is_under_way:
                        raise StoreTimeout(f"nothing was executed: {reason_of(error)}") from None
                    raise OutcomeUnknown(f"whether it was executed is unknown: {reason_of(error)}") from None
                time.sleep(RETRY_S)

    def _find_lost(self, batch: bytes, last_id: EntryId) -> EntryId | None:
        """Opens again and returns the id of the batch that was on its way after `last_id`; None if it was not added.

        Raises:
            OutcomeUnknown: others have added batches in the producer's name since, so it cannot be found out.
        """
        self._open()
        if self.last_id != last_id:
            # `_open` has found the entry: it is in the journal.
            [entry] = read_journal(self.client, _before(self.last_id), count=1)
            if entry.batch != batch:
                raise OutcomeUnknown("the connection was lost: whether it was executed is unknown")
            return entry.id
        self._lost, self.is_under_way = None, False
        return None

    def _await_event(self, id: EntryId, deadline_s: float) -> EventEntry:
        previous = _before(id)
        while (left_s := deadline_s - time.monotonic()) > 0:
            try:
                found = read_events(self.client, previous, count=1, block_ms=max(1, int(min(left_s, 1.0) * 1000)))
                entry = event_at(self.client, id) if found else None
            except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError) as error:
                if not passes(error):
                    raise
                time.sleep(min(left_s, RETRY_S))
                continue
            if entry is not None:
                return EventEntry(entry.data)
            if found:
                raise ChainBroken(f"the events go on at {found[0].id}, and {id} is not among them")
        raise OutcomeUnknown(f"no answer to {id} (is the engine running?): whether it was executed is unknown", id)


def _before(id: EntryId) -> EntryId:
    """The largest possible id before `id`, from which a read finds it first."""
    return EntryId(id.epoch, id.sequence - 1) if id.sequence else EntryId(id.epoch - 1, 2**64 - 1)


def first_event(entry: EventEntry, index: int = 0) -> Event:
    """The event that answers command `index` of the batch."""
    return next(event for event in entry if event.command_index == index)
