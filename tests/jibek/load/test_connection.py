"""A connection of the load generator, against a server that answers as the test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from websockets.asyncio.server import ServerConnection, serve

from jibek.load.connection import LoadConnection, LoadStatistics, now_us

REQUESTS = 60


def request(number: int, time_ms: int) -> bytes:
    """Short and long ones, so that frames have each form of length."""
    return b'{"id":%d,"text":"%s"}' % (number, b"x" * (number % 3 * 70_000 // 2))


def success(id: int, text: str = "") -> str:
    return f'{{"id":{id},"status":200,"text":"{text}"}}'


async def connect(url: str, statistics: LoadStatistics) -> LoadConnection:
    host, _, port = url.removeprefix("ws://").partition(":")
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: LoadConnection(url, request, statistics), host, int(port)
    )
    await connection.opened()
    return connection


def run(
    handler: Callable[[ServerConnection], Awaitable[None]], use: Callable[[LoadConnection], Awaitable[None]]
) -> LoadStatistics:
    """Runs `use(connection)` against a server with this handler; what the connection has counted."""
    statistics = LoadStatistics()

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0, compression=None) as server, asyncio.timeout(30):
            connection = await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", statistics)
            try:
                await use(connection)
            finally:
                connection.close()

    asyncio.run(main())
    return statistics


def test_a_closed_loop_keeps_so_many_in_flight_and_ends_with_the_last_reply() -> None:
    received: list[int] = []
    most_in_flight = 0

    async def answer(connection: ServerConnection) -> None:
        nonlocal most_in_flight
        waiting: list[int] = []
        async for message in connection:
            received.append(json.loads(message)["id"])
            waiting.append(received[-1])
            most_in_flight = max(most_in_flight, len(waiting))
            if len(waiting) == 5 or received[-1] == REQUESTS:
                for id in waiting:
                    await connection.send(success(id, "y" * (id % 3 * 35_000)))
                waiting.clear()

    async def use(connection: LoadConnection) -> None:
        connection.requests_max = REQUESTS
        connection.keep_in_flight(5)
        await connection.done
        assert connection.open_requests == 0 and not connection.failure

    statistics = run(answer, use)
    assert received == list(range(1, REQUESTS + 1))
    assert most_in_flight == 5
    assert (statistics.latencies.count, statistics.refusals) == (REQUESTS, {})


@pytest.mark.parametrize("is_loop_closed", [True, False])
def test_a_connection_with_nothing_to_send_is_done_at_once(is_loop_closed: bool) -> None:
    async def use(connection: LoadConnection) -> None:
        connection.requests_max = 0
        if is_loop_closed:
            connection.keep_in_flight(5)
        else:
            connection.follow_schedule(now_us(), 1_000)
        assert connection.done.done() and connection.requests == 0

    run(lambda connection: connection.wait_closed(), use)


def test_an_open_loop_sends_all_that_is_due_and_counts_from_the_due_time() -> None:
    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(success(json.loads(message)["id"]))

    async def use(connection: LoadConnection) -> None:
        time_us = now_us()
        connection.follow_schedule(time_us - 1_000_000, 100_000)
        connection.send_due(time_us)
        assert connection.requests == 11, "one each 0.1 s, a second ago and now included"
        connection.send_due(time_us)
        assert connection.requests == 11
        connection.stop()
        await connection.done

    statistics = run(answer, use)
    assert statistics.latencies.count == 11
    assert statistics.latencies.largest_us >= 1_000_000


def test_a_refusal_is_counted_by_its_text_and_answers_its_request() -> None:
    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            id = json.loads(message)["id"]
            error = {"code": -2010, "msg": "Market is closed."}
            await connection.send(json.dumps({"id": id, "status": 400, "error": error}) if id % 2 else success(id))

    async def use(connection: LoadConnection) -> None:
        connection.requests_max = 10
        connection.keep_in_flight(3)
        await connection.done

    statistics = run(answer, use)
    assert statistics.refusals == {"Market is closed. (-2010)": 5}
    assert statistics.latencies.count == 10


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_lost_connection_is_a_failure_with_open_requests(is_clean: bool) -> None:
    async def end(connection: ServerConnection) -> None:
        await connection.recv()
        if is_clean:
            await connection.close(1008, "too slow")
        else:
            connection.transport.abort()

    async def use(connection: LoadConnection) -> None:
        connection.keep_in_flight(4)
        await connection.done
        assert connection.open_requests == 4
        assert ("too slow" in connection.failure) == is_clean and connection.failure

    assert run(end, use).latencies.count == 0


def test_a_ping_is_answered_while_requests_wait() -> None:
    async def answer(connection: ServerConnection) -> None:
        id = json.loads(await connection.recv())["id"]
        await (await connection.ping(b"alive?"))
        await connection.send(success(id))
        await connection.wait_closed()

    async def use(connection: LoadConnection) -> None:
        connection.requests_max = 1
        connection.keep_in_flight(1)
        await connection.done
        assert not connection.failure

    assert run(answer, use).latencies.count == 1
