"""The link by which the gateway writes: one batch at a time to the journal, and small questions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import hiredis

from engine.journal import (
    BEGINNING,
    EntryId,
    Opening,
    StaleEpoch,
    StoreRefused,
    answered_id,
    append_call,
    appended_call,
    appended_id,
    check_answered_log,
    check_answered_settings,
    check_reaches,
    check_row,
    log_call,
    open_call,
    parse_journal,
    row_call,
    settings_call,
)
from engine.journal.passing import is_not_ready
from gateway.clock import Clock
from gateway.journal.kept_link import KeptLink
from gateway.journal.link import Answered, StoreLink
from gateway.journal.pipeline import Batch, Pipeline, Superseded


class JournalWriter:
    """Appends what the pipeline has to send, and judges what the store answers.

    Args:
        epoch: the one that this gateway belongs to.
        read_to: the last entry that this gateway has read.
        flush: writes what an answer has queued for clients.
        broken: called with what ends the process: going on would break a promise.
    """

    def __init__(
        self,
        url: str,
        pipeline: Pipeline,
        *,
        epoch: int,
        clock: Clock,
        flush: Callable[[], None],
        broken: Callable[[BaseException], None],
        log: logging.Logger,
        read_to: Callable[[], EntryId] = lambda: BEGINNING,
    ) -> None:
        self._pipeline = pipeline
        self._read_to = read_to
        self._epoch = epoch
        self._clock = clock
        self._flush = flush
        self._broken = broken
        self._loop = asyncio.get_running_loop()
        self._is_waking = False
        self._was_unsafe = False
        """Whether the settings of the store were unsafe when they were last looked at."""
        self.link = KeptLink(
            url, log, opened=self._open_producer, ready=self._send_next, lost=self._lost, broken=broken
        )

    def wake(self) -> None:
        """Sends a batch at the end of this turn of the loop, so that all commands of the turn are in it."""
        if not self._is_waking:
            self._is_waking = True
            self._loop.call_soon(self._wake_now)

    def ask(self, arguments: tuple[Any, ...], answered: Answered) -> None:
        """Asks the store something; see `KeptLink.ask`. What the answer queues for clients is written at once."""

        def answered_and_flushed(reply: Any) -> None:
            answered(reply)
            self._flush()
            if isinstance(reply, hiredis.ReplyError) and is_not_ready(str(reply)):
                # A batch would be refused, too. The link is not open again before the store takes writes.
                self.link.drop(str(reply))

        self.link.ask(arguments, answered_and_flushed)

    def check_settings(self) -> None:
        """Asks for the settings of the store, and ends the link if they are unsafe: nothing is sent until they are right."""

        def answered(reply: Any) -> None:
            if isinstance(reply, list):
                try:
                    check_answered_settings(reply)
                except StoreRefused as unsafe:
                    self._was_unsafe = True
                    self.link.drop(str(unsafe))

        self.link.ask(settings_call(), answered)

    def _wake_now(self) -> None:
        self._is_waking = False
        self._send_next()

    def _send_next(self) -> None:
        if self.link.is_open:
            batch = self._pipeline.next_batch(self._clock.now_s(), self._clock.now_us() // 1000)
            if batch is not None:
                self._append(batch)
        self._flush()

    def _append(self, batch: Batch) -> None:
        call = append_call(self._epoch, batch.data, reducing=batch.reduces, marks=batch.marks())
        self.link.send(call, self._appended)

    def _appended(self, answer: Any) -> None:
        if isinstance(answer, hiredis.ReplyError):
            self._refused(str(answer))
        else:
            self._added(answered_id(answer))

    def _added(self, id: EntryId) -> None:
        self._pipeline.confirmed(id)
        self._send_next()

    def _refused(self, text: str) -> None:
        """Judges an answer that is not an id: the batch was not added, unless it is THERE."""
        code, _, detail = text.partition(" ")
        if code == "THERE":
            self._added(answered_id(detail))
        elif code == "OOM":
            self._send_rest(self._pipeline.store_full(self._clock.now_s()))
        elif code == "USED":
            places = [int(place) for place in detail.split()]
            self._send_rest(self._pipeline.signatures_used(places, self._clock.now_s()))
        elif code == "STALEEPOCH" and int(detail) < self._epoch:
            self.link.drop(f"it is another one, in epoch {detail}")
        elif code == "STALEEPOCH":
            self._broken(StaleEpoch(f"the epoch in force is {detail}, and this gateway belongs to {self._epoch}"))
        elif code == "STALE":
            self._judge_stale(int(detail))
        elif code == "GAP" or is_not_ready(text):
            # After a gap the store is not what it was; opening again shows what it is.
            self.link.drop(text)
        else:
            self._broken(StoreRefused(f"append: {text}"))

    def _send_rest(self, batch: Batch | None) -> None:
        """Sends what is left of a batch that was refused, if that is anything."""
        if batch is not None:
            self._append(batch)
        else:
            self._send_next()

    def _judge_stale(self, incarnation: int) -> None:
        """Either another process speaks under this number, or opening again helps."""
        try:
            self._pipeline.refused_as_stale(incarnation)
        except Superseded as superseded:
            self._broken(superseded)
        else:
            self.link.drop(f"it knows this gateway under incarnation {incarnation}")

    def _lost(self) -> None:
        self._pipeline.lost()
        self._flush()

    async def _open_producer(self, link: StoreLink) -> None:
        """Opens the gateway as a producer, before anything else is sent.

        Raises:
            OSError: the store was lost, has refused, or does not keep what it is given.
            EndsBefore: it has not what was read or confirmed.
            Superseded, ChainBroken: this process has to end.
        """
        await self._check_keeps(link)
        # Before anything is written into it: another store may have come back in the place of the right one.
        check_reaches(appended_id(await link.ask(*appended_call())), self._read_to())
        opening = Opening.parse(await link.ask(*open_call(self._pipeline.producer)))
        row = opening.row(self._pipeline.producer)
        check_row(row, parse_journal(await link.ask(*row_call(row))))
        self._pipeline.opened(opening)

    async def _check_keeps(self, link: StoreLink) -> None:
        """What the operator has changed in the settings passes as an outage does.

        Raises:
            OSError: the store was lost, or a setting is unsafe.
        """
        try:
            check_answered_settings(await link.ask(*settings_call()))
            if self._was_unsafe:
                check_answered_log(await link.ask(*log_call()))
        except StoreRefused as unsafe:
            self._was_unsafe = True
            raise ConnectionError(str(unsafe)) from None
        self._was_unsafe = False
