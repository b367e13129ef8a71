"""The machine's bad days: processes that are stopped, disks that are full, files that somebody removes.

Whatever it is, `jibek status` says it, `jibek up` goes on, and so does the venue by itself once the cause is gone. Bounds of
time are those of `WAIT_S`: how soon a state is shown is what the constants of `jibek.venue.children` say.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from engine.journal import EntryId
from jibek.client.trading import Credentials, RequestRefused, TradingClient
from tests.worlds.processes import is_running, wait_until
from tests.worlds.store import StoreProcess
from tests.worlds.venue import VenueProcess

PROCESSES = ("engine", "settlement", "gateway", "store")


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueProcess]:
    """A venue that each test leaves ready."""
    venue = VenueProcess(tmp_path_factory.mktemp("days") / "data")
    venue.start()
    yield venue
    venue.end()


def states(venue: VenueProcess) -> dict[str, str]:
    found: dict[str, str] = venue.facts()["states"]
    return found


def wait_until_ready(venue: VenueProcess) -> None:
    try:
        wait_until(lambda: set(states(venue).values()) == {"ready"}, "all is ready")
    except AssertionError as error:
        raise AssertionError(f"{error}: {states(venue)}") from None


def assert_it_trades(venue: VenueProcess, name: str) -> None:
    """An order that is acknowledged, by a new account."""
    with trading(venue, name) as place:
        assert place("order") == ""


@contextlib.contextmanager
def trading(venue: VenueProcess, name: str) -> Iterator[Callable[[str], str]]:
    """A new account with money, logged on. Yields a function that places an order with a client order id, and returns how it
    was refused, if it was."""
    venue.json("account", "create", name, "--deposit", "BTC=10", "--why", "test")
    made = venue.json("account", "key", name, "--type", "ed25519")
    client = TradingClient(made["urls"]["ws_api"], Credentials.ed25519(made["key"], made["private_key"]))

    async def place(client_id: str) -> str:
        try:
            await client.call(
                "order.place", symbol="BTCKZT", side="SELL", type="LIMIT", timeInForce="GTC", price="45000000",
                quantity="0.001", newClientOrderId=client_id,
            )  # fmt: skip
        except RequestRefused as refused:
            return str(refused)
        return ""

    with asyncio.Runner() as runner:
        runner.run(client.__aenter__())
        yield lambda client_id: runner.run(place(client_id))
        runner.run(client.__aexit__(None, None, None))


# -- processes that are stopped


@pytest.mark.parametrize("name", PROCESSES)
def test_a_stopped_process_is_shown_and_is_ready_again(venue: VenueProcess, name: str) -> None:
    pid = venue.pids()[name]
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: states(venue)[name].startswith("stopped answering"), f"the {name} is missed")
        status = venue.jibek("status")
        assert status.returncode == 1
        line = next(line for line in status.stdout.splitlines() if line.startswith(name))
        assert "stopped answering" in line
        wait_until(lambda: f"The {name}: stopped answering" in venue.said(), "it was said")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until_ready(venue)
    assert venue.pids()[name] == pid, "it was not restarted"
    wait_until(lambda: f"The {name} is ready again." in venue.said(), "it was said")
    assert venue.said().count(f"The {name}: stopped answering") == 1


def shown_as_stopped(venue: VenueProcess) -> subprocess.CompletedProcess[str] | None:
    """What `jibek status` says of a `jibek up` that has stopped; None if it does not."""
    status = venue.jibek("status")
    line = next(line for line in status.stdout.splitlines() if line.startswith("up"))
    return status if "stopped answering" in line else None


def test_a_stopped_supervisor_is_shown_and_blames_nobody_afterwards(venue: VenueProcess) -> None:
    before = venue.said()
    pid = venue.facts()["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        shown = wait_until(lambda: shown_as_stopped(venue), "that is shown")
        assert shown.returncode == 1 and "the states of the others are as old" in shown.stdout
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: venue.jibek("status").returncode == 0, "all is ready")
    assert venue.said() == before


# -- files that were removed


def test_what_was_removed_in_the_data_folder_comes_back(venue: VenueProcess) -> None:
    gateway = venue.pids()["gateway"]
    removed = [venue.folder.logs, venue.data / "watermarks", venue.folder.venue_file]
    shutil.rmtree(venue.data / "refusals", ignore_errors=True)
    for path in removed:
        path.rename(venue.data.with_name(f"removed-{path.name}"))  # In one step: they are made again at once.
    wait_until(lambda: all(path.exists() for path in removed), "all are made again")
    wait_until_ready(venue)
    assert venue.pids()["gateway"] == gateway
    assert_it_trades(venue, "removed")


def test_a_watermark_that_cannot_be_written_is_shown_until_it_can(venue: VenueProcess) -> None:
    mark = venue.data / "watermarks" / "engine.json"
    in_the_way = mark.with_suffix(".new")
    in_the_way.mkdir()
    mark.unlink()
    wait_until(lambda: "watermark" in states(venue)["engine"], "it is shown")
    status = venue.jibek("status")
    assert status.returncode == 1 and "engine.json cannot be written: Is a directory" in status.stdout
    in_the_way.rmdir()
    wait_until_ready(venue)
    assert mark.exists()


def remove(log: Path) -> None:
    shutil.rmtree(log)


def replace_by_a_copy(log: Path) -> None:
    """The server goes on writing into the file that has no name any more."""
    (written,) = log.glob("*.incr.aof")
    shutil.copy2(written, log / "copy")
    (log / "copy").rename(written)


@pytest.mark.parametrize("damage", [remove, replace_by_a_copy])
def test_a_store_that_has_lost_its_files_writes_them_anew_before_orders_are_taken(
    venue: VenueProcess, damage: Callable[[Path], None]
) -> None:
    gateway = venue.pids()["gateway"]
    damage(venue.folder.store / "appendonlydir")
    venue.wait_until_back("gateway", gateway)
    wait_until_ready(venue)
    assert list((venue.folder.store / "appendonlydir").glob("*.base.rdb"))
    assert_it_trades(venue, f"rewritten-{damage.__name__}")
    wait_until_nothing_is_lost(venue)


# -- a store that answers, and that the venue cannot use


def test_a_store_that_takes_no_writes_is_trouble_until_it_does(venue: VenueProcess) -> None:
    pids = venue.pids()
    client = venue.store()
    with trading(venue, "read-only") as place:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        wait_until(lambda: "read only replica" in states(venue)["store"], "it is shown")
        assert venue.jibek("status").returncode == 1
        client.execute_command("REPLICAOF", "NO", "ONE")
        wait_until_ready(venue)
        assert place("after") == ""
    client.function_flush()
    wait_until(lambda: len(client.function_list()) == 2, "the functions are loaded again")
    wait_until_ready(venue)
    assert_it_trades(venue, "functions")
    assert venue.pids() == pids
    client.close()


def test_a_store_that_comes_back_without_its_files_is_waited_for(tmp_path: Path) -> None:
    store = StoreProcess()
    venue = VenueProcess(tmp_path / "data", store=store.url)
    log, aside = store.folder / "appendonlydir", store.folder / "aside"
    try:
        pids = venue.start().pids()
        store.kill()
        log.rename(aside)
        store.start()
        wait_until(
            lambda: all("the store ends at 0-0" in states(venue)[name] for name in ("engine", "settlement", "gateway")),
            "all say what they wait for",
        )
        assert not store.client().keys("*"), "nothing was written into it"
        store.kill()
        shutil.rmtree(log)
        aside.rename(log)
        store.start()
        wait_until_ready(venue)
        assert venue.pids() == pids
        assert_it_trades(venue, "put-right")
    finally:
        venue.end()
        store.remove()


def test_orders_stop_while_the_data_folder_is_away(venue: VenueProcess) -> None:
    gateway = venue.pids()["gateway"]
    away = venue.data.with_name("away")
    venue.data.rename(away)
    wait_until(lambda: not is_running(gateway), "the gateway has ended")
    away.rename(venue.data)
    venue.wait_until_back("gateway", gateway)
    wait_until_ready(venue)
    assert_it_trades(venue, "away")


def wait_until_nothing_is_lost(venue: VenueProcess) -> None:
    """The venue stops and starts, and has all that it had."""
    settled = venue.wait_until_settled()
    venue.stop()
    venue.start()
    assert EntryId.parse(venue.wait_until_settled()) >= EntryId.parse(settled)
    assert venue.json("ledger", "reconcile")["passed"]


# -- a disk that is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 48 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(folder: Path) -> Path:
    """Writes a file until the disk takes no more."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return path


