"""A detached venue on an operator's store with a password, and what other users, planted files and hasty hands can do to it.

The tests share one venue and run in their order; the last one ends it.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from jibek.main import main
from jibek.venue.folder import MARKER_FILE
from tests.worlds.processes import WAIT_S, wait_until
from tests.worlds.store import StoreProcess
from tests.worlds.venue import VenueProcess

PASSWORD = "hidden-in-the-environment"


@pytest.fixture(scope="module")
def store_url() -> Iterator[str]:
    store = StoreProcess()
    store.client().config_set("requirepass", PASSWORD)
    yield f"unix://:{PASSWORD}@{store.socket}"
    store.remove()


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory, store_url: str) -> Iterator[VenueProcess]:
    """The venue, started by a user whose files are everybody's."""
    venue = VenueProcess(tmp_path_factory.mktemp("venue") / "data")
    command = [
        sys.executable,
        "-m",
        "jibek",
        "up",
        "--detach",
        "--data",
        str(venue.data),
        "--port",
        str(venue.options.port),
    ]
    environment = {**os.environ, "JIBEK_STORE": store_url}
    up = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_S, umask=0, check=False)
    assert up.returncode == 0, up.stderr
    assert PASSWORD not in up.stdout + up.stderr
    yield venue
    jibek("down", "--data", str(venue.data))


def jibek(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_password_is_in_no_list_of_processes(venue: VenueProcess) -> None:
    pids = [venue.facts()["pid"], *venue.pids().values()]
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    assert len(lines) == 4 and all(b"--data" in line for line in lines)
    everything = [
        path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if int(path.parent.name) != os.getpid()
    ]
    assert not any(PASSWORD.encode() in line for line in everything)


def test_the_password_is_in_no_log(venue: VenueProcess) -> None:
    logs = list(venue.folder.logs.iterdir())
    assert logs
    assert not any(PASSWORD in path.read_text() for path in logs)


def test_commands_find_the_store_all_the_same(venue: VenueProcess) -> None:
    made = jibek("account", "create", "alice", "--data", str(venue.data))
    assert made.exit_code == 0, made.output


def test_all_that_the_venue_has_made_is_for_its_user_alone(venue: VenueProcess) -> None:
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (venue.data, *venue.data.rglob("*"))}
    assert len(modes) > 8
    assert [str(path) for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)] == []


def test_every_process_makes_files_for_its_user_alone(venue: VenueProcess) -> None:
    for name, pid in {"up": venue.facts()["pid"], **venue.pids()}.items():
        assert "\nUmask:\t0077\n" in Path(f"/proc/{pid}/status").read_text(), name


def test_a_url_with_a_password_on_the_command_line_is_wrong_usage(venue: VenueProcess, store_url: str) -> None:
    result = jibek("up", "--data", str(venue.data), "--store", store_url)
    assert result.exit_code == EXIT_USAGE
    assert PASSWORD not in result.stderr
    assert "JIBEK_STORE in the environment" in result.stderr and "--store-file" in result.stderr


