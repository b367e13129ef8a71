"""Decimals as text and as whole numbers: what comes back, and what is no decimal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decimals import DecimalError, format_decimal, parse_decimal


@given(st.integers(0, 2**62), st.integers(0, 8))
def test_decimals_come_back(amount: int, scale: int) -> None:
    assert parse_decimal(format_decimal(amount, scale), scale) == amount
    assert parse_decimal(format_decimal(amount, scale, 8), scale) == amount


@pytest.mark.parametrize(
    "text", ["", ".", "1.", ".5", "-1", "+1", "1e5", "0x10", "1_000", " 1", "١", "1,5", "NaN", "9" * 21]
)
def test_what_is_no_plain_decimal(text: str) -> None:
    with pytest.raises(DecimalError):
        parse_decimal(text, 8)
