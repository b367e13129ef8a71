"""What a venue relies on: removed sockets, files of the store, and what killed rewrites leave."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from jibek.venue.folder import DataFolder
from jibek.venue.surroundings import SpareSocket, StoreFiles, Surroundings, remove_left_overs

MANIFEST = """file appendonly.aof.1.base.rdb seq 1 type b
file appendonly.aof.0.incr.aof seq 0 type h
file appendonly.aof.1.incr.aof seq 1 type i
"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """A server on the socket `run/s`; the test works in the folder, because the path of a socket must be short."""
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir(mode=0o700)
    server = socket.socket(socket.AF_UNIX)
    server.bind("run/s")
    server.listen()
    return server


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def test_a_removed_socket_is_put_back(server: socket.socket) -> None:
    spare = SpareSocket(Path("run/s"))
    spare.keep()
    assert not spare.is_lost
    spare.socket.unlink()
    assert spare.is_lost and not connects(spare.socket)
    assert spare.restore() and connects(spare.socket)
    shutil.rmtree("run")
    assert spare.is_lost and spare.restore() and connects(spare.socket)
    spare.socket.unlink()
    spare.socket.write_text("something else")
    assert spare.is_lost and spare.restore() and connects(spare.socket)
    spare.forget()
    assert list(Path().iterdir()) == []
    server.close()


def test_without_the_spare_a_socket_is_not_put_back(server: socket.socket) -> None:
    spare = SpareSocket(Path("run/s"))
    spare.keep()
    shutil.rmtree("run-spare")
    spare.socket.unlink()
    assert not spare.restore()
    server.close()


def store_folder(tmp_path: Path) -> Path:
    """A store's folder as its server leaves it, without the file of its history."""
    folder = tmp_path / "store" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text(MANIFEST)
    for name in ("appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof"):
        (folder / name).touch()
    return folder


# What is removed, and what is missing then.
REMOVED: tuple[tuple[tuple[str, ...], list[str]], ...] = (
    ((), []),
    (("appendonly.aof.1.base.rdb",), ["appendonlydir/appendonly.aof.1.base.rdb"]),
    (("appendonly.aof.1.incr.aof",), ["appendonlydir/appendonly.aof.1.incr.aof"]),
    (("appendonly.aof.manifest",), ["appendonlydir"]),
)  # fmt: skip


@pytest.mark.parametrize(("removed", "missing"), REMOVED)
def test_removed_files_of_the_store_are_noticed(tmp_path: Path, removed: tuple[str, ...], missing: list[str]) -> None:
    folder = store_folder(tmp_path)
    for name in removed:
        (folder / name).unlink()
    assert StoreFiles(folder.parent).lost() == missing


def test_orders_stop_only_if_files_are_missing_twice(tmp_path: Path) -> None:
    """A rewrite of the log replaces the files while they are looked at."""
    folder = DataFolder(tmp_path)
    folder.create()
    aof = store_folder(tmp_path / "made")
    shutil.move(aof, folder.store)
    surroundings = Surroundings(folder, tmp_path / "run" / "s", "unix:///nowhere/s")
    surroundings.look(is_serving=True)
    assert not surroundings.orders_stop
    shutil.move(folder.store / "appendonlydir", tmp_path / "away")
    surroundings.look(is_serving=True)
    assert not surroundings.orders_stop
    surroundings.look(is_serving=True)
    assert "appendonlydir" in surroundings.faults["store"] and surroundings.orders_stop
    shutil.move(tmp_path / "away", folder.store / "appendonlydir")
    surroundings.look(is_serving=True)
    assert not surroundings.orders_stop and "store" not in surroundings.faults


def test_left_overs_of_killed_rewrites_are_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = store_folder(tmp_path)
    store = folder.parent
    left = [store / "temp-rewriteaof-123.aof", store / "temp-rewriteaof-bg-7.aof", store / "temp-9.rdb"]
    left += [folder / "temp-appendonly.aof.manifest"]
    for path in left:
        path.write_bytes(b"x")
    (store / "temp-1.rdb").mkdir()
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    (store / "temp-2.rdb").symlink_to(outside)
    (store / "valkey.conf").touch()
    assert sorted(remove_left_overs(store)) == sorted(path.name for path in left)
    assert not any(path.exists() for path in left)
    assert (store / "temp-1.rdb").is_dir() and outside.read_bytes() == b"mine" and (store / "valkey.conf").exists()
    assert StoreFiles(store).lost() == []


def test_files_that_cannot_be_looked_at_are_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store_folder(tmp_path)

    def refuse(self: Path) -> str:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Path, "read_text", refuse)
    assert StoreFiles(folder.parent).lost() == []


INCREMENT = "appendonlydir/appendonly.aof.1.incr.aof"


def replace_by_copy(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    copy.rename(path)


def cut(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("change", [replace_by_copy, cut, Path.unlink])
def test_a_file_that_is_not_what_the_server_writes_is_lost_until_there_is_another(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    folder = store_folder(tmp_path)
    path = folder.parent / INCREMENT
    path.write_bytes(b"some entries")
    files = StoreFiles(folder.parent)
    assert files.lost() == []
    with path.open("ab") as file:
        file.write(b"and more")
    assert files.lost() == []
    with path.open("ab"):  # Like the server, so that the number of the file is not given to another one.
        change(path)
        assert files.lost() == [INCREMENT]
        path.write_bytes(b"the server goes on behind what is no longer there")
        assert files.lost() == [INCREMENT]
    # A rewrite gives it a new name.
    path.rename(folder / "appendonly.aof.2.incr.aof")
    manifest = folder / "appendonly.aof.manifest"
    manifest.write_text(MANIFEST.replace("1.incr.aof seq 1", "2.incr.aof seq 2"))
    assert files.lost() == []


def test_an_empty_manifest_names_no_files(tmp_path: Path) -> None:
    folder = store_folder(tmp_path)
    cut(folder / "appendonly.aof.manifest")
    assert StoreFiles(folder.parent).lost() == ["appendonlydir"]


def test_orders_stop_while_another_folder_is_in_the_place_of_the_store(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    shutil.move(store_folder(tmp_path / "made"), folder.store)
    surroundings = Surroundings(folder, tmp_path / "run" / "s", "unix:///nowhere/s")
    surroundings.look(is_serving=True)
    assert not surroundings.orders_stop
    folder.store.rename(tmp_path / "aside")
    shutil.copytree(tmp_path / "aside", folder.store)
    surroundings.look(is_serving=True)
    assert surroundings.orders_stop and "put that back" in surroundings.faults["store"]
    shutil.rmtree(folder.store)
    (tmp_path / "aside").rename(folder.store)
    surroundings.look(is_serving=True)
    assert not surroundings.orders_stop
