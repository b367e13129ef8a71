"""Every reason why the venue refuses a request or ends an order: one enum.

A refusal is data: what leaves an engine is an event with one of these reasons. Inside the reference it travels as the
exception `engine.definitions.Rejected`, on the compiled hot path as a return value. The number goes into the 16-bit
`reason` field of an event, so it is never reused and never changes; the name is what people see in logs and JSON; the
text says what happened, and then what to do.

The numbers come in families:

    1xx  the record itself        the batch or command cannot be read
    2xx  assets and markets       what is named does not exist, exists already, or is halted
    3xx  accounts, keys, money
    4xx  placing an order
    5xx  cancelling an order
    6xx  why an order ended       not refusals: ORDER_CLOSED events carry them
    7xx  the gateway              refused before anything reached the journal
"""

from __future__ import annotations

from enum import IntEnum

from engine.order_types import OrderType, TimeInForce, one_of
from engine.records import CLIENT_ID_BYTES


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

    NONE = 0, "No reason: the command was executed."

    # -- 1xx: the record itself
    MALFORMED_COMMAND = (
        101,
        "The command has fields that do not fit its kind. Build it with engine.records.BatchBuilder.",
    )
    UNKNOWN_COMMAND = 102, "No command of this kind exists in this version. Send a kind that this version knows."

    # -- 2xx: assets and markets
    UNKNOWN_ASSET = 201, "No such asset. See `jibek market list` for the assets you can trade."
    UNKNOWN_MARKET = 202, "No such market. See `jibek market list`."
    ASSET_EXISTS = 203, "An asset of this name exists already, and its scale never changes. Choose another name."
    MARKET_EXISTS = (
        204,
        "A market of this symbol exists already, and its tick and lot never change. Choose another symbol.",
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
    MARKET_HALTED = 209, "The market is halted: you can cancel orders but not place any. Wait until it is resumed."
    VENUE_HALTED = 210, "The venue is halted: you can cancel orders but not place any. Wait until it is resumed."
    TOO_MANY_DEFINITIONS = (
        211,
        "The venue lists as many assets or markets as a record can number. List new ones on another venue.",
    )

    # -- 3xx: accounts, keys, money
    UNKNOWN_ACCOUNT = 301, "No such account. See `jibek account list`."
    ACCOUNT_EXISTS = 302, "An account of this name exists already. Choose another name."
    INVALID_ACCOUNT_NAME = (
        303,
        "An account name has 1 to 32 characters a-z 0-9 . _ - and begins with a letter or digit. Correct the name.",
    )
    ACCOUNT_FROZEN = 304, "The account is frozen. Ask the operator, who can lift it with `jibek account unfreeze`."
    ACCOUNT_NOT_FROZEN = 305, "The account is not frozen: there is nothing to unfreeze. No action is needed."
    KEY_EXISTS = 306, "An API key of this id exists already. Create one with another id."
    UNKNOWN_KEY = 307, "No such API key for this account. See `jibek account show`."
    INVALID_KEY = (
        308,
        (
            "An API key needs an id of 1 to 64 letters or digits, a known type, and for ed25519 a 32-byte public key. "
            "Correct the key."
        ),
    )
    TOO_MANY_KEYS = 309, "The account has as many API keys as it can have. Revoke one first."
    INVALID_AMOUNT = (
        310,
        (
            "The amount must be positive, and all accounts together must stay below 2^62 smallest units of an asset. "
            "Send another amount."
        ),
    )
    INSUFFICIENT_FUNDS = (
        311,
        "The account has not enough available funds. Deposit, cancel an order, or send a smaller amount.",
    )
    WEAK_PUBLIC_KEY = (
        320,
        (
            "The Ed25519 public key is not a point of the curve in its one form, or is one of small order, with which one "
            "signature fits many messages. Make a new pair of keys."
        ),
    )

    INVALID_LIMITS = (
        330,
        (
            "A tier needs a name of 1 to 20 characters a-z 0-9 _ and numbers up to 1,000,000,000; `default` has every "
            "number, and it alone has those that count before anybody logs on. Correct the limits."
        ),
    )
    UNKNOWN_TIER = 331, "No such tier. See `jibek limits list`, or define it with `jibek limits set`."
    TOO_MANY_TIERS = 332, "The venue has as many tiers as it can have. Change one of them instead."
    INVALID_NETWORKS = (
        333,
        (
            "The networks of an API key are at most 16, each with no bits set behind its prefix, in ascending order, each "
            "once. Correct the list."
        ),
    )

    # -- 4xx: placing an order
    INVALID_SIDE = 401, "The side must be buy or sell. Send BUY or SELL."
    INVALID_ORDER_TYPE = (
        402,
        f"The order type must be {one_of([order_type.name for order_type in OrderType])}. Send one of them.",
    )
    INVALID_TIME_IN_FORCE = (
        403,
        (
            f"The order type does not take this time in force: {_times_in_force()}. Send one that it takes, or leave it "
            "out if it takes none."
        ),
    )
    INVALID_SELF_TRADE_MODE = 404, "This market offers no self-trade prevention. Leave the mode out, or send NONE."
    INVALID_PRICE = 405, "The price is outside the limits of the market. See `exchangeInfo`."
    INVALID_QUANTITY = 406, "The quantity is outside the limits of the market. See `exchangeInfo`."
    INVALID_QUOTE_AMOUNT = (
        407,
        (
            "The quote amount does not fit the order. Send either a quantity or a positive quote amount, and a quote "
            f"amount only with {one_of([order_type.name for order_type in OrderType if order_type.terms.by_quote])}."
        ),
    )
    NOTIONAL_TOO_SMALL = (
        408,
        "The notional of the order is below the minimum of the market. See `exchangeInfo`.",
    )
    NOTIONAL_TOO_LARGE = (
        409,
        "The notional of the order is above the maximum of the market. See `exchangeInfo`.",
    )
    INVALID_CLIENT_ID = (
        410,
        f"A client order id has at most {CLIENT_ID_BYTES} bytes and no zero byte inside. Choose another one.",
    )
    DUPLICATE_CLIENT_ID = 411, "An open order of this account already has this client order id. Choose another one."
    TOO_MANY_OPEN_ORDERS = 412, "The account has as many open orders in this market as it can have. Cancel one first."
    WOULD_TAKE = (
        413,
        "The order may only rest, and at this price it would trade at once. Choose a price that does not cross the book.",
    )
    ORDER_ID_IN_USE = 414, "A resting order of this book already has this order id. Choose another one."

    # -- 5xx: cancelling an order
    UNKNOWN_ORDER = (
        501,
        (
            "No open order of this account has this id: it was filled or cancelled, or it never "
            "existed. Send order.status to find out."
        ),
    )
    NO_OPEN_ORDERS = 502, "The account has no open order to cancel. No action is needed."

    CANCEL_RESTRICTED = (
        503,
        (
            "The cancel asks for an order that is not filled, or for one that is filled in part, and this order is not so. "
            "It stays open; leave the restriction out to cancel it all the same."
        ),
    )

    # -- 6xx: why an order ended
    CANCELLED_BY_OWNER = 601, "Cancelled at the owner's request. No action is needed."
    CANCELLED_BY_FREEZE = 602, "Cancelled because the operator froze the account. Ask the operator."
    IOC_REMAINDER_EXPIRED = 603, "IOC: what could not be filled at once expired. Send GTC to let it wait in the book."
    FILL_OR_KILL_EXPIRED = (
        604,
        "FOK: the whole quantity could not be filled at once, so nothing was. Send IOC to fill what is there.",
    )
    MARKET_REMAINDER_EXPIRED = (
        605,
        "MARKET: the book had no more to fill it with, so the remainder expired. Send a LIMIT order to wait for more.",
    )

    FILL_LIMIT = (
        606,
        "The order had as many fills as an order may have at once, so the remainder expired. Send a new order for it.",
    )

    # -- 7xx: the gateway
    INVALID_JSON = 701, "The frame is not a JSON object with the fields id, method and params. Send one object a frame."
    UNKNOWN_METHOD = (
        702,
        "The venue has no such method or path. Check its name; docs/api.md lists all of them.",
    )
    MISSING_PARAMETER = 703, "A mandatory parameter is missing or empty. Send it; the message names it."
    ILLEGAL_CHARACTERS = (
        704,
        "A parameter has characters that it may not have. The message shows which it may; send numbers as plain decimals.",
    )
    TOO_PRECISE = 705, "A number has more decimals than the venue keeps. Round it before sending."
    NUMBER_TOO_LARGE = 706, "A number is larger than the venue can keep. Send a smaller one."
    PARAMETER_NOT_REQUIRED = (
        707,
        "This kind of order does not take this parameter. Leave it out; the message names it.",
    )
    INVALID_PARAMETER = (
        708,
        "A parameter has a value that the venue does not know. Send another; the message names the parameter.",
    )
    EMPTY_PARAMETER = 709, "A parameter is empty. Leave it out or give it a value."
    DUPLICATE_PARAMETER = (
        710,
        "A request has the same name twice, and only one of its values can be meant. Send each name once.",
    )
    UNSUPPORTED_FEATURE = (
        711,
        "This market does not offer this kind of order, or a parameter of it. Leave it out; docs/api.md lists what is offered.",
    )
    UNKNOWN_SYMBOL = 712, "No market has this symbol. See exchangeInfo for all symbols."
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
            "The gateway remembers no order of this account with this id. Check the id and the symbol; the journal has "
            "older orders."
        ),
    )
    CLIENT_ID_MISMATCH = 716, "The order id and the client order id name different orders. Send only one of them."
    INVALID_TIME_UNIT = 717, "The time unit must be MILLISECOND or MICROSECOND. Send one of them, or leave it out."
    INVALID_CANCEL_RESTRICTIONS = (
        718,
        "`cancelRestrictions` must be ONLY_NEW or ONLY_PARTIALLY_FILLED. Send one of them, or leave it out.",
    )
    INVALID_API_KEY_FORMAT = 720, "An API key has 1 to 64 letters or digits. Check the key you send."
    UNAUTHORIZED = (
        721,
        (
            "The API key is unknown, revoked or expired, may not be used from this address, or has no permission for this "
            "method. Ask the operator (`jibek account show`)."
        ),
    )
    LOGON_REQUIRED = 722, "The session is not logged on. Send session.logon first, or sign the request."
    INVALID_SIGNATURE = (
        723,
        (
            "The signature does not belong to these parameters and this API key. Sign all parameters but the "
            "signature, sorted by name, exactly as you send them."
        ),
    )
    OUTSIDE_WINDOW = (
        724,
        "The timestamp is older than recvWindow allows, or than the last time the venue's clocks were set right. Check your clock; `time` gives the venue's.",
    )
    AHEAD_OF_TIME = (
        725,
        ("The timestamp is more than a second ahead of the venue's clock. Check your clock; `time` gives the venue's."),
    )
    WINDOW_TOO_LARGE = 726, "recvWindow is longer than 60,000 milliseconds. Send a shorter one, or none."
    LOGON_NEEDS_ED25519 = 727, "Only an Ed25519 key can log a session on. With an HMAC key, sign each request."
    REPLAYED_REQUEST = (
        728,
        "The venue has already received this signed request. Send a new request with a new timestamp.",
    )
    SUBSCRIPTION_ACTIVE = (
        730,
        "This connection is already subscribed to the account's events. Use that subscription.",
    )
    SUBSCRIPTION_NOT_ACTIVE = (
        731,
        "This connection has no such subscription. Send session.subscriptions to see those it has.",
    )
    TOO_MANY_SUBSCRIPTIONS = 732, "This connection has made as many subscriptions as it may. Open a new connection."
    UNKNOWN_STREAM = 733, "The venue has no such stream. Check its name; names of streams are in lower case."
    INVALID_STREAM_REQUEST = (
        734,
        "The request is not one that stream connections take. Send a method, a list of params, and an id.",
    )
    TOO_MANY_REQUESTS = (
        740,
        "Your address has used up its request weight of this minute. Wait, and use streams instead of polling.",
    )
    TOO_MANY_NEW_ORDERS = (
        741,
        "The account has placed as many orders as it may in this interval. Wait for the next one.",
    )
    TOO_MANY_CONNECTIONS = (
        742,
        (
            "Your address has opened as many connections as it may in five minutes; over TLS, further ones are closed without "
            "an answer. Wait, and keep connections open."
        ),
    )
    BANNED = (
        743,
        (
            "Your address failed too often: wrong signatures, unknown keys, unreadable messages, or requests beyond its limit. "
            "Send nothing until the time that the refusal names; each further ban is twice as long. Over TLS, new connections "
            "are closed without an answer, and streams are refused without a time: wait two minutes, then twice as long each time."
        ),
    )
    SIGNATURE_USED = (
        745,
        "The signature was accepted before, and it opens one door, once. Sign each request with a timestamp of its own.",
    )
    LOGON_WINDOW_TOO_LARGE = (
        746,
        "A logon opens more than any other request, so its recvWindow may be at most 5,000 milliseconds. Send a shorter one.",
    )
    TOO_MANY_ACCOUNT_SUBSCRIPTIONS = (
        747,
        "The account has as many subscriptions as it may have, over all its connections. End one of them first.",
    )
    OVERLOADED = (
        750,
        "The venue has more work than it may queue, or its store is nearly full; it did nothing. Try again later.",
    )
    OUTCOME_UNKNOWN = 751, "No answer came in time. The request may have been executed: send order.status to find out."
    UNAVAILABLE = 752, "The venue cannot serve the request at the moment and did nothing with it. Try again."

    # What a query may be filtered by.
    INVALID_COMBINATION = (
        760,
        "Some of these optional parameters cannot be sent together. Leave one out; docs/api.md says which go together.",
    )
    INTERVAL_TOO_LONG = 761, "There are more than 24 hours between startTime and endTime. Ask for a shorter time."
    INVALID_SYMBOL_STATUS = 762, "`symbolStatus` must be TRADING, HALT or BREAK. Send one of them, or leave it out."
    SYMBOL_STATUS_MISMATCH = 763, "The market is in another state than the request asks for. Leave `symbolStatus` out."

    # Who may come in.
    ORIGIN_REFUSED = (
        780,
        "A web page of another site, or one that found the venue under a strange name, may not connect. "
        "Ask the operator to allow its origin and the name.",
    )
    TOO_MANY_OPEN_CONNECTIONS = (
        781,
        (
            "Your address has as many open connections as it may have at a time; over TLS, further ones are closed without an "
            "answer. Close one, and use one for many requests."
        ),
    )
