"""Incoming half of the dialect: JSON frames → requests and commands.

orjson reads every frame. It loses how a number was written, so two kinds of frame are read again, by the standard
library with hooks that keep each number's text: signed ones, because the signature is over that text, and those in
which orjson makes an amount a float. Frames with a name twice are refused: two readers could read them differently.

What a client sends wrongly is a `Refusal`, never an exception.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import orjson

from engine.reasons import Reason
from engine.records import COMMAND, NO_CLIENT_ID, CommandKind, OrderType, Side, TimeInForce, pack_parts
from gateway.dialect.numbers import MarketNumbers, NumberToken, StepTexts, parse_e8, parse_integer
from gateway.dialect.refusals import Refusal, refuse
from gateway.dialect.replies import (
    CLIENT_ID_PATTERN,
    CLIENT_ID_RANGE,
    DECIMAL_RANGE,
    INTEGER_RANGE,
    MICROSECONDS,
    MILLISECONDS,
)
from gateway.view.accounts import DERIVED_PREFIX

ChoiceT = TypeVar("ChoiceT")

VERSION_PREFIX = "v3/"
NO_ID = "null"

SIDES = {"BUY": int(Side.BUY), "SELL": int(Side.SELL)}
ORDER_TYPES = {order_type.name: order_type for order_type in OrderType}
TIMES_IN_FORCE = {
    order_type: {time.name: int(time) for time in order_type.terms.times_in_force if time != TimeInForce.NONE}
    for order_type in OrderType
}
"""What `timeInForce` may say, by order type; nothing where the type has no choice."""
RESPONSES = {"ACK", "RESULT", "FULL"}

_TYPES_OF_DIALECT = {
    "STOP_LOSS": "Stop loss orders",
    "STOP_LOSS_LIMIT": "Stop loss limit orders",
    "TAKE_PROFIT": "Take profit orders",
    "TAKE_PROFIT_LIMIT": "Take profit limit orders",
}
UNSUPPORTED_TYPES = {name: feature for name, feature in _TYPES_OF_DIALECT.items() if name not in ORDER_TYPES}
UNSUPPORTED_PARAMETERS = {
    "icebergQty": "Iceberg orders",
    "trailingDelta": "Trailing stop orders",
    "pegPriceType": "Pegged orders",
    "pegOffsetType": "Pegged orders",
    "pegOffsetValue": "Pegged orders",
}


class Request:
    """One request of the WebSocket API.

    `params` are as orjson read them until `use_exact_params` puts those with the numbers' own text in their place.
    """

    __slots__ = ("expires_ms", "id_text", "method", "params", "raw", "timestamp_ms")

    def __init__(self, raw: bytes, id_text: str, method: str, params: dict[str, Any]) -> None:
        self.raw = raw
        self.id_text = id_text
        """The id as JSON text, to be given back as it came."""
        self.method = method
        """Without a version prefix."""
        self.params = params
        self.timestamp_ms = 0
        self.expires_ms = 0
        """When the window of the request's timestamp ends; 0 where it has none."""

    def use_exact_params(self) -> Refusal | None:
        """Reads the frame again, keeping each number as a NumberToken. Cost: about 8 µs for an order."""
        try:
            params = _EXACT.decode(self.raw.decode()).get("params") or {}
        except _DuplicateName:
            return refuse(Reason.DUPLICATE_PARAMETER)
        except (ValueError, RecursionError):
            return refuse(Reason.INVALID_JSON)
        self.params = params
        return None


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


def _check_names(raw: bytes, names: int) -> Refusal | None:
    """Refuses a JSON object, which orjson has read as `names` names, that has one of them twice.

    Every name is followed by a colon, so where there are no more colons than names, each stands once. That is so for
    nearly every frame, and costs 50 ns; others (a text with a colon, an object in an object) are read again.
    """
    if raw.count(b":") == names:
        return None
    try:
        _EXACT.decode(raw.decode())
    except _DuplicateName:
        return refuse(Reason.DUPLICATE_PARAMETER)
    except (ValueError, RecursionError):
        # Nested so deep that only orjson reads it; nothing that is asked for lies that deep.
        return refuse(Reason.INVALID_JSON)
    return None


