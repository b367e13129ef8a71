"""How much room a disk has. A store that cannot write ends, so trading must stop before that.

good          there is room
low           an operator should make room: a rewrite of the store's log may not fit any more
full          new orders are refused; cancels and what an operator does pass for as long as the rest lasts
read-only     nothing can be written
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20
FULL_BYTES_MIN, FULL_BYTES_MAX = 4 * MIB, 256 * MIB
"""A hundredth of the disk, within these, is kept for what must pass. A busy venue writes up to 70 MB a second and looks once
a second."""
LOW_BYTES_MIN, LOW_BYTES_MAX = 12 * MIB, 2048 * MIB
"""A twentieth of the disk, within these."""


class Disk(NamedTuple):
    """The file system of a folder."""

    free_bytes: int
    """What the venue's user may still write."""
    size_bytes: int
    is_read_only: bool = False

    @property
    def full_bytes(self) -> int:
        """Below so many free bytes it counts as full."""
        return min(FULL_BYTES_MAX, max(FULL_BYTES_MIN, self.size_bytes // 100))

    @property
    def low_bytes(self) -> int:
        """Below so many free bytes it is low."""
        return min(LOW_BYTES_MAX, max(LOW_BYTES_MIN, self.size_bytes // 20))

    @property
    def state(self) -> str:
        """
        >>> [Disk(free << 20, 1000 << 20).state for free in (60, 49, 9)], Disk(1, 1, is_read_only=True).state
        (['good', 'low', 'full'], 'read-only')
        """
        if self.is_read_only:
            return "read-only"
        if self.free_bytes < self.full_bytes:
            return "full"
        return "low" if self.free_bytes < self.low_bytes else "good"

    @property
    def takes_writes(self) -> bool:
        """Whether a store may be trusted to it."""
        return self.state in ("good", "low")

    def facts(self) -> dict[str, object]:
        """As venue.json and `jibek status --json` have it."""
        return {"free_bytes": self.free_bytes, "size_bytes": self.size_bytes, "state": self.state}


def read_disk(folder: Path) -> Disk:
    """The file system of a folder. Cost: one system call, some microseconds.

    Raises:
        OSError: the folder is gone, or its disk does not answer.
    """
    found = os.statvfs(folder)
    return Disk(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, bool(found.f_flag & os.ST_RDONLY))
