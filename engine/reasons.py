"""Every reason why the venue refuses a request or ends an order: one enum.

A refusal is data: what leaves an engine is an event with one of these reasons. Inside the reference it travels as the
exception `engine.definitions.Rejected`, on the compiled hot path as a return value. The number goes into the 16-bit
`reason` field of an event, so it is never reused and never changes; the name is what people see in logs and JSON; the
text tells a person what to do.

The numbers come in families:

    1xx  the record itself        the batch or command cannot be read
    2xx  assets and markets       what is named does not exist, exists already, or is halted
    3xx  accounts, keys, money
    4xx  placing an order
    5xx  cancelling an order
    6xx  why an order ended       not refusals: they stand in ORDER_CLOSED events
    7xx  the gateway              refused before anything reached the journal
"""

from __future__ import annotations

from enum import IntEnum

from engine.order_types import OrderType, TimeInForce, one_of


def _times_in_force() -> str:
    """Which times in force each order type takes, as the end of a sentence."""
    types: dict[tuple[TimeInForce, ...], list[str]] = {}
    for order_type in OrderType:
        types.setdefault(order_type.terms.times_in_force, []).append(order_type.name)
    return "; ".join(
        f"{_all_of(names)} {'takes' if len(names) == 1 else 'take'} "
        f"{'none' if times == (TimeInForce.NONE,) else one_of([time.name for time in times])}"
        for times, names in types.items()
    )


