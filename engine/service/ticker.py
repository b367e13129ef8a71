"""Time ticks: what is due must happen even if no one sends anything (promise P2).

The core knows only the stamps of entries. It says when it wants the next one (`next_deadline_us`). If the journal is silent
then, the service appends a TIME_TICK. Work that was too much for one entry is due at once: it waits for the next entry and
not for a time, also while the venue's time is ahead of the store's clock and does not move.
"""

from __future__ import annotations

from engine.journal import Store, store_time_us
from engine.process.follower import BLOCK_MS
from engine.records import BatchBuilder, Command, CommandKind
from engine.service.clocks import DIFFERENCE_US_MAX, MACHINE, Machine
from engine.service.cores import ExchangeCore
from engine.service.own_producer import OwnProducer

NEAR_US = DIFFERENCE_US_MAX + 1_000_000
"""A deadline that is farther away by this machine's clock cannot have come by the store's, but for what was accepted."""


class Ticker:
    """Appends the ticks, and says how long the service may wait for the next entry."""

    def __init__(self, client: Store, core: ExchangeCore, producer: OwnProducer, machine: Machine = MACHINE) -> None:
        self._client = client
        self._core = core
        self._producer = producer
        self._machine = machine

    def wait_ms(self) -> int | None:
        """How long to wait after an entry; None: not at all, because a tick may be due. Cost: none without a deadline."""
        core = self._core
        deadline_us = core.next_deadline_us
        if deadline_us is None:
            return BLOCK_MS
        if deadline_us <= core.time_us:
            return None
        return BLOCK_MS if deadline_us - self._machine.wall_us() - core.accepted_difference_us > NEAR_US else None

    def tick_if_due(self) -> int | None:
        """Appends a tick if one is due, once the journal is silent; returns how long to wait then, None: not at all.

        The store's clock decides, because it stamps the tick: one that came too early would have no effect.
        """
        deadline_us = self._core.next_deadline_us
        if deadline_us is None:
            return BLOCK_MS
        left_us = 0 if deadline_us <= self._core.time_us else deadline_us - store_time_us(self._client)
        if left_us > 0:
            return min(BLOCK_MS, -(-left_us // 1000))
        builder = BatchBuilder()
        builder.add(Command(kind=CommandKind.TIME_TICK))
        self._producer.append(builder)
        return None
