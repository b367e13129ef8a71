"""A venue that runs as long as a command needs it, on a temporary folder or on a given one."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from jibek.console.failure import fail
from jibek.venue.launch import LaunchFailed, VenueOptions, launch


@contextmanager
def temporary_venue(purpose: str) -> Iterator[Path]:
    """The data folder of a new venue with the default markets, which runs as long as the block."""
    with temporary_folder(purpose) as folder, launched_venue(VenueOptions(folder, port=free_port())):
        yield folder


@contextmanager
def launched_venue(options: VenueOptions) -> Iterator[None]:
    """A venue that runs as long as the block. It also ends with this process, however that ends.

    Raises:
        Failure: `jibek up` failed; the exit code is its own.
    """
    launched = launch(options, tied=True)
    try:
        launched.wait_until_ready()
        yield
    except LaunchFailed as failed:
        fail(failed.exit_code, str(failed))
    finally:
        launched.stop()


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """A new folder that is deleted at the end; if the block fails it is kept, and standard error says where it is."""
    folder = Path(tempfile.mkdtemp(prefix=f"jibek-{purpose}-"))
    try:
        yield folder
    except Exception:
        click.echo(f"The venue's data and logs are kept in {folder}.", err=True)
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)


def free_port() -> int:
    """A port of this machine on which no process listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
