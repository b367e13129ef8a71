"""The clocks of a running venue as the command line sees them, and whether its clock guard has halted it.

The venue's time is that of its last event entry, which is verified like any other that a command acts on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from engine.journal import EVENTS_KEY, ChainBroken, EventChain, Store, parse_events
from engine.listing import Listing, VenueHalt
from engine.process import EXIT_REFUSED
from engine.process.wall_clock import time_text
from engine.records import EventEntry, MarketState
from engine.service.clocks import MACHINE, Accepted, Fault, Look, look_at, parted
from jibek.console.failure import fail, store_errors
from jibek.venue.directory import Directory


class VenueClocks(NamedTuple):
    """One look at the clocks of a venue, as of its last event entry."""

    look: Look
    venue_time_us: int
    accepted: Accepted
    halt: VenueHalt | None
    """The halt of the whole venue that must end first; None while it trades."""
    operator_halt: VenueHalt | None = None
    """The last halt by an operator, which stays when the clocks are accepted."""

    @property
    def faults(self) -> list[Fault]:
        """Which clocks are apart, beyond what was accepted."""
        return parted(self.look, self.venue_time_us, self.accepted)

    @property
    def is_halted_by_guard(self) -> bool:
        """Whether the clock guard has halted the venue, and no one has accepted the clocks since."""
        return self.halt is not None and self.halt.is_by_guard and not self.halt.is_accepted


def read_clocks(client: Store, directory: Directory) -> VenueClocks:
    """Looks at the clocks. Cost: two round trips.

    Raises:
        Failure: exit code 3 if the store is away, 1 if the last event entry is not the one that was published.
    """
    listing = directory.listing
    with store_errors():
        venue_time_us = last_time_us(client, directory)
        look = look_at(client, MACHINE)
    accepted = Accepted(listing.accepted_difference_us, listing.accepted_time_us, listing.accepted_store_us)
    return VenueClocks(look, venue_time_us, accepted, listing.venue_halt, listing.operator_halt)


def last_time_us(client: Store, directory: Directory) -> int:
    """The time of the last entry that the directory has read.

    Raises:
        ChainBroken: the store has another entry there.
    """
    cursor = str(directory.cursor)
    newest_first = parse_events(client.xrevrange(EVENTS_KEY, max=cursor, count=2))
    if not newest_first or newest_first[0].id != directory.cursor:
        raise ChainBroken(f"the store has lost the entry {cursor}")
    last, *before = newest_first
    # The head before is only what the store says; but with another one the head of the last entry would not come out.
    chain = EventChain(before[0].id, before[0].head) if before else EventChain()
    chain.check(last)
    if chain.head != directory.head:
        raise ChainBroken(f"the hash chain breaks at {cursor}")
    return EventEntry(last.data).header.time_us


def check_clocks_let_resume(client: Store, directory: Directory) -> None:
    """Before the whole venue is resumed: what the clock guard has halted, or would halt again within a second, is refused.

    Raises:
        Failure: exit code 1; the text names the way out.
    """
    clocks = read_clocks(client, directory)
    if clocks.halt is not None and clocks.is_halted_by_guard:
        what = f"The clock guard has halted the venue: {clocks.halt.why}."
    elif clocks.faults:
        what = f"The clock guard would halt the venue again: {'; '.join(fault.text for fault in clocks.faults)}."
    else:
        return
    fail(
        EXIT_REFUSED,
        f"{what} See `jibek clock show`; `jibek clock accept --why …` takes the clocks as they are for right, and resumes.",
    )


# -- halts, for people and as JSON


def venue_state_text(listing: Listing) -> str:
    """A sentence about the state of the whole venue: whether it trades; if not, since when, by whom, and why."""
    halt = listing.venue_halt
    if listing.venue_state == MarketState.TRADING or halt is None:
        return f"The venue is {listing.venue_state.name.lower()}."
    by = "the clock guard" if halt.is_by_guard else halt.operator
    why = f": {halt.why}" if halt.why else ""
    return f"The venue is halted since {time_text(halt.time_us)} by {by}{why}."


def halt_json(halt: VenueHalt | None) -> dict[str, Any] | None:
    """A halt of the whole venue as JSON shows it; None for none."""
    if halt is None:
        return None
    return {
        "by_clock_guard": halt.is_by_guard,
        "operator": halt.operator,
        "why": halt.why,
        "time": time_text(halt.time_us),
    }
