"""Every queue has a bound and an answer: each is filled, with real processes, and afterwards everything is as it should be.

The bounds themselves stand in docs/limits.md. Most of these tests start a further gateway on the venue, with bounds that
are quickly reached; a gateway of another number is a producer of its own, so it changes nothing for the others.
"""

from __future__ import annotations

import fcntl
import itertools
import re
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Thread
from typing import Any

import pytest
from websockets.frames import Opcode

from engine.reasons import Reason
from engine.records import DEFAULT_TIER, EVENTS_BEGIN_MAX, TIER_LIMITS, Command, CommandKind, EventKind
from gateway.handlers.weights import CONNECTING
from gateway.limits import SUBSCRIPTION_IDS_MAX, WAITING_FOR_SECRET_MAX
from tests.faults.fault_world import RICH, order_params
from tests.faults.reason_coverage import covers
from tests.faults.reference_follower import ReferenceFollower
from tests.worlds.accounts import BY_TEST
from tests.worlds.clients import now_ms, signed
from tests.worlds.definition import UNDISTURBED
from tests.worlds.processes import WAIT_S, ServiceProcess, paused, wait_until
from tests.worlds.raw_client import Closed, RawClient, frame, http, logged_on, text, upgrade
from tests.worlds.services import NEVER_BANS, ServiceVenue

R = Reason
StartGateway = Callable[..., int]
ELSEWHERE = "127.0.0.2"
"""Another address of this machine; only Linux has it without being asked."""


@pytest.fixture(scope="module")
def venue() -> Iterator[ServiceVenue]:
    venue = ServiceVenue(engine="compiled")
    yield venue
    venue.close()


_gateways = itertools.count(100)


@pytest.fixture
def gateway(venue: ServiceVenue) -> Iterator[StartGateway]:
    """Starts a further gateway with these options and returns its port; it ends with the test."""
    started: list[ServiceProcess] = []

    def start(*options: str) -> int:
        number = str(next(_gateways))
        process = venue.start(
            f"gateway{number}", "gateway.service", "--port", "0", "--gateway", number, *NEVER_BANS, *options
        )
        started.append(process)
        port: int = process.ready["port"]
        return port

    yield start
    for process in started:
        assert process.process.poll() is None, process.log.read_text()
        process.kill()
        assert "Traceback" not in process.log.read_text()


SetLimits = Callable[..., None]


@pytest.fixture
def limits(venue: ServiceVenue) -> Iterator[SetLimits]:
    """Changes numbers of the tier `default` for gateways that are started next; the test's end changes them back."""

    def change(**numbers: int) -> None:
        packed = TIER_LIMITS.pack(UNDISTURBED._replace(**numbers))
        venue.command(Command(kind=CommandKind.LIMITS_SET), packed, DEFAULT_TIER, *BY_TEST)

    yield change
    change()


def place(id: object, **changes: Any) -> bytes:
    return text(
        {"id": id, "method": "order.place", "params": order_params(quantity="0.001", newOrderRespType="ACK", **changes)}
    )


def cancel(id: object, client: str) -> bytes:
    params = {"symbol": "BTCKZT", "origClientOrderId": client, "timestamp": now_ms()}
    return text({"id": id, "method": "order.cancel", "params": params})


def codes(replies: list[Any]) -> set[tuple[int, int]]:
    """Status and code of refusals."""
    return {(reply["status"], reply["error"]["code"]) for reply in replies}


def cancel_all(wire: RawClient) -> Any:
    return wire.ask("openOrders.cancelAll", symbol="BTCKZT", timestamp=now_ms())


def accepted(venue: ServiceVenue, account: int) -> set[int]:
    """Ids of all orders of an account that the engine has accepted; the reference engine agrees with every entry."""
    events = ReferenceFollower(venue.client).catch_up()
    return {event.order_id for event in events if event.kind == EventKind.ORDER_ACCEPTED and event.account == account}


# -- commands on their way --------------------------------------------------------------------------------------------

OVERLOADED, UNKNOWN = (503, -1008), (504, -1007)
GET_PING = b"GET /api/v3/ping HTTP/1.1\r\nHost: h\r\n\r\n"


