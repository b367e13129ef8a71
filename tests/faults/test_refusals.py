"""Refusals do not fill the store, and a full store can be worked with and started again: with real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from engine.journal import JOURNAL_KEY, EventReader, StoreSource
from engine.records import (
    DEFAULT_TIER,
    TIER_LIMITS,
    Command,
    CommandKind,
    EventEntry,
    EventKind,
    MarketState,
)
from gateway.limits import REFUSAL_LINES_PER_MINUTE_MAX, RateLimitSettings
from tests.faults.fault_world import RICH, order_params
from tests.worlds.accounts import BY_TEST
from tests.worlds.clients import now_ms
from tests.worlds.definition import UNDISTURBED
from tests.worlds.processes import wait_until
from tests.worlds.raw_client import RawClient, logged_on, text
from tests.worlds.services import ServiceVenue

BUDGET = RateLimitSettings().refusals_per_10_s
FLOOD = 2_000
OVERLOADED = -1008


@pytest.fixture(scope="module")
def venue() -> Iterator[ServiceVenue]:
    venue = ServiceVenue(engine="compiled")
    limits = TIER_LIMITS.pack(UNDISTURBED._replace(refusals_per_10_s=BUDGET))
    venue.command(Command(kind=CommandKind.LIMITS_SET), limits, DEFAULT_TIER, *BY_TEST)
    yield venue
    venue.close()


def request(id: object, method: str, **params: object) -> bytes:
    return text({"id": id, "method": method, "params": {"timestamp": now_ms(), **params}})


def cancel(id: object, **name: object) -> bytes:
    return request(id, "order.cancel", symbol="BTCKZT", **name)


def place(id: object, **changes: object) -> bytes:
    params = order_params(quantity="0.001", newOrderRespType="ACK", recvWindow=60_000, **changes)
    return text({"id": id, "method": "order.place", "params": params})


def code_of(reply: dict[str, dict[str, int]]) -> int:
    """The code of a refusal; 200 for a request that was carried out."""
    return reply["error"]["code"] if "error" in reply else 200


def test_an_account_without_money_moves_the_journal_by_no_more_than_its_budget(venue: ServiceVenue) -> None:
    poor, rich = venue.account(), venue.account(**RICH)
    key = venue.ed25519_key(poor)
    with ExitStack() as stack:
        quiet = stack.enter_context(logged_on(venue.port, venue.ed25519_key(rich)))
        wires = [stack.enter_context(logged_on(venue.port, key)) for _ in range(3)]
        before = venue.client.xlen(JOURNAL_KEY)
        for wire in wires:
            wire.send(b"".join(place(id) if id % 2 else cancel(id, orderId=id + 10**6) for id in range(FLOOD)))
        quiet.send(place("quiet"))
        assert code_of(quiet.reply_to("quiet")) == 200
        for wire in wires:
            replies = [wire.receive() for _ in range(FLOOD)]
            assert [reply["id"] for reply in replies] == list(range(FLOOD))
            assert {code_of(reply) for reply in replies} == {-2010, -2011}
        assert venue.client.xlen(JOURNAL_KEY) - before <= 1 + BUDGET

    def recorded() -> list[dict[str, int]]:
        lines = [line for file in (venue.data / "refusals").glob("*") for line in file.read_text().splitlines()]
        return [found for line in lines if (found := json.loads(line))["account"] == poor]

    wait_until(lambda: len(recorded()) >= REFUSAL_LINES_PER_MINUTE_MAX, "the refusals are on record")
    assert {line["code"] for line in recorded() if "code" in line} == {-2010, -2011}


def test_an_account_with_money_for_one_order_cannot_either(venue: ServiceVenue) -> None:
    """It sends everything that one open order lets it send, in one write."""
    key = venue.ed25519_key(venue.account(KZT="41000"))
    with logged_on(venue.port, key) as wire:
        before = venue.client.xlen(JOURNAL_KEY)
        wire.send(b"".join(place(id, newClientOrderId="mine") for id in range(FLOOD)))
        replies = [wire.receive() for _ in range(FLOOD)]
        assert [code_of(reply) for reply in replies].count(200) == 1
        order_id = next(reply["result"]["orderId"] for reply in replies if code_of(reply) == 200)
        wire.send(b"".join(cancel(id, orderId=order_id) for id in range(FLOOD)))
        assert [code_of(wire.receive()) for _ in range(FLOOD)].count(200) == 1
    assert refusals_in_the_journal(venue) <= 2 * BUDGET
    assert venue.client.xlen(JOURNAL_KEY) - before <= 2 * BUDGET + 2


def refusals_in_the_journal(venue: ServiceVenue) -> int:
    """How many commands the engine has refused, of all accounts."""
    reader, source, count = EventReader(), StoreSource(venue.client), 0
    while entries := reader.read(source, count=256):
        for published in entries:
            count += sum(event.kind == EventKind.REJECTED for event in EventEntry(published.data))
    return count


# -- a full store


@contextmanager
def full_store(venue: ServiceVenue) -> Iterator[int]:
    """Sets the memory limit of the store to what it uses; that is what it gives."""
    largest = venue.client.config_get("maxmemory")["maxmemory"]
    used: int = venue.client.info("memory")["used_memory"]
    venue.client.config_set("maxmemory", used)
    try:
        yield used
    finally:
        venue.client.config_set("maxmemory", largest)


def is_refused_as_full(wire: RawClient) -> bool:
    wire.send(place("probe", timeInForce="IOC"))
    return code_of(wire.reply_to("probe")) == OVERLOADED


def test_a_full_store_takes_what_must_pass_and_nothing_else(venue: ServiceVenue) -> None:
    account, stranger = venue.account(**RICH), venue.account()
    with (
        logged_on(venue.port, venue.ed25519_key(account)) as wire,
        logged_on(venue.port, venue.ed25519_key(stranger)) as hostile,
    ):
        for name in ("a", "b", "c"):
            wire.send(place(name, newClientOrderId=name))
            assert code_of(wire.receive()) == 200
        with full_store(venue):
            wait_until(lambda: is_refused_as_full(wire), "the gateway has looked at the store's memory")
            entries, used = venue.client.xlen(JOURNAL_KEY), venue.client.info("memory")["used_memory"]
            hostile.send(b"".join(cancel(id, orderId=10**6 + id) for id in range(FLOOD)))
            assert {code_of(hostile.receive()) for _ in range(FLOOD)} == {-2011}
            assert venue.client.xlen(JOURNAL_KEY) == entries, "a cancel of nothing does not pass"
            assert venue.client.info("memory")["used_memory"] - used < 1_000_000
            wire.send(cancel(1, origClientOrderId="a"))
            assert code_of(wire.receive()) == 200
            venue.deposit(account, "KZT", "1")
            for state in (MarketState.HALTED, MarketState.TRADING):
                venue.command(Command(kind=CommandKind.MARKET_STATE_SET, market=1, state=state), *BY_TEST)
            wire.send(request(2, "openOrders.cancelAll", symbol="BTCKZT"))
            assert code_of(wire.receive()) == 200
            assert venue.client.xlen(JOURNAL_KEY) == entries + 5
        wait_until(lambda: not is_refused_as_full(wire), "orders are taken again")


def test_every_process_can_start_again_on_a_full_store() -> None:
    """Even where the store holds more than its limit and the reserve together."""
    venue = ServiceVenue(engine="compiled")
    try:
        key = venue.ed25519_key(venue.account(**RICH))
        with logged_on(venue.port, key) as wire:
            wire.send(place("a", newClientOrderId="mine"))
            assert code_of(wire.receive()) == 200
        venue.client.set("ballast", bytes(2 * 1024 * 1024))
        venue.processes["settlement"] = venue.start("settlement", "ledger.settlement")
        for name in ("gateway", "engine", "settlement"):
            venue.processes[name].kill()
        venue.store.kill()
        venue.store.maxmemory = "1mb"
        venue.store.start()
        assert venue.client.info("memory")["used_memory"] > 2 * 1024 * 1024
        venue.start_engine()
        venue.processes["settlement"] = venue.start("settlement", "ledger.settlement")
        venue.start_gateway()
        with logged_on(venue.port, key) as wire:
            wait_until(lambda: is_refused_as_full(wire), "the gateway has looked at the store's memory")
            wire.send(cancel(1, origClientOrderId="mine"))
            assert code_of(wire.reply_to(1)) == OVERLOADED, "the reserve is used up, too"
            venue.client.config_set("maxmemory", venue.client.info("memory")["used_memory"])
            wire.send(cancel(2, origClientOrderId="mine"))
            assert code_of(wire.reply_to(2)) == 200
        assert all(process.process.poll() is None for process in venue.processes.values())
    finally:
        venue.close()
