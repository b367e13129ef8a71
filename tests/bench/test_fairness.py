"""The fairness benchmark: every flood sends what it says, and the report has every figure."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.fairness import FULL, P99_MS_GOAL, WORST_MS_GOAL, Part, _fate, print_result, result
from bench.fairness import SMOKE as SMOKE_SIZE
from bench.flooding import FloodReport, FloodRun
from bench.floods import BURST_BYTES, FLOODS, LARGE_BYTES, LEVELS, Target
from bench.quiet_client import QuietResult
from engine.process import EXIT_GOOD
from jibek.client.trading import Credentials
from jibek.venue.accounts import new_key_id
from tests.worlds.processes import WAIT_S

ENOUGH_BYTES = 200_000
"""What the recorder reads of one connection: more than the largest block of most floods."""
FEW_CONNECTIONS = 3
RICH, POOR, HMAC = (Credentials(new_key_id(), lambda payload: "signed", can_log_on=True) for _ in range(3))
TEXT, PING, FIRST_FRAGMENT, FRAGMENT, LAST_FRAGMENT = 0x81, 0x89, 0x01, 0x00, 0x80
Frame = tuple[int, bytes]


class Recorder:
    """A server that takes WebSockets, keeps what comes on each connection, and reads no more when it has enough."""

    def __init__(self, upgrades: bool) -> None:
        self.received: list[bytearray] = []
        self._upgrades = upgrades
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def has_enough(self, connections: int, least_bytes: int) -> bool:
        """Whether so many connections have come, and each has sent something."""
        return len(self.received) >= connections and all(
            len(each) >= least_bytes for each in self.received[:connections]
        )

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._record, args=(connection,), daemon=True).start()

    def _record(self, connection: socket.socket) -> None:
        received, head = bytearray(), b""
        if not self._upgrades:
            self.received.append(received)
        while self._upgrades and b"\r\n\r\n" not in head:
            head += connection.recv(4096)
        if self._upgrades:
            received += head.partition(b"\r\n\r\n")[2]
            self.received.append(received)
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            while len(received) < ENOUGH_BYTES and (data := connection.recv(65536)):
                received += data


@contextmanager
def recorder(upgrades: bool) -> Iterator[Recorder]:
    found = Recorder(upgrades)
    try:
        yield found
    finally:
        found.close()


def recorded(name: str) -> tuple[list[bytes], FloodReport]:
    """What the first connections of a flood sent, after the upgrade, and what the flood says of itself."""
    flood = FLOODS[name]
    flood = flood._replace(connections=min(flood.connections, FEW_CONNECTIONS))
    least_bytes = {"connects": 0, "slow-heads": 1, "gets": 10_000}.get(name, 140_000)
    with recorder(upgrades=bool(flood.path)) as server:
        target = Target(server.port, "127.0.0.1", "BTCUSDT", "89000", "0.0002", "900", RICH, POOR, HMAC)
        deadline_s = time.monotonic() + WAIT_S
        wanted = 3 * FEW_CONNECTIONS if flood.churns else flood.connections
        report = FloodRun(flood, target).run(
            lambda: server.has_enough(wanted, least_bytes) or time.monotonic() > deadline_s
        )
        assert server.has_enough(wanted, least_bytes), f"{name} sent {[len(each) for each in server.received]} bytes"
        return [bytes(each) for each in server.received], report


def frames(data: bytes) -> Iterator[Frame]:
    """The whole frames at the beginning of what a client sent: first byte and payload."""
    position = 0
    while position + 6 <= len(data):
        first, start, length = data[position], position + 2, data[position + 1] & 127
        assert data[position + 1] & 128, "a client masks its frames"
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(data[start : start + size], "big")
            start += size
        assert not any(data[start : start + 4]), "the mask is zero, so that the payload can be read"
        position = start + 4 + length
        if position <= len(data):
            yield first, data[start + 4 : position]


def requests(data: bytes) -> list[dict[str, Any]]:
    """The requests of a client that sends nothing else."""
    found = list(frames(data))
    assert {first for first, _ in found} == {TEXT}
    return [json.loads(payload) for _, payload in found]


# -- what each flood must send


def are_empty_pings(data: bytes) -> None:
    assert set(frames(data)) == {(PING, b"")}


def are_gets(data: bytes) -> None:
    heads = data.split(b"\r\n\r\n")[:-1]
    assert len(heads) > 10 and all(head.startswith(b"GET /api/v3/ping HTTP/1.1\r\nHost: ") for head in heads)


def are_signed_with(key: str) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        found = [request["params"] for request in requests(data)]
        assert {params["apiKey"] for params in found} == {key}
        assert len({params["signature"] for params in found}) > 100
        assert all(abs(params["timestamp"] - time.time() * 1000) < params["recvWindow"] for params in found)

    return check


def are_of_unknown_keys(data: bytes) -> None:
    found = list(frames(data))
    assert all(LARGE_BYTES * 0.9 < len(payload) < 64 * 1024 for _, payload in found)
    keys = {json.loads(payload)["params"]["apiKey"] for _, payload in found}
    assert len(keys) == len(found) and keys.isdisjoint({RICH.key, POOR.key, HMAC.key})


def are_depths(data: bytes) -> None:
    assert {(each["method"], each["params"]["limit"]) for each in requests(data)} == {("depth", LEVELS)}


def are_unreadable(error: type[ValueError]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        for first, payload in frames(data):
            assert first == TEXT and LARGE_BYTES * 0.9 < len(payload) < 64 * 1024
            with pytest.raises((error, RecursionError)):
                json.loads(payload.decode())

    return check


def are_fragments(data: bytes) -> None:
    found = list(frames(data))
    assert {first for first, _ in found} == {FIRST_FRAGMENT, FRAGMENT, LAST_FRAGMENT}
    assert {len(payload) for _, payload in found} == {1}
    end = next(index for index, (first, _) in enumerate(found) if first == LAST_FRAGMENT)
    assert json.loads(b"".join(payload for _, payload in found[: end + 1]))["method"] == "ping"


def are_requests_of(key: str, **wanted: Any) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        logon, *others = requests(data)
        assert (logon["method"], logon["params"]["apiKey"]) == ("session.logon", key)
        methods = {request["method"] for request in others}
        assert methods == set(wanted["methods"])
        for name in wanted.get("params", {}):
            assert {request["params"][name] for request in others} == wanted["params"][name]

    return check


def is_nothing(data: bytes) -> None:
    assert data == b""


def is_a_beginning(data: bytes) -> None:
    assert b"GET /api/v3/ping HTTP/1.1".startswith(data) and len(data) == 1


def are_stream_requests(data: bytes) -> None:
    methods = [request["method"] for request in requests(data)]
    assert methods == [("SUBSCRIBE", "UNSUBSCRIBE")[index % 2] for index in range(len(methods))]


CHECKS: dict[str, Callable[[bytes], None]] = {
    "pings-burst": are_empty_pings,
    "pings": are_empty_pings,
    "pings-100": are_empty_pings,
    "gets": are_gets,
    "ed25519": are_signed_with(RICH.key),
    "hmac": are_signed_with(HMAC.key),
    "unknown-key": are_of_unknown_keys,
    "depth": are_depths,
    "junk": are_unreadable(json.JSONDecodeError),
    "nesting": are_unreadable(json.JSONDecodeError),
    "utf8": are_unreadable(UnicodeDecodeError),
    "fragments": are_fragments,
    "orders": are_requests_of(
        RICH.key, methods=["order.place"], params={"side": {"BUY", "SELL"}, "price": {"89000"}, "quantity": {"0.0002"}}
    ),
    "refused-orders": are_requests_of(POOR.key, methods=["order.place"], params={"quantity": {"900"}}),
    "unknown-cancels": are_requests_of(RICH.key, methods=["order.cancel"], params={"symbol": {"BTCUSDT"}}),
    "connects": is_nothing,
    "slow-heads": is_a_beginning,
    "subscriptions": are_stream_requests,
    "user-data": are_requests_of(RICH.key, methods=["userDataStream.subscribe", "userDataStream.unsubscribe"]),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_sends_what_it_says(name: str) -> None:
    connections, report = recorded(name)
    for data in connections:
        CHECKS[name](data)
    assert report.connections >= len(connections)
    assert report.bytes_sent >= sum(map(len, connections))
    assert not report.is_banned


def test_a_burst_has_seven_megabytes() -> None:
    burst = next(FLOODS["pings-burst"].blocks(None))  # type: ignore[arg-type]
    assert BURST_BYTES - 6 < len(burst.data) <= BURST_BYTES and burst.pause_s == 1.0


def test_a_flood_counts_how_it_was_answered_and_ended() -> None:
    """A venue that answers a request, then says 418 and closes with 1008: each time again."""
    said = b'{"id":1,"status":200}{"id":2,"status":418}' + bytes((0x88, 2)) + (1008).to_bytes(2, "big")
    listener = socket.create_server(("127.0.0.1", 0))
    turns = 0

    def serve() -> None:
        nonlocal turns
        while turns < 3:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + said)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while connection.recv(65536):
                    pass
            turns += 1

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    target = Target(listener.getsockname()[1], "127.0.0.1", "BTCUSDT", "1", "1", "1", RICH, POOR, HMAC)
    deadline_s = time.monotonic() + WAIT_S
    run = FloodRun(FLOODS["depth"]._replace(reads=True), target)
    report = run.run(lambda: run.report.closed.total() >= 3 or time.monotonic() > deadline_s).as_dict()
    listener.close()
    assert report["closed"] == {"1008": 3} and report["banned"]
    assert report["answers"]["200"] == report["answers"]["418"] == 3


# -- what is reported

FIELDS = {"name", "says", "met", "pings", "orders", "unanswered", "refusals", "failure", "sent_late_ms", "flood"}
FLOOD_FIELDS = {
    "bytes_sent", "messages_sent", "connections", "bytes_received", "answers", "closed", "banned",
}  # fmt: skip


@pytest.mark.parametrize(
    ("pings_ms", "orders_ms", "failure", "is_met"),
    [
        ([1.0] * 200, [P99_MS_GOAL] * 200, "", True),
        ([1.0] * 200, [1.0] * 199 + [WORST_MS_GOAL], "", True),
        ([1.0] * 200, [1.0] * 199 + [WORST_MS_GOAL + 1], "", False),
        ([1.0] * 197 + [P99_MS_GOAL + 1] * 3, [1.0] * 200, "", False),
        ([1.0] * 200, [], "", False),
        ([1.0] * 200, [1.0] * 200, "closed: 1008", False),
    ],
)
def test_the_goals(pings_ms: list[float], orders_ms: list[float], failure: str, is_met: bool) -> None:
    quiet = QuietResult([each / 1000 for each in pings_ms], [each / 1000 for each in orders_ms], failure=failure)
    alone = Part("none", QuietResult([0.001], [0.001]), None)
    parts = [alone, Part("pings", quiet, FloodReport().as_dict())]
    assert result(parts, FULL)["met"] is is_met
    # A smoke run judges no figures, but it says if the venue has failed.
    assert result(parts, SMOKE_SIZE._replace(seconds=9.0))["met"] is (False if failure else None)


@pytest.mark.parametrize(
    ("answers", "closed", "says"),
    [
        ({"101": 1, "418": 1}, {"1008": 1}, "banned, opened 1, refused with 418 once, closed with 1008 once"),
        ({"101": 1200, "200": 3456}, {}, "opened 1,200, answered with 200 3,456 times"),
        (
            {"429": 2},
            {"turned away": 2, "reset": 1, "end": 1},
            "refused with 429 2 times, turned away 2 times, reset once, closed without a code once",
        ),
        ({"101": 1}, {}, "opened 1, kept open, unanswered"),
        ({}, {}, "kept open, unanswered"),
    ],
)
def test_what_became_of_a_flood_says_what_it_counts(
    answers: dict[str, int], closed: dict[str, int], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = FloodReport(answers=Counter(answers), closed=Counter(closed)).as_dict()
    assert _fate({"failure": "", "flood": report}) == says
    parts = [Part("none", QuietResult([0.001], [0.001]), None), Part("pings", QuietResult([0.001], [0.001]), report)]
    print_result(result(parts, SMOKE_SIZE))
    printed = capsys.readouterr().out
    assert says.split(",")[0] in printed and "smoke: not judged" in printed


def test_the_smoke_size_reports_every_figure(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "jibek", "bench", "fairness", "--smoke", "--json"]
    done = subprocess.run(
        [*command, "--flood", "slow-heads", "--flood", "utf8"],
        env={**os.environ, "TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=2 * WAIT_S,
        check=False,
    )
    report = json.loads(done.stdout)
    assert (done.returncode, report["met"]) == (EXIT_GOOD, None), done.stderr
    assert report["command"] == "jibek bench fairness --smoke --json --flood slow-heads --flood utf8"
    assert report["goals"] == {"p99_ms": P99_MS_GOAL, "worst_ms": WORST_MS_GOAL}
    assert report["alone"]["flood"] is None
    assert [each["name"] for each in report["floods"]] == ["slow-heads", "utf8"]
    for part in (report["alone"], *report["floods"]):
        assert set(part) == FIELDS
        assert not part["failure"] and not part["refusals"], part
        assert (part["pings"]["samples"], part["orders"]["samples"]) == (10, 20)
        assert 0 < part["pings"]["median_ms"] <= part["pings"]["p99_ms"] <= part["pings"]["worst_ms"]
    for part in report["floods"]:
        assert set(part["flood"]) == FLOOD_FIELDS and part["flood"]["bytes_sent"] > 0
    # Nothing of it is left.
    assert list(tmp_path.iterdir()) == []
