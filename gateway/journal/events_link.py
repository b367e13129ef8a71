"""The link by which the gateway reads: one XREAD of the events always waits in the store."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

from engine.journal import (
    EntryId,
    EventReader,
    PublishedEntry,
    StoreRefused,
    check_reaches,
    published_call,
    published_id,
)
from engine.journal.passing import is_not_ready
from gateway.journal.intake import Intake
from gateway.journal.kept_link import KeptLink
from gateway.journal.link import StoreLink
from gateway.limits import BLOCK_MS, ENTRIES_PER_READ, INTAKE_S


class EventsLink:
    """Reads the events in their order, and gives each entry to the intake.

    Args:
        reader: verifies them; begins at the view's cursor.
        taken: called after the entries of a read were taken in.
        verified: takes how far the events are verified, and the head of the chain there; must not wait.
        broken: called with what ends the process: going on would break a promise.
    """

    def __init__(
        self,
        url: str,
        reader: EventReader,
        intake: Intake,
        *,
        taken: Callable[[], None],
        verified: Callable[[EntryId, bytes], None],
        broken: Callable[[BaseException], None],
        log: logging.Logger,
    ) -> None:
        self._reader = reader
        self._intake = intake
        self._taken = taken
        self._verified = verified
        self._broken = broken
        self._has_ended = False
        self._entries: deque[PublishedEntry] = deque()
        """Entries that were read and are yet to be taken in; at most two reads of them."""
        self._loop = asyncio.get_running_loop()
        self._is_amid = False
        """Whether an entry is taken in in part."""
        self._is_reading = False
        self.link = KeptLink(url, log, opened=self._check_reaches, ready=self._opened, lost=lambda: None, broken=broken)

    async def _check_reaches(self, link: StoreLink) -> None:
        """The store must still have what was read from it.

        Raises:
            EndsBefore: it has not.
        """
        check_reaches(published_id(await link.ask(*published_call())), self._reader.cursor)

    def _opened(self) -> None:
        self._is_reading = False
        self._read_on()

    def _read_on(self) -> None:
        """Asks for the next entries, unless that is under way, or many are yet to be taken in."""
        if self.link.is_open and not self._is_reading and len(self._entries) <= ENTRIES_PER_READ:
            self._is_reading = True
            self.link.send(self._reader.call(count=ENTRIES_PER_READ, block_ms=BLOCK_MS), self._arrived)

    def _arrived(self, reply: Any) -> None:
        self._is_reading = False
        if self._has_ended:
            return
        if isinstance(reply, hiredis.ReplyError):
            self._refused(str(reply))
            return
        is_taking = self._is_amid or bool(self._entries)
        try:
            entries = self._reader.take(reply)
        except Exception as failure:
            self._end(failure)
            return
        if entries:
            self._entries += entries
            self._verified(self._reader.cursor, self._reader.head)
        # The next read is under way while these entries are taken in.
        self._read_on()
        if self._entries and not is_taking:
            self._take_some()

    def _take_some(self) -> None:
        """Takes in entries for a while; then clients have their turn."""
        if self._has_ended:
            return
        ends_s = time.perf_counter() + INTAKE_S
        try:
            while self._is_amid or self._entries:
                if not self._is_amid:
                    self._intake.begin(self._entries.popleft())
                self._is_amid = not self._intake.go_on()
                if time.perf_counter() >= ends_s:
                    break
        except Exception as failure:
            self._end(failure)
            return
        self._taken()
        if self._is_amid or self._entries:
            self._loop.call_soon(self._take_some)
        self._read_on()

    def _refused(self, text: str) -> None:
        """Reads on over another link if the refusal passes; if it does not, this process will never see another entry."""
        if is_not_ready(text):
            self.link.drop(text)
        else:
            self._end(StoreRefused(f"read: {text}"))

    def _end(self, failure: Exception) -> None:
        self._has_ended = True
        self._broken(failure)
