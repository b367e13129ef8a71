"""The pipelined connection, against a server that answers as the test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from jibek.client.pipelined import PipelineClient
from jibek.client.trading import Credentials, Reply, RequestRefused

CREDENTIALS = Credentials.hmac("key", "secret")
Handler = Callable[[ServerConnection], Awaitable[None]]


def run(handler: Handler, use: Callable[[str], Awaitable[None]]) -> None:
    """Runs `use(url)` against a server that treats each connection with `handler`."""

    async def main() -> None:
        async with serve(handler, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with asyncio.timeout(30):
                await use(f"ws://127.0.0.1:{port}")

    asyncio.run(main())


def reply(request: Any, **content: Any) -> str:
    return json.dumps({"id": request["id"], "status": 200, "result": {}, **content})


def test_requests_leave_in_order_and_never_more_than_the_bound() -> None:
    received: list[str] = []
    in_flight_seen: list[int] = []

    async def hold_back(connection: ServerConnection) -> None:
        """Answers, last come first, once nothing more comes."""
        waiting: list[Any] = []
        while True:
            try:
                async with asyncio.timeout(0.05 if waiting else None):
                    waiting.append(json.loads(await connection.recv()))
                received.append(waiting[-1]["params"]["n"])
            except TimeoutError:
                in_flight_seen.append(len(waiting))
                for request in reversed(waiting):
                    await connection.send(reply(request, result=request["params"]["n"]))
                waiting.clear()

    async def use(url: str) -> None:
        replies: list[Reply] = []
        async with PipelineClient(url, in_flight=5) as client:
            for number in range(20):
                await client.submit(CREDENTIALS, "order.place", {"n": str(number)}, replies.append)
            await client.drain()
        assert sorted(int(each["result"]) for each in replies) == list(range(20))

    run(hold_back, use)
    assert received == [str(number) for number in range(20)]
    assert max(in_flight_seen) == 5


def test_each_request_is_signed_by_its_own_account() -> None:
    keys: list[str] = []

    async def answer(connection: ServerConnection) -> None:
        async for message in connection:
            request = json.loads(message)
            params = request["params"]
            signature = params.pop("signature")
            payload = "&".join(f"{name}={params[name]}" for name in sorted(params)).encode()
            assert signature == Credentials.hmac("", f"secret of {params['apiKey']}").sign(payload)
            keys.append(params["apiKey"])
            await connection.send(reply(request))

    async def use(url: str) -> None:
        async with PipelineClient(url, 10) as client:
            for name in ("a", "b", "a"):
                await client.request(Credentials.hmac(name, f"secret of {name}"), "order.place")

    run(answer, use)
    assert keys == ["a", "b", "a"]


def test_events_come_before_the_reply_that_follows_them() -> None:
    async def answer(connection: ServerConnection) -> None:
        request = json.loads(await connection.recv())
        for number in range(3):
            await connection.send(json.dumps({"subscriptionId": 0, "event": {"e": "executionReport", "t": number}}))
        await connection.send(reply(request))
        await connection.wait_closed()

    async def use(url: str) -> None:
        events: list[dict[str, Any]] = []
        async with PipelineClient(url, 1, events.append) as client:
            await client.request(CREDENTIALS, "ping")
            assert [event["t"] for event in events] == [0, 1, 2]

    run(answer, use)


def test_a_refusal_is_raised_and_the_connection_goes_on() -> None:
    async def answer(connection: ServerConnection) -> None:
        request = json.loads(await connection.recv())
        await connection.send(reply(request, status=400, error={"code": -2011, "msg": "Unknown order sent."}))
        await connection.send(reply(json.loads(await connection.recv()), result="fine"))
        await connection.wait_closed()

    async def use(url: str) -> None:
        async with PipelineClient(url, 1) as client:
            with pytest.raises(RequestRefused, match=r"Unknown order sent\. \(-2011\)"):
                await client.request(CREDENTIALS, "order.cancel")
            assert await client.request(CREDENTIALS, "ping") == "fine"

    run(answer, use)


@pytest.mark.parametrize("ending", ["closed", "dropped", "nonsense"])
def test_waiting_requests_fail_when_the_connection_ends(ending: str) -> None:
    async def end(connection: ServerConnection) -> None:
        await connection.recv()
        if ending == "closed":
            await connection.close()
        elif ending == "dropped":
            connection.transport.abort()
        else:
            await connection.send("{")
            await connection.wait_closed()

    async def use(url: str) -> None:
        async with PipelineClient(url, 1) as client:
            for _ in range(2):
                with pytest.raises((ConnectionError, ValueError)):
                    await client.request(CREDENTIALS, "ping")

    run(end, use)
