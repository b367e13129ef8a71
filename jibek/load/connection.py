"""One connection of the load generator. It makes few objects a request, so that the venue is measured and not the generator.

`websockets.client.ClientProtocol` shakes hands; from then on this module makes and reads frames itself. Requests that are
due together leave in one write. A reply is found by its id, which comes first; only a refusal is read as JSON.

Cost: about 3 µs of CPU for a request and its reply.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import orjson
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri

from jibek.client.frames import frame_head
from jibek.client.trading import MESSAGE_BYTES_MAX, REPLY_TIMEOUT_S
from jibek.load.histogram import Histogram

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

_WHOLE_TEXT, _PING, _CLOSE = 0x81, 0x89, 0x88
_FIRST_FRAGMENT, _FRAGMENT, _LAST_FRAGMENT = 0x01, 0x00, 0x80
_ID_START = len('{"id":')

MakeRequest = Callable[[int, int], bytes]
"""Makes the request of a number, from 1, as it is sent at a time in milliseconds."""


def now_us() -> int:
    """Microseconds of the clock that latencies are measured with."""
    return time.perf_counter_ns() // 1000


class LoadStatistics:
    """What all connections of a run have seen together."""

    def __init__(self) -> None:
        self.latencies = Histogram()
        self.refusals: Counter[str] = Counter()
        self.last_reply_us = 0


class LoadConnection(asyncio.Protocol):
    """A connection that keeps requests in flight.

    Args:
        request: makes the requests.
        success: what follows the comma after the id in the reply to a request that was executed.
    """

    def __init__(
        self,
        url: str,
        request: MakeRequest,
        statistics: LoadStatistics,
        *,
        success: bytes = b'"status":200,',
    ) -> None:
        self.requests = 0
        """How many have left; also the number of the last one."""
        self.refused: list[int] = []
        """The numbers of the requests that the venue refused."""
        self.requests_max: int = sys.maxsize
        """The number of the last one that may leave."""
        self.failure: str = ""
        """Why the connection has ended; empty while it lives."""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when every request has its reply, or the connection has ended."""
        self._handshake = ClientProtocol(parse_uri(url), max_size=MESSAGE_BYTES_MAX)
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.WriteTransport | None = None
        self._mask = secrets.token_bytes(4)
        self._is_websocket = False
        self._partial = b""
        self._fragments: list[bytes] = []
        """What has come of a long reply that is sent in pieces."""
        self._request = request
        self._success = success
        self._statistics = statistics
        self._sent_us: dict[int, int] = {}
        """Request -> when it left or, with a schedule, when it was due."""
        self._asked: asyncio.Future[dict[str, Any]] | None = None
        self._is_loop_closed = False
        self._is_paused = False
        self._next_due_us = 0.0
        self._interval_us = 0.0

    @property
    def open_requests(self) -> int:
        """How many requests have no reply yet."""
        return len(self._sent_us)

    @property
    def open_numbers(self) -> list[int]:
        """The numbers of the requests that have no reply yet."""
        return list(self._sent_us)

    # -- opening and asking

    async def opened(self) -> None:
        """Waits for the handshake.

        Raises:
            ConnectionError: it failed.
        """
        await self._opened

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Sends one request outside the load, and returns its reply. Call it only before or after the load."""
        assert self._asked is None and not self._sent_us
        if self.failure:
            raise ConnectionError(self.failure)
        self._asked = asyncio.get_running_loop().create_future()
        try:
            self._write(self._frame(orjson.dumps({"id": 0, "method": method, "params": params})))
            return await asyncio.wait_for(self._asked, timeout=REPLY_TIMEOUT_S)
        finally:
            self._asked = None

    # -- load

    def keep_in_flight(self, count: int) -> None:
        """Closed loop: sends this many requests, and one more for each reply."""
        self._is_loop_closed = True
        self._send(count)
        self._note_done()

    def follow_schedule(self, first_due_us: float, interval_us: float) -> None:
        """Open loop: from now on `send_due` sends a request for each interval, whatever the venue does."""
        self._next_due_us, self._interval_us = first_due_us, interval_us
        self._note_done()

    def send_due(self, time_us: int) -> None:
        """Sends what is due by now. While the network takes nothing, requests wait, and their latency counts."""
        if self._is_paused or self._next_due_us > time_us:
            return
        time_ms = time.time_ns() // 1_000_000
        frames = []
        while self._next_due_us <= time_us and self.requests < self.requests_max:
            self.requests += 1
            self._sent_us[self.requests] = int(self._next_due_us)
            self._next_due_us += self._interval_us
            frames.append(self._frame(self._request(self.requests, time_ms)))
        self._write(b"".join(frames))

    def stop(self) -> None:
        """No further request leaves; `done` comes with the last reply."""
        self.requests_max = self.requests
        self._note_done()

    def _note_done(self) -> None:
        """Ends the load of this connection if all is sent and answered; one that has nothing to send ends at once."""
        if not self._sent_us and self.requests >= self.requests_max and not self.done.done():
            self.done.set_result(None)

    def _send(self, count: int) -> None:
        """Sends so many requests in one write, or as many as are left."""
        number, sent_us, time_us, time_ms = self.requests, self._sent_us, now_us(), time.time_ns() // 1_000_000
        request, mask = self._request, self._mask
        pieces: list[bytes] = []
        for _ in range(min(count, self.requests_max - number)):
            number += 1
            sent_us[number] = time_us
            payload = request(number, time_ms)
            length = len(payload)
            if 126 <= length < 65536:
                pieces += (b"\x81\xfe", length.to_bytes(2, "big"), mask, apply_mask(payload, mask))
            else:
                pieces.append(self._frame(payload))
        self.requests = number
        if pieces:
            self._write(b"".join(pieces))

    def _frame(self, payload: bytes, first_byte: int = _WHOLE_TEXT) -> bytes:
        """The payload as a masked WebSocket frame."""
        return frame_head(first_byte, len(payload)) + self._mask + apply_mask(payload, self._mask)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _take_replies(self, data: bytes) -> None:
        if self._partial:
            data = self._partial + data
        position, size = 0, len(data)
        time_us = self._statistics.last_reply_us = now_us()
        sent_us, success, record = self._sent_us, self._success, self._statistics.latencies.record
        answered = 0
        while size - position >= 2:
            start = position + 2
            length = data[position + 1]
            if length >= 126:
                start += 2 if length == 126 else 8
                if size < start:
                    break
                length = int.from_bytes(data[position + 2 : start], "big")
            stop = start + length
            if size < stop:
                break
            comma = data.find(b",", start, stop)
            if data[position] == _WHOLE_TEXT and data.startswith(success, comma + 1) and self._asked is None:
                record(time_us - sent_us.pop(int(data[start + _ID_START : comma])))
                answered += 1
            else:
                answered += self._take_unusual(data[position], data[start:stop], time_us)
            position = stop
        self._partial = data[position:]
        if answered and self._is_loop_closed:
            self._send(answered)
        if not sent_us:
            self._note_done()

    def _take_unusual(self, first_byte: int, payload: bytes, time_us: int) -> int:
        """Handles anything but a success; returns how many requests it answers."""
        if first_byte == _PING:
            self._write(self._frame(payload, 0x8A))
        elif first_byte == _CLOSE:
            self._end(f"the venue closed the connection: {payload[2:].decode(errors='replace')}")
        elif first_byte in (_FIRST_FRAGMENT, _FRAGMENT, _LAST_FRAGMENT):
            self._fragments.append(payload)
            if first_byte == _LAST_FRAGMENT:
                whole, self._fragments = b"".join(self._fragments), []
                return self._take_unusual(_WHOLE_TEXT, whole, time_us)
        elif first_byte == _WHOLE_TEXT:
            reply = orjson.loads(payload)
            if self._asked is not None and not self._asked.done():
                self._asked.set_result(reply)
            elif (since_us := self._sent_us.pop(reply.get("id"), None)) is not None:
                self._statistics.latencies.record(time_us - since_us)
                self.refused.append(reply["id"])
                error = reply["error"]
                self._statistics.refusals[f"{error['msg']} ({error['code']})"] += 1
                return 1
        return 0

    # -- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._handshake.send_request(self._handshake.connect())
        for data in self._handshake.data_to_send():
            self._write(data)

    def data_received(self, data: bytes) -> None:
        if self._is_websocket:
            self._take_replies(data)
            return
        self._handshake.receive_data(data)
        if self._handshake.handshake_exc is not None:
            self._end(f"no WebSocket: {self._handshake.handshake_exc}")
        elif self._handshake.state is State.OPEN:
            # A venue sends nothing before the first request, so no data follows the handshake.
            self._is_websocket = True
            self._opened.set_result(None)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc or "the connection was lost"))

    def close(self) -> None:
        """Ends the connection."""
        if not self.failure:
            self._write(self._frame(b"\x03\xe8", _CLOSE))
        self._end("closed")

    def _end(self, why: str) -> None:
        if self.failure:
            return
        self.failure = why
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        for waiting in (self._opened, self._asked):
            if waiting is not None and not waiting.done():
                waiting.set_exception(ConnectionError(why))
        if not self.done.done():
            self.done.set_result(None)
