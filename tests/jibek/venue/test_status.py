"""What `jibek status` shows of the processes, running or not."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from jibek.commands import status as command
from jibek.venue import status
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
    found = read_status(find_venue(running_venue.data))
    assert {each["name"]: each["pid"] for each in found["processes"]} == running_venue.pids() | {
        "up": running_venue.facts()["pid"]
    }
    assert all(each["memory_bytes"] > 1_000_000 for each in found["processes"])
    assert [each["name"] for each in found["offsets"]] == ["journal", "events", "ledger"]
    assert 0 < found["store"]["memory_bytes"] < found["store"]["memory_bytes_max"]


@pytest.mark.parametrize(
    ("used", "state", "code", "words"),
    [
        (79, "good", 0, "holds"),
        (80, "filling", 1, "new orders are refused"),
        (99, "filling", 1, "new orders are refused"),
        (100, "full", 1, "only cancels"),
        (150, "full", 1, "only cancels"),
    ],
)
def test_a_store_that_is_filling_or_full_is_said_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, used: int, state: str, code: int, words: str
) -> None:
    memory = {"used_memory": used * 10**6, "maxmemory": 100 * 10**6}
    ready = replace(ADDRESS, services={"store": os.getpid()}, states={"store": "ready"})
    monkeypatch.setattr(command, "running_venue", lambda data: ready)
    monkeypatch.setattr(
        status, "connect", lambda url, timeout_s: SimpleNamespace(info=lambda section: memory, close=lambda: None)
    )
    monkeypatch.setattr(status, "read_offsets", lambda client: [])
    for arguments in ([], ["--json"]):
        result = CliRunner().invoke(command.status, arguments)
        assert (result.exit_code, state in result.output or words in result.output) == (code, True), result.output
    assert json.loads(result.output)["store"]["state"] == state
