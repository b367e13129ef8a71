"""Halts the venue when its clocks part (promise P2).

It looks once a second, and first of all before anything new is executed. The halt says why, in the journal. An
operator accepts the clocks as they are by a TIME_ACCEPT (`jibek clock accept`): what was accepted is part of the engine's
state, so no other engine and no restart halts again.
"""

from __future__ import annotations

import logging

from engine.journal import BEGINNING, EntryId
from engine.records import BatchBuilder, Command, CommandKind, MarketState
from engine.service.clocks import MACHINE, Accepted, Fault, Look, Machine, look_at, parted, stepped
from engine.service.engine import EngineService
from engine.service.own_producer import OwnProducer

CHECK_US = 1_000_000


class ClockGuard:
    """Compares the clocks of a venue, and halts it once for each time that they part.

    A venue that is halted already is not halted again, also if an operator has halted it: what the guard finds is then only logged.
    """

    def __init__(
        self, service: EngineService, producer: OwnProducer, log: logging.Logger, machine: Machine = MACHINE
    ) -> None:
        self._service = service
        self._producer = producer
        self._log = log
        self._machine = machine
        self._last: Look | None = None
        """The last look of which all has been done that was to be done."""
        self._halt_id: EntryId = BEGINNING
        """The last halt that was appended here: before it is executed, the core does not show it."""
        self._known: frozenset[str] = frozenset()
        """The kinds of faults at the last look, which have been logged."""
        self.fault = ""
        """Why the venue does not trade under these clocks, as the end of a sentence, until an operator has accepted them or
        resumed; empty if nothing is wrong. Another thread may read it."""
        self._fault_accepted = Accepted()
        """What was accepted when the fault was found."""

    def check(self) -> None:
        """Looks at the clocks, once a second at most. Cost of a look: one round trip.

        Raises:
            Exception: as `OwnProducer.append`. Nothing is forgotten: the next call does it again.
        """
        last = self._last
        if last is not None and self._machine.since_start_us() - last.ended_us < CHECK_US:
            return
        look, core = look_at(self._service.client, self._machine), self._service.core
        step = None if last is None else stepped(last, look)
        faults = [] if step is None else [step]
        accepted = Accepted(core.accepted_difference_us, core.accepted_time_us)
        faults += parted(look, core.time_us, accepted)
        is_halted = core.venue_state == MarketState.HALTED
        self._report(faults, is_halted)
        if faults:
            self.fault, self._fault_accepted = _text_of(faults), accepted
        elif not is_halted or accepted != self._fault_accepted:
            self.fault = ""
        if faults and not is_halted and self._service.cursor >= self._halt_id:
            self._halt(faults)
        self._last = look

    def _report(self, faults: list[Fault], is_halted: bool) -> None:
        """Logs what is new."""
        kinds = frozenset(fault.kind for fault in faults)
        if kinds - self._known:
            done = "the venue is halted already" if is_halted else "the venue is halted"
            self._log.warning("%s: %s; `jibek clock accept` lets it go on", done, _text_of(faults))
        elif self._known and not kinds:
            self._log.info("the clocks do not part any more, or an operator has accepted that they do")
        self._known = kinds

    def _halt(self, faults: list[Fault]) -> None:
        builder = BatchBuilder()
        command = Command(kind=CommandKind.MARKET_STATE_SET, state=MarketState.HALTED)
        builder.add(command, b"engine", _text_of(faults).encode(), b"")
        self._halt_id = self._producer.append(builder)


def _text_of(faults: list[Fault]) -> str:
    return "; ".join(fault.text for fault in faults)
