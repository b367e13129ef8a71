"""From requests to journal entries and back: which command is in which batch, and who waits for its answer.

    queue ──▶ sending (at most one batch, not yet confirmed by the store) ──▶ waiting for events ──▶ answered

All commands of one turn of the event loop go into one batch; while a batch is not confirmed, those that come gather for
the next. Callers take turns in it (`gateway.journal.command_queue`), and only so many commands wait for their events. Nothing here does I/O: the service sends what `next_batch` gives and reports what became of it.

If the connection is lost, the gateway opens again before it sends anything else, and the store says how far the old
incarnation came (`opened`). A batch up to there is in the journal, and its events are waited for. One beyond never
will: its commands go back to the head of the queue, are judged again and leave under the new incarnation. So the store,
not a guess, decides what is sent twice, and nothing is (promises P1 and P8).

A caller that waits longer than `answer_timeout_s` for a batch that left gets "outcome unknown", never "failed";
commands that did not leave in time are taken back and refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from engine.journal import BEGINNING, EndsBefore, EntryId, Mark, Opening
from engine.reasons import Reason
from engine.records import (
    BATCH_COMMANDS_MAX,
    COMMAND,
    BatchHeader,
    Command,
    Disposition,
    EventHeader,
    seal_batch,
)
from gateway.auth.replay_guard import refusal_of
from gateway.dialect.rejects import Reject, Rejected
from gateway.journal.command_queue import CommandQueue
from gateway.journal.pending import PendingCommand
from gateway.limits import PipelineLimits

_BLOB = struct.Struct("<III")
assert Command._fields[-3:] == ("blob_offset", "blob_length", "state")
_BLOB_START = COMMAND.size - _BLOB.size


class Superseded(Exception):
    """Another process speaks under this gateway's number: this one must stop."""


class Batch:
    """Commands that share a journal entry."""

    __slots__ = ("commands", "data", "incarnation", "is_told_unknown", "number", "reduces", "sent_s", "signed", "size")

    def __init__(
        self,
        incarnation: int,
        number: int,
        commands: list[PendingCommand],
        signed: list[PendingCommand],
        data: bytes,
        reduces: bool,
        sent_s: float,
    ) -> None:
        self.incarnation = incarnation
        self.number = number
        self.commands = commands
        self.signed = signed
        """Those of the commands that were accepted by their own signature."""
        self.size = len(commands)
        """Its commands, also those whose callers do not wait any more."""
        self.data = data
        self.reduces = reduces
        """Whether to append it as one that only reduces: all of it may pass a full store."""
        self.sent_s = sent_s
        self.is_told_unknown = False
        """Whether its callers were answered that the outcome is unknown."""

    def marks(self) -> list[Mark]:
        """What the signatures in the batch leave behind, in the order of `signed`."""
        return [command.mark for command in self.signed if command.mark is not None]


Refused = Callable[[PendingCommand, Reject], None]


