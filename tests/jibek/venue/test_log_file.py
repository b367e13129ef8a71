"""A bounded log file: its rotation, and what it does on bad disks."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.process.log_lines import LINES_ALIKE_PER_MINUTE_MAX, MESSAGE_CHARACTERS_MAX, TRACEBACK_CHARACTERS_MAX
from jibek.venue.log_file import LOG_BYTES_MAX, OLD_FILES, LogFile
from jibek.venue.services import LOG_NAMES


def lines_of(folder: Path) -> list[str]:
    """All lines of a log and its old files, the oldest first."""
    files = sorted(folder.glob("x.log*"), key=lambda path: -int(path.suffix[1:]) if path.suffix != ".log" else 0)
    return [line for path in files for line in path.read_text().splitlines()]


def test_a_log_is_bounded_and_keeps_the_newest(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", bytes_max=100, old_files=2)
    for number in range(50):
        log.write(f"line {number:02}\n".encode())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.log", "x.log.1", "x.log.2"]
    assert all(path.stat().st_size <= 100 for path in tmp_path.iterdir())
    kept = lines_of(tmp_path)
    assert kept == [f"line {number:02}" for number in range(50 - len(kept), 50)] and len(kept) > 20
    log.close()


def test_a_line_above_the_bound_is_a_file_of_its_own(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", bytes_max=10)
    for text in ("a" * 50, "b" * 50):
        log.write(f"{text}\n".encode())
    assert (tmp_path / "x.log").read_text() == "b" * 50 + "\n"
    assert (tmp_path / "x.log.1").read_text() == "a" * 50 + "\n"


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        log = LogFile(tmp_path / "logs" / "x.log", bytes_max=10)
        for _ in range(3):
            log.write(b"0123456\n")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "logs").iterdir()} == {0o600}


def replace(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"")


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.touch()
    path.chmod(0o666)
    LogFile(path).write(b"x\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


GONE: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "renamed": lambda path: path.rename(path.with_name("elsewhere")),
    "replaced": replace,
    "its folder removed": lambda path: shutil.rmtree(path.parent),
}


@pytest.mark.parametrize("name", GONE)
def test_a_file_that_somebody_took_away_is_made_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / "logs" / "x.log"
    log = LogFile(path)
    log.write(b"before\n")
    GONE[name](path)
    log.write(b"after\n")
    assert path.read_text() == "after\n" and not log.lost


def test_a_log_moves_with_its_data_folder_and_stays_out_of_another(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "data" / "logs" / "x.log", bytes_max=20)
    (tmp_path / "data").mkdir()
    log.write(b"before\n")
    (tmp_path / "data").rename(tmp_path / "moved")
    (tmp_path / "data" / "logs").mkdir(parents=True)
    for number in range(5):
        log.write(f"after {number}\n".encode())
    assert lines_of(tmp_path / "moved" / "logs")[-2:] == ["after 3", "after 4"]
    shutil.rmtree(tmp_path / "moved")
    log.write(b"lost\n")
    assert log.lost == 1 and list((tmp_path / "data" / "logs").iterdir()) == []


def put_a_file_above(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("")


# What somebody can put where a log should be.
OBSTACLES: dict[str, Callable[[Path], object]] = {
    "a folder": lambda path: path.mkdir(),
    "a link": lambda path: path.symlink_to(path.parent / "target"),
    "a pipe": os.mkfifo,
    "a file above": put_a_file_above,
}


@pytest.mark.parametrize("name", OBSTACLES)
def test_what_is_no_file_costs_lines_and_nothing_else(tmp_path: Path, name: str) -> None:
    path = tmp_path / "logs" / "x.log"
    path.parent.mkdir()
    OBSTACLES[name](path)
    log = LogFile(path)
    for _ in range(3):
        log.write(b"lost\n")
    assert log.lost == 3
    assert not (tmp_path / "logs" / "target").exists()
    obstacle = path if path.parent.is_dir() else path.parent
    if obstacle.is_dir():
        obstacle.rmdir()
    else:
        obstacle.unlink()
    log.write(b"written\n")
    said, written = path.read_text().splitlines()
    assert written == "written" and said.startswith("lost log lines: 3 (")


class FullDisk:
    """A disk with room for so many bytes more; `os.write` writes what fits, and then raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(fd, data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_loses_whole_lines_and_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch, room=25)
    log = LogFile(tmp_path / "x.log")
    for number in range(10):
        log.write(f"line {number:02}\n".encode())
    assert lines_of(tmp_path) == ["line 00", "line 01", "line 02"], "the beginning of a fourth is taken back"
    log.on_time()
    assert log.lost == 7
    disk.room = 1 << 20
    log.on_time()
    log.write(b"line 10\n")
    assert lines_of(tmp_path)[3:] == ["lost log lines: 7 (No space left on device)", "line 10"]


def test_output_that_is_captured_follows_the_file_in_use(tmp_path: Path) -> None:
    with (tmp_path / "other").open("wb") as other:
        fd = os.dup(other.fileno())
    log = LogFile(tmp_path / "x.log", bytes_max=20, captured=(fd,))
    for number in range(4):
        log.write(f"line {number}\n".encode())
        os.write(fd, b"raw\n")
    assert (tmp_path / "other").read_text() == ""
    assert lines_of(tmp_path) == [text for number in range(4) for text in (f"line {number}", "raw")]
    os.close(fd)


def test_the_page_has_the_bounds() -> None:
    page = (Path(__file__).parents[3] / "docs" / "logs.md").read_text()
    size_mb = LOG_BYTES_MAX >> 20
    for row in (
        f"| size of a file | {size_mb} MB;",
        f"| old files of a log | {OLD_FILES} |",
        f"| all logs of a venue | {len(LOG_NAMES) * (1 + OLD_FILES) * size_mb} MB |",
        f"| {MESSAGE_CHARACTERS_MAX:,} and {TRACEBACK_CHARACTERS_MAX:,} characters;",
        f"| {LINES_ALIKE_PER_MINUTE_MAX} in a minute;",
    ):
        assert row in page, row
