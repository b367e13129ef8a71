"""Throws generated frames (`fuzz_frames`) at a live gateway and judges what comes back.

    make fuzz SECONDS=600                       new cases for ten minutes
    python -m tests.gateway.wire.fuzz_run --seed 7 --first 1234 --count 1        one case again

After each case
    the gateway lives, and has said nothing of an exception
    the answer is one that is documented: a reply with a code of docs/errors.md, or a close code of its table
    the connection that was not closed answers a ping; one that was closed is replaced, and the new one answers it
    the case has cost the gateway no more than `CPU_S_MAX` of its own CPU time, which distinguishes a hang from a busy machine

and after every `CASES_PER_LOOK` cases the reference engine, which reads the same journal, has given the same events, and what
has changed in the venue is exactly what the replies with status 200 say: a refusal has changed nothing.
"""

from __future__ import annotations

import argparse
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.frames import Opcode

from engine.reasons import Reason
from engine.records import Event, EventKind
from gateway.dialect.rejects import WORDINGS
from tests.faults.reference_follower import ReferenceFollower
from tests.gateway.wire.fuzz_frames import Case, Keys, case
from tests.worlds.clients import now_ms
from tests.worlds.raw_client import TIMEOUT_S, Closed, RawClient, frame, logged_on
from tests.worlds.services import ServiceVenue

CPU_S_MAX = 0.5
"""For one case; a good one costs less than a thousandth of it."""
MEMORY_GROWTH_MB_MAX = 300
CASES_PER_LOOK = 500
CLOSE_CODES = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011}
NEVER = {-1000, -1001}
"""Codes that would mean that the gateway itself did not know what to say."""
CODES = {wording.code for wording in WORDINGS.values()} - NEVER
STATUSES = {101, 200, 400, 404, 405, 413, 414, 426, 431, 501, 505}
FUNDS = {"BTC": "100000", "KZT": "1000000000000", "USDT": "1000000000", "ETH": "1000000"}


class FuzzFailure(AssertionError):
    """Something that must not happen has happened; the text says what, after which frame, and how to repeat it."""


