"""What `jibek status` shows of the processes, running or not."""

from __future__ import annotations

import os
from pathlib import Path

from jibek.venue.address import VenueAddress, find_venue
from jibek.venue.status import processes, read_status
from tests.worlds.venue import VenueProcess

NO_PROCESS = 2**22 + 1

ADDRESS = VenueAddress(
    Path("data"), os.getpid(), "unix:///x", "127.0.0.1", 9443, "compiled",
    services={"store": os.getpid(), "engine": NO_PROCESS},
    states={"gateway": "down: it crashed", "engine": "starting", "store": "ready"},
    restarts={"gateway": 2},
)  # fmt: skip


def test_processes_come_in_the_order_of_their_start_whether_they_run_or_not() -> None:
    up, store, engine, gateway = processes(ADDRESS)
    assert [each["name"] for each in (up, store, engine, gateway)] == ["up", "store", "engine", "gateway"]
    assert [each["state"] for each in (up, store, engine)] == ["ready", "ready", "starting"]
    assert up["memory_bytes"] == store["memory_bytes"] > 1_000_000
    assert (engine["pid"], engine["memory_bytes"]) == (NO_PROCESS, None)
    assert gateway == {
        "name": "gateway", "pid": None, "memory_bytes": None, "restarts": 2, "state": "down: it crashed",
    }  # fmt: skip


def test_a_running_venue_is_shown_whole(running_venue: VenueProcess) -> None:
    client = running_venue.store()
    found = read_status(find_venue(running_venue.data), client)
    client.close()
    assert {each["name"]: each["pid"] for each in found["processes"]} == running_venue.pids() | {
        "up": running_venue.facts()["pid"]
    }
    assert all(each["memory_bytes"] > 1_000_000 for each in found["processes"])
    assert [each["name"] for each in found["offsets"]] == ["journal", "events", "ledger"]
    assert 0 < found["store"]["memory_bytes"] < found["store"]["memory_bytes_max"]
