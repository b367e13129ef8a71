"""Decimal numbers as text, and as whole numbers of a smallest unit; never as floats."""

from __future__ import annotations

import re

_DECIMAL = re.compile(r"(\d{1,20})(?:\.(\d{1,20}))?", re.ASCII)


class DecimalError(ValueError):
    """A decimal number cannot be read, or is finer than it may be."""


def parse_decimal(text: str, scale: int) -> int:
    """A plain decimal as an integer of `10 ** -scale`, exactly.

    >>> parse_decimal("0.015", 8)
    1500000

    Raises:
        DecimalError: not digits with at most one point between them, or more than `scale` decimals that matter.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise DecimalError(f"{text!r} is not a plain decimal number")
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > scale:
        raise DecimalError(f"{text!r} has more than {scale} decimals")
    return int(whole + fraction.ljust(scale, "0"))


def format_decimal(amount: int, scale: int, decimals: int | None = None) -> str:
    """The inverse of `parse_decimal`, with exactly `decimals` decimals (default: `scale`, and never fewer than it).

    >>> format_decimal(1500000, 8)
    '0.01500000'
    >>> format_decimal(-5, 2, 8)
    '-0.05000000'
    """
    decimals = scale if decimals is None else decimals
    assert decimals >= scale
    sign = "-" if amount < 0 else ""
    digits = str(abs(amount) * 10 ** (decimals - scale)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else sign + digits
