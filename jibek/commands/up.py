"""`jibek up`: starting a venue, and watching it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable
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
from engine.process import EXIT_REFUSED
from engine.process.log_lines import LOG_FORMAT_VARIABLE, LOG_FORMATS, PLAIN, Unblocked
from engine.process.watermarks import ACCEPT_STORE_END
from jibek.console.access import access_options, check_access
from jibek.console.failure import fail
from jibek.console.options import TextChoice, combined, data_option
from jibek.console.output import print_line
from jibek.console.suggestion import with_folder
from jibek.console.text import megabytes
from jibek.venue.address import urls
from jibek.venue.children import CRASHES_MAX
from jibek.venue.folder import DataFolder, FolderRefused
from jibek.venue.launch import (
    FORGET_SECRETS,
    GATEWAY_BOUNDS,
    LaunchFailed,
    VenueOptions,
    launch,
    option_of,
)
from jibek.venue.store_server import MEMORY_SHARE_PERCENT, machine_memory_bytes

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
            f"{text} is not between {megabytes(STORE_MEMORY_BYTES_MIN)} and the {megabytes(most_bytes)} of this machine."
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
