"""The life of a whole venue: it stops and starts, loses processes, dies itself, and always comes back the same."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.journal import BEGINNING, read_journal
from engine.reference import Core
from jibek.client.trading import Credentials, TradingClient
from jibek.venue.children import CRASHES_MAX
from jibek.venue.services import LOG_NAMES
from tests.worlds.processes import WAIT_S, is_running, wait_until
from tests.worlds.store import StoreProcess
from tests.worlds.venue import VenueProcess

NewVenue = Callable[..., VenueProcess]


def open_client(venue: VenueProcess, name: str, *deposits: str) -> TradingClient:
    """An account with money and an ed25519 key, and a client for it."""
    venue.json(
        "account", "create", name, "--why", "test", *(part for deposit in deposits for part in ("--deposit", deposit))
    )
    made = venue.json("account", "key", name, "--type", "ed25519")
    return TradingClient(made["urls"]["ws_api"], Credentials.ed25519(made["key"], made["private_key"]))


def trade_a_little(venue: VenueProcess) -> None:
    """Leaves some trades and some open orders behind."""

    async def trade() -> None:
        async with (
            open_client(venue, "maker", "BTC=10") as maker,
            open_client(venue, "taker", "KZT=1000000000") as taker,
        ):
            for number in range(10):
                price = str(45_000_000 + 1000 * number)
                await maker.call(
                    "order.place", symbol="BTCKZT", side="SELL", type="LIMIT_MAKER", price=price, quantity="0.01"
                )
            await taker.call("order.place", symbol="BTCKZT", side="BUY", type="MARKET", quantity="0.035")
            await taker.call(
                "order.place",
                symbol="BTCKZT",
                side="BUY",
                type="LIMIT",
                timeInForce="GTC",
                price="44000000",
                quantity="1",
            )

    asyncio.run(trade())


def state(venue: VenueProcess) -> dict[str, Any]:
    """What clients and operators see of the state: it must be the same after any death."""
    venue.wait_until_settled()
    return {
        "balances": venue.json("ledger", "balances")["balances"],
        "book": [venue.json("market", "book", "BTCKZT")[side] for side in ("bids", "asks")],
    }


def assert_engine_recovered(venue: VenueProcess) -> None:
    """The state hash that the engine reported when it was ready is that of the journal, replayed by the reference."""
    log = (venue.folder.logs / "engine.log").read_text().splitlines()
    ready = json.loads(next(line.partition(" INFO ready ")[2] for line in reversed(log) if " INFO ready " in line))
    client = venue.store()
    core, cursor = Core(), BEGINNING
    while str(cursor) != ready["cursor"]:
        (entry,) = read_journal(client, cursor, count=1)
        core.execute(entry.time_us, entry.batch)
        cursor = entry.id
    client.close()
    assert core.state_hash().hex() == ready["state_hash"]


def reconcile(venue: VenueProcess) -> None:
    result = venue.json("ledger", "reconcile")
    assert result["passed"]
    assert all(check["looked_at"] > 0 for check in result["checks"])


def test_it_comes_back_with_the_same_state_after_any_death(new_venue: NewVenue) -> None:
    venue = new_venue().start()
    trade_a_little(venue)
    before = state(venue)
    assert before["book"][0] and before["book"][1]

    assert venue.stop() == 0
    assert not venue.folder.venue_file.exists()
    assert not venue.folder.is_locked()
    venue.start()
    assert_engine_recovered(venue)
    assert state(venue) == before
    reconcile(venue)

    for name in ("engine", "settlement", "gateway", "store"):
        venue.wait_until_back(name, venue.kill(name))
        assert state(venue) == before, f"after the death of the {name}"
        reconcile(venue)
    assert_engine_recovered(venue)
    assert venue.facts()["restarts"]["store"] == 1

    pids = [venue.facts()["pid"], *venue.pids().values()]
    venue.kill_supervisor()
    assert [pid for pid in pids if is_running(pid)] == []
    venue.start()
    assert_engine_recovered(venue)
    assert state(venue) == before
    reconcile(venue)


def test_the_reference_engine_continues_a_venue(new_venue: NewVenue) -> None:
    """The reference continues a journal of the compiled engine, and compares every event."""
    venue = new_venue(engine="compiled").start()
    trade_a_little(venue)
    before = state(venue)
    venue.stop()
    other = new_venue(engine="reference").start()
    assert other.json("status")["engine"] == "reference"
    assert_engine_recovered(other)
    assert state(other) == before


def test_a_service_that_keeps_crashing_stays_down_and_the_rest_goes_on(new_venue: NewVenue) -> None:
    venue = new_venue().start()
    for _ in range(CRASHES_MAX - 1):
        venue.wait_until_back("settlement", venue.kill("settlement"))
    venue.kill("settlement")
    wait_until(lambda: "settlement" not in venue.pids(), "the settlement stays down")
    status = venue.jibek("status")
    assert status.returncode == 1
    assert "3 times within 60 s" in status.stdout and "settlement.log" in status.stdout
    assert venue.jibek("market", "book", "BTCKZT").returncode == 0
    assert venue.stop() == 1


def test_a_store_whose_socket_was_removed_is_reached_again_and_goes_on(new_venue: NewVenue) -> None:
    venue = new_venue().start()
    socket_path = Path(venue.facts()["store"].removeprefix("unix://"))
    store = venue.pids()["store"]
    shutil.rmtree(socket_path.parent)
    wait_until(socket_path.exists, "the socket is back")
    assert venue.jibek("market", "halt", "--all", "--why", "drill").returncode == 0
    wait_until(lambda: "The socket of the store was removed: it is put back." in venue.said(), "that was said")
    assert venue.pids()["store"] == store


def test_a_store_whose_socket_cannot_be_put_back_is_started_again(new_venue: NewVenue) -> None:
    venue = new_venue().start()
    folder = Path(venue.facts()["store"].removeprefix("unix://")).parent
    store = venue.pids()["store"]
    shutil.rmtree(folder.with_name(folder.name + "-spare"))
    shutil.rmtree(folder)
    venue.wait_until_back("store", store)
    assert "The socket of the store was removed: the store is started again." in venue.said()
    assert venue.jibek("market", "halt", "--all", "--why", "drill").returncode == 0


def test_a_folder_in_use_is_named_with_its_user(new_venue: NewVenue) -> None:
    venue = new_venue().start()
    result = venue.jibek("up", "--port", str(venue.options.port + 1))
    assert result.returncode == 1
    assert result.stderr.startswith(f"{venue.data} is in use by `jibek up`, process {venue.facts()['pid']}")


def test_a_taken_port_is_named(new_venue: NewVenue) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        venue = new_venue(port=taken.getsockname()[1])
        result = venue.jibek("up", "--port", str(venue.options.port))
    assert result.returncode == 1
    assert result.stderr.startswith(f"Port {venue.options.port} on 127.0.0.1 cannot be used (Address already in use)")
    assert not venue.folder.is_locked()


# URL of a store that cannot be used, the exit code, and how the sentence begins.
STORES = [
    ("unix:///nowhere/no.sock", 3, "No store answers at unix:///nowhere/no.sock."),
    ("redis://jibek@127.0.0.1:1/0", 3, "No store answers at 127.0.0.1:1/0."),
    ("redis://127.0.0.1:1/0?unknown=1", 2, "redis://127.0.0.1:1/0 is no URL of a store"),
    ("nonsense", 2, "nonsense is no URL of a store"),
]


@pytest.mark.parametrize(("url", "code", "sentence"), STORES, ids=[row[0] for row in STORES])
def test_a_store_that_is_not_there_is_named(new_venue: NewVenue, url: str, code: int, sentence: str) -> None:
    venue = new_venue()
    result = venue.jibek("up", "--port", str(venue.options.port), "--store", url)
    assert result.returncode == code
    assert result.stderr.startswith(sentence)


def test_a_refused_start_leaves_no_folder_for_a_socket(new_venue: NewVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    venue = new_venue()
    venue.folder.create()
    (venue.folder.store / "appendonlydir").mkdir()
    served_by = venue.folder.store / "served-by"
    served_by.write_text("Valkey 99.0\n")
    served_by.chmod(0o600)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        monkeypatch.setenv("XDG_RUNTIME_DIR", place)
        result = venue.jibek("up", "--port", str(venue.options.port))
        assert result.returncode == 1 and "was written by Valkey 99.0" in result.stderr
        assert os.listdir(place) == []


def test_a_secret_key_that_others_can_read_is_refused(new_venue: NewVenue) -> None:
    venue = new_venue()
    venue.folder.create()
    key = venue.data / "secret.key"
    key.write_bytes(bytes(32))
    key.chmod(0o644)
    result = venue.jibek("up", "--port", str(venue.options.port))
    assert result.returncode == 1
    assert "is readable by others" in result.stderr


@pytest.fixture
def own_store() -> Iterator[StoreProcess]:
    store = StoreProcess()
    yield store
    store.remove()


def test_a_venue_runs_on_a_store_of_the_operator(new_venue: NewVenue, own_store: StoreProcess) -> None:
    venue = new_venue(store=own_store.url).start()
    assert list(venue.pids()) == ["engine", "settlement", "gateway"]
    trade_a_little(venue)
    before = state(venue)
    own_store.kill()
    own_store.start()
    assert state(venue) == before
    assert venue.stop() == 0
    assert own_store.client().ping()


def test_an_own_store_with_unsafe_settings_is_refused(new_venue: NewVenue, own_store: StoreProcess) -> None:
    own_store.client().config_set("appendfsync", "everysec")
    venue = new_venue()
    result = venue.jibek("up", "--port", str(venue.options.port), "--store", own_store.url)
    assert result.returncode == 1
    assert result.stderr.startswith("The store has `appendfsync everysec`, and Jibek needs `appendfsync always`: run ")
    assert "`CONFIG SET appendfsync always`" in result.stderr


def test_a_store_that_has_lost_what_was_published_is_refused(new_venue: NewVenue) -> None:
    venue = new_venue().start()
    venue.json("account", "create", "alice")
    venue.stop()
    shutil.rmtree(venue.folder.store / "appendonlydir")
    result = venue.jibek("up", "--port", str(venue.options.port))
    assert result.returncode == 1
    assert "this is an old copy of the store" in result.stderr
    assert not venue.folder.is_locked()


def test_it_can_be_stopped_while_it_starts(new_venue: NewVenue) -> None:
    venue = new_venue()
    venue.launch()
    wait_until(lambda: (venue.folder.logs / "engine.log").exists(), "the engine is started")
    assert venue.stop() == 0
    assert not venue.folder.is_locked()


def test_a_venue_file_that_cannot_be_used_is_refused(new_venue: NewVenue, tmp_path: Path) -> None:
    file = tmp_path / "venue.toml"
    file.write_text("[assets.KZT]\nscale = 99\n")
    result = new_venue().jibek("up", "--venue", str(file))
    assert result.returncode == 1
    assert "scale must be a whole number" in result.stderr


def test_a_later_difference_to_the_venue_file_is_said_and_changes_nothing(new_venue: NewVenue, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "engine" / "default_venue.toml").read_text()
    file = tmp_path / "venue.toml"
    file.write_text(text)
    new_venue(venue=file).start().stop()
    file.write_text(text.replace("taker_fee_ppm = 1000", "taker_fee_ppm = 2000", 1))
    venue = new_venue(venue=file).start()
    assert "venue.toml gives BTCKZT taker_fee_ppm = 2000, the venue 1000." in venue.said()
    assert venue.json("market", "show", "BTCKZT")["taker_fee_ppm"] == 1000


def assert_every_line_is_json(venue: VenueProcess) -> None:
    """Every process has a log, every line has the fields, and a second `jibek up` has written none of them."""
    logs = {path.stem: path for path in venue.folder.logs.iterdir()}
    assert logs.keys() == set(LOG_NAMES)
    for name, path in logs.items():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        found = [json.loads(line) for line in path.read_text().splitlines()]
        assert {line["process"] for line in found} == {name}
        for line in found:
            assert {"time", "pid", "level", "entry", "message"} <= line.keys()
        if name == "up":
            assert not any("is in use by `jibek up`" in line["message"] for line in found), (
                "a second venue wrote into it"
            )
        if name == "gateway":
            assert found[-1]["entry"].startswith("1-")


def test_detached_it_stays_until_down(new_venue: NewVenue) -> None:
    venue = new_venue()
    up = venue.jibek("up", "--detach", "--host", "0.0.0.0", "--port", str(venue.options.port), "--store-memory", "64MB",
                     "--log-format", "json")  # fmt: skip
    try:
        assert up.returncode == 0, up.stderr
        assert f"ws://0.0.0.0:{venue.options.port}/ws-api/v3" in up.stderr
        assert up.stderr.count("Warning: The venue listens on 0.0.0.0 without TLS") == 1
        assert venue.json("status")["store"]["memory_bytes_max"] == 64_000_000
        assert venue.jibek("up", "--detach", "--log-format", "json").returncode == 1
        logs = venue.jibek("logs", "engine", "-n", "1")
        assert logs.returncode == 0 and "ready" in logs.stdout
        assert venue.jibek("reset", "--yes").returncode == 1
    finally:
        down = venue.jibek("down")
    assert down.returncode == 0, down.stderr
    assert not venue.folder.is_locked()
    assert_every_line_is_json(venue)
    assert venue.jibek("down").returncode == 3
    assert venue.jibek("reset").returncode == 2
    (venue.data / "notes.txt").touch()
    reset = venue.jibek("reset", "--yes")
    assert reset.returncode == 0
    assert "What no venue has written is left there: 'notes.txt'." in reset.stderr
    assert [path.name for path in venue.data.iterdir()] == ["notes.txt"]


def test_a_venue_whose_folder_was_moved_stops_and_touches_no_other(new_venue: NewVenue) -> None:
    """The kernel moves the lock and the open files with the folder, but what is opened by its path would be another's."""
    mask = os.umask(0)
    try:
        venue = new_venue().start()
    finally:
        os.umask(mask)
    made = [venue.data, *venue.data.rglob("*")]
    assert any(path.suffix == ".aof" for path in made)
    assert [str(path) for path in made if path.stat().st_mode & 0o077] == []
    moved = venue.data.rename(venue.data.with_name("moved"))
    venue.data.mkdir(mode=0o700)
    assert venue.wait() == 1
    assert list(venue.data.iterdir()) == []
    assert f"{venue.data} was moved or removed under the venue" in (moved / "logs" / "up.log").read_text()


