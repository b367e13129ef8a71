"""A run of several connections, against a server that accepts everything."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from jibek.client.trading import Credentials
from jibek.load.flow import Flow, Terms
from jibek.load.run import Load, LoadClient, LoadFailed, LoadResult, run_load

TERMS = Terms("BTCUSDT", Decimal(89000), Decimal("0.01"), Decimal("0.000012"))
KEY = Credentials.hmac("key", "secret")


def load(
    clients: int, amount: Load, refuse: dict[str, int] | None = None, *, mix: str = "trade", **options: Any
) -> tuple[LoadResult, Any]:
    """The result, and how many requests of each method came. `refuse` maps a method to an error code."""
    methods: Counter[str] = Counter()

    async def handle(connection: ServerConnection) -> None:
        async for message in connection:
            request = json.loads(message)
            methods[request["method"]] += 1
            code = (refuse or {}).get(request["method"])
            if code is None:
                await connection.send(f'{{"id":{request["id"]},"status":200,"result":{{}}}}')
            else:
                error = {"code": code, "msg": "no"}
                await connection.send(json.dumps({"id": request["id"], "status": 400, "error": error}))

    async def main() -> LoadResult:
        async with serve(handle, "127.0.0.1", 0, compression=None) as server, asyncio.timeout(30):
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws-api/v3"
            made = [LoadClient(Flow(TERMS, mix, "ack", f"{n}-", n), KEY, False) for n in range(clients)]
            return await run_load(url, made, amount, "BTCUSDT", **options)

    return asyncio.run(main()), methods


@pytest.mark.parametrize(("clients", "orders"), [(1, 1), (3, 10), (4, 3), (2, 200)])
def test_the_orders_are_shared_and_none_is_sent_twice(clients: int, orders: int) -> None:
    result, methods = load(clients, Load(in_flight=8, orders=orders))
    assert (result.orders, result.cancels, result.unknown, result.failures) == (orders, 0, 0, [])
    assert result.answered == methods["order.place"] == orders
    assert methods["account.status"] == methods["openOrders.cancelAll"] == clients


def test_refused_orders_are_not_accepted() -> None:
    result, _ = load(2, Load(in_flight=4, orders=20), {"order.place": -2010})
    assert (result.orders, result.orders_accepted, result.cancels_accepted) == (20, 0, 0)
    result, _ = load(2, Load(in_flight=4, orders=60), {"order.cancel": -2011}, mix="cancel")
    assert result.orders_accepted == result.orders == 60
    assert result.cancels > 0 == result.cancels_accepted
    assert result.refusals.total() == result.cancels


def test_a_run_without_a_limit_ends_when_it_is_stopped() -> None:
    stop = asyncio.Event()
    shown: list[int] = []

    def show(result: LoadResult) -> None:
        shown.append(result.answered)
        if result.answered > 50:
            stop.set()

    result, methods = load(2, Load(in_flight=2), stop=stop, show=show, show_s=0.01)
    assert result.answered == methods["order.place"] > 50
    assert shown == sorted(shown)


def test_no_more_is_shown_than_one_result_an_interval() -> None:
    shown: list[LoadResult] = []
    load(2, Load(in_flight=2, seconds=0.45), show=shown.append, show_s=0.2)
    assert len(shown) <= 2


def test_a_key_that_may_not_trade_ends_it_before_it_begins() -> None:
    with pytest.raises(LoadFailed, match=r"no \(-2014\)"):
        load(2, Load(orders=10), {"account.status": -2014})


def test_nothing_open_at_the_end_is_fine_and_another_refusal_is_not() -> None:
    result, _ = load(1, Load(orders=4), {"openOrders.cancelAll": -2011})
    assert result.orders == 4
    with pytest.raises(LoadFailed, match="orders may still be open: no"):
        load(1, Load(orders=4), {"openOrders.cancelAll": -1000})