class Unreadable(NamedTuple):
    """A frame that is no request, and the id to refuse it under."""

    id_text: str
    refusal: Refusal


def read_request(raw: bytes) -> Request | Unreadable:
    """The request in a text message of the WebSocket API."""
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Unreadable(NO_ID, refuse(Reason.INVALID_JSON))
    if type(frame) is not dict:
        return Unreadable(NO_ID, refuse(Reason.INVALID_JSON))
    id_text = read_id(frame.get("id"))
    method = frame.get("method")
    params = frame.get("params")
    if id_text is None or type(method) is not str:
        return Unreadable(id_text or NO_ID, refuse(Reason.INVALID_JSON))
    if params is None:
        params = {}
    elif type(params) is not dict:
        return Unreadable(id_text, refuse(Reason.INVALID_JSON))
    refusal = _check_names(raw, len(frame) + len(params))
    if refusal is not None:
        return Unreadable(id_text, refusal)
    return Request(raw, id_text, method.removeprefix(VERSION_PREFIX), params)


def read_id(value: object) -> str | None:
    """A request's id as JSON text; None where it is neither a whole number, nor a string, nor null."""
    if type(value) is int:
        return str(value)
    if type(value) is str or value is None:
        return orjson.dumps(value).decode()
    return None


# -- parameters


def text_of(params: Mapping[str, Any], name: str) -> str | Refusal:
    """A mandatory text parameter."""
    value = params.get(name)
    if isinstance(value, str) and value:
        return str(value)
    return refuse(Reason.MISSING_PARAMETER, name)


def integer_of(params: Mapping[str, Any], name: str) -> int | Refusal | None:
    """A whole-number parameter; None where it was not sent."""
    value = params.get(name)
    if value is None:
        return None
    number = parse_integer(value)
    return number if number is not None else refuse(Reason.ILLEGAL_CHARACTERS, name, INTEGER_RANGE)


def flag_of(params: Mapping[str, Any], name: str, default: bool) -> bool:
    """A truth value, as JSON `false` or as the text "false"."""
    value = params.get(name)
    if value is None:
        return default
    return value is True or (isinstance(value, str) and value.lower() == "true")


def market_of(params: Mapping[str, Any], markets: Mapping[str, MarketNumbers]) -> MarketNumbers | Refusal:
    """The market of the mandatory parameter `symbol`."""
    symbol = params.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        return refuse(Reason.MISSING_PARAMETER, "symbol")
    market = markets.get(symbol)
    return market if market is not None else refuse(Reason.UNKNOWN_SYMBOL)


def symbols_of(params: Mapping[str, Any]) -> list[str] | Refusal | None:
    """The symbols asked for by `symbol` or `symbols` (a list, or its JSON text in a URL); None where all are."""
    symbol, symbols = params.get("symbol"), params.get("symbols")
    if symbol is not None and symbols is not None:
        return refuse(Reason.PARAMETER_NOT_REQUIRED, "symbols")
    if symbol is not None:
        return [str(symbol)]
    if isinstance(symbols, str):
        try:
            symbols = orjson.loads(symbols)
        except orjson.JSONDecodeError:
            return refuse(Reason.ILLEGAL_CHARACTERS, "symbols", '["A","B"]')
    if symbols is None:
        return None
    if type(symbols) is not list or not all(type(name) is str for name in symbols):
        return refuse(Reason.INVALID_PARAMETER, "symbols")
    # A name again and again would make a long answer out of a short question.
    return symbols if len(set(symbols)) == len(symbols) else refuse(Reason.DUPLICATE_PARAMETER)


def unit_of(name: str | None) -> int | Refusal:
    """The time unit asked for in a URL; milliseconds where none is."""
    if name is None or name.upper() == "MILLISECOND":
        return MILLISECONDS
    if name.upper() == "MICROSECOND":
        return MICROSECONDS
    return refuse(Reason.INVALID_TIME_UNIT)


