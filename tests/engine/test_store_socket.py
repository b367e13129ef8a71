"""The socket of the embedded store: nothing is said to a store of another user that is in its place."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.connection import parse_url

from engine.journal import (
    SOCKET_NAME,
    ForeignStore,
    check_server,
    check_socket_place,
    connect,
    own_connection,
    socket_folder_name,
    socket_of,
    socket_url,
)
from gateway.journal import link

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
FOREIGN_UID = 65534


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="jibek-test-", dir="/tmp") as folder:
        yield Path(folder)


@contextmanager
def listening(path: Path, uid: int) -> Iterator[socket.socket]:
    """A server that the kernel takes for one of another user; it accepts, and would hear what is said."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        own = os.geteuid()
        os.seteuid(uid)
        try:
            server.listen()
        finally:
            os.seteuid(own)
        server.settimeout(5)
        yield server


def embedded(place: Path) -> Path:
    folder = place / socket_folder_name("data")
    folder.mkdir(mode=0o700)
    return folder / SOCKET_NAME


def heard(server: socket.socket) -> bytes:
    """What the next client has said until it hung up."""
    client, _ = server.accept()
    with client:
        client.settimeout(5)
        return b"".join(iter(lambda: client.recv(4096), b""))


def connect_link(path: Path) -> None:
    async def run() -> None:
        made = link.StoreLink(lambda lost: None, lambda error: None)
        try:
            await link.connect(socket_url(path), made)
        finally:
            made.close()

    asyncio.run(run())


@needs_root
def test_a_server_of_another_user_is_told_nothing(place: Path) -> None:
    path = embedded(place)
    with listening(path, FOREIGN_UID) as server:
        with pytest.raises(ForeignStore, match=f"{path} is served by user {FOREIGN_UID}.*XDG_RUNTIME_DIR"):
            connect(socket_url(path)).ping()
        assert heard(server) == b""
        with pytest.raises(ForeignStore, match="is served by"):
            own_connection(connect(socket_url(path)))
        assert heard(server) == b""
        with pytest.raises(ConnectionError, match="is served by"):
            connect_link(path)
        assert heard(server) == b""


@needs_root
@pytest.mark.parametrize("whose", ["folder", "socket"])
def test_a_place_of_another_user_is_not_connected_to(place: Path, whose: str) -> None:
    path = embedded(place)
    with listening(path, 0):
        check_socket_place(str(path))
        os.chown(path if whose == "socket" else path.parent, FOREIGN_UID, FOREIGN_UID)
        with pytest.raises(ForeignStore, match=f"belongs to user {FOREIGN_UID}"):
            connect(socket_url(path)).ping()
        with pytest.raises(ConnectionError, match="belongs to user"):
            connect_link(path)


@needs_root
def test_the_store_of_an_operator_may_run_as_any_user(place: Path) -> None:
    path = place / "valkey.sock"
    with listening(path, FOREIGN_UID) as server:
        os.chown(path, FOREIGN_UID, FOREIGN_UID)
        client = connect(f"unix://{path}", timeout_s=0.05)
        with pytest.raises(redis.TimeoutError):
            client.ping()
        client.close()
        assert heard(server)


@pytest.mark.parametrize("what", ["folder", "socket"])
def test_a_link_is_not_followed(place: Path, what: str) -> None:
    other = place / "other"
    other.mkdir()
    with listening(other / SOCKET_NAME, os.geteuid()):
        path = place / socket_folder_name("data") / SOCKET_NAME
        if what == "folder":
            path.parent.symlink_to(other)
        else:
            path.parent.mkdir()
            path.symlink_to(other / SOCKET_NAME)
        with pytest.raises(ForeignStore, match="is not what `jibek up` has put there"):
            check_socket_place(str(path))


def test_a_server_of_this_user_passes(place: Path) -> None:
    path = embedded(place)
    with listening(path, os.geteuid()), socket.socket(socket.AF_UNIX) as client:
        check_socket_place(str(path))
        client.connect(str(path))
        check_server(str(path), client)


def test_a_socket_that_is_gone_is_a_lost_store(place: Path) -> None:
    path = embedded(place)
    with pytest.raises(redis.ConnectionError) as lost:
        connect(socket_url(path)).ping()
    assert not isinstance(lost.value, ForeignStore)
    with pytest.raises(FileNotFoundError):
        connect_link(path)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_url_leads_to_the_path_that_it_was_made_of(name: str) -> None:
    path = Path("/tmp") / name
    url = socket_url(path)
    assert parse_url(url)["path"] == str(path)  # type: ignore[no-untyped-call]
    assert socket_of(url) == path
