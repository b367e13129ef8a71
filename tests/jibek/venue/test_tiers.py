"""Tiers from the command line's side: what runs define for themselves, and what they tell an operator to allow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.definitions import limits_faults
from engine.journal import Store
from engine.process import EXIT_REFUSED
from engine.records import DEFAULT_LIMITS, TierLimits
from jibek.console.failure import Failure
from jibek.venue.directory import Directory, read_directory
from jibek.venue.tiers import LOAD_LIMITS, LOAD_TIER, check_connections, define_load_tier, set_limits
from tests.worlds.venue import VenueProcess


@pytest.fixture
def client(running_venue: VenueProcess) -> Iterator[Store]:
    client = running_venue.store()
    yield client
    client.close()


def test_the_tier_of_runs_is_one_that_the_engine_takes() -> None:
    assert limits_faults(LOAD_TIER.encode(), LOAD_LIMITS) == []


def test_what_an_operator_has_made_of_the_tier_of_runs_stays(running_venue: VenueProcess, client: Store) -> None:
    define_load_tier(client, read_directory(client, running_venue.data), who="test", why="")
    set_limits(client, LOAD_TIER, TierLimits(orders_per_10_s=5), who="test", why="")
    define_load_tier(client, read_directory(client, running_venue.data), who="test", why="")
    assert read_directory(client, running_venue.data).listing.tiers[LOAD_TIER] == TierLimits(orders_per_10_s=5)
    set_limits(client, LOAD_TIER, LOAD_LIMITS, who="test", why="")


@pytest.mark.parametrize(
    ("connections_max", "connections_per_5_min", "clients", "says"),
    [
        (100, 300, 100, ""),
        (
            100,
            300,
            101,
            "lets one address have 100 connections, and 101 are wanted: allow more with `jibek limits set default",
        ),
        (500, 300, 301, "--connections-max 301 --connections-per-5-min 301`"),
    ],
)
def test_a_load_says_what_to_allow(connections_max: int, connections_per_5_min: int, clients: int, says: str) -> None:
    directory = Directory()
    numbers = {"connections_max": connections_max, "connections_per_5_min": connections_per_5_min}
    directory.listing.tiers["default"] = DEFAULT_LIMITS._replace(**numbers)
    if not says:
        check_connections(directory, clients)
        return
    with pytest.raises(Failure) as failure:
        check_connections(directory, clients)
    assert failure.value.exit_code == EXIT_REFUSED
    assert says in str(failure.value)
