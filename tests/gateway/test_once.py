"""Once means once in the venue: two gateways on one store, one that is started again, and clients that leave."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from engine.journal import FIRST_GATEWAY, JOURNAL_KEY
from tests.worlds.clients import limit_order, signed
from tests.worlds.processes import ServiceProcess, paused, wait_until
from tests.worlds.raw_client import RawClient, text
from tests.worlds.services import ServiceVenue

RICH = {"BTC": "1000", "KZT": "100000000000"}


@pytest.fixture(scope="module")
def venue() -> Iterator[ServiceVenue]:
    venue = ServiceVenue()
    yield venue
    venue.close()


@pytest.fixture(scope="module")
def other_gateway(venue: ServiceVenue) -> Iterator[ServiceProcess]:
    number = str(FIRST_GATEWAY + 1)
    other = venue.start("other", "gateway.service", "--port", "0", "--gateway", number)
    yield other
    other.kill()


def test_what_two_gateways_get_at_once_is_carried_out_once(venue: ServiceVenue, other_gateway: ServiceProcess) -> None:
    account = venue.account(**RICH)
    hmac, ed25519 = venue.hmac_key(account), venue.ed25519_key(account)
    with RawClient(venue.port) as here, RawClient(other_gateway.ready["port"]) as there:
        for number in range(10):
            key = hmac if number % 2 else ed25519
            order = limit_order("BTCKZT", "BUY", "0.01", "40000000", newClientOrderId=f"n{number}")
            frame = text({"id": number, "method": "order.place", "params": signed(key, **order)})
            for client in (here, there):
                client.send(frame)
            replies = [client.reply_to(number) for client in (here, there)]
            assert sorted(reply["status"] for reply in replies) == [200, 400], replies
            (refused,) = (reply["error"] for reply in replies if reply["status"] == 400)
            assert refused == {"code": -2010, "msg": "Duplicate order sent."}
        opened = here.result("openOrders.status", **signed(hmac))
        assert len(opened) == 10
        question = signed(ed25519)
        assert here.ask("account.status", **question)["status"] == 200
        assert there.ask("account.status", **question)["status"] == 200
        for client in (here, there):
            assert client.ask("session.logon", **question)["error"]["code"] == -1022
        cancel = signed(hmac, symbol="BTCKZT")
        assert here.ask("openOrders.status", **cancel)["status"] == 200
        assert there.ask("openOrders.cancelAll", **cancel)["error"]["code"] == -1022
        logon = signed(ed25519)
        assert here.ask("session.logon", **logon)["status"] == 200
        assert there.ask("session.logon", **logon)["error"]["code"] == -1022


def test_a_cancel_waits_for_an_order_that_came_through_another_gateway(
    venue: ServiceVenue, other_gateway: ServiceProcess
) -> None:
    """The order is in the journal and not executed yet. An answer that it is unknown would be taken for good."""
    key = venue.hmac_key(venue.account(**RICH))
    order = limit_order("BTCKZT", "BUY", "0.01", "40000000", newClientOrderId="elsewhere")
    with RawClient(venue.port) as here, RawClient(other_gateway.ready["port"]) as there:
        for client in (here, there):
            assert client.ask("account.status", **signed(key))["status"] == 200
        length = venue.client.xlen(JOURNAL_KEY)
        with paused(venue.processes["engine"].process):
            here.send(text({"id": 1, "method": "order.place", "params": signed(key, **order)}))
            wait_until(lambda: venue.client.xlen(JOURNAL_KEY) > length, "the order is in the journal")
            cancel = signed(key, symbol="BTCKZT", origClientOrderId="elsewhere")
            there.send(text({"id": 2, "method": "order.cancel", "params": cancel}))
            assert RawClient(other_gateway.ready["port"]).is_alive(), "the cancel has been read"
        assert here.reply_to(1)["status"] == 200
        assert there.reply_to(2)["status"] == 200


@pytest.mark.parametrize("way", ["order by a secret", "logon", "read and what is behind it"])
def test_a_client_that_leaves_while_its_request_waits_has_asked_for_nothing(venue: ServiceVenue, way: str) -> None:
    account = venue.account(**RICH)
    key = venue.hmac_key(account) if way == "order by a secret" else venue.ed25519_key(account)
    order = limit_order("BTCKZT", "BUY", "0.01", "40000000", recvWindow=60_000)
    messages = {
        "order by a secret": [("order.place", signed(key, **order))],
        "logon": [("session.logon", signed(key)), ("order.place", order)],
        "read and what is behind it": [("account.status", signed(key)), ("order.place", signed(key, **order))],
    }[way]
    with RawClient(venue.port) as other:
        assert other.is_alive()
        length = venue.client.xlen(JOURNAL_KEY)
        os.kill(venue.store.process.pid, signal.SIGSTOP)
        try:
            with RawClient(venue.port) as client:
                client.send(
                    b"".join(text({"id": 1, "method": method, "params": params}) for method, params in messages)
                )
                # The gateway has read the requests, for it reads what came after them on another connection.
                assert other.is_alive()
        finally:
            os.kill(venue.store.process.pid, signal.SIGCONT)
        # What the store is asked now, it answers after what it was asked before.
        assert other.ask("account.status", **signed(key))["status"] == 200
        assert other.result("openOrders.status", **signed(key, recvWindow=4999)) == []
    assert venue.client.xlen(JOURNAL_KEY) == length


def test_a_client_that_leaves_after_its_order_was_taken_has_an_order(venue: ServiceVenue) -> None:
    """As at any venue: what was received counts, and `order.status` says what became of it."""
    key = venue.hmac_key(venue.account(**RICH))
    with RawClient(venue.port) as client:
        assert client.ask("account.status", **signed(key))["status"] == 200, "the secret is here"
        order = signed(key, **limit_order("BTCKZT", "BUY", "0.01", "40000000"))
        client.send(text({"id": 1, "method": "order.place", "params": order}))
    with RawClient(venue.port) as client:

        def is_open() -> bool:
            return len(client.result("openOrders.status", **signed(key))) == 1

        wait_until(is_open, "the order is open")


def test_a_gateway_that_is_started_again_takes_no_copy_and_refuses_no_fresh_order(venue: ServiceVenue) -> None:
    key = venue.ed25519_key(venue.account(**RICH))
    order, logon = signed(key, **limit_order("BTCKZT", "BUY", "0.01", "40000000", recvWindow=60_000)), signed(key)
    with RawClient(venue.port) as client:
        assert client.ask("order.place", **order)["status"] == 200
        assert client.ask("session.logon", **logon)["status"] == 200
    venue.processes["gateway"].kill()
    venue.store.kill()
    venue.store.start()
    venue.start_gateway()
    with RawClient(venue.port) as client:
        assert client.ask("order.place", **order)["error"]["code"] == -2010
        assert client.ask("session.logon", **logon)["error"]["code"] == -1022
        fresh = signed(key, **limit_order("BTCKZT", "BUY", "0.01", "40000000"))
        assert client.ask("order.place", **fresh)["status"] == 200
