"""How the dialect says no: for each Reason a status, an error code, and the message that clients know word for word.

Client libraries decide by the text as well as by the code, so the messages are those of the dialect and not those of
`Reason.text`, which are written for operators.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.reasons import Reason
from engine.records import CLIENT_ID_BYTES


class Wording(NamedTuple):
    status: int
    """As in HTTP. Clients compare it to 200."""
    code: int
    message: str
    """Each `{}` is filled with a detail of the reject, mostly the name of a parameter."""


class Reject(NamedTuple):
    """Why a request is refused, and the names or values that fill its message."""

    reason: Reason
    details: tuple[str, ...] = ()


class Rejected(Exception):
    """A request is refused. Every check raises this; only the router answers it.

    Args:
        reason: why.
        details: fill the places of the message in order, as in `Rejected(Reason.MISSING_PARAMETER, "symbol")`.
    """

    def __init__(self, reason: Reason, *details: str) -> None:
        super().__init__(reason, *details)
        self.reject = Reject(reason, details)


_NEW_ORDER = -2010
_CANCEL = -2011
_INVALID_MESSAGE = -1013

WORDINGS: dict[Reason, Wording] = {
    Reason.MALFORMED_COMMAND: Wording(400, -1000, "An unknown error occurred while processing the request."),
    Reason.UNKNOWN_COMMAND: Wording(400, -1000, "An unknown error occurred while processing the request."),
    Reason.UNKNOWN_MARKET: Wording(400, -1121, "Invalid symbol."),
    Reason.MARKET_HALTED: Wording(400, _NEW_ORDER, "Market is closed."),
    Reason.VENUE_HALTED: Wording(400, _NEW_ORDER, "Market is closed."),
    Reason.UNKNOWN_ACCOUNT: Wording(401, -2015, "Invalid API-key, IP, or permissions for action."),
    Reason.ACCOUNT_FROZEN: Wording(400, _NEW_ORDER, "This action is disabled on this account."),
    Reason.INSUFFICIENT_FUNDS: Wording(400, _NEW_ORDER, "Account has insufficient balance for requested action."),
    Reason.INVALID_SIDE: Wording(400, -1117, "Invalid side."),
    Reason.INVALID_ORDER_TYPE: Wording(400, -1116, "Invalid orderType."),
    Reason.INVALID_TIME_IN_FORCE: Wording(400, -1115, "Invalid timeInForce."),
    Reason.INVALID_SELF_TRADE_MODE: Wording(
        400, -1130, "Data sent for parameter 'selfTradePreventionMode' is not valid."
    ),
    Reason.INVALID_PRICE: Wording(400, _INVALID_MESSAGE, "Filter failure: PRICE_FILTER"),
    Reason.INVALID_QUANTITY: Wording(400, _INVALID_MESSAGE, "Filter failure: LOT_SIZE"),
    Reason.INVALID_QUOTE_AMOUNT: Wording(400, _INVALID_MESSAGE, "Filter failure: NOTIONAL"),
    Reason.NOTIONAL_TOO_SMALL: Wording(400, _INVALID_MESSAGE, "Filter failure: NOTIONAL"),
    Reason.NOTIONAL_TOO_LARGE: Wording(400, _INVALID_MESSAGE, "Filter failure: NOTIONAL"),
    Reason.INVALID_CLIENT_ID: Wording(
        400,
        -1100,
        f"Illegal characters found in parameter 'newClientOrderId'; legal range is '^[A-Za-z0-9._:/-]{{1,{CLIENT_ID_BYTES}}}$'.",
    ),
    Reason.DUPLICATE_CLIENT_ID: Wording(400, _NEW_ORDER, "Duplicate order sent."),
    Reason.TOO_MANY_OPEN_ORDERS: Wording(400, _INVALID_MESSAGE, "Filter failure: MAX_NUM_ORDERS"),
    Reason.WOULD_TAKE: Wording(400, _NEW_ORDER, "Order would immediately match and take."),
    Reason.UNKNOWN_ORDER: Wording(400, _CANCEL, "Unknown order sent."),
    Reason.NO_OPEN_ORDERS: Wording(400, _CANCEL, "Unknown order sent."),
    Reason.CANCEL_RESTRICTED: Wording(400, _CANCEL, "Order was not canceled due to cancel restrictions."),
    Reason.INVALID_JSON: Wording(400, -1135, "Invalid JSON Request"),
    Reason.UNKNOWN_METHOD: Wording(400, -1020, "This operation is not supported: {}."),
    Reason.MISSING_PARAMETER: Wording(
        400, -1102, "Mandatory parameter '{}' was not sent, was empty/null, or malformed."
    ),
    Reason.ILLEGAL_CHARACTERS: Wording(400, -1100, "Illegal characters found in parameter '{}'; legal range is '{}'."),
    Reason.TOO_PRECISE: Wording(400, -1111, "Parameter '{}' has too much precision."),
    Reason.NUMBER_TOO_LARGE: Wording(400, -1108, "Parameter '{}' overflowed."),
    Reason.PARAMETER_NOT_REQUIRED: Wording(400, -1106, "Parameter '{}' sent when not required."),
    Reason.INVALID_PARAMETER: Wording(400, -1130, "Data sent for parameter '{}' is not valid."),
    Reason.EMPTY_PARAMETER: Wording(400, -1105, "Parameter '{}' was empty."),
    Reason.DUPLICATE_PARAMETER: Wording(400, -1101, "Duplicate values for a parameter detected."),
    Reason.UNSUPPORTED_FEATURE: Wording(400, _INVALID_MESSAGE, "{} are not supported for this symbol."),
    Reason.UNKNOWN_SYMBOL: Wording(400, -1121, "Invalid symbol."),
    Reason.PRICE_NOT_ON_TICK: Wording(400, _INVALID_MESSAGE, "Filter failure: PRICE_FILTER"),
    Reason.QUANTITY_NOT_ON_LOT: Wording(400, _INVALID_MESSAGE, "Filter failure: LOT_SIZE"),
    Reason.ORDER_NOT_FOUND: Wording(400, -2013, "Order does not exist."),
    Reason.CLIENT_ID_MISMATCH: Wording(400, -2039, "Client order ID is not correct for this order ID."),
    Reason.INVALID_TIME_UNIT: Wording(
        400, -1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND."
    ),
    Reason.INVALID_CANCEL_RESTRICTIONS: Wording(400, -1145, "Invalid cancelRestrictions"),
    Reason.INVALID_API_KEY_FORMAT: Wording(401, -2014, "API-key format invalid."),
    Reason.UNAUTHORIZED: Wording(401, -2015, "Invalid API-key, IP, or permissions for action."),
    Reason.LOGON_REQUIRED: Wording(
        400, -1193, "WebSocket session not authenticated. Recommendation: use `session.logon`"
    ),
    Reason.INVALID_SIGNATURE: Wording(400, -1022, "Signature for this request is not valid."),
    Reason.OUTSIDE_WINDOW: Wording(400, -1021, "Timestamp for this request is outside of the recvWindow."),
    Reason.AHEAD_OF_TIME: Wording(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time."),
    Reason.WINDOW_TOO_LARGE: Wording(400, -1131, "recvWindow must be less than 60000."),
    Reason.LOGON_NEEDS_ED25519: Wording(400, -4056, "HMAC_SHA256 API key is not supported."),
    Reason.REPLAYED_REQUEST: Wording(400, _NEW_ORDER, "Duplicate order sent."),
    Reason.SIGNATURE_USED: Wording(
        400,
        -1022,
        "Signature for this request is not valid: it was used before. Sign each request with a timestamp of its own.",
    ),
    Reason.LOGON_WINDOW_TOO_LARGE: Wording(400, -1131, "recvWindow of session.logon must be at most 5000."),
    Reason.SUBSCRIPTION_ACTIVE: Wording(400, -2035, "User Data Stream subscription already active."),
    Reason.SUBSCRIPTION_NOT_ACTIVE: Wording(400, -2036, "User Data Stream subscription not active."),
    Reason.TOO_MANY_SUBSCRIPTIONS: Wording(400, -2042, "Maximum subscription ID reached for this connection."),
    Reason.TOO_MANY_ACCOUNT_SUBSCRIPTIONS: Wording(
        400, -2042, "Too many subscriptions of this account; current limit is {} over all connections."
    ),
    Reason.UNKNOWN_STREAM: Wording(400, 2, "Invalid request: stream '{}' is not supported"),
    Reason.INVALID_STREAM_REQUEST: Wording(400, 2, "Invalid request: {}"),
    Reason.TOO_MANY_REQUESTS: Wording(
        429,
        -1003,
        "Too much request weight used; current limit is {} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API.",
    ),
    Reason.TOO_MANY_NEW_ORDERS: Wording(429, -1015, "Too many new orders; current limit is {} orders per {}."),
    Reason.TOO_MANY_CONNECTIONS: Wording(
        429, -1034, "Too many connection attempts from IP; current limit is {} per '{}'."
    ),
    Reason.BANNED: Wording(
        418,
        -1003,
        "Way too much request weight used; IP banned until {}. "
        "Please use WebSocket Streams for live updates to avoid bans.",
    ),
    Reason.OVERLOADED: Wording(
        503, -1008, "Server is currently overloaded with other requests. Please try again in a few minutes."
    ),
    Reason.OUTCOME_UNKNOWN: Wording(
        504, -1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    ),
    Reason.UNAVAILABLE: Wording(500, -1001, "Internal error; unable to process your request. Please try again."),
    Reason.INVALID_COMBINATION: Wording(400, -1128, "Combination of optional parameters invalid."),
    Reason.INTERVAL_TOO_LONG: Wording(400, -1127, "More than {} hours between startTime and endTime."),
    Reason.INVALID_SYMBOL_STATUS: Wording(400, -1122, "Invalid symbolStatus."),
    Reason.SYMBOL_STATUS_MISMATCH: Wording(
        400, -1220, "The symbol's status does not match the requested symbolStatus."
    ),
}

_UNKNOWN = Wording(400, -1000, "An unknown error occurred while processing the request.")


def wording(reject: Reject, *, cancelling: bool = False) -> Wording:
    """What to answer. `cancelling` says that the refused request was a cancel: its engine errors are -2011.

    >>> wording(Reject(Reason.MISSING_PARAMETER, ("symbol",))).message
    "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
    """
    status, code, message = WORDINGS.get(reject.reason, _UNKNOWN)
    if cancelling and code == _NEW_ORDER:
        code = _CANCEL
    return Wording(status, code, message.format(*reject.details) if reject.details else message)
