"""Waiting until the gateway has read everything that was published, or appended, when somebody asked.

PUBLISHED   the events that others may have seen by then
APPENDED    the events of everything in the journal by then, also of what the engine has still to execute
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from engine.journal import EntryId, appended_call, appended_id, published_call, published_id
from gateway.auth.sessions import Caller
from gateway.journal.pipeline import Pipeline
from gateway.journal.writer import JournalWriter
from gateway.venue_view import VenueView

Resume = Callable[[bool], None]
"""Goes on with a caller that waited; with whether the gateway has caught up, which it cannot while the store is away."""


class Question(NamedTuple):
    """How far the gateway has to read."""

    call: tuple[Any, ...]
    """What the store is asked."""
    id_in: Callable[[Any], EntryId]
    """The entry in its answer."""


PUBLISHED = Question(published_call(), published_id)
APPENDED = Question(appended_call(), appended_id)


class CatchUp:
    """Whose request depends on newer events waits here. One question to the store serves all who ask in a turn of the loop.

    Who asks while a question is on its way waits for the next one: the answer to the first may be older than the request.
    The gateway has not caught up before it has also read what an earlier process under its number has sent.

    Each caller waits once at most, so the number of connections is the bound.
    """

    def __init__(self, writer: JournalWriter, view: VenueView, pipeline: Pipeline, question: Question) -> None:
        self._question = question
        self._writer = writer
        self._view = view
        self._pipeline = pipeline
        self._loop = asyncio.get_running_loop()
        self._gathering: dict[Caller, Resume] = {}
        """Who waits for the next question."""
        self._asking: dict[Caller, Resume] = {}
        """On whose behalf the store was asked how far the events go."""
        self._reading: deque[tuple[EntryId, dict[Caller, Resume]]] = deque()
        """Who waits until the events are read that far, in order."""
        self._is_asking = False

    def wait(self, caller: Caller, resume: Resume) -> None:
        """Calls `resume`, later, when everything that is there now has been read, or when the store cannot say."""
        self._gathering[caller] = resume
        if not self._is_asking:
            self._is_asking = True
            self._loop.call_soon(self._ask)

    def forget(self, caller: Caller) -> None:
        """Takes a caller that is gone off all lists. Cost: O(questions that wait for events)."""
        for waiting in (self._gathering, self._asking, *(waiting for _, waiting in self._reading)):
            waiting.pop(caller, None)

    def _ask(self) -> None:
        self._asking, self._gathering = self._gathering, {}
        self._writer.ask(self._question.call, self._told)

    def _told(self, reply: Any) -> None:
        """Takes how far the events go."""
        asked, self._asking = self._asking, {}
        if isinstance(reply, Exception):
            for resume in asked.values():
                resume(False)
        else:
            self._reading.append((max(self._question.id_in(reply), self._pipeline.began_after), asked))
        if self._gathering:
            self._ask()
        else:
            self._is_asking = False
        self.moved()

    def moved(self) -> None:
        """Further events have been read, or it became known how far somebody waits."""
        while self._reading and self._reading[0][0] <= self._view.cursor:
            _, waiting = self._reading.popleft()
            for caller in list(waiting):
                resume = waiting.pop(caller, None)
                if resume is not None:
                    resume(True)
