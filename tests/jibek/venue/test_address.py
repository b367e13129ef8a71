"""Finding the venue of a data folder, and its store."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.journal import Store
from engine.process import EXIT_UNREACHABLE
from jibek.console.failure import Failure
from jibek.venue.address import VenueAddress, find_venue, open_store, running_venue
from jibek.venue.folder import VENUE_FILE, DataFolder
from tests.worlds.store import StoreProcess

CONTENT: dict[str, Any] = {
    "pid": 1,
    "store": "unix:///x",
    "host": "127.0.0.1",
    "port": 9443,
    "engine": "compiled",
    "services": {"engine": 7},
    "states": {"engine": "ready", "gateway": "down: it crashed"},
    "restarts": {"engine": 0, "gateway": 3},
}


def test_a_venue_is_found_by_its_file(tmp_path: Path) -> None:
    (tmp_path / VENUE_FILE).write_text(json.dumps(CONTENT))
    venue = find_venue(tmp_path)
    assert venue == VenueAddress(
        tmp_path, 1, "unix:///x", "127.0.0.1", 9443, "compiled", {"engine": 7}, CONTENT["states"], CONTENT["restarts"]
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No venue runs on .*: start one with `jibek up`, or name its folder with --data."),
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"pid": "x", "store": "y"}', "cannot be read"),
        ('{"pid": 1, "store": "y", "services": []}', "cannot be read"),
        ('{"pid": 1, "store": "y", "restarts": {"engine": "x"}}', "cannot be read"),
    ],
)
def test_a_folder_without_a_venue_is_named(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / VENUE_FILE).write_text(text)
    with pytest.raises(Failure, match=says) as failure:
        find_venue(tmp_path)
    assert failure.value.exit_code == EXIT_UNREACHABLE


def test_no_other_venue_is_advised_where_a_folder_is_gone(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="put its folder back; do not start another") as failure:
        find_venue(tmp_path / "moved")
    assert (failure.value.exit_code, "`jibek up`" in failure.value.message) == (EXIT_UNREACHABLE, False)


@pytest.fixture
def held_folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose lock this process holds, as a `jibek up` does."""
    fd = DataFolder(tmp_path).lock()
    yield tmp_path
    os.close(fd)


def test_a_venue_knows_whether_its_supervisor_lives(held_folder: Path) -> None:
    venue = VenueAddress(held_folder, os.getpid(), "", "", 0, "", {})
    assert venue.is_running
    assert not replace(venue, pid=2**22 + 1).is_running


def test_a_process_that_has_got_the_number_of_a_dead_supervisor_is_no_venue(tmp_path: Path) -> None:
    assert not VenueAddress(tmp_path, os.getpid(), "", "", 0, "", {}).is_running


def test_its_password_is_in_no_text() -> None:
    assert "hidden" not in repr(VenueAddress(Path("data"), 1, "redis://:hidden@127.0.0.1/0", "", 0, "", {}))


def test_a_store_is_opened(server: StoreProcess, client: Store, tmp_path: Path) -> None:
    assert open_store(VenueAddress(tmp_path, 1, server.url, "", 0, "", {})).ping()


def test_a_store_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="does not answer: is the venue up") as failure:
        open_store(VenueAddress(tmp_path, 2**22 + 1, f"unix://{tmp_path}/nothing", "", 0, "", {}))
    assert failure.value.exit_code == EXIT_UNREACHABLE


def test_a_venue_that_runs_with_a_socket_that_cannot_be_seen_is_asked_for_a_private_tmp(held_folder: Path) -> None:
    with pytest.raises(Failure, match=r"runs, but the socket of its store, .*/nothing, .* private /tmp") as failure:
        open_store(VenueAddress(held_folder, os.getpid(), f"unix://{held_folder}/nothing", "", 0, "", {}))
    assert failure.value.exit_code == EXIT_UNREACHABLE


def test_the_socket_is_named_without_the_password(held_folder: Path) -> None:
    with pytest.raises(Failure, match=rf"the socket of its store, {held_folder}/nothing, ") as failure:
        open_store(VenueAddress(held_folder, os.getpid(), f"unix://:hidden@{held_folder}/nothing", "", 0, "", {}))
    assert "hidden" not in str(failure.value)


def test_a_file_that_names_no_store_is_no_venue(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="names no store"):
        open_store(VenueAddress(tmp_path, 1, "redis://:hid/den@h", "", 0, "", {}))


def test_a_file_of_another_user_is_no_venue_to_start_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("jibek.venue.state_file.read_private_json", refuse)
    with pytest.raises(Failure, match="run the command as the user of the venue") as failure:
        find_venue(tmp_path)
    assert failure.value.exit_code == EXIT_UNREACHABLE


def test_a_venue_whose_supervisor_has_died_does_not_run(held_folder: Path) -> None:
    (held_folder / VENUE_FILE).write_text(json.dumps(CONTENT | {"pid": os.getpid()}))
    assert running_venue(held_folder).pid == os.getpid()
    (held_folder / VENUE_FILE).write_text(json.dumps(CONTENT | {"pid": 2**22 + 1}))
    with pytest.raises(Failure, match="has died: `jibek up` starts it again") as failure:
        running_venue(held_folder)
    assert failure.value.exit_code == EXIT_UNREACHABLE
