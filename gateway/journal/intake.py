"""Takes in the events: applies each entry to the view, and answers the commands in it that are this gateway's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.journal import PublishedEntry
from engine.reasons import Reason
from engine.records import EventEntry, EventKind
from gateway.dialect.rejects import Reject
from gateway.journal.pending import PendingCommand
from gateway.journal.pipeline import Pipeline
from gateway.limits import EVENTS_AT_ONCE_MAX
from gateway.venue_view import VenueView
from gateway.view.order_events import CommandEvents
from gateway.view.projection import Answer

_REJECTED = int(EventKind.REJECTED)


class CommandAnswers(Protocol):
    """Where answers to commands go; `gateway.handlers.answers.Answers` is one."""

    @property
    def answer(self) -> Callable[[PendingCommand, CommandEvents, EventEntry], None]: ...

    @property
    def charge(self) -> Callable[[PendingCommand, CommandEvents], None]: ...

    @property
    def reject(self) -> Callable[[PendingCommand, Reject], None]: ...


class Intake:
    """One path for every event entry, from the store to the callers."""

    def __init__(self, view: VenueView, pipeline: Pipeline, answers: CommandAnswers) -> None:
        self._view = view
        self._pipeline = pipeline
        self._answers = answers
        self._unanswered: list[PendingCommand | None] = []
        """The commands of the entry in hand that have no answer yet, by their index."""

    def take(self, published: PublishedEntry) -> None:
        """Takes in the next entry, which was verified.

        Raises:
            Superseded: another process speaks under this gateway's number.
        """
        self.begin(published)
        while not self.go_on():
            pass

    def begin(self, published: PublishedEntry) -> None:
        """Begins to take in the next entry, which was verified. Raises as `take`."""
        entry = EventEntry(published.data)
        batch = self._pipeline.answered(entry.header)
        self._unanswered = [] if batch is None else [*batch.commands]
        self._view.begin(entry, published.id, None if batch is None else self._answer_to(self._unanswered))

    def go_on(self) -> bool:
        """Takes in `EVENTS_AT_ONCE_MAX` further events of it at most; whether the entry is complete. Between two calls the
        view is as after an event: clients may be served."""
        if not self._view.go_on(EVENTS_AT_ONCE_MAX):
            return False
        for command in self._unanswered:
            if command is not None:
                self._pipeline.finish(command)
                if not command.is_told_unknown:
                    self._answers.reject(command, Reject(Reason.UNAVAILABLE))
        return True

    def _answer_to(self, unanswered: list[PendingCommand | None]) -> Answer:
        """Answers each command once, and takes it off the list."""

        def answer(index: int, events: CommandEvents, entry: EventEntry) -> None:
            command = unanswered[index]
            assert command is not None, f"command {index} has its events in two places"
            unanswered[index] = None
            if command.refusals or events.first_kind == _REJECTED:
                self._answers.charge(command, events)
            self._pipeline.finish(command)
            # Who has the answer that the outcome is unknown does not expect another one.
            if not command.is_told_unknown:
                self._answers.answer(command, events, entry)

        return answer
