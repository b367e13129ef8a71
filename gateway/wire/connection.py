"""One client connection without I/O: HTTP first, WebSocket after an upgrade, on one port.

Nothing here knows a socket, a clock or a thread. Its driver

    1. calls `receive_data(data, now_s)` with what came from the network and handles the events it returns, of so many frames
       as it wants at once; while `has_more`, it asks for further ones and reads nothing from the network,
    2. answers with `respond`, `accept`, `send` or `close`,
    3. calls `on_time(now_s)` about once a second,
    4. writes what `take_output()` gives, and then looks at `finished` and `aborted`.

Plain HTTP goes through h11 (`gateway.wire.http_side`). At an upgrade the raw request head goes to `websockets.server.ServerProtocol`, which does the
opening and closing handshakes and judges frames. The rest is done here: joining fragments under a limit, UTF-8, pings and
pongs, timeouts, and a bound on what waits for a slow reader.

A reader is slow if more than a bound has waited for it for a while; a burst that it had no time to take does not make it
slow. A much larger bound ends it at once.

Nearly every frame is a whole text message, a ping or a pong. Such frames are unmasked right here, which costs a fifth of a
pass through ServerProtocol; all others (close frames, fragments, whatever breaks a rule) go to it, always whole, so that it
is at the beginning of a frame whenever a plain one passes it by.

    state       ends by
    HTTP        upgrade · an error answer · open or idle timeout
    UPGRADING   accept · respond (a refusal closes the connection)
    WEBSOCKET   close frame of the client · a broken rule (1002, 1003, 1007, 1009) · no pong (1011) · slow reader (1008)
                · 24 hours (1001)
    CLOSING     close frame of the client · close timeout
    ENDED

Cost of a text message of 200 bytes: about 0.2 µs in; `gateway.wire.frames` does the work in C.
"""

from __future__ import annotations

import os
from base64 import b64encode
from enum import Enum
from http import HTTPStatus

import h11
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State as WebSocketState
from websockets.server import ServerProtocol

from gateway.incidents import Incident
from gateway.limits import (
    CONTROL_FRAME_BYTES_MAX,
    FRAGMENTS_MAX,
    FRAMES_AT_ONCE_MAX,
    OUTPUT_BURST_FACTOR,
    PASSED_OVER_BYTES_MAX,
    ConnectionLimits,
)
from gateway.wire.frames import find_close, take_texts
from gateway.wire.http_side import HttpAnswer, HttpRequest, HttpSide, UpgradeRequest
from gateway.wire.output import LongMessage, OutputQueue
from gateway.wire.request_head import HeadRefused, TakesBody, any_body

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

PING_RANDOM_BYTES = 6
_WHOLE_TEXT, _PING, _PONG = 0x81, 0x89, 0x8A
"""First bytes of frames: FIN, no reserved bit, and the opcode."""


Event = bytes | HttpRequest | UpgradeRequest
"""What a client did. Bytes are a text message, complete and valid UTF-8."""


class ConnectionState(Enum):
    HTTP = "http"
    UPGRADING = "upgrading"
    WEBSOCKET = "websocket"
    CLOSING = "closing"
    ENDED = "ended"


class Conduct:
    """What a client did that is no request and costs all the same."""

    __slots__ = ("broke_rule", "control_frames", "fragments")

    def __init__(self) -> None:
        self.control_frames = 0
        """Pings and pongs."""
        self.fragments = 0
        """Frames that are no whole message."""
        self.broke_rule = False
        """Whether the connection ends because the client broke a rule of HTTP or of the WebSocket protocol."""


