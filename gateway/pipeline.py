"""From requests to journal entries and back: which command is in which batch, and who waits for its answer.

    queue ──▶ sending (at most one batch, not yet confirmed by the store) ──▶ waiting for events ──▶ answered

All commands of one turn of the event loop go into one batch; while a batch is not confirmed, those that come gather for
the next. Nothing here does I/O: the service sends what `next_batch` gives and reports what became of it.

A batch whose fate is unknown (the connection was lost) is sent again, byte for byte: the engine drops a number that it
has seen (promise P8). Whoever waits longer than `answer_timeout_s` for a batch that left is told that the outcome is
unknown, never that it failed; commands that did not leave in time are taken back and told so.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from engine.reasons import Reason
from engine.records import (
    BATCH_COMMANDS_MAX,
    BATCH_HEADER,
    COMMAND,
    BatchHeader,
    Command,
    Disposition,
    EventHeader,
)
from gateway.codec import Ask
from gateway.refusals import Refusal, refuse

ANSWER_TIMEOUT_S = 10.0
COMMANDS_MAX = 65_536
"""Commands without an answer in the whole gateway; one more is refused as overloaded."""
COMMANDS_PER_SESSION_MAX = 8_192


class PipelineLimits(NamedTuple):
    """How much may be on its way, and for how long."""

    commands_max: int = COMMANDS_MAX
    commands_per_session_max: int = COMMANDS_PER_SESSION_MAX
    answer_timeout_s: float = ANSWER_TIMEOUT_S


_BLOB = struct.Struct("<III")
assert Command._fields[-3:] == ("blob_offset", "blob_length", "state")
_BLOB_START = COMMAND.size - _BLOB.size


class Superseded(Exception):
    """Another process speaks under this gateway's number: this one must stop."""


class Batch:
    """Commands that share a journal entry."""

    __slots__ = ("asks", "data", "is_uncertain", "number", "reduces", "sent_s")

    def __init__(self, number: int, asks: list[Ask], data: bytes, reduces: bool, sent_s: float) -> None:
        self.number = number
        self.asks = asks
        self.data = data
        self.reduces = reduces
        """Whether to append it as one that only reduces."""
        self.sent_s = sent_s
        self.is_uncertain = False
        """Whether an earlier attempt may have reached the journal."""


Refuse = Callable[[Ask, Refusal], None]


