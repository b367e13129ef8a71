"""What a report of balances says where no settlement vouches for them."""

from __future__ import annotations

from jibek.console.output import print_line
from jibek.venue.address import VenueAddress

SETTLEMENT = "settlement"
"""Its name in the states of a venue."""


def warn_of_settlement(address: VenueAddress) -> None:
    """Warns on standard error if the settlement is not ready: it is down, behind, or has not proved the stored balances."""
    state = address.states.get(SETTLEMENT, "ready")
    if state != "ready":
        print_line(
            f"Warning: the settlement is not ready ({state}), so these balances may be old or wrong. "
            "`jibek ledger reconcile` computes them again.",
            err=True,
        )
