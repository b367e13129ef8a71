"""`jibek logs`: the last lines of a venue's logs, and new ones as they come."""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
from pathlib import Path

import click

from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.process.private_files import UnsafePath
from jibek.console.failure import fail
from jibek.console.options import data_option
from jibek.console.output import print_line
from jibek.venue.address import check_is_there, folder_errors
from jibek.venue.folder import DataFolder
from jibek.venue.log_reader import LogFollower, files_of, last_lines, since_time
from jibek.venue.services import LOG_NAMES

FOLLOW_INTERVAL_S = 0.2
LINES_SHOWN = 20


def _since(context: click.Context, parameter: click.Parameter, text: str | None) -> datetime.datetime | None:
    """
    Raises:
        click.BadParameter: it is no time.
    """
    if text is None:
        return None
    try:
        return since_time(text, datetime.datetime.now(datetime.UTC))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no time: write 10m, or 2026-11-26T10:30.") from None


@click.command()
@data_option
@click.argument("service", type=click.Choice(LOG_NAMES), required=False)
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they come, until Ctrl-C.")
@click.option(
    "-n", "--lines", type=click.IntRange(0),
    help=f"Number of lines of each log, its old files included.  [default: {LINES_SHOWN}, or all since --since]",
)  # fmt: skip
@click.option(
    "--since", metavar="TIME", callback=_since,
    help="Only lines from then on: how long ago, as 30s, 10m, 2h, 1d, or a time of UTC, as 2026-11-26T10:30.",
)  # fmt: skip
def logs(data_dir: Path, service: str | None, follow: bool, lines: int | None, since: datetime.datetime | None) -> None:
    """Print the last lines of the logs, of one process or of all. Characters that a terminal would obey are escaped.

    \b
      jibek logs
      jibek logs gateway -n 100
      jibek logs --since 10m up
      jibek logs -f engine
    """
    check_is_there(data_dir)
    folder = DataFolder(data_dir)
    with folder_errors():
        folder.check()
        _print_logs(folder, service, lines, since, follow=follow)


def _print_logs(
    folder: DataFolder, service: str | None, lines: int | None, since: datetime.datetime | None, *, follow: bool
) -> None:
    files = {name: folder.logs / f"{name}.log" for name in ([service] if service else LOG_NAMES)}
    found = {name: path for name, path in files.items() if files_of(path)}
    missing = service is not None and not found
    if missing or not found:
        fail(EXIT_UNREACHABLE, f"There is no log in {folder.logs}: has a venue run there?")
    count = lines if lines is not None else (LINES_SHOWN if since is None else sys.maxsize)
    followers = {name: LogFollower(path) for name, path in files.items()} if follow else {}
    for name, path in found.items():
        if len(found) > 1:
            print_line(f"== {name}")
        try:
            for line in last_lines(path, count, since):
                print_line(line)
        except UnsafePath:
            raise
        except OSError as error:
            fail(EXIT_REFUSED, f"{path} cannot be read: {error.strerror}.")
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(followers)


def _follow(followers: dict[str, LogFollower]) -> None:
    while True:
        for name, follower in followers.items():
            for line in follower.new_lines():
                print_line(f"{name}: {line}" if len(followers) > 1 else line)
        time.sleep(FOLLOW_INTERVAL_S)
