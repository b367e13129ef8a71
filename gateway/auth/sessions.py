"""Who a client is and how much it may ask: sessions, API keys, signatures, time windows, rate limits.

Keys come from the events; the secret of an HMAC key is fetched from the store when it is first needed. A request is
authenticated by the session that was logged on (Ed25519), or by its own key and signature, which override the session's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engine.reasons import Reason
from engine.records import KeyDefinition, KeyType, Permission
from gateway.dialect.numbers import NumberToken, parse_e8, parse_integer
from gateway.dialect.refusals import Refusal, refuse
from gateway.dialect.replies import INTEGER_RANGE, MILLISECONDS
from gateway.dialect.requests import Request, flag_of
from gateway.view.accounts import Account
from gateway.view.feeds import Subscription

AHEAD_MS_MAX = 1000
WINDOW_MS_DEFAULT = 5000
WINDOW_MS_MAX = 60_000
WINDOW_E8_MAX = WINDOW_MS_MAX * 10**8
MICROSECOND_TIMESTAMP_MIN = 10**14
"""A timestamp from here on counts microseconds: as milliseconds it would lie beyond the year 5000."""
API_KEY_LENGTH_MAX = 64
WAITING_FOR_SECRET_MAX = 100
REPLAYS_MAX = 1_000_000
ADDRESSES_MAX = 100_000
"""Addresses whose usage is counted one by one."""


class Session:
    """One WebSocket connection as the dialect sees it. `usage` is that of its address.

    Args:
        send: sends an encoded frame to the client.
        is_api: True on the request path, False on a stream path.
        combined: whether stream messages are wrapped with the name of their stream.
        unit: what microseconds are divided by in the times that are sent.
    """

    __slots__ = (
        "authorized_ms",
        "close",
        "combined",
        "connected_ms",
        "control",
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
        send: Callable[[bytes], None],
        usage: Usage,
        *,
        is_api: bool = True,
        combined: bool = False,
        unit: int = MILLISECONDS,
        shows_rate_limits: bool = True,
        connected_ms: int = 0,
    ) -> None:
        self.send = send
        self.close: Callable[[int, str], None] = lambda code, reason: None
        """Ends the connection with a code."""
        self.is_behind: Callable[[], bool] = lambda: False
        """Whether something waits for the client because it does not read fast enough."""
        self.usage = usage
        self.control = Usage()
        """The requests of a stream connection in the present second."""
        self.is_api = is_api
        self.combined = combined
        self.unit = unit
        self.shows_rate_limits = shows_rate_limits
        self.connected_ms = connected_ms
        self.key: Key | None = None
        self.authorized_ms = 0
        self.streams: dict[str, None] = {}
        self.subscriptions: dict[int, Subscription] = {}
        self.next_subscription_id = 0
        self.waiting = 0
        """Commands of this session that have no answer yet."""
        self.is_alive = True


class Key:
    """An API key. `is_active` ends with its revocation."""

    __slots__ = (
        "account",
        "definition",
        "id",
        "is_active",
        "may_trade",
        "public_key",
        "secret",
        "sessions",
        "verifier",
        "waiting",
    )

    def __init__(self, id: str, account: Account, definition: KeyDefinition, public_key: bytes) -> None:
        self.id = id
        self.account = account
        self.definition = definition
        self.public_key = public_key
        self.verifier: Ed25519PublicKey | None = None
        self.secret: bytes | None = None
        self.is_active = True
        self.may_trade = self.may(Permission.TRADE)
        self.sessions: dict[Session, None] = {}
        """Sessions that are logged on with this key."""
        self.waiting: list[tuple[Session, bytes]] = []
        """Requests that wait for the secret to be fetched."""

    @property
    def is_hmac(self) -> bool:
        return self.definition.key_type == KeyType.HMAC_SHA256

    def may(self, permission: int) -> bool:
        return bool(self.definition.permissions & permission)

    def signature_bytes(self, signature: str) -> bytes:
        """What a signature that verifies says, however it is written: hex in either case, base64 with any spare bits."""
        return bytes.fromhex(signature) if self.is_hmac else base64.b64decode(signature)

    def verifies(self, payload: str, signature: str) -> bool:
        """Whether `signature` is this key's over `payload`. Cost: 2 µs for HMAC, 100 µs for Ed25519."""
        if self.is_hmac:
            assert self.secret is not None
            expected = hmac.digest(self.secret, payload.encode(), hashlib.sha256).hex()
            return hmac.compare_digest(expected.encode(), signature.lower().encode())
        if self.verifier is None:
            self.verifier = Ed25519PublicKey.from_public_bytes(self.public_key)
        try:
            self.verifier.verify(base64.b64decode(signature, validate=True), payload.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


class Keys:
    """All API keys of the venue, by id."""

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self.revoked: Callable[[Key], None] = lambda key: None
        """Called when a key is revoked, while its sessions are still known."""

    def key_added(self, key_id: str, account: Account, definition: KeyDefinition, public_key: bytes) -> None:
        self._keys[key_id] = Key(key_id, account, definition, public_key)

    def key_revoked(self, key_id: str) -> None:
        key = self._keys.pop(key_id, None)
        if key is not None:
            key.is_active = False
            self.revoked(key)

    def find(self, key_id: str) -> Key | Refusal:
        key = self._keys.get(key_id)
        if key is not None:
            return key
        if key_id.isascii() and key_id.isalnum() and len(key_id) <= API_KEY_LENGTH_MAX:
            return refuse(Reason.UNAUTHORIZED)
        return refuse(Reason.INVALID_API_KEY_FORMAT)


# -- signatures


def signature_payload(params: Mapping[str, Any]) -> str | None:
    """The text that is signed: all parameters but the signature, by name, as `name=value` joined by `&`.

    Numbers stand as their sender wrote them (`Request.use_exact_params`). None where a value is no plain value.

    >>> signature_payload({"b": "x", "a": True, "signature": "s"})
    'a=true&b=x'
    """
    return _payload(params, _plain_text)


def _payload(params: Mapping[str, Any], text: Callable[[Any], str | None]) -> str | None:
    pairs = []
    for name in sorted(params):
        if name != "signature":
            value = text(params[name])
            if value is None:
                return None
            pairs.append(f"{name}={value}")
    return "&".join(pairs)


def _plain_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else None


def _python_text(value: Any) -> str | None:
    """The value as clients write it that sign Python's own text of it and not that of the frame."""
    if isinstance(value, NumberToken) and any(sign in value for sign in ".eE"):
        return repr(float(value))
    if isinstance(value, str):
        return value
    return str(value) if value is None or isinstance(value, bool) else None


def is_signed_by(key: Key, params: Mapping[str, Any]) -> bool:
    """Whether the parameters carry the key's signature.

    Some clients sign a number or a truth value in another form than they send. That form is tried second; it is keyed
    all the same, so nobody without the key gains by it.
    """
    signature = params.get("signature")
    if not isinstance(signature, str):
        return False
    payload = _payload(params, _plain_text)
    if payload is None:
        return False
    if key.verifies(payload, signature):
        return True
    other = _payload(params, _python_text)
    return other is not None and other != payload and key.verifies(other, signature)


# -- authentication


class NeedsSecret(NamedTuple):
    """The request can be judged only when the key's secret has been fetched."""

    key: Key


def authenticate(session: Session, request: Request, keys: Keys, now_ms: int) -> Key | Refusal | NeedsSecret:
    """Who sends this request: the key of its signature, or else of the session. Sets the request's `expires_ms`."""
    params = request.params
    if "signature" in params or "apiKey" in params:
        return _authenticate_signed(request, keys, now_ms)
    key = session.key
    if key is None:
        return refuse(Reason.MISSING_PARAMETER, "apiKey")
    refusal = check_window(request, now_ms)
    return key if refusal is None else refusal


def _authenticate_signed(request: Request, keys: Keys, now_ms: int) -> Key | Refusal | NeedsSecret:
    refusal = request.use_exact_params()
    if refusal is not None:
        return refusal
    params = request.params
    for name in ("apiKey", "signature"):
        if not isinstance(params.get(name), str) or not params[name]:
            return refuse(Reason.MISSING_PARAMETER, name)
    key = keys.find(str(params["apiKey"]))
    if isinstance(key, Refusal):
        return key
    refusal = check_window(request, now_ms)
    if refusal is not None:
        return refusal
    if key.is_hmac and key.secret is None:
        return NeedsSecret(key)
    return key if is_signed_by(key, params) else refuse(Reason.INVALID_SIGNATURE)


def check_window(request: Request, now_ms: int) -> Refusal | None:
    """Judges `timestamp` and `recvWindow` against the venue's clock, and notes when the window ends."""
    params = request.params
    value = params.get("timestamp")
    timestamp = value if type(value) is int else parse_integer(value)
    if timestamp is None:
        if value in (None, ""):
            return refuse(Reason.MISSING_PARAMETER, "timestamp")
        return refuse(Reason.ILLEGAL_CHARACTERS, "timestamp", INTEGER_RANGE)
    window_ms = params.get("recvWindow")
    if window_ms is None:
        window_ms = WINDOW_MS_DEFAULT
    elif type(window_ms) is not int or not 0 <= window_ms <= WINDOW_MS_MAX:
        window_ms = _window_ms(request)
        if isinstance(window_ms, Refusal):
            return window_ms
    if timestamp >= MICROSECOND_TIMESTAMP_MIN:
        timestamp //= 1000
    if timestamp >= now_ms + AHEAD_MS_MAX:
        return refuse(Reason.AHEAD_OF_TIME)
    if now_ms - timestamp > window_ms:
        return refuse(Reason.OUTSIDE_WINDOW)
    request.timestamp_ms = timestamp
    request.expires_ms = timestamp + window_ms
    return None


def _window_ms(request: Request) -> int | Refusal:
    """The window in whole milliseconds; up to three decimals may be sent."""
    value = request.params["recvWindow"]
    if type(value) is float:
        refusal = request.use_exact_params()
        if refusal is not None:
            return refusal
        value = request.params["recvWindow"]
    window_e8 = parse_e8(value)
    if isinstance(window_e8, Reason):
        return refuse(Reason.ILLEGAL_CHARACTERS, "recvWindow", r"^[0-9]{1,5}(\.[0-9]{1,3})?$")
    if window_e8 > WINDOW_E8_MAX:
        return refuse(Reason.WINDOW_TOO_LARGE)
    return window_e8 // 10**8


SignedName = tuple[str, bytes]
"""Key id and signature of a request."""


class ReplayGuard:
    """Remembers the signed orders of the last minute, so that a copied frame is not carried out twice.

    Bounded by `REPLAYS_MAX`; when it is full of signatures that still count, signed orders are refused as overloaded.

    A process that is started again knows nothing of what the one before it has taken. So it refuses what that one may
    have seen: whatever was signed before the last order of the earlier process, or, as clocks may run ahead, in the
    second after it. Gateways of different numbers do not know of each other: where a venue has several, an order with a
    client id is refused by the engine while the first one is open.
    """

    def __init__(self, size_max: int = REPLAYS_MAX) -> None:
        self._size_max = size_max
        self._seen: OrderedDict[SignedName, int] = OrderedDict()
        self._known_from_ms = 0

    def seen_by_another(self, time_us: int) -> None:
        """An earlier process of this gateway has taken orders until `time_us`, by the venue's clock."""
        self._known_from_ms = max(self._known_from_ms, time_us // 1000 + AHEAD_MS_MAX)

    def admit(self, key: Key, request: Request, now_ms: int) -> Refusal | None:
        """Notes a signed request; refuses one that was noted before and whose window is still open."""
        return self.admit_name(self.name_of(key, request), request.timestamp_ms, request.expires_ms, now_ms)

    def admit_name(self, name: SignedName, timestamp_ms: int, expires_ms: int, now_ms: int) -> Refusal | None:
        """As `admit`, of a request that is remembered by this name."""
        if timestamp_ms < self._known_from_ms:
            return refuse(Reason.OUTSIDE_WINDOW)
        if self._seen.get(name, -1) >= now_ms:
            return refuse(Reason.REPLAYED_REQUEST)
        while self._seen and (len(self._seen) >= self._size_max or next(iter(self._seen.values())) < now_ms):
            oldest, oldest_expires_ms = next(iter(self._seen.items()))
            if oldest_expires_ms >= now_ms:
                return refuse(Reason.OVERLOADED)
            del self._seen[oldest]
        self._seen[name] = expires_ms
        self._seen.move_to_end(name)
        return None

    @staticmethod
    def name_of(key: Key, request: Request) -> SignedName:
        """What a signed request is remembered by."""
        return key.id, key.signature_bytes(str(request.params["signature"]))

    def forget(self, name: SignedName) -> None:
        """The request was refused and nothing was done: its sender may send it again."""
        self._seen.pop(name, None)


# -- rate limits


class RateLimitSettings(NamedTuple):
    """How much is allowed. The defaults are far above what one client needs, so that a load test measures the venue."""

    weight_per_minute: int = 10_000_000
    """Request weight per address and minute."""
    orders_per_10_s: int = 1_000_000
    """New orders of an account that were not filled."""
    orders_per_day: int = 2_000_000_000
    connections_per_5_min: int = 30_000
    """New connections of an address."""
    stream_messages_per_s: int = 100
    """Requests on one stream connection; one that sends more is closed."""


class Usage:
    """What one name (an address, an account) has used within the present interval. Cost of `add`: a few additions."""

    __slots__ = ("count", "interval")

    def __init__(self) -> None:
        self.interval = -1
        self.count = 0

    def add(self, weight: int, interval: int, limit: int) -> bool:
        """Counts `weight` in the interval of this number; False, and nothing is counted, where that passes the limit."""
        if interval != self.interval:
            self.interval = interval
            self.count = 0
        count = self.count + weight
        if count > limit:
            return False
        self.count = count
        return True


class OrderUsage:
    """The new orders of an account that were not filled, in the present ten seconds and on the present day."""

    __slots__ = ("day", "ten_seconds")

    def __init__(self) -> None:
        self.ten_seconds = Usage()
        self.day = Usage()

    def first_fill(self) -> None:
        """An order was filled, at least in part: it does not count as unfilled any more."""
        for usage in (self.ten_seconds, self.day):
            if usage.count:
                usage.count -= 1


SECOND_MS, TEN_SECONDS_MS, MINUTE_MS, FIVE_MINUTES_MS, DAY_MS = 1_000, 10_000, 60_000, 300_000, 86_400_000


class UsageByAddress:
    """What each address has used in intervals of this length.

    Bounded by `addresses_max`: when there are more, those of past intervals are forgotten, which happens once in an
    interval; where that is not enough, the addresses that are too many share one usage.
    """

    def __init__(self, interval_ms: int, addresses_max: int = ADDRESSES_MAX) -> None:
        self._interval_ms = interval_ms
        self._addresses_max = addresses_max
        self._usages: dict[str, Usage] = {}
        self._others = Usage()
        self._pruned = -1

    def of(self, ip: str, now_ms: int) -> Usage:
        usage = self._usages.get(ip)
        if usage is not None:
            return usage
        present = now_ms // self._interval_ms
        if len(self._usages) >= self._addresses_max and self._pruned != present:
            self._pruned = present
            self._usages = {ip: usage for ip, usage in self._usages.items() if usage.interval == present}
        if len(self._usages) >= self._addresses_max:
            return self._others
        usage = self._usages[ip] = Usage()
        return usage


class RateLimits:
    """The dialect's limits: request weight by address, new orders by account. All intervals begin at whole multiples."""

    def __init__(self, settings: RateLimitSettings) -> None:
        self.settings = settings
        self._weights = UsageByAddress(MINUTE_MS)
        self._connections = UsageByAddress(FIVE_MINUTES_MS)
        self._orders: dict[int, OrderUsage] = {}

    def weight_of(self, ip: str, now_ms: int) -> Usage:
        """The request weight that an address has used in the present minute."""
        return self._weights.of(ip, now_ms)

    def orders_of(self, account: Account) -> OrderUsage:
        usage = self._orders.get(account.number)
        if usage is None:
            usage = self._orders[account.number] = OrderUsage()
        return usage

    def add_weight(self, usage: Usage, weight: int, now_ms: int) -> Refusal | None:
        limit = self.settings.weight_per_minute
        if usage.add(weight, now_ms // MINUTE_MS, limit):
            return None
        return refuse(Reason.TOO_MANY_REQUESTS, str(limit))

    def add_connection(self, ip: str, now_ms: int) -> Refusal | None:
        limit = self.settings.connections_per_5_min
        if self._connections.of(ip, now_ms).add(1, now_ms // FIVE_MINUTES_MS, limit):
            return None
        return refuse(Reason.TOO_MANY_CONNECTIONS, str(limit), "5 MINUTE")

    def may_control(self, session: Session, now_ms: int) -> bool:
        """Whether a stream connection may send one more request in this second."""
        return session.control.add(1, now_ms // SECOND_MS, self.settings.stream_messages_per_s)

    def add_order(self, usage: OrderUsage, now_ms: int) -> Refusal | None:
        settings = self.settings
        if not usage.ten_seconds.add(1, now_ms // TEN_SECONDS_MS, settings.orders_per_10_s):
            return refuse(Reason.TOO_MANY_NEW_ORDERS, str(settings.orders_per_10_s), "10 SECOND")
        if not usage.day.add(1, now_ms // DAY_MS, settings.orders_per_day):
            return refuse(Reason.TOO_MANY_NEW_ORDERS, str(settings.orders_per_day), "1 DAY")
        return None

    def first_fill(self, account: Account) -> None:
        usage = self._orders.get(account.number)
        if usage is not None:
            usage.first_fill()


def wants_rate_limits(session: Session, params: Mapping[str, Any]) -> bool:
    if "returnRateLimits" in params:
        return flag_of(params, "returnRateLimits", True)
    return session.shows_rate_limits