def query_params(query: str) -> dict[str, str] | Refusal:
    """The parameters of a URL; a name twice is refused."""
    pairs = parse_qsl(query, keep_blank_values=True, errors="replace", max_num_fields=None)
    params = dict(pairs)
    return params if len(params) == len(pairs) else refuse(Reason.DUPLICATE_PARAMETER)


def _amount_of(request: Request, name: str, step_e8: int, texts: StepTexts, off_step: Reason) -> int | Refusal:
    """A mandatory decimal parameter as a whole, positive number of steps of `step_e8`."""
    value = request.params.get(name)
    if type(value) is str:
        steps = texts.get(value)
        if steps is not None:
            return steps
    elif type(value) is float:
        refusal = request.use_exact_params()
        if refusal is not None:
            return refusal
        value = request.params.get(name)
    if value is None or value == "":
        return refuse(Reason.MISSING_PARAMETER, name)
    number_e8 = parse_e8(value)
    if isinstance(number_e8, Reason):
        return refuse(number_e8, name, DECIMAL_RANGE)
    steps, rest = divmod(number_e8, step_e8)
    if steps <= 0 or rest:
        return refuse(off_step, name)
    if type(value) is str:
        texts.remember(value, steps)
    return steps


# -- orders


def place_order(request: Request, markets: Mapping[str, MarketNumbers], account: int) -> tuple[bytes, str] | Refusal:
    """The command of an order.place, and the kind of reply that is wanted: ACK, RESULT or FULL.

    Parameters that the dialect does not know are ignored; known ones that the venue does not offer are refused by name.
    """
    params = request.params
    market = market_of(params, markets)
    if isinstance(market, Refusal):
        return market
    get = params.get
    side = _choice(SIDES, get("side"))
    if side is None:
        return _wrong(params, "side", Reason.INVALID_SIDE)
    order_type = _choice(ORDER_TYPES, get("type"))
    if order_type is None:
        return _wrong_type(params)
    if not _RARE_PARAMETERS.isdisjoint(params):
        refusal = _check_rare_parameters(params)
        if refusal is not None:
            return refusal
    client_id = NO_CLIENT_ID if get("newClientOrderId") is None else _new_client_id(params)
    if isinstance(client_id, Refusal):
        return client_id
    response = get("newOrderRespType")
    if response is None:
        response = "FULL" if order_type.terms.full_answer else "ACK"
    elif not isinstance(response, str) or response not in RESPONSES:
        return refuse(Reason.INVALID_PARAMETER, "newOrderRespType")
    terms = _read_terms(request, market, order_type)
    if isinstance(terms, Refusal):
        return terms
    time_in_force, price_ticks, quantity_lots, quote_amount = terms
    command = _pack_command(
        _ORDER_PLACE, side, order_type, time_in_force, 0, 0, 0, account, market.number, 0,
        price_ticks, quantity_lots, quote_amount, 0, 0, 0, 0, client_id, 0, 0, 0,
    )  # fmt: skip
    return command, response


_ORDER_PLACE = int(CommandKind.ORDER_PLACE)
_pack_command = COMMAND.struct.pack
_RARE_PARAMETERS = frozenset({*UNSUPPORTED_PARAMETERS, "stopPrice", "selfTradePreventionMode"})


def _check_rare_parameters(params: Mapping[str, Any]) -> Refusal | None:
    for name, feature in UNSUPPORTED_PARAMETERS.items():
        if params.get(name) is not None:
            return refuse(Reason.UNSUPPORTED_FEATURE, feature)
    if params.get("stopPrice") is not None:
        return refuse(Reason.PARAMETER_NOT_REQUIRED, "stopPrice")
    if params.get("selfTradePreventionMode", "NONE") not in (None, "NONE"):
        return refuse(Reason.INVALID_SELF_TRADE_MODE)
    return None