class Fuzzer:
    """Runs the cases of one seed on a venue of its own. `counts` is how many there were of each kind and outcome."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self.venue = ServiceVenue(engine="compiled")
        try:
            self._process = self.venue.processes["gateway"]
            account = self.venue.account(**FUNDS)
            self.keys = Keys(self.venue.hmac_key(account), self.venue.ed25519_key(account))
            self._follower = ReferenceFollower(self.venue.client)
            self._follower.catch_up()
            self._wires: dict[str, RawClient] = {}
            self._placed: set[int] = set()
            self._cancelled: set[int] = set()
            self._memory_mb = self._gateway_memory_mb()
        except BaseException:
            self.venue.close()
            raise

    def close(self) -> None:
        for wire in self._wires.values():
            wire.close()
        self.venue.close()

    def run(self, numbers: Iterator[int]) -> None:
        """
        Raises:
            FuzzFailure: a case went wrong.
        """
        number = 0
        for count, number in enumerate(numbers, start=1):
            self._run_case(number)
            if count % CASES_PER_LOOK == 0:
                self._look(number)
        self._look(number)

    # -- one case

    def _run_case(self, number: int) -> None:
        fuzzed = case(self.seed, number, self.keys)
        self.counts[fuzzed.kind] += 1
        with self._blaming(number, fuzzed):
            before_s = self._cpu_s()
            if fuzzed.kind in ("frames", "http"):
                self._throw_bytes(fuzzed)
            else:
                self._throw_message(fuzzed)
            spent_s = self._cpu_s() - before_s
            assert spent_s <= CPU_S_MAX, f"the gateway spent {spent_s:.2f} s of CPU time"
            assert self._process.process.poll() is None, "the gateway has ended"

    @contextmanager
    def _blaming(self, number: int, fuzzed: Case | None) -> Iterator[None]:
        try:
            yield
        except (AssertionError, OSError, ValueError) as error:
            log = self._process.log.read_text()[-3000:]
            frame_text = (
                f"kind {fuzzed.kind}, frame {fuzzed.data!r}" if fuzzed else f"the {CASES_PER_LOOK} cases before"
            )
            raise FuzzFailure(
                f"{error}\n  case {number} of seed {self.seed}, {frame_text}\n"
                f"  repeat it:  python -m tests.gateway.wire.fuzz_run --seed {self.seed} --first {number} --count 1\n"
                f"  or with all before it:  python -m tests.gateway.wire.fuzz_run --seed {self.seed} --count {number + 1}\n"
                f"  the gateway's log ends: {log}"
            ) from error

    def _throw_message(self, fuzzed: Case) -> None:
        """Sends one text message: it has one answer, and the ping behind it a pong."""
        name = "stream" if fuzzed.kind == "stream" else "logged on" if fuzzed.is_logged_on else "anonymous"
        wire = self._wire(name)
        wire.send(fuzzed.data + frame(Opcode.PING, b"alive"))
        answered = ponged = False
        while not (answered and ponged):
            message = wire.receive()
            if isinstance(message, Closed):
                assert message.code in CLOSE_CODES, f"closed with {message.code}"
                self.counts[f"closed {message.code}"] += 1
                self._wires.pop(name).close()
                assert self._wire(name).answers_ping(), "a new connection does not answer a ping"
                return
            if message == b"alive":
                ponged = True
            elif not _is_event(message):
                assert not answered, f"a second answer: {message}"
                answered = True
                self._judge_reply(message, is_stream=name == "stream")

    def _throw_bytes(self, fuzzed: Case) -> None:
        """Sends bytes on a connection of their own and ends it: the gateway ends it, too, and serves others."""
        with socket.create_connection(("127.0.0.1", self.venue.port), timeout=TIMEOUT_S) as connection:
            data = b""
            try:
                connection.sendall(fuzzed.data)
                connection.shutdown(socket.SHUT_WR)
                while piece := connection.recv(65536):
                    data += piece
            except (ConnectionResetError, BrokenPipeError):
                self.counts["reset"] += 1
        if data:
            assert data.startswith(b"HTTP/1.1 "), f"answered {data[:200]!r}"
            status = int(data.split(b" ", 2)[1])
            assert status in STATUSES, f"answered with status {status}"
            self.counts[f"http {status}"] += 1
        assert self._wire("anonymous").answers_ping(), "another connection does not answer a ping"

    def _judge_reply(self, reply: Any, *, is_stream: bool) -> None:
        assert isinstance(reply, dict) and "id" in reply, f"no reply: {reply}"
        error = reply.get("error")
        if not is_stream:
            assert (reply["status"] == 200) == (error is None), f"status and error part: {reply}"
        if error is not None:
            assert error["code"] in CODES, f"a code that is not documented: {reply}"
            assert isinstance(error["msg"], str) and error["msg"], f"no text: {reply}"
            self.counts[f"code {error['code']}"] += 1
            return
        self.counts["good"] += 1
        result = reply["result"]
        for outcome in result if isinstance(result, list) else [result]:
            if isinstance(outcome, dict) and "transactTime" in outcome:
                is_cancel = "origClientOrderId" in outcome
                (self._cancelled if is_cancel else self._placed).add(outcome["orderId"])

    # -- the venue

    def _look(self, number: int) -> None:
        """Compares what has changed in the venue with the replies, and empties the book."""
        with self._blaming(number, None):
            self._cancel_all()
            events = self._follower.catch_up()
            self._follower.core.check()
            accepted = {event.order_id for event in events if event.kind == EventKind.ORDER_ACCEPTED}
            cancelled = {event.order_id for event in events if _is_cancel(event)}
            assert accepted == self._placed, f"accepted, and acknowledged: {accepted ^ self._placed}"
            assert cancelled == self._cancelled, f"cancelled, and acknowledged: {cancelled ^ self._cancelled}"
            kinds = {EventKind(event.kind) for event in events}
            allowed = {EventKind.REJECTED, EventKind.ORDER_ACCEPTED, EventKind.TRADE, EventKind.ORDER_CLOSED}
            assert kinds <= allowed, f"something else has happened: {kinds - allowed}"
            self.counts["refused by the engine"] += sum(event.kind == EventKind.REJECTED for event in events)
            self._placed.clear()
            self._cancelled.clear()
            assert "Traceback" not in self._process.log.read_text(), "the gateway has met an exception"
            grown_mb = self._gateway_memory_mb() - self._memory_mb
            assert grown_mb <= MEMORY_GROWTH_MB_MAX, f"the gateway has grown by {grown_mb} MB"

    def _cancel_all(self) -> None:
        """Over a connection that no case has touched; what was asked before has been answered by then."""
        with logged_on(self.venue.port, self.keys.ed25519) as wire:
            for symbol in ("BTCKZT", "ETHKZT", "USDTKZT", "BTCUSDT"):
                reply = wire.ask("openOrders.cancelAll", symbol=symbol, timestamp=now_ms())
                self._judge_reply(reply, is_stream=False)
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()

    def _wire(self, name: str) -> RawClient:
        wire = self._wires.get(name)
        if wire is None:
            wire = self._wires[name] = RawClient(self.venue.port, "/ws" if name == "stream" else "/ws-api/v3")
            if name == "logged on":
                wire.logon(self.keys.ed25519)
        return wire

    def _cpu_s(self) -> float:
        """CPU time that the gateway has used, in seconds."""
        pid = self._process.process.pid
        if sys.platform == "linux":
            # The clock of another process, as clock_getcpuclockid(3) names it.
            return time.clock_gettime((~pid << 3) | 2)
        shown = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
        minutes, seconds = shown.strip().split(":")[-2:]
        return 60 * int(minutes) + float(seconds)

    def _gateway_memory_mb(self) -> int:
        pid = str(self._process.process.pid)
        shown = subprocess.run(["ps", "-o", "rss=", "-p", pid], capture_output=True, text=True, check=True).stdout
        return int(shown) // 1024


def _is_event(message: Any) -> bool:
    """Whether a message answers no request: user data, streams."""
    return isinstance(message, dict) and "id" not in message


def _is_cancel(event: Event) -> bool:
    return event.kind == EventKind.ORDER_CLOSED and event.reason == Reason.CANCELLED_BY_OWNER


def _numbers(first: int, count: int | None, seconds: float | None) -> Iterator[int]:
    """Case numbers from `first`, so many, or for so long."""
    deadline = time.monotonic() + seconds if seconds is not None and count is None else None
    number = first
    while (count is None or number < first + count) and (deadline is None or time.monotonic() < deadline):
        yield number
        number += 1


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.wire.fuzz_run", description="Fuzzes a live gateway.")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--count", type=int, help="how many cases")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="for how long, where no count is given (default: 60)"
    )
    arguments = parser.parse_args(argv)
    print(f"seed {arguments.seed}", flush=True)
    fuzzer = Fuzzer(arguments.seed)
    began_s = time.monotonic()
    try:
        fuzzer.run(_numbers(arguments.first, arguments.count, arguments.seconds))
    except FuzzFailure as failure:
        print(failure, file=sys.stderr)
        return 1
    finally:
        fuzzer.close()
    for what, count in sorted(fuzzer.counts.items()):
        print(f"{count:>9,}  {what}")
    kinds = ("params", "text", "structure", "stream", "frames", "http")
    print(f"{sum(fuzzer.counts[kind] for kind in kinds):,} cases in {time.monotonic() - began_s:.0f} s, all answered")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
