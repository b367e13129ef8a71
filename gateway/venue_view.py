"""What the gateway knows of the venue: everything that the events say, up to its cursor."""

from __future__ import annotations

from engine.journal import BEGINNING, EntryId
from engine.records import EVENTS_MAX, EventEntry
from gateway.auth.keys import Keys
from gateway.view.feeds import Feeds
from gateway.view.market_texts import MarketTexts
from gateway.view.projection import Answer, LimitEvents, Projection


class VenueView:
    """The read model. It takes verified entries in their order, and knows nothing of who asks.

    Args:
        limits: learns of each order's first fill, and of tiers.
    """

    def __init__(self, limits: LimitEvents) -> None:
        self.feeds = Feeds()
        self.keys = Keys(self.feeds.user_data.end_subscriptions)
        self.projection = Projection(self.feeds, self.keys, limits)
        self.market_texts = MarketTexts(self.projection)
        self.cursor: EntryId = BEGINNING
        """The last entry that was applied."""
        self._next_cursor = BEGINNING
        """The entry that is being applied."""

    def apply(self, entry: EventEntry, id: EntryId, answer: Answer | None = None) -> None:
        """Applies the next entry.

        Args:
            answer: called for each command of the entry, after its events are applied.
        """
        self.begin(entry, id, answer)
        self.go_on(EVENTS_MAX)

    def begin(self, entry: EventEntry, id: EntryId, answer: Answer | None = None) -> None:
        """Begins to apply the next entry. The cursor moves when all of it is applied."""
        self._next_cursor = id
        self.projection.begin(entry, answer)

    def go_on(self, events_max: int) -> bool:
        """Applies so many of its events at most; whether the entry is complete."""
        if not self.projection.go_on(events_max):
            return False
        self.cursor = self._next_cursor
        return True
