"""A venue for as long as a block: gone at the end, kept for inspection if the block failed."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from jibek.console.failure import Failure
from jibek.venue import temporary_venue as module
from jibek.venue.address import find_venue
from jibek.venue.folder import DataFolder
from jibek.venue.temporary_venue import temporary_venue


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the venue will be."""
    monkeypatch.setattr(tempfile, "mkdtemp", lambda prefix: str(tmp_path / prefix))
    return tmp_path / "jibek-test-"


def test_it_runs_as_long_as_the_block(folder: Path) -> None:
    with temporary_venue("test") as data:
        assert data == folder
        assert find_venue(data).is_running
    assert not folder.exists()


def test_it_is_kept_if_the_block_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), temporary_venue("test"):
        raise ZeroDivisionError
    assert not DataFolder(folder).is_locked()
    assert (folder / "logs" / "up.log").exists()
    assert capsys.readouterr().err == f"The venue's data and logs are kept in {folder}.\n"


def test_it_is_deleted_after_ctrl_c(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), temporary_venue("test"):
        raise KeyboardInterrupt
    assert not folder.exists()


def test_a_venue_that_does_not_start_is_a_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(module, "free_port", lambda: taken.getsockname()[1])
        with pytest.raises(Failure, match=str(taken.getsockname()[1])), temporary_venue("test"):
            pass
