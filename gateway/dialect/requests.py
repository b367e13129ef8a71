"""What clients send, as JSON frames or URLs, read into requests and parameters.

orjson reads every frame. It loses how a number was written, so two kinds of frame are read again, by the standard
library with hooks that keep each number's text: signed ones, because the signature is over that text, and those in
which orjson makes an amount a float. Frames with a name twice are refused: two readers could read them differently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

from engine.reasons import Reason
from gateway.dialect.constants import (
    INTEGER_RANGE,
    INTERVAL_HOURS_MAX,
    MICROSECOND_TIMESTAMP_MIN,
    MICROSECONDS,
    MILLISECONDS,
    NO_ID,
    VERSION_PREFIX,
)
from gateway.dialect.numbers import MarketNumbers, NumberToken, parse_integer
from gateway.dialect.rejects import Reject, Rejected


class Request:
    """One request of the WebSocket API.

    `params` are as orjson read them until `use_exact_params` puts those with the numbers' own text in their place.
    """

    __slots__ = ("expires_ms", "id_text", "method", "params", "raw")

    def __init__(self, raw: bytes, id_text: str, method: str, params: dict[str, Any]) -> None:
        self.raw = raw
        self.id_text = id_text
        """The id as JSON text, to be given back as it came."""
        self.method = method
        """Without a version prefix."""
        self.params = params
        self.expires_ms = 0
        """When the window of the request's timestamp ends; 0 where it has none."""

    def use_exact_params(self) -> None:
        """Reads the frame again, keeping each number as a NumberToken. Cost: about 8 µs for an order.

        Raises:
            Rejected: DUPLICATE_PARAMETER; INVALID_JSON where only orjson can read the frame.
        """
        try:
            self.params = _EXACT.decode(self.raw.decode()).get("params") or {}
        except _DuplicateName:
            raise Rejected(Reason.DUPLICATE_PARAMETER) from None
        except (ValueError, RecursionError):
            raise Rejected(Reason.INVALID_JSON) from None


class _DuplicateName(Exception):
    """Stays inside this module: the hooks of `json` have no other way to say no."""


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateName
    return members


_EXACT = json.JSONDecoder(
    parse_float=NumberToken, parse_int=NumberToken, parse_constant=NumberToken, object_pairs_hook=_unique_names
)


def check_names(raw: bytes, names: int) -> None:
    """Refuses a JSON object, which orjson has read as `names` names, that has one of them twice.

    Every name is followed by a colon, so with no more colons than names, each name occurs once. That is so for nearly
    every frame, and costs 50 ns; others (a text with a colon, an object in an object) are read again.

    Raises:
        Rejected: DUPLICATE_PARAMETER; INVALID_JSON for a frame nested so deep that only orjson reads it.
    """
    if raw.count(b":") == names:
        return
    try:
        _EXACT.decode(raw.decode())
    except _DuplicateName:
        raise Rejected(Reason.DUPLICATE_PARAMETER) from None
    except (ValueError, RecursionError):
        raise Rejected(Reason.INVALID_JSON) from None


class Unreadable(Exception):
    """A frame is not a request. Its reply carries `reject` under `id_text`."""

    def __init__(self, id_text: str, reject: Reject) -> None:
        super().__init__(id_text, reject)
        self.id_text = id_text
        self.reject = reject


def read_request(raw: bytes) -> Request:
    """The request in a text message of the WebSocket API.

    Raises:
        Unreadable: it is none.
    """
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Unreadable(NO_ID, _INVALID_JSON) from None
    if type(frame) is not dict:
        raise Unreadable(NO_ID, _INVALID_JSON)
    id_text = read_id(frame.get("id"))
    method = frame.get("method")
    params = frame.get("params")
    if id_text is None or type(method) is not str:
        raise Unreadable(id_text or NO_ID, _INVALID_JSON)
    if params is None:
        params = {}
    elif type(params) is not dict:
        raise Unreadable(id_text, _INVALID_JSON)
    try:
        check_names(raw, len(frame) + len(params))
        # Every answer asks for it, also a refusal: so it is judged first.
        flag_of(params, "returnRateLimits", True)
    except Rejected as rejected:
        raise Unreadable(id_text, rejected.reject) from None
    return Request(raw, id_text, method.removeprefix(VERSION_PREFIX), params)


_INVALID_JSON = Reject(Reason.INVALID_JSON)


def read_id(value: object) -> str | None:
    """A request's id as JSON text; None where it is neither a whole number, nor a string, nor null."""
    if type(value) is int:
        return str(value)
    if type(value) is str or value is None:
        return orjson.dumps(value).decode()
    return None


# -- parameters


