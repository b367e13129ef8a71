"""`jibek up`, `down`, `status`, `logs` and `reset`: starting, stopping and watching a venue."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from engine.journal import (
    STORE_FILE_VARIABLE,
    STORE_VARIABLE,
    BadStoreUrl,
    check_is_for_all_eyes,
    read_store_file,
    store_from_environment,
)
from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from engine.process.log_lines import LOG_FORMAT_VARIABLE, LOG_FORMATS, PLAIN, Unblocked
from engine.process.private_files import UnsafePath
from engine.process.watermarks import ACCEPT_STORE_END
from jibek.console.access import access_options, check_access
from jibek.console.failure import MORE_MEMORY, fail, store_errors
from jibek.console.options import TextChoice, combined, data_option, json_option
from jibek.console.output import Column, print_json, print_line, print_table
from jibek.console.suggestion import with_folder
from jibek.venue.address import check_is_there, running_venue, urls
from jibek.venue.children import CRASHES_MAX
from jibek.venue.folder import MARKER_FILE, DataFolder, FolderRefused, shown
from jibek.venue.launch import (
    FORGET_SECRETS,
    GATEWAY_BOUNDS,
    LaunchFailed,
    VenueOptions,
    launch,
    option_of,
)
from jibek.venue.log_reader import LogFollower, files_of, last_lines, since_time
from jibek.venue.processes import is_alive, is_jibek_up, is_stopped, signal_proved
from jibek.venue.services import LOG_NAMES
from jibek.venue.store_server import MEMORY_SHARE_PERCENT, machine_memory_bytes

STORE_STATES = {
    "filling": f"It is filling: new orders are refused. {MORE_MEMORY}",
    "full": (
        "It is full: only cancels, halts and resumes, freezes and unfreezes, key revocations, deposits and withdrawals pass. "
        f"{MORE_MEMORY}"
    ),
    "silent": "It does not answer: orders wait, and are refused after some seconds.",
}
DISK_STATES = {
    "low": "It is low: make room, or a rewrite of the store's log may not fit any more.",
    "full": "It is full: new orders are refused until you make room.",
    "read-only": "It is read-only: nothing can be written until you mount it for writing.",
}
STOP_WAIT_S = 60.0
FOLLOW_INTERVAL_S = 0.2


# -- up


BOUND_HELP = {
    "connections_per_address_max": "Open connections of one address.",
    "connections_max": "Open connections in all.",
    "failures_max": "Failures of one address in a minute before it is banned.",
}
bound_options = combined(
    *(
        click.option(
            option_of(name), name, type=click.IntRange(1), default=default, show_default=True, help=BOUND_HELP[name]
        )
        for name, default in GATEWAY_BOUNDS.items()
    )
)
MEMORY_SIZE = re.compile(r"([1-9][0-9]{0,15})(B|MB|GB|TB)")
MEMORY_UNITS = {"B": 1, "MB": 10**6, "GB": 10**9, "TB": 10**12}
STORE_MEMORY_BYTES_MIN = 16 * 10**6
"""An empty venue fits in, with room for the reserve of what must pass."""


def _memory_size(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """The bytes of a size such as 8GB.

    Raises:
        click.BadParameter: the text is no size, or the machine has not so much memory.
    """
    if text is None:
        return None
    found = MEMORY_SIZE.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no size: write 500MB or 8GB.")
    size_bytes, most_bytes = int(found[1]) * MEMORY_UNITS[found[2]], machine_memory_bytes()
    if not STORE_MEMORY_BYTES_MIN <= size_bytes <= most_bytes:
        raise click.BadParameter(
            f"{text} is not between {_megabytes(STORE_MEMORY_BYTES_MIN)} and the {_megabytes(most_bytes)} of this machine."
        )
    return size_bytes


def _without_password(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    """
    Raises:
        click.BadParameter: the URL holds a password, for everybody to read.
    """
    try:
        check_is_for_all_eyes(url or "")
    except BadStoreUrl as error:
        raise click.BadParameter(f"{error}.") from None
    return url


def _store_of(url: str | None, file: Path | None) -> str | None:
    """The URL of the operator's own store, from the command line, a file or the environment; None for the embedded store.

    Raises:
        click.UsageError: there are two, or the file cannot be used.
    """
    if url and file:
        raise click.UsageError("give either --store or --store-file.")
    try:
        return url or (read_store_file(file) if file else store_from_environment())
    except BadStoreUrl as error:
        raise click.UsageError(f"{error}.") from None


@click.command()
@data_option
@click.option(
    "--venue",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The venue.toml of a new venue.  [default: the built-in markets]",
)
@click.option(
    "--store",
    metavar="URL",
    callback=_without_password,
    help=f"Your own Valkey or Redis instead of the embedded one; with a password, by ${STORE_VARIABLE} or --store-file.",
)
@click.option(
    "--store-file",
    metavar="PATH",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"File of mode 0600 that holds the URL of --store.  [default: ${STORE_FILE_VARIABLE}]",
)
@click.option(
    "--store-memory", "store_memory_bytes", metavar="SIZE", callback=_memory_size,
    help=(
        "Memory limit of the embedded store, such as 8GB; give it at each start.  "
        f"[default: {MEMORY_SHARE_PERCENT} % of the machine's memory]"
    ),
)  # fmt: skip
@click.option(
    "--store-binary", metavar="PATH", type=click.Path(path_type=Path),
    help="Your system's valkey-server (7.2 or newer) or redis-server (7 or newer) as the embedded store; give it at each start.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=9443, show_default=True, help="The port to listen on.")
@click.option(
    "--engine", type=click.Choice(["compiled", "reference"]), default="compiled", show_default=True,
    help="The Cython engine, or its specification in Python: same events, slower.",
)  # fmt: skip
@click.option(
    "--crashes-max",
    type=click.IntRange(2),
    default=CRASHES_MAX,
    show_default=True,
    help="Crashes of one process within a minute before it stays down.",
)
@bound_options
@access_options
@click.option(
    "--log-format",
    type=TextChoice(LOG_FORMATS),
    envvar=LOG_FORMAT_VARIABLE,
    show_envvar=True,
    default=PLAIN,
    show_default=True,
    help="How all processes write their logs.",
)
@click.option(
    ACCEPT_STORE_END,
    is_flag=True,
    help=(
        "Start once with a store that has lost entries, or whose watermarks are lost. Gives up the proof that no acknowledged "
        "order is missing. Who did it is in `jibek logs up`."
    ),
)
@click.option(
    FORGET_SECRETS,
    is_flag=True,
    help=(
        "Start once without the secret.key that sealed the HMAC secrets. All HMAC keys stop working for good. Who did it is in "
        "`jibek logs up`."
    ),
)
@click.option("--detach", is_flag=True, help="Return when the venue is ready, and leave it running.")
@click.option("--ready-fd", type=int, hidden=True)
def up(
    data_dir: Path,
    venue: Path | None,
    store: str | None,
    store_file: Path | None,
    store_memory_bytes: int | None,
    host: str,
    port: int,
    engine: str,
    crashes_max: int,
    detach: bool,
    ready_fd: int | None,
    **more: Any,
) -> None:
    """Start the venue, and watch its processes until Ctrl-C or `jibek down`.

    The data folder is a new or empty one, or that of a venue, and this user's alone. A new one gets the markets of
    --venue: assets, markets and fees are set when a venue is made; `jibek limits set` changes tiers later. A process that crashes is restarted; one that crashes too often stays
    down. With --tls-cert, SIGHUP makes the gateway read its certificate again; without, it stops the venue.
    docs/deployment.md says what else to do before strangers may connect.

    Exit codes: 0 stopped in order, 1 could not start or a process stayed down, 2 wrong usage, 3 the store cannot be
    reached.

    \b
      jibek up
      jibek up --data /var/lib/jibek --venue venue.toml --port 9443
      jibek up --detach
      jibek up --host 0.0.0.0 --tls-cert venue.pem --tls-key venue.key
    """
    store = _store_of(store, store_file)
    if store is not None and store_memory_bytes is not None:
        raise click.UsageError("--store-memory is for the embedded store; with --store, set maxmemory in your own.")
    if store is not None and more["store_binary"] is not None:
        raise click.UsageError("give either --store-binary, which `jibek up` starts, or --store, which runs already.")
    more["store_memory_bytes"] = store_memory_bytes
    options = VenueOptions(data_dir, venue, store, host, port, engine, crashes_max, **more)
    check_access(options.access)
    if detach:
        _start_detached(options)
        return
    from engine.venue_file import VenueError
    from jibek.venue.preflight import StartFailed
    from jibek.venue.store_binary import StoreUnavailable
    from jibek.venue.supervisor import Supervisor
    from jibek.venue.up_log import UpLog

    is_launched = ready_fd is not None
    log = UpLog(DataFolder(data_dir).logs / "up.log", options.log_format, is_launched=is_launched)
    log.watch_threads()
    # Standard error of a venue that was launched leads into its log already.
    supervisor = Supervisor(options, _say_nothing if is_launched else _say_unblocked(), log)

    def when_ready() -> None:
        supervisor.say(_welcome(options))
        _answer(ready_fd, {"ready": True, "warnings": supervisor.warnings})

    try:
        code = supervisor.run(when_ready)
    except (FolderRefused, StartFailed, StoreUnavailable, VenueError, OSError) as error:
        exit_code = error.exit_code if isinstance(error, StartFailed) else EXIT_REFUSED
        log.open_if_ours(supervisor.folder.is_in_use)
        log.write(str(error), logging.ERROR)
        _answer(ready_fd, {"error": str(error), "exit_code": exit_code})
        if is_launched:
            sys.exit(exit_code)
        fail(exit_code, str(error))
    except Exception as error:
        log.open_if_ours(supervisor.folder.is_in_use)
        log.write_defect(error)
        if is_launched:
            sys.exit(EXIT_REFUSED)
        raise
    sys.exit(code)


def _welcome(options: VenueOptions) -> str:
    places = urls(options.host, options.port, tls=options.access.is_tls)
    return (
        f"Jibek is up on {options.data} ({options.engine} engine).\n"
        f"  orders   {places['ws_api']}\n"
        f"  streams  {places['stream']}\n"
        f"  HTTP     {places['http']}"
    )


def _say(line: str) -> None:
    print_line(line, err=True)


def _say_nothing(line: str) -> None: ...


def _say_unblocked() -> Callable[[str], None]:
    """Says a line on standard error for as long as somebody reads it: a terminal that was closed or stopped, or a full disk,
    neither ends a venue nor holds it up."""
    try:
        stderr = Unblocked(sys.stderr.fileno())
    except (OSError, ValueError):
        return _say_nothing

    def say(line: str) -> None:
        with contextlib.suppress(OSError):
            stderr.write(f"{with_folder(line)}\n")

    return say


def _answer(ready_fd: int | None, message: dict[str, Any]) -> None:
    """Answers the process that waits at the other end of the pipe, if `--ready-fd` names one."""
    if ready_fd is not None:
        with contextlib.suppress(BrokenPipeError):
            os.write(ready_fd, json.dumps(message).encode() + b"\n")
        os.close(ready_fd)


def _start_detached(options: VenueOptions) -> None:
    try:
        warnings = launch(options, tied=False).wait_until_ready()
    except LaunchFailed as failed:
        fail(failed.exit_code, str(failed))
    for warning in warnings:
        _say(warning)
    _say(_welcome(options))
    _say("`jibek down` stops it.")


# -- down


@click.command()
@data_option
def down(data_dir: Path) -> None:
    """Stop the venue in order, and wait until all its processes have ended. It ends the `jibek up` that holds the folder's
    lock, and no other process.

    Exit codes: 0 stopped, 1 not stopped within 60 s or refused, 3 no venue runs there.

    \b
      jibek down
      jibek down --data /var/lib/jibek
    """
    check_is_there(data_dir)
    folder = DataFolder(data_dir)
    with _folder_errors():
        if not folder.is_locked():
            fail(EXIT_UNREACHABLE, f"No venue runs on {data_dir}.")
        _ask_to_stop(folder)
        deadline = time.monotonic() + STOP_WAIT_S
        while folder.is_locked():
            if time.monotonic() > deadline:
                fail(EXIT_REFUSED, f"The venue on {data_dir} has not stopped within {STOP_WAIT_S:.0f} s; see its logs.")
            time.sleep(0.05)
    _say(f"The venue on {data_dir} has stopped.")


def _ask_to_stop(folder: DataFolder) -> None:
    """Sends SIGTERM to the `jibek up` that holds the lock. If that has died, its processes are about to end by themselves.

    Raises:
        Failure: the lock is held by something else, or `jibek up` is stopped and cannot obey.
    """
    holder = folder.holder()
    if holder is None:
        return
    if is_jibek_up(holder) and is_stopped(holder):
        fail(
            EXIT_REFUSED,
            f"`jibek up` (process {holder}) has stopped answering: `kill -CONT {holder}`, then `jibek down`.",
        )
    if not signal_proved(holder, signal.SIGTERM, lambda pid: folder.is_held_by(pid) and is_jibek_up(pid)) and is_alive(
        holder
    ):
        fail(EXIT_REFUSED, f"{folder.path} is held by process {holder}, which is no `jibek up`: end it yourself.")


@contextlib.contextmanager
def _folder_errors() -> Iterator[None]:
    """
    Raises:
        Failure: the data folder is not this user's alone, or cannot be used for another reason.
    """
    try:
        yield
    except (FolderRefused, UnsafePath) as error:
        fail(EXIT_REFUSED, str(error))


# -- status


@click.command()
@data_option
@json_option
@click.option("--verbose", is_flag=True, help="Show also the path and the SHA-256 digest of the store's program.")
def status(data_dir: Path, as_json: bool, verbose: bool) -> None:
    """Show the venue's processes, how far each part has come, and its memory.

    From 80 % of its memory limit the store is filling, and new orders are refused; when it is full, only cancels and what
    an operator must do pass. docs/operations.md has every state, what it means and what to do.

    Exit codes: 0 every process is ready and the store has room, 1 a process is not ready or has trouble, or the store is
    filling, full or silent, 3 no venue runs there.

    \b
      jibek status
      jibek status --json
    """
    from jibek.venue.status import is_good, read_status

    address = running_venue(data_dir)
    with store_errors():
        found = read_status(address)
    if as_json:
        print_json(found)
    else:
        _print_status(found, verbose=verbose)
    if not is_good(found):
        sys.exit(EXIT_REFUSED)


def _print_status(found: dict[str, Any], *, verbose: bool) -> None:
    columns = [
        Column("process"), Column("pid", right=True), Column("memory", right=True), Column("restarts", right=True),
        Column("state"),
    ]  # fmt: skip
    rows = [
        [each["name"], str(each["pid"] or "-"), _megabytes(each["memory_bytes"]), str(each["restarts"]),
         with_folder(each["state"])]
        for each in found["processes"]
    ]  # fmt: skip
    print_table(columns, rows, title=f"Venue on {found['data']}, {found['engine']} engine, {found['urls']['ws_api']}")
    if found["offsets"]:
        print_line()
        columns = [Column("part"), Column("last entry", right=True), Column("entries behind", right=True)]
        print_table(columns, [[each["name"], each["id"], str(each["lag_entries"])] for each in found["offsets"]])
    print_line()
    store, disk, binary = found["store"], found["disk"], found["store"]["binary"]
    rows = [["store", _used(store), with_folder(STORE_STATES.get(store["state"], store["state"]))]]
    if disk is not None:
        rows.append(
            [
                "disk",
                f"{_share(disk['free_bytes'], disk['size_bytes'])} free",
                DISK_STATES.get(disk["state"], disk["state"]),
            ]
        )
    if binary is not None:
        rows.append(["program", f"{binary['name']} {binary['version']}", f"from {binary['origin']}"])
        if verbose:
            rows += [["path", binary["path"], ""], ["SHA-256", binary["sha256"], ""]]
    print_table([Column(""), Column(""), Column("state")], rows)


def _used(store: dict[str, Any]) -> str:
    used_bytes, largest_bytes = store["memory_bytes"], store["memory_bytes_max"]
    if used_bytes is None:
        return "unknown"
    return f"{_share(used_bytes, largest_bytes)} used" if largest_bytes else f"{_megabytes(used_bytes)} used, no limit"


def _share(part_bytes: int, whole_bytes: int) -> str:
    """A part of a size, in one unit.

    >>> _share(64_000_000, 8_000_000_000), _share(2_500_000, 64_000_000)
    ('0.06 of 8.00 GB', '2.5 of 64.0 MB')
    """
    if whole_bytes < 10**9:
        return f"{part_bytes / 1e6:,.1f} of {whole_bytes / 1e6:,.1f} MB"
    return f"{part_bytes / 1e9:,.2f} of {whole_bytes / 1e9:,.2f} GB"


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:,.1f} MB"


# -- logs

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
    with _folder_errors():
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


# -- reset


@click.command()
@data_option
@click.option("--yes", is_flag=True, help="Confirm: permanently deletes all accounts, orders and balances.")
def reset(data_dir: Path, yes: bool) -> None:
    """Delete what the venue has in its data folder, and the folder if nothing else is in it. You cannot undo this, so it
    needs --yes, and the venue must be down.

    It deletes only in a folder that `jibek up` has marked as a venue's (with jibek-venue.json), and only what a venue writes
    there. The content of your own store (`jibek up --store URL`) is not touched.

    Exit codes: 0 deleted, 1 refused, 2 without --yes, 3 it is not the data folder of a venue.

    \b
      jibek down && jibek reset --yes
    """
    check_is_there(data_dir)
    folder = DataFolder(data_dir)
    with _folder_errors():
        if not folder.is_marked():
            fail(EXIT_UNREACHABLE, f"{data_dir} is not the data folder of a venue: it has no {MARKER_FILE}.")
        if not yes:
            raise click.UsageError(f"this deletes the venue in {folder.path}: confirm with --yes.")
        if folder.is_locked():
            fail(EXIT_REFUSED, f"A venue runs on {data_dir}: stop it with `jibek down` first.")
        try:
            left = folder.delete()
        except OSError as error:
            fail(
                EXIT_REFUSED,
                f"The venue in {folder.path} is not deleted whole ({error}): remove the cause and repeat the command.",
            )
    if left:
        _say(f"The venue in {folder.path} is deleted. What no venue has written is left there: {shown(left)}.")
    else:
        _say(f"{folder.path} is deleted.")
