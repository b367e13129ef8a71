"""What the dialect fixes: units, forms of texts and numbers, time windows. The compiled reader takes them from here."""

from __future__ import annotations

import re

from engine.records import CLIENT_ID_BYTES

MILLISECONDS = 1000
MICROSECONDS = 1
"""What microseconds are divided by in the times that are sent."""

DECIMALS = 8
"""Of every number on the wire: its unit is 1e-8."""
WHOLE_DIGITS_MAX = 20
"""Digits before the point of a number, and after it."""
INTEGER_DIGITS_MAX = 20
INT64_MAX = (1 << 63) - 1

CLIENT_ID_PATTERN = re.compile(rf"[A-Za-z0-9._:/-]{{1,{CLIENT_ID_BYTES}}}")
CLIENT_ID_RANGE = f"^{CLIENT_ID_PATTERN.pattern}$"
DECIMAL_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER_RANGE = "^[0-9]{1,20}$"
WINDOW_DIGITS_MAX = 5
"""Digits before the point of a recvWindow."""
WINDOW_PATTERN = re.compile(rf"([0-9]{{1,{WINDOW_DIGITS_MAX}}})(?:\.([0-9]{{1,3}}))?", re.ASCII)
WINDOW_RANGE = rf"^[0-9]{{1,{WINDOW_DIGITS_MAX}}}(\.[0-9]{{1,3}})?$"

DERIVED_PREFIX = "jibek-"
"""An order without a client id is shown, and found again, as this and its order id."""
VERSION_PREFIX = "v3/"
"""May stand before the name of a method."""
NO_ID = "null"
"""The id of a reply to a request that has none, as JSON text."""

AHEAD_MS_MAX = 1000
"""How far the timestamp of a request may be ahead of the venue's clock."""
WINDOW_MS_DEFAULT = 5000
WINDOW_MS_MAX = 60_000
LOGON_WINDOW_MS_MAX = 5000
"""Of a logon, which opens more than any other request."""
MICROSECOND_TIMESTAMP_MIN = 10**14
"""A timestamp from here on counts microseconds: as milliseconds it would lie beyond the year 5000."""

INTERVAL_HOURS_MAX = 24
"""Between `startTime` and `endTime` of a query."""

CLOSE_GOING_AWAY = 1001
CLOSE_POLICY_VIOLATION = 1008

CANCEL, CANCEL_ALL = "CANCEL", "CANCEL_ALL"
"""What a cancel is answered with; a new order asks for ACK, RESULT or FULL."""
