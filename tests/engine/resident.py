"""The memory of the process that runs the tests."""

from __future__ import annotations

import pytest

import bench.resident


def resident_bytes() -> int:
    """What this process holds in memory; skips the test where the system does not tell."""
    told = bench.resident.resident_bytes()
    if told is None:
        pytest.skip("only Linux tells a process its memory so")
    return told
