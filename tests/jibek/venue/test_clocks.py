"""The clocks as the command line sees them: the venue's time comes from an entry that is verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.journal import ENGINE_PRODUCER, EVENTS_KEY, OPERATOR_PRODUCER, Store
from engine.listing import Listing, VenueHalt
from engine.records import MarketState
from engine.service.clocks import Accepted, Look
from jibek.console.failure import Failure
from jibek.venue.clocks import VenueClocks, read_clocks, venue_state_text
from jibek.venue.directory import read_directory
from tests.worlds.stepped_venue import SteppedVenue

AGREE = Look(0, 1_800_000_000_000_000, 1_800_000_000_000_000, 0)
BY_GUARD = VenueHalt(ENGINE_PRODUCER, "engine", "the clocks part", 1_800_000_000_000_000)
BY_OPERATOR = VenueHalt(OPERATOR_PRODUCER, "aigerim", "", 1_800_000_000_000_000)


def test_the_time_of_the_venue_is_that_of_its_last_entry(venue: SteppedVenue, client: Store, tmp_path: Path) -> None:
    venue.add_account("alice")
    clocks = read_clocks(client, read_directory(client, tmp_path))
    assert clocks.venue_time_us == venue.core.time_us
    assert clocks.faults == [] and not clocks.is_halted_by_guard
    # Also where the cache knows all entries, and the last one defines nothing.
    venue.deposit(1, "BTC", 5)
    for _ in range(2):
        assert read_clocks(client, read_directory(client, tmp_path)).venue_time_us == venue.core.time_us


@pytest.mark.parametrize(
    ("place", "field", "byte"), [(0, b"h", 0), (0, b"d", 0), (0, b"b", 32), (1, b"h", 0)],
    ids=["its head", "its digest", "its time", "the head before"],
)  # fmt: skip
def test_an_entry_that_was_changed_is_not_believed(
    venue: SteppedVenue, client: Store, tmp_path: Path, place: int, field: bytes, byte: int
) -> None:
    """A bit turns in one of the last two entries, newest first, after the directory was read."""
    venue.add_account("alice")
    directory = read_directory(client, tmp_path)
    newest_first = client.xrevrange(EVENTS_KEY, count=2)
    fields = newest_first[place][1]
    fields[field] = fields[field][:byte] + bytes([fields[field][byte] ^ 1]) + fields[field][byte + 1 :]
    client.delete(EVENTS_KEY)
    for id, fields in reversed(newest_first):
        client.xadd(EVENTS_KEY, fields, id=id)
    with pytest.raises(Failure, match="The hash chain breaks at"):
        read_clocks(client, directory)


@pytest.mark.parametrize(
    ("halt", "is_halted_by_guard", "text"),
    [
        (None, False, "The venue is trading."),
        (BY_GUARD, True, "The venue is halted since 2027-01-15T08:00:00.000000Z by the clock guard: the clocks part."),
        (BY_GUARD._replace(is_accepted=True), False, "The venue is halted since 2027-01-15T08:00:00.000000Z by the clock guard: the clocks part."),
        (BY_OPERATOR, False, "The venue is halted since 2027-01-15T08:00:00.000000Z by aigerim."),
    ],
)  # fmt: skip
def test_who_has_halted_the_venue(halt: VenueHalt | None, is_halted_by_guard: bool, text: str) -> None:
    assert VenueClocks(AGREE, 0, Accepted(), halt).is_halted_by_guard is is_halted_by_guard
    state = MarketState.TRADING if halt is None else MarketState.HALTED
    by_guard = halt is not None and halt.is_by_guard
    listing = Listing(
        venue_state=state, guard_halt=halt if by_guard else None, operator_halt=None if by_guard else halt
    )
    assert venue_state_text(listing) == text
