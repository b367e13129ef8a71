"""Worn words: how often they still occur, group by group. A count may only fall.

`docs/style.md` says what to write instead. When you remove some, lower the number in ALLOWED: the failure prints the table
to paste. When you added one, say it another way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from engine.reasons import Reason
from jibek.main import main

ROOT = Path(__file__).parent.parent
PACKAGES = ("bench", "engine", "examples", "gateway", "jibek", "ledger", "tests")

WORN = (
    "told", "tells", "beside", "nobody", "whoever", "anew", "stands", "the way of", "where there is none",
    "carries out", "yardstick",
)  # fmt: skip

ALLOWED = {
    "pages": 0,
    "help": 3,
    "reasons": 0,
    "bench": 3,
    "engine": 1,
    "examples": 0,
    "gateway": 0,
    "jibek": 0,
    "ledger": 1,
    "tests": 0,
}

STYLE_PAGE = ROOT / "docs" / "style.md"
"""It names the worn words, so it is not counted."""

WORN_WORDS = re.compile(
    r"(?<!--)\b(?:" + "|".join(phrase.replace(" ", r"\s+") for phrase in WORN) + r")\b", re.IGNORECASE
)
CODE = re.compile(r"^```.*?^```|(?<=\n\n)(?: {4}[^\n]*\n)+|`[^`\n]*`", re.MULTILINE | re.DOTALL)
"""What is code in a page of Markdown: fenced blocks, indented blocks, spans."""

COMMENT_OR_STRING = re.compile(
    r"""(?P<comment>\#[^\n]*(?:\n[ \t]*\#[^\n]*)*)  # lines of comment without code between them are one text
      | (?P<string>[A-Za-z]{0,2}(?:
            \"{3}(?:[^\\]|\\.)*?\"{3} | '{3}(?:[^\\]|\\.)*?'{3} | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*'))""",
    re.VERBOSE | re.DOTALL,
)
"""The words in Python and Cython; the tokenizer of Python stops at what only Cython knows."""
LUA_COMMENT = re.compile(r"--[^\n]*(?:\n[ \t]*--[^\n]*)*")


class Text(NamedTuple):
    """A stretch of prose, and where it is: a file with the line it begins on, a command, a reason."""

    place: str
    text: str
    line: int = 0


# -- where prose is


def pages() -> Iterator[Text]:
    """Every page of Markdown, without its code."""
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/*.md")]):
        if path != STYLE_PAGE:
            yield Text(str(path.relative_to(ROOT)), CODE.sub(_blank, path.read_text()), 1)


def _blank(code: re.Match[str]) -> str:
    """As many lines as the code has, so that line numbers stay right."""
    return "·" + "\n" * code[0].count("\n")


def help_texts() -> Iterator[Text]:
    """What `--help` prints, of every command. It is set wide, so that no line in a list of commands is cut off."""
    return _help_of(main, click.Context(main, info_name="jibek", terminal_width=1000, max_content_width=1000))


def _help_of(command: click.Command, context: click.Context) -> Iterator[Text]:
    yield Text(f"{context.command_path} --help", command.get_help(context))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None, f"{context.command_path} lists {name} and has no such command"
            yield from _help_of(child, click.Context(child, info_name=name, parent=context))


def reasons() -> Iterator[Text]:
    return (Text(f"Reason.{reason.name}", reason.text) for reason in Reason)


def source_of(package: str) -> Iterator[Text]:
    """The comments and docstrings of a package; of the strings only those that are a statement of their own."""
    for path in sorted((ROOT / package).rglob("*")):
        place = str(path.relative_to(ROOT))
        if path.suffix in (".py", ".pyx", ".pxd", ".pxi"):
            yield from comments_and_docstrings(place, path.read_text())
        elif path.suffix == ".lua":
            text = path.read_text()
            yield from (Text(place, found[0], _line(text, found)) for found in LUA_COMMENT.finditer(text))


def comments_and_docstrings(place: str, source: str) -> Iterator[Text]:
    for found in COMMENT_OR_STRING.finditer(source):
        begins_line = not source[source.rfind("\n", 0, found.start()) + 1 : found.start()].strip()
        continues = source[: found.start()].rstrip().endswith(("(", ",", "=", "[", "{", '"', "'"))
        if found["comment"]:
            yield Text(place, re.sub(r"\n[ \t]*#", "\n", found[0]), _line(source, found))
        elif begins_line and (not continues or found[0].lstrip("rR").startswith('"""')):
            yield Text(place, found[0], _line(source, found))


def _line(source: str, found: re.Match[str]) -> int:
    return source.count("\n", 0, found.start()) + 1


GROUPS: dict[str, Callable[[], Iterator[Text]]] = {
    "pages": pages,
    "help": help_texts,
    "reasons": reasons,
    **{package: partial(source_of, package) for package in PACKAGES},
}


# -- the count


def worn_in(text: Text) -> Iterator[str]:
    for found in WORN_WORDS.finditer(text.text):
        line = f":{text.line + text.text.count(chr(10), 0, found.start())}" if text.line else ""
        yield f"{text.place}{line} {' '.join(found[0].split())}"


def places_of(group: str) -> list[str]:
    """Where worn words are in a group; what several commands share, such as an option, counts in each."""
    return [place for text in GROUPS[group]() for place in worn_in(text)]


def table() -> str:
    rows = [f'    "{group}": {len(places_of(group))},' for group in GROUPS]
    return "\n".join(["ALLOWED = {", *rows, "}"])


@pytest.mark.parametrize("group", GROUPS)
def test_worn_words_only_grow_fewer(group: str) -> None:
    places = places_of(group)
    allowed = ALLOWED.get(group, 0)
    if len(places) > allowed:
        pytest.fail(
            f"{len(places)} worn words in {group}, where {allowed} are allowed. docs/style.md says what to write instead:\n"
            + "\n".join(places)
        )
    assert len(places) == allowed, f"Fewer than {allowed} worn words in {group}: lower the number.\n{table()}"


# -- the counting itself


def test_every_group_is_read() -> None:
    least = {"pages": 10, "help": 30, "reasons": 70, "examples": 3}
    for group, texts in GROUPS.items():
        found = Counter(text.place for text in texts() if text.text.strip())
        assert len(found) >= least.get(group, 10), f"{group} has prose in {len(found)} places only"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""Nobody."""', ["x:1 Nobody"]),
        ("a = 1  # beside\n", ["x:1 beside"]),
        ("# the way\n# of things\n", ["x:1 the way of"]),
        ("cdef int a  # 1\n\n    # whoever\n", ["x:3 whoever"]),
        ('A = 1\n"""What it\nstands for."""\n', ["x:3 stands"]),
        ('a = "nobody"  # "told"\n', ["x:1 told"]),
        ('call(\n    "nobody",\n    "told",\n)\n', []),
        ("a = '# told'\n", []),
        ("# carry_out(untold) --yardstick\n", []),
    ],
)
def test_what_counts_in_source(source: str, found: list[str]) -> None:
    assert [place for text in comments_and_docstrings("x", source) for place in worn_in(text)] == found


def test_what_counts_on_a_page() -> None:
    page = "told `told`\n\n```sh\ntold\n```\n\n    told\n\n10. A\n    told\ncarries\nout\n"
    found = list(worn_in(Text("page", CODE.sub(_blank, page), 1)))
    assert found == ["page:1 told", "page:10 told", "page:11 carries out"]
