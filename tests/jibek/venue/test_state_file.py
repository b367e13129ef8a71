"""venue.json: written over in place, read whole."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from jibek.venue.state_file import FILE_BYTES, StateFile, UnreadableState, encode, read_state


def facts(number: int) -> dict[str, object]:
    """A state whose every part says the same number."""
    return {"pid": number, "states": {f"process-{place}": "x" * (number % 50) for place in range(20)}, "last": number}


def test_a_state_is_written_over_in_place_for_this_user_alone(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "venue.json")
    file.open()
    file.write(facts(1))
    before = file.path.stat()
    file.write(facts(2))
    after = file.path.stat()
    assert read_state(file.path)["pid"] == 2
    assert (before.st_ino, before.st_blocks) == (after.st_ino, after.st_blocks), "no block is allocated any more"
    assert (after.st_mode & 0o777, after.st_size) == (0o600, FILE_BYTES)
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_reader_sees_one_state_or_the_other(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "venue.json")
    file.write(facts(0))
    ending = threading.Event()

    def write() -> None:
        number = 0
        while not ending.is_set():
            number += 1
            file.write(facts(number))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            found = read_state(file.path)
            assert found["pid"] == found["last"]
    finally:
        ending.set()
        writer.join()


def test_a_state_half_written_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "venue.json"
    whole, other = encode(facts(7)), encode(facts(8))
    torn = whole[: len(whole) // 2] + other[len(other) // 2 :]
    path.write_bytes(torn)
    monkeypatch.setattr(time, "sleep", lambda seconds: path.write_bytes(whole))
    assert read_state(path)["pid"] == 7


@pytest.mark.parametrize("content", [b"", b"{", b"[]", encode(facts(1)).replace(b'"last": 1', b'"last": 2')])
def test_what_is_no_state_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    path = tmp_path / "venue.json"
    path.write_bytes(content)
    with pytest.raises(UnreadableState):
        read_state(path)


def test_a_file_that_was_removed_is_made_again_and_a_missing_folder_only_said(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    file = StateFile(folder / "venue.json")
    file.write(facts(1))
    file.path.unlink()
    file.write(facts(2))
    assert read_state(file.path)["pid"] == 2
    folder.rename(tmp_path / "away")
    file.write(facts(3))
    assert file.fault == "venue.json cannot be written: No such file or directory"
    (tmp_path / "away").rename(folder)
    file.write(facts(4))
    assert (file.fault, read_state(file.path)["pid"]) == ("", 4)
    file.remove()


def test_a_disk_without_room_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    file = StateFile(tmp_path / "venue.json")
    monkeypatch.setattr(os, "write", full)
    file.write(facts(1))
    assert file.fault == "venue.json cannot be written: No space left on device"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_only_the_own_file_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    file = StateFile(folder / "venue.json")
    file.write(facts(1))
    folder.rename(tmp_path / "moved")
    folder.mkdir()
    other = StateFile(folder / "venue.json")
    other.write(facts(2))
    file.remove()
    assert read_state(other.path)["pid"] == 2
    other.remove()
    assert not other.path.exists()
