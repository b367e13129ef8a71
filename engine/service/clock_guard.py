"""Three clocks: the store's, which stamps the journal, this machine's, and the core's, which only goes forward."""

from __future__ import annotations

from engine.journal import Store, store_time_us
from engine.records import BatchBuilder, Command, CommandKind, MarketState
from engine.service.cores import ExchangeCore
from engine.service.own_producer import OwnProducer

CLOCK_CHECK_S = 1.0
CLOCK_DIFFERENCE_MAX_S = 5.0


class ClockGuard:
    """Halts the venue if the store's clock and this machine's drift apart by more than 5 s (promise P2).

    A resume by an operator accepts the difference as it then is.
    """

    def __init__(self, client: Store, core: ExchangeCore, producer: OwnProducer) -> None:
        self.client = client
        self.core = core
        self._producer = producer
        self.accepted_s = 0.0
        self.halted = False
        self._checked = float("-inf")

    def check(self, monotonic_s: float, wall_s: float) -> None:
        """Compares the clocks, once a second at most."""
        if monotonic_s - self._checked < CLOCK_CHECK_S:
            return
        self._checked = monotonic_s
        difference_s = store_time_us(self.client) / 1e6 - wall_s
        if self.halted and self.core.venue_state == MarketState.TRADING:
            self.halted, self.accepted_s = False, difference_s
        if not self.halted and abs(difference_s - self.accepted_s) > CLOCK_DIFFERENCE_MAX_S:
            self._halt(difference_s)

    def _halt(self, difference_s: float) -> None:
        builder = BatchBuilder()
        why = f"the store's clock is {difference_s:+.1f} s from the engine's"
        command = Command(kind=CommandKind.MARKET_STATE_SET, state=MarketState.HALTED)
        builder.add(command, b"engine", why.encode(), b"")
        self._producer.append(builder)
        self.halted = True
