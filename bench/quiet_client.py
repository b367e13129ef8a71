"""The client whose latency is measured: it asks little, always at the same pace, and reads at once.

Every interval one request is due, a ping, an order and its cancel in turn, whatever has become of those before. A latency
counts from the moment at which its request was due, so what waits behind a stall counts with its wait.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bench.floods import Target
from bench.plain_websocket import ConnectionEnded, PlainWebSocket, request_frame
from jibek.client.trading import WINDOW_MS_MAX, Credentials

DRAIN_S = 15.0
"""How long the last replies are waited for; the venue answers within 10 s."""
CALM_MS = 50.0
"""How long an order and its cancel may take at a venue that is calm, on a machine that is not."""
CALM_IN_A_ROW = 5
CALM_TIMEOUT_S = 60.0


class Percentiles(NamedTuple):
    """Latencies of one kind of request."""

    samples: int
    median_ms: float | None
    """None where there are none."""
    p99_ms: float | None
    worst_ms: float | None

    def meet(self, p99_ms: float, worst_ms: float) -> bool:
        """Whether there are some, and they are within these bounds."""
        if self.p99_ms is None or self.worst_ms is None:
            return False
        return self.p99_ms <= p99_ms and self.worst_ms <= worst_ms


def percentiles(latencies_s: list[float]) -> Percentiles:
    """
    >>> percentiles([0.003, 0.001, 0.002])
    Percentiles(samples=3, median_ms=2.0, p99_ms=3.0, worst_ms=3.0)
    """
    ordered = sorted(latencies_s)
    if not ordered:
        return Percentiles(0, None, None, None)

    def at(part: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, math.ceil(part * len(ordered)) - 1)], 3)

    return Percentiles(len(ordered), at(0.5), at(0.99), at(1.0))


@dataclass
class QuietResult:
    """What the quiet client saw."""

    pings_s: list[float] = field(default_factory=list)
    orders_s: list[float] = field(default_factory=list)
    """Latencies of orders and of cancels."""
    unanswered: int = 0
    """Requests without a reply; each counts with the time until the client gave up."""
    refusals: dict[str, int] = field(default_factory=dict)
    late_s: float = 0.0
    """The most by which the client itself was late to send."""
    failure: str = ""
    """Why its connection ended."""


class QuietClient:
    """A session that is logged on.

    Raises:
        ConnectionEnded: the venue turned it away or refused the logon.
    """

    def __init__(self, target: Target, source: str, credentials: Credentials, price: str) -> None:
        self._connection = PlainWebSocket(target.port, source)
        self._target = target
        self._price = price
        self._name = f"quiet-{time.time_ns():x}-"
        reply = self._connection.ask("session.logon", credentials.signed({}))
        if reply["status"] != 200:
            raise ConnectionEnded(f"the logon was refused: {reply}")

    def wait_until_calm(self) -> None:
        """Places and cancels until the venue answers quickly again.

        Raises:
            ConnectionEnded: it does not within a minute.
        """
        deadline_s, calm = time.monotonic() + CALM_TIMEOUT_S, 0
        while calm < CALM_IN_A_ROW:
            began_s = time.perf_counter()
            for method in ("order.place", "order.cancel"):
                self._connection.ask(method, self._order(method, 0))
            calm = calm + 1 if time.perf_counter() - began_s <= CALM_MS / 1000 else 0
            if time.monotonic() > deadline_s:
                raise ConnectionEnded(f"the venue does not become calm in {CALM_TIMEOUT_S:g} s")

    def run(self, seconds: float, interval_ms: float) -> QuietResult:
        """Asks for so long, and waits for the last replies."""
        result, open_s = QuietResult(), dict[int, float]()
        count, began_s = max(3, round(1000 * seconds / interval_ms)), time.perf_counter()
        sent = 0
        end_s = began_s + count * interval_ms / 1000 + DRAIN_S
        try:
            while sent < count or open_s:
                now_s = time.perf_counter()
                if now_s > end_s:
                    break
                due_s = began_s + sent * interval_ms / 1000 if sent < count else end_s
                if sent < count and now_s >= due_s:
                    sent += 1
                    open_s[sent] = due_s
                    result.late_s = max(result.late_s, now_s - due_s)
                    self._connection.send(self._request(sent))
                    continue
                for message in self._connection.messages(due_s - now_s):
                    self._take(message, open_s, result)
        except ConnectionEnded as ended:
            result.failure = f"{ended}"
        now_s = time.perf_counter()
        result.unanswered = len(open_s)
        for id, due_s in open_s.items():
            self._latencies(id, result).append(now_s - due_s)
        return result

    def close(self) -> None:
        self._connection.close()

    def _take(self, message: bytes, open_s: dict[int, float], result: QuietResult) -> None:
        now_s, reply = time.perf_counter(), json.loads(message)
        due_s = open_s.pop(reply.get("id"), None)
        if due_s is None:
            return
        self._latencies(reply["id"], result).append(now_s - due_s)
        if reply["status"] != 200:
            text = f"{reply['error']['msg']} ({reply['error']['code']})"
            result.refusals[text] = result.refusals.get(text, 0) + 1

    def _latencies(self, number: int, result: QuietResult) -> list[float]:
        return result.pings_s if number % 3 == 1 else result.orders_s

    def _request(self, number: int) -> bytes:
        """A ping, an order, its cancel, a ping, …"""
        if number % 3 == 1:
            return request_frame(number, "ping")
        method = "order.place" if number % 3 == 2 else "order.cancel"
        return request_frame(number, method, self._order(method, number // 3 + 1 if number % 3 == 2 else number // 3))

    def _order(self, method: str, number: int) -> dict[str, Any]:
        """The parameters of an order that rests, and of its cancel."""
        name, times = f"{self._name}{number}", {"timestamp": time.time_ns() // 1_000_000, "recvWindow": WINDOW_MS_MAX}
        if method == "order.cancel":
            return {"symbol": self._target.symbol, "origClientOrderId": name, **times}
        return {
            "symbol": self._target.symbol, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": self._price,
            "quantity": self._target.quantity, "newOrderRespType": "ACK", "newClientOrderId": name, **times,
        }  # fmt: skip
