"""Fixtures that several packages of tests share: a store, and a whole venue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.journal import Store
from tests.worlds.store import STORES, StoreProcess, binary_of
from tests.worlds.venue import VenueProcess


@pytest.fixture(scope="session")
def server() -> Iterator[StoreProcess]:
    """One store for all tests of a session. If you kill it, start it again; if you change a setting, change it back."""
    server = StoreProcess()
    yield server
    server.remove()


@pytest.fixture(scope="module", params=STORES)
def each_store(request: pytest.FixtureRequest) -> Iterator[StoreProcess]:
    """A store for the tests of a module, which run on each kind of store that this machine has. Make it the `server` of a
    module, and its `client` is a connection to it."""
    store = StoreProcess(binary=binary_of(request.param))
    yield store
    store.remove()


@pytest.fixture
def client(server: StoreProcess) -> Iterator[Store]:
    """A connection to the session's store, which is empty: no keys, no functions."""
    client = server.client()
    client.flushall()
    client.function_flush()
    yield client
    client.close()


@pytest.fixture(scope="session")
def running_venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    """One venue for all tests of a session. Open accounts of your own, and undo your halts and freezes. If you kill
    anything, take `new_venue`."""
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
