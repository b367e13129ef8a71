"""What `jibek up` says before it starts anything."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.process.disk import Disk
from jibek.venue import preflight
from jibek.venue.launch import VenueOptions
from jibek.venue.preflight import StartFailed, check_store_answers, start_failed
from jibek.venue.supervisor import Supervisor
from tests.worlds.store import StoreProcess

FULL = "The disk is full: make room in the data folder, and start again."


def error_of(number: int, path: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), *([path] if path else []))


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (error_of(errno.ENOSPC), f"The venue did not start: /data: No space left on device. {FULL}"),
        (
            error_of(errno.ENOSPC, "/data/jibek-venue.json"),
            f"The venue did not start: /data/jibek-venue.json: No space left on device. {FULL}",
        ),
        (OSError("odd"), "The venue did not start: /data: odd."),
    ],
)
def test_an_error_of_the_system_gets_its_path_and_a_cure(error: OSError, text: str) -> None:
    assert str(start_failed(error, Path("/data"))) == text


@pytest.fixture
def signals() -> Iterator[None]:
    """Those that a supervisor takes over."""
    numbers = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_full_disk_is_named_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: None
) -> None:
    monkeypatch.setattr(preflight, "read_disk", lambda _: Disk(0, 1 << 30))
    supervisor = Supervisor(VenueOptions(tmp_path / "data", engine="reference"), lambda line: None)
    with pytest.raises(StartFailed, match=r"The disk of .*/data is full .0 MB are free.: make room, at least 11 MB"):
        supervisor.run()
    assert not supervisor.folder.marker_file.exists()


def test_a_file_that_cannot_be_written_fails_the_start_with_path_and_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: None
) -> None:
    def full(*_: object) -> None:
        raise error_of(errno.ENOSPC)

    supervisor = Supervisor(VenueOptions(tmp_path / "data", engine="reference"), lambda line: None)
    monkeypatch.setattr(supervisor, "_start", full)
    monkeypatch.setattr("jibek.venue.supervisor.check_port", lambda *_: None)
    with pytest.raises(StartFailed, match=f"{tmp_path}/data: No space left on device. {FULL}"):
        supervisor.run()


def test_a_store_with_another_password_is_named_as_such() -> None:
    store = StoreProcess()
    try:
        store.client().config_set("requirepass", "right")
        for password in ("", "jibek:wrong@", ":wrong@"):
            url = store.url.replace("://", f"://{password}")
            with pytest.raises(StartFailed, match="does not take the user and password") as refused:
                check_store_answers(url)
            assert "wrong" not in str(refused.value)
        check_store_answers(store.url.replace("://", "://:right@"))
    finally:
        store.remove()
