"""What clients send, as JSON frames or URLs, read into requests and parameters.

orjson reads every frame. It loses how a number was written, so two kinds of frame are read again, by the standard
library with hooks that keep each number's text: signed ones, because the signature is over that text, and those in
which orjson makes an amount a float. Frames with a name twice are refused: two readers could read them differently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from engine.reasons import Reason
from gateway.dialect.constants import INTEGER_RANGE, MICROSECONDS, MILLISECONDS, NO_ID, VERSION_PREFIX
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


def flag_of(params: Mapping[str, Any], name: str, default: bool) -> bool:
    """A truth value, as JSON `false` or as the text "false"."""
    value = params.get(name)
    if value is None:
        return default
    return value is True or (isinstance(value, str) and value.lower() == "true")


def market_of(params: Mapping[str, Any], markets: Mapping[str, MarketNumbers]) -> MarketNumbers:
    """The market of the mandatory parameter `symbol`. Raises Rejected."""
    symbol = params.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise Rejected(Reason.MISSING_PARAMETER, "symbol")
    market = markets.get(symbol)
    if market is None:
        raise Rejected(Reason.UNKNOWN_SYMBOL)
    return market


def symbols_of(params: Mapping[str, Any]) -> list[str] | None:
    """The symbols asked for by `symbol` or `symbols` (a list, or its JSON text in a URL); None for all. Raises Rejected."""
    symbol, symbols = params.get("symbol"), params.get("symbols")
    if symbol is not None and symbols is not None:
        raise Rejected(Reason.PARAMETER_NOT_REQUIRED, "symbols")
    if symbol is not None:
        if not isinstance(symbol, str):
            raise Rejected(Reason.UNKNOWN_SYMBOL)
        return [symbol]
    if isinstance(symbols, str):
        try:
            symbols = orjson.loads(symbols)
        except orjson.JSONDecodeError:
            raise Rejected(Reason.ILLEGAL_CHARACTERS, "symbols", '["A","B"]') from None
    if symbols is None:
        return None
    if type(symbols) is not list or not all(type(name) is str for name in symbols):
        raise Rejected(Reason.INVALID_PARAMETER, "symbols")
    # One name many times would make a long answer out of a short question.
    if len(set(symbols)) != len(symbols):
        raise Rejected(Reason.DUPLICATE_PARAMETER)
    return symbols


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