def write_too_much(venue: VenueProcess) -> None:
    """A write that the disk cannot take. The store ends of it, and has not acknowledged it."""
    client = venue.store()
    with pytest.raises(redis.ConnectionError):
        client.set("{jibek}:too-much", bytes(1 << 20))


def test_a_full_disk_stops_trading_and_all_goes_on_when_there_is_room(small_disk: Path) -> None:
    venue = VenueProcess(small_disk / "data").start()
    try:
        with trading(venue, "alice") as place:
            assert place("before") == ""
            filler = fill(small_disk)
            wait_until(lambda: "disk" in states(venue)["up"], "the full disk is shown")
            wait_until(lambda: "-1008" in place("refused"), "new orders are refused")
            write_too_much(venue)
            wait_until(lambda: states(venue)["store"].startswith("waiting"), "the store waits")
            status = venue.jibek("status")
            assert status.returncode == 1, "it says so although nothing can be written"
            assert "It is full: new orders are refused until you make room." in status.stdout
            assert "waiting: the disk takes no writes" in status.stdout
            assert "-1008" in place("refused-too")

            filler.unlink()
            wait_until_ready(venue)
            wait_until(lambda: place("after") == "", "orders are taken again")
        assert venue.said().count("The store ended, because the disk takes no writes.") == 1
        wait_until_nothing_is_lost(venue)
    finally:
        venue.end()
