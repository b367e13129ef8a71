"""The clocks of the gateway, which tests can replace."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Clock(NamedTuple):
    """Two clocks: one that never goes back, and one that clients know."""

    now_s: Callable[[], float]
    """Seconds that never go back."""
    now_us: Callable[[], int]
    """Microseconds since 1970 UTC."""
