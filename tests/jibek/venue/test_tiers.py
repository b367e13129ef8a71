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


def test_a_load_says_what_to_allow() -> None:
    directory = Directory()
    directory.listing.tiers["default"] = DEFAULT_LIMITS._replace(connections_per_5_min=300)
    check_connections(directory, 300)
    with pytest.raises(Failure) as failure:
        check_connections(directory, 301)
    assert failure.value.exit_code == EXIT_REFUSED
    assert str(failure.value) == (
        "The venue lets one address open 300 connections in five minutes, and 301 are wanted: allow more with "
        "`jibek limits set default --connections-per-5-min 301`."
    )
