"""The skeleton of all followers: what passes, what ends a process, and a follower on a real store that is killed."""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from engine.core import Core
from engine.journal import (
    BEGINNING,
    EVENTS_KEY,
    GENESIS_HEAD,
    ChainBroken,
    EntryId,
    EventReader,
    Producer,
    StaleEpoch,
    Store,
    StoreRefused,
    StoreSource,
    StoreTimeout,
    UnreadableReply,
    connect,
)
from engine.process import EXIT_GOOD, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE, StopRequest
from engine.process.follower import (
    RETRY_S_MAX,
    RETRY_S_MIN,
    Backoff,
    FollowerProcess,
    NotReady,
    Overtaken,
    Trouble,
    classify,
    end_code,
    follow,
    retry,
)
from engine.records import BatchBuilder, MalformedRecord
from engine.service.engine import EngineService
from tests.worlds.processes import paused
from tests.worlds.store import StoreProcess
from tests.worlds.venue import wait_until

LOG = logging.getLogger("follower under test")


class OwnPromiseBroken(Exception):
    """What only this follower promises."""


# -- what an exception means


TROUBLES = [
    # error                                                    what it means          exit code          what is logged
    (redis.ConnectionError("gone"),                            Trouble.AWAY,          EXIT_UNREACHABLE,  "cannot be reached: gone"),
    (redis.TimeoutError("late"),                               Trouble.AWAY,          EXIT_UNREACHABLE,  "cannot be reached: late"),
    (ConnectionResetError("asyncio"),                          Trouble.AWAY,          EXIT_UNREACHABLE,  "cannot be reached: asyncio"),
    (TimeoutError("asyncio"),                                  Trouble.AWAY,          EXIT_UNREACHABLE,  "cannot be reached: asyncio"),
    (StoreTimeout("no answer"),                                Trouble.AWAY,          EXIT_UNREACHABLE,  "cannot be reached: no answer"),
    (redis.BusyLoadingError("loading the dataset"),            Trouble.NOT_READY,     EXIT_UNREACHABLE,  "cannot be reached: loading"),
    (redis.ReadOnlyError("a read only replica"),               Trouble.NOT_READY,     EXIT_UNREACHABLE,  "cannot be reached: a read"),
    (redis.ResponseError("BUSY a script runs"),                Trouble.NOT_READY,     EXIT_UNREACHABLE,  "cannot be reached: BUSY"),
    (redis.ResponseError("Command # 1 (GET x) of pipeline caused error: BUSY a script runs"), Trouble.NOT_READY, EXIT_UNREACHABLE, "BUSY"),
    (redis.ResponseError("UNBLOCKED force unblock"),           Trouble.NOT_READY,     EXIT_UNREACHABLE,  "cannot be reached: UNBLOCKED"),
    (redis.InvalidResponse("Protocol error"),                  Trouble.BROKEN,        EXIT_REFUSED,      "the store's answer cannot be read: Protocol"),
    (redis.ResponseError("MISCONF Errors writing to the AOF file: No space left on device"), Trouble.NOT_READY, EXIT_UNREACHABLE, "MISCONF"),
    (redis.ResponseError("NOREPLICAS Not enough good replicas"), Trouble.NOT_READY, EXIT_UNREACHABLE, "NOREPLICAS"),
    (redis.ResponseError("LOADING as hiredis says it"),        Trouble.NOT_READY,     EXIT_UNREACHABLE,  "cannot be reached: LOADING"),
    (NotReady("the store has no venue yet"),                   Trouble.NOT_READY,     EXIT_UNREACHABLE,  "no venue yet"),
    (Overtaken("at 1-5"),                                      Trouble.OVERTAKEN,     EXIT_UNREACHABLE,  "at 1-5"),
    (redis.ResponseError("WRONGTYPE of key"),                  Trouble.BROKEN,        EXIT_REFUSED,      "the store refused: WRONGTYPE"),
    (redis.OutOfMemoryError("command not allowed"),            Trouble.BROKEN,        EXIT_REFUSED,      "the store refused: command"),
    (ChainBroken("at 1-7"),                                    Trouble.BROKEN,        EXIT_REFUSED,      "at 1-7"),
    (UnreadableReply("with 7"),                                Trouble.BROKEN,        EXIT_REFUSED,      "with 7"),
    (StaleEpoch("2"),                                          Trouble.BROKEN,        EXIT_REFUSED,      "2"),
    (StoreRefused("appendfsync"),                              Trouble.BROKEN,        EXIT_REFUSED,      "appendfsync"),
    (MalformedRecord("version 1"),                             Trouble.BROKEN,        EXIT_REFUSED,      "version 1"),
    (OwnPromiseBroken("mine"),                                 Trouble.BROKEN,        EXIT_REFUSED,      "mine"),
    (ZeroDivisionError("a defect"),                            Trouble.UNEXPECTED,    EXIT_REFUSED,      "ZeroDivisionError: a defect"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "trouble", "code", "line"), TROUBLES, ids=lambda value: repr(value)[:40])
