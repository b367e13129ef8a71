"""Places an order, sees it, and cancels it. JIBEK_KEY and JIBEK_SECRET are those of an hmac key."""

import asyncio
import hmac
import json
import os
import time

from websockets.asyncio.client import connect


async def call(venue, method, **params):
    params |= {"apiKey": os.environ["JIBEK_KEY"], "timestamp": int(time.time() * 1000)}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    params["signature"] = hmac.new(os.environ["JIBEK_SECRET"].encode(), payload.encode(), "sha256").hexdigest()
    await venue.send(json.dumps({"id": method, "method": method, "params": params}))
    print(json.dumps(reply := json.loads(await venue.recv())))
    return reply["result"]


async def main():
    async with connect(os.getenv("JIBEK_URL", "ws://127.0.0.1:9443/ws-api/v3") + "?returnRateLimits=false") as venue:
        limit = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "40000000", "quantity": "0.001"}
        order = await call(venue, "order.place", symbol="BTCKZT", **limit)
        await call(venue, "order.status", symbol="BTCKZT", orderId=order["orderId"])
        await call(venue, "order.cancel", symbol="BTCKZT", orderId=order["orderId"])


asyncio.run(main())