class Connection:
    """The state of one connection.

    Args:
        now_s: seconds of a clock that never goes back; every later `now_s` is of the same clock.
        takes_body: which routes take a body; any other request that has one is refused, and the connection closed.
    """

    __slots__ = (
        "_behind_since_s",
        "_burst_bytes_max",
        "_fragments",
        "_fragments_bytes",
        "_http",
        "_in_fragments",
        "_input",
        "_last_activity_s",
        "_next_ping_s",
        "_opened_s",
        "_output_bytes_max",
        "_passed_over_bytes",
        "_pings",
        "_position",
        "_progress_s",
        "_websocket",
        "aborted",
        "conduct",
        "ended_for",
        "finished",
        "has_more",
        "limits",
        "output",
        "state",
    )

    def __init__(self, now_s: float, limits: ConnectionLimits | None = None, takes_body: TakesBody = any_body) -> None:
        self.limits = limits if limits is not None else ConnectionLimits()
        self.state = ConnectionState.HTTP
        self.output = OutputQueue()
        self._output_bytes_max = self.limits.stranger_output_bytes_max
        """What may wait for a while."""
        self._burst_bytes_max = self._output_bytes_max * OUTPUT_BURST_FACTOR
        """What may wait at all."""
        self.conduct: Conduct | None = None
        """What the client did besides asking, since the driver has last taken this away; None: nothing."""
        self.ended_for: Incident | None = None
        """Why this side has ended the connection; None if it has not, or for what the client has asked for."""
        self.has_more = False
        """Whether more events may be had from what came, without anything new from the network."""
        self.finished = False
        """Nothing more will be sent: close the transport once the output is written."""
        self.aborted = False
        """Drop the transport at once, output included."""
        self._http = HttpSide(self.limits, takes_body)
        self._websocket: ServerProtocol | None = None
        self._fragments: list[bytes] = []
        self._fragments_bytes = 0
        self._in_fragments = False
        self._input = b""
        """What came and is yet to be read, from `_position` on: frames, or HTTP that h11 has not been given."""
        self._position = 0
        self._passed_over_bytes = 0
        """What came after this side has ended the connection."""
        self._last_activity_s = now_s
        self._behind_since_s: float | None = None
        """Since when something has been waiting for the reader without a break."""
        self._progress_s = now_s
        """When the reader last took something."""
        self._next_ping_s = 0.0
        self._opened_s = 0.0
        self._pings: dict[bytes, float] = {}
        """Pings without a pong: payload -> when it was sent, or when the client had taken what was before it."""

    # -- from the network

    def receive_data(self, data: bytes, now_s: float, frames_max: int = FRAMES_AT_ONCE_MAX) -> list[Event]:
        """Takes bytes from the network, which may be none, and returns what the client did with them, in order.

        While an `HttpRequest` or `UpgradeRequest` is unanswered, later bytes wait; `respond` and `accept` return their
        events.

        Args:
            frames_max: of so many WebSocket frames at most; `has_more` says whether there may be further ones.
        """
        if data:
            self._input, self._position = self._input[self._position :] + data, 0
        if self.state is ConnectionState.WEBSOCKET:
            return self._receive_frames(frames_max)
        if self.state is ConnectionState.HTTP:
            return self._receive_http(now_s)
        if self.state is ConnectionState.UPGRADING:
            if len(self._input) > self.limits.message_bytes_max:
                self.ended_for = Incident.SENDS_ON
                self.abort()
        else:
            self._pass_over(len(data))
        self.has_more = False
        return []

    def _pass_over(self, size_bytes: int) -> None:
        """Takes what a client sends after this side has ended, which it may have sent before it saw that. Its close frame ends
        the connection; one that goes on for too long is dropped, because reading costs as much as it sends."""
        self._passed_over_bytes += size_bytes
        if self.state is ConnectionState.CLOSING:
            self._position, is_closed = find_close(self._input, self._position)
            if is_closed:
                self.finished = True
                self.state = ConnectionState.ENDED
        else:
            self._input, self._position = b"", 0
        if self._passed_over_bytes > PASSED_OVER_BYTES_MAX:
            self.ended_for = self.ended_for or Incident.SENDS_ON
            self.abort()

    def receive_eof(self) -> None:
        """Takes note that the client will send no more."""
        if self._websocket is not None and self.state is not ConnectionState.UPGRADING:
            self._websocket.receive_eof()
            self._collect()
        self.finished = True
        self.state = ConnectionState.ENDED

    # -- HTTP

    def _receive_http(self, now_s: float) -> list[Event]:
        """The next request, as a list of at most one event."""
        self.has_more = False
        try:
            request = self._http.next_request(self._take_input)
            is_early = self._http.has_unread or self._position < len(self._input)
            if isinstance(request, UpgradeRequest) and is_early:
                raise HeadRefused(HTTPStatus.BAD_REQUEST, "Wait for the answer to an upgrade")
        except h11.RemoteProtocolError as error:
            self._refuse_http(HTTPStatus(error.error_status_hint))
            return []
        except HeadRefused as refused:
            self._refuse_http(refused.status, refused.why)
            return []
        if self._http.is_closed:
            self._end()
        if request is None:
            return []
        self._last_activity_s = now_s
        if isinstance(request, UpgradeRequest):
            self.state = ConnectionState.UPGRADING
        return [request]

    def _take_input(self, size_bytes: int) -> bytes:
        data = self._input[self._position : self._position + size_bytes]
        self._position += len(data)
        return data

    @property
    def is_answering(self) -> bool:
        """Whether a request over HTTP was returned that has no answer yet."""
        return self._http.is_answering

    def respond(self, answer: HttpAnswer, now_s: float) -> list[Event]:
        """Answers the HTTP request that was returned last and returns what follows it."""
        is_upgrade = self.state is ConnectionState.UPGRADING
        if self.state is not ConnectionState.HTTP and not is_upgrade:
            return []
        self._write(self._http.answer(answer, closes=is_upgrade))
        if not self._http.goes_on():
            self._end()
            return []
        return self._receive_http(now_s)

    def turn_away(self, answer: HttpAnswer) -> None:
        """Answers a connection that is not wanted before it asks for anything, and closes."""
        self._end(self._http.last_words(answer.status, answer.body, answer.headers))

    def _refuse_http(self, status: int, why: str = "") -> None:
        """Answers what could not be read as a request, and closes. The reason phrase says why."""
        self._noted().broke_rule = True
        self._input, self._position = b"", 0
        self._end(self._http.last_words(status, why=why))

    def _end(self, last_words: bytes = b"") -> None:
        if last_words:
            self._write(last_words)
        self.finished = True
        self.state = ConnectionState.ENDED

    # -- WebSocket

    def accept(self, now_s: float) -> list[Event]:
        """Accepts the upgrade that was returned last and returns the messages that came meanwhile.

        Where the handshake itself is wrong (key, version), the answer is its HTTP error and the connection ends.
        """
        assert self.state is ConnectionState.UPGRADING
        # The limit for joined fragments is ours and exact. ServerProtocol counts control frames between fragments
        # against its own, so it gets room for one more.
        websocket = ServerProtocol(max_size=self.limits.message_bytes_max + CONTROL_FRAME_BYTES_MAX)
        websocket.receive_data(self._http.head)
        requests = websocket.events_received()
        if not requests:
            self.abort()
            return []
        request = requests[0]
        assert isinstance(request, Request)
        response = websocket.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._noted().broke_rule = True
        websocket.send_response(response)
        self._websocket = websocket
        self.state = ConnectionState.WEBSOCKET
        self._next_ping_s = now_s + self.limits.ping_interval_s
        self._opened_s = now_s
        self._collect()
        self._http.is_answering = False
        return self._receive_frames(FRAMES_AT_ONCE_MAX)

    def _receive_frames(self, frames_max: int) -> list[Event]:
        """The messages of so many frames; frames that are no message count as well."""
        messages: list[Event] = []
        if not self._in_fragments and self.state is ConnectionState.WEBSOCKET:
            self._position = take_texts(
                self._input, self._position, self.limits.message_bytes_max, frames_max, messages
            )
        frames = len(messages)
        while frames < frames_max and self.state is ConnectionState.WEBSOCKET and self._receive_frame(messages):
            frames += 1
        self.has_more = frames == frames_max and self.state is ConnectionState.WEBSOCKET
        return messages

    def _receive_frame(self, messages: list[Event]) -> bool:
        """Takes the next frame from the input; False where it has not come whole."""
        data, position = self._input, self._position
        size = len(data)
        if size - position < 2:
            return False
        start, length = position + 6, data[position + 1] & 127
        if length >= 126:
            start += 2 if length == 126 else 8
            if size < start:
                return False
            length = int.from_bytes(data[position + 2 : start - 4], "big")
        # What is not masked or too large is answered without waiting for the remainder of the frame.
        if data[position + 1] < 128:
            self._receive_unusual(data[position:], messages)
            return False
        if length > self.limits.message_bytes_max:
            self._break(CloseCode.MESSAGE_TOO_BIG, f"over {self.limits.message_bytes_max} bytes")
            return False
        stop = start + length
        if size < stop:
            return False
        self._position = stop
        first = data[position]
        if first == _WHOLE_TEXT and not self._in_fragments:
            message = apply_mask(data[start:stop], data[start - 4 : start])
            if message.isascii() or self._is_utf8(message):
                messages.append(message)
        elif first == _PING and length <= CONTROL_FRAME_BYTES_MAX:
            self._noted().control_frames += 1
            self._write(bytes((_PONG, length)) + apply_mask(data[start:stop], data[start - 4 : start]))
        elif first == _PONG and length <= CONTROL_FRAME_BYTES_MAX:
            self._noted().control_frames += 1
            self._receive_pong(apply_mask(data[start:stop], data[start - 4 : start]))
        else:
            self._receive_unusual(data[position:stop], messages)
        return True

    def _receive_unusual(self, data: bytes, messages: list[Event]) -> None:
        """Passes a frame through ServerProtocol; appends the message that it completes, if it does."""
        websocket = self._websocket
        assert websocket is not None
        websocket.receive_data(data)
        if websocket.parser_exc is not None:
            self._noted().broke_rule = True
        for frame in websocket.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.BINARY:
                self._break(CloseCode.UNSUPPORTED_DATA, "one JSON request per text message")
            elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.CONT:
                joined = self._join(bytes(frame.data), frame.fin)
                if joined is not None:
                    messages.append(joined)
        self._collect()

    def _join(self, data: bytes, is_last: bool) -> bytes | None:
        """Adds a fragment; the whole message once it is complete and valid."""
        self._noted().fragments += 1
        self._fragments.append(data)
        self._fragments_bytes += len(data)
        self._in_fragments = not is_last
        if self._fragments_bytes > self.limits.message_bytes_max:
            self._break(CloseCode.MESSAGE_TOO_BIG, f"over {self.limits.message_bytes_max} bytes")
            return None
        if len(self._fragments) > FRAGMENTS_MAX:
            self._break(CloseCode.POLICY_VIOLATION, f"more than {FRAGMENTS_MAX} fragments")
            return None
        if not is_last:
            return None
        message = b"".join(self._fragments)
        self._fragments.clear()
        self._fragments_bytes = 0
        return message if self._is_utf8(message) else None

    def _is_utf8(self, message: bytes) -> bool:
        """Checks a complete message; fails the connection where it is not UTF-8."""
        try:
            message.decode()
        except UnicodeDecodeError as error:
            self._break(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
            return False
        return True

    def _receive_pong(self, payload: bytes) -> None:
        """A pong answers its ping and all before it. An unsolicited pong proves nothing."""
        if payload in self._pings:
            for ping in list(self._pings):
                del self._pings[ping]
                if ping == payload:
                    break

    def send(self, frame: bytes) -> None:
        """Sends an encoded message (`encode_text`). Does nothing on a connection that is closing."""
        if self.state is ConnectionState.WEBSOCKET:
            self.output.add(frame)
            if self.output.size_bytes > self._burst_bytes_max:
                self.end_slow_reader()

    def send_long(self, message: LongMessage) -> None:
        """Sends a message that is made as the client takes it. Does nothing on a connection that is closing."""
        if self.state is ConnectionState.WEBSOCKET:
            self.output.add_long(message)

    def close(self, code: int, reason: str, now_s: float) -> None:
        """Begins the closing handshake; a connection that is not yet a WebSocket just ends."""
        if self.state is ConnectionState.WEBSOCKET:
            assert self._websocket is not None
            self._websocket.send_close(code, reason)
            self._last_activity_s = now_s
            self._collect()
        elif self.state in (ConnectionState.HTTP, ConnectionState.UPGRADING):
            self.finished = True
            self.state = ConnectionState.ENDED

    def abort(self) -> None:
        """Ends the connection at once. What was not yet sent is dropped."""
        self.aborted = True
        self.finished = True
        self.state = ConnectionState.ENDED
        self.output.clear()

    def _break(self, code: CloseCode, reason: str) -> None:
        """Ends the connection because the client has broken a rule."""
        self._noted().broke_rule = True
        self._fail(code, reason)

    def _noted(self) -> Conduct:
        """Where to note what the client does besides asking."""
        if self.conduct is None:
            self.conduct = Conduct()
        return self.conduct

    def _fail(self, code: CloseCode, reason: str) -> None:
        assert self._websocket is not None
        self._websocket.fail(code, reason)
        self._collect()

    def _collect(self) -> None:
        """Takes over what ServerProtocol wants to send, and its state."""
        websocket = self._websocket
        assert websocket is not None
        for data in websocket.data_to_send():
            if data:
                self._write(data)
            else:
                self.finished = True
        if websocket.state is not WebSocketState.OPEN and self.state is ConnectionState.WEBSOCKET:
            self.state = ConnectionState.CLOSING
        if self.finished:
            self.state = ConnectionState.ENDED

    # -- time and output

    def on_time(self, now_s: float) -> None:
        """Sends the ping that is due and ends what has waited too long."""
        limits = self.limits
        if self.state is ConnectionState.WEBSOCKET:
            assert self._websocket is not None
            if self._is_slow(now_s):
                self.end_slow_reader()
            elif self._is_silent(now_s):
                self.ended_for = Incident.NO_PONG
                self._fail(CloseCode.INTERNAL_ERROR, "no pong in time")
            elif now_s - self._opened_s >= limits.life_s:
                self.close(CloseCode.GOING_AWAY, "open for too long", now_s)
            elif now_s >= self._next_ping_s:
                # Random, so that only who has read the ping can answer it; as 8 characters, which people can compare.
                payload = b64encode(os.urandom(PING_RANDOM_BYTES))
                self._pings[payload] = now_s
                self._next_ping_s = now_s + limits.ping_interval_s
                self._websocket.send_ping(payload)
                self._collect()
        elif self.state is ConnectionState.CLOSING:
            if now_s - self._last_activity_s >= limits.close_timeout_s:
                self.abort()
        elif self.state is ConnectionState.HTTP:
            if self._is_slow(now_s):
                self.ended_for = Incident.SLOW_READER
                self.abort()
            else:
                self._end_idle(now_s)

    def _end_idle(self, now_s: float) -> None:
        """Ends a connection that has neither sent its next request nor taken its answer in time. Also where a request waits for
        its answer: that comes far sooner, unless the client does not read those before."""
        limits, active_s = self.limits, max(self._last_activity_s, self._progress_s)
        if now_s - active_s >= (limits.open_timeout_s if not self._http.has_asked else limits.idle_timeout_s):
            self.ended_for = Incident.IDLE if self._http.has_asked else Incident.NO_REQUEST
            self.finished = True
            self.state = ConnectionState.ENDED

    def _is_silent(self, now_s: float) -> bool:
        """Whether a ping has no pong in time. A ping waits behind what the client takes slowly, so as long as it takes
        something the time does not run; it begins when the client has taken all."""
        if not self._pings:
            return False
        oldest = next(iter(self._pings.values()))
        return now_s - max(oldest, self._progress_s if self.output else oldest) >= self.limits.pong_timeout_s

    def _write(self, data: bytes) -> None:
        self.output.add(data)
        if self.output.size_bytes > self._burst_bytes_max:
            self.end_slow_reader()

    # -- slow readers

    def trust(self) -> None:
        """The client has shown a key: more may wait for it than for a stranger."""
        self._output_bytes_max = self.limits.output_bytes_max
        self._burst_bytes_max = self._output_bytes_max * OUTPUT_BURST_FACTOR

    def _is_slow(self, now_s: float) -> bool:
        """Whether more than the bound has waited for the client for a while."""
        since = self._behind_since_s
        is_over = self.output.size_bytes > self._output_bytes_max
        return is_over and since is not None and now_s - since >= self.limits.slow_reader_s

    def end_slow_reader(self) -> None:
        """Too much waits. All that is queued are whole frames, so a close frame may take their place, if none has left in
        part."""
        if self.state is not ConnectionState.ENDED:
            self.ended_for = Incident.SLOW_READER
        if self.state is ConnectionState.WEBSOCKET and self.output.is_between_frames():
            self.output.clear()
            self._fail(CloseCode.POLICY_VIOLATION, "reading too slowly")
        else:
            self.abort()

    def take_output(self, size_bytes: int, now_s: float) -> list[bytes | memoryview]:
        """What is to be written to the network now, at most so many bytes. Do not ask while the network takes nothing: it is
        kept here."""
        taken = self.output.take(size_bytes)
        self._progress_s = now_s
        if not self.output:
            if self._behind_since_s is not None:
                self._pings = dict.fromkeys(self._pings, now_s)
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = now_s
        return taken
