"""The clocks of a venue, and when they part.

| clock | what it does |
| --- | --- |
| the store's | stamps the journal |
| this machine's | says what time it is: clients, gateways and operators go by it |
| the machine's since it was started | cannot be set, and goes on in sleep: it shows that the other one was set |
| the venue's time | the largest stamp so far: it never goes back, and so it remembers a clock that stood ahead |

A look at them takes time, and a process may be stopped in the middle of it. So each comparison is one of intervals, and a
fault is what no moment within the look explains.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from engine.journal import Store, store_time_us
from engine.process.wall_clock import wall_ns

DIFFERENCE_US_MAX = 5_000_000
"""How far clocks may be apart."""
DRIFT_PPM_MAX = 500
"""How fast the machine's two clocks may part without being set: NTP slews a clock no faster."""

_SINCE_START = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Where there is no CLOCK_BOOTTIME, as on macOS, CLOCK_MONOTONIC goes on in sleep."""


class Machine(NamedTuple):
    """How to read this machine's clocks, in microseconds."""

    wall_us: Callable[[], int]
    """Since 1970 UTC."""
    since_start_us: Callable[[], int]


MACHINE = Machine(lambda: wall_ns() // 1000, lambda: time.clock_gettime_ns(_SINCE_START) // 1000)


class Look(NamedTuple):
    """One look at the clocks, in microseconds; read in the order of the fields."""

    began_us: int
    """Since the machine was started."""
    wall_us: int
    store_us: int
    ended_us: int
    """As `began_us`."""

    @property
    def difference_us(self) -> int:
        """The store's clock minus this machine's; too large by as long as the look took, at most."""
        return self.store_us - self.wall_us


class Accepted(NamedTuple):
    """What an operator has accepted last, as the state of the engine has it."""

    difference_us: int = 0
    """The store's clock minus the machine's."""
    time_us: int = 0
    """The venue's time then; 0: never."""
    store_us: int = 0
    """What the store's clock showed then."""


class Baseline(NamedTuple):
    """How far the machine's clock is ahead of its clock since the start, as long as it is not set. It lies between two bounds,
    because a look takes time."""

    low_us: int
    high_us: int
    at_us: int
    """When it was seen last, since the machine was started."""


class Fault(NamedTuple):
    """Clocks that have parted."""

    kind: str
    """The same as long as the same clocks are apart."""
    text: str
    """What is wrong, as the end of a sentence."""


def look_at(client: Store, machine: Machine) -> Look:
    """Reads the clocks. Cost: one round trip.

    Raises:
        redis.ConnectionError, redis.TimeoutError: the store is away.
    """
    return Look(machine.since_start_us(), machine.wall_us(), store_time_us(client), machine.since_start_us())


def parted(look: Look, venue_time_us: int, accepted: Accepted) -> list[Fault]:
    """Which clocks are apart now, beyond what was accepted."""
    faults = []
    took_us = look.ended_us - look.began_us
    beyond_us = look.difference_us - accepted.difference_us
    if abs(_nearest_to_zero(beyond_us - took_us, beyond_us)) > DIFFERENCE_US_MAX:
        text = f"the store's clock is {ahead_or_behind(look.difference_us)} the machine's"
        if accepted.difference_us:
            text += f", and an operator has accepted {ahead_or_behind(accepted.difference_us)} it"
        faults.append(Fault("difference", text))
    ahead_us = venue_time_us - look.store_us
    if ahead_us > DIFFERENCE_US_MAX and venue_time_us > accepted.time_us:
        why = "a clock stood ahead when an entry was stamped"
        faults.append(Fault("ahead", f"the venue's time is {ahead_or_behind(ahead_us)} the store's clock: {why}"))
    back_us = accepted.store_us - look.store_us
    if back_us > DIFFERENCE_US_MAX:
        when = "what it showed when an operator accepted the clocks"
        faults.append(Fault("before", f"the store's clock is {back_us / 1e6:.1f} s before {when}"))
    return faults


def baseline_of(look: Look) -> Baseline:
    """The baseline of a machine that one look has shown."""
    return Baseline(look.wall_us - look.ended_us, look.wall_us - look.began_us, look.ended_us)


def stepped(baseline: Baseline, now: Look) -> Fault | None:
    """Whether this machine's clock was set since the baseline; a step that is undone in between does not show."""
    seen = baseline_of(now)
    step_us = _nearest_to_zero(seen.low_us - baseline.high_us, seen.high_us - baseline.low_us)
    if abs(step_us) <= DIFFERENCE_US_MAX:
        return None
    direction = "ahead" if step_us > 0 else "back"
    return Fault(f"set {direction}", f"the machine's clock was set {abs(step_us) / 1e6:.1f} s {direction}")


def moved(baseline: Baseline, now: Look) -> Baseline:
    """The baseline after a look that shows no step: nearer to what it shows, but only by what a clock drifts in the time. So many
    small steps add up to one that is seen."""
    seen = baseline_of(now)
    low_us, high_us = max(baseline.low_us, seen.low_us), min(baseline.high_us, seen.high_us)
    if low_us <= high_us:
        return Baseline(low_us, high_us, seen.at_us)
    room_us = max(0, seen.at_us - baseline.at_us) * DRIFT_PPM_MAX // 1_000_000
    apart_us = _nearest_to_zero(seen.low_us - baseline.high_us, seen.high_us - baseline.low_us)
    by_us = max(-room_us, min(apart_us, room_us))
    return Baseline(baseline.low_us + by_us, baseline.high_us + by_us, seen.at_us)


def _nearest_to_zero(low: int, high: int) -> int:
    return max(low, min(high, 0))


def ahead_or_behind(difference_us: int) -> str:
    """A difference between two clocks, between their names.

    >>> ahead_or_behind(3_600_000_000), ahead_or_behind(-1_500_000)
    ('3600.0 s ahead of', '1.5 s behind')
    """
    return f"{abs(difference_us) / 1e6:.1f} s {'behind' if difference_us < 0 else 'ahead of'}"
