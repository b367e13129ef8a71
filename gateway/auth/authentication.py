"""Who sends a request: its own key and signature, which override the session's, or else the session's key."""

from __future__ import annotations

from engine.reasons import Reason
from gateway.auth.keys import Key, Keys
from gateway.auth.signatures import is_signed_by
from gateway.dialect.constants import (
    AHEAD_MS_MAX,
    INTEGER_RANGE,
    LOGON_WINDOW_MS_MAX,
    MICROSECOND_TIMESTAMP_MIN,
    WINDOW_MS_DEFAULT,
    WINDOW_MS_MAX,
    WINDOW_PATTERN,
    WINDOW_RANGE,
)
from gateway.dialect.numbers import parse_integer
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import Request


class NeedsSecret(Exception):
    """A request can be judged only when the secret of its key has been fetched."""

    def __init__(self, key: Key) -> None:
        super().__init__(key.id)
        self.key = key


def authenticate(session_key: Key | None, request: Request, keys: Keys, now_ms: int, oldest_ms: int) -> Key:
    """The key that a request is sent with. Sets the request's `expires_ms`.

    Args:
        session_key: the key with which the session is logged on.
        now_ms: the venue's clock.
        oldest_ms: requests with an earlier time are refused, whatever their window.

    Raises:
        Rejected: the key, the signature or the time is missing or wrong; `UnknownKey` if the event of a new key may not have
            come yet.
        NeedsSecret: its key's secret has to be fetched first.
    """
    params = request.params
    if "signature" in params or "apiKey" in params:
        return _authenticate_signed(request, keys, now_ms, oldest_ms)
    if session_key is None:
        raise Rejected(Reason.MISSING_PARAMETER, "apiKey")
    check_window(request, now_ms, oldest_ms)
    return session_key


def authenticate_logon(session_key: Key | None, request: Request, keys: Keys, now_ms: int, oldest_ms: int) -> Key:
    """As `authenticate`, for a logon. The request must carry a signature of its own, by an Ed25519 key; the key that the
    session has already, `session_key`, does not count.

    Raises:
        Rejected: as `authenticate`; LOGON_NEEDS_ED25519: it is an HMAC key; LOGON_WINDOW_TOO_LARGE: its window is longer
            than `LOGON_WINDOW_MS_MAX`.
    """
    params = request.params
    for name in ("apiKey", "signature"):
        if not isinstance(params.get(name), str):
            raise Rejected(Reason.MISSING_PARAMETER, name)
    key = keys.get(params["apiKey"])
    if key is not None and key.is_hmac:
        raise Rejected(Reason.LOGON_NEEDS_ED25519)
    return _authenticate_signed(request, keys, now_ms, oldest_ms, is_logon=True)


def _authenticate_signed(request: Request, keys: Keys, now_ms: int, oldest_ms: int, *, is_logon: bool = False) -> Key:
    request.use_exact_params()
    params = request.params
    for name in ("apiKey", "signature"):
        if type(params.get(name)) is not str or not params[name]:
            raise Rejected(Reason.MISSING_PARAMETER, name)
    key = keys.find(params["apiKey"])
    window_ms = check_window(request, now_ms, oldest_ms)
    if is_logon and window_ms > LOGON_WINDOW_MS_MAX:
        raise Rejected(Reason.LOGON_WINDOW_TOO_LARGE)
    if key.is_hmac and key.secret is None:
        raise NeedsSecret(key)
    if not is_signed_by(key, params):
        raise Rejected(Reason.INVALID_SIGNATURE)
    return key


def check_window(request: Request, now_ms: int, oldest_ms: int) -> int:
    """Judges `timestamp` and `recvWindow` against the venue's clock and the oldest time that is taken, and notes when the window
    ends. Returns the window in milliseconds. Raises Rejected."""
    params = request.params
    value = params.get("timestamp")
    timestamp = parse_integer(value)
    if timestamp is None:
        if value in (None, ""):
            raise Rejected(Reason.MISSING_PARAMETER, "timestamp")
        raise Rejected(Reason.ILLEGAL_CHARACTERS, "timestamp", INTEGER_RANGE)
    window_ms = params.get("recvWindow")
    if window_ms is None:
        window_ms = WINDOW_MS_DEFAULT
    elif type(window_ms) is not int or not 0 < window_ms <= WINDOW_MS_MAX:
        window_ms = _window_ms(request)
    if timestamp >= MICROSECOND_TIMESTAMP_MIN:
        timestamp //= 1000
    if timestamp >= now_ms + AHEAD_MS_MAX:
        raise Rejected(Reason.AHEAD_OF_TIME)
    if now_ms - timestamp > window_ms or timestamp < oldest_ms:
        raise Rejected(Reason.OUTSIDE_WINDOW)
    request.expires_ms = timestamp + window_ms
    return window_ms


def _window_ms(request: Request) -> int:
    """The window in whole milliseconds, of a text or number that is written as `WINDOW_RANGE` says. Raises Rejected."""
    if not isinstance(request.params["recvWindow"], str):
        request.use_exact_params()
    value = request.params["recvWindow"]
    found = WINDOW_PATTERN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Rejected(Reason.ILLEGAL_CHARACTERS, "recvWindow", WINDOW_RANGE)
    whole, decimals = found.groups()
    is_above_whole = decimals is not None and int(decimals) > 0
    if int(whole) + is_above_whole > WINDOW_MS_MAX:
        raise Rejected(Reason.WINDOW_TOO_LARGE)
    return int(whole)
