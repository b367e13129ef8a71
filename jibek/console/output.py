"""What every command does in the same way: find the venue, open its store, print a table or JSON, fail in one sentence.

Data goes to standard output, talk to standard error. A table is drawn with rich on a terminal and is plain aligned text
when it is piped; rich is imported only in the first case. Exit codes are those of `engine.process`: 0 good, 1 a check
failed or something was refused, 2 wrong usage, 3 the venue or the store cannot be reached.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import click
import redis

from engine.journal import ChainBroken, Diverged, StaleEpoch, Store, StoreRefused, StoreTimeout, connect
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE

VENUE_FILE = "venue.json"
DEFAULT_DATA_DIR = Path("jibek-data")
OPERATOR_VARIABLE = "JIBEK_OPERATOR"
STORE_TIMEOUT_S = 15.0

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class Failure(click.ClickException):
    """Ends the command with one sentence on standard error and an exit code."""

    def __init__(self, exit_code: int, text: str) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: Any = None) -> None:
        click.echo(self.format_message(), err=True)


def fail(exit_code: int, text: str) -> NoReturn:
    """Ends the command: `text` is one sentence that says what is wrong and what to do."""
    raise Failure(exit_code, text)


# -- options that every command has


def data_option(command: CommandT) -> CommandT:
    """Adds `--data DIR`; the command receives it as `data_dir`, a Path."""
    return click.option(
        "--data",
        "data_dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=DEFAULT_DATA_DIR,
        show_default=True,
        help="The venue's data folder.",
    )(command)


def json_option(command: CommandT) -> CommandT:
    """Adds `--json`; the command receives it as `as_json`, a bool."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON; amounts are decimal strings.")(command)


def operator_name() -> str:
    """Who gives the command, as it is written into the journal: `$JIBEK_OPERATOR`, else the user of the system."""
    try:
        return os.environ.get(OPERATOR_VARIABLE) or getpass.getuser()
    except (KeyError, OSError):
        return "operator"


# -- the venue


class VenueAddress(NamedTuple):
    """A venue as its supervisor has written it into `venue.json`."""

    data_dir: Path
    pid: int
    store: str
    """URL of the store."""
    host: str
    port: int
    engine: str
    services: dict[str, int]
    """Service name -> process id."""

    def is_running(self) -> bool:
        """Whether the supervisor is alive; a store of the operator's own may be up without it."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def find_venue(data_dir: Path) -> VenueAddress:
    """The venue of a data folder, running or stopped.

    Fails with exit code 3 where the folder holds none.
    """
    path = data_dir / VENUE_FILE
    try:
        content = json.loads(path.read_text())
        return VenueAddress(
            data_dir=data_dir,
            pid=int(content["pid"]),
            store=str(content["store"]),
            host=str(content.get("host", "127.0.0.1")),
            port=int(content.get("port", 0)),
            engine=str(content.get("engine", "")),
            services={str(name): int(pid) for name, pid in content.get("services", {}).items()},
        )
    except FileNotFoundError:
        fail(
            EXIT_UNREACHABLE, f"No venue runs on {data_dir}: start it with `jibek up`, or name its folder with --data."
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        fail(EXIT_UNREACHABLE, f"{path} cannot be read ({error}): start the venue again with `jibek up`.")


def open_store(address: VenueAddress, *, timeout_s: float = STORE_TIMEOUT_S) -> Store:
    """A connection to the venue's store that has answered once.

    Fails with exit code 3 where it does not answer.
    """
    client = connect(address.store, timeout_s=timeout_s)
    try:
        client.ping()
    except (redis.ConnectionError, redis.TimeoutError, OSError):
        fail(
            EXIT_UNREACHABLE,
            f"The store of the venue on {address.data_dir} does not answer: is the venue up? See `jibek status`.",
        )
    return client


@contextmanager
def store_errors() -> Iterator[None]:
    """Turns what the store and the journal raise inside the block into a failure with one sentence."""
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError) as error:
        fail(EXIT_UNREACHABLE, f"The store went away ({error}): see `jibek status`.")
    except StoreTimeout as error:
        fail(EXIT_UNREACHABLE, f"{error}")
    except (ChainBroken, Diverged, StaleEpoch, StoreRefused) as error:
        fail(EXIT_REFUSED, f"{type(error).__name__}: {error}")
    except redis.ResponseError as error:
        fail(EXIT_REFUSED, f"The store refused: {error}")


# -- output


class Column(NamedTuple):
    """A column of a table. Numbers stand right-aligned."""

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
