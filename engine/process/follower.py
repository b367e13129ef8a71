"""The skeleton of every process that goes along the journal or the events: start, retry, stop, and how it ends.

A follower is what differs: what it reads and how it verifies that, what it does with an entry, where it keeps its cursor.
A `FollowerProcess` is what they share: arguments, log lines, connecting, the checks of the store, readiness, the back-off
while the store is away, stop signals, and one log line and one exit code for each way to end.

The engine follows the journal and verifies by `check_follows`; every other follower follows the events and verifies by
`EventReader`. A process with an event loop of its own (a gateway) takes the parts: `Backoff`, `classify`, `retry`, `end_code`.
"""

from __future__ import annotations

import argparse
import enum
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import redis

from engine.journal import (
    NOT_READY_ERRORS,
    ChainBroken,
    EndsBefore,
    EntryId,
    StaleEpoch,
    Store,
    StoreRefused,
    StoreTimeout,
    connect,
    is_not_ready,
    prepare_store,
    reason_of,
)
from engine.process.common import (
    EXIT_GOOD,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    StopOverdue,
    StopRequest,
    add_store_argument,
    report_ready,
    set_up,
    stop_is_obeyed,
    stop_on_signals,
)
from engine.process.duties import Duties, Fault
from engine.process.log_lines import entry_is
from engine.process.watermarks import BadWatermark, WatermarkWriter
from engine.records import MalformedRecord

BLOCK_MS = 200
"""Longest wait for the next entry: a stop request takes effect within it."""
RETRY_S_MIN = 0.02
RETRY_S_MAX = 1.0

BROKEN_PROMISES = (BadWatermark, ChainBroken, MalformedRecord, StaleEpoch, StoreRefused)
"""What ends any follower: going on would act on entries that are not those of a sound venue."""

Answer = TypeVar("Answer")


class Follower(Protocol):
    """What goes along the journal or the events. A new one begins at its own durable cursor.

    A follower that keeps a projection writes it and its cursor in one atomic step (promise P10); one that keeps all in
    memory begins at the first entry. It raises what `classify` can judge, and its process names its own broken promises.
    """

    @property
    def cursor(self) -> EntryId:
        """The last entry that it has taken."""

    @property
    def verified(self) -> tuple[EntryId, bytes]:
        """The last entry in the store that it has verified, and the head of the chain there: what its watermark says."""

    def step(self, block_ms: int | None) -> int:
        """Reads, verifies and applies the next entries, and returns how many; if there are none, waits up to `block_ms`
        for some (None: not at all)."""

    def resume(self) -> None:
        """Begins again where its durable cursor is, after the store was away or another process has moved that cursor."""

    def lag_entries(self) -> int:
        """How many entries it is behind what it follows. Cost: one round trip."""

    def facts(self) -> dict[str, object]:
        """What it reports when it is ready, next to its cursor."""

    def faults(self) -> Mapping[str, Fault]:
        """Its duties besides following: name -> why it cannot be done at the moment (`engine.process.duties`)."""

    def close(self) -> None:
        """Ends what it has open. Called once, however the process ends."""


class Overtaken(Exception):
    """Another process has moved this follower's durable cursor on: it resumes from there. Nothing was lost."""


class NotReady(Exception):
    """The store lacks something that another process will bring, for example the venue itself."""


class Trouble(enum.Enum):
    """What an exception means to a follower."""

    OVERTAKEN = enum.auto()
    """Resume at once."""
    AWAY = enum.auto()
    """The store cannot be reached, or gave no answer in time: wait, then resume."""
    NOT_READY = enum.auto()
    """The store is there and cannot serve yet: wait, then resume."""
    BROKEN = enum.auto()
    """A promise is broken, or the store refused a call: end, and say which."""
    UNEXPECTED = enum.auto()
    """A defect: end, with a traceback."""

    @property
    def passes(self) -> bool:
        """Whether trying again may help."""
        return self in (Trouble.OVERTAKEN, Trouble.AWAY, Trouble.NOT_READY)


def classify(error: BaseException, broken: tuple[type[Exception], ...] = ()) -> Trouble:
    """What an exception means.

    Args:
        broken: the follower's own broken promises, in addition to `BROKEN_PROMISES`.
    """
    if isinstance(error, (*BROKEN_PROMISES, redis.InvalidResponse, *broken)):
        return Trouble.BROKEN
    if isinstance(error, Overtaken):
        return Trouble.OVERTAKEN
    if isinstance(error, (NotReady, *NOT_READY_ERRORS)):
        return Trouble.NOT_READY
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | StoreTimeout | ConnectionError | TimeoutError):
        return Trouble.AWAY
    if isinstance(error, redis.ResponseError):
        return Trouble.NOT_READY if is_not_ready(reason_of(error)) else Trouble.BROKEN
    return Trouble.UNEXPECTED


