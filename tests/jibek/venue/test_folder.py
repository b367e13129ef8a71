"""One venue at a time in a data folder, and the folder is free only when the last process of it is gone. A folder that is no
venue's is neither used nor deleted."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.process.private_files import UnsafePath
from jibek.venue.folder import MARKER_FILE, DataFolder, FolderLocked, FolderRefused

# A supervisor that takes the lock and dies at once; the child that it leaves holds on to the lock.
DYING = """
import subprocess, sys
from pathlib import Path
from jibek.venue.folder import DataFolder
fd = DataFolder(Path(sys.argv[1])).lock()
null = subprocess.DEVNULL
assert DataFolder(Path(sys.argv[1])).holder() == __import__("os").getpid()
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
    child = leave_a_child(folder, 0.5)
    assert folder.is_locked()
    assert folder.holder() is None, "the child has not taken the lock"
    assert folder.is_held_by(child)
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


# -- the lock is the folder's


def test_no_file_that_is_removed_takes_the_lock_away(folder: DataFolder) -> None:
    fd = folder.lock()
    folder.mark()
    for path in folder.path.iterdir():
        if path.is_file():
            path.unlink()
    with pytest.raises(FolderLocked):
        folder.lock()
    os.close(fd)


def test_a_planted_file_names_no_holder(folder: DataFolder) -> None:
    for name in ("lock", "up.pid", "venue.json"):
        (folder.path / name).write_text(json.dumps({"pid": os.getpid()}))
    assert folder.holder() is None
    assert not folder.is_held_by(os.getpid())


