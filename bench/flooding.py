"""Sends a flood as fast as the venue takes it, from one process, and counts what comes back.

`FloodRun` drives all connections of a flood with one selector. A connection that the venue ends is opened again 10 ms
later, as an attacker would. `FloodProcess` runs it in a process of its own with the lowest priority: on a machine with few
cores the venue and the measuring client come first, so what is measured is the venue and not the generator.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import re
import selectors
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Any

from bench.floods import Block, Flood, Target
from bench.plain_websocket import CLOSE, READ_BYTES, upgrade_head

REOPEN_S = 0.01
TICK_S = 0.01
"""How long the selector waits at most, so that pauses end in time and the end of the flood is noticed."""
SEND_BYTES = 256 * 1024
CONNECTS_PER_TURN = 50
NICENESS = 19
START_TIMEOUT_S = 30.0
TAIL_BYTES = 130
"""Of what was read last: a close frame, and the beginning of a status whose end comes with the next read."""
STATUS = re.compile(rb'"status":(\d{3})|HTTP/1\.1 (\d{3})')
ENDS_WITH_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: the port is free at once, so a flood of connects does not run out of ports."""


@dataclass
class FloodReport:
    """What a flood has sent, and what it got."""

    bytes_sent: int = 0
    messages_sent: int = 0
    connections: int = 0
    """How many it opened."""
    bytes_received: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """How often each status was seen, those of HTTP included."""
    closed: Counter[str] = field(default_factory=Counter)
    """How the venue ended connections: the code of the close frame, `turned away`, `reset`, or `end` without a word."""

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "answers": dict(self.answers), "closed": dict(self.closed), "banned": self.is_banned}

    @property
    def is_banned(self) -> bool:
        return self.answers["418"] > 0


class FloodConnection:
    """One connection of a flood. Raises OSError where it cannot even begin."""

    def __init__(self, flood: Flood, target: Target) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ENDS_WITH_RESET)
        self.is_open = not flood.path
        """Whether the WebSocket is there; true from the beginning where none is wanted."""
        self.unsent = memoryview(upgrade_head(flood.path, target.port) if flood.path else b"")
        self.messages = 0
        """How many messages have been sent once `unsent` has."""
        self.pause_s = 0.0
        self.silent_until_s = 0.0
        self.blocks: Iterator[Block] = flood.blocks(target)
        self.tail = b""
        self.socket.bind((target.source, 0))
        error = self.socket.connect_ex(("127.0.0.1", target.port))
        if error not in (0, errno.EINPROGRESS):
            self.socket.close()
            raise OSError(error, os.strerror(error))

    def next_block(self) -> None:
        """Takes the next block in hand."""
        data, self.messages, self.pause_s = next(self.blocks)
        self.unsent = memoryview(data)


