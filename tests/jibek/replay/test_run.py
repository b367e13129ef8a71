"""Sending a plan: requests in file order from their own accounts, refusals and fills by their place in the plan."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from engine.records import Side
from jibek.client.trading import Credentials, RequestRefused
from jibek.replay.plan import CancelOrder, PlaceOrder, Plan
from jibek.replay.run import Fill, ReplayResult, cancel_open_orders, run_plan
from tests.worlds.replay import default_market

PLAN = Plan(
    default_market(),
    [PlaceOrder(11, 0, Side.SELL, 23650, 2_000_000), PlaceOrder(12, 1, Side.BUY, 23650, 500_000), CancelOrder(99, 1)],
)
KEYS = [Credentials.hmac("key-0", "a"), Credentials.hmac("key-1", "b")]


def report_of(order_id: int, *, is_maker: bool, symbol: str = "BTCUSDT") -> dict[str, Any]:
    trade = {"t": 7, "c": str(order_id), "m": is_maker, "L": "236.50000000", "l": "0.50000000"}
    return {"e": "executionReport", "x": "TRADE", "s": symbol, **trade}


class Venue:
    """A server that executes what the plan sends: order 12 trades with 11, and there is no order 99."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []

    def replies(self, method: str, params: dict[str, str]) -> list[dict[str, Any]]:
        if method == "order.cancel":
            return [{"status": 400, "error": {"code": -2011, "msg": "Unknown order sent."}}]
        if params.get("newClientOrderId") != "12":
            return [{"status": 200, "result": {}}]
        events = [
            {"e": "outboundAccountPosition"}, report_of(11, is_maker=True, symbol="BTCKZT"),
            report_of(11, is_maker=True), report_of(12, is_maker=False),
        ]  # fmt: skip
        return [*({"event": event} for event in events), {"status": 200, "result": {}}]

    async def handle(self, connection: ServerConnection) -> None:
        async for message in connection:
            request = json.loads(message)
            self.requests.append((request["method"], request.get("params", {})))
            for reply in self.replies(*self.requests[-1]):
                await connection.send(json.dumps(reply if "event" in reply else {"id": request["id"], **reply}))


def run(venue: Venue, use: Any) -> Any:
    async def main() -> Any:
        async with serve(venue.handle, "127.0.0.1", 0) as server, asyncio.timeout(30):
            return await use(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    return asyncio.run(main())


def test_a_plan_is_sent_in_order_and_what_came_of_it_is_collected() -> None:
    venue = Venue()
    progress: list[tuple[int, int]] = []
    result: ReplayResult = run(
        venue, lambda url: run_plan(url, PLAN, KEYS, 8, lambda done, total: progress.append((done, total)))
    )
    sent = [(method, params["apiKey"]) for method, params in venue.requests]
    assert sent == [
        ("userDataStream.subscribe.signature", "key-0"), ("userDataStream.subscribe.signature", "key-1"),
        ("order.place", "key-0"), ("order.place", "key-1"), ("order.cancel", "key-1"),
        ("userDataStream.unsubscribe", "key-0"),
    ]  # fmt: skip
    place, cancel = venue.requests[2][1], venue.requests[4][1]
    assert (place["side"], place["price"], place["quantity"], place["newClientOrderId"]) == ("SELL", "236.5", "2", "11")
    assert cancel["origClientOrderId"] == "99"
    assert list(result.refusals) == [2] and result.refusals[2].code == -2011
    assert result.fills == [Fill(7, 11, True, 23650, 500_000), Fill(7, 12, False, 23650, 500_000)]
    assert progress == [(3, 3)]


@pytest.mark.parametrize(("code", "is_raised"), [(-2011, False), (-1000, True)])
def test_cancelling_where_nothing_is_open_is_no_error(code: int, is_raised: bool) -> None:
    venue = Venue()
    venue.replies = lambda method, params: [{"status": 400, "error": {"code": code, "msg": "no"}}]  # type: ignore[method-assign]

    async def use(url: str) -> None:
        await cancel_open_orders(url, PLAN.market, KEYS)

    if is_raised:
        with pytest.raises(RequestRefused):
            run(venue, use)
    else:
        run(venue, use)
        assert [params["apiKey"] for _, params in venue.requests] == ["key-0", "key-1"]
