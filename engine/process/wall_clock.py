"""What the machine's clock says, whatever it is set to.

Python cannot read a clock beyond the year 2262, and writes no date beyond 9999. A process that runs on must judge such a clock
as any other that is wrong, so nothing here raises.
"""

from __future__ import annotations

import datetime
import time

TIME_NS_MAX = (1 << 63) - 1
"""The last moment that Python reads: in April 2262."""


def wall_ns() -> int:
    """Nanoseconds since 1970 UTC, `TIME_NS_MAX` at most."""
    try:
        return time.time_ns()
    except OverflowError:
        return TIME_NS_MAX


def wall_s() -> float:
    """Seconds since 1970 UTC, as `wall_ns`."""
    try:
        return time.time()
    except OverflowError:
        return TIME_NS_MAX / 1e9


def time_text(time_us: int) -> str:
    """A moment, given in microseconds since 1970 UTC; as a number where it has no date.

    >>> time_text(1_700_000_000_000_001), time_text(10**18)
    ('2023-11-14T22:13:20.000001Z', '1970-01-01T00:00:00Z + 1000000000000.000000 s')
    """
    seconds, microseconds = divmod(time_us, 1_000_000)
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"1970-01-01T00:00:00Z + {seconds}.{microseconds:06} s"
    return moment.replace(microsecond=microseconds, tzinfo=None).isoformat(timespec="microseconds") + "Z"
