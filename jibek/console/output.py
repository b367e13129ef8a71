"""What a command prints: a line, a table or JSON, and all of it printable, no matter who wrote it.

Data goes to standard output, talk to standard error. A table is drawn with rich on a terminal and is plain aligned text
when it is piped, or the terminal is too narrow; rich is imported only in the first case.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from jibek.console.printable import printable, printable_block, printable_json
from jibek.console.standard_streams import OutputLost
from jibek.console.suggestion import with_folder

if TYPE_CHECKING:
    from rich.console import Console

FOLDED_WIDTH_MIN = 8
"""Text is folded into lines of so many characters at least; a narrower terminal gets the table as plain text."""


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
    """Prints rows of text under their columns: drawn on a terminal that is wide enough, or else as aligned text. Nothing is cut.

    Raises:
        OutputLost: they could not be written.
    """
    columns = [column._replace(title=printable(column.title)) for column in columns]
    cells = [[printable(cell) for cell in row] for row in rows]
    with writing():
        if sys.stdout.isatty():
            from rich.console import Console

            if _draw_table(Console(), columns, cells, printable(title), printable(footer)):
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


def _draw_table(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[str]], title: str, footer: str
) -> bool:
    """Draws the table, all of it: long text is folded, numbers stay on one line. Returns whether the terminal is wide enough; if it
    is not, nothing is drawn."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    widths = [max(map(cell_len, texts)) for texts in zip(*([column.title for column in columns], *rows), strict=True)]
    least = [
        width if column.right else min(width, FOLDED_WIDTH_MIN) for width, column in zip(widths, columns, strict=True)
    ]
    # A space on both sides of each column, one between two of them, and one at each end.
    if sum(least) + 3 * len(columns) + 1 > console.width:
        return False
    # As Text: in a plain string, rich would read what is in brackets as markup.
    table = Table(title=Text(title) if title else None, box=SIMPLE_HEAD, title_justify="left")
    table.caption = Text(footer) if footer else None
    table.caption_justify = "left"
    for column, width in zip(columns, least, strict=True):
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(Text(column.title), justify=justify, no_wrap=column.right, min_width=width, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
    return True
