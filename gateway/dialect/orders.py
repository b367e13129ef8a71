"""Orders and cancels of requests, as the 128-byte commands of the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from engine.reasons import Reason
from engine.records import (
    AMOUNT_MAX,
    COMMAND,
    NO_CLIENT_ID,
    CommandFlag,
    CommandKind,
    OrderType,
    TimeInForce,
    pack_parts,
)
from gateway.dialect.constants import CLIENT_ID_PATTERN, CLIENT_ID_RANGE, DECIMAL_RANGE, DERIVED_PREFIX
from gateway.dialect.names import ORDER_TYPES, SIDES, TIMES_IN_FORCE
from gateway.dialect.numbers import MarketNumbers, StepTexts, parse_e8
from gateway.dialect.order_names import OrderName, named_in
from gateway.dialect.rejects import Rejected
from gateway.dialect.requests import Request, flag_of, market_of

ChoiceT = TypeVar("ChoiceT")

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
    **{
        name: f"Orders with '{name}'"
        for name in (
            "activatePrice", "activationPrice", "callbackRate", "displayQty", "expireTime", "goodTillDate",
            "maxSlippageBps", "minExecutionQty", "minQty", "positionSide", "priceMatch", "sideEffectType", "strategyId",
            "strategyType",
        )
    },
}  # fmt: skip
"""Each would change or label the order: the dialect's own, and those of its sibling markets that clients send by mistake."""
UNSUPPORTED_FLAGS = ("closePosition", "computeCommissionRates", "hidden", "isIsolated", "postOnly", "reduceOnly")
"""They change nothing where they are false."""
_NEUTRAL = {"positionSide": "BOTH", "priceMatch": "NONE", "sideEffectType": "NO_SIDE_EFFECT"}
"""Values that change nothing."""


def place_order(request: Request, markets: Mapping[str, MarketNumbers], account: int) -> tuple[bytes, str]:
    """The command of an order.place, and the kind of reply that is wanted: ACK, RESULT or FULL.

    Parameters that no dialect knows are ignored. One that would change the order, and is not offered, is refused by name.

    Raises:
        Rejected: the order is not well formed; the first fault is named.
    """
    params = request.params
    market = market_of(params, markets)
    get = params.get
    side = _choice(SIDES, get("side"))
    if side is None:
        raise _wrong(params, "side", Reason.INVALID_SIDE)
    order_type = _choice(ORDER_TYPES, get("type"))
    if order_type is None:
        raise _wrong_type(params)
    if not _RARE_PARAMETERS.isdisjoint(params):
        _check_rare_parameters(params, order_type)
    client_id = NO_CLIENT_ID if get("newClientOrderId") is None else _new_client_id(params)
    response = get("newOrderRespType")
    if response is None:
        response = "FULL" if order_type.terms.full_answer else "ACK"
    elif type(response) is not str or response not in RESPONSES:
        raise Rejected(Reason.INVALID_PARAMETER, "newOrderRespType")
    time_in_force, price_ticks, quantity_lots, quote_amount = _read_terms(request, market, order_type)
    command = _pack_command(
        _ORDER_PLACE, side, order_type, time_in_force, 0, 0, 0, account, market.number, 0,
        price_ticks, quantity_lots, quote_amount, 0, 0, 0, 0, client_id, 0, 0, 0,
    )  # fmt: skip
    return command, response


_ORDER_PLACE = int(CommandKind.ORDER_PLACE)
_pack_command = COMMAND.struct.pack
_RARE_PARAMETERS = frozenset({*UNSUPPORTED_PARAMETERS, *UNSUPPORTED_FLAGS, "stopPrice", "selfTradePreventionMode"})


def _check_rare_parameters(params: Mapping[str, Any], order_type: OrderType) -> None:
    """Refuses each parameter that would change the order and is not offered."""
    for name, feature in UNSUPPORTED_PARAMETERS.items():
        if params.get(name) not in (None, _NEUTRAL.get(name)):
            raise Rejected(Reason.UNSUPPORTED_FEATURE, feature)
    for name in UNSUPPORTED_FLAGS:
        # An order type that never takes is post-only already, and some clients say so.
        if flag_of(params, name, False) and (name != "postOnly" or order_type.terms.takes):
            raise Rejected(Reason.UNSUPPORTED_FEATURE, f"Orders with '{name}'")
    if params.get("stopPrice") is not None:
        raise Rejected(Reason.PARAMETER_NOT_REQUIRED, "stopPrice")
    if params.get("selfTradePreventionMode", "NONE") not in (None, "NONE"):
        raise Rejected(Reason.INVALID_SELF_TRADE_MODE)


_Terms = tuple[int, int, int, int]
"""Time in force, price in ticks, quantity in lots, quote amount in smallest units."""


def _read_terms(request: Request, market: MarketNumbers, order_type: OrderType) -> _Terms:
    """What the order type needs, and nothing that it may not have."""
    params, terms = request.params, order_type.terms
    if not terms.limit and params.get("price") is not None:
        raise Rejected(Reason.PARAMETER_NOT_REQUIRED, "price")
    time_in_force = _time_in_force(params, order_type)
    if not terms.by_quote and params.get("quoteOrderQty") is not None:
        raise Rejected(Reason.PARAMETER_NOT_REQUIRED, "quoteOrderQty")
    price_ticks = _price_ticks(request, market) if terms.limit else 0
    if request.params.get("quoteOrderQty") is not None:
        return time_in_force, price_ticks, 0, _quote_amount(request, market)
    return time_in_force, price_ticks, _quantity_lots(request, market), 0