def test_ctrl_c_ends_it_in_order(new_venue: NewVenue) -> None:
    venue = new_venue().start()
    os.kill(venue.facts()["pid"], signal.SIGINT)
    assert venue.wait() == 0
    assert "bye bye" in (venue.folder.logs / "store.log").read_text()


def test_logs_can_be_followed(new_venue: NewVenue) -> None:
    venue = new_venue().start()
    follower = subprocess.Popen(
        [sys.executable, "-m", "jibek", "logs", "-f", "-n", "0", "engine", "--data", str(venue.data)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert follower.stdout is not None
    os.set_blocking(follower.stdout.fileno(), False)
    try:
        log = venue.folder.logs / "engine.log"
        lines: list[str] = []

        def has_followed() -> bool:
            with log.open("a") as file:
                file.write("a new line\n")
            assert follower.stdout is not None
            lines.extend(follower.stdout.readlines())
            return "a new line\n" in lines

        wait_until(has_followed, "the new line was printed")
    finally:
        follower.send_signal(signal.SIGINT)
        assert follower.wait(WAIT_S) == 0


@pytest.mark.parametrize("name", ["down", "status", "logs", "reset"])
def test_a_folder_without_a_venue_is_code_three(tmp_path: Path, name: str) -> None:
    result = VenueProcess(tmp_path / "none").jibek(name)
    assert (result.returncode, "do not start another" in result.stderr) == (3, True)


def test_a_start_that_fails_quotes_only_itself_and_names_the_cure(new_venue: NewVenue) -> None:
    venue = new_venue().start()
    venue.stop()
    log = venue.folder.logs / "store.log"
    with log.open("a") as file:
        file.write("an earlier run: No space left on device\n")
    (aof,) = (venue.folder.store / "appendonlydir").glob("*.incr.aof")
    content = aof.read_bytes()
    aof.write_bytes(content[: len(content) // 2] + b"\nnothing of a store\n" + content[len(content) // 2 :])
    result = venue.jibek("up", "--port", str(venue.options.port))
    assert result.returncode == 1
    assert "The venue did not start: the store ended with exit code 1." in result.stderr
    assert "Bad file format reading the append only file" in result.stderr
    assert "put back the last backup" in result.stderr
    assert "earlier run" not in result.stderr
