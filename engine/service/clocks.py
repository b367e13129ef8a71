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

DIFFERENCE_US_MAX = 5_000_000
"""How far clocks may be apart."""

_SINCE_START = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Where there is no CLOCK_BOOTTIME, as on macOS, CLOCK_MONOTONIC goes on in sleep."""


class Machine(NamedTuple):
    """How to read this machine's clocks, in microseconds."""

    wall_us: Callable[[], int]
    """Since 1970 UTC."""
    since_start_us: Callable[[], int]


MACHINE = Machine(lambda: time.time_ns() // 1000, lambda: time.clock_gettime_ns(_SINCE_START) // 1000)


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
    return faults


def stepped(before: Look, now: Look) -> Fault | None:
    """Whether this machine's clock was set between two looks; a step that is undone in between does not show."""
    went_us = now.wall_us - before.wall_us
    step_us = _nearest_to_zero(went_us - (now.ended_us - before.began_us), went_us - (now.began_us - before.ended_us))
    if abs(step_us) <= DIFFERENCE_US_MAX:
        return None
    direction = "ahead" if step_us > 0 else "back"
    return Fault(f"set {direction}", f"the machine's clock was set {abs(step_us) / 1e6:.1f} s {direction}")


def _nearest_to_zero(low: int, high: int) -> int:
    return max(low, min(high, 0))


def ahead_or_behind(difference_us: int) -> str:
    """A difference between two clocks, between their names.

    >>> ahead_or_behind(3_600_000_000), ahead_or_behind(-1_500_000)
    ('3600.0 s ahead of', '1.5 s behind')
    """
    return f"{abs(difference_us) / 1e6:.1f} s {'behind' if difference_us < 0 else 'ahead of'}"
