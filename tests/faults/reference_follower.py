"""A reference engine that follows a running venue: it reads the same journal and must give the same events.

So a test knows the venue's whole state at every entry, and can say that a refusal has not moved it. What a refusal may
move is left out of the comparison: the venue's time, and what is kept of each producer (the number of its last batch),
because a command that only the engine can judge has passed through the journal to be refused. Both are part of the state
hash, so the hash itself moves with every entry; the rest of what it covers does not.
"""

from __future__ import annotations

from typing import Any

from engine.journal import ChainReader, Producer, StoreSource
from engine.records import (
    STATE_REPORT,
    BatchBuilder,
    Command,
    CommandKind,
    Disposition,
    Event,
    EventEntry,
    EventKind,
    StateReport,
)
from engine.reference import Core


class ReferenceFollower:
    """A reference engine at the end of the journal, as far as `catch_up` has read it.

    Args:
        store: a connection to the venue's store, which answers in bytes.
    """

    def __init__(self, store: Any) -> None:
        self._reader = ChainReader(StoreSource(store))
        self.core = Core()

    def catch_up(self) -> list[Event]:
        """Reads the new entries of the journal, and returns their events.

        Raises:
            AssertionError: the venue's engine gave other events than the reference.
        """
        events: list[Event] = []
        while pairs := self._reader.read(count=256):
            for entry, published in pairs:
                data = self.core.execute(entry.time_us, entry.batch)
                assert data == published.data, f"the engines disagree at {entry.id}"
                answer = EventEntry(data)
                assert answer.header.disposition == Disposition.EXECUTED
                events += answer
        return events

    def state(self) -> bytes:
        """The canonical dump of the state at the last entry read, without time and producers."""
        exchange = self.core.exchange
        time_us, producers = exchange.time_us, exchange.producers
        exchange.time_us, exchange.producers = 0, {}
        try:
            return self.core.dump()
        finally:
            exchange.time_us, exchange.producers = time_us, producers

    def check_against_engine(self, producer: Producer) -> None:
        """Asks the running engine for the hashes of its state, time and producers included, and compares them."""
        builder = BatchBuilder()
        builder.add(Command(kind=CommandKind.STATE_REPORT))
        _, entry = producer.execute(builder)
        (event,) = entry
        reported: StateReport = STATE_REPORT.unpack_from(entry.parts(event)[0])
        *_, last = self.catch_up()
        assert last.kind == EventKind.STATE_REPORTED
        assert reported.open_orders == self.core.open_order_count
        assert reported.accounts == len(self.core.exchange.accounts)
        self.core.check()
