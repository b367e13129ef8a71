"""The store of the engine's tests: a venue has begun in it."""

from __future__ import annotations

import pytest

from engine.journal import Store, prepare_store, start_venue


@pytest.fixture
def client(client: Store) -> Store:
    """A connection to a store in which a venue has begun: its epoch-start, and no more."""
    prepare_store(client)
    start_venue(client)
    return client