def test_each_error_has_its_meaning_its_exit_code_and_its_line(
    error: Exception, trouble: Trouble, code: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    broken = (OwnPromiseBroken,)
    assert classify(error, broken) == trouble
    assert end_code(LOG, error, broken) == code
    [record] = caplog.records
    assert line in record.getMessage() and record.levelno == logging.ERROR
    assert bool(record.exc_info) == (trouble is Trouble.UNEXPECTED), "only a defect is worth a traceback"


def test_what_is_not_named_as_a_broken_promise_is_a_defect() -> None:
    assert classify(OwnPromiseBroken()) == Trouble.UNEXPECTED


def test_a_requested_stop_ends_well(caplog: pytest.LogCaptureFixture) -> None:
    assert end_code(LOG, None) == EXIT_GOOD
    assert not caplog.records


# -- trying again


def test_the_back_off_doubles_up_to_its_bound_and_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    backoff = Backoff(LOG)
    backoff.succeeded()
    assert not caplog.records, "there was no outage"
    for _ in range(2):
        waits_s = [backoff.failed(redis.ConnectionError("gone")) for _ in range(8)]
        assert waits_s[0] == RETRY_S_MIN and waits_s[-2:] == [RETRY_S_MAX, RETRY_S_MAX]
        assert all(later == min(RETRY_S_MAX, 2 * earlier) for earlier, later in itertools.pairwise(waits_s))
        backoff.succeeded()
        backoff.succeeded()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"] * 2, "one line at each end"


def test_an_attempt_is_made_until_its_trouble_is_over() -> None:
    troubles: list[Exception] = [redis.ConnectionError(), NotReady(), StoreTimeout(), redis.ResponseError("BUSY")]

    def attempt() -> str:
        if troubles:
            raise troubles.pop(0)
        return "done"

    assert retry(attempt, StopRequest(), Backoff(LOG)) == "done"


def test_an_attempt_ends_with_a_stop_or_with_what_does_not_pass() -> None:
    stop = StopRequest()

    def attempt() -> str:
        stop.set()
        raise NotReady("never")

    assert retry(attempt, stop, Backoff(LOG)) is None
    with pytest.raises(ChainBroken):
        retry(_raises(ChainBroken("at 1-7")), StopRequest(), Backoff(LOG))


def _raises(error: Exception) -> Callable[..., Any]:
    def work(*_: object) -> None:
        raise error

    return work


# -- a follower on a real store


COUNT_KEY = "{jibek}:test:count"
"""Hash: the cursor, the head there, and how many bytes of events were counted."""


class Counter:
    """Counts the bytes of all events; its cursor is in the same hash as its count, so each entry counts once."""

    def __init__(self, client: Store) -> None:
        self.client = client
        self.source = StoreSource(client)
        self.resumed = 0
        self.closed = 0
        self._begin()

    def _begin(self) -> None:
        found = self.client.hgetall(COUNT_KEY)
        self._reader = EventReader(EntryId.parse(found.get(b"id", b"0-0")), found.get(b"head", GENESIS_HEAD))
        self._count = int(found.get(b"count", 0))

    @property
    def cursor(self) -> EntryId:
        return self._reader.cursor

    @property
    def verified(self) -> tuple[EntryId, bytes]:
        return self._reader.cursor, self._reader.head

    def step(self, block_ms: int | None) -> int:
        before = str(self.cursor)
        entries = self._reader.read(self.source, count=2, block_ms=block_ms)
        if entries:
            self._count += sum(len(entry.data) for entry in entries)
            self._write(before)
        return len(entries)

    def _write(self, before: str) -> None:
        with self.client.pipeline() as pipeline:
            pipeline.watch(COUNT_KEY)
            there = pipeline.hget(COUNT_KEY, "id") or b"0-0"
            if there.decode() != before:
                raise Overtaken(f"another counter is at {there.decode()}")
            pipeline.multi()
            pipeline.hset(
                COUNT_KEY, mapping={"id": str(self.cursor), "head": self._reader.head, "count": str(self._count)}
            )
            try:
                pipeline.execute()
            except redis.WatchError:
                raise Overtaken("another counter was first") from None

    def resume(self) -> None:
        self.resumed += 1
        self._begin()

    def lag_entries(self) -> int:
        return self.source.count_between(self.cursor, self.source.published())

    def facts(self) -> dict[str, object]:
        return {"counted": self._count}

    def faults(self) -> dict[str, Callable[[], str]]:
        return {"counting": lambda: "it cannot count" if self._count < 0 else ""}

    def close(self) -> None:
        self.closed += 1
        self.source.close()


class Venue:
    """An engine and a producer, driven by the test."""

    def __init__(self, client: Store, data: Path) -> None:
        self.client = client
        self.engine = EngineService(client, Core(), data)
        self.producer = Producer(client)

    def trade(self, entries: int) -> EntryId:
        """Appends and executes so many entries; the id of the last."""
        for _ in range(entries):
            self.producer.append(BatchBuilder())
        while self.engine.step(block_ms=None):
            pass
        return self.engine.published

    def counted(self) -> tuple[EntryId, int]:
        id, count = self.client.hmget(COUNT_KEY, "id", "count")
        return EntryId.parse(id or b"0-0"), int(count or 0)

    def expected(self) -> tuple[EntryId, int]:
        events = self.client.xrange(EVENTS_KEY)
        return EntryId.parse(events[-1][0]), sum(len(fields[b"b"]) for _, fields in events)


@pytest.fixture
def venue(client: Store, tmp_path: Path) -> Venue:
    client.delete(COUNT_KEY)
    return Venue(client, tmp_path)


class Running:
    """A follower in a thread; leaving the block stops it. `error` is what ended it."""

    def __init__(self, follower: Counter) -> None:
        self.follower = follower
        self.stop = StopRequest()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            follow(self.follower, self.stop, LOG)
        except Exception as error:
            self.error = error

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.join()

    def join(self) -> None:
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()
        assert self.follower.closed == 1, "it is closed once, however it ends"


def test_a_follower_outlives_the_store(venue: Venue, server: StoreProcess, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    follower = Counter(connect(server.url))
    with Running(follower) as running:
        for _ in range(3):
            last = venue.trade(7)
            wait_until(lambda last=last: venue.counted()[0] == last, "all is counted")
            server.kill()
            wait_until(lambda: caplog.records and caplog.records[-1].levelname == "WARNING", "the outage is noticed")
            server.start()
            wait_until(lambda: caplog.records[-1].levelname == "INFO", "the outage is over")
        last = venue.trade(1)
        wait_until(lambda: venue.counted()[0] == last, "all is counted")
    assert running.error is None
    assert follower.resumed >= 3
    assert venue.counted() == venue.expected()
    assert follower.lag_entries() == 0


def test_two_followers_on_one_cursor_resume_when_overtaken(venue: Venue, server: StoreProcess) -> None:
    followers = [Counter(connect(server.url)) for _ in range(2)]
    with Running(followers[0]) as first, Running(followers[1]) as second:
        for _ in range(20):
            venue.trade(3)
        last = venue.engine.published
        wait_until(lambda: all(follower.cursor == last for follower in followers), "both know that all is counted")
    assert first.error is second.error is None
    assert sum(follower.resumed for follower in followers) > 0, "one was overtaken"
    assert venue.counted() == venue.expected(), "each entry counted once"


def test_a_broken_chain_ends_a_follower(venue: Venue, client: Store, server: StoreProcess) -> None:
    last = venue.trade(4)
    with Running(Counter(connect(server.url))) as running:
        wait_until(lambda: venue.counted()[0] == last, "all is counted")
        client.xadd(EVENTS_KEY, {"h": b"h", "d": b"d", "b": b""}, id="1-99")
        running.join()
        assert isinstance(running.error, ChainBroken) and "1-99" in str(running.error)
    assert venue.counted()[0] == last, "nothing of it was applied"


def test_a_follower_says_how_far_it_is_behind(venue: Venue, client: Store) -> None:
    follower = Counter(client)
    venue.trade(9)
    assert (follower.cursor, follower.lag_entries()) == (BEGINNING, 10), "from nothing it is the whole stream"
    follower.step(None)
    assert (follower.cursor, follower.lag_entries()) == (EntryId(1, 1), 8)
    while follower.step(None):
        pass
    assert follower.lag_entries() == 0


# -- its process


@pytest.fixture
def signals() -> Iterator[None]:
    """Puts back the handlers that `main` replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def a_process(
    open: Callable[[Store, argparse.Namespace], Any] = lambda client, options: Counter(client),
) -> FollowerProcess:
    return FollowerProcess("counter", "tests.counter", "Counts.", open, broken=(OwnPromiseBroken,))


@pytest.mark.usefixtures("signals")
class TestProcess:
    def test_it_is_ready_at_its_cursor_and_ends_at_a_signal(
        self, venue: Venue, server: StoreProcess, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        venue.trade(3)

        def stop_once_counted() -> None:
            wait_until(lambda: venue.counted() == venue.expected(), "all is counted")
            os.kill(os.getpid(), signal.SIGTERM)

        stopper = threading.Thread(target=stop_once_counted)
        stopper.start()
        assert a_process().main(["--store", server.url, "--data", str(tmp_path)]) == EXIT_GOOD
        stopper.join()
        ready = json.loads(capfd.readouterr().out)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", ready.pop("time"))
        assert ready == {"ready": True, "cursor": "0-0", "counted": 0}

    @pytest.mark.parametrize("where", ["open", "step"])
    def test_a_stop_is_obeyed_though_the_store_is_silent(
        self, client: Store, server: StoreProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture, where: str
    ) -> None:
        """Without a word from the store, a read would go on for 15 s, and then be one more outage."""
        caplog.set_level(logging.INFO)
        followers: list[Counter] = []

        def ask_in_vain() -> None:
            with paused(server.process):
                os.kill(os.getpid(), signal.SIGTERM)
                client.ping()

        def open(client: Store, options: argparse.Namespace) -> Counter:
            if where == "open":
                ask_in_vain()
            followers.append(Counter(client))
            followers[0].step = lambda block_ms: ask_in_vain()  # type: ignore[method-assign, assignment, return-value]
            return followers[0]

        assert a_process(open).main(["--store", server.url, "--data", str(tmp_path)]) == EXIT_GOOD
        assert [record.levelname for record in caplog.records if "cannot be" in record.getMessage()] == []
        assert "in the middle" in caplog.text
        assert all(follower.closed == 1 for follower in followers)

    @pytest.mark.parametrize(
        ("error", "code", "line"),
        [
            (OwnPromiseBroken("money is missing"), EXIT_REFUSED, "money is missing"),
            (ChainBroken("at 1-7"), EXIT_REFUSED, "at 1-7"),
            (ZeroDivisionError("a defect"), EXIT_REFUSED, "ZeroDivisionError: a defect"),
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("where", ["open", "step"])
    def test_what_does_not_pass_ends_it_with_one_line(
        self, client: Store, server: StoreProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture,
        where: str, error: Exception, code: int, line: str,
    ) -> None:  # fmt: skip
        def open(client: Store, options: argparse.Namespace) -> Counter:
            if where == "open":
                raise error
            follower = Counter(client)
            follower.step = _raises(error)  # type: ignore[method-assign]
            return follower

        assert a_process(open).main(["--store", server.url, "--data", str(tmp_path)]) == code
        [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert record.getMessage() == line

    def test_a_store_that_is_away_at_the_start_ends_it(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert a_process().main(["--store", "unix:///nowhere", "--data", str(tmp_path)]) == EXIT_UNREACHABLE
        assert "the store cannot be reached" in caplog.text
        assert not capfd.readouterr().out, "it never was ready"

    def test_a_store_that_is_away_while_it_begins_ends_it(
        self, client: Store, server: StoreProcess, tmp_path: Path
    ) -> None:
        process = a_process(_raises(redis.ConnectionError("lost")))
        assert process.main(["--store", server.url, "--data", str(tmp_path)]) == EXIT_UNREACHABLE

    def test_an_unsafe_store_is_refused(
        self, client: Store, server: StoreProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        client.config_set("appendfsync", "everysec")
        try:
            assert a_process().main(["--store", server.url, "--data", str(tmp_path)]) == EXIT_REFUSED
        finally:
            client.config_set("appendfsync", "always")
        assert "appendfsync everysec" in caplog.text

    def test_wrong_usage_has_a_code_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JIBEK_STORE", raising=False)
        with pytest.raises(SystemExit) as ended:
            a_process().main(["--data", "."])
        assert ended.value.code == EXIT_USAGE
