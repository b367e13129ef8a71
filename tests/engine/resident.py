"""The memory of the process that runs the tests."""

from __future__ import annotations

import pytest

import bench.resident


def resident_bytes() -> int:
    """The resident memory of this process in bytes; skips the test if the system does not report it."""
    resident = bench.resident.resident_bytes()
    if resident is None:
        pytest.skip("only Linux reports it like this")
    return resident