def test_who_only_looks_whether_it_is_locked_is_no_holder(folder: DataFolder) -> None:
    fd = os.open(folder.path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert folder.holder() is None
    os.close(fd)


def test_a_venue_sees_that_its_folder_was_moved(folder: DataFolder) -> None:
    fd = folder.lock()
    folder.mark()
    assert folder.is_in_place()
    identity = folder.identity
    folder.path.rename(folder.path.with_name("moved"))
    assert not folder.is_in_place()
    other = DataFolder(folder.path)
    other.create()
    other_fd = other.lock()
    other.mark()
    assert other.identity != identity
    os.close(fd)
    os.close(other_fd)


def test_a_copied_folder_is_not_the_same(folder: DataFolder) -> None:
    fd = folder.lock()
    folder.mark()
    copy = DataFolder(folder.path.with_name("copy"))
    copy.path.mkdir(mode=0o700)
    (copy.path / MARKER_FILE).write_bytes(folder.marker_file.read_bytes())
    copy_fd = copy.lock()
    assert copy.mark() == folder.mark()
    assert copy.identity != folder.identity
    os.close(fd)
    os.close(copy_fd)


def test_a_file_system_without_locks_is_refused(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, kind: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(FolderRefused, match=r"has no locks .* local disk"):
        folder.lock()


def test_where_the_kernel_does_not_show_the_files_of_a_venue_its_list_of_locks_does(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is if the venue has a capability, for a port below 1024, and `jibek down` has not."""
    code = "import fcntl, os; fcntl.flock(os.open('.', os.O_RDONLY), fcntl.LOCK_EX); print(flush=True); input()"

    def refuse(path: Path) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    for arguments, is_found in ((["jibek", "up"], True), (["sleep", "60"], False)):
        command = [sys.executable, "-c", code, *arguments]
        pipe = subprocess.PIPE
        with (
            subprocess.Popen(command, cwd=folder.path, stdin=pipe, stdout=pipe) as venue,
            monkeypatch.context() as patch,
        ):
            assert venue.stdout is not None and venue.stdout.readline()
            assert folder.holder() == venue.pid
            patch.setattr(os, "listdir", refuse)
            assert folder.holder() == (venue.pid if is_found else None)
            assert folder.is_held_by(venue.pid) is is_found
            assert not folder.is_held_by(os.getpid())
            venue.kill()


def test_where_the_kernel_names_no_holder_a_command_line_proves_it(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, by a file and `ps`."""
    monkeypatch.setattr(sys, "platform", "darwin")
    fd = folder.lock()
    assert (folder.path / "up.pid").read_text() == str(os.getpid())
    assert folder.holder() is None, "this process is no `jibek up`"
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", "jibek", "up"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as pretended:
        (folder.path / "up.pid").write_text(str(pretended.pid))
        assert folder.holder() == pretended.pid
        pretended.send_signal(signal.SIGKILL)
    assert folder.holder() is None
    os.close(fd)


# -- the marker


def test_only_a_start_marks_a_folder_and_a_second_one_keeps_the_mark(folder: DataFolder) -> None:
    assert not folder.is_marked()
    os.close(folder.lock())
    id = folder.mark()
    assert folder.mark() == id == folder.venue_id()
    assert folder.marker_file.stat().st_mode & 0o777 == 0o600
    assert json.loads(folder.marker_file.read_text()).keys() == {"format", "venue", "created"}


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": "jibek venue 1", "venue": "../.."}', '{"format": "other"}']
)
def test_a_file_that_only_has_the_name_is_no_marker(folder: DataFolder, text: str) -> None:
    folder.marker_file.write_text(text)
    with pytest.raises(FolderRefused, match="not what `jibek up` writes there"):
        folder.mark()
    with pytest.raises(FolderRefused, match="not what `jibek up` writes there"):
        folder.delete()


FOREIGN = [
    "lock",
    "notes.txt",
    "store/backup.tar",
    "logs/app/today.log",
    "logs/access.txt",
    ".git/config",
    "secret.key.old",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_with_something_else_in_it_is_not_used(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        FolderRefused, match=f"not empty: '{'/'.join(name.split('/')[:2]).removesuffix('/config')}' would lie"
    ):
        DataFolder(tmp_path).create()
    assert sorted(tmp_path.rglob("*")) == before, "nothing is made in it"


@pytest.mark.parametrize(
    "name", ["venue.toml", "lost+found/", "secret.key", "store/appendonlydir/", "logs/up.log", "watermarks/"]
)
def test_a_folder_that_an_operator_has_prepared_is_used(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
    if not name.endswith("/"):
        path.touch()
    DataFolder(tmp_path).create()


# -- what another user has prepared


def to_another_user(path: Path) -> None:
    os.chown(path, 65534, 65534)


def to_all(path: Path) -> None:
    path.chmod(0o777)


def to_a_link(path: Path) -> None:
    path.rename(path.with_name(f"{path.name}-of-others"))
    path.symlink_to(f"{path.name}-of-others")


CHANGES = [
    pytest.param(
        to_another_user, "belongs to", marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can do it")
    ),
    (to_all, "is writable by other users"),
    (to_a_link, "is a link"),
]


@pytest.mark.parametrize(("change", "says"), CHANGES)
def test_a_folder_prepared_by_another_user_is_refused(
    folder: DataFolder, change: Callable[[Path], None], says: str
) -> None:
    os.close(folder.lock())
    folder.mark()
    change(folder.path)
    for use in (folder.create, folder.lock, folder.is_locked, folder.is_marked, folder.delete):
        with pytest.raises(UnsafePath, match=f"{folder.path} {says}"):
            use()


PARTS = [
    "secret.key",
    "venue.json",
    "store",
    "store/valkey.conf",
    "logs",
    "logs/up.log",
    "watermarks/engine.json",
    MARKER_FILE,
]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("change", "says"), CHANGES)
def test_a_part_prepared_by_another_user_is_refused(
    folder: DataFolder, part: str, change: Callable[[Path], None], says: str
) -> None:
    folder.mark()
    path = folder.path / part
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        path.touch(mode=0o600)
    change(path)
    with pytest.raises(UnsafePath, match=f"{path} {says}"):
        folder.check_parts()


# -- the end


def test_what_is_deleted_is_what_a_venue_has_written(folder: DataFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    folder.mark()
    (folder.path / "notes.txt").touch()
    (folder.path / "secret.key.backup").touch()
    (folder.logs / "up.log").touch()
    (folder.logs / "link").symlink_to(outside)
    (folder.path / "refusals").symlink_to(outside)
    assert folder.delete() == ["notes.txt", "secret.key.backup"]
    assert sorted(path.name for path in folder.path.iterdir()) == ["notes.txt", "secret.key.backup"]
    assert (outside / "precious").exists()
    with pytest.raises(FolderRefused, match="not the data folder of a venue"):
        folder.delete()


def test_a_folder_with_nothing_else_in_it_goes_with_its_venue(folder: DataFolder) -> None:
    folder.mark()
    assert folder.delete() == []
    assert not folder.path.exists()


@pytest.mark.parametrize("place", ["home", "current"])
def test_the_home_and_the_current_folder_stay(folder: DataFolder, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    folder.mark()
    if place == "home":
        monkeypatch.setenv("HOME", str(folder.path))
    else:
        monkeypatch.chdir(folder.path)
    assert folder.delete() == []
    assert list(folder.path.iterdir()) == []


def test_a_folder_in_use_is_not_deleted(folder: DataFolder) -> None:
    fd = folder.lock()
    folder.mark()
    with pytest.raises(FolderLocked, match="is in use"):
        DataFolder(folder.path).delete()
    assert folder.marker_file.exists()
    os.close(fd)


def test_a_deletion_that_was_cut_off_can_be_repeated(folder: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    folder.mark()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", fail)
        with pytest.raises(OSError, match="busy"):
            folder.delete()
    assert folder.delete() == []
