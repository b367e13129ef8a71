"""Printable text: what is typed must be it, and what is shown is made it. Nothing is read from disk for it
unless there are letters beyond ASCII: every command asks."""

from __future__ import annotations

from collections.abc import Iterator

ARGUMENT_BYTES_MAX = 4096
"""As long as a path can be."""

WORD_LENGTH_MAX = 400
"""Of what a message quotes; what is longer is cut."""

_UNSEEN = frozenset(
    "\u034f\u07fa\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u2d7f\u3164\uffa0"
    "\U0001107f\U00011a47\U00011a99\U00016fe4\U0001d159"
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)
"""What Python calls printable although nothing is drawn: fillers, joiners, variation selectors."""


MARKS_MAX = 4
"""Of the marks, and parts of Korean syllables, on one character: so many as the scripts of the world need. More are drawn over
each other, and over the lines around."""

_SYLLABLE = (("\u1100", "\u11ff"), ("\ua960", "\ua97f"), ("\uac00", "\ud7a3"), ("\ud7b0", "\ud7ff"))
"""Korean letters and syllables."""
_IN_SYLLABLE = (("\u1160", "\u11ff"), ("\ud7b0", "\ud7ff"))
"""Those of them that are drawn only in the place of the one before."""


def is_text(argument: str) -> bool:
    """Whether an argument is text; Python keeps bytes that are not UTF-8 as half characters, which nothing can encode.

    >>> import os
    >>> is_text("Ақтау"), is_text(os.fsdecode(b"\\xff"))
    (True, False)
    """
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def is_printable(text: str) -> bool:
    """Whether all of the text can be seen on one line, in the order in which it is written. Control characters and escape
    sequences cannot, line breaks, what turns the direction of writing, what has no width, half characters, spaces other
    than the usual one, and marks that have no character to stand on, or are more than `MARKS_MAX` on one. Texts that can be seen
    can be seen one after the other, too.

    >>> is_printable("Ақтау №5"), is_printable("red \\x1b[31m"), is_printable("evil\\u202ecod.exe"), is_printable("two\\nlines")
    (True, False, False, False)
    """
    if text.isascii():
        return text.isprintable()
    return all(is_seen for _, is_seen in _looked_at(text))


def _looked_at(text: str) -> Iterator[tuple[str, bool]]:
    """Each character of the text, and whether it can be seen in its place."""
    from unicodedata import category

    marks, base = 0, ""
    for character in text:
        is_seen = character.isprintable() and character not in _UNSEEN
        in_syllable = _is_in(character, _IN_SYLLABLE)
        if is_seen and (in_syllable or category(character) in ("Mn", "Me")):
            marks += 1
            is_seen = marks <= MARKS_MAX and base != "" and (not in_syllable or _is_in(base, _SYLLABLE))
        elif is_seen:
            marks, base = 0, character
        if not is_seen:
            base = ""  # What is on it would stand on its escape.
        yield character, is_seen


def _is_in(character: str, ranges: tuple[tuple[str, str], ...]) -> bool:
    return any(first <= character <= last for first, last in ranges)


def printable(text: str) -> str:
    """The text with each character that cannot be seen as its escape: it stays on one line and moves no cursor.

    >>> print(printable("red \\x1b[31m\\nop\\u202e, Ақтау"))
    red \\x1b[31m\\x0aop\\u202e, Ақтау
    """
    if is_printable(text):
        return text
    return "".join(character if is_seen else _escape(ord(character)) for character, is_seen in _looked_at(text))


def printable_block(text: str) -> str:
    """Text that may quote several lines, such as the end of a log. They are set in, so that none passes for a message of its own.

    >>> print(printable_block("It did not start. Its log says:\\nred \\x1b[31m"))
    It did not start. Its log says:
      red \\x1b[31m
    """
    first, *rest = " ".join(word if len(word) <= WORD_LENGTH_MAX else excerpt(word) for word in text.split(" ")).split(
        "\n"
    )
    return "\n".join([printable(first), *(f"  {printable(line.removeprefix('  '))}" for line in rest)])


def printable_json(document: str) -> str:
    """A JSON document that its writer has broken into lines, with what cannot be seen in its strings as JSON escapes: a reader
    gets the same strings.

    >>> import json
    >>> text = printable_json(json.dumps("op\\u202e \\x9b", ensure_ascii=False))
    >>> print(text, json.loads(text) == "op\\u202e \\x9b")
    "op\\u202e \\u009b" True
    """
    lines = document.split("\n")
    if all(map(is_printable, lines)):
        return document
    return "\n".join(
        "".join(character if is_seen else _json_escape(ord(character)) for character, is_seen in _looked_at(line))
        for line in lines
    )


def argument_fault(argument: str) -> str:
    """What is wrong with what was typed, as the end of a sentence; "" if nothing is.

    >>> argument_fault("why\\x1b[2J")
    "has the character U+001B, which cannot be seen: 'why\\\\x1b[2J'"
    """
    if not is_text(argument):
        return "is not text in UTF-8"
    if len(argument.encode()) > ARGUMENT_BYTES_MAX:
        return f"has more than {ARGUMENT_BYTES_MAX:,} bytes"
    unseen = next((character for character, is_seen in _looked_at(argument) if not is_seen), None)
    if unseen is None:
        return ""
    return f"has the character U+{ord(unseen):04X}, which cannot be seen: '{printable(argument)}'"


def excerpt(text: str, length_max: int = 64) -> str:
    """The text as a message can quote it: printable, and not longer than so many characters."""
    shown = printable(text)
    return shown if len(shown) <= length_max else f"{shown[:length_max]}…"


def _escape(code: int) -> str:
    # A half character is a byte that is not UTF-8.
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_escape(code: int) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\u{0xD800 + ((code - 0x10000) >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
