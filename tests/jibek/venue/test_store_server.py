"""The embedded store: its settings, its place, and that it starts again after any kind of death."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.journal import Store, check_settings, connect
from jibek.venue import store_server
from jibek.venue.store_server import StoreUnavailable, command_line, is_serving, runtime_folder, socket_url
from tests.worlds.processes import wait_until


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Store, subprocess.Popen[bytes]]]:
    """The embedded store on a folder; it is killed at the end."""
    socket = runtime_folder(str(folder)) / store_server.SOCKET_NAME
    server = subprocess.Popen(command_line(folder, socket), stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_serving(socket_url(socket)), "the store serves")
        with connect(socket_url(socket)) as client:
            yield client, server
    finally:
        server.kill()
        server.wait()
        store_server.forget_runtime_folder(socket)
    assert not socket.parent.exists()


def test_its_settings_are_those_that_every_service_checks(tmp_path: Path) -> None:
    with serving(tmp_path) as (client, _):
        check_settings(client)
        assert client.config_get("port")["port"] == "0"
        assert client.config_get("save")["save"] == ""


def test_it_may_use_what_the_operator_says(tmp_path: Path) -> None:
    command_line(tmp_path, tmp_path / "socket", 20_000_000)
    assert "\nmaxmemory 20000000\n" in (tmp_path / "valkey.conf").read_text()


def test_what_it_has_answered_survives_a_kill(tmp_path: Path) -> None:
    with serving(tmp_path) as (client, server):
        client.set("answered", "yes")
        server.send_signal(signal.SIGKILL)
        server.wait()
    with serving(tmp_path) as (client, _):
        assert client.get("answered") == b"yes"


def test_a_torn_tail_is_dropped_and_the_rest_is_there(tmp_path: Path) -> None:
    with serving(tmp_path) as (client, _):
        client.set("first", "whole")
        client.set("second", "torn")
    (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    os.truncate(log, log.stat().st_size - 3)
    with serving(tmp_path) as (client, _):
        assert client.keys() == [b"first"]


def test_a_folder_with_a_space_in_its_name_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    with serving(folder) as (client, _):
        assert client.config_get("dir")["dir"] == str(folder)


def test_the_socket_has_a_short_path_however_long_the_data_folder_is(tmp_path: Path) -> None:
    long_place = tmp_path / ("y" * 100)
    long_place.mkdir()
    folder = runtime_folder("x" * 100, {"XDG_RUNTIME_DIR": str(long_place)})
    try:
        assert len(os.fsencode(folder / store_server.SOCKET_NAME)) <= store_server.SOCKET_PATH_BYTES_MAX
        assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        folder.rmdir()


def test_the_runtime_folder_of_the_session_comes_first() -> None:
    place = Path("/tmp") / f"jibek-test-{os.getpid()}"
    place.mkdir()
    try:
        folder = runtime_folder("data", {"XDG_RUNTIME_DIR": str(place)})
        assert folder.parent == place
        folder.chmod(0o755)
        with pytest.raises(StoreUnavailable, match="0700"):
            runtime_folder("data", {"XDG_RUNTIME_DIR": str(place)})
        folder.rmdir()
    finally:
        place.rmdir()


def test_two_data_folders_have_two_sockets() -> None:
    folders = {runtime_folder(name) for name in ("one", "two")}
    assert len(folders) == 2
    for folder in folders:
        folder.rmdir()


def test_a_container_with_less_memory_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(store_server, "_CGROUP_LIMITS", (limit, tmp_path / "none"))
    limit.write_text("max\n")
    whole = store_server.memory_limit_bytes()
    limit.write_text("1000000\n")
    assert store_server.memory_limit_bytes() == 600_000 < whole
