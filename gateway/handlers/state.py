"""What handlers work with: the view of the venue, the counters, and the time of the turn."""

from __future__ import annotations

from gateway.auth.bans import Bans
from gateway.auth.rate_limits import RateLimits
from gateway.auth.replay_guard import ReplayGuard
from gateway.clock import Clock
from gateway.incidents import Incident, Incidents
from gateway.judgement.budgets import RefusalBudgets
from gateway.venue_view import VenueView


class GatewayState:
    """Shared by all handlers of a gateway. All that is judged by the clock in a turn is judged by the same time."""

    def __init__(
        self,
        view: VenueView,
        rate_limits: RateLimits,
        clock: Clock,
        bans: Bans | None = None,
        incidents: Incidents | None = None,
    ) -> None:
        self.view = view
        self.rate_limits = rate_limits
        self.bans = bans if bans is not None else Bans()
        self.incidents = incidents if incidents is not None else Incidents()
        self.replays = ReplayGuard()
        self.refusal_budgets = RefusalBudgets(rate_limits, clock)
        self.clock = clock
        self.is_store_full = False
        """Whether the store is so full that only what makes it smaller is taken."""
        self.now_s = 0.0
        self.now_ms = 0
        self.oldest_ms = 0
        """Signed requests with an earlier time are refused, since an operator has accepted the clocks."""
        self.begin_turn()

    def failed(self, address: str, incident: Incident, key_id: str = "", count: int = 1) -> None:
        """Counts failures of an address; too many ban it (`gateway.auth.bans`).

        Args:
            key_id: of a key that the venue knows.
        """
        self.incidents.note(incident, address, key_id, count=count)
        self.bans.failed(address, self.clock.now_us() // 1000, count)

    def begin_turn(self) -> None:
        """Reads the clocks."""
        self.now_s = self.clock.now_s()
        self.now_ms = self.clock.now_us() // 1000
        self.oldest_ms = self.view.projection.listing.signed_from_us // 1000