_Terms = tuple[int, int, int, int]
"""Time in force, price in ticks, quantity in lots, quote amount in smallest units."""


def _read_terms(request: Request, market: MarketNumbers, order_type: OrderType) -> _Terms | Refusal:
    """What the order type needs, and nothing that it may not have."""
    params, terms = request.params, order_type.terms
    if not terms.limit and params.get("price") is not None:
        return refuse(Reason.PARAMETER_NOT_REQUIRED, "price")
    time_in_force = _time_in_force(params, order_type)
    if isinstance(time_in_force, Refusal):
        return time_in_force
    if not terms.by_quote and params.get("quoteOrderQty") is not None:
        return refuse(Reason.PARAMETER_NOT_REQUIRED, "quoteOrderQty")
    price = _price_ticks(request, market) if terms.limit else 0
    if isinstance(price, Refusal):
        return price
    if request.params.get("quoteOrderQty") is not None:
        quote_amount = _quote_amount(request, market)
        return quote_amount if isinstance(quote_amount, Refusal) else (time_in_force, price, 0, quote_amount)
    quantity = _amount_of(request, "quantity", market.lot_e8, market.quantity_texts, Reason.QUANTITY_NOT_ON_LOT)
    return quantity if isinstance(quantity, Refusal) else (time_in_force, price, quantity, 0)


def _time_in_force(params: Mapping[str, Any], order_type: OrderType) -> int | Refusal:
    """The time in force; the only one that the type has is never named."""
    choices = TIMES_IN_FORCE[order_type]
    if not choices:
        named = params.get("timeInForce") is not None
        return refuse(Reason.PARAMETER_NOT_REQUIRED, "timeInForce") if named else int(TimeInForce.NONE)
    chosen = _choice(choices, params.get("timeInForce"))
    return _wrong(params, "timeInForce", Reason.INVALID_TIME_IN_FORCE) if chosen is None else chosen


def _price_ticks(request: Request, market: MarketNumbers) -> int | Refusal:
    return _amount_of(request, "price", market.tick_e8, market.price_texts, Reason.PRICE_NOT_ON_TICK)


def _quote_amount(request: Request, market: MarketNumbers) -> int | Refusal:
    """`quoteOrderQty`, which stands instead of a quantity, in smallest units."""
    if request.params.get("quantity") is not None:
        return refuse(Reason.PARAMETER_NOT_REQUIRED, "quantity")
    amount_e8 = _amount_of(request, "quoteOrderQty", 1, StepTexts(), Reason.INVALID_QUOTE_AMOUNT)
    if isinstance(amount_e8, Refusal):
        return amount_e8
    amount, remainder = divmod(amount_e8, market.quote_e8)
    return refuse(Reason.TOO_PRECISE, "quoteOrderQty") if remainder else amount


def _choice(table: Mapping[str, ChoiceT], value: object) -> ChoiceT | None:
    return table.get(value) if isinstance(value, str) else None


def _wrong(params: Mapping[str, Any], name: str, reason: Reason) -> Refusal:
    """Missing, or a value that is not offered."""
    return refuse(reason) if params.get(name) not in (None, "") else refuse(Reason.MISSING_PARAMETER, name)


def _wrong_type(params: Mapping[str, Any]) -> Refusal:
    value = params.get("type")
    if isinstance(value, str) and value in UNSUPPORTED_TYPES:
        return refuse(Reason.UNSUPPORTED_FEATURE, UNSUPPORTED_TYPES[value])
    return _wrong(params, "type", Reason.INVALID_ORDER_TYPE)


def _new_client_id(params: Mapping[str, Any]) -> bytes | Refusal:
    """The client's own id for an order or a cancel; all zero where it gives none.

    Ids of the derived form are refused: they name the order with that number.
    """
    value = params.get("newClientOrderId")
    if value is None:
        return NO_CLIENT_ID
    if value == "":
        return refuse(Reason.EMPTY_PARAMETER, "newClientOrderId")
    if not isinstance(value, str) or CLIENT_ID_PATTERN.fullmatch(value) is None:
        return refuse(Reason.ILLEGAL_CHARACTERS, "newClientOrderId", CLIENT_ID_RANGE)
    if value.startswith(DERIVED_PREFIX):
        return refuse(Reason.INVALID_PARAMETER, "newClientOrderId")
    return value.encode()


