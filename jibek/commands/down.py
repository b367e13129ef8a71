"""`jibek down` and `jibek reset`: stopping a venue, and deleting it."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import click

from engine.process import EXIT_REFUSED, EXIT_UNREACHABLE
from jibek.console.failure import fail
from jibek.console.options import data_option
from jibek.console.output import print_line
from jibek.venue.address import check_is_there, folder_errors
from jibek.venue.folder import MARKER_FILE, DataFolder, shown
from jibek.venue.processes import is_alive, is_jibek_up, is_stopped, signal_proved

STOP_WAIT_S = 60.0


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
    with folder_errors():
        if not folder.is_locked():
            fail(EXIT_UNREACHABLE, f"No venue runs on {data_dir}.")
        _ask_to_stop(folder)
        deadline = time.monotonic() + STOP_WAIT_S
        while folder.is_locked():
            if time.monotonic() > deadline:
                fail(EXIT_REFUSED, f"The venue on {data_dir} has not stopped within {STOP_WAIT_S:.0f} s; see its logs.")
            time.sleep(0.05)
    print_line(f"The venue on {data_dir} has stopped.", err=True)


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
    with folder_errors():
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
        print_line(
            f"The venue in {folder.path} is deleted. What no venue has written is left there: {shown(left)}.", err=True
        )
    else:
        print_line(f"{folder.path} is deleted.", err=True)
