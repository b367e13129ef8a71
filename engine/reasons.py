"""Every reason why the venue refuses a request or ends an order: one enum.

A refusal is a value, never an exception. The number goes into the 16-bit `reason` field of an event, so it is never
reused and never changes; the name is what people see in logs and JSON; the text tells a person what to do.

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


class Reason(IntEnum):
    """Why a request was refused or an order ended. `reason.text` is the sentence for people."""

    text: str

    def __new__(cls, number: int, text: str) -> Reason:
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
    UNKNOWN_COMMAND = 102, "No command of this kind exists in this version."

    # -- 2xx: assets and markets
    UNKNOWN_ASSET = 201, "No such asset. See `jibek market list` for the assets that are traded."
    UNKNOWN_MARKET = 202, "No such market. See `jibek market list`."
    ASSET_EXISTS = 203, "An asset of this name exists already; scale never changes once listed."
    MARKET_EXISTS = 204, "A market of this symbol exists already; tick and lot never change once listed."
    INVALID_ASSET_DEFINITION = (
        205,
        "An asset needs a name of 1 to 10 characters A-Z 0-9 and a scale of 0 to 8 decimals.",
    )
    INVALID_MARKET_DEFINITION = (
        206,
        (
            "A market needs two different listed assets, a symbol of 1 to 20 characters A-Z 0-9, limits in order, and a tick "
            "and lot whose product is a whole number of the quote asset's smallest unit."
        ),
    )
    INVALID_FEES = 207, "Fees are whole parts per million from 0 to 100,000."
    INVALID_STATE = 208, "A market is either trading (1) or halted (2)."
    MARKET_HALTED = 209, "The market is halted: orders can be cancelled, not placed. Wait until it is resumed."
    VENUE_HALTED = 210, "The venue is halted: orders can be cancelled, not placed. Wait until it is resumed."
    TOO_MANY_DEFINITIONS = 211, "The venue holds as many assets or markets as a record can number."

    # -- 3xx: accounts, keys, money
    UNKNOWN_ACCOUNT = 301, "No such account. See `jibek account list`."
    ACCOUNT_EXISTS = 302, "An account of this name exists already. Choose another name."
    INVALID_ACCOUNT_NAME = (
        303,
        "An account name has 1 to 32 characters a-z 0-9 . _ - and begins with a letter or digit.",
    )
    ACCOUNT_FROZEN = 304, "The account is frozen. Ask the operator; `jibek account unfreeze` lifts it."
    ACCOUNT_NOT_FROZEN = 305, "The account is not frozen: there is nothing to unfreeze."
    KEY_EXISTS = 306, "An API key of this id exists already. Create a new one."
    UNKNOWN_KEY = 307, "No such API key for this account. See `jibek account show`."
    INVALID_KEY = (
        308,
        "An API key needs an id of 1 to 64 letters or digits, a known type, and for ed25519 a 32-byte public key.",
    )
    TOO_MANY_KEYS = 309, "The account holds as many API keys as are allowed. Revoke one first."
    INVALID_AMOUNT = (
        310,
        "The amount must be positive, and all that is held of an asset must stay below 2^62 smallest units.",
    )
    INSUFFICIENT_FUNDS = 311, "The account has not enough available funds. Deposit, cancel an order, or ask for less."

    # -- 4xx: placing an order
    INVALID_SIDE = 401, "The side must be buy or sell."
    INVALID_ORDER_TYPE = 402, "The order type must be LIMIT, MARKET or LIMIT_MAKER."
    INVALID_TIME_IN_FORCE = 403, "Time in force is GTC, IOC or FOK for LIMIT, and nothing for MARKET and LIMIT_MAKER."
    INVALID_SELF_TRADE_MODE = 404, "Self-trade prevention is not offered on this market: leave it out or ask for NONE."
    INVALID_PRICE = 405, "The price is outside the limits of the market. See `jibek market show`."
    INVALID_QUANTITY = 406, "The quantity is outside the limits of the market. See `jibek market show`."
    INVALID_QUOTE_AMOUNT = (
        407,
        "Give either a quantity or a positive quote amount, and a quote amount only with MARKET.",
    )
    NOTIONAL_TOO_SMALL = 408, "The value of the order is below the minimum of the market. See `jibek market show`."
    NOTIONAL_TOO_LARGE = 409, "The value of the order is above the maximum of the market. See `jibek market show`."
    INVALID_CLIENT_ID = 410, "A client order id has at most 36 bytes and no zero byte inside."
    DUPLICATE_CLIENT_ID = 411, "An open order of this account has this client order id. Choose another one."
    TOO_MANY_OPEN_ORDERS = 412, "The account has as many open orders in this market as are allowed. Cancel one first."
    WOULD_TAKE = 413, "A LIMIT_MAKER order would match at once. Choose a price that rests."

    # -- 5xx: cancelling an order
    UNKNOWN_ORDER = 501, "No open order of this account has this id: it was filled, cancelled, or never existed."
    NO_OPEN_ORDERS = 502, "The account has no open order to cancel."

    # -- 6xx: why an order ended
    CANCELLED_BY_OWNER = 601, "Cancelled at the owner's request."
    CANCELLED_BY_FREEZE = 602, "Cancelled because the account was frozen."
    IMMEDIATE_REST_EXPIRED = 603, "IOC: what could not be filled at once expired."
    FILL_OR_KILL_EXPIRED = 604, "FOK: the whole quantity could not be filled at once, so nothing was."
    MARKET_REST_EXPIRED = 605, "MARKET: no more could be filled, so the rest expired."
