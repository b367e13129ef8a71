"""Fixtures that several packages of tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.venue import VenueProcess


@pytest.fixture(scope="session")
def running_venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    """One venue for all tests of a session. A test opens accounts of its own and leaves halts and freezes as it found
    them; one that kills something takes `new_venue`."""
    venue = VenueProcess(tmp_path_factory.mktemp("venue") / "data")
    try:
        yield venue.start()
    finally:
        venue.end()


@pytest.fixture
def new_venue(tmp_path: Path) -> Iterator[Callable[..., VenueProcess]]:
    """Makes venues on data folders of the test's own, not yet started. They end with the test."""
    made: list[VenueProcess] = []

    def make(data: Path = tmp_path / "data", **options: Any) -> VenueProcess:
        made.append(VenueProcess(data, **options))
        return made[-1]

    yield make
    for venue in made:
        venue.end()
