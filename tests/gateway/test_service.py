"""The gateway's process with real sockets, a real store and the engine's process."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import uvloop
from websockets.exceptions import ConnectionClosed, InvalidStatus

from engine.journal import (
    BEGINNING,
    EVENTS_KEY,
    FIRST_GATEWAY,
    JOURNAL_KEY,
    PUBLISHED_KEY,
    EventReader,
    open_call,
    read_journal,
)
from engine.process import EXIT_REFUSED
from engine.process.duties import Duties
from engine.records import parse_batch
from gateway.arguments import parse_arguments
from gateway.auth.rate_limits import RateLimits
from gateway.rebuild import Prepared
from gateway.service import Service
from gateway.venue_view import VenueView
from tests.worlds.clients import Client, limit_order, now_ms
from tests.worlds.processes import wait_until
from tests.worlds.raw_client import http
from tests.worlds.services import ServiceVenue

RICH = {"BTC": "1000", "KZT": "100000000000"}


@pytest.fixture(scope="module")
def venue() -> Iterator[ServiceVenue]:
    venue = ServiceVenue()
    yield venue
    venue.close()


@pytest.fixture
def own_venue() -> Iterator[ServiceVenue]:
    """A venue that the test may break."""
    venue = ServiceVenue()
    yield venue
    venue.close()


class TestWire:
    def test_an_order_is_placed_seen_and_cancelled(self, venue: ServiceVenue) -> None:
        client = venue.trader(**RICH)
        client.result("userDataStream.subscribe")
        placed = client.place("ETHKZT", "BUY", "0.5", "1000000", newClientOrderId="mine")
        assert placed["status"] == "NEW"
        assert client.event()["event"]["x"] == "NEW"
        assert client.event()["event"]["e"] == "outboundAccountPosition"
        shown = client.result("order.status", symbol="ETHKZT", origClientOrderId="mine", timestamp=now_ms())
        assert shown["orderId"] == placed["orderId"]
        cancelled = client.result("order.cancel", symbol="ETHKZT", orderId=placed["orderId"], timestamp=now_ms())
        assert cancelled["status"] == "CANCELED"
        assert client.event()["event"]["X"] == "CANCELED"
        client.close()

    def test_two_clients_trade_and_everybody_watching_hears_it(self, venue: ServiceVenue) -> None:
        watcher = venue.stream("/stream?streams=ethkzt@trade/ethkzt@bookTicker/ethkzt@depth@100ms")
        maker, taker = venue.trader(**RICH), venue.api()
        key = venue.hmac_key(venue.account(**RICH))
        maker.result("userDataStream.subscribe")
        taker.result("userDataStream.subscribe.signature", **taker.signed(key))
        maker.place("BTCKZT", "SELL", "0.5", "50000000")
        maker.place("ETHKZT", "BUY", "0.5", "1500000")
        order = limit_order("ETHKZT", "SELL", "0.2", "1500000")
        refused = taker.ask("order.place", **taker.signed(key, **order))
        assert refused["error"]["code"] == -2010
        order = limit_order("BTCKZT", "BUY", "0.2", "50000000")
        assert taker.result("order.place", **taker.signed(key, **order))["status"] == "FILLED"
        reports = [taker.event()["event"] for _ in range(3)]
        assert [report.get("x") for report in reports] == ["NEW", "TRADE", None]
        seen = {watcher.receive()["stream"] for _ in range(2)}
        assert seen == {"ethkzt@bookTicker", "ethkzt@depth@100ms"}
        for client in (watcher, maker, taker):
            client.close()

    def test_a_session_ends_when_its_key_expires(self, venue: ServiceVenue) -> None:
        account = venue.account()
        for life_ms in (500, 2_000, 8_000):
            client, expires_ms = venue.api(), now_ms() + life_ms
            key = venue.ed25519_key(account, expiry_us=expires_ms * 1000)
            if client.ask("session.logon", **client.signed(key))["status"] == 200:
                break
            # This machine has taken longer than the key lives.
            client.close()
        assert client.receive()["error"]["code"] == -2015
        assert now_ms() >= expires_ms
        assert client.result("session.status")["apiKey"] is None
        client.close()

    def test_many_orders_in_flight_are_all_answered_in_order(self, venue: ServiceVenue) -> None:
        client = venue.trader(**RICH)
        count = 1000

        def send_all() -> None:
            for id in range(count):
                order = limit_order("BTCKZT", "BUY", "0.001", "1000000", newOrderRespType="ACK")
                client.send({"id": id, "method": "order.place", "params": order})

        sender = threading.Thread(target=send_all)
        sender.start()
        replies = [client.receive() for _ in range(count)]
        sender.join()
        assert [reply["id"] for reply in replies] == list(range(count))
        assert {reply["status"] for reply in replies} == {200}
        order_ids = [reply["result"]["orderId"] for reply in replies]
        assert order_ids == sorted(order_ids)
        cancelled = client.result("openOrders.cancelAll", symbol="BTCKZT", timestamp=now_ms())
        assert [order["orderId"] for order in cancelled] == order_ids
        client.close()

    def test_a_cancel_does_not_overtake_an_order_whose_secret_has_to_be_fetched(self, venue: ServiceVenue) -> None:
        account = venue.account(**RICH)
        client = venue.api()
        client.logon(venue.ed25519_key(account))
        for number in range(5):
            key, name = venue.hmac_key(account), f"mine{number}"
            order = limit_order("BTCKZT", "BUY", "0.01", "1000000", newClientOrderId=name)
            client.send({"id": 1, "method": "order.place", "params": client.signed(key, **order)})
            cancel = {"symbol": "BTCKZT", "origClientOrderId": name, "timestamp": now_ms()}
            client.send({"id": 2, "method": "order.cancel", "params": cancel})
            replies = [client.receive() for _ in range(2)]
            assert [(reply["id"], reply["status"]) for reply in replies] == [(1, 200), (2, 200)], replies
        assert client.result("openOrders.status", timestamp=now_ms()) == []
        client.close()

    @pytest.mark.parametrize("path", ["/ws", "/ws/0", "/ws/btckzt@trade", "/ws/whatever@else", "/stream", "/stream?streams=",
                                      "/stream?streams=btckzt@trade/nope@x", "/ws-api/v3", "/ws-api/v3?timeUnit=MICROSECOND"])  # fmt: skip
    def test_paths_that_open(self, venue: ServiceVenue, path: str) -> None:
        client = venue.stream(path)
        client.send({"method": "LIST_SUBSCRIPTIONS", "id": 1})
        assert client.receive()["id"] == 1
        client.close()

    @pytest.mark.parametrize(
        ("path", "status"), [("/", 404), ("/ws-api", 404), ("/wss", 404), ("/ws-api/v3?timeUnit=HOUR", 400)]
    )
    def test_paths_that_do_not(self, venue: ServiceVenue, path: str, status: int) -> None:
        with pytest.raises(InvalidStatus) as caught:
            Client(venue.url(path))
        assert caught.value.response.status_code == status

    def test_http_on_the_same_port(self, venue: ServiceVenue) -> None:
        connection = HTTPConnection("127.0.0.1", venue.port, timeout=10)
        for path in ("/api/v3/ping", "/api/v3/time", "/api/v3/exchangeInfo", "/api/v3/depth?symbol=BTCKZT"):
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("application/json")
            json.loads(response.read())
        connection.request("POST", "/api/v3/order")
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["code"]) == (404, -1020)
        connection.request("POST", "/api/v3/order", body="symbol=BTCKZT")
        response = connection.getresponse()
        assert (response.status, response.reason) == (400, "No body is taken here")
        assert response.headers["Connection"] == "close"
        connection.close()

    @pytest.mark.parametrize(("message", "code"), [("x" * 70_000, 1009), (b"\xff", 1003)])
    def test_a_broken_rule_closes_the_connection(self, venue: ServiceVenue, message: str | bytes, code: int) -> None:
        client = venue.api()
        client.socket.send(message)
        with pytest.raises(ConnectionClosed) as caught:
            client.receive()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == code

    def test_rubbish_on_the_socket_does_no_harm(self, venue: ServiceVenue) -> None:
        for data in (b"\x00" * 100, b"GET\r\n\r\n", b"\x16\x03\x01", b"A" * 100_000):
            with socket.create_connection(("127.0.0.1", venue.port), timeout=10) as raw:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                try:
                    while raw.recv(65536):
                        pass
                except ConnectionError:
                    pass
        assert http(venue.port, b"GET /api/v3/ping HTTP/1.1\r\nHost: h\r\n\r\n") == (200, {})


class TestRestarts:
    def test_a_gateway_that_is_started_again_knows_everything(self, own_venue: ServiceVenue) -> None:
        venue = own_venue
        account = venue.account(**RICH)
        key = venue.ed25519_key(account)
        client = venue.api()
        client.logon(key)
        client.place("BTCKZT", "BUY", "0.5", "40000000", newClientOrderId="stays")
        client.place("BTCKZT", "SELL", "0.5", "60000000")
        client.result("order.cancel", symbol="BTCKZT", orderId=2, timestamp=now_ms())
        depth = client.result("depth", symbol="BTCKZT")
        status = client.result("account.status", timestamp=now_ms())
        venue.processes["gateway"].kill()
        venue.start_gateway()
        client = venue.api()
        client.logon(key)
        assert client.result("depth", symbol="BTCKZT") == depth
        again = client.result("account.status", timestamp=now_ms())
        assert again == status
        assert client.result("order.status", symbol="BTCKZT", orderId=2, timestamp=now_ms())["status"] == "CANCELED"
        params = {"symbol": "BTCKZT", "origClientOrderId": "stays", "timestamp": now_ms()}
        assert client.result("order.cancel", **params)["status"] == "CANCELED"

    def test_a_store_that_is_killed_and_comes_back(self, own_venue: ServiceVenue) -> None:
        venue = own_venue
        client = venue.trader(**RICH)
        assert client.place("BTCKZT", "BUY", "0.5", "40000000")["orderId"] == 1
        venue.store.kill()
        ids = list(range(100, 120))
        for id in ids:
            order = limit_order("BTCKZT", "BUY", "0.01", "40000000", newClientOrderId=f"c{id}", recvWindow=60000)
            client.send({"id": id, "method": "order.place", "params": order})
        venue.store.start()
        replies = {id: client.reply_to(id) for id in ids}
        assert {reply["status"] for reply in replies.values()} == {200}
        open_orders = client.result("openOrders.status", timestamp=now_ms())
        assert len(open_orders) == 1 + len(ids)
        assert len({order["clientOrderId"] for order in open_orders}) == 1 + len(ids)

    def test_killed_stores_under_load_lose_and_double_nothing(self, own_venue: ServiceVenue) -> None:
        venue = own_venue
        client = venue.trader(**RICH)
        count, kills = 600, 3
        replies: dict[int, Any] = {}

        def receive() -> None:
            while len(replies) < count:
                reply = client.receive(60)
                replies[reply["id"]] = reply

        receiver = threading.Thread(target=receive)
        receiver.start()
        for id in range(count):
            order = limit_order("BTCKZT", "BUY", "0.001", "40000000", newClientOrderId=f"n{id}", recvWindow=60000)
            client.send({"id": id, "method": "order.place", "params": order})
            if id % (count // kills) == count // kills // 2:
                venue.store.kill()
                venue.store.start()
        receiver.join()
        assert {reply["status"] for reply in replies.values()} == {200}
        order_ids = [replies[id]["result"]["orderId"] for id in range(count)]
        assert order_ids == list(range(1, count + 1))

    def test_cut_connections_lose_and_double_nothing(self, own_venue: ServiceVenue) -> None:
        """The store lives on, so what was sent over the old connection may be carried out after the cut."""
        venue = own_venue
        client = venue.trader(**RICH)
        order_ids = []
        for start in range(0, 600, 20):
            for id in range(start, start + 20):
                order = limit_order("BTCKZT", "BUY", "0.001", "40000000", newClientOrderId=f"n{id}", recvWindow=60000)
                client.send({"id": id, "method": "order.place", "params": order})
            venue.client.client_kill_filter(_type="normal", skipme=True)
            order_ids += [client.reply_to(id)["result"]["orderId"] for id in range(start, start + 20)]
        assert order_ids == list(range(1, 601))
        numbers: dict[int, list[int]] = {}
        for entry in read_journal(venue.client, BEGINNING, count=10_000):
            header, _, _ = parse_batch(entry.batch)
            if header.producer == FIRST_GATEWAY:
                numbers.setdefault(header.incarnation, []).append(header.number)
        assert len(numbers) > 10, "it opened anew"
        assert all(sequence == list(range(1, len(sequence) + 1)) for sequence in numbers.values())

    def test_an_engine_that_is_killed_keeps_nobody_from_being_answered(self, own_venue: ServiceVenue) -> None:
        venue = own_venue
        client = venue.trader(**RICH)
        venue.processes["engine"].kill()
        client.send({"id": 7, "method": "order.place", "params": limit_order("BTCKZT", "BUY", "0.01", "40000000")})
        wait_until(lambda: venue.client.xlen(JOURNAL_KEY) > venue.client.xlen(EVENTS_KEY), "the append")
        venue.start_engine()
        assert client.reply_to(7)["status"] == 200

    def test_a_full_store_takes_cancels_but_no_orders(self) -> None:
        venue = ServiceVenue(maxmemory="16mb")
        try:
            client = venue.trader(**RICH)
            client.place("BTCKZT", "BUY", "0.5", "40000000")
            venue.client.config_set("maxmemory", venue.client.info("memory")["used_memory"])
            code = client.refusal("order.place", **limit_order("BTCKZT", "BUY", "0.5", "40000000"))[0]
            assert code == -1008
            cancelled = client.result("order.cancel", symbol="BTCKZT", orderId=1, timestamp=now_ms())
            assert cancelled["status"] == "CANCELED"
            venue.client.config_set("maxmemory", "512mb")
            wait_until(
                lambda: client.ask("order.place", **limit_order("BTCKZT", "BUY", "0.5", "40000000"))["status"] == 200,
                "orders to be taken again",
            )
        finally:
            venue.close()


class TestEnd:
    def test_a_planned_stop_is_announced(self, own_venue: ServiceVenue) -> None:
        clients = [own_venue.api(), own_venue.stream("/ws"), own_venue.stream("/stream")]
        assert own_venue.processes["gateway"].stop() == 0
        api, raw, combined = (client.receive() for client in clients)
        assert api["event"]["e"] == raw["e"] == combined["data"]["e"] == "serverShutdown"
        assert combined["stream"] == "!serverShutdown"
        for client in clients:
            with pytest.raises(ConnectionClosed) as caught:
                client.receive()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1001

    def test_a_second_gateway_of_the_same_number_ends_the_first(self, own_venue: ServiceVenue) -> None:
        first = own_venue.processes["gateway"]
        client = own_venue.trader(**RICH)
        own_venue.start_gateway()
        other = own_venue.trader(**RICH)
        other.place("BTCKZT", "BUY", "0.5", "40000000")
        assert first.process.wait(timeout=10) == 1
        assert "was started again elsewhere" in first.log.read_text()
        with pytest.raises(ConnectionClosed):
            client.receive()

    def test_who_opens_under_its_number_ends_it_with_the_next_order(self, own_venue: ServiceVenue) -> None:
        gateway, client = own_venue.processes["gateway"], own_venue.trader(**RICH)
        length = own_venue.client.xlen(JOURNAL_KEY)
        own_venue.client.execute_command(*open_call(FIRST_GATEWAY))
        client.send({"id": 1, "method": "order.place", "params": limit_order("BTCKZT", "BUY", "0.5", "40000000")})
        assert gateway.process.wait(timeout=10) == 1
        assert "was started again elsewhere" in gateway.log.read_text()
        assert own_venue.client.xlen(JOURNAL_KEY) == length
        with pytest.raises(ConnectionClosed):
            client.receive()

    def test_two_gateways_of_different_numbers_serve_one_venue(self, own_venue: ServiceVenue) -> None:
        first_port = own_venue.port
        first = own_venue.trader(**RICH)
        own_venue.processes["first"] = own_venue.processes["gateway"]
        own_venue.gateway_options = ("--gateway", "17")
        own_venue.start_gateway()
        assert own_venue.port != first_port
        second = own_venue.trader(**RICH)
        first.result("userDataStream.subscribe")
        first.place("BTCKZT", "SELL", "0.5", "40000000")
        assert second.place("BTCKZT", "BUY", "0.5", "40000000")["status"] == "FILLED"
        events = [first.event()["event"] for _ in range(4)]
        assert [event.get("X") for event in events] == ["NEW", None, "FILLED", None]

    @pytest.mark.parametrize("damage", ["a gap", "a foreign field"])
    def test_a_store_that_forgets_ends_the_process(self, own_venue: ServiceVenue, damage: str) -> None:
        venue = own_venue
        venue.account(**RICH)
        gateway = venue.processes["gateway"]
        client = venue.client
        venue.processes["engine"].kill()
        if damage == "a gap":
            last = client.xrevrange(EVENTS_KEY, count=1)[0]
            epoch, _, sequence = last[0].decode().partition("-")
            client.xadd(EVENTS_KEY, last[1], id=f"{epoch}-{int(sequence) + 2}")
        else:
            client.xadd(EVENTS_KEY, {"h": b"", "d": b"", "b": b"", "z": b""})
        assert gateway.process.wait(timeout=10) == 1
        assert "ERROR" in gateway.log.read_text()

    def test_a_store_that_ends_before_what_was_read_is_waited_for(self, own_venue: ServiceVenue) -> None:
        trader, gateway, client = own_venue.trader(**RICH), own_venue.processes["gateway"], own_venue.client
        published = client.get(PUBLISHED_KEY)
        client.set(PUBLISHED_KEY, "1-0")
        client.client_kill_filter(_type="normal", skipme=True)
        wait_until(lambda: "cannot be used" in gateway.log.read_text(), "it is noticed")
        client.set(PUBLISHED_KEY, published)
        assert trader.place("BTCKZT", "BUY", "0.5", "40000000")["status"] == "NEW"

    def test_without_a_secret_key_it_says_what_is_missing(self, venue: ServiceVenue, tmp_path: Path) -> None:
        finished = subprocess.run(
            [sys.executable, "-m", "gateway.service", "--store", venue.store.url, "--data", str(tmp_path), "--port", "0"],
            capture_output=True, text=True, timeout=30, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert finished.returncode == 1
        assert "secret.key cannot be read" in finished.stderr

    def test_a_taken_port_is_named(self, venue: ServiceVenue) -> None:
        finished = subprocess.run(
            [sys.executable, "-m", "gateway.service", "--store", venue.store.url, "--data", str(venue.data),
             "--port", str(venue.port), "--gateway", "99"],
            capture_output=True, text=True, timeout=30, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert finished.returncode == 3
        assert f"cannot listen on 127.0.0.1:{venue.port}" in finished.stderr

    def test_secrets_do_not_appear_in_the_log(self, venue: ServiceVenue) -> None:
        key = venue.hmac_key(venue.account())
        client = venue.api()
        signed = client.signed(key)
        client.result("account.status", **signed)
        client.refusal("account.status", **{**signed, "signature": "00"})
        log = venue.processes["gateway"].log.read_text()
        assert key.secret not in log
        assert signed["signature"] not in log


class TestStoreLinks:
    def test_a_stop_is_obeyed_before_the_first_link_is_made(self, tmp_path: Path) -> None:
        """The store has gone between the rebuild and the first link; the gateway waits for it, but not for ever."""
        options = ["--store", f"unix://{tmp_path / 'nowhere'}", "--data", str(tmp_path), "--port", "0"]
        arguments, log = parse_arguments(options), logging.getLogger("gateway under test")
        rate_limits = RateLimits()
        prepared = Prepared(VenueView(rate_limits), rate_limits, EventReader(), 1)

        async def serve() -> BaseException | None:
            service = Service(arguments, prepared, bytes(32), log, Duties())
            asyncio.get_running_loop().call_later(0.1, service.stop)
            return await asyncio.wait_for(service.run(), 60)

        assert uvloop.run(serve()) is None

    def test_a_store_that_refuses_to_read_ends_the_gateway(self, own_venue: ServiceVenue) -> None:
        venue = own_venue
        venue.client.rename(EVENTS_KEY, "{jibek}:elsewhere")
        venue.client.set(EVENTS_KEY, "no stream")
        venue.client.client_kill_filter(_type="normal", skipme=True)
        gateway = venue.processes["gateway"]
        assert gateway.wait() == EXIT_REFUSED
        log = gateway.log.read_text()
        assert "read: WRONGTYPE" in log
        assert "Traceback" not in log