@covers(R.OVERLOADED)
def test_commands_in_flight_are_bounded_by_connection_and_by_gateway(
    venue: ServiceVenue, gateway: StartGateway
) -> None:
    port = gateway("--commands-per-session-max", "300", "--commands-max", "700")
    account = venue.account(**RICH)
    key = venue.ed25519_key(account)
    wires = [logged_on(port, key) for _ in range(3)]
    sent, room = 310, [300, 300, 100]
    with paused(venue.processes["engine"].process):
        for wire, accepted_here in zip(wires, room, strict=True):
            wire.send(b"".join(place(id) for id in range(sent)))
            # Those that are too many are answered at once, though the engine is paused.
            assert wire.is_alive()
            assert [reply["id"] for reply in wire.passed] == list(range(accepted_here, sent))
            assert codes(wire.passed) == {OVERLOADED}
    placed = set()
    for wire, accepted_here in zip(wires, room, strict=True):
        replies = [wire.receive() for _ in range(accepted_here)]
        assert [(reply["id"], reply["status"]) for reply in replies] == [(id, 200) for id in range(accepted_here)]
        placed |= {reply["result"]["orderId"] for reply in replies}
    assert accepted(venue, account) == placed
    assert cancel_all(wires[0])["status"] == 200
    for wire in wires:
        wire.close()


@covers(R.OUTCOME_UNKNOWN)
def test_orders_to_a_paused_engine_are_answered_unknown_and_done_later(
    venue: ServiceVenue, gateway: StartGateway
) -> None:
    port = gateway("--answer-timeout-s", "1")
    account = venue.account(**RICH)
    with logged_on(port, venue.ed25519_key(account)) as wire:
        wire.send(place("resting", newClientOrderId="resting"))
        assert wire.receive()["status"] == 200
        with paused(venue.processes["engine"].process):
            wire.send(place("order", newClientOrderId="order"))
            assert codes([wire.receive()]) == {UNKNOWN}
            # More orders would only pile up in the journal; what makes the venue hold less may pass.
            wire.send(place("more", newClientOrderId="more"))
            assert codes([wire.receive()]) == {OVERLOADED}
            wire.send(cancel("cancel", "resting"))
            assert codes([wire.reply_to("cancel")]) == {UNKNOWN}
            assert wire.is_alive()

        def status(client: str) -> str:
            reply = wire.ask("order.status", symbol="BTCKZT", origClientOrderId=client, timestamp=now_ms())
            return str(reply["result"]["status"] if reply["status"] == 200 else reply["error"]["code"])

        wait_until(lambda: status("resting") == "CANCELED", "the engine has caught up")
        assert (status("order"), status("more")) == ("NEW", "-2013")
        assert len(accepted(venue, account)) == 2
        wire.send(place("again", newClientOrderId="again"))
        assert wire.reply_to("again")["status"] == 200
        cancel_all(wire)


def test_while_the_store_stands_still_one_batch_is_on_its_way_and_the_rest_is_taken_back(
    venue: ServiceVenue, gateway: StartGateway
) -> None:
    port = gateway("--answer-timeout-s", "1", "--commands-max", "600")
    account = venue.account(**RICH)
    with logged_on(port, venue.ed25519_key(account)) as wire:
        with paused(venue.store.process):
            wire.send(b"".join(place(id, newClientOrderId=f"c{id}") for id in range(700)))
            replies = {reply["id"]: reply for reply in (wire.receive() for _ in range(700))}
            assert wire.is_alive()
        assert codes(list(replies.values())) == {OVERLOADED, UNKNOWN}
        unknown = {id for id, reply in replies.items() if codes([reply]) == {UNKNOWN}}
        assert 0 < len(unknown) <= 256, "no more than one batch is on its way"
        wait_until(lambda: len(accepted(venue, account)) == len(unknown), "the batch on its way is executed")
        opened = wire.ask("openOrders.status", symbol="BTCKZT", timestamp=now_ms())["result"]
        assert {order["clientOrderId"] for order in opened} == {f"c{id}" for id in unknown}
        cancel_all(wire)