def integer_of(params: Mapping[str, Any], name: str) -> int | None:
    """A whole-number parameter; None if it was not sent. Raises Rejected."""
    value = params.get(name)
    if value is None:
        return None
    number = parse_integer(value)
    if number is None:
        raise Rejected(Reason.ILLEGAL_CHARACTERS, name, INTEGER_RANGE)
    return number


def limit_of(params: Mapping[str, Any], default: int, maximum: int) -> int:
    """How many entries the parameter `limit` asks for, at most `maximum`.

    Raises:
        Rejected: it is no whole number, or zero.
    """
    limit = integer_of(params, "limit")
    if limit == 0:
        raise Rejected(Reason.INVALID_PARAMETER, "limit")
    return min(default if limit is None else limit, maximum)


class TimeRange(NamedTuple):
    """Both ends belong to it, in microseconds; None: it has no end there."""

    start_us: int | None
    end_us: int | None

    def has(self, time_us: int) -> bool:
        """Whether a time lies in it."""
        return (self.start_us is None or self.start_us <= time_us) and (self.end_us is None or time_us <= self.end_us)


def time_range_of(params: Mapping[str, Any]) -> TimeRange:
    """The range from `startTime` to `endTime`, each in milliseconds or microseconds.

    Raises:
        Rejected: one is no whole number; INTERVAL_TOO_LONG; INVALID_COMBINATION: the end lies before the start.
    """
    start, end = integer_of(params, "startTime"), integer_of(params, "endTime")
    # A time in milliseconds means all of its microseconds.
    start_us = None if start is None else _first_us(start)
    end_us = None if end is None else end if end >= MICROSECOND_TIMESTAMP_MIN else _first_us(end) + MILLISECONDS - 1
    if start_us is not None and end_us is not None:
        if end_us < start_us:
            raise Rejected(Reason.INVALID_COMBINATION)
        if end_us - start_us >= INTERVAL_HOURS_MAX * 3_600_000_000 + MILLISECONDS:
            raise Rejected(Reason.INTERVAL_TOO_LONG, str(INTERVAL_HOURS_MAX))
    return TimeRange(start_us, end_us)


def _first_us(time: int) -> int:
    return time if time >= MICROSECOND_TIMESTAMP_MIN else time * MILLISECONDS


def flag_of(params: Mapping[str, Any], name: str, default: bool) -> bool:
    """A truth value, as JSON `false` or as the text "false", in any case. Raises Rejected where it is neither."""
    value = params.get(name)
    if value is None:
        return default
    if type(value) is bool:
        return value
    flag = _FLAGS.get(value.lower()) if type(value) is str else None
    if flag is None:
        raise Rejected(Reason.INVALID_PARAMETER, name)
    return flag


_FLAGS = {"true": True, "false": False}


def symbol_of(params: Mapping[str, Any]) -> str | None:
    """The parameter `symbol`; None if it was not sent. Raises Rejected where it is empty or no text."""
    symbol = params.get("symbol")
    if symbol is None:
        return None
    if type(symbol) is not str or not symbol:
        raise Rejected(Reason.MISSING_PARAMETER, "symbol")
    return symbol


def market_of(params: Mapping[str, Any], markets: Mapping[str, MarketNumbers]) -> MarketNumbers:
    """The market of the mandatory parameter `symbol`. Raises Rejected."""
    symbol = symbol_of(params)
    if symbol is None:
        raise Rejected(Reason.MISSING_PARAMETER, "symbol")
    market = markets.get(symbol)
    if market is None:
        raise Rejected(Reason.UNKNOWN_SYMBOL)
    return market


def list_of(params: Mapping[str, Any], name: str) -> list[str] | None:
    """A list of texts, or in a URL its JSON text; None if it was not sent. Raises Rejected, also where a text occurs twice."""
    names = params.get(name)
    if type(names) is str:
        try:
            names = orjson.loads(names)
        except orjson.JSONDecodeError:
            raise Rejected(Reason.ILLEGAL_CHARACTERS, name, '["A","B"]') from None
    if names is None:
        return None
    if type(names) is not list or not all(type(text) is str for text in names):
        raise Rejected(Reason.INVALID_PARAMETER, name)
    # One name many times would make a long answer out of a short question.
    if len(set(names)) != len(names):
        raise Rejected(Reason.DUPLICATE_PARAMETER)
    return names


def unit_of(name: str | None) -> int:
    """The time unit asked for in a URL; milliseconds if none is. Raises Rejected."""
    if name is None or name.upper() == "MILLISECOND":
        return MILLISECONDS
    if name.upper() == "MICROSECOND":
        return MICROSECONDS
    raise Rejected(Reason.INVALID_TIME_UNIT)


def query_params(query: str) -> dict[str, str]:
    """The parameters of a URL or of a form. Raises Rejected where a name occurs twice."""
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=None)
    params = dict(pairs)
    if len(params) != len(pairs):
        raise Rejected(Reason.DUPLICATE_PARAMETER)
    return params