class Backoff:
    """How long to wait before the store is tried again: 20 ms, and twice as long after each failure, up to 1 s.

    It logs the first failure of an outage, and its end.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._wait_s = 0.0
        self.fault = ""
        """Why the store cannot be used at the moment; the empty text if it can."""

    def failed(self, error: BaseException) -> float:
        """How many seconds to wait after this failure."""
        if not self._wait_s:
            self._log.warning("the store cannot be used, trying again: %s", reason_of(error))
        self._wait_s = min(RETRY_S_MAX, 2 * self._wait_s or RETRY_S_MIN)
        self.fault = f"it cannot be used: {reason_of(error)}"
        return self._wait_s

    def succeeded(self) -> None:
        """Ends the outage, if there was one."""
        if self._wait_s:
            self._wait_s = 0.0
            self.fault = ""
            self._log.info("the store can be used again")


def retry(attempt: Callable[[], Answer], stop: StopRequest, backoff: Backoff) -> Answer | None:
    """What `attempt` returns, tried again for as long as its trouble passes; None if the stop is requested before.

    Raises:
        Exception: what `attempt` raised, if trying again cannot help.
    """
    while not stop:
        try:
            answer = attempt()
        except Exception as error:
            if not classify(error).passes:
                raise
            stop.wait(backoff.failed(error))
        else:
            backoff.succeeded()
            return answer
    return None


def follow(
    follower: Follower,
    stop: StopRequest,
    log: logging.Logger,
    note: Callable[[EntryId, bytes], None] = lambda id, head: None,
    duties: Duties | None = None,
    check_store: Callable[[], None] = lambda: None,
) -> None:
    """Runs a follower until the stop is requested, and closes it. It outlives the store.

    Args:
        note: takes after each step what is verified; must not wait.
        duties: where it shows that it gets on; None to show it to no one.
        check_store: called before the follower resumes: the store may have come back with other settings, or without its
            functions.

    Raises:
        Exception: what the follower raised, if trying again cannot help.
    """
    backoff = Backoff(log)
    duties = Duties() if duties is None else duties
    duties.watch("store", lambda: backoff.fault)
    is_stale = False
    try:
        while not stop:
            duties.came_round()
            try:
                if is_stale:
                    _resume(follower, check_store)
                    is_stale = False
                follower.step(BLOCK_MS)
                backoff.succeeded()
            except Exception as error:
                trouble = classify(error)
                if not trouble.passes:
                    raise
                is_stale = True
                if trouble is not Trouble.OVERTAKEN:
                    stop.wait(backoff.failed(error))
            note(*follower.verified)
    finally:
        note(*follower.verified)
        follower.close()


def _resume(follower: Follower, check_store: Callable[[], None]) -> None:
    """What an operator can put right in a running store is waited for.

    Raises:
        NotReady: the settings or the functions are not those that the venue needs, or the store ends before what it has
            confirmed.
    """
    try:
        check_store()
        follower.resume()
    except (EndsBefore, StoreRefused) as error:
        raise NotReady(str(error)) from error


def end_code(log: logging.Logger, error: BaseException | None, broken: tuple[type[Exception], ...] = ()) -> int:
    """Logs in one line why the process ends, and returns its exit code; a defect is logged with its traceback.

    Args:
        error: what ended it; None for a stop that was requested.
        broken: the process's own broken promises, in addition to `BROKEN_PROMISES`.
    """
    if error is None:
        return EXIT_GOOD
    trouble = classify(error, broken)
    if trouble.passes:
        log.error("the store cannot be reached: %s", reason_of(error))
        return EXIT_UNREACHABLE
    if trouble is Trouble.UNEXPECTED:
        log.error("%s: %s", type(error).__name__, error, exc_info=error)
    elif isinstance(error, redis.ResponseError):
        log.error("the store refused: %s", reason_of(error))
    elif isinstance(error, redis.InvalidResponse):
        log.error("the store's answer cannot be read: %s", error)
    else:
        # A known broken promise: its text is for operators, its class is not.
        log.error("%s", error)
    return EXIT_REFUSED


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """A follower that takes only `--store` and `--data`."""


@dataclass(frozen=True)
class FollowerProcess:
    """A process that runs one follower; `main` is all that its module calls."""

    name: str
    """In log lines."""
    module: str
    """By which `python -m` starts it."""
    description: str
    open: Callable[[Store, argparse.Namespace], Follower]
    """Makes the follower on a store that has been checked, with `options.data` and its own options."""
    broken: tuple[type[Exception], ...] = ()
    """Its own broken promises, in addition to `BROKEN_PROMISES`: they end it with EXIT_REFUSED."""
    add_arguments: Callable[[argparse.ArgumentParser], None] = no_arguments

    def main(self, arguments: list[str] | None = None) -> int:
        """Runs it until SIGTERM, SIGINT, the end of its parent or a broken promise; returns the exit code.

        A store that is away at the start ends it with EXIT_UNREACHABLE; later it waits for the store.
        """
        options = self.parse(arguments)
        log = set_up(self.name)
        duties = Duties()
        duties.begin()
        stop = stop_on_signals()
        try:
            client = connect(options.store)
            prepare_store(client)
            follower = self.open(client, options)
            entry_is(lambda: follower.cursor)
            watermark = WatermarkWriter(options.data, self.name)
            log.info("begins at %s, %d entries behind", follower.cursor, follower.lag_entries())
            duties.watch_progress(lambda: follower.cursor)
            for name, fault in {"watermark": lambda: watermark.fault, **follower.faults()}.items():
                duties.watch(name, fault)
            duties.came_round()
            report_ready(cursor=str(follower.cursor), **follower.facts())
            try:
                follow(follower, stop, log, watermark.note, duties, lambda: prepare_store(client))
            finally:
                watermark.close()
        except StopOverdue:
            log.info("stopped in the middle of what it was at")
            return end_code(log, None)
        except Exception as error:
            return end_code(log, error, self.broken)
        finally:
            stop_is_obeyed()
        log.info("stopped at %s", follower.cursor)
        return end_code(log, None)

    def parse(self, arguments: list[str] | None) -> argparse.Namespace:
        """The options; wrong usage ends the process with EXIT_USAGE."""
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}", description=self.description)
        add_store_argument(parser)
        parser.add_argument("--data", required=True, type=Path, help="data folder of the venue")
        self.add_arguments(parser)
        return parser.parse_args(arguments)