class Pipeline:
    """The commands of one gateway on their way. Nothing leaves before it was `opened`.

    Args:
        producer: the number of this gateway.
        refused: answers a command that will not be executed, or whose outcome is unknown.
    """

    def __init__(self, producer: int, refused: Refused, limits: PipelineLimits | None = None) -> None:
        self._limits = limits if limits is not None else PipelineLimits()
        self.producer = producer
        self.incarnation = 0
        """Under which batches leave; 0 before the first opening."""
        self._own: set[int] = set()
        """All incarnations of this process: batches may still wait under earlier ones."""
        self._is_open = False
        self._refused = refused
        self._number = 0
        self._confirmed_number = 0
        """The last batch of this incarnation that the store has confirmed."""
        self._began_after: EntryId = BEGINNING
        self._last_id: EntryId = BEGINNING
        """The id of this gateway's last batch, as the store gave it."""
        self._queue = CommandQueue()
        self._sending: Batch | None = None
        self._waiting: dict[tuple[int, int], Batch] = {}
        """Batches without events by incarnation and number, oldest first; the one being sent is among them."""
        self._unanswered = 0
        """Commands in these batches."""
        self._open = 0
        self._is_stalled = False
        """Whether the engine has been silent for so long that new orders would only pile up in the journal."""

    @property
    def open_commands(self) -> int:
        """Commands without an answer."""
        return self._open

    @property
    def began_after(self) -> EntryId:
        """The last batch that an earlier process had sent under this number when this one opened: until its events are read,
        something of every account may be on its way."""
        return self._began_after

    def add(self, command: PendingCommand, now_s: float) -> None:
        """Queues a command.

        Raises:
            Rejected: OVERLOADED: the gateway or the caller has as many open as are allowed, or, for a command that does
                not reduce, the engine is silent.
        """
        caller, limits = command.caller, self._limits
        is_stalled = self._is_stalled and not command.reduces
        if is_stalled or self._open >= limits.commands_max or caller.waiting >= limits.commands_per_session_max:
            raise Rejected(Reason.OVERLOADED)
        command.queued_s = now_s
        caller.waiting += 1
        self._open += 1
        self._queue.add(command)

    def next_batch(self, now_s: float, now_ms: int) -> Batch | None:
        """The batch to send now; None while one is unconfirmed, too many commands have no answer, nothing is open or there is
        nothing to send."""
        if self._sending is not None or not self._queue or not self._is_open:
            return None
        room = min(BATCH_COMMANDS_MAX, self._limits.commands_in_journal_max - self._unanswered)
        commands: list[PendingCommand] = []
        while self._queue and len(commands) < room:
            command = self._queue.take()
            if command.expires_ms and now_ms > command.expires_ms:
                self._finish(command, Reject(Reason.OUTSIDE_WINDOW))
            else:
                commands.append(command)
        if not commands:
            return None
        self._number += 1
        return self._send(commands, now_s, reduces=False)

    def _send(self, commands: list[PendingCommand], now_s: float, *, reduces: bool) -> Batch:
        signed = [command for command in commands if command.mark is not None]
        batch = Batch(self.incarnation, self._number, commands, signed, self._encode(commands), reduces, now_s)
        self._sending = self._waiting[batch.incarnation, batch.number] = batch
        self._unanswered += batch.size
        return batch

    def _encode(self, commands: list[PendingCommand]) -> bytes:
        pieces = []
        blobs = b""
        for command in commands:
            if command.blob:
                pieces.append(command.command[:_BLOB_START] + _BLOB.pack(len(blobs), len(command.blob), 0))
                blobs += command.blob
            else:
                pieces.append(command.command)
        header = BatchHeader(
            command_count=len(commands),
            producer=self.producer,
            incarnation=self.incarnation,
            number=self._number,
            blob_length=len(blobs),
        )
        return seal_batch(header, *pieces, blobs)

    # -- what became of the batch that was sent

    def confirmed(self, id: EntryId) -> None:
        """The batch is in the journal, as entry `id`."""
        batch = self._sending
        assert batch is not None, "only one batch is on its way"
        batch.data = b""
        self._sending = None
        self._confirmed_number, self._last_id = batch.number, id

    def store_full(self, now_s: float) -> Batch | None:
        """The store refused the batch for want of memory, so it was not added. Cancels of orders that are known to be open
        are to be sent under the same number, as a batch that only reduces; all else is refused, and these too where the
        store's reserve is used up. A batch is written once, to one connection, and this one was answered there: no copy of it
        can come in under that number instead."""
        batch = self._not_added()
        reducing = []
        for command in batch.commands:
            if command.is_told_unknown:
                command.end()
            elif command.passes_full_store and not batch.reduces:
                reducing.append(command)
            else:
                self._finish(command, Reject(Reason.OVERLOADED))
        return self._send_again(reducing, now_s, reduces=True)

    def signatures_used(self, places: list[int], now_s: float) -> Batch | None:
        """The store refused the batch, because these of its marks were set before: their commands are copies and are
        refused. The rest is to be sent under the same number, as in `store_full`."""
        batch = self._not_added()
        copies = {id(batch.signed[place]) for place in places}
        left = []
        for command in batch.commands:
            if command.is_told_unknown:
                command.end()
            elif id(command) not in copies:
                left.append(command)
            elif command.mark is not None:
                self._finish(command, Reject(refusal_of(command.mark)))
        return self._send_again(left, now_s, reduces=batch.reduces)

    def _not_added(self) -> Batch:
        """The batch that was sent, which the store has refused; nothing waits for its events any more."""
        batch = self._sending
        assert batch is not None
        self._take_off(batch.incarnation, batch.number)
        self._sending = None
        return batch

    def _send_again(self, commands: list[PendingCommand], now_s: float, *, reduces: bool) -> Batch | None:
        """What is left of a batch that was refused, under its number; None where nothing is."""
        if not commands:
            self._number -= 1
            return None
        return self._send(commands, now_s, reduces=reduces)

    def lost(self) -> None:
        """The connection is lost: nothing leaves before the gateway has opened again."""
        self._is_open = False

    def opened(self, opening: Opening) -> None:
        """The store has answered `open_producer`: from now on it refuses every copy of an older batch.

        Raises:
            Superseded: another process has sent batches under this number.
            EndsBefore: the store has lost a batch that it had confirmed.
        """
        if not self.incarnation:
            self._began_after = opening.last_id
        else:
            self._check_opening(opening)
            batch, self._sending = self._sending, None
            if batch is not None and not self._is_added(batch, opening):
                self._take_back(batch)
        self.incarnation, self._number, self._confirmed_number = opening.incarnation, 0, 0
        self._last_id = opening.last_id
        self._own.add(opening.incarnation)
        self._is_open = True

    def _check_opening(self, opening: Opening) -> None:
        """The store must know this process, and all that it has confirmed to it.

        An incarnation in between that has sent nothing was drawn by this process, which never heard the answer.
        """
        if opening.old_incarnation > self.incarnation and opening.last_number > 0:
            raise Superseded(self._superseded(opening.old_incarnation))
        is_older = opening.old_incarnation < self.incarnation or opening.last_id < self._last_id
        is_short = opening.old_incarnation == self.incarnation and opening.last_number < self._confirmed_number
        if is_older or is_short:
            raise EndsBefore(f"the store ends before the batch at {self._last_id}, which it had confirmed")

    def _is_added(self, batch: Batch, opening: Opening) -> bool:
        """Whether a batch whose confirmation was lost is in the journal."""
        if opening.old_incarnation == batch.incarnation:
            return batch.number <= opening.last_number
        # The answer to an opening was lost, too, and with it the number. Only this batch was on its way.
        return opening.last_id != self._last_id

    def _take_back(self, batch: Batch) -> None:
        """Puts the commands of a batch that was not added at the head of the queue, but for those whose outcome was reported
        as unknown: their callers would not expect them to be executed now."""
        self._take_off(batch.incarnation, batch.number)
        if not batch.is_told_unknown:
            self._queue.put_back(batch.commands)
            return
        for command in batch.commands:
            command.end()

    def _take_off(self, incarnation: int, number: int) -> Batch | None:
        """Takes a batch off those that have no events; None if it is not among them."""
        batch = self._waiting.pop((incarnation, number), None)
        if batch is not None:
            self._unanswered -= batch.size
        return batch

    def is_own(self, incarnation: int) -> bool:
        """Whether this process speaks, or has spoken, under this incarnation."""
        return incarnation in self._own

    def is_superseded_by(self, incarnation: int) -> bool:
        """Whether an incarnation of this gateway is that of a process that was started later."""
        return incarnation > self.incarnation and not self.is_own(incarnation)

    def _superseded(self, incarnation: int) -> str:
        return f"gateway {self.producer} was started again elsewhere (incarnation {incarnation})"

    def refused_as_stale(self, incarnation: int) -> None:
        """The store refused the batch because `incarnation` is the one in force.

        Raises:
            Superseded: it is that of another process. Else the gateway has to open again.
        """
        if self.is_superseded_by(incarnation):
            raise Superseded(self._superseded(incarnation))

    def answered(self, header: EventHeader) -> Batch | None:
        """The batch that an event entry answers; None where it is somebody else's.

        Raises:
            Superseded: the entry is of a newer process under this number, or says that what is sent now is stale.
        """
        if header.producer != self.producer or not self.incarnation:
            return None
        is_stale = header.disposition == Disposition.STALE and header.incarnation == self.incarnation
        if is_stale or self.is_superseded_by(header.incarnation):
            raise Superseded(self._superseded(header.incarnation))
        if not self.is_own(header.incarnation) or header.disposition != Disposition.EXECUTED:
            return None
        self._is_stalled = False
        return self._take_off(header.incarnation, header.number)

    def finish(self, command: PendingCommand) -> None:
        """The outcome of a command is known. Its caller does not wait any more."""
        command.end()
        if not command.is_told_unknown:
            self._open -= 1
            command.caller.waiting -= 1

    def _finish(self, command: PendingCommand, reject: Reject) -> None:
        self.finish(command)
        self._refused(command, reject)

    def expire(self, now_s: float) -> None:
        """Answers those who have waited too long. Called about once a second."""
        timeout_s = self._limits.answer_timeout_s
        for command in self._queue.take_older(now_s - timeout_s):
            self._finish(command, Reject(Reason.OVERLOADED))
        self._is_stalled = False
        for batch in self._waiting.values():
            if now_s - batch.sent_s < timeout_s:
                break
            self._is_stalled = True
            self._tell_unknown(batch)

    def _tell_unknown(self, batch: Batch) -> None:
        """Answers all callers of a batch, once. Its commands stay on their way: they may still be executed."""
        if not batch.is_told_unknown:
            batch.is_told_unknown = True
            for command in batch.commands:
                command.is_told_unknown = True
                self._open -= 1
                command.caller.waiting -= 1
                self._refused(command, Reject(Reason.OUTCOME_UNKNOWN))
