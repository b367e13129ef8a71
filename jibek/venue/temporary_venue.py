"""A venue for as long as a command needs it, on a folder of its own where none is given."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from jibek.console.output import fail
from jibek.venue.launch import LaunchFailed, VenueOptions, launch


@contextmanager
def temporary_venue(purpose: str) -> Iterator[Path]:
    """The data folder of a new venue with the default markets, which runs as long as the block."""
    with temporary_folder(purpose) as folder, launched_venue(VenueOptions(folder, port=free_port())):
        yield folder


@contextmanager
def launched_venue(options: VenueOptions) -> Iterator[None]:
    """A venue that runs as long as the block. It ends with this process, too, however that ends.

    Fails with the exit code of `jibek up` where that fails.
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
    """A new folder that is deleted at the end, unless the block failed: then it is said on standard error where it is."""
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
    """A port of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
