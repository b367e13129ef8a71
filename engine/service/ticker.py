"""Time ticks: what is due must happen even if no one sends anything (promise P2).

The core knows only the stamps of entries. It says when it wants the next one (`next_deadline_us`). If the journal is silent
then, the service appends a TIME_TICK. Work that was too much for one entry is due at once.
"""

from __future__ import annotations

import time

from engine.journal import Store, store_time_us
from engine.process.follower import BLOCK_MS
from engine.records import BatchBuilder, Command, CommandKind
from engine.service.clock_guard import CLOCK_DIFFERENCE_MAX_S
from engine.service.cores import ExchangeCore
from engine.service.own_producer import OwnProducer

NEAR_US = int((CLOCK_DIFFERENCE_MAX_S + 1) * 1_000_000)
"""A deadline that is farther away by this machine's clock cannot have come by the store's."""


class Ticker:
    """Appends the ticks, and says how long the service may wait for the next entry."""

    def __init__(self, client: Store, core: ExchangeCore, producer: OwnProducer) -> None:
        self._client = client
        self._core = core
        self._producer = producer

    def wait_ms(self) -> int | None:
        """How long to wait after an entry; None: not at all, because a tick may be due. Cost: none without a deadline."""
        deadline_us = self._core.next_deadline_us
        if deadline_us is None or deadline_us - time.time_ns() // 1000 > NEAR_US:
            return BLOCK_MS
        return None

    def tick_if_due(self) -> int | None:
        """Appends a tick if one is due, once the journal is silent; returns how long to wait then, None: not at all.

        The store's clock decides, because it stamps the tick: one that came too early would have no effect.
        """
        deadline_us = self._core.next_deadline_us
        if deadline_us is None:
            return BLOCK_MS
        left_us = deadline_us - store_time_us(self._client)
        if left_us > 0:
            return min(BLOCK_MS, -(-left_us // 1000))
        builder = BatchBuilder()
        builder.add(Command(kind=CommandKind.TIME_TICK))
        self._producer.append(builder)
        return None
