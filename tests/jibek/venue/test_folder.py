"""One venue at a time in a data folder, and the folder is free only when the last process of it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jibek.venue.folder import DataFolder, FolderLocked

# A supervisor that takes the lock and dies at once; the child that it leaves holds on to the lock.
DYING = """
import subprocess, sys
from pathlib import Path
from jibek.venue.folder import DataFolder
fd = DataFolder(Path(sys.argv[1])).lock()
null = subprocess.DEVNULL
print(subprocess.Popen(["/bin/sleep", sys.argv[2]], pass_fds=[fd], stdout=null, stderr=null).pid)
"""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    return folder


def leave_a_child(folder: DataFolder, seconds: float) -> int:
    command = [sys.executable, "-c", DYING, str(folder.path), str(seconds)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout)


def test_a_second_venue_learns_who_holds_the_folder(folder: DataFolder) -> None:
    fd = folder.lock()
    with pytest.raises(FolderLocked, match=f"process {os.getpid()}.*jibek down"):
        folder.lock()
    assert folder.is_locked()
    os.close(fd)
    assert not folder.is_locked()


def test_a_dying_venue_is_waited_for(folder: DataFolder) -> None:
    leave_a_child(folder, 0.5)
    assert folder.is_locked()
    os.close(folder.lock())


def test_a_venue_that_does_not_die_is_not_waited_for_without_end(folder: DataFolder) -> None:
    child = leave_a_child(folder, 600)
    try:
        with pytest.raises(FolderLocked, match="still held"):
            folder.lock(wait_s=0.1)
    finally:
        os.kill(child, 9)


def test_the_folder_and_what_is_in_it_are_for_this_user_alone(folder: DataFolder) -> None:
    assert {path.stat().st_mode & 0o777 for path in (folder.path, folder.store, folder.logs)} == {0o700}


def test_a_folder_that_is_not_there_is_not_locked(tmp_path: Path) -> None:
    assert not DataFolder(tmp_path / "nowhere").is_locked()