def test_a_second_venue_on_the_same_store_is_refused_by_name(
    venue: VenueProcess, store_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "store"
    file.touch(mode=0o600)
    file.write_text(store_url)
    command = [sys.executable, "-m", "jibek", "up", "--data", str(tmp_path / "data"), "--store-file", str(file)]
    command += ["--port", str(venue.options.port + 1)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert result.returncode == EXIT_REFUSED
    assert f"Another venue runs on this store: `jibek up`, process {venue.facts()['pid']} on " in result.stderr
    assert PASSWORD not in result.stderr


def test_a_second_venue_is_refused_whatever_file_was_removed(venue: VenueProcess) -> None:
    facts = venue.facts()
    kept = {path: path.read_bytes() for path in venue.data.iterdir() if path.is_file()}
    assert {path.name for path in kept} >= {MARKER_FILE, "venue.json", "secret.key"}
    for path in kept:
        path.unlink()
    try:
        result = jibek("up", "--data", str(venue.data), "--port", str(venue.options.port + 1))
    finally:
        for path, content in kept.items():
            path.touch(mode=0o600)
            path.write_bytes(content)
    assert result.exit_code == EXIT_REFUSED
    assert result.stderr.startswith(
        f"{venue.data} is in use by `jibek up`, process {facts['pid']}: `jibek down --data {venue.data}`"
    )
    assert venue.facts() == facts


def test_down_ends_the_venue_and_not_the_process_that_a_planted_file_names(venue: VenueProcess) -> None:
    pid = venue.facts()["pid"]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as foreign:
        for name in ("lock", "up.pid", "venue.json"):
            (venue.data / name).write_text(json.dumps({"pid": foreign.pid}))
        result = jibek("down", "--data", str(venue.data))
        assert result.exit_code == 0, result.stderr
        assert foreign.poll() is None
        foreign.terminate()
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the venue has ended")
    assert jibek("down", "--data", str(venue.data)).exit_code == EXIT_UNREACHABLE


# -- without a venue


def test_down_does_not_end_what_holds_the_folder_and_is_no_venue(tmp_path: Path) -> None:
    code = "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print(); input()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as foreign:
        assert foreign.stdout is not None and foreign.stdout.readline()
        result = jibek("down", "--data", str(tmp_path))
        assert result.exit_code == EXIT_REFUSED
        assert f"is held by process {foreign.pid}, which is no `jibek up`" in result.stderr
        assert foreign.poll() is None
        foreign.terminate()


def test_reset_leaves_a_folder_alone_that_has_a_file_named_lock(tmp_path: Path) -> None:
    for name in ("lock", "precious.txt"):
        (tmp_path / name).touch()
    result = jibek("reset", "--yes", "--data", str(tmp_path))
    assert result.exit_code == EXIT_UNREACHABLE
    assert "is not the data folder of a venue" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "precious.txt"]


def test_reset_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / MARKER_FILE).write_text(json.dumps({"format": "jibek venue 1", "venue": "0" * 32}))
    (tmp_path / "link").symlink_to("data")
    result = jibek("reset", "--yes", "--data", str(tmp_path / "link"))
    assert result.exit_code == EXIT_REFUSED
    assert "is a link: name the folder that it leads to" in result.stderr
    assert (tmp_path / "data" / MARKER_FILE).exists()


def test_up_does_not_settle_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    for detached in ((), ("--detach",)):
        result = jibek("up", "--data", str(tmp_path), *detached)
        assert result.exit_code == EXIT_REFUSED
        assert "is no data folder of a venue, and it is not empty: 'thesis.tex'" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
@pytest.mark.parametrize("command", ["up", "down", "status", "logs", "reset"])
def test_a_folder_of_another_user_is_refused_by_name(tmp_path: Path, command: str) -> None:
    data = tmp_path / "data"
    (data / "logs").mkdir(parents=True)
    (data / "logs" / "engine.log").touch()
    os.chown(data, 65534, 65534)
    result = jibek(command, "--data", str(data))
    assert result.exit_code == EXIT_REFUSED
    assert result.stderr.startswith(f"{data} belongs to ") and "chown" in result.stderr


@pytest.mark.parametrize("part", ["secret.key", "logs", "store"])
def test_a_link_in_the_place_of_a_part_is_refused(tmp_path: Path, part: str) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir(mode=0o700)
    if part == "secret.key":
        elsewhere.touch(mode=0o600)
        elsewhere.write_bytes(bytes(32))
    else:
        elsewhere.mkdir()
    (data / part).symlink_to(elsewhere)
    result = jibek("up", "--data", str(data))
    assert result.exit_code == EXIT_REFUSED
    assert result.stderr.startswith(f"{data / part} is a link")
    assert part == "secret.key" or not any(elsewhere.iterdir())
