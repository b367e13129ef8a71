"""Who asks: a WebSocket connection as the dialect sees it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from engine.reasons import Reason
from gateway.auth.keys import Key
from gateway.auth.usage import AddressUsage, Usage
from gateway.dialect import replies
from gateway.dialect.constants import MILLISECONDS, NO_ID
from gateway.dialect.rejects import Reject
from gateway.dialect.requests import flag_of
from gateway.view.accounts import Account
from gateway.view.streams.user_data import Subscription
from gateway.wire.frames import encode_text
from gateway.wire.output import LongMessage


class Connection(Protocol):
    """The wire under a session."""

    def send(self, frame: bytes) -> None:
        """Queues an encoded frame."""

    def close(self, code: int, reason: str) -> None:
        """Begins to close the connection."""

    def is_behind(self) -> bool:
        """Whether something waits for the client because it does not read fast enough."""

    def has_ended(self) -> bool:
        """Whether the client has ended the connection, though nothing is read from it."""

    def abort(self) -> None:
        """Ends the connection at once."""

    def is_slice_over(self) -> bool:
        """Whether what the client has sent besides has to wait for its next turn."""

    def hold(self) -> None:
        """Takes nothing more from the client until `go_on`: one of its requests waits. May be called again before that."""

    def go_on(self) -> None: ...

    def send_long(self, message: LongMessage) -> None:
        """Queues a message that is made as the client takes it."""

    def trust(self) -> None:
        """The client has shown a key: more may wait for it."""


class Caller(Protocol):
    """Who asks and gets the answer: a session, or one HTTP request."""

    is_alive: bool
    address: str
    """Under which limits and bans count it (`gateway.wire.addresses.counted_as`)."""
    unit: int
    """What microseconds are divided by in the times that are sent."""
    usage: AddressUsage
    """The request weight of the address."""
    waiting: int
    """Commands that have no answer yet."""
    queue: deque[Any]
    """Commands that have not left yet."""
    key: Key | None
    ip: str
    """The address from which the client speaks."""
    account: Account | None
    """Whose limits hold for the request weight: the account that was authenticated last; None before."""
    is_trusted: bool
    """Whether the connection has shown a key."""

    def trust(self) -> None:
        """A request of the connection has shown a key."""

    def wants_rate_limits(self, params: Mapping[str, Any]) -> bool:
        """Whether the reply to a request with these parameters shows the rate limits."""

    def succeed(self, id_text: str, result: str, rate_limits: str) -> None:
        """Answers a request with its result, which is JSON text."""

    def succeed_long(self, id_text: str, pieces: Iterable[str], size_bytes: int, rate_limits: str) -> None:
        """Answers a request with a long result, which is made as the client takes it. The pieces are JSON text, and hold so
        many bytes until then."""

    def fail(
        self, id_text: str, reject: Reject, rate_limits: str, *, cancelling: bool, data: dict[str, int] | None = None
    ) -> None:
        """Answers a request that is refused."""


class Session:
    """One WebSocket connection as the dialect sees it. `usage` is that of its address.

    Args:
        connection: the wire.
        address: under which limits and bans count the client.
        ip: the address of the client; empty is in no network.
        is_api: True on the request path, False on a stream path.
        combined: whether stream messages are wrapped with the name of their stream.
        unit: what microseconds are divided by in the times that are sent.
    """

    __slots__ = (
        "account",
        "address",
        "authorized_ms",
        "combined",
        "connected_ms",
        "connection",
        "control",
        "held",
        "ip",
        "is_alive",
        "is_api",
        "is_behind",
        "is_trusted",
        "key",
        "next_subscription_id",
        "queue",
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
        usage: AddressUsage,
        *,
        address: str = "",
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
        self.address = address
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
        self.queue: deque[Any] = deque()
        """Those of them that have not left yet."""
        self.held: bytes | None = None
        """The message that waits, for the store or for newer events; those behind it wait in the connection."""
        self.is_trusted = False
        """Whether a request of this connection has shown a key."""
        self.is_alive = True

    def close(self, code: int, reason: str) -> None:
        """Ends the connection with a code. What came behind is not handled any more."""
        self.is_alive = False
        self.connection.close(code, reason)

    # -- a request that waits

    def hold(self, message: bytes) -> None:
        """Keeps a message that must wait. Nothing behind it is handled until `go_on`."""
        assert self.held is None, "one message waits at a time"
        self.held = message
        self.connection.hold()

    def release(self) -> bytes:
        """The message that has waited. Handle it, and then call `go_on`."""
        message, self.held = self.held, None
        assert message is not None
        return message

    def go_on(self) -> None:
        """Goes on with what follows the message that has waited, unless that waits again."""
        if self.held is None:
            self.connection.go_on()

    # -- its key

    def trust(self) -> None:
        """A request of this connection has shown a key, by its signature or by the session's logon."""
        self.is_trusted = True
        self.connection.trust()

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
        return flag_of(params, "returnRateLimits", self.shows_rate_limits)

    def succeed(self, id_text: str, result: str, rate_limits: str) -> None:
        """Answers a request with its result, which is JSON text."""
        if self.is_alive:
            self.send(encode_text(replies.success(id_text, result, rate_limits)))

    def succeed_long(self, id_text: str, pieces: Iterable[str], size_bytes: int, rate_limits: str) -> None:
        """Answers a request with a long result, which is made as the client takes it."""
        if self.is_alive:
            self.connection.send_long(LongMessage(replies.success_pieces(id_text, pieces, rate_limits), size_bytes))

    def fail(
        self, id_text: str, reject: Reject, rate_limits: str, *, cancelling: bool, data: dict[str, int] | None = None
    ) -> None:
        """Answers a request that is refused. `data` are times in milliseconds."""
        if self.is_alive:
            if data is not None:
                data = {name: time_ms * MILLISECONDS // self.unit for name, time_ms in data.items()}
            self.send(encode_text(replies.failure(id_text, reject, rate_limits, cancelling=cancelling, data=data)))
