"""The record of what the gateway refuses: bounded, private, whole lines, and never before an order."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from engine.journal import Mark
from engine.reasons import Reason
from engine.records import COMMAND, Command, CommandKind, OrderType, Side, TimeInForce, client_id
from gateway.clock import Clock
from gateway.journal.pending import PendingCommand
from gateway.judgement import record, refusal_files
from gateway.judgement.record import RefusalRecord
from gateway.judgement.refusal_files import RefusalFiles
from gateway.limits import REFUSAL_LINES_PER_MINUTE_MAX
from gateway.view.accounts import Account

R = Reason
NOON_US = 1_800_014_400_000_000 // 86_400_000_000 * 86_400_000_000 + 43_200_000_000
ORDER = Command(
    kind=CommandKind.ORDER_PLACE, account=5, market=1, side=Side.BUY, order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.GTC, price_ticks=50_000, quantity_lots=7, client_id=client_id("mine"),
)  # fmt: skip
CANCEL = Command(kind=CommandKind.ORDER_CANCEL, account=5, market=1, order_id=9)


def pending(command: Command, account: int = 5) -> PendingCommand:
    fields = command._replace(account=account)
    return PendingCommand(
        None, Account(account), "1", COMMAND.pack(fields), "ACK", True, mark=Mark("key", "secret", "order.place", 1)
    )


class World:
    def __init__(self, data: Path) -> None:
        self.folder = data / "refusals"
        self.now_us = NOON_US
        self.record = RefusalRecord(data, 16, Clock(lambda: 0.0, lambda: self.now_us), logging.getLogger("gateway"))

    async def pass_second(self) -> None:
        self.now_us += 1_000_000
        self.record.on_time()
        while self.record._writing is not None and not self.record._writing.done():
            await self.record._writing

    def lines(self) -> list[dict[str, Any]]:
        files = sorted(self.folder.glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_a_refusal_is_written_with_its_request_and_how_it_was_answered(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path)
        world.record.note(pending(ORDER), R.INSUFFICIENT_FUNDS)
        world.record.note(pending(CANCEL), R.UNKNOWN_ORDER)
        await world.record.close()
        assert world.lines() == [
            {"time_us": NOON_US, "account": 5, "market": 1, "kind": "ORDER_PLACE", "side": "BUY", "type": "LIMIT",
             "time_in_force": "GTC", "price_ticks": 50_000, "quantity_lots": 7, "quote_amount": 0, "client_id": "mine",
             "code": -2010, "reason": "INSUFFICIENT_FUNDS"},
            {"time_us": NOON_US, "account": 5, "market": 1, "kind": "ORDER_CANCEL", "order_id": 9,
             "code": -2011, "reason": "UNKNOWN_ORDER"},
        ]  # fmt: skip
        (file,) = world.folder.iterdir()
        assert (stat.S_IMODE(world.folder.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o700, 0o600)

    asyncio.run(run())


def test_beyond_its_lines_an_account_is_counted_once_a_minute(tmp_path: Path) -> None:
    async def run() -> None:
        world = World(tmp_path)
        for _ in range(REFUSAL_LINES_PER_MINUTE_MAX + 1000):
            world.record.note(pending(ORDER), R.INSUFFICIENT_FUNDS)
        for _ in range(7):
            world.record.note(pending(CANCEL), R.UNKNOWN_ORDER)
        world.record.note(pending(CANCEL, account=6), R.UNKNOWN_ORDER)
        await world.pass_second()
        assert len(world.lines()) == REFUSAL_LINES_PER_MINUTE_MAX + 1
        world.now_us += 60_000_000
        await world.pass_second()
        counts = [(line["account"], line["reason"], line["count"]) for line in world.lines() if "count" in line]
        assert counts == [(5, "INSUFFICIENT_FUNDS", 1000), (5, "UNKNOWN_ORDER", 7)]
        world.record.note(pending(ORDER), R.INSUFFICIENT_FUNDS)
        await world.record.close()
        assert world.lines()[-1]["kind"] == "ORDER_PLACE", "a new minute has lines of its own"

    asyncio.run(run())


def test_its_tables_and_its_buffer_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "REFUSALS_COUNTED_MAX", 10)
    monkeypatch.setattr(record, "REFUSAL_LINES_WAITING_MAX", 15)

    async def run() -> None:
        world = World(tmp_path)
        for account in range(1, 101):
            for _ in range(2):
                world.record.note(pending(CANCEL, account), R.UNKNOWN_ORDER)
        assert len(world.record._lines) == 15
        assert len(world.record._counts) <= 11
        await world.record.close()
        lines = world.lines()
        assert sum(line.get("count", 1) for line in lines) == 200
        assert {line["account"] for line in lines if "count" in line} >= {None}

    asyncio.run(run())


def test_a_full_disk_is_logged_once_and_what_it_cost_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = RefusalFiles.write

    def refuse(self: RefusalFiles, lines: bytes, time_us: int) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> None:
        world = World(tmp_path)
        monkeypatch.setattr(RefusalFiles, "write", refuse)
        for _ in range(3):
            world.record.note(pending(ORDER), R.INSUFFICIENT_FUNDS)
            await world.pass_second()
        monkeypatch.setattr(RefusalFiles, "write", write)
        world.record.note(pending(ORDER), R.INSUFFICIENT_FUNDS)
        await world.record.close()
        assert [line.get("lost_lines") for line in world.lines()] == [None, 3]

    asyncio.run(run())
    assert [entry.getMessage() for entry in caplog.records] == [
        "cannot write the record of refusals: [Errno 28] No space left on device; orders go on"
    ]


# -- the files


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("gateway-16-*.jsonl"))]


def test_a_file_is_closed_when_it_is_large_enough_and_the_oldest_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusal_files, "REFUSAL_FILE_BYTES_MAX", 10)
    monkeypatch.setattr(refusal_files, "REFUSALS_BYTES_MAX", 24)
    files = RefusalFiles(tmp_path / "refusals", "gateway-16")
    for number in range(6):
        files.write(b"line %d\n" % number, NOON_US)
    assert contents(tmp_path / "refusals") == [b"line 2\n", b"line 3\n", b"line 4\n"]
    files.close()
    assert contents(tmp_path / "refusals") == [b"line 3\n", b"line 4\n", b"line 5\n"]


def test_a_new_day_begins_a_new_file(tmp_path: Path) -> None:
    files = RefusalFiles(tmp_path, "gateway-16")
    files.write(b"old\n", NOON_US)
    files.write(b"old\n", NOON_US + 43_199_999_999)
    files.write(b"new\n", NOON_US + 43_200_000_000)
    assert contents(tmp_path) == [b"old\nold\n"]
    assert (tmp_path / "gateway-16.jsonl").read_bytes() == b"new\n"


def test_what_a_killed_process_has_left_is_closed_and_kept(tmp_path: Path) -> None:
    (tmp_path / "gateway-16.jsonl").write_bytes(b'whole\n{"half')
    RefusalFiles(tmp_path, "gateway-16").write(b"next\n", NOON_US)
    assert contents(tmp_path) == [b'whole\n{"half']
    assert (tmp_path / "gateway-16.jsonl").read_bytes() == b"next\n"
