"""The link by which the gateway reads: one XREAD of the events always waits in the store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import hiredis

from engine.journal import EventReader, StoreRefused, check_reaches, published_call, published_id
from engine.process.follower import is_not_ready
from gateway.journal.intake import Intake
from gateway.journal.kept_link import KeptLink
from gateway.journal.link import StoreLink
from gateway.limits import BLOCK_MS, ENTRIES_PER_READ


class EventsLink:
    """Reads the events in their order, and gives each entry to the intake.

    Args:
        reader: verifies them; begins at the view's cursor.
        taken: called after the entries of a read were taken in.
        broken: called with what ends the process: going on would break a promise.
    """

    def __init__(
        self,
        url: str,
        reader: EventReader,
        intake: Intake,
        *,
        taken: Callable[[], None],
        broken: Callable[[BaseException], None],
        log: logging.Logger,
    ) -> None:
        self._reader = reader
        self._intake = intake
        self._taken = taken
        self._broken = broken
        self._has_ended = False
        self.link = KeptLink(
            url, log, opened=self._check_reaches, ready=self._read_on, lost=lambda: None, broken=broken
        )

    async def _check_reaches(self, link: StoreLink) -> None:
        """The store must still have what was read from it.

        Raises:
            ChainBroken: it ends before.
        """
        check_reaches(published_id(await link.ask(*published_call())), self._reader.cursor)

    def _read_on(self) -> None:
        self.link.send(self._reader.call(count=ENTRIES_PER_READ, block_ms=BLOCK_MS), self._arrived)

    def _arrived(self, reply: Any) -> None:
        if self._has_ended:
            return
        if isinstance(reply, hiredis.ReplyError):
            self._refused(str(reply))
            return
        try:
            entries = self._reader.take(reply)
            # The next read is under way while these entries are applied.
            if self.link.is_open:
                self._read_on()
            for published in entries:
                self._intake.take(published)
        except Exception as failure:
            self._has_ended = True
            self._broken(failure)
        else:
            if entries:
                self._taken()

    def _refused(self, text: str) -> None:
        """Reads on over another link if the refusal passes; if it does not, this process will never see another entry."""
        if is_not_ready(text):
            self.link.drop(text)
        else:
            self._has_ended = True
            self._broken(StoreRefused(f"read: {text}"))
