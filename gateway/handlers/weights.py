"""What a request weighs: the dialect's number for its method and parameters, and more where it costs more than that.

The router counts it before anything is done. Parameters that are wrong weigh what the method weighs at least: their request
is refused before it costs more.

    method and parameters            as the dialect has it, in the table of routes and here
    size of the message              1 more for each started 4 KB beyond the first
    signature by an Ed25519 key      4 more: verifying it takes 100 µs, fifty times as long as HMAC; a logon has it in its 2
    what cannot be read              1, and its size
    opening the WebSocket API        2
    pings, pongs and fragments       1 for each beyond the first five of a connection in a second
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialect.numbers import parse_integer
from gateway.limits import DEPTH_LEVELS_DEFAULT, WEIGHTLESS_BYTES_MAX

CONNECTING = 2
UNREADABLE = 1
ED25519_SIGNATURE = 4
DEPTH_STEPS = ((100, 5), (500, 25), (1000, 50))
"""Up to so many levels a side, and what they weigh."""
DEPTH_LARGEST = 250


def of_size(size_bytes: int) -> int:
    """What a message weighs for its size alone.

    >>> [of_size(size) for size in (0, 4096, 4097, 8192, 8193, 65536)]
    [0, 0, 1, 1, 2, 15]
    """
    return max(0, size_bytes - 1) // WEIGHTLESS_BYTES_MAX


def of_depth(params: Mapping[str, Any]) -> int:
    """By the number of levels.

    >>> [of_depth({"limit": limit}) for limit in (None, 100, 101, 500, "501", 1000, 1001, 10**9, "x", -1)]
    [5, 5, 25, 25, 50, 50, 250, 250, 5, 5]
    """
    levels = parse_integer(params.get("limit")) or DEPTH_LEVELS_DEFAULT
    return next((weight for most, weight in DEPTH_STEPS if levels <= most), DEPTH_LARGEST)


def of_open_orders(params: Mapping[str, Any]) -> int:
    """The orders of one market weigh less than those of all.

    >>> of_open_orders({"symbol": "BTCKZT"}), of_open_orders({})
    (6, 80)
    """
    return 80 if params.get("symbol") is None else 6


def of_my_trades(params: Mapping[str, Any]) -> int:
    """The trades of one order weigh less than those of a market.

    >>> of_my_trades({"orderId": 1}), of_my_trades({})
    (5, 20)
    """
    return 20 if params.get("orderId") is None else 5
