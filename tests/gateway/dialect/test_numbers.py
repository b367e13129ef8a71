from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.reasons import Reason
from gateway.dialect.constants import INT64_MAX
from gateway.dialect.numbers import NumberToken, format_e8, parse_e8, parse_integer

ILLEGAL, PRECISE, LARGE = Reason.ILLEGAL_CHARACTERS, Reason.TOO_PRECISE, Reason.NUMBER_TOO_LARGE


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", 10**8),
        ("0.01", 10**6),
        ("000.10", 10**7),
        ("0.00000001", 1),
        ("0.000000010000", 1),
        ("0.000000001", PRECISE),
        ("92233720368.54775807", INT64_MAX),
        ("92233720368.54775808", LARGE),
        ("9" * 20, LARGE),
        ("9" * 21, ILLEGAL),
        ("", ILLEGAL),
        (".", ILLEGAL),
        (".5", ILLEGAL),
        ("5.", ILLEGAL),
        ("-1", ILLEGAL),
        ("+1", ILLEGAL),
        (" 1", ILLEGAL),
        ("1_0", ILLEGAL),
        ("1e3", ILLEGAL),
        ("1.2.3", ILLEGAL),
        ("0x1", ILLEGAL),
        ("NaN", ILLEGAL),
        ("٣", ILLEGAL),
        ("１２", ILLEGAL),
        ("1\n", ILLEGAL),
        (NumberToken("1e-7"), 10),
        (NumberToken("1E-8"), 1),
        (NumberToken("1e-9"), PRECISE),
        (NumberToken("12.5e1"), 125 * 10**8),
        (NumberToken("1e10"), 10**18),
        (NumberToken("1e11"), LARGE),
        (NumberToken("1e999999999"), ILLEGAL),
        (NumberToken("-1"), ILLEGAL),
        (NumberToken("-1e-3"), ILLEGAL),
        (NumberToken("NaN"), ILLEGAL),
        (NumberToken("Infinity"), ILLEGAL),
        (NumberToken("0.1"), 10**7),
        (7, 7 * 10**8),
        (-7, ILLEGAL),
        (True, ILLEGAL),
        (0.5, ILLEGAL),
        (None, ILLEGAL),
        ([], ILLEGAL),
    ],
    ids=repr,
)
def test_a_decimal_is_exact_or_refused(value: object, expected: int | Reason) -> None:
    result = parse_e8(value)
    assert result == expected
    assert type(result) is type(expected)


@given(st.integers(0, INT64_MAX))
def test_what_is_shown_reads_back(number_e8: int) -> None:
    assert parse_e8(format_e8(number_e8)) == number_e8
    assert Decimal(format_e8(number_e8)) == Decimal(number_e8) / 10**8


def meant(text: str) -> int | Reason:
    """What a text of digits and a point says, or why it cannot be a number of the wire."""
    number_e8 = Fraction(text) * 10**8
    if number_e8.denominator != 1:
        return PRECISE
    return int(number_e8) if number_e8 <= INT64_MAX else LARGE


PLAIN = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)


@given(st.from_regex(PLAIN, fullmatch=True))
@example("92233720368.54775807")
@example("0.000000010")
def test_a_text_of_digits_is_what_it_says(text: str) -> None:
    assert parse_e8(text) == parse_e8(NumberToken(text)) == meant(text)


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{0,22}\.?[0-9]{0,22}", fullmatch=True))
@example("000000000000000000000.000000001")
def test_any_other_text_is_refused(text: str) -> None:
    assert parse_e8(text) == (meant(text) if PLAIN.fullmatch(text) else ILLEGAL)


@given(st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,12})?[eE][+-]?[0-9]{1,2}", fullmatch=True))
@example("0e0")
@example("1.5e-1")
def test_a_number_token_is_what_it_says(text: str) -> None:
    exponent = Decimal(text).as_tuple().exponent
    assert isinstance(exponent, int)
    assert parse_e8(NumberToken(text)) == (meant(text) if abs(exponent) <= 40 else ILLEGAL)


@given(st.from_regex(r"-[0-9]{0,11}[1-9](\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_a_number_below_zero_is_refused(text: str) -> None:
    assert parse_e8(NumberToken(text)) == ILLEGAL


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        ("007", 7),
        (NumberToken("12"), 12),
        (INT64_MAX + 1, None),
        (str(INT64_MAX + 1), None),
        (-1, None),
        ("-1", None),
        ("1.0", None),
        ("²", None),
        ("9" * 10_000, None),
        (1.0, None),
        (True, None),
        (None, None),
    ],
)
def test_a_whole_number(value: object, expected: int | None) -> None:
    assert parse_integer(value) == expected


@given(st.integers(-(10**25), 10**25))
def test_numbers_of_any_size_have_eight_decimals(number: int) -> None:
    whole, _, fraction = format_e8(number).partition(".")
    assert len(fraction) == 8
    assert int(whole + fraction) == number
