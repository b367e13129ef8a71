"""The thread that asks the store."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from engine.journal import EntryId
from jibek.venue import store_watch
from jibek.venue.offsets import Offset
from jibek.venue.store_watch import BEHIND_SHOWN_S, Lag, StoreWatch
from tests.worlds.processes import paused, wait_until
from tests.worlds.store import StoreProcess


@pytest.fixture
def store() -> Iterator[StoreProcess]:
    store = StoreProcess()
    yield store
    store.remove()


def test_a_store_that_is_stopped_or_away_is_noticed_and_found_again(store: StoreProcess) -> None:
    watch = StoreWatch(store.url)
    watch.start()
    try:
        wait_until(lambda: watch.is_serving, "it serves")
        with paused(store.process):
            wait_until(lambda: not watch.is_serving, "it is missed")
            last_s = watch.answered_s
        wait_until(lambda: watch.is_serving and watch.answered_s > last_s, "it serves again")
        store.kill()
        wait_until(lambda: not watch.is_serving, "it is missed")
        store.start()
        wait_until(lambda: watch.is_serving, "it serves again")
        assert watch.memory_bytes > 0
    finally:
        watch.stop()


def test_an_answer_that_is_an_error_is_an_answer() -> None:
    store = StoreProcess()
    watch = StoreWatch(store.url)
    try:
        store.client().set("{jibek}:published", "not an id")
        began_s = time.monotonic()
        watch.start()
        wait_until(lambda: watch.answered_s > began_s, "it has answered")
    finally:
        watch.stop()
        store.remove()


# Times, entry and lag; whether the part is stuck at the last of them.
READINGS = (
    ([(0, 1, 0), (9, 1, 0)],                                                          False),
    ([(0, 1, 5), (1, 2, 5), (2, 3, 9), (3, 4, 9)],                                    False),
    ([(0, 1, 5), (BEHIND_SHOWN_S + 0.1, 1, 6)],                                       True),
    ([(0, 1, 0), (9, 1, 1)],                                                          False),
    ([(0, 1, 5), (9, 1, 5), (9.1, 2, 0)],                                             False),
)  # fmt: skip


@pytest.mark.parametrize(("readings", "stands"), READINGS)
def test_a_part_that_stands_still_with_more_to_do_is_noticed(
    readings: list[tuple[float, int, int]], stands: bool
) -> None:
    lag = Lag()
    for now_s, sequence, behind in readings:
        lag.note(Offset("ledger", EntryId(1, sequence), behind), now_s)
    assert bool(lag.fault(readings[-1][0])) == stands


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the thread look all the time."""
    monkeypatch.setattr(store_watch, "CHECK_INTERVAL_S", 0.0)
    monkeypatch.setattr(store_watch, "ASK_INTERVAL_S", 0.02)


UNSAFE = (("appendonly", "no"), ("appendfsync", "everysec"), ("no-appendfsync-on-rewrite", "yes"), ("maxmemory", "0"))


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("is_own", [True, False])
def test_unsafe_settings_of_a_running_store_are_trouble(store: StoreProcess, is_own: bool) -> None:
    """Those of the venue's own store are put right; those of another one are waited for."""
    watch = StoreWatch(store.url, 100 << 20 if is_own else None)
    watch.checks = True
    watch.start()
    client = store.client()
    try:
        for name, value in UNSAFE:
            right = client.config_get(name)[name]
            client.config_set(name, value)
            wait_until(lambda name=name: name in watch.fault, f"{name} is noticed")  # type: ignore[misc]
            if is_own:
                assert name in "".join(watch.take_lines())
                right = str(100 << 20) if name == "maxmemory" else right
            else:
                client.config_set(name, right)
            wait_until(lambda: not watch.fault, f"{name} is right again")
            assert client.config_get(name)[name] == right
    finally:
        watch.stop()


@pytest.mark.usefixtures("soon")
def test_a_store_that_answers_and_takes_no_writes_is_trouble(store: StoreProcess) -> None:
    watch = StoreWatch(store.url)
    watch.checks = True
    watch.start()
    client = store.client()
    changes: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read only replica"),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0"), "replicas"),
    )
    try:
        for harm, cure, words in changes:
            client.execute_command(*harm)
            wait_until(lambda words=words: words in watch.fault, words)  # type: ignore[misc]
            client.execute_command(*cure)
            wait_until(lambda: not watch.fault, "it takes writes again")
        client.function_flush()
        wait_until(lambda: len(client.function_list()) == 2, "both libraries are loaded again")
        assert not client.keys("*"), "what tries it writes nothing"
    finally:
        watch.stop()