class OrderName(NamedTuple):
    """How a request names an order: by its id, by its client id, or by both."""

    order_id: int | None
    client: str | None


def order_name(params: Mapping[str, Any]) -> OrderName | Refusal:
    """The order of `orderId` or `origClientOrderId`; a client id of the derived form names the order id in it."""
    order_id = integer_of(params, "orderId")
    if isinstance(order_id, Refusal):
        return order_id
    client = params.get("origClientOrderId")
    if client is not None and (not isinstance(client, str) or CLIENT_ID_PATTERN.fullmatch(client) is None):
        return refuse(Reason.ILLEGAL_CHARACTERS, "origClientOrderId", CLIENT_ID_RANGE)
    if order_id is None and client is None:
        return refuse(Reason.MISSING_PARAMETER, "orderId")
    return OrderName(order_id, str(client) if client is not None else None)


def cancel_order(
    params: Mapping[str, Any], market: MarketNumbers, account: int, name: OrderName
) -> tuple[bytes, bytes] | Refusal:
    """The command of an order.cancel and its blob. `cancelRestrictions` are not offered."""
    if params.get("cancelRestrictions") is not None:
        return refuse(Reason.INVALID_PARAMETER, "cancelRestrictions")
    client_id = _new_client_id(params)
    if isinstance(client_id, Refusal):
        return client_id
    order_id, client = name.order_id or 0, name.client or ""
    derived = client.removeprefix(DERIVED_PREFIX)
    if order_id == 0 and derived != client:
        order_id = parse_integer(derived) or 0
    command = _pack_command(
        CommandKind.ORDER_CANCEL, 0, 0, 0, 0, 0, 0, account, market.number, order_id,
        0, 0, 0, 0, 0, 0, 0, NO_CLIENT_ID if order_id else client.encode(), 0, 0, 0,
    )  # fmt: skip
    return command, b"" if client_id == NO_CLIENT_ID else pack_parts(client_id)


def cancel_all(market: MarketNumbers, account: int) -> bytes:
    """The command of an openOrders.cancelAll."""
    return _pack_command(
        CommandKind.ORDER_CANCEL_ALL, 0, 0, 0, 0, 0, 0, account, market.number, 0,
        0, 0, 0, 0, 0, 0, 0, NO_CLIENT_ID, 0, 0, 0,
    )  # fmt: skip


# -- streams


class StreamRequest(NamedTuple):
    id_text: str
    method: str
    params: list[Any]


def read_stream_request(raw: bytes) -> StreamRequest | Unreadable:
    """The request in a text message on a stream connection."""
    try:
        frame = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Unreadable(NO_ID, refuse(Reason.INVALID_STREAM_REQUEST, "invalid JSON"))
    if type(frame) is not dict:
        return Unreadable(NO_ID, refuse(Reason.INVALID_STREAM_REQUEST, "expected an object"))
    id_text = read_id(frame.get("id"))
    if id_text is None:
        return Unreadable(NO_ID, refuse(Reason.INVALID_STREAM_REQUEST, "id must be an integer, a string or null"))
    method, params = frame.get("method"), frame.get("params")
    if type(method) is not str:
        return Unreadable(id_text, refuse(Reason.INVALID_STREAM_REQUEST, "method must be a string"))
    if params is None:
        params = []
    if type(params) is not list:
        return Unreadable(id_text, refuse(Reason.INVALID_STREAM_REQUEST, "params must be an array"))
    if _check_names(raw, len(frame)) is not None:
        return Unreadable(id_text, refuse(Reason.INVALID_STREAM_REQUEST, "a name stands twice"))
    return StreamRequest(id_text, method, params)
