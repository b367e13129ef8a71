"""What a process holds in memory."""

from __future__ import annotations

import os


def resident_bytes() -> int | None:
    """The memory of this process that is in use; None where the system does not tell."""
    if not os.path.exists("/proc/self/statm"):
        return None
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