class Pipeline:
    """The commands of one gateway on their way.

    Args:
        boot: this process's boot number.
        refused: tells an ask that its command is not carried out, or that its outcome is unknown.
    """

    def __init__(self, gateway: int, boot: int, refused: Refuse, limits: PipelineLimits | None = None) -> None:
        self._limits = limits if limits is not None else PipelineLimits()
        self.gateway = gateway
        self.boot = boot
        self._refused = refused
        self._number = 0
        self._queue: deque[Ask] = deque()
        self._sending: Batch | None = None
        self._waiting: dict[int, Batch] = {}
        """Batches without events, oldest first; the one being sent is among them."""
        self._open = 0
        self._is_stalled = False
        """Whether the engine has been silent for so long that new orders would only pile up in the journal."""

    @property
    def open_commands(self) -> int:
        """Commands without an answer."""
        return self._open

    def add(self, ask: Ask, now_s: float) -> Refusal | None:
        """Queues a command. Refused where the gateway or the session has as many open as are allowed."""
        session = ask.session
        if self._is_stalled and not ask.reduces:
            return refuse(Reason.OVERLOADED)
        if self._open >= self._limits.commands_max or session.waiting >= self._limits.commands_per_session_max:
            return refuse(Reason.OVERLOADED)
        ask.queued_s = now_s
        session.waiting += 1
        self._open += 1
        self._queue.append(ask)
        return None

    def next_batch(self, now_s: float, now_ms: int) -> Batch | None:
        """The batch to send now; None while one is unconfirmed or there is nothing to send."""
        if self._sending is not None or not self._queue:
            return None
        asks: list[Ask] = []
        while self._queue and len(asks) < BATCH_COMMANDS_MAX:
            ask = self._queue.popleft()
            if ask.expires_ms and now_ms > ask.expires_ms:
                self._finish(ask, refuse(Reason.OUTSIDE_WINDOW))
            else:
                asks.append(ask)
        if not asks:
            return None
        self._number += 1
        return self._send(asks, now_s, reduces=all(ask.reduces for ask in asks))

    def _send(self, asks: list[Ask], now_s: float, *, reduces: bool) -> Batch:
        batch = Batch(self._number, asks, self._encode(asks), reduces, now_s)
        self._sending = self._waiting[self._number] = batch
        return batch

    def _encode(self, asks: list[Ask]) -> bytes:
        pieces = [b""]
        blobs = b""
        for ask in asks:
            if ask.blob:
                pieces.append(ask.command[:_BLOB_START] + _BLOB.pack(len(blobs), len(ask.blob), 0))
                blobs += ask.blob
            else:
                pieces.append(ask.command)
        pieces[0] = BATCH_HEADER.pack(
            BatchHeader(
                command_count=len(asks),
                producer=self.gateway,
                incarnation=self.boot,
                number=self._number,
                blob_length=len(blobs),
            )
        )
        pieces.append(blobs)
        return b"".join(pieces)

    # -- what became of the batch that was sent

    def confirmed(self) -> None:
        """The batch stands in the journal."""
        if self._sending is not None:
            self._sending.data = b""
            self._sending = None

    def lost(self) -> None:
        """Whether the batch reached the journal is not known."""
        if self._sending is not None:
            self._sending.is_uncertain = True

    def resend(self) -> Batch | None:
        """The batch to send again after the connection to the store came back."""
        return self._sending

    def store_full(self, now_s: float) -> Batch | None:
        """The store refused the batch for want of memory: new orders are refused, the rest is to be sent again.

        An uncertain batch cannot be taken apart, because its first copy may stand in the journal under this number. It
        goes as a whole by the way that a full store leaves open; there is at most one such batch.
        """
        batch = self._sending
        assert batch is not None
        if batch.is_uncertain:
            batch.reduces = True
            return batch
        del self._waiting[batch.number]
        self._sending = None
        reducing = []
        for ask in batch.asks:
            if ask.reduces:
                reducing.append(ask)
            else:
                self._finish(ask, refuse(Reason.OVERLOADED))
        if not reducing:
            self._number -= 1
            return None
        return self._send(reducing, now_s, reduces=True)

    def answered(self, header: EventHeader) -> Batch | None:
        """The batch that an event entry answers; None where it is somebody else's or a repetition.

        Raises:
            Superseded: the entry is of a newer boot of this gateway, or says that ours is stale.
        """
        if header.producer != self.gateway:
            return None
        if header.incarnation > self.boot or (
            header.incarnation == self.boot and header.disposition == Disposition.STALE
        ):
            raise Superseded(f"gateway {self.gateway} was started again elsewhere (boot {header.incarnation})")
        if header.incarnation != self.boot or header.disposition == Disposition.DUPLICATE:
            return None
        self._is_stalled = False
        batch = self._waiting.pop(header.number, None)
        if batch is not None and batch is self._sending:
            self._sending = None
        return batch

    def finish(self, ask: Ask) -> None:
        """The ask has its answer."""
        self._open -= 1
        ask.session.waiting -= 1

    def _finish(self, ask: Ask, refusal: Refusal) -> None:
        self.finish(ask)
        self._refused(ask, refusal)

    def expire(self, now_s: float) -> None:
        """Answers those who have waited too long. Called about once a second."""
        timeout_s = self._limits.answer_timeout_s
        while self._queue and now_s - self._queue[0].queued_s >= timeout_s:
            self._finish(self._queue.popleft(), refuse(Reason.OVERLOADED))
        self._is_stalled = False
        for batch in self._waiting.values():
            if now_s - batch.sent_s < timeout_s:
                break
            self._is_stalled = True
            asks, batch.asks = batch.asks, []
            for ask in asks:
                self._finish(ask, refuse(Reason.OUTCOME_UNKNOWN))