class FloodRun:
    """All connections of a flood."""

    def __init__(self, flood: Flood, target: Target) -> None:
        self.report = FloodReport()
        self._flood = flood
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._connections: dict[FloodConnection, None] = {}
        """In the order in which they were opened."""
        self._reopen_s: deque[float] = deque()
        """When each of those that have ended is opened again."""

    def run(self, has_ended: Callable[[], bool]) -> FloodReport:
        """Floods until `has_ended`, which is asked all the time."""
        try:
            for _ in range(self._flood.connections):
                self._open()
            while not has_ended():
                self._open_again()
                for key, events in self._selector.select(0 if self._flood.churns else TICK_S):
                    if events & selectors.EVENT_READ:
                        self._receive(key.data)
                    if events & selectors.EVENT_WRITE and key.data in self._connections:
                        self._send(key.data)
                self._end_pauses(time.monotonic())
        finally:
            for connection in self._connections:
                code = close_code(connection.tail)
                if code != "end":
                    # The venue has said that it closes; the flood has gone on all the same.
                    self.report.closed[code] += 1
                connection.socket.close()
            self._selector.close()
        return self.report

    def _open(self) -> None:
        try:
            connection = FloodConnection(self._flood, self._target)
        except OSError:
            self._reopen_s.append(time.monotonic() + REOPEN_S)
            return
        self.report.connections += 1
        self._connections[connection] = None
        self._selector.register(connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

    def _open_again(self) -> None:
        """Opens what was ended, after its time; a flood that churns also gives up its oldest for new ones."""
        now_s = time.monotonic()
        while self._reopen_s and self._reopen_s[0] <= now_s:
            self._reopen_s.popleft()
            self._open()
        if self._flood.churns:
            for connection in list(self._connections)[:CONNECTS_PER_TURN]:
                self._forget(connection)
                self._open()

    def _end_pauses(self, now_s: float) -> None:
        for connection in self._connections:
            if connection.pause_s and now_s >= connection.silent_until_s:
                connection.pause_s = 0.0
                self._watch(connection, selectors.EVENT_WRITE)

    def _watch(self, connection: FloodConnection, events: int) -> None:
        """Waits for these events, and for what comes in if the flood reads that."""
        if self._flood.reads or not connection.is_open:
            events |= selectors.EVENT_READ
        if events:
            self._selector.modify(connection.socket, events, connection)

    def _send(self, connection: FloodConnection) -> None:
        """Sends what the network takes, and goes on with the next block."""
        if not connection.unsent and connection.is_open:
            connection.next_block()
        try:
            sent = connection.socket.send(connection.unsent[:SEND_BYTES])
        except BlockingIOError:
            return
        except OSError:
            self._ended(connection, "reset")
            return
        connection.unsent = connection.unsent[sent:]
        if not connection.is_open:
            if not connection.unsent:
                self._watch(connection, 0)
            return
        self.report.bytes_sent += sent
        if not connection.unsent:
            self.report.messages_sent += connection.messages
            if connection.pause_s:
                connection.silent_until_s = time.monotonic() + connection.pause_s
                self._watch(connection, 0)

    def _receive(self, connection: FloodConnection) -> None:
        try:
            data = connection.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._ended(connection, "reset")
            return
        if not data:
            self._ended(connection, close_code(connection.tail) if connection.is_open else "turned away")
            return
        self.report.bytes_received += len(data)
        data = connection.tail + data
        known = len(connection.tail)
        for found in STATUS.finditer(data):
            if found.end() > known:
                self.report.answers[(found[1] or found[2]).decode()] += 1
        connection.tail = data[-TAIL_BYTES:]
        if not connection.is_open and data.startswith(b"HTTP/1.1 101") and b"\r\n\r\n" in data:
            connection.is_open = True
            self._watch(connection, selectors.EVENT_WRITE)

    def _ended(self, connection: FloodConnection, how: str) -> None:
        """The venue has ended a connection, which is opened again soon."""
        self.report.closed[how] += 1
        self._forget(connection)
        self._reopen_s.append(time.monotonic() + REOPEN_S)

    def _forget(self, connection: FloodConnection) -> None:
        del self._connections[connection]
        self._selector.unregister(connection.socket)
        connection.socket.close()


def close_code(tail: bytes) -> str:
    """The code of the close frame with which a connection ended; `end` if it ended without one.

    >>> close_code(b'{"id":1}' + bytes((0x88, 5)) + (1008).to_bytes(2, "big") + b"why")
    '1008'
    """
    for start in range(len(tail) - 1):
        if tail[start] == CLOSE and start + 2 + tail[start + 1] == len(tail) and tail[start + 1] >= 2:
            return str(int.from_bytes(tail[start + 2 : start + 4], "big"))
    return "end"


# -- in a process of its own


class FloodProcess:
    """A flood in a process of its own, from `with` to its end."""

    def __init__(self, flood: Flood, target: Target) -> None:
        # A fork hands the keys over in memory: no argument and no file has them.
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_flood, args=(flood, target, self._pipe, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def wait_until_it_floods(self) -> None:
        """Returns once the flood has sent something.

        Raises:
            RuntimeError: it has not within 30 s, or it has ended.
        """
        self._next("began")

    def stop(self) -> dict[str, Any]:
        """Ends the flood; what it did, as `FloodReport.as_dict` gives it."""
        self._pipe.send("stop")
        report: dict[str, Any] = self._next("reported")
        self._process.join()
        return report

    def kill(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def _next(self, what: str) -> Any:
        try:
            if self._pipe.poll(START_TIMEOUT_S):
                return self._pipe.recv()
        except EOFError:
            pass
        raise RuntimeError(f"the flood has not {what}: its process ended or hangs")


def _flood(flood: Flood, target: Target, parents: Pipe, pipe: Pipe) -> None:
    """The process: floods until the parent says stop, or is gone."""
    parents.close()
    os.nice(NICENESS)
    run = FloodRun(flood, target)
    began = False

    def has_ended() -> bool:
        nonlocal began
        if not began and (run.report.messages_sent or run.report.bytes_sent):
            began = True
            pipe.send("began")
        return pipe.poll()

    pipe.send(run.run(has_ended).as_dict())
