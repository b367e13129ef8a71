"""The record of what the gateway refuses itself: outside the store, bounded, and kept apart from the logs.

What the engine refuses is in the journal. What the gateway refuses does not, though somebody may ask for it years later.
So it is written to `refusals/` in the data folder, one JSON object a line; `docs/reliability.md` describes them and says how
to keep them longer than the bound allows.

An account gets so many full lines a minute. What is beyond is counted by account and reason, and the counts are written once
a minute. A thread of its own writes once a second, so no order waits for the disk; a disk that refuses costs lines, which
are counted, and no order.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson

from engine.reasons import Reason
from engine.records import COMMAND, CommandKind, OrderType, Side, TimeInForce
from gateway.clock import Clock
from gateway.dialect.rejects import Reject, wording
from gateway.journal.pending import PendingCommand
from gateway.judgement.refusal_files import RefusalFiles
from gateway.limits import REFUSAL_LINES_PER_MINUTE_MAX, REFUSAL_LINES_WAITING_MAX, REFUSALS_COUNTED_MAX

MINUTE_US = 60_000_000
OTHERS = 0
"""The account under which refusals are counted when too many accounts have some; no client has this number."""


class RefusalRecord:
    """Takes refusals, and has them written in the background.

    Args:
        data: the data folder.
        producer: the number of the gateway, which the names of its files begin with.
    """

    def __init__(self, data: Path, producer: int, clock: Clock, log: logging.Logger) -> None:
        self._clock = clock
        self._log = log
        self._files = RefusalFiles(data / "refusals", f"gateway-{producer}")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="refusals")
        self._lines: list[bytes] = []
        """What waits to be written."""
        self._lost = 0
        """Lines that could not be written since the last one that could."""
        self._minute = 0
        self._full_lines: dict[int, int] = {}
        """Account -> how many full lines it has had in this minute."""
        self._counts: dict[tuple[int, Reason], int] = {}
        """(account, reason) -> how many refusals beyond these."""
        self._writing: asyncio.Future[None] | None = None
        self.fault = ""
        """Why lines cannot be written at the moment; the empty text if they can."""

    def note(self, command: PendingCommand, reason: Reason) -> None:
        """Records a command that is refused. Cost: 5 µs for a full line, else below 1 µs."""
        now_us = self._clock.now_us()
        self._begin_minute(now_us)
        account = command.account.number
        written = self._full_lines.get(account, 0)
        is_known = written or len(self._full_lines) < REFUSALS_COUNTED_MAX
        if is_known and written < REFUSAL_LINES_PER_MINUTE_MAX and len(self._lines) < REFUSAL_LINES_WAITING_MAX:
            self._full_lines[account] = written + 1
            self._lines.append(line_of(command, reason, now_us))
            return
        key = (account, reason)
        if key not in self._counts and len(self._counts) >= REFUSALS_COUNTED_MAX:
            key = (OTHERS, reason)
        self._counts[key] = self._counts.get(key, 0) + 1

    def on_time(self) -> None:
        """Once a second: hands over what there is to write, unless the thread is still at work."""
        self._begin_minute(self._clock.now_us())
        if (self._lines or self._lost) and (self._writing is None or self._writing.done()):
            self._writing = asyncio.ensure_future(self._write())

    async def close(self) -> None:
        """Writes what is left, and closes the file in use."""
        if self._writing is not None:
            await self._writing
        await self._write()
        self._note_counts(self._clock.now_us())
        await self._write()
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._files.close)
        except OSError as error:
            self._log.error("cannot close the record of refusals: %s", error)
        self._thread.shutdown()

    def _begin_minute(self, now_us: int) -> None:
        minute = now_us // MINUTE_US
        if minute != self._minute:
            self._note_counts(now_us)
            self._minute = minute
            self._full_lines.clear()

    def _note_counts(self, now_us: int) -> None:
        """Writes down what was only counted since the last time; it is counted on while a slow disk lets lines wait."""
        if len(self._lines) >= REFUSAL_LINES_WAITING_MAX:
            return
        for (account, reason), count in self._counts.items():
            self._lines.append(
                _line({"time_us": now_us, "account": account or None, "reason": reason.name, "count": count})
            )
        self._counts.clear()

    async def _write(self) -> None:
        lost, now_us = self._lost, self._clock.now_us()
        if not self._lines and not lost:
            return
        lines, self._lines = self._lines, []
        if lost:
            lines.append(_line({"time_us": now_us, "lost_lines": lost}))
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._files.write, b"".join(lines), now_us)
        except OSError as error:
            self._lost += len(lines) - (lost > 0)
            if not self.fault:
                self._log.error("cannot write the record of refusals: %s; orders go on", error)
            self.fault = f"it cannot be written: {error}"
        else:
            self._lost -= lost
            self.fault = ""


def line_of(command: PendingCommand, reason: Reason, time_us: int) -> bytes:
    """The full line of a refusal: the request without who signed it and how, and how it was answered."""
    fields = COMMAND.unpack_from(command.command)
    is_order = fields.kind == CommandKind.ORDER_PLACE
    client = fields.client_id.rstrip(b"\0").decode("ascii", "replace")
    found: dict[str, Any] = {
        "time_us": time_us,
        "account": fields.account,
        "market": fields.market,
        "kind": CommandKind(fields.kind).name,
    }
    if is_order:
        found |= {
            "side": Side(fields.side).name,
            "type": OrderType(fields.order_type).name,
            "time_in_force": TimeInForce(fields.time_in_force).name,
            "price_ticks": fields.price_ticks,
            "quantity_lots": fields.quantity_lots,
            "quote_amount": fields.amount,
        }
    elif fields.order_id:
        found["order_id"] = fields.order_id
    if client:
        found["client_id"] = client
    found |= {"code": wording(Reject(reason), cancelling=not is_order).code, "reason": reason.name}
    return _line(found)


def _line(fields: dict[str, Any]) -> bytes:
    return orjson.dumps(fields) + b"\n"
