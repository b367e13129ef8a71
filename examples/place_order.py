"""Places an order, sees it, and cancels it. JIBEK_KEY and JIBEK_SECRET are those of an hmac key."""

import asyncio
import hmac
import json
import os
import ssl
import sys
import time

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake

URL = os.getenv("JIBEK_URL", "ws://127.0.0.1:9443/ws-api/v3")
KEY, SECRET = os.getenv("JIBEK_KEY"), os.getenv("JIBEK_SECRET")
OUTCOME_UNKNOWN = -1007


async def call(venue, method, **params):
    params |= {"apiKey": KEY, "timestamp": time.time_ns() // 1_000}
    payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
    params["signature"] = hmac.new(SECRET.encode(), payload.encode(), "sha256").hexdigest()
    await venue.send(json.dumps({"id": method, "method": method, "params": params}))
    print(json.dumps(reply := json.loads(await venue.recv())))
    if reply["status"] != 200 and reply["error"]["code"] != OUTCOME_UNKNOWN:
        sys.exit("The venue refused the request.")
    return reply["status"] == 200


async def main():
    async with connect(URL + "?returnRateLimits=false") as venue:
        limit = {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "40000000", "quantity": "0.001"}
        # The outcome can stay unknown: the order may be in the book all the same. Ask for it by a name of your own.
        name = f"example-{time.time_ns()}"
        await call(venue, "order.place", symbol="BTCKZT", newClientOrderId=name, **limit)
        is_known = await call(venue, "order.status", symbol="BTCKZT", origClientOrderId=name)
        if not (is_known and await call(venue, "order.cancel", symbol="BTCKZT", origClientOrderId=name)):
            sys.exit(f"The outcome is unknown: ask order.status for {name} again.")


if not (KEY and SECRET):
    sys.exit("Set JIBEK_KEY and JIBEK_SECRET: `jibek account key NAME --type hmac` prints them.")
try:
    asyncio.run(main())
except ssl.SSLCertVerificationError:
    sys.exit(f"The certificate of {URL} is not trusted: name its authority with SSL_CERT_FILE=venue.pem.")
except (OSError, InvalidHandshake) as error:
    sys.exit(f"No venue answers at {URL}: {error}. Does it speak TLS? Use wss://; if not, ws://.")
