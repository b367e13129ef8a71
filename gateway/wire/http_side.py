"""HTTP/1.1 on one connection, through h11: requests out of bytes, answers into bytes.

No I/O, and no state of the connection beyond the request in hand: `gateway.wire.connection` says what comes of a request. h11
is given little at a time, because what it is given too early it copies with each request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple

import h11

from gateway.limits import HTTP_BYTES_AT_ONCE_MAX, ConnectionLimits
from gateway.wire.request_head import HeadRefused, TakesBody, check_head, is_upgrade, joined_headers

_JSON = ("Content-Type", "application/json;charset=UTF-8")


class HttpRequest(NamedTuple):
    """A complete HTTP request; answer it with `respond`."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes


class HttpAnswer(NamedTuple):
    """What an HTTP request is answered with."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class UpgradeRequest:
    """A client wants a WebSocket; answer it with `accept` or, to refuse, with `respond`."""

    path: str
    query: str
    headers: Mapping[bytes, bytes] = field(default_factory=dict, compare=False, repr=False)


class HttpSide:
    """Reads one request after the other, and writes their answers.

    Args:
        takes_body: which routes take a body; any other request that has one is refused.
    """

    __slots__ = ("_body", "_h11", "_limits", "_raw", "_request", "_takes_body", "head", "is_answering", "is_closed")

    def __init__(self, limits: ConnectionLimits, takes_body: TakesBody) -> None:
        self._limits = limits
        self._takes_body = takes_body
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes_max)
        self._raw = bytearray()
        """What h11 was given since the end of the last request: its beginning is the head in raw form."""
        self._request: h11.Request | None = None
        self._body = bytearray()
        self.head = b""
        """The head of the last request as it came, which an upgrade needs."""
        self.is_answering = False
        """Whether a request was returned that has no answer yet."""
        self.is_closed = False
        """Whether the client has ended its side."""

    @property
    def has_asked(self) -> bool:
        """Whether a request has come."""
        return self._request is not None

    @property
    def has_unread(self) -> bool:
        """Whether h11 was given more than the request in hand."""
        return bool(self._h11.trailing_data[0])

    # -- requests

    def next_request(self, take: Callable[[int], bytes]) -> HttpRequest | UpgradeRequest | None:
        """The next complete request; None if more has to come, or if one is yet to be answered.

        Args:
            take: gives so many further bytes of the client's at most; nothing if all were given.

        Raises:
            HeadRefused, h11.RemoteProtocolError: it cannot be read, or is one that the gateway does not take.
        """
        if self._h11.our_state is h11.ERROR:
            return None
        while not self.is_answering and not self.is_closed:
            if (request := self._read()) is not None:
                return request
            data = take(HTTP_BYTES_AT_ONCE_MAX)
            if not data:
                break
            if self._h11.their_state is not h11.SEND_BODY:
                self._raw += data
            self._h11.receive_data(data)
        return None

    def _read(self) -> HttpRequest | UpgradeRequest | None:
        """The next complete request of what h11 has."""
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return None
            if isinstance(event, h11.Request):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._limits.body_bytes_max:
                    raise HeadRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "")
            elif isinstance(event, h11.EndOfMessage):
                if event.headers:
                    raise HeadRefused(HTTPStatus.BAD_REQUEST, "A body has no trailer")
                return self._complete()
            else:
                assert isinstance(event, h11.ConnectionClosed)
                self.is_closed = True
                return None

    def _begin(self, request: h11.Request) -> None:
        """Judges the head of a request. Raises HeadRefused."""
        self._request = request
        self._body.clear()
        self.head = bytes(self._raw[: len(self._raw) - len(self._h11.trailing_data[0])])
        self._raw.clear()
        if len(self.head) > self._limits.head_bytes_max:
            # h11 bounds only what has not come whole.
            raise HeadRefused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "")
        check_head(self.head, request, self._takes_body, self._limits.body_bytes_max)

    def _complete(self) -> HttpRequest | UpgradeRequest:
        assert self._request is not None
        self._raw = bytearray(self._h11.trailing_data[0])
        self.is_answering = True
        headers = joined_headers(self._request)
        path, _, query = self._request.target.decode("ascii", "replace").partition("?")
        if is_upgrade(headers):
            return UpgradeRequest(path, query, headers)
        return HttpRequest(self._request.method.decode("ascii"), path, query, headers, bytes(self._body))

    # -- answers

    def answer(self, answer: HttpAnswer, *, closes: bool) -> bytes:
        """The bytes of an answer to the request in hand. `goes_on` says whether another request may follow it."""
        assert self._request is not None
        headers = [_JSON, ("Content-Length", str(len(answer.body))), *answer.headers]
        if closes:
            headers.append(("Connection", "close"))
        self.is_answering = False
        return self._sent(
            h11.Response(status_code=answer.status, headers=headers),
            *([] if self._request.method == b"HEAD" else [h11.Data(data=answer.body)]),
            h11.EndOfMessage(),
        )

    def goes_on(self) -> bool:
        """Whether another request may follow the one that was answered; begins to wait for it."""
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return False
        self._h11.start_next_cycle()
        return True

    def last_words(
        self, status: int, body: bytes = b"", more: tuple[tuple[str, str], ...] = (), *, why: str = ""
    ) -> bytes:
        """The bytes of an answer after which the connection is closed; nothing where one was given already.

        Args:
            why: the reason phrase; empty for the usual one.
        """
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return b""
        headers = [_JSON] if body else []
        headers += [("Content-Length", str(len(body))), ("Connection", "close"), *more]
        reason = why or HTTPStatus(status).phrase
        response = h11.Response(status_code=int(status), headers=headers, reason=reason.encode())
        return self._sent(response, h11.Data(data=body), h11.EndOfMessage())

    def _sent(self, *events: h11.Event) -> bytes:
        return b"".join(self._h11.send(event) or b"" for event in events)
