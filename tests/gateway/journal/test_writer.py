"""The link by which the gateway writes: it opens only if the journal has what the store says of its last batch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from engine.journal import FIRST_GATEWAY, PRODUCERS_KEY, ChainBroken, Producer, Store, prepare_store, start_venue
from engine.records import BatchBuilder
from gateway.clock import Clock
from gateway.journal.pipeline import Pipeline
from gateway.journal.writer import JournalWriter
from gateway.limits import PipelineLimits
from tests.worlds.store import StoreProcess


def make_writer(url: str, faults: list[BaseException]) -> JournalWriter:
    pipeline = Pipeline(FIRST_GATEWAY, lambda command, reject: None, PipelineLimits())
    clock, log = Clock(lambda: 0.0, lambda: 0), logging.getLogger("writer under test")
    return JournalWriter(url, pipeline, epoch=1, clock=clock, flush=lambda: None, broken=faults.append, log=log)


async def what_ends_it(url: str) -> BaseException | None:
    """Lets a gateway open on the store; what ends it, if anything does."""
    faults: list[BaseException] = []
    writer = make_writer(url, faults)
    await writer.link.start()
    assert writer.link.is_open != bool(faults)
    writer.link.stop()
    return faults[0] if faults else None


@pytest.mark.parametrize(
    "row", ["{incarnation} 0 {id}", "{incarnation} 3 {id}", "{incarnation} 2 1-1", "{incarnation} 2 1-9"]
)
def test_a_table_of_producers_that_was_changed_ends_the_gateway(client: Store, server: StoreProcess, row: str) -> None:
    """It would take its last batch for one that never came, and send it again; or wait for ever for one that never was."""
    prepare_store(client)
    start_venue(client)
    producer = Producer(client, FIRST_GATEWAY)
    for _ in range(2):
        producer.append(BatchBuilder())
    changed = row.format(incarnation=producer.incarnation, id=producer.last_id)
    assert asyncio.run(what_ends_it(server.url)) is None
    client.hset(PRODUCERS_KEY, FIRST_GATEWAY, changed)
    fault = asyncio.run(what_ends_it(server.url))
    assert isinstance(fault, ChainBroken)
    assert "producer 16 has appended" in str(fault)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(("name", "unsafe"), [("appendonly", "no"), ("appendfsync", "everysec")])
def test_a_store_with_unsafe_settings_gets_nothing_until_they_are_right(
    client: Store, server: StoreProcess, name: str, unsafe: str
) -> None:
    prepare_store(client)
    start_venue(client)
    right = client.config_get(name)[name]

    async def scene() -> None:
        faults: list[BaseException] = []
        writer = make_writer(server.url, faults)
        await writer.link.start()
        client.config_set(name, unsafe)
        writer.check_settings()
        await until(lambda: name in writer.link.fault and not writer.link.is_open)
        client.config_set(name, right)
        await until(lambda: writer.link.is_open)
        writer.link.stop()
        assert not faults

    try:
        asyncio.run(asyncio.wait_for(scene(), 20))
    finally:
        client.config_set(name, right)
