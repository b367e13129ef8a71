"""Waiting until the gateway has read everything that is in the store now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.journal import BEGINNING, EntryId, published_call, published_id
from gateway.journal.writer import JournalWriter
from gateway.limits import WAITING_FOR_EVENTS_MAX
from gateway.venue_view import VenueView


class CatchUp:
    """Whose request depends on newer events waits here; at most `WAITING_FOR_EVENTS_MAX` at once."""

    def __init__(self, writer: JournalWriter, view: VenueView) -> None:
        self._writer = writer
        self._view = view
        self._asking = 0
        """Who has asked the store how far the events go."""
        self._waiting: list[tuple[EntryId, Callable[[], None]]] = []
        """Who knows it, and waits until they are read that far."""

    def wait(self, resume: Callable[[], None]) -> bool:
        """Calls `resume`, later, when everything that is in the store now has been read; False where that cannot be waited
        for: the store is away, or too many wait already."""
        if not self._writer.link.is_open or self._asking + len(self._waiting) >= WAITING_FOR_EVENTS_MAX:
            return False
        self._asking += 1
        self._writer.ask(published_call(), lambda reply: self._told(reply, resume))
        return True

    def _told(self, reply: Any, resume: Callable[[], None]) -> None:
        """Takes how far the events go. If the store did not say, what is known must do."""
        self._asking -= 1
        self._waiting.append((published_id(reply) if isinstance(reply, bytes) else BEGINNING, resume))
        self.moved()

    def moved(self) -> None:
        """Further events have been read, or it became known how far somebody waits."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for id, resume in waiting:
            if id > self._view.cursor:
                self._waiting.append((id, resume))
            else:
                resume()
