"""The venue of the ledger's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.journal import Store
from tests.worlds.stepped_venue import SteppedVenue


@pytest.fixture
def venue(client: Store, tmp_path: Path) -> SteppedVenue:
    """The default venue on the session's store. Its engine works when the test says so."""
    return SteppedVenue(client, tmp_path)
