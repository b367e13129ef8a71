"""Printable text: what is shown stays on its line and in its order, no matter who wrote it; what is typed must be so already."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jibek.console.printable import (
    ARGUMENT_BYTES_MAX,
    WORD_LENGTH_MAX,
    argument_fault,
    excerpt,
    is_printable,
    printable,
    printable_block,
    printable_json,
)

ANY_TEXT = st.text(st.characters(codec=None, categories=None))
"""Half characters, too: the bytes of an argument or of a file's name that are not UTF-8."""


@given(ANY_TEXT)
def test_what_is_shown_can_be_seen_and_encoded(text: str) -> None:
    shown = printable(text)
    assert is_printable(shown) and shown.encode().decode() == shown
    assert is_printable(excerpt(text)) and len(excerpt(text)) <= 65
    assert is_printable(text) == (shown == text)


MARKED_TEXT = st.text(st.sampled_from("e\u0301\u20dd\u1112\u1161\u11ab\ud55c\ud7fb\u3164 \u200d"))


@given(MARKED_TEXT, MARKED_TEXT)
def test_texts_that_can_be_seen_can_be_seen_one_after_the_other(first: str, second: str) -> None:
    assert is_printable(printable(first) + printable(second))
    assert printable(printable(first)) == printable(first)
    assert is_printable(first) == (printable(first) == first)


@settings(max_examples=40)
@given(st.recursive(ANY_TEXT, lambda texts: st.lists(texts) | st.dictionaries(ANY_TEXT, texts)))
def test_json_says_the_same_with_escapes(value: object) -> None:
    written = printable_json(json.dumps(value, indent=2, ensure_ascii=False))
    assert all(map(is_printable, written.split("\n"))) and written.encode().decode() == written
    read = json.loads(written)
    # A pair of halves that stand together is one character for a reader of JSON.
    assert json.dumps(read) == json.dumps(json.loads(json.dumps(value)))


@given(ANY_TEXT)
def test_a_line_that_is_quoted_never_begins_a_message(text: str) -> None:
    first, *rest = printable_block(text).split("\n")
    assert is_printable(first)
    assert all(line.startswith("  ") and is_printable(line) for line in rest)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ақтау №5, naïve — ok", "Ақтау №5, naïve — ok"),
        ("عربي and עברית", "عربي and עברית"),
        ("red \x1b[31m", "red \\x1b[31m"),
        ("two\nlines\r\tand", "two\\x0alines\\x0d\\x09and"),
        ("C1 \x9b2J \x85", "C1 \\x9b2J \\x85"),
        ("\u202eevil", "\\u202eevil"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("a\u200bb\u200d\ufeff\u00ad", "a\\u200bb\\u200d\\ufeff\\xad"),
        ("line\u2028par\u2029", "line\\u2028par\\u2029"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("filler\u3164\uffa0\u2800", "filler\\u3164\\uffa0\\u2800"),
        ("variation\ufe0f\U000e0100", "variation\\ufe0f\\U000e0100"),
        ("nbsp\u00a0wide\u3000", "nbsp\\xa0wide\\u3000"),
        ("\u07fa\u2d7f\U0001107f\U00016fe4\U0001d159", "\\u07fa\\u2d7f\\U0001107f\\U00016fe4\\U0001d159"),
        ("e\u0301 \u1112\u1161\u11ab \ud55c\u11ab שִׁ֑", "e\u0301 \u1112\u1161\u11ab \ud55c\u11ab שִׁ֑"),
        ("a\u1161 \ud7fb", "a\\u1161 \\ud7fb"),
        ("\u0301x", "\\u0301x"),
        ("e" + "\u0301" * 6 + "!", "e" + "\u0301" * 4 + "\\u0301" * 2 + "!"),
        ("\u1112" + "\u1161" * 5, "\u1112" + "\u1161" * 4 + "\\u1161"),
        ("e\u20dd\u200d\u0301", "e\u20dd\\u200d\\u0301"),
        (os.fsdecode(b"\xff\xfe"), "\\xff\\xfe"),
        ("\0", "\\x00"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert (argument_fault(text) == "") == (text == shown)


def test_what_is_typed_is_as_long_as_a_path_at_most() -> None:
    assert argument_fault("ж" * (ARGUMENT_BYTES_MAX // 2)) == ""
    assert "more than 4,096 bytes" in argument_fault("ж" * (ARGUMENT_BYTES_MAX // 2) + "x")


def test_a_message_cuts_what_it_quotes() -> None:
    assert printable_block("x" * WORD_LENGTH_MAX + " is there") == "x" * WORD_LENGTH_MAX + " is there"
    assert printable_block("No " + "x" * 5000 + " is there") == "No " + "x" * 64 + "… is there"
