"""What a command prints: a table or JSON.

Data goes to standard output, talk to standard error. A table is drawn with rich on a terminal and is plain aligned text
when it is piped; rich is imported only in the first case.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import click


class Column(NamedTuple):
    """A column of a table. Numbers are right-aligned."""

    title: str
    right: bool = False


def print_json(value: Any) -> None:
    """Prints `value` as indented JSON on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, title: str = "", footer: str = "") -> None:
    """Prints rows of text under their columns: drawn on a terminal, aligned text when piped."""
    if sys.stdout.isatty():
        _draw_table(columns, rows, title, footer)
        return
    if title:
        click.echo(title)
    for line in aligned(columns, rows):
        click.echo(line)
    if footer:
        click.echo(footer)


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

    table = Table(title=title or None, caption=footer or None, box=SIMPLE_HEAD, title_justify="left")
    table.caption_justify = "left"
    for column in columns:
        table.add_column(column.title, justify="right" if column.right else "left", no_wrap=column.right)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