def _time_in_force(params: Mapping[str, Any], order_type: OrderType) -> int:
    """The time in force; the only one that the type has is never named."""
    choices = TIMES_IN_FORCE[order_type]
    if not choices:
        if params.get("timeInForce") is not None:
            raise Rejected(Reason.PARAMETER_NOT_REQUIRED, "timeInForce")
        return int(TimeInForce.NONE)
    chosen = _choice(choices, params.get("timeInForce"))
    if chosen is None:
        raise _wrong(params, "timeInForce", Reason.INVALID_TIME_IN_FORCE)
    return chosen


def _quantity_lots(request: Request, market: MarketNumbers) -> int:
    return _amount_of(
        request, "quantity", market.lot_e8, market.quantity_texts, Reason.QUANTITY_NOT_ON_LOT, market.quantity_max_e8
    )


def _price_ticks(request: Request, market: MarketNumbers) -> int:
    return _amount_of(
        request, "price", market.tick_e8, market.price_texts, Reason.PRICE_NOT_ON_TICK, market.price_max_e8
    )


def _quote_amount(request: Request, market: MarketNumbers) -> int:
    """`quoteOrderQty`, which replaces a quantity, in smallest units."""
    if request.params.get("quantity") is not None:
        raise Rejected(Reason.PARAMETER_NOT_REQUIRED, "quantity")
    # As large as an amount may be: a market may allow more than fits a price or a quantity.
    maximum_e8 = AMOUNT_MAX * market.quote_e8
    amount_e8 = _amount_of(request, "quoteOrderQty", 1, StepTexts(), Reason.INVALID_QUOTE_AMOUNT, maximum_e8)
    amount, remainder = divmod(amount_e8, market.quote_e8)
    if remainder:
        raise Rejected(Reason.TOO_PRECISE, "quoteOrderQty")
    return amount


def _amount_of(request: Request, name: str, step_e8: int, texts: StepTexts, off_step: Reason, maximum_e8: int) -> int:
    """A mandatory decimal parameter as a whole, positive number of steps of `step_e8`. Raises Rejected."""
    value = request.params.get(name)
    if type(value) is str:
        steps = texts.get(value)
        if steps is not None:
            return steps
    elif type(value) is float:
        request.use_exact_params()
        value = request.params.get(name)
    if value is None or value == "":
        raise Rejected(Reason.MISSING_PARAMETER, name)
    number_e8 = parse_e8(value, maximum_e8)
    if isinstance(number_e8, Reason):
        raise Rejected(number_e8, name, DECIMAL_RANGE)
    steps, remainder = divmod(number_e8, step_e8)
    if steps <= 0 or remainder:
        raise Rejected(off_step, name)
    if type(value) is str:
        texts.remember(value, steps)
    return steps


def _choice(table: Mapping[str, ChoiceT], value: object) -> ChoiceT | None:
    # A number token is a str as well, and no text.
    return table.get(value) if type(value) is str else None


def _wrong(params: Mapping[str, Any], name: str, reason: Reason) -> Rejected:
    """The parameter is missing, or has a value that is not offered."""
    return Rejected(reason) if params.get(name) not in (None, "") else Rejected(Reason.MISSING_PARAMETER, name)


def _wrong_type(params: Mapping[str, Any]) -> Rejected:
    value = params.get("type")
    if type(value) is str and value in UNSUPPORTED_TYPES:
        return Rejected(Reason.UNSUPPORTED_FEATURE, UNSUPPORTED_TYPES[value])
    return _wrong(params, "type", Reason.INVALID_ORDER_TYPE)


def _new_client_id(params: Mapping[str, Any]) -> bytes:
    """The client's own id for an order or a cancel; all zero where it gives none.

    Ids of the derived form are refused: they name the order with that number.
    """
    value = params.get("newClientOrderId")
    if value is None:
        return NO_CLIENT_ID
    if value == "":
        raise Rejected(Reason.EMPTY_PARAMETER, "newClientOrderId")
    if type(value) is not str or CLIENT_ID_PATTERN.fullmatch(value) is None:
        raise Rejected(Reason.ILLEGAL_CHARACTERS, "newClientOrderId", CLIENT_ID_RANGE)
    if value.startswith(DERIVED_PREFIX):
        raise Rejected(Reason.INVALID_PARAMETER, "newClientOrderId")
    return value.encode()


RESTRICTIONS = {"ONLY_NEW": CommandFlag.UNFILLED_ONLY, "ONLY_PARTIALLY_FILLED": CommandFlag.PARTLY_FILLED_ONLY}


def cancel_order(
    params: Mapping[str, Any], market: MarketNumbers, account: int, name: OrderName
) -> tuple[bytes, bytes]:
    """The command of an order.cancel and its blob.

    Raises:
        Rejected: `newClientOrderId` or `cancelRestrictions` is not well formed.
    """
    restrictions = params.get("cancelRestrictions")
    restriction = 0 if restrictions is None else _choice(RESTRICTIONS, restrictions)
    if restriction is None:
        raise Rejected(Reason.INVALID_CANCEL_RESTRICTIONS)
    new_client_id = _new_client_id(params)
    order_id, client_id, flags = named_in(name)
    command = _pack_command(
        CommandKind.ORDER_CANCEL, 0, 0, 0, 0, flags | restriction, 0, account, market.number, order_id,
        0, 0, 0, 0, 0, 0, 0, client_id, 0, 0, 0,
    )  # fmt: skip
    return command, b"" if new_client_id == NO_CLIENT_ID else pack_parts(new_client_id)


def cancel_all(market: MarketNumbers, account: int) -> bytes:
    """The command of an openOrders.cancelAll."""
    return _pack_command(
        CommandKind.ORDER_CANCEL_ALL, 0, 0, 0, 0, 0, 0, account, market.number, 0,
        0, 0, 0, 0, 0, 0, 0, NO_CLIENT_ID, 0, 0, 0,
    )  # fmt: skip
