"""When a disk is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.process.disk import MIB, Disk, read_disk

GIB = 1024 * MIB

# size         free         state
DISKS = (
    (48 * MIB,   13 * MIB,    "good"),
    (48 * MIB,   11 * MIB,    "low"),
    (48 * MIB,   3 * MIB,     "full"),
    (10 * GIB,   200 * MIB,   "low"),
    (10 * GIB,   100 * MIB,   "full"),
    (4096 * GIB, 3 * GIB,     "good"),
    (4096 * GIB, 300 * MIB,   "low"),
    (4096 * GIB, 255 * MIB,   "full"),
    (48 * MIB,   0,           "full"),
)  # fmt: skip


@pytest.mark.parametrize(("size", "free", "state"), DISKS)
def test_a_part_of_the_disk_is_kept_for_what_must_pass(size: int, free: int, state: str) -> None:
    disk = Disk(free, size)
    assert disk.state == state
    assert disk.takes_writes == (state != "full")


def test_a_read_only_disk_takes_no_writes() -> None:
    assert not Disk(GIB, GIB, is_read_only=True).takes_writes


def test_the_disk_of_a_folder_is_read_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert 0 < read_disk(tmp_path).free_bytes <= read_disk(tmp_path).size_bytes
    with pytest.raises(FileNotFoundError):
        read_disk(tmp_path / "none")
