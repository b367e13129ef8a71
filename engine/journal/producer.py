"""Appending batches to the journal, and waiting for the events that answer them."""

from __future__ import annotations

import time
from typing import Any

import redis

from engine.journal.ids import EntryId
from engine.journal.store import EPOCH_KEY, JOURNAL_KEY, OPERATOR_PRODUCER, Store, current_epoch, new_boot
from engine.journal.streams import read_events
from engine.records import BATCH_BYTES_MAX, BatchBuilder, Disposition, Event, EventEntry


class StaleEpoch(Exception):
    """The epoch has moved on: this process belongs to an earlier life of the venue and must stop."""


class StoreTimeout(Exception):
    """No answer in time: whether the commands were carried out is unknown."""


def append_call(epoch: int, batch: bytes, *, reducing: bool = False) -> tuple[Any, ...]:
    """Arguments of `execute_command` that append a batch; the answer is its id (`EntryId.parse`).

    `reducing` says that no command of the batch makes the venue hold more, so it may pass a full store.
    """
    assert len(batch) <= BATCH_BYTES_MAX
    function = "jibek_append_reducing" if reducing else "jibek_append"
    return ("FCALL", function, 2, EPOCH_KEY, JOURNAL_KEY, str(epoch), batch)


class Producer:
    """Appends batches and waits for their events: how the command line changes anything.

    A second producer of the same gateway number with a newer boot makes this one stale; `execute` then draws a new boot
    and sends again, which is safe because a stale batch is not executed.
    """

    def __init__(self, client: Store, gateway: int = OPERATOR_PRODUCER, *, boot: int | None = None) -> None:
        self.client = client
        self.gateway = gateway
        self.epoch = current_epoch(client)
        self.boot = new_boot(client) if boot is None else boot
        self.number = 0

    def execute(self, builder: BatchBuilder, *, timeout_s: float = 10.0) -> tuple[EntryId, EventEntry]:
        """Appends the batch and returns the id and the event entry that answers it.

        Raises:
            StoreTimeout: no event within `timeout_s`; whether it was carried out is unknown.
            StaleEpoch: the venue has begun a new epoch.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self.number += 1
            batch = builder.build(producer=self.gateway, incarnation=self.boot, number=self.number)
            id = self.append(batch)
            entry = self._await_event(id, deadline)
            if entry.header.disposition != Disposition.STALE:
                return id, entry
            self.boot, self.number = new_boot(self.client), 0

    def append(self, batch: bytes) -> EntryId:
        """Appends a finished batch without waiting for its events.

        Raises:
            StaleEpoch: the venue has begun a new epoch.
        """
        try:
            return EntryId.parse(self.client.execute_command(*append_call(self.epoch, batch, reducing=True)))
        except redis.ResponseError as error:
            if str(error).startswith("STALEEPOCH"):
                raise StaleEpoch(str(error)) from None
            raise

    def _await_event(self, id: EntryId, deadline: float) -> EventEntry:
        previous = EntryId(id.epoch, id.sequence - 1)
        while (left_s := deadline - time.monotonic()) > 0:
            found = read_events(self.client, previous, count=1, block_ms=max(1, int(min(left_s, 1.0) * 1000)))
            if found:
                return EventEntry(found[0].data)
        raise StoreTimeout(f"no answer to {id}: whether it was carried out is unknown; is the engine running?")


def first_event(entry: EventEntry, index: int = 0) -> Event:
    """The event that answers command `index` of the batch."""
    return next(event for event in entry if event.command_index == index)
