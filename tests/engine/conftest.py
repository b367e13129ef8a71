"""Fixtures: one store for the tests of a module; a connection to an empty venue on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.journal import Store, prepare_store, start_venue
from tests.worlds.store import StoreProcess


@pytest.fixture(scope="module")
def server() -> Iterator[StoreProcess]:
    server = StoreProcess()
    yield server
    server.remove()


@pytest.fixture
def client(server: StoreProcess) -> Iterator[Store]:
    """A connection to a store in which a venue has begun, with nothing but its epoch-start."""
    client = server.client()
    client.flushall()
    client.function_flush()
    prepare_store(client)
    start_venue(client)
    yield client
    client.close()
