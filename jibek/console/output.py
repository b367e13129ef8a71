"""What a command prints: a line, a table or JSON, and all of it printable, no matter who wrote it.

Data goes to standard output, talk to standard error. A table is drawn with rich on a terminal and is plain aligned text
when it is piped; rich is imported only in the first case.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import click

from jibek.console.printable import printable, printable_block, printable_json
from jibek.console.standard_streams import OutputLost
from jibek.console.suggestion import with_folder


class Column(NamedTuple):
    """A column of a table. Numbers are right-aligned."""

    title: str
    right: bool = False


@contextmanager
def writing() -> Iterator[None]:
    """For a block that writes to standard output.

    Raises:
        OutputLost: it takes no more.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        raise OutputLost(error) from None


def print_line(text: str = "", *, err: bool = False) -> None:
    """Prints one line on standard output, which has taken it when this returns.

    Args:
        err: print it on standard error: what is no data. Lines after the first are set in. If standard error is closed or full,
            the text is lost, and the exit code still says how the command ended.

    Raises:
        OutputLost: standard output has not taken it.
    """
    if err:
        with suppress(OSError):
            click.echo(printable_block(with_folder(text)), err=True)
        return
    with writing():
        click.echo(printable(text))


def print_json(value: Any) -> None:
    """Prints `value` as indented JSON on standard output.

    Raises:
        OutputLost: it could not be written.
    """
    with writing():
        click.echo(json_text(value))


def json_text(value: Any) -> str:
    """`value` as indented JSON; what cannot be seen in its strings is escaped."""
    return printable_json(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, title: str = "", footer: str = "") -> None:
    """Prints rows of text under their columns: drawn on a terminal, aligned text when piped.

    Raises:
        OutputLost: they could not be written.
    """
    columns = [column._replace(title=printable(column.title)) for column in columns]
    cells = [[printable(cell) for cell in row] for row in rows]
    with writing():
        if sys.stdout.isatty():
            _draw_table(columns, cells, printable(title), printable(footer))
            return
        lines = [title] if title else []
        lines += aligned(columns, cells)
        lines += [footer] if footer else []
        click.echo("\n".join(map(printable, lines)))


def aligned(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> list[str]:
    """The table as lines of plain text, two spaces between columns.

    >>> for line in aligned([Column("asset"), Column("total", right=True)], [["BTC", "1.5"], ["KZT", "20.25"]]):
    ...     print(line)
    asset  total
    BTC      1.5
    KZT    20.25
    """
    lines = [[column.title for column in columns], *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return [
        "  ".join(
            text.rjust(width) if column.right else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in lines
    ]


def _draw_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], title: str, footer: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # As Text: in a plain string, rich would read what is in brackets as markup.
    table = Table(title=Text(title) if title else None, box=SIMPLE_HEAD, title_justify="left")
    table.caption = Text(footer) if footer else None
    table.caption_justify = "left"
    for column in columns:
        table.add_column(Text(column.title), justify="right" if column.right else "left", no_wrap=column.right)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
