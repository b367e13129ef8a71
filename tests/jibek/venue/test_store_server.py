"""The embedded store: its settings, its place, and that it starts again after any kind of death."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from engine.journal import SOCKET_NAME, Store, check_settings, connect, socket_url
from jibek.venue import store_server
from jibek.venue.store_binary import StoreBinary, StoreUnavailable, find_binary
from jibek.venue.store_server import command_line, is_serving, note_server, runtime_folder
from tests.worlds.processes import wait_until


@contextmanager
def serving(folder: Path, maxmemory_bytes: int | None = None) -> Iterator[tuple[Store, subprocess.Popen[bytes]]]:
    """The embedded store on a folder; it is killed at the end."""
    socket = runtime_folder(str(folder)) / SOCKET_NAME
    server = subprocess.Popen(command_line(folder, socket, maxmemory_bytes), stdout=subprocess.DEVNULL)
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


def test_the_connections_may_hold_a_tenth_and_at_least_one_large_read(tmp_path: Path) -> None:
    for memory_bytes, clients_bytes in ((16_000_000, 160 << 20), (8 << 30, (8 << 30) // 10)):
        command_line(tmp_path, tmp_path / "socket", memory_bytes)
        assert f"\nmaxmemory-clients {clients_bytes}\n" in (tmp_path / "valkey.conf").read_text()


def test_a_small_store_that_is_full_can_be_read(tmp_path: Path) -> None:
    """A read of all of it is larger than a tenth of its memory."""
    with serving(tmp_path, 16_000_000) as (client, _):
        count = 0
        with contextlib.suppress(redis.OutOfMemoryError):
            while True:
                client.xadd("entries", {"batch": os.urandom(500_000)})
                count += 1
        assert count > 20
        assert len(client.xrange("entries", count=64)) == count


SERVERS = [
    ("Valkey 9.1.2", "Valkey 9.1.2", True),
    ("Valkey 9.1.2", "Valkey 9.1.0", True),
    ("Valkey 9.1.2", "Valkey 10.0.0", True),
    ("Redis 7.0.15", "Valkey 9.1.2", True),
    ("Redis 7.0.15", "Redis 7.2.1", True),
    ("Valkey 9.1.2", "Valkey 9.0.3", False),
    ("Redis 7.2.1", "Redis 7.0.15", False),
    ("Valkey 7.2.5", "Redis 8.2.0", False),
]


def binary_of(text: str) -> StoreBinary:
    name, version = text.split()
    return StoreBinary("server", name, version, "", "")


def base_of(text: str) -> bytes:
    """The beginning of a base file of a server."""
    name, version = text.lower().split()
    return f"REDIS0011\xfa{chr(len(name) + 4)}{name}-ver{chr(len(version))}{version}\xfa\x0aredis-bits\xc0@".encode(
        "latin1"
    )


@pytest.mark.parametrize("witness", ["mark", "base"])
@pytest.mark.parametrize(("before", "after", "is_read"), SERVERS)
def test_a_server_that_cannot_read_the_files_is_refused(
    tmp_path: Path, witness: str, before: str, after: str, is_read: bool
) -> None:
    """It would call them broken and advise to cut them. Either of the two that name the server may be gone."""
    folder = tmp_path / "appendonlydir"
    folder.mkdir()
    if witness == "mark":
        note_server(tmp_path, binary_of(before))
    else:
        (folder / "appendonly.aof.1.base.rdb").write_bytes(base_of(before))
    if is_read:
        assert command_line(tmp_path, tmp_path / "socket", binary=binary_of(after))[0] == "server"
        return
    with pytest.raises(StoreUnavailable, match=f"was written by {before}, which {after} cannot read"):
        command_line(tmp_path, tmp_path / "socket", binary=binary_of(after))


def test_a_newer_server_that_has_not_served_locks_no_other_out(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    note_server(tmp_path, binary_of("Valkey 9.1.2"))
    command_line(tmp_path, tmp_path / "socket", binary=binary_of("Valkey 10.0.0"))
    command_line(tmp_path, tmp_path / "socket", binary=binary_of("Valkey 9.1.2"))
    note_server(tmp_path, binary_of("Valkey 10.0.0"))
    with pytest.raises(StoreUnavailable, match=r"was written by Valkey 10\.0\.0"):
        command_line(tmp_path, tmp_path / "socket", binary=binary_of("Valkey 9.1.2"))


def test_the_base_file_of_this_server_names_it(tmp_path: Path) -> None:
    with serving(tmp_path):
        pass
    found = find_binary(None)
    assert store_server._servers_before(tmp_path) == [(found.name, found.version)]


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
        assert len(os.fsencode(folder / SOCKET_NAME)) <= store_server.SOCKET_PATH_BYTES_MAX
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


@pytest.mark.parametrize("mode", [0o777, 0o2777])
def test_a_place_where_others_may_rename_the_folder_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    session, temporary = tmp_path / "session", tmp_path / "temporary"
    for place in (session, temporary):
        place.mkdir()
    session.chmod(mode)
    monkeypatch.setattr(store_server, "SOCKET_PATH_BYTES_MAX", 1000)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(temporary))
    folder = runtime_folder("data", {"XDG_RUNTIME_DIR": str(session)})
    assert folder.parent == temporary and not list(session.iterdir())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (os.fsdecode(b"caf\xe9"), r"caf\\xe9 is not UTF-8"),
        ('a"quote', "holds a quote"),
        ("y" * 100, "is too long"),
        ("missing", "is not writable, or not there"),
        ("open", "is writable by every user"),
    ],
)
def test_where_no_place_will_do_the_text_names_each_and_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    place = tmp_path / name
    if name != "missing":
        place.mkdir()
    if name == "open":
        place.chmod(0o777)
    monkeypatch.setattr(store_server, "SOCKET_PATH_BYTES_MAX", 100 if "y" in name else 1000)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "nowhere"))
    real_access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: os.fsencode(path) != b"/tmp" and real_access(path, mode))
    with pytest.raises(StoreUnavailable, match=f"{says}.*; .*Set XDG_RUNTIME_DIR or TMPDIR") as refused:
        runtime_folder("data", {"XDG_RUNTIME_DIR": str(place)})
    str(refused.value).encode()


def test_a_socket_serves_whatever_characters_are_in_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="jibek-?#50%&", dir="/tmp") as place:
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        data = Path(place) / "data"
        data.mkdir()
        with serving(data) as (client, _):
            assert client.connection_pool.connection_kwargs["path"].startswith(place)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_folder_of_another_user_is_refused_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    os.chown(tmp_path / "run", 65534, 65534)
    with pytest.raises(StoreUnavailable, match=r"run belongs to .*: remove it, or set XDG_RUNTIME_DIR"):
        store_server.make_runtime_folder(tmp_path / "run")


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
