"""Changing tiers and putting accounts into them: what `jibek limits` does, and what demo, load and replay do for themselves."""

from __future__ import annotations

from engine.journal import Store
from engine.listing import Listing
from engine.process import EXIT_REFUSED
from engine.records import (
    ADDRESS_LIMITS,
    LIMIT_MAX,
    LIMIT_NAMES,
    TIER_LIMITS,
    Command,
    CommandKind,
    TierLimits,
)
from jibek.console.changes import execute
from jibek.console.failure import fail
from jibek.console.printable import excerpt
from jibek.venue.directory import Directory

LOAD_TIER = "load_test"
"""The tier of accounts that a command opens to trade with: no run reaches its limits."""
LOAD_LIMITS = TierLimits(**{name: LIMIT_MAX for name in LIMIT_NAMES if name not in ADDRESS_LIMITS})


def numbers_of(limits: TierLimits) -> dict[str, int]:
    """The limits of a tier by name."""
    return {name: getattr(limits, name) for name in LIMIT_NAMES}


def check_tier(listing: Listing, tier: str) -> None:
    """
    Raises:
        Failure: exit code 1 if there is no such tier.
    """
    if tier not in listing.tiers:
        fail(EXIT_REFUSED, f"No tier is named {excerpt(tier)}; there are {', '.join(listing.tiers)}.")


def set_limits(client: Store, tier: str, limits: TierLimits, *, who: str, why: str) -> None:
    """Defines a tier or changes its numbers.

    Raises:
        Failure: exit code 1 if the engine refuses it, 3 if no answer comes.
    """
    command = Command(kind=CommandKind.LIMITS_SET)
    execute(client, command, TIER_LIMITS.pack(limits), tier.encode(), who=who, why=why)


def put_into_tier(client: Store, account: int, tier: str, *, who: str, why: str) -> None:
    """Puts an account into a tier.

    Raises:
        Failure: as `set_limits`.
    """
    command = Command(kind=CommandKind.ACCOUNT_LIMITS_SET, account=account)
    execute(client, command, tier.encode(), who=who, why=why)


def define_load_tier(client: Store, directory: Directory, *, who: str, why: str) -> None:
    """Defines `LOAD_TIER` unless the venue has it. What an operator has made of it stays.

    Raises:
        Failure: as `set_limits`.
    """
    if LOAD_TIER not in directory.listing.tiers:
        set_limits(client, LOAD_TIER, LOAD_LIMITS, who=who, why=why)


def check_connections(directory: Directory, count: int) -> None:
    """Checks that one address may open so many connections in five minutes.

    Raises:
        Failure: exit code 1 if the tier `default` does not allow it.
    """
    allowed = directory.listing.effective_limits("default").connections_per_5_min
    if count > allowed:
        fail(
            EXIT_REFUSED,
            f"The venue lets one address open {allowed:,} connections in five minutes, and {count:,} are wanted: allow more "
            f"with `jibek limits set default --connections-per-5-min {count}`.",
        )
