"""Halts the venue when its clocks part (promise P2).

It looks once a second, and first of all before anything new is executed. The halt says why, in the journal. An
operator accepts the clocks as they are by a TIME_ACCEPT (`jibek clock accept`): what was accepted is part of the engine's
state, so no other engine and no restart halts again.

A clock that was set shows only once, so the guard keeps in mind that it was until an operator has accepted it. What the clocks
showed last is in a file (`engine.service.clock_file`), so it also shows if the engine was down.
"""

from __future__ import annotations

import logging

from engine.journal import BEGINNING, EntryId
from engine.records import BatchBuilder, Command, CommandKind, MarketState
from engine.service.clock_file import ClockFile
from engine.service.clocks import (
    MACHINE,
    Accepted,
    Baseline,
    Fault,
    Look,
    Machine,
    baseline_of,
    look_at,
    moved,
    parted,
    stepped,
)
from engine.service.engine import EngineService
from engine.service.own_producer import OwnProducer

CHECK_US = 1_000_000


class ClockGuard:
    """Compares the clocks of a venue, and halts it once for each time that they part.

    It also halts a venue that an operator has halted: so that is not resumed before the clocks are accepted.
    """

    def __init__(
        self,
        service: EngineService,
        producer: OwnProducer,
        log: logging.Logger,
        file: ClockFile,
        machine: Machine = MACHINE,
    ) -> None:
        self._service = service
        self._producer = producer
        self._log = log
        self._file = file
        self._machine = machine
        self._last: Look | None = None
        """The last look of which all has been done that was to be done."""
        self._baseline: Baseline | None = file.read()
        self._steps: dict[str, Fault] = {}
        """That the machine's clock was set, by kind, since an operator has accepted the clocks last."""
        self._accepted: Accepted | None = None
        """What had been accepted at the last look."""
        self._halt_id: EntryId = BEGINNING
        """The last halt that was appended here: before it is executed, the core does not show it."""
        self._halted_for: frozenset[str] = frozenset()
        """The kinds of faults for which it has halted the venue since the clocks were accepted last."""
        self._known: frozenset[str] = frozenset()
        """The kinds of faults at the last look, which have been logged."""
        self.fault = ""
        """Why the venue does not trade under these clocks, as the end of a sentence, until an operator has accepted them;
        empty if nothing is wrong. Another thread may read it."""

    def check(self) -> None:
        """Looks at the clocks, once a second at most. Cost of a look: one round trip.

        Raises:
            Exception: as `OwnProducer.append`. Nothing is forgotten: the next call does it again.
        """
        last = self._last
        if last is not None and self._machine.since_start_us() - last.ended_us < CHECK_US:
            return
        look, core = look_at(self._service.client, self._machine), self._service.core
        is_halted = core.venue_state == MarketState.HALTED
        accepted = Accepted(core.accepted_difference_us, core.accepted_time_us, core.accepted_store_us)
        is_accepted = accepted != self._accepted
        if is_accepted:
            self._accepted, self._halted_for = accepted, frozenset()
            self._steps.clear()
        baseline = self._next_baseline(look)
        faults = [*self._steps.values(), *parted(look, core.time_us, accepted)]
        self._report(faults)
        if faults:
            self.fault = _text_of(faults)
        elif not is_halted or is_accepted:
            self.fault = ""
        self._halt_if_new(faults, is_halted)
        self._last = look
        # Not before the halt is in the journal: an engine that ends here must see the step again when it starts.
        self._file.note(baseline)

    def close(self) -> None:
        """Writes the file of the clocks a last time."""
        self._file.close()

    def _next_baseline(self, look: Look) -> Baseline:
        """Moves the baseline, and keeps in mind that the clock was set, if it was."""
        before = self._baseline
        step = None if before is None else stepped(before, look)
        if step is not None:
            self._steps[step.kind] = step
        self._baseline = baseline_of(look) if before is None or step is not None else moved(before, look)
        return self._baseline

    def _report(self, faults: list[Fault]) -> None:
        """Logs what is new."""
        kinds = frozenset(fault.kind for fault in faults)
        if kinds - self._known:
            self._log.warning("the venue is halted: %s; `jibek clock accept` lets it go on", _text_of(faults))
        elif self._known and not kinds:
            self._log.info("the clocks do not part any more, or an operator has accepted that they do")
        self._known = kinds

    def _halt_if_new(self, faults: list[Fault], is_halted: bool) -> None:
        """Halts a venue that trades, and one that is halted for other reasons than these."""
        if self._service.cursor < self._halt_id:
            return
        if not is_halted:
            self._halted_for = frozenset()
        kinds = frozenset(fault.kind for fault in faults)
        if kinds - self._halted_for:
            self._halt(faults)
            self._halted_for |= kinds

    def _halt(self, faults: list[Fault]) -> None:
        builder = BatchBuilder()
        command = Command(kind=CommandKind.MARKET_STATE_SET, state=MarketState.HALTED)
        builder.add(command, b"engine", _text_of(faults).encode(), b"")
        self._halt_id = self._producer.append(builder)


def _text_of(faults: list[Fault]) -> str:
    return "; ".join(fault.text for fault in faults)
