"""As many file descriptors as the bounds need: each connection takes one, and a process that has none left accepts no more."""

from __future__ import annotations

import logging
import resource

from gateway.limits import DESCRIPTORS_SPARE, TURNED_AWAY_MAX


def fit_descriptors(connections_max: int, log: logging.Logger) -> int:
    """Raises the soft limit of this process to what so many connections need; how many connections fit.

    That is fewer than `connections_max` where the hard limit is lower, and the log says so. At least one is let in.
    """
    needed = connections_max + TURNED_AWAY_MAX + DESCRIPTORS_SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections_max
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == needed:
        return connections_max
    fitting = max(1, connections_max - (needed - soft))
    log.warning(
        "the system allows this process %s file descriptors, so at most %s connections are open at a time and not %s: raise "
        "the hard limit (ulimit -Hn, LimitNOFILE) to %s",
        *(soft, fitting, connections_max, needed),
    )
    return fitting
