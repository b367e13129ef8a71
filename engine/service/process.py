"""The engine's process: journal → core → events.

    python -m engine.service --store unix:///run/jibek/store.sock --data jibek-data --engine compiled

The engine is a follower of the journal. Next to the steps of `EngineService` it appends a tick when the core waits for a
time and the journal is silent (`engine.service.ticker`), halts the venue if the clocks drift apart
(`engine.service.clock_guard`).
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from engine.journal import Diverged, EntryId, Store
from engine.process import entry_is
from engine.process.duties import Fault
from engine.process.follower import BLOCK_MS, FollowerProcess, NotReady
from engine.process.watermarks import check_begun, vouching_watermarks
from engine.records import EngineStop
from engine.service.clock_file import ClockFile
from engine.service.clock_guard import ClockGuard
from engine.service.cores import make_core
from engine.service.engine import EngineService
from engine.service.own_producer import OwnProducer
from engine.service.state_log import log_states
from engine.service.ticker import Ticker


class EngineFollower:
    """The engine with its clocks. It keeps all in memory: a new process replays, and an outage changes nothing here."""

    def __init__(self, service: EngineService, data: Path) -> None:
        producer = OwnProducer(service.client)
        self.service = service
        log = logging.getLogger(ENGINE.name)
        self._guard = ClockGuard(service, producer, log, ClockFile(data, log))
        self._ticker = Ticker(service.client, service.core, producer)
        self._wait_ms: int | None = BLOCK_MS
        """Longest wait for the next entry; None: not at all, because a tick may be due."""

    @property
    def cursor(self) -> EntryId:
        return self.service.cursor

    @property
    def verified(self) -> tuple[EntryId, bytes]:
        return self.service.published, self.service.published_head

    def step(self, block_ms: int | None) -> int:
        # First of all: nothing is executed, and no tick appended, under clocks that have parted unseen.
        self._guard.check()
        wait_ms = None if block_ms is None or self._wait_ms is None else min(block_ms, self._wait_ms)
        count = self.service.step(wait_ms)
        if count:
            self._wait_ms = self._ticker.wait_ms()
        else:
            self._wait_ms = self._ticker.tick_if_due()
        return count

    def begin(self) -> None:
        """Looks at the clocks before anything else is done. A store that is too full to take a halt now is asked again with
        each step."""
        with contextlib.suppress(NotReady):
            self._guard.check()

    def resume(self) -> None:
        self.service.reconnected()

    def lag_entries(self) -> int:
        source = self.service.source
        return source.count_between(self.cursor, source.appended())

    def facts(self) -> dict[str, object]:
        return {"state_hash": self.service.core.state_hash().hex(), "head": self.service.head.hex()}

    def faults(self) -> Mapping[str, Fault]:
        return {"clocks": lambda: self._guard.fault}

    def close(self) -> None:
        self._guard.close()
        self.service.source.close()


def open_engine(client: Store, options: argparse.Namespace) -> EngineFollower:
    """The engine after it has replayed the journal.

    Raises:
        BadWatermark: the data folder has no mark, but the store has entries, or one that cannot be read.
        ChainBroken: the store does not hold what was published.
        EngineStop: an entry cannot be executed.
    """
    service = EngineService(client, make_core(options.engine), options.data)
    log = logging.getLogger(ENGINE.name)
    service.note_executed = partial(log_states, log)
    entry_is(lambda: service.cursor)
    check_begun(vouching_watermarks(options.data, service.source), options.data, service.source.appended())
    began_s = time.monotonic()
    count = service.recover()
    seconds = time.monotonic() - began_s
    log.info("replayed %d entries in %.3f s to %s", count, seconds, service.cursor)
    follower = EngineFollower(service, options.data)
    follower.begin()
    return follower


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=("compiled", "reference"), default="compiled")


ENGINE = FollowerProcess(
    name="engine",
    module="engine.service",
    description="The matching engine of a Jibek venue.",
    open=open_engine,
    broken=(Diverged, EngineStop),
    add_arguments=add_arguments,
)
