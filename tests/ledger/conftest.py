"""Fixtures: one store for all tests of a session, emptied before each; a venue on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.journal import Store
from tests.worlds.ledger import TestVenue
from tests.worlds.store import StoreProcess


@pytest.fixture(scope="session")
def server() -> Iterator[StoreProcess]:
    """A store that lives as long as the session. A test that kills it starts it again."""
    server = StoreProcess()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def client(server: StoreProcess) -> Iterator[Store]:
    """A connection to an empty store."""
    client = server.client()
    client.flushall()
    client.function_flush()
    yield client
    client.close()


@pytest.fixture
def venue(client: Store, tmp_path: Path) -> TestVenue:
    """The default venue, its engine driven by the test."""
    return TestVenue(client, tmp_path)
