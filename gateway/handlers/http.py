"""One HTTP request as a caller: it is answered once, with a status, a body and headers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from engine.reasons import Reason
from gateway.auth.keys import Key
from gateway.auth.usage import AddressUsage
from gateway.dialect import replies
from gateway.dialect.constants import MILLISECONDS, NO_ID
from gateway.dialect.rejects import Reject
from gateway.dialect.requests import Request, query_params, unit_of
from gateway.limits import NAME_CHARACTERS_SHOWN_MAX
from gateway.view.accounts import Account
from gateway.wire.http_side import HttpAnswer, HttpRequest


def http_refusal(reject: Reject, data: Mapping[str, int] | None, *, cancelling: bool = False) -> HttpAnswer:
    """The answer to what is refused.

    Args:
        data: when a limit or a ban ends, as `gateway.handlers.answers.retry_after` gives it; it becomes Retry-After.
    """
    status, body = replies.http_error(reject, cancelling=cancelling)
    if data is None:
        return HttpAnswer(status, body)
    wait_s = (data["retryAfter"] - data["serverTime"]) // 1000 + 1
    return HttpAnswer(status, body, (("Retry-After", str(wait_s)),))


class HttpExchange:
    """A request over HTTP, and where its answer goes.

    Args:
        request: as the wire has read it.
        usage: the request weight of the address.
        respond: takes the answer, now or later.
        address: under which limits and bans count the client.
        ip: the address of the client.
    """

    def __init__(
        self,
        request: HttpRequest,
        usage: AddressUsage,
        respond: Callable[[HttpAnswer], None],
        address: str = "",
        ip: str = "",
    ) -> None:
        self.http = request
        self.usage = usage
        self.address = address
        self.is_alive = True
        self.unit = MILLISECONDS
        self.waiting = 0
        self.queue: deque[Any] = deque()
        self.is_trusted = False
        self.key: Key | None = None
        self.ip = ip
        self.account: Account | None = None
        self._respond = respond

    def read_request(self, method: str) -> Request:
        """The parameters of the URL, and of a form in the body.

        Raises:
            Rejected: a name occurs twice, or the time unit is none.
        """
        params: dict[str, Any] = dict(query_params(self.http.query))
        if self.http.method not in ("GET", "HEAD"):
            # What the URL says counts more than what the form says.
            params = query_params(self.http.body.decode("utf-8", "replace")) | params
        header = self.http.headers.get(b"x-mbx-time-unit", b"").decode("ascii", "replace")
        self.unit = unit_of(header or None)
        return Request(b"", NO_ID, method, params)

    # -- as a Caller

    def trust(self) -> None:
        """One request has one answer, so nothing changes in what may wait."""
        self.is_trusted = True

    def wants_rate_limits(self, params: Mapping[str, Any]) -> bool:
        """Over HTTP a header of each answer has the limits."""
        return False

    def succeed(self, id_text: str, result: str, rate_limits: str) -> None:
        """Answers 200. HTTP has no request ids, so `id_text` is not used."""
        self._answer(HTTPStatus.OK, result.encode())

    def succeed_long(self, id_text: str, pieces: Iterable[str], size_bytes: int, rate_limits: str) -> None:
        """Answers 200 with the whole result: no route that is offered over HTTP has a long one."""
        self.succeed(id_text, "".join(pieces), rate_limits)

    def fail(
        self, id_text: str, reject: Reject, rate_limits: str, *, cancelling: bool, data: dict[str, int] | None = None
    ) -> None:
        """Answers with the status of the reject, and with Retry-After if `data` says when a limit ends."""
        self._answer(*http_refusal(reject, data, cancelling=cancelling))

    def turn_away(self, reject: Reject, data: Mapping[str, int] | None) -> None:
        """Answers as `fail` does, and the connection ends."""
        status, body, headers = http_refusal(reject, data)
        self._answer(status, body, (*headers, ("Connection", "close")))

    # -- what only HTTP can get wrong

    def not_found(self) -> None:
        """Nothing is offered under the path."""
        _, body = replies.http_error(Reject(Reason.UNKNOWN_METHOD, (self.http.path[:NAME_CHARACTERS_SHOWN_MAX],)))
        self._answer(HTTPStatus.NOT_FOUND, body)

    def method_not_allowed(self, allowed: Iterable[str]) -> None:
        """The path is offered, but for other methods."""
        _, body = replies.http_error(Reject(Reason.UNKNOWN_METHOD, (f"{self.http.method} {self.http.path}",)))
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, body, (("Allow", ", ".join(sorted(allowed))),))

    def _answer(self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> None:
        used = ("X-MBX-USED-WEIGHT-1M", str(self.usage.of(self.account).count))
        self._respond(HttpAnswer(status, body, (used, *headers)))
