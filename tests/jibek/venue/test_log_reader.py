"""Reading logs: the last lines across old files, and following a log that is rotated."""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path

import pytest

from engine.process.private_files import UnsafePath
from jibek.venue import log_reader
from jibek.venue.log_file import LogFile
from jibek.venue.log_reader import LogFollower, last_lines, since_time


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "BLOCK_BYTES", 7)


def numbers(lines: list[str]) -> list[int]:
    return [int(line.split()[-1]) for line in lines]


@pytest.mark.parametrize("count", [0, 1, 2, 5, 11, 24, 25, 1000])
def test_the_last_lines_are_counted_over_the_old_files_as_well(tmp_path: Path, count: int) -> None:
    log = LogFile(tmp_path / "x.log", bytes_max=100)
    for number in range(25):
        log.write(f"line {number}\n".encode())
    assert numbers(list(last_lines(log.path, count))) == list(range(25))[len(range(25)) - count if count < 25 else 0 :]


@pytest.mark.parametrize(("content", "lines"), [(b"", []), (b"\n", [""]), (b"a", ["a"]), (b"a\n\nb", ["a", "", "b"])])
def test_odd_files(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    (tmp_path / "x.log").write_bytes(content)
    for count in (1, 2, 3, 9):
        assert list(last_lines(tmp_path / "x.log", count)) == lines[-count:]


def test_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret\n")
    (tmp_path / "x.log").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafePath):
        list(last_lines(tmp_path / "x.log", 5))
    follower = LogFollower(tmp_path / "x.log")
    with (tmp_path / "secret").open("a") as file:
        file.write("more\n")
    assert list(follower.new_lines()) == []


def test_a_long_line_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "LINE_BYTES_MAX", 10)
    (tmp_path / "x.log").write_bytes(b"0123456789" * 3 + b"\n")
    assert "".join(last_lines(tmp_path / "x.log", 5)) == "0123456789" * 3


def test_lines_since_a_time_in_either_format(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text(
        "no time\n"
        "2026-11-26T10:00:00.000000Z engine[1] - INFO 1\n"
        '{"time":"2026-11-26T10:00:01.500000Z","process":"engine","message":"2"}\n'
        "what goes with it\n"
        "2026-99-99T99:99:99Z engine[1] - INFO 3\n"
    )
    moment = datetime.datetime(2026, 11, 26, 10, 0, 1, tzinfo=datetime.UTC)
    assert len(list(last_lines(tmp_path / "x.log", 99, moment))) == 3
    assert len(list(last_lines(tmp_path / "x.log", 3, moment - datetime.timedelta(hours=1)))) == 3
    assert list(last_lines(tmp_path / "x.log", 99, moment + datetime.timedelta(hours=1))) == []


NOW = datetime.datetime(2026, 11, 26, 10, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", "2026-11-26T10:29:30"),
        ("1d", "2026-11-25T10:30:00"),
        ("999999999d", "0001-01-01T00:00:00"),
        ("2026-11-26", "2026-11-26T00:00:00"),
        ("2026-11-26T12:00+05:00", "2026-11-26T07:00:00"),
    ],
)
def test_a_time_as_operators_write_it(text: str, expected: str) -> None:
    assert since_time(text, NOW).astimezone(datetime.UTC).isoformat() == f"{expected}+00:00"


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "1w", "yesterday", "2026-13-01", "\ud800"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        since_time(text, NOW)


# After how many lines the follower looks.
@pytest.mark.parametrize("steps", [[1], [3, 1, 10], [40], [7]])
def test_every_line_is_followed_through_rotations(tmp_path: Path, steps: list[int]) -> None:
    log = LogFile(tmp_path / "x.log", bytes_max=200)
    log.write(b"before -1\n")
    follower, number = LogFollower(log.path), 0
    seen: list[str] = []
    for step in itertools.islice(itertools.cycle(steps), 30):
        for _ in range(step):
            log.write(f"line {number}\n".encode())
            number += 1
        seen += follower.new_lines()
    follower.close()
    assert numbers(seen) == list(range(number))


def test_a_log_that_comes_goes_and_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    follower = LogFollower(path)
    assert list(follower.new_lines()) == []
    path.write_text("one\ntw")
    assert list(follower.new_lines()) == ["one"]
    with path.open("a") as file:
        file.write("o\n")
    assert list(follower.new_lines()) == ["two"]
    path.write_text("3\n")
    assert list(follower.new_lines()) == ["3"]
    path.unlink()
    assert list(follower.new_lines()) == []
    path.write_text("four\n")
    assert list(follower.new_lines()) == ["four"]
    follower.close()
