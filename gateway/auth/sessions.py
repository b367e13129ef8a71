"""Who asks: a WebSocket connection as the dialect sees it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from engine.reasons import Reason
from gateway.auth.keys import Key
from gateway.auth.rate_limits import Usage
from gateway.dialect import replies
from gateway.dialect.constants import MILLISECONDS, NO_ID
from gateway.dialect.rejects import Reject
from gateway.dialect.requests import flag_of
from gateway.view.accounts import Account
from gateway.view.streams.user_data import Subscription
from gateway.wire.frames import encode_text


class Connection(Protocol):
    """The wire under a session."""

    def send(self, frame: bytes) -> None:
        """Queues an encoded frame."""

    def close(self, code: int, reason: str) -> None:
        """Begins to close the connection."""

    def is_behind(self) -> bool:
        """Whether something waits for the client because it does not read fast enough."""

    def pause_reading(self) -> None:
        """Takes nothing more from the client until `resume_reading`."""

    def resume_reading(self) -> None: ...


class Caller(Protocol):
    """Who asks and gets the answer: a session, or one HTTP request."""

    is_alive: bool
    unit: int
    """What microseconds are divided by in the times that are sent."""
    usage: Usage
    """The request weight of the address."""
    waiting: int
    """Commands that have no answer yet."""
    key: Key | None
    ip: str
    """The address from which the client speaks."""
    account: Account | None
    """Whose limits hold for the request weight: the account that was authenticated last; None before."""

    def wants_rate_limits(self, params: Mapping[str, Any]) -> bool:
        """Whether the reply to a request with these parameters shows the rate limits."""

    def succeed(self, id_text: str, result: str, rate_limits: str) -> None:
        """Answers a request with its result, which is JSON text."""

    def fail(
        self, id_text: str, reject: Reject, rate_limits: str, *, cancelling: bool, data: dict[str, int] | None = None
    ) -> None:
        """Answers a request that is refused."""


class Session:
    """One WebSocket connection as the dialect sees it. `usage` is that of its address.

    Args:
        connection: the wire.
        ip: the address of the client; empty is in no network.
        is_api: True on the request path, False on a stream path.
        combined: whether stream messages are wrapped with the name of their stream.
        unit: what microseconds are divided by in the times that are sent.
    """

    __slots__ = (
        "account",
        "authorized_ms",
        "backlog",
        "combined",
        "connected_ms",
        "connection",
        "control",
        "ip",
        "is_alive",
        "is_api",
        "is_behind",
        "key",
        "next_subscription_id",
        "send",
        "shows_rate_limits",
        "streams",
        "subscriptions",
        "unit",
        "usage",
        "waiting",
    )

    def __init__(
        self,
        connection: Connection,
        usage: Usage,
        *,
        ip: str = "",
        is_api: bool = True,
        combined: bool = False,
        unit: int = MILLISECONDS,
        shows_rate_limits: bool = True,
        connected_ms: int = 0,
    ) -> None:
        self.connection = connection
        self.send: Callable[[bytes], None] = connection.send
        self.is_behind: Callable[[], bool] = connection.is_behind
        self.usage = usage
        self.ip = ip
        self.control = Usage()
        """The requests of a stream connection in the present second."""
        self.is_api = is_api
        self.combined = combined
        self.unit = unit
        self.shows_rate_limits = shows_rate_limits
        self.connected_ms = connected_ms
        self.key: Key | None = None
        self.account: Account | None = None
        self.authorized_ms = 0
        self.streams: dict[str, None] = {}
        self.subscriptions: dict[int, Subscription] = {}
        self.next_subscription_id = 0
        self.waiting = 0
        """Commands of this session that have no answer yet."""
        self.backlog: deque[bytes] | None = None
        """While the first of these messages waits for a secret or for newer events, it and those behind it; else None."""
        self.is_alive = True

    def close(self, code: int, reason: str) -> None:
        """Ends the connection with a code."""
        self.connection.close(code, reason)

    # -- a request that waits

    def hold(self, message: bytes) -> None:
        """Keeps a message that must wait. Nothing more is read from the client, so what can pile up behind it is what
        came with it in one read."""
        assert self.backlog is None
        self.backlog = deque((message,))
        self.connection.pause_reading()

    def release(self) -> deque[bytes]:
        """Ends the wait; the messages to go on with, in order."""
        backlog, self.backlog = self.backlog, None
        assert backlog is not None
        self.connection.resume_reading()
        return backlog

    # -- its key

    def log_on(self, key: Key, now_ms: int) -> None:
        """Logs the session on with a key. The key it had before is logged off."""
        self.log_off()
        self.key = key
        self.account = key.account
        key.sessions[self] = None
        self.authorized_ms = now_ms

    def log_off(self) -> None:
        """Takes the key from the session; its subscriptions stay. Changes nothing if it has none."""
        if self.key is not None:
            self.key.sessions.pop(self, None)
            self.key = None
            self.account = None
            self.authorized_ms = 0

    def key_revoked(self) -> None:
        """Logs the session off, and says so to the client."""
        self.log_off()
        self.fail(NO_ID, Reject(Reason.UNAUTHORIZED), "", cancelling=False)

    # -- answers

    def wants_rate_limits(self, params: Mapping[str, Any]) -> bool:
        """Whether the reply to a request with these parameters shows the rate limits."""
        if "returnRateLimits" in params:
            return flag_of(params, "returnRateLimits", True)
        return self.shows_rate_limits

    def succeed(self, id_text: str, result: str, rate_limits: str) -> None:
        """Answers a request with its result, which is JSON text."""
        if self.is_alive:
            self.send(encode_text(replies.success(id_text, result, rate_limits)))

    def fail(
        self, id_text: str, reject: Reject, rate_limits: str, *, cancelling: bool, data: dict[str, int] | None = None
    ) -> None:
        """Answers a request that is refused."""
        if self.is_alive:
            self.send(encode_text(replies.failure(id_text, reject, rate_limits, cancelling=cancelling, data=data)))