def _all_of(words: list[str]) -> str:
    """All words as people write them."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


class Reason(IntEnum):
    """Why a request was refused or an order ended. `reason.text` is the sentence for people."""

    text: str

    def __new__(cls, number: int, text: str = "") -> Reason:
        member = int.__new__(cls, number)
        member._value_ = number
        member.text = text
        return member

    NONE = 0, "No reason: the command was carried out."

    # -- 1xx: the record itself
    MALFORMED_COMMAND = (
        101,
        "The command has fields that do not fit its kind. Build it with engine.records.BatchBuilder.",
    )
    UNKNOWN_COMMAND = 102, "No command of this kind exists in this version. Send a kind that this version knows."

    # -- 2xx: assets and markets
    UNKNOWN_ASSET = 201, "No such asset. See `jibek market list` for the assets that are traded."
    UNKNOWN_MARKET = 202, "No such market. See `jibek market list`."
    ASSET_EXISTS = 203, "An asset of this name exists already; scale never changes once listed. Choose another name."
    MARKET_EXISTS = (
        204,
        "A market of this symbol exists already; tick and lot never change once listed. Choose another symbol.",
    )
    INVALID_ASSET_DEFINITION = (
        205,
        "An asset needs a name of 1 to 10 characters A-Z 0-9 and a scale of 0 to 8 decimals. Correct the definition.",
    )
    INVALID_MARKET_DEFINITION = (
        206,
        (
            "A market needs two different listed assets, a symbol of 1 to 20 characters A-Z 0-9, limits in order, and a tick "
            "and lot whose product is a whole number of the quote asset's smallest unit. Correct the definition; "
            "`jibek up --venue` names each fault."
        ),
    )
    INVALID_FEES = 207, "Fees are whole parts per million from 0 to 100,000. Give a number in that range."
    INVALID_STATE = 208, "A market is either trading (1) or halted (2). Send one of the two."
    MARKET_HALTED = 209, "The market is halted: orders can be cancelled, not placed. Wait until it is resumed."
    VENUE_HALTED = 210, "The venue is halted: orders can be cancelled, not placed. Wait until it is resumed."
    TOO_MANY_DEFINITIONS = (
        211,
        "The venue holds as many assets or markets as a record can number. List new ones in a venue of their own.",
    )

    # -- 3xx: accounts, keys, money
    UNKNOWN_ACCOUNT = 301, "No such account. See `jibek account list`."
    ACCOUNT_EXISTS = 302, "An account of this name exists already. Choose another name."
    INVALID_ACCOUNT_NAME = (
        303,
        "An account name has 1 to 32 characters a-z 0-9 . _ - and begins with a letter or digit. Choose such a name.",
    )
    ACCOUNT_FROZEN = 304, "The account is frozen. Ask the operator; `jibek account unfreeze` lifts it."
    ACCOUNT_NOT_FROZEN = 305, "The account is not frozen: there is nothing to unfreeze. No action is needed."
    KEY_EXISTS = 306, "An API key of this id exists already. Create a new one."
    UNKNOWN_KEY = 307, "No such API key for this account. See `jibek account show`."
    INVALID_KEY = (
        308,
        (
            "An API key needs an id of 1 to 64 letters or digits, a known type, and for ed25519 a 32-byte public key. "
            "Correct the key."
        ),
    )
    TOO_MANY_KEYS = 309, "The account holds as many API keys as are allowed. Revoke one first."
    INVALID_AMOUNT = (
        310,
        (
            "The amount must be positive, and all that is held of an asset must stay below 2^62 smallest units. Give "
            "such an amount."
        ),
    )
    INSUFFICIENT_FUNDS = 311, "The account has not enough available funds. Deposit, cancel an order, or ask for less."

    # -- 4xx: placing an order
    INVALID_SIDE = 401, "The side must be buy or sell. Send BUY or SELL."
    INVALID_ORDER_TYPE = (
        402,
        f"The order type must be {one_of([order_type.name for order_type in OrderType])}. Send one of them.",
    )
    INVALID_TIME_IN_FORCE = (
        403,
        (
            f"The time in force is not one of this order type: {_times_in_force()}. Send one that the type takes, or leave "
            "it out where it takes none."
        ),
    )
    INVALID_SELF_TRADE_MODE = 404, "Self-trade prevention is not offered on this market. Leave it out or ask for NONE."
    INVALID_PRICE = 405, "The price is outside the limits of the market. See `jibek market show`."
    INVALID_QUANTITY = 406, "The quantity is outside the limits of the market. See `jibek market show`."
    INVALID_QUOTE_AMOUNT = (
        407,
        (
            "The quote amount does not fit the order. Give either a quantity or a positive quote amount, and a quote "
            f"amount only with {one_of([order_type.name for order_type in OrderType if order_type.terms.by_quote])}."
        ),
    )
    NOTIONAL_TOO_SMALL = 408, "The value of the order is below the minimum of the market. See `jibek market show`."
    NOTIONAL_TOO_LARGE = 409, "The value of the order is above the maximum of the market. See `jibek market show`."
    INVALID_CLIENT_ID = 410, "A client order id has at most 36 bytes and no zero byte inside. Choose such an id."
    DUPLICATE_CLIENT_ID = 411, "An open order of this account has this client order id. Choose another one."
    TOO_MANY_OPEN_ORDERS = 412, "The account has as many open orders in this market as are allowed. Cancel one first."
    ORDER_ID_IN_USE = 414, "A resting order of this book has this order id. Choose another one."
    WOULD_TAKE = 413, "An order that only rests would match at once. Choose a price that rests."

    # -- 5xx: cancelling an order
    UNKNOWN_ORDER = (
        501,
        (
            "No open order of this account has this id: it was filled, cancelled, or never existed. Ask order.status "
            "what became of it."
        ),
    )
    NO_OPEN_ORDERS = 502, "The account has no open order to cancel. No action is needed."

    # -- 6xx: why an order ended
    CANCELLED_BY_OWNER = 601, "Cancelled at the owner's request. No action is needed."
    CANCELLED_BY_FREEZE = 602, "Cancelled because the account was frozen. Ask the operator."
    IOC_REMAINDER_EXPIRED = 603, "IOC: what could not be filled at once expired. Send GTC for an order that may wait."
    FILL_OR_KILL_EXPIRED = (
        604,
        "FOK: the whole quantity could not be filled at once, so nothing was. Send IOC to take what there is.",
    )
    MARKET_REMAINDER_EXPIRED = (
        605,
        "MARKET: no more could be filled, so the rest expired. Send a LIMIT order to wait for more.",
    )

    FILL_LIMIT = (
        606,
        "The order had as many fills as an order may have at once, so the rest expired. Send a new order for the rest.",
    )

    # -- 7xx: the gateway
    INVALID_JSON = 701, "The frame is not one JSON object with the fields id, method and params. Send such a frame."
    UNKNOWN_METHOD = (
        702,
        "No such method or path is offered here. Check its name; exchangeInfo and the README say what is offered.",
    )
    MISSING_PARAMETER = 703, "A parameter that is needed was not sent, or is empty. Send it; the message names it."
    ILLEGAL_CHARACTERS = 704, "A parameter has characters that it may not have. Send numbers as plain decimals."
    TOO_PRECISE = 705, "A number has more decimals than the venue keeps. Round it before sending."
    NUMBER_TOO_LARGE = 706, "A number is larger than the venue can keep. Send a smaller one."
    PARAMETER_NOT_REQUIRED = (
        707,
        "A parameter was sent that does not belong to this kind of order. Leave it out; the message names it.",
    )
    INVALID_PARAMETER = (
        708,
        "A parameter has a value that is not offered. Send one that is; the message names the parameter.",
    )
    EMPTY_PARAMETER = 709, "A parameter was sent empty. Leave it out or give it a value."
    DUPLICATE_PARAMETER = 710, "A name stands twice in a request, so what is meant is not clear. Send each name once."
    UNSUPPORTED_FEATURE = 711, "This kind of order is not offered on this market. See exchangeInfo for what is."
    UNKNOWN_SYMBOL = 712, "No market has this symbol. Send one that exchangeInfo lists."
    PRICE_NOT_ON_TICK = (
        713,
        "The price is not positive or not a multiple of the market's tick. Round it to `tickSize` of exchangeInfo.",
    )
    QUANTITY_NOT_ON_LOT = (
        714,
        "The quantity is not positive or not a multiple of the market's lot. Round it to `stepSize` of exchangeInfo.",
    )
    ORDER_NOT_FOUND = (
        715,
        (
            "No order of this account has this id among those the gateway remembers. Check the id and the symbol; "
            "older orders stand in the journal."
        ),
    )
    CLIENT_ID_MISMATCH = 716, "The order id and the client order id name two different orders. Send one of the two."
    INVALID_TIME_UNIT = 717, "The time unit is MILLISECOND or MICROSECOND. Send one of the two, or leave it out."
    INVALID_API_KEY_FORMAT = 720, "An API key has 1 to 64 letters or digits. Check the key that is sent."
    UNAUTHORIZED = (
        721,
        (
            "The API key is unknown or revoked, or it has no permission for this method. Check the key with `jibek "
            "account show`."
        ),
    )
    LOGON_REQUIRED = 722, "The session is not logged on. Log on first, or sign the request."
    INVALID_SIGNATURE = (
        723,
        (
            "The signature is not that of these parameters under this API key. Sign all parameters but the signature, "
            "sorted by name, as they are sent."
        ),
    )
    OUTSIDE_WINDOW = 724, "The timestamp is older than recvWindow allows. Check the clock; ask `time` for the venue's."
    AHEAD_OF_TIME = (
        725,
        (
            "The timestamp lies more than a second ahead of the venue's clock. Check the clock; ask `time` for the "
            "venue's."
        ),
    )
    WINDOW_TOO_LARGE = 726, "recvWindow is at most 60,000 milliseconds. Send a smaller one, or none."
    LOGON_NEEDS_ED25519 = 727, "Only an Ed25519 key can log a session on. With an HMAC key, sign each request."
    REPLAYED_REQUEST = 728, "This very signed request was received before. A new request needs a new timestamp."
    SUBSCRIPTION_ACTIVE = (
        730,
        "The account's events are subscribed on this connection already. Use the one that is active.",
    )
    SUBSCRIPTION_NOT_ACTIVE = (
        731,
        "No such subscription is active on this connection. Ask session.subscriptions which are.",
    )
    TOO_MANY_SUBSCRIPTIONS = 732, "The connection has had as many subscriptions as are allowed. Open a new one."
    UNKNOWN_STREAM = 733, "No such stream is offered. Check its name; streams are written in lower case."
    INVALID_STREAM_REQUEST = 734, "A stream request has a method, a list of params, and an id. Send such a request."
    TOO_MANY_REQUESTS = 740, "The request weight of this minute is used up. Wait, and use streams instead of polling."
    TOO_MANY_NEW_ORDERS = 741, "The account has placed as many orders as are allowed in this interval. Wait."
    TOO_MANY_CONNECTIONS = 742, "The address has opened as many connections as are allowed in five minutes. Wait."
    OVERLOADED = (
        750,
        (
            "The venue has as much to do as it may queue, or the store is nearly full; nothing was done. Try again "
            "later."
        ),
    )
    OUTCOME_UNKNOWN = 751, "No answer came in time. The order may have been carried out: ask order.status."
    UNAVAILABLE = 752, "The request cannot be served at the moment; nothing was done. Try again."
