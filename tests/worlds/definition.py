"""The venue that tests run against: the default one, whose default tier no test reaches unless it asks for less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.records import LIMIT_MAX, LIMIT_NAMES, TierLimits
from engine.venue_file import VenueDefinition, load_venue
from jibek.venue.temporary_venue import write_venue_file

UNDISTURBED = TierLimits(**dict.fromkeys(LIMIT_NAMES, LIMIT_MAX))


def world_venue(limits: TierLimits = UNDISTURBED) -> VenueDefinition:
    """The default venue with these limits in its default tier."""
    return replace(load_venue(), limits=[("default", limits)])


def world_venue_file(path: Path) -> Path:
    """The same as a venue.toml, for `jibek up`; its path."""
    return write_venue_file(path, dict.fromkeys(LIMIT_NAMES, LIMIT_MAX))
