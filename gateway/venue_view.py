"""What the gateway knows of the venue: everything that the events say, up to its cursor."""

from __future__ import annotations

from engine.journal import BEGINNING, EntryId
from engine.records import EventEntry
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

    def apply(self, entry: EventEntry, id: EntryId, answer: Answer | None = None) -> None:
        """Applies the next entry.

        Args:
            answer: called for each command of the entry, after its events are applied.
        """
        self.projection.apply(entry, answer)
        self.cursor = id