def test_at_80_percent_of_its_memory_the_store_gets_no_new_orders_but_cancels(
    venue: ServiceVenue, gateway: StartGateway
) -> None:
    port = gateway()
    account = venue.account(**RICH)
    with logged_on(port, venue.ed25519_key(account)) as wire:
        wire.send(place("resting", newClientOrderId="resting"))
        assert wire.receive()["status"] == 200
        largest = venue.client.config_get("maxmemory")["maxmemory"]
        venue.client.config_set("maxmemory", venue.client.info("memory")["used_memory"] * 100 // 85)

        def is_placed() -> bool:
            wire.send(place("probe", timeInForce="IOC"))
            reply = wire.receive()
            assert reply["status"] == 200 or codes([reply]) == {OVERLOADED}
            return bool(reply["status"] == 200)

        try:
            wait_until(lambda: not is_placed(), "the gateway has looked at the store's memory")
            before = accepted(venue, account)
            assert not is_placed()
            wire.send(cancel("cancel", "resting"))
            assert wire.receive()["result"]["status"] == "CANCELED"
            assert accepted(venue, account) == before
        finally:
            venue.client.config_set("maxmemory", largest)
        wait_until(is_placed, "orders are taken again")


def test_connections_that_wait_for_a_secret_are_bounded(venue: ServiceVenue, gateway: StartGateway) -> None:
    # The key is older than the gateway, which so knows it when it starts, but has not asked for its secret.
    key = venue.hmac_key(venue.account())
    port = gateway()
    with ExitStack() as stack:
        wires = [stack.enter_context(RawClient(port)) for _ in range(WAITING_FOR_SECRET_MAX + 5)]
        with paused(venue.store.process):
            for id, wire in enumerate(wires):
                wire.send(text({"id": id, "method": "account.status", "params": signed(key)}))
                if id >= WAITING_FOR_SECRET_MAX:
                    assert codes([wire.receive()]) == {OVERLOADED}
        replies = [wire.receive() for wire in wires[:WAITING_FOR_SECRET_MAX]]
        assert [(reply["id"], reply["status"]) for reply in replies] == [(id, 200) for id in range(len(replies))]


def test_a_connection_that_waits_for_a_secret_is_read_no_further(venue: ServiceVenue, gateway: StartGateway) -> None:
    """What it sends meanwhile waits in the network, and is answered in order."""
    key = venue.hmac_key(venue.account())
    port = gateway()
    with RawClient(port) as wire:
        with paused(venue.store.process):
            wire.send(text({"id": 0, "method": "account.status", "params": signed(key)}))
            wire.send(b"".join(text({"id": id, "method": "ping"}) for id in range(1, 2000)))
        replies = [wire.receive() for _ in range(2000)]
    assert [(reply["id"], reply["status"]) for reply in replies] == [(id, 200) for id in range(2000)]


# -- readers that are slow --------------------------------------------------------------------------------------------

BULK = text({"method": "LIST_SUBSCRIPTIONS", "id": "x" * 50_000})
"""A request whose answer is large, because it repeats the id."""


def send_later(wire: RawClient, data: bytes) -> Thread:
    """Sends as fast as the gateway takes it."""
    thread = Thread(target=wire.send, args=(data,))
    thread.start()
    return thread


def test_a_client_that_does_not_read_is_not_read(gateway: StartGateway) -> None:
    """It asks for far more than it takes: what it asks waits in the network, nothing is lost, and others are served."""
    port = gateway()
    with RawClient(port, "/ws", receive_buffer_bytes=4096) as slow, RawClient(port) as other:
        sending = send_later(slow, BULK * 600)
        for _ in range(100):
            assert other.is_alive()
        assert sending.is_alive(), "30 MB are asked for, and not all of the questions are taken"
        messages = [slow.receive() for _ in range(600)]
        sending.join()
    assert {len(message["id"]) for message in messages} == {50_000}


def test_a_slow_reader_gets_one_depth_update_for_all_it_missed(venue: ServiceVenue, gateway: StartGateway) -> None:
    port = gateway()
    trader = logged_on(port, venue.ed25519_key(venue.account(**RICH)))
    prompt = RawClient(port, "/ws/ethkzt@depth@100ms")
    with RawClient(port, "/ws/ethkzt@depth@100ms", receive_buffer_bytes=4096) as slow:
        sending = send_later(slow, BULK * 300)
        wait_until_behind(slow)
        updates = []
        for price in range(1_000_000, 1_000_500, 100):
            trader.send(place(price, symbol="ETHKZT", price=str(price)))
            assert trader.receive()["status"] == 200
            updates.append(prompt.receive())
        messages = [slow.receive() for _ in range(301)]
        sending.join()
    (late,) = [message for message in messages if message.get("e") == "depthUpdate"]
    assert len(updates) == 5
    assert (late["U"], late["u"]) == (updates[0]["U"], updates[-1]["u"])
    assert late["b"] == [level for update in reversed(updates) for level in update["b"]]
    assert trader.ask("openOrders.cancelAll", symbol="ETHKZT", timestamp=now_ms())["status"] == 200
    for wire in (trader, prompt):
        wire.close()


def wait_until_behind(wire: RawClient) -> None:
    """Returns when the gateway takes nothing more from a client that does not read."""
    unsent = -1

    def stands_still() -> bool:
        nonlocal unsent
        time.sleep(0.2)
        before, unsent = unsent, unsent_bytes(wire)
        return before == unsent > 0

    wait_until(stands_still, "the gateway reads no further")


def unsent_bytes(wire: RawClient) -> int:
    """What this side has sent and the other has not taken."""
    (count,) = struct.unpack("i", fcntl.ioctl(wire.socket, termios.TIOCOUTQ, bytes(4)))
    return int(count)


@pytest.fixture
def market(venue: ServiceVenue, gateway: StartGateway) -> Iterator[tuple[int, RawClient]]:
    """A gateway with small bounds for readers, and a trader who can make many trades."""
    port = gateway("--stranger-output-bytes-max", "20000")
    with logged_on(port, venue.ed25519_key(venue.account(**RICH))) as trader:
        yield port, trader


def test_a_reader_of_a_stream_that_is_too_slow_is_closed_and_others_are_served(market: tuple[int, RawClient]) -> None:
    port, trader = market
    with RawClient(port, "/ws/btckzt@trade", receive_buffer_bytes=4096) as slow, RawClient(port) as other:
        for round in range(60):
            trader.send(b"".join(place(f"{round}-{number}", side=("BUY", "SELL")[number % 2]) for number in range(200)))
            assert {trader.receive()["status"] for _ in range(200)} == {200}
        assert other.is_alive()
        messages = []
        while not isinstance(message := slow.receive(), Closed):
            messages.append(message)
        assert message == Closed(1008)
        assert 0 < len(messages) < 6000
        assert {message["e"] for message in messages} == {"trade"}, "every message before the close is whole"


# -- answers that are large -------------------------------------------------------------------------------------------


def rest_orders(wire: RawClient, symbol: str, count: int) -> None:
    """Places orders that rest; their client ids are numbered."""
    for start in range(0, count, 500):
        prices = range(start, min(start + 500, count))
        wire.send(
            b"".join(
                place(
                    number,
                    symbol=symbol,
                    price=str(1_000_000 + 1000 * (number % 50)),
                    newClientOrderId=f"{symbol}-{number}",
                )
                for number in prices
            )
        )
        assert {wire.receive()["status"] for _ in prices} == {200}


def test_twenty_thousand_open_orders_are_listed(venue: ServiceVenue, gateway: StartGateway) -> None:
    """More than may wait for a reader: the answer is made as the client takes it, and others are served meanwhile."""
    port, account = gateway(), venue.account(**RICH)
    with logged_on(port, venue.ed25519_key(account)) as wire, RawClient(port) as other:
        for symbol in ("BTCKZT", "ETHKZT"):
            rest_orders(wire, symbol, 10_000)
        wire.send(text({"id": "all", "method": "openOrders.status", "params": {"timestamp": now_ms()}}))
        assert other.is_alive()
        orders = wire.reply_to("all")["result"]
        assert [(order["symbol"], order["clientOrderId"]) for order in orders] == [
            (symbol, f"{symbol}-{number}") for symbol in ("BTCKZT", "ETHKZT") for number in range(10_000)
        ]
        for symbol in ("BTCKZT", "ETHKZT"):
            while wire.ask("openOrders.cancelAll", symbol=symbol, timestamp=now_ms())["status"] == 200:
                pass


def test_a_cancel_of_ten_thousand_orders_is_reported_and_answered(venue: ServiceVenue, gateway: StartGateway) -> None:
    port, account = gateway(), venue.account(**RICH)
    with logged_on(port, venue.ed25519_key(account)) as wire:
        rest_orders(wire, "BTCKZT", 10_000)
        assert wire.ask("userDataStream.subscribe")["status"] == 200
        reply = wire.ask("openOrders.cancelAll", symbol="BTCKZT", timestamp=now_ms())
        assert len(reply["result"]) == EVENTS_BEGIN_MAX
        reports: list[Any] = []
        while len(reports) < 10_000:
            message = wire.passed.pop(0) if wire.passed else wire.receive()
            assert not isinstance(message, Closed), f"closed with {message} after {len(reports)} reports"
            if message["event"]["e"] == "executionReport":
                reports.append(message["event"])
        assert [(report["X"], report["C"] or report["c"]) for report in reports] == [
            ("CANCELED", f"BTCKZT-{number}") for number in range(10_000)
        ]


# -- connections and subscriptions ------------------------------------------------------------------------------------


def test_one_connection_too_many_is_turned_away_with_words(gateway: StartGateway) -> None:
    port = gateway("--connections-max", "3")
    wires = [RawClient(port) for _ in range(3)]
    status, body = http(port, GET_PING)
    assert (status, body["code"]) == OVERLOADED
    assert all(wire.is_alive() for wire in wires)
    wires.pop().close()
    wait_until(lambda: http(port, GET_PING) == (200, {}), "the place is free")
    for wire in wires:
        wire.close()


@covers(R.TOO_MANY_CONNECTIONS)
def test_an_address_that_connects_too_often_is_turned_away(gateway: StartGateway, limits: SetLimits) -> None:
    limits(connections_per_5_min=3)
    port = gateway()
    # Five new minutes may begin meanwhile; then three more are let in.
    answers = [http(port, GET_PING) for _ in range(7)]
    refused = [(status, body["code"]) for status, body in answers if status != 200]
    assert set(refused) == {(429, -1034)}
    assert len(refused) in (1, 2, 3, 4)


@covers(R.TOO_MANY_REQUESTS)
def test_request_weight_is_bounded(gateway: StartGateway, limits: SetLimits) -> None:
    limits(weight_per_minute=10)
    port = gateway()
    with RawClient(port) as wire:
        replies = [wire.ask("ping") for _ in range(21)]
        refused = [reply for reply in replies if reply["status"] != 200]
        assert codes(refused) == {(429, -1003)}
        assert refused[0]["error"]["data"]["retryAfter"] > refused[0]["error"]["data"]["serverTime"]


@covers(R.BANNED)
def test_an_address_that_keeps_failing_is_banned(gateway: StartGateway) -> None:
    port = gateway("--failures-max", "50")
    with RawClient(port) as wire, RawClient(port) as quiet, RawClient(port, "/ws") as listener:
        wire.send(text("{") * 60)
        replies = []
        while not isinstance(message := wire.receive(), Closed):
            replies.append(message)
        assert [reply["status"] for reply in replies] == [400] * 50 + [418]
        assert message.code == 1008
        refused = replies[-1]["error"]
        assert refused["code"] == -1003 and str(refused["data"]["retryAfter"]) in refused["msg"]
        assert 110_000 < refused["data"]["retryAfter"] - refused["data"]["serverTime"] <= 120_000
        # Other connections of the address get it with their next request, and are closed.
        assert quiet.ask("ping")["status"] == 418 and quiet.receive() == Closed(1008)
        listener.send(text({"method": "LIST_SUBSCRIPTIONS", "id": 1}))
        assert listener.receive()["error"]["code"] == -1003 and listener.receive() == Closed(1008)
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as turned_away:
        # Nothing is asked: the answer comes all the same, and the end.
        answer = turned_away.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 418 ")
    assert 100 < int(re.search(rb"\r\nRetry-After: (\d+)\r\n", answer)[1]) <= 121  # type: ignore[index]
    if not sys.platform.startswith("linux"):
        return
    # Another address is served.
    other = socket.create_connection(("127.0.0.1", port), WAIT_S, source_address=(ELSEWHERE, 0))
    other.sendall(GET_PING.replace(b"Host", b"Connection: close\r\nHost"))
    assert other.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
    other.close()


def test_an_address_that_keeps_breaking_the_protocol_is_banned(gateway: StartGateway) -> None:
    """Over WebSocket and over HTTP, each time on a connection of its own."""
    port = gateway("--failures-max", "10")
    for number in range(10):
        if number % 2:
            assert http(port, b"GET / HTTP/1.1\r\n\r\n")[0] == 400
        else:
            with RawClient(port) as wire:
                wire.send(frame(Opcode.BINARY, b"x"))
                assert wire.receive() == Closed(1003)
    assert http(port, GET_PING)[0] == 418


def test_pings_and_fragments_weigh_like_requests(gateway: StartGateway, limits: SetLimits) -> None:
    limits(stream_messages_per_s=100)
    port = gateway()
    fragments = [
        frame(Opcode.TEXT, b"{", fin=False),
        *[frame(Opcode.CONT, b" ", fin=False)] * 98,
        frame(Opcode.CONT, b""),
    ]
    with RawClient(port) as wire:
        wire.send(frame(Opcode.PING, b"") * 100 + b"".join(fragments))
        [used] = {each["count"] for each in wire.ask("ping")["rateLimits"]}
        # 200 of them, of which five in each second are free; the connection, the message, and the request that asks.
        assert used in range(2 + 190 + 1 + 1, 2 + 195 + 1 + 1 + 1)
    with RawClient(port, "/ws") as listener:
        listener.send(frame(Opcode.PING, b"") * 300)
        while not isinstance(message := listener.receive(), Closed):
            assert message == b""
        assert message.code == 1008


def test_a_new_websocket_has_a_weight_of_its_own(gateway: StartGateway, limits: SetLimits) -> None:
    limits(weight_per_minute=CONNECTING - 1)
    port = gateway()
    status, body = http(port, upgrade())
    assert (status, body["code"]) == (429, -1003)
    assert http(port, GET_PING)[0] == 200, "it has taken no weight"
    with RawClient(port, "/ws") as stream:
        # A stream connection weighs nothing.
        stream.send(text({"method": "LIST_SUBSCRIPTIONS", "id": 1}))
        assert stream.receive() == {"result": [], "id": 1}


@covers(R.TOO_MANY_NEW_ORDERS)
def test_new_orders_of_an_account_are_bounded(venue: ServiceVenue, gateway: StartGateway, limits: SetLimits) -> None:
    limits(orders_per_10_s=2)
    port = gateway()
    account = venue.account(**RICH)
    with logged_on(port, venue.ed25519_key(account)) as wire:
        wire.send(b"".join(place(id) for id in range(6)))
        replies = [wire.receive() for _ in range(6)]
        refused = [reply for reply in replies if reply["status"] != 200]
        assert codes(refused) == {(429, -1015)}
        assert len(accepted(venue, account)) == 6 - len(refused) < 6
        cancel_all(wire)


@covers(R.TOO_MANY_ACCOUNT_SUBSCRIPTIONS)
def test_an_account_has_so_many_subscriptions(venue: ServiceVenue, gateway: StartGateway, limits: SetLimits) -> None:
    limits(subscriptions_max=2)
    port, key = gateway(), venue.ed25519_key(venue.account())
    with ExitStack() as stack:
        wires = [stack.enter_context(logged_on(port, key)) for _ in range(4)]
        replies = [wire.ask("userDataStream.subscribe") for wire in wires]
        assert [reply["status"] for reply in replies] == [200, 200, 400, 400]
        assert codes(replies[2:]) == {(400, -2042)}
        # A connection that ends gives its subscription back.
        wires[0].close()
        wait_until(lambda: wires[2].ask("userDataStream.subscribe")["status"] == 200, "there is room again")
        assert codes([wires[3].ask("userDataStream.subscribe")]) == {(400, -2042)}


def test_a_change_of_limits_reaches_a_running_gateway(venue: ServiceVenue, limits: SetLimits) -> None:
    with RawClient(venue.port) as wire:
        limits(weight_per_minute=77)
        wait_until(lambda: wire.ask("ping")["rateLimits"][0]["limit"] == 77, "the gateway has read the new limits")


def test_a_stream_connection_that_asks_too_often_is_closed(gateway: StartGateway, limits: SetLimits) -> None:
    limits(stream_messages_per_s=5)
    with RawClient(gateway(), "/ws") as wire:
        wire.send(text({"method": "LIST_SUBSCRIPTIONS", "id": 1}) * 11)
        messages = []
        while not isinstance(message := wire.receive(), Closed):
            messages.append(message)
        assert message == Closed(1008)
        assert len(messages) in (5, 10)


@covers(R.TOO_MANY_SUBSCRIPTIONS)
def test_a_connection_has_so_many_subscription_ids_in_its_life(venue: ServiceVenue, gateway: StartGateway) -> None:
    port = gateway()
    turn = b'{"id":1,"method":"userDataStream.subscribe","params":{"returnRateLimits":false}}'
    back = b'{"id":2,"method":"userDataStream.unsubscribe","params":{"returnRateLimits":false}}'
    with logged_on(port, venue.ed25519_key(venue.account())) as wire:
        left = SUBSCRIPTION_IDS_MAX
        while left:
            count = min(left, 1000)
            left -= count
            wire.send((text(turn) + text(back)) * count)
            # Each is answered by its id, by the reply to the unsubscribing, and by the end of the stream.
            assert [wire.receive() for _ in range(3 * count)][-3]["result"] == {
                "subscriptionId": SUBSCRIPTION_IDS_MAX - left - 1
            }
        wire.send(text(turn))
        assert codes([wire.receive()]) == {(400, -2042)}
        assert wire.is_alive()
